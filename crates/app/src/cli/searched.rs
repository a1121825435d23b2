//! The search over a service: replicas as they ship, around any protocol, with
//! the lists of the simulator in them. The command is in `search.rs`; what is
//! tried and how it is judged is the simulator's affair.

use std::hash::Hash;
use std::sync::Arc;

use skein_machine::{Boot, Cluster, Ordering, ProcessId};
use skein_service::Planted;
use skein_service::replica::{self, Near, Replica};
use skein_sim::lists::Lists;
use skein_sim::search::{Report, ServiceScope, search_service};

use super::Mistake;
use super::search::on_a_large_stack;
use crate::compose::{Employer, Protocol, Variant};

/// What of a replica does not depend on its protocol. Nothing is read again that is written down, and whoever reads
/// along hears of every delivery; that changes nothing else.
const SETTINGS: replica::Settings = replica::Settings {
    mode: replica::Mode::Linearizable,
    follows_real_time: false,
    keeps_records: false,
    tells_everything: true,
};

/// Searches lists on a protocol, their replicas with the bug that they are built with, if any.
pub(crate) fn search_service_of(
    protocol: Protocol,
    scope: &ServiceScope,
    planted: Planted,
    told: impl FnMut(u64) + Send,
) -> Result<Report, Mistake> {
    struct Searcher<'a, F>(&'a ServiceScope, &'a Arc<Cluster>, Planted, F);
    impl<F: FnMut(u64)> Employer for Searcher<'_, F> {
        type Answer = Report;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Report
        where
            M: Ordering + Clone + Hash + 'static,
        {
            let Searcher(scope, cluster, planted, told) = self;
            let near = Arc::new(Near::new(cluster, |_, _| 0));
            let replica = |process, boot| {
                let (order, lists) = (maker(process, boot), Lists::new(scope.groups));
                Replica::new(process, cluster.clone(), near.clone(), order, lists, SETTINGS, planted)
            };
            search_service(scope, cluster, replica, &|replica| replica.service().all(), told)
        }
    }
    let cluster = Arc::new(scope.cluster()?);
    let searcher = Searcher(scope, &cluster, planted, told);
    on_a_large_stack(|| protocol.employ_to_serve(&cluster, Variant::PLAIN, searcher))
}

#[cfg(test)]
mod tests {
    use skein_sim::search::{Kind, Wish, Wishes};

    use super::*;

    fn these(groups: usize, wishes: &str) -> ServiceScope {
        let wish = |text: &str| Wish::parse(text, groups).unwrap_or_else(|why| panic!("{why}"));
        ServiceScope::calm(groups, Wishes::These(wishes.split(',').map(wish).collect()))
    }

    fn all(groups: usize, kinds: &[Kind], most: usize, widest: usize) -> ServiceScope {
        ServiceScope::calm(groups, Wishes::All { kinds: kinds.to_vec(), most, widest })
    }

    fn searched(scope: &ServiceScope, planted: Planted) -> Report {
        search_service_of(Protocol::PrimCast, scope, planted, |_| {}).unwrap()
    }

    /// A change of these numbers means that replicas do something else, or that the search sees more or less.
    #[test]
    fn state_counts_of_replicas_are_pinned() {
        for (scope, states) in [
            (all(2, &[Kind::Append, Kind::Look, Kind::Gather, Kind::Read], 2, 2), 5_597),
            (all(2, &[Kind::Append], 3, 2), 11_214),
            (all(3, &[Kind::Append, Kind::Read], 2, 2), 6_858),
            (these(3, "yz,xy,x"), 10_986),
        ] {
            let report = searched(&scope, Planted::NONE);
            assert!(report.is_complete && report.failure.is_none(), "{scope:?}: {:?}", report.failure);
            assert_eq!(report.states, states, "{scope:?}");
        }
    }

    /// What is left out must be nothing but other ways to the same states.
    #[test]
    fn skipping_equal_orders_misses_no_state_of_replicas() {
        let short = all(2, &[Kind::Append, Kind::Gather, Kind::Read], 2, 2);
        let every = ServiceScope { skips_equal_orders: false, ..short.clone() };
        let (short, long) = (searched(&short, Planted::NONE), searched(&every, Planted::NONE));
        assert_eq!(short.states - short.decided, long.states - long.decided, "in which something is still open");
        assert!(short.transitions < long.transitions, "{} of {}", short.transitions, long.transitions);
    }

    /// The third parcel that goes one way waits for company, and nothing but a timer sends it.
    #[test]
    fn whoever_waits_for_a_moment_is_answered_when_it_has_passed() {
        let report = searched(&these(2, "x,x,x,xy"), Planted::NONE);
        assert!(report.is_complete && report.failure.is_none(), "{:?}", report.failure);
    }

    #[cfg(feature = "mutants")]
    mod mutants {
        use skein_service::Mutant;
        use skein_sim::check::linear::LINEARIZABLE;

        use super::*;

        /// What the search prints of a bug that breaks what clients see.
        fn found(scope: &ServiceScope, mutant: Mutant) -> String {
            let failure = searched(scope, Planted::bug(mutant)).failure.expect("it is found");
            assert_eq!(failure.violations[0].property, LINEARIZABLE);
            crate::cli::in_words(&failure)
        }

        /// The chain over three partitions that breaks the published rule, with which answers leave too early. Nobody
        /// tells the search where to look, and all that three operations can do comes first and does not show it.
        #[test]
        fn an_answer_that_leaves_before_it_is_settled_is_found() {
            let words = found(&all(3, &[Kind::Append], 4, 2), Mutant::ReplicaSettlesEarly);
            assert!(words.contains("was answered before"), "{words}");
            for client in 0..4 {
                assert!(words.contains(&format!("is asked by c{client} append:")), "{words}");
                assert!(words.contains(&format!("answers c{client} append:")), "{words}");
            }
        }

        /// Of random runs one in thousands shows it.
        #[test]
        fn trust_in_neighbours_is_found() {
            let words = found(&these(3, "y,yz,xy,x,z"), Mutant::ReplicaTrustsItsNeighbours);
            assert!(words.contains("was answered before"), "{words}");
        }

        #[test]
        fn questions_that_skip_their_round_are_found() {
            let words = found(&all(2, &[Kind::Append, Kind::Read], 3, 2), Mutant::ReplicaReadsWithoutAsking);
            assert!(words.contains("it sees [(0, [])]") || words.contains("it sees [(1, [])]"), "{words}");
        }

        #[test]
        fn questions_that_show_the_unsettled_are_found() {
            let words = found(&these(3, "yz,xy,read:x,z"), Mutant::ReplicaReadsTheUnsettled);
            assert!(words.contains("read:"), "{words}");
        }

        #[test]
        fn shares_that_are_told_too_early_are_found() {
            let words = found(&all(2, &[Kind::Append, Kind::Gather], 3, 2), Mutant::ReplicaSharesTooEarly);
            assert!(words.contains("its partitions answered differently"), "{words}");
        }
    }
}
