//! What the search believes of a host, tested with machines that are made up
//! for it: they crash, wait and talk to themselves, as a protocol here may not yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::wire::Nothing;
use skein_machine::{Conflicts, Delivery, Down, Machine, MessageId, Multicast, Out, ProcessId, Time, Timestamp, Up};

use super::{Report, Scope, search};
use crate::{ALL_COMMUTE, SOME_COMMUTE};

/// Tells itself a, b and, when it hears a, c; multicasts only what it has heard in that order.
#[derive(Clone, Hash)]
struct Talker {
    me: ProcessId,
    heard: Vec<u8>,
}

fn word(message: &Multicast, letter: &'static [u8]) -> Multicast {
    Multicast { payload: Bytes::from_static(letter), ..message.clone() }
}

impl Machine for Talker {
    type Command = Down;
    type Message = Multicast;
    type Timer = Nothing;
    type Record = Nothing;
    type Event = Up;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, _: u64, _: &mut Out<Talker>) {}

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Talker>) {
        let Down::Multicast(message) = command else { panic!("nothing else is asked for") };
        out.send(self.me, word(&message, b"a"));
        out.send(self.me, word(&message, b"b"));
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Multicast, out: &mut Out<Talker>) {
        if from != self.me {
            out.emit(Up::Deliver(Delivery { position: 0, timestamp: Timestamp(1), message }));
            return;
        }
        self.heard.extend(&message.payload);
        match &self.heard[..] {
            b"a" => out.send(self.me, word(&message, b"c")),
            b"abc" => out.send(ProcessId(0), word(&message, b"")),
            _ => {}
        }
    }

    fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Talker>) {
        match timer {}
    }

    fn check(&self) {}
}

fn scope(replicas: usize, crashes: u32, timers: u32) -> Scope {
    Scope { crashes, timers, ..Scope::calm(1, replicas, 1) }
}

#[test]
fn a_process_hears_itself_in_the_order_in_which_it_spoke() {
    let scope = scope(1, 0, 0);
    let cluster = Arc::new(scope.cluster().unwrap());
    let report = search(&scope, &cluster, |me, _| Talker { me, heard: Vec::new() }, |_| {});
    assert_eq!(report.failure.map(|failure| failure.violations), None);
}

/// Writes down what it hears, tells the other replica, waits for a timer, and delivers nothing.
#[derive(Clone, Hash)]
struct Diarist {
    me: ProcessId,
    written: Vec<MessageId>,
    rings: u32,
    reunions: u32,
}

impl Machine for Diarist {
    type Command = Down;
    type Message = Multicast;
    type Timer = MessageId;
    type Record = MessageId;
    type Event = Up;

    fn restore(&mut self, record: MessageId) {
        self.written.push(record);
    }

    fn start(&mut self, _: Time, _: u64, _: &mut Out<Diarist>) {}

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Diarist>) {
        let Down::Multicast(message) = command else { panic!("nothing else is asked for") };
        out.send_all([ProcessId(0), ProcessId(1)], message);
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Multicast, out: &mut Out<Diarist>) {
        if from.0 < 2 {
            return;
        }
        out.persist(message.id);
        self.written.push(message.id);
        out.arm(message.id, core::time::Duration::from_secs(1));
        out.send(ProcessId(1 - self.me.0), message);
    }

    fn on_timer(&mut self, _: Time, timer: MessageId, out: &mut Out<Diarist>) {
        assert!(self.written.contains(&timer), "a timer from an earlier life");
        self.rings += 1;
        out.disarm(timer);
    }

    fn on_reconnect(&mut self, _: Time, _: ProcessId, _: &mut Out<Diarist>) {
        self.reunions += 1;
    }

    fn check(&self) {}
}

fn diaries(crashes: u32, timers: u32, skips_equal_orders: bool) -> Report {
    let scope = Scope { skips_equal_orders, ..scope(2, crashes, timers) };
    let cluster = Arc::new(scope.cluster().unwrap());
    let maker = |me, _| Diarist { me, written: Vec::new(), rings: 0, reunions: 0 };
    search(&scope, &cluster, maker, |_| {})
}

