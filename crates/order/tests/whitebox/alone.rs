//! One process without a world, that is told things one by one: rules that random runs hardly reach, each with the bug
//! that breaks it.

use skein_machine::{Boot, Effect, GroupId, Machine, Multicast, Out, ProcessId, Time, Timestamp, Up};
use skein_order::Planted;
use skein_order::parts::{Epoch, Mark};
use skein_order::whitebox::{Header, Message, Outcome, Report, Settings, Start, WhiteBox};

use super::room::{CLIENT, G, H, TO_BOTH, cluster, message};

struct Alone(WhiteBox);

impl Alone {
    fn new(me: ProcessId, planted: Planted) -> Alone {
        let mut machine = WhiteBox::new(me, cluster(), Boot::First, Settings::DEFAULT, planted);
        machine.start(Time::ZERO, 1, &mut Out::new());
        Alone(machine)
    }

    /// Tells it a message, and whatever it says to itself. Answers what it wants done.
    fn hear(&mut self, from: ProcessId, message: Message) -> Vec<Effect<WhiteBox>> {
        let me = G[0];
        let mut out = Out::new();
        self.0.on_message(Time::ZERO, from, message, &mut out);
        self.0.finish(Time::ZERO, &mut out);
        let mut effects: Vec<Effect<WhiteBox>> = out.drain().collect();
        let mut to_itself = Vec::new();
        for effect in &effects {
            if let Effect::Send(to, message) | Effect::SendEarly(to, message) = effect
                && to.iter().any(|process| process == me)
            {
                to_itself.push(message.clone());
            }
        }
        for message in to_itself {
            effects.extend(self.hear(me, message));
        }
        effects
    }
}

fn start(message: Multicast) -> Message {
    Message::Start(Start { message, follows: 0, sender: CLIENT, proposed: None })
}

fn first(leader: ProcessId) -> Epoch {
    Epoch::first(leader)
}

fn accept(epoch: Epoch, timestamp: u64, message: &Multicast) -> Message {
    let Multicast { id, floor, expiry, .. } = *message;
    let header = Header { timestamp: Timestamp(timestamp), id, floor, expiry, follows: 0 };
    Message::Accept { epoch, settled: Timestamp::ZERO, headers: vec![header] }
}

fn report(promised: Epoch, clock: u64) -> Message {
    Message::Report(Report {
        incarnation: 0,
        held: first(G[0]),
        promised,
        clock: Timestamp(clock),
        is_leader: false,
        delivered: 0,
        safe_from: 0,
        safe: Timestamp::ZERO,
    })
}

fn delivers(effects: &[Effect<WhiteBox>]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Emit(Up::Deliver(_))))
}

/// p0 has proposed m with 1, and hears that the other group has delivered it with 50.
fn told_a_fact(planted: Planted) -> (Alone, Vec<Effect<WhiteBox>>) {
    let mut p0 = Alone::new(G[0], planted);
    let m = message(1, 1, TO_BOTH, "m");
    p0.hear(CLIENT, start(m.clone()));
    let mark = Mark { group: GroupId::new(0).unwrap(), index: 1 };
    let marks = [mark].into_iter().collect();
    let fact = Outcome { id: m.id, own: Timestamp(50), timestamp: Timestamp(50), marks };
    let effects = p0.hear(H[1], Message::Facts(vec![fact]));
    (p0, effects)
}

/// A fact alone is not enough: p0 may be deposed, and its successor may have proposed below 50 what p0 never hears of.
/// Once a quorum that follows nobody later has passed 50, no successor can.
#[test]
fn a_fact_waits_for_the_clocks_of_a_quorum() {
    let (mut p0, effects) = told_a_fact(Planted::NONE);
    assert!(!delivers(&effects));
    assert!(!delivers(&p0.hear(G[1], report(first(G[0]), 49))));
    assert!(!delivers(&p0.hear(G[2], report(first(G[0]).next(G[2]), 60))), "a clock of a later epoch counts");
    // What nobody waits for is told with a tick; here somebody asks p0 for its clock, and it hears itself.
    let effects = p0.hear(G[1], report(first(G[0]), 50));
    let effects: Vec<_> = effects.into_iter().chain(p0.hear(G[1], Message::Raise(Timestamp(50)))).collect();
    let effects: Vec<_> = effects.into_iter().chain(p0.hear(G[0], report(first(G[0]), 50))).collect();
    assert!(delivers(&effects));
}

/// p3 has shown m in its first epoch, and was deposed since; p4 leads.
fn shown_by_one_deposed(planted: Planted) -> bool {
    let mut p0 = Alone::new(G[0], planted);
    let late = Multicast { expiry: Timestamp(5), ..message(1, 1, TO_BOTH, "m") };
    // The clock of p0 passes the expiry.
    p0.hear(G[1], Message::Raise(Timestamp(10)));
    let newest = first(H[0]).next(H[1]);
    p0.hear(H[1], accept(newest, 20, &message(2, 1, TO_BOTH, "other")));
    p0.hear(H[0], accept(first(H[0]), 9, &late));
    let proposed = Some((first(H[0]), Timestamp(9)));
    let start = Start { message: late, follows: 0, sender: CLIENT, proposed };
    let effects = p0.hear(H[0], Message::Start(start));
    effects.iter().any(|effect| matches!(effect, Effect::SendEarly(_, Message::Accept { .. })))
}

/// What a deposed leader shows, or asks for, may have been delivered since under another timestamp, and forgotten.
#[test]
fn a_deposed_leader_of_another_group_is_not_heard() {
    assert!(!shown_by_one_deposed(Planted::NONE));
}

#[cfg(feature = "mutants")]
mod with_bugs {
    use super::*;
    use skein_order::Mutant;

    #[test]
    fn one_that_believes_any_fact_delivers_at_once() {
        assert!(delivers(&told_a_fact(Planted::bug(Mutant::WhiteBoxBelievesAnyFact)).1));
    }

    #[test]
    fn one_that_counts_later_clocks_delivers_by_them() {
        let (mut p0, _) = told_a_fact(Planted::bug(Mutant::WhiteBoxCountsLaterClocks));
        p0.hear(G[1], report(first(G[0]).next(G[2]), 60));
        assert!(delivers(&p0.hear(G[2], report(first(G[0]).next(G[2]), 60))));
    }

    #[test]
    fn one_that_hears_deposed_leaders_proposes_what_they_show() {
        assert!(shown_by_one_deposed(Planted::bug(Mutant::WhiteBoxHearsDeposedLeaders)));
    }
}
