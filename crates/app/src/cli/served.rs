//! One seed of a replicated service and its clients on a protocol: the lists of
//! the simulator, or the store that ships. What clients saw is judged by the
//! simulator, which knows neither.

use std::hash::Hash;
use std::sync::Arc;

use clap::ValueEnum;
use skein_machine::{Boot, Cluster, Ordering, ProcessId, Service};
use skein_service::Planted;
use skein_service::replica::{self, Near, Replica};
use skein_sim::clients::{ClientsOutcome, ClientsPlan, Tongue, run_clients};
use skein_sim::lists::{Lists, ListsTongue};
use skein_sim::{Counts, Outcome, Trace};

use crate::compose::{Clock, Employer, Protocol, Variant};
use crate::store_sim::StoreTongue;

/// What runs on the order.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Served {
    /// Lists to which clients append: the simulator's own.
    Lists,
    /// The store that ships, asked for what its clients ask for.
    Kv,
}

/// Runs one seed of a service on a protocol, both with the bugs that they are built with, if any.
pub(crate) fn served_of(
    served: Served,
    protocol: Protocol,
    plan: &ClientsPlan,
    seed: u64,
    trace: Option<Trace>,
    variant: Variant,
    planted: Planted,
) -> ClientsOutcome {
    protocol.employ_to_serve(
        &plan.cluster,
        variant.of_seed(seed),
        OneSeed { served, plan, seed, trace, clock: variant.clock, planted },
    )
}

/// What a seed did, as all seeds are counted: what was asked for and what was answered.
pub(crate) fn counted(ran: ClientsOutcome) -> Outcome {
    let counts = Counts {
        virtual_time: ran.virtual_time,
        multicasts: ran.operations,
        deliveries: ran.answered,
        messages: ran.messages,
        faults: ran.faults,
    };
    Outcome { seed: ran.seed, counts, violations: ran.violations, trace: ran.trace }
}

struct OneSeed<'a> {
    served: Served,
    plan: &'a ClientsPlan,
    seed: u64,
    trace: Option<Trace>,
    clock: Clock,
    planted: Planted,
}

impl Employer for OneSeed<'_> {
    type Answer = ClientsOutcome;

    fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> ClientsOutcome
    where
        M: Ordering + Clone + Hash + 'static,
    {
        let groups = self.plan.cluster.groups().len();
        match self.served {
            Served::Lists => self.run(ListsTongue::new(groups), maker, move |_| Lists::new(groups)),
            Served::Kv => {
                let planted = self.planted;
                let tongue = StoreTongue::new(groups, self.seed % 2 == 1);
                let store = tongue.maker();
                let cluster = self.plan.cluster.clone();
                self.run(tongue, maker, move |process| {
                    let group = cluster.group_of(process).expect("a replica is in a group");
                    store(group).planted(planted)
                })
            }
        }
    }
}

impl OneSeed<'_> {
    fn run<M: Ordering + 'static, S: Service + 'static>(
        self,
        tongue: impl Tongue,
        order: impl Fn(ProcessId, Boot) -> M + 'static,
        service: impl Fn(ProcessId) -> S + 'static,
    ) -> ClientsOutcome {
        let OneSeed { plan, seed, trace, clock, planted, .. } = self;
        let cluster: Arc<Cluster> = plan.cluster.clone();
        let near = Arc::new(Near::new(&cluster, |_, _| 0));
        let settings = replica::Settings {
            mode: replica::Mode::Linearizable,
            follows_real_time: clock == Clock::Hybrid,
            keeps_records: !plan.is_forgetful,
            tells_everything: false,
        };
        run_clients(plan, seed, trace, tongue, move |process, boot| {
            let (order, service) = (order(process, boot), service(process));
            Replica::new(process, cluster.clone(), near.clone(), order, service, settings, planted)
        })
    }
}