/// Without a crash everything must be delivered once nothing is on its way.
#[test]
fn what_is_never_delivered_is_missed_at_rest() {
    let failure = diaries(0, 0, true).failure.expect("nothing is ever delivered");
    assert_eq!(failure.violations[0].property, "liveness");
}

/// No protocol here may crash yet. The numbers say what the search believes of crashes, restarts and
/// timers; a change of them means that it believes something else.
#[test]
fn crashes_and_timers_are_walked_through_to_the_end() {
    let count = |crashes, timers, skips_equal_orders| {
        let report = diaries(crashes, timers, skips_equal_orders);
        assert!(report.is_complete);
        report.states
    };
    for (crashes, timers, states) in [(1, 0, 33), (1, 1, 73), (2, 2, 207)] {
        assert_eq!(count(crashes, timers, true), states, "{crashes} crashes, {timers} timers");
        assert_eq!(count(crashes, timers, false), states, "{crashes} crashes, {timers} timers, all orders");
    }
}

/// Delivers what it hears as it hears it, though stamps follow the numbers of sessions. After a restart it repeats
/// what it has on its disk, backwards.
#[derive(Clone, Hash)]
struct Hasty {
    has_a_disk: bool,
    heard: BTreeMap<MessageId, Multicast>,
}

impl Hasty {
    fn deliver(&self, position: usize, message: &Multicast, out: &mut Out<Hasty>) {
        let (position, timestamp) = (position as u64, Timestamp(message.id.session.0));
        out.emit(Up::Deliver(Delivery { position, timestamp, message: message.clone() }));
    }
}

impl Machine for Hasty {
    type Command = Down;
    type Message = Multicast;
    type Timer = Nothing;
    type Record = Multicast;
    type Event = Up;

    fn restore(&mut self, record: Multicast) {
        self.heard.insert(record.id, record);
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Hasty>) {
        self.heard.values().rev().enumerate().for_each(|(position, message)| self.deliver(position, message, out));
    }

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Hasty>) {
        let Down::Multicast(message) = command else { panic!("nothing else is asked for") };
        out.send(ProcessId(0), message);
    }

    fn on_message(&mut self, _: Time, _: ProcessId, message: Multicast, out: &mut Out<Hasty>) {
        if self.has_a_disk {
            out.persist(message.clone());
        }
        self.deliver(self.heard.len(), &message, out);
        self.heard.insert(message.id, message);
    }

    fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Hasty>) {
        match timer {}
    }

    fn check(&self) {}
}

fn in_haste(messages: usize, crashes: u32, has_a_disk: bool, conflicts: Option<Conflicts>) -> Report {
    let scope = Scope { crashes, conflicts, ..Scope::calm(1, 1, messages) };
    let cluster = Arc::new(scope.cluster().unwrap());
    search(&scope, &cluster, |_, _| Hasty { has_a_disk, heard: BTreeMap::new() }, |_| {})
}

#[test]
fn only_what_commutes_may_be_told_in_any_order() {
    let broken = |messages, crashes, conflicts| {
        let failure = in_haste(messages, crashes, true, conflicts).failure;
        failure.map(|failure| failure.violations[0].property)
    };
    assert_eq!(broken(3, 1, Some(ALL_COMMUTE)), None, "nor does it matter that a new life repeats it backwards");
    assert_eq!(broken(1, 1, Some(SOME_COMMUTE)), None);
    assert_eq!(broken(2, 0, Some(SOME_COMMUTE)), Some("prefix order"), "the second writes what the first reads");
    assert_eq!(broken(2, 0, None), Some("timestamps"));
}

/// A life that told something is not a life that told nothing, though both are over and forgotten.
#[test]
fn lives_that_are_over_are_told_apart() {
    for (messages, crashes) in [(1, 1), (1, 2)] {
        let states = |conflicts| in_haste(messages, crashes, false, conflicts).states;
        assert_eq!(states(Some(ALL_COMMUTE)), states(None), "{messages} messages, {crashes} crashes");
    }
}

/// Each of up to three messages was told or not: in which order, makes no difference.
#[test]
fn the_order_of_what_commutes_makes_no_state() {
    let report = in_haste(3, 0, false, Some(ALL_COMMUTE));
    assert!(report.is_complete && report.failure.is_none());
    assert_eq!(report.states, 2 + 4 + 8);
}
