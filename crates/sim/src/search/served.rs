//! [`search_service`]: the search over a replicated service, as it ships, with
//! clients in front of it that ask at any moment. The service is the
//! simulator's own lists, one in each partition, and what clients saw is judged
//! as in every other run of them.
//!
//! Each partition has one replica, nobody crashes, and no disk is kept: what is
//! searched is which answer may leave before what is asked.

use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use skein_machine::{Boot, Cluster, ClusterError, ProcessId, Serving};

use super::clients::Clients;
use super::explore::explore;
use super::state::{Limits, Setting};
use super::wish::{Kind, Wish, alphabet, each_choice, renamings};
use super::{Peek, Report};

/// When nothing is on its way and somebody has no answer, time passes, though no longer than this: as long as a command
/// waits for company where others are on the same way, and not until somebody looks after what was lost. For nothing is
/// lost here, so nobody may have to wait for that.
const PATIENCE: Duration = Duration::from_millis(5);

/// What to search.
#[derive(Clone, Debug)]
pub struct ServiceScope {
    /// How many partitions, of one replica each.
    pub groups: usize,
    /// What clients ask for, each one thing.
    pub wishes: Wishes,
    /// How many timers fire on one path, at most.
    pub timers: u32,
    /// Whether orders that cannot matter to each other are tried once.
    pub skips_equal_orders: bool,
    /// Stop after this many states.
    pub max_states: u64,
}

/// What clients ask for.
#[derive(Clone, Debug)]
pub enum Wishes {
    /// Every choice of up to so many things of these kinds.
    All {
        /// The kinds.
        kinds: Vec<Kind>,
        /// How many at most.
        most: usize,
        /// None of them concerns more partitions than this.
        widest: usize,
    },
    /// These, under all names that partitions can have.
    These(Vec<Wish>),
}

impl ServiceScope {
    /// No timer, and no end before everything was seen.
    pub fn calm(groups: usize, wishes: Wishes) -> ServiceScope {
        ServiceScope { groups, wishes, timers: 0, skips_equal_orders: true, max_states: u64::MAX }
    }

    /// The cluster that is searched.
    pub fn cluster(&self) -> Result<Cluster, ClusterError> {
        Cluster::regular(self.groups, 1, 0)
    }
}

/// Searches the whole scope, smallest workloads first, until something breaks. `peek` tells what lists a replica
/// holds, and `told` hears the states visited so far, now and then.
pub fn search_service<M>(
    scope: &ServiceScope,
    cluster: &Arc<Cluster>,
    maker: impl Fn(ProcessId, Boot) -> M,
    peek: Peek<'_, M>,
    mut told: impl FnMut(u64),
) -> Report
where
    M: Serving + Clone + Hash,
{
    let mut report = Report { is_complete: true, ..Report::default() };
    let limits = Limits {
        crashes: 0,
        timers: scope.timers,
        patience: PATIENCE,
        clocks: None,
        ahead: 0,
        has_disks: false,
        skips_equal_orders: scope.skips_equal_orders,
        max_states: scope.max_states,
    };
    let mut visit = |wishes: &[Wish]| {
        report.workloads += 1;
        let clients = Clients::new(scope.groups, wishes, peek);
        explore(Setting::new(limits, cluster, &clients, &maker), &mut report, &mut told);
        if report.failure.is_some() || report.states >= scope.max_states {
            report.is_complete = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let _ = match &scope.wishes {
        Wishes::All { kinds, most, widest } => each_choice(&alphabet(scope.groups, kinds, *widest), *most, &mut visit),
        Wishes::These(wishes) => renamings(wishes, scope.groups).iter().try_for_each(|wishes| visit(wishes)),
    };
    report
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skein_machine::wire::Nothing;
    use skein_machine::{Ask, Call, GroupId, Machine, MessageId, Out, Shares, Stamp, Time, Timestamp, Told};
    use skein_machine::{Reply, Service};

    use super::*;
    use crate::check::LIVENESS;
    use crate::check::linear::LINEARIZABLE;
    use crate::lists::Lists;

    /// How a replica that is made up for this treats who asks it. It speaks to nobody.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Manner {
        /// It does what it is asked for, and says so.
        Prompt,
        /// It says so after a while.
        Slow,
        /// It says nothing.
        Silent,
        /// It does nothing, and says that it did.
        Lying,
        /// It says that it cannot.
        Refusing,
    }

    #[derive(Clone, Hash)]
    struct Loner {
        group: GroupId,
        manner: Manner,
        lists: Lists,
        said: u64,
        held: BTreeMap<u64, Reply>,
    }

    impl Machine for Loner {
        type Command = Ask;
        type Message = Nothing;
        type Timer = u64;
        type Record = Nothing;
        type Event = Told;

        fn restore(&mut self, record: Nothing) {
            match record {}
        }

        fn start(&mut self, _: Time, _: u64, _: &mut Out<Loner>) {}

        fn on_command(&mut self, _: Time, ask: Ask, out: &mut Out<Loner>) {
            let Ask::Calls { token, commands, .. } = ask else { panic!("nobody reads here") };
            self.said += 1;
            let id = MessageId::new(1, self.said, 1 << self.group.index());
            let stamp = Stamp { timestamp: Timestamp(self.said), id };
            let call = Call { stamp, nth: 0, group: self.group, command: &commands[0].command };
            let reply = if self.manner == Manner::Lying {
                Lists::new(1).apply(&call, &Shares::none())
            } else {
                self.lists.apply(&call, &Shares::none())
            };
            match self.manner {
                Manner::Prompt | Manner::Lying => out.emit(self.answer(token, reply)),
                Manner::Slow => {
                    self.held.insert(token, reply);
                    out.arm(token, Duration::from_millis(2 * token));
                }
                Manner::Silent => {}
                Manner::Refusing => out.emit(Told::Failed { token, certain: true, why: "not now" }),
            }
        }

        fn on_message(&mut self, _: Time, _: ProcessId, message: Nothing, _: &mut Out<Loner>) {
            match message {}
        }

        fn on_timer(&mut self, _: Time, token: u64, out: &mut Out<Loner>) {
            let reply = self.held.remove(&token).expect("it is held until then");
            out.emit(self.answer(token, reply));
        }

        fn check(&self) {}
    }

    impl Loner {
        fn answer(&self, token: u64, reply: Reply) -> Told {
            Told::Answers { token, timestamp: Timestamp(self.said), replies: vec![(self.group, vec![reply])] }
        }
    }

    fn search_loner(manner: Manner, wishes: &str) -> Report {
        let wishes = wishes.split(',').map(|text| Wish::parse(text, 1).unwrap()).collect();
        let scope = ServiceScope::calm(1, Wishes::These(wishes));
        let cluster = Arc::new(scope.cluster().unwrap());
        let group = GroupId::new(0).unwrap();
        let maker = |_, _| Loner { group, manner, lists: Lists::new(1), said: 0, held: BTreeMap::new() };
        search_service(&scope, &cluster, maker, &|loner: &Loner| loner.lists.all(), |_| {})
    }

    fn broken(manner: Manner, wishes: &str) -> Option<(&'static str, String)> {
        let violation = search_loner(manner, wishes).failure?.violations.remove(0);
        Some((violation.property, violation.detail))
    }

    #[test]
    fn clients_are_answered_or_it_is_told() {
        assert_eq!(broken(Manner::Prompt, "x,look:x,x"), None);
        let (property, detail) = broken(Manner::Silent, "x").unwrap();
        assert_eq!(property, LIVENESS);
        assert!(detail.contains("c0 append:x") && detail.contains("has no answer"), "{detail}");
        let (property, detail) = broken(Manner::Refusing, "x").unwrap();
        assert_eq!(property, LIVENESS, "{detail}");
    }

    #[test]
    fn what_is_answered_has_happened() {
        let (property, detail) = broken(Manner::Lying, "x").unwrap();
        assert_eq!(property, LINEARIZABLE);
        assert!(detail.contains("was answered, and 0 is not in list 0"), "{detail}");
    }

    /// Time passes where somebody waits, as long as it must and no longer.
    #[test]
    fn time_passes_when_nothing_else_can_happen() {
        assert_eq!(broken(Manner::Slow, "x,look:x,x"), None, "after 0, 2 and 4 milliseconds");
        let (property, detail) = broken(Manner::Slow, "x,look:x,x,look:x").unwrap();
        assert_eq!(property, LIVENESS, "{detail}");
    }

    /// Who cannot be told apart asks in one order: two that look are in one order, two others in either.
    #[test]
    fn twins_ask_in_one_order() {
        let states = |wishes| search_loner(Manner::Prompt, wishes).states;
        assert_eq!((states("look:x,look:x"), states("x,look:x")), (3, 5));
    }
}
