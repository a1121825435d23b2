//! How long messages take under load, measured: clients that multicast, links
//! that take their time, and nothing that breaks. Time here is message delay
//! and waiting for others, never computing: a process takes its steps in no
//! time at all, so a cluster is never too slow for its load, and what grows
//! with the load is how long messages wait for each other.
//!
//! No history is kept and no judge is asked, for their work grows faster than
//! the load. What must hold is asserted on the way by `ledger.rs`: whatever was
//! taken is delivered at every replica of its destinations, once, with one
//! timestamp everywhere, in the order of timestamps, and may be answered.

mod clients;
mod ledger;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hdrhistogram::Histogram;
use skein_machine::{Boot, Cluster, Down, Ordering, ProcessId, Random, Up};

use self::clients::{Clients, Task};
use self::ledger::Ledger;
use crate::run::{CALM_BOUND, words_of};
use crate::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, SECOND, World};

/// Before this nobody multicasts: elections, first heartbeats.
const QUIET: Nanos = 5 * SECOND;

/// What goes to and fro without any load is counted from here until the load begins.
const IDLE_FROM: Nanos = 3 * SECOND;

/// The record of messages is emptied this often in virtual time, so that it stays small.
const SLICE: Nanos = 10 * MILLISECOND;

/// Nothing is measured that takes longer than this: half the time within which everything must be over.
const LONGEST: u64 = CALM_BOUND / 2;

/// What is measured.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// The processes. With outsiders it is they who multicast, without any the replicas.
    pub cluster: Arc<Cluster>,
    /// How far apart they stand.
    pub latency: Latency,
    /// How hard clients press.
    pub pressure: Pressure,
    /// To how many groups each message goes. A replica that multicasts always has its own among them, and the others
    /// are random.
    pub destinations: usize,
    /// Bytes of each payload.
    pub payload: usize,
    /// The load runs for so long before anything is counted.
    pub warm_up: Nanos,
    /// And for so long while everything is.
    pub window: Nanos,
    /// Hardware clocks are up to this far from true time.
    pub clock_error: Nanos,
    /// An answer may leave when the replica says so ([`Up::Settled`]), and not as soon as it has delivered.
    pub answers_wait: bool,
}

/// How hard clients press.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pressure {
    /// Multicasts in a virtual second, over all clients together, at moments of their own.
    Rate(f64),
    /// Each client has so many messages on the way, and begins another when one is answered.
    Outstanding(usize),
}

/// What was measured. Times are in nanoseconds, from the multicast.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Messages a virtual second that their last destination had.
    pub per_second: f64,
    /// To the delivery, at every replica of every destination.
    pub everywhere: Histogram<u64>,
    /// The same at the first replicas of groups, by which they are led.
    pub at_leaders: Histogram<u64>,
    /// To the answer of the replica through which it was multicast. Outsiders take for it that they hear of a delivery.
    pub answers: Histogram<u64>,
    /// From the delivery at that replica to its answer, of those answers that waited.
    pub waits: Histogram<u64>,
    /// Messages between processes for each multicast, beyond what flows without any.
    pub messages: f64,
    /// Bytes of these, without framing.
    pub bytes: f64,
    /// Messages a second between all processes while nobody multicasts.
    pub idle_messages: f64,
    /// Multicasts that were refused because their process had as many on the way as it may.
    pub turned_away: u64,
}

impl Flow {
    /// Which part of the answers waited for more than their delivery.
    pub fn waiting(&self) -> f64 {
        if self.answers.is_empty() { 0.0 } else { self.waits.len() as f64 / self.answers.len() as f64 }
    }
}

/// Measures. What must not be, a machine that panics included, is told in a sentence.
pub fn measure<M: Ordering + 'static>(
    plan: &FlowPlan,
    seed: u64,
    maker: impl Fn(ProcessId, Boot) -> M + 'static,
) -> Result<Flow, String> {
    let measured = catch_unwind(AssertUnwindSafe(|| Run::new(plan, seed, maker).play()));
    measured.map_err(|panic| words_of(panic.as_ref()))
}

/// Times in nanoseconds, to three digits.
fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are sound")
}

struct Run<'a, M: Ordering> {
    plan: &'a FlowPlan,
    world: World<M>,
    clients: Clients,
    ledger: Ledger,
    /// Messages between processes so far.
    messages: u64,
    flow: Flow,
}

/// What had gone to and fro at one moment.
#[derive(Clone, Copy)]
struct Traffic {
    messages: u64,
    bytes: u64,
}

impl Traffic {
    fn since(self, earlier: Traffic, span: Nanos) -> [f64; 2] {
        let a_second = |count: u64| count as f64 * SECOND as f64 / span as f64;
        [a_second(self.messages - earlier.messages), a_second(self.bytes - earlier.bytes)]
    }
}

impl<'a, M: Ordering + 'static> Run<'a, M> {
    fn new(plan: &'a FlowPlan, seed: u64, maker: impl Fn(ProcessId, Boot) -> M + 'static) -> Run<'a, M> {
        let mut random = Random::new(seed);
        let processes: Vec<ProcessId> = plan.cluster.processes().collect();
        let world_seed = random.fork(1).word();
        // Records are kept in memory, as where these figures were first drawn.
        let latency = plan.latency.clone();
        let mut world = World::new(&processes, latency, DiskHabits::INSTANT, world_seed, Box::new(maker));
        world.trust_machines();
        let mut errors = random.fork(2);
        for process in processes {
            let error = errors.between(0, 2 * plan.clock_error) as i64 - plan.clock_error as i64;
            world.clock(process).jump(error);
        }
        let clients = Clients::new(&plan.cluster, plan.destinations, plan.payload, random.fork(3));
        let counted = QUIET + plan.warm_up..QUIET + plan.warm_up + plan.window;
        Run {
            ledger: Ledger::new(plan.cluster.clone(), counted, plan.answers_wait),
            clients,
            world,
            messages: 0,
            flow: Flow {
                per_second: 0.0,
                everywhere: times(),
                at_leaders: times(),
                answers: times(),
                waits: times(),
                messages: 0.0,
                bytes: 0.0,
                idle_messages: 0.0,
                turned_away: 0,
            },
            plan,
        }
    }

    fn play(mut self) -> Flow {
        self.world.start();
        self.run_until(IDLE_FROM);
        let before = self.traffic();
        self.run_until(QUIET);
        let [idle_messages, idle_bytes] = self.traffic().since(before, QUIET - IDLE_FROM);

        for (at, task) in self.clients.first_tasks(QUIET, self.plan.pressure) {
            self.world.wake_at(at, task.number());
        }
        self.run_until(QUIET + self.plan.warm_up);
        let (before, sent_before) = (self.traffic(), self.clients.sent);
        self.run_until(QUIET + self.plan.warm_up + self.plan.window);
        let [messages, bytes] = self.traffic().since(before, self.plan.window);
        let sent = (self.clients.sent - sent_before) as f64 * SECOND as f64 / self.plan.window as f64;

        self.clients.close();
        let bound = self.world.now() + CALM_BOUND;
        while self.ledger.is_waiting() && self.world.now() < bound {
            self.run_until(self.world.now() + SECOND / 10);
        }
        self.ledger.close();

        let seconds = self.plan.window as f64 / SECOND as f64;
        self.flow.per_second = self.ledger.finished as f64 / seconds;
        self.flow.idle_messages = idle_messages;
        // What a busy protocol saves elsewhere, such as heartbeats, counts in its favour.
        self.flow.messages = (messages - idle_messages).max(0.0) / sent.max(f64::MIN_POSITIVE);
        self.flow.bytes = (bytes - idle_bytes).max(0.0) / sent.max(f64::MIN_POSITIVE);
        self.flow
    }

    fn traffic(&self) -> Traffic {
        Traffic { messages: self.messages, bytes: self.world.bytes_sent() }
    }

    fn run_until(&mut self, horizon: Nanos) {
        while self.world.now() < horizon {
            let end = (self.world.now() + SLICE).min(horizon);
            while let Some(occurrence) = self.world.next(end) {
                match occurrence {
                    Occurrence::Told { process, event, .. } => self.hear(process, event),
                    Occurrence::Wake(number) => self.act(Task::of(number)),
                    Occurrence::Stopped(process) => panic!("{process} stops, and nothing here breaks disks"),
                }
            }
            self.messages += self.world.take_traffic().len() as u64;
        }
    }

    fn act(&mut self, task: Task) {
        if let Some((at, next)) = self.clients.next_due(task, self.world.now()) {
            self.world.wake_at(at, next.number());
        }
        if let Some((entry, message)) = self.clients.multicast(task) {
            self.ledger.begin(self.world.now(), entry, message.id);
            self.world.command(entry, Down::Multicast(message));
        }
    }

    fn hear(&mut self, process: ProcessId, event: Up) {
        let now = self.world.now();
        match event {
            Up::Deliver(delivery) => self.ledger.delivered(now, process, delivery.stamp(), &mut self.flow),
            Up::Settled(upto) => self.ledger.settled(now, process, upto, &mut self.flow),
            Up::Done { id, .. } => self.ledger.heard_of(now, process, id, &mut self.flow),
            Up::Busy(busy) => {
                self.ledger.strike_out(busy.id);
                self.flow.turned_away += 1;
                if let Some((at, task)) = self.clients.turned_away(now, busy.id) {
                    self.world.wake_at(at, task.number());
                }
            }
            // Logs are cut as they are elsewhere. The state of a user that only counts is empty.
            Up::WantCheckpoint => {
                let position = self.ledger.position(process);
                self.world.command(process, Down::Checkpointed { position, bytes: bytes::Bytes::new() });
            }
            Up::Install { .. } => panic!("{process} is given a state, and nobody here was ever behind"),
            Up::Expired(id) => panic!("{process} says that {id} came too late, and nothing here expires"),
            Up::SafeTime(_) | Up::ReadPoint { .. } => {}
        }
        for id in self.ledger.take_answered() {
            if let Some(task) = self.clients.answered(id) {
                self.world.wake_at(now, task.number());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MICROSECOND;
    use skein_machine::wire::{Nothing, Reader, WireError, Writer};
    use skein_machine::{Delivery, Machine, Multicast, Out, Stamp, Time, Timestamp, Wire};

    /// What a pair is like. The last three are not as they should be.
    #[derive(Clone, Copy, PartialEq)]
    enum Habit {
        Honest,
        Forgets,
        Repeats,
        Silent,
    }

    /// One group of two. The first orders everything and tells the second; what it has delivered may be answered when
    /// it has heard back.
    struct Pair {
        me: ProcessId,
        habit: Habit,
        ordered: u64,
    }

    /// A message and its place, or a place that is zero from whoever wants one.
    #[derive(Debug)]
    struct Told(Timestamp, Multicast);

    impl Wire for Told {
        fn encode(&self, writer: &mut Writer<'_>) {
            self.0.encode(writer);
            self.1.encode(writer);
        }

        fn decode(reader: &mut Reader) -> Result<Told, WireError> {
            Ok(Told(Timestamp::decode(reader)?, Multicast::decode(reader)?))
        }
    }

    impl Machine for Pair {
        type Command = Down;
        type Message = Told;
        type Timer = Nothing;
        type Record = Nothing;
        type Event = Up;

        fn restore(&mut self, record: Nothing) {
            match record {}
        }

        fn start(&mut self, _: Time, _: u64, _: &mut Out<Self>) {}

        fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Self>) {
            let Down::Multicast(message) = command else { return };
            if self.me != ProcessId(0) {
                return out.send(ProcessId(0), Told(Timestamp::ZERO, message));
            }
            self.order(message, out);
        }

        fn on_message(&mut self, _: Time, _: ProcessId, Told(timestamp, message): Told, out: &mut Out<Self>) {
            if self.me == ProcessId(0) {
                if timestamp == Timestamp::ZERO {
                    return self.order(message, out);
                }
                if self.habit != Habit::Silent {
                    out.emit(Up::Settled(Stamp { timestamp, id: message.id }));
                }
                return;
            }
            if self.habit == Habit::Forgets && timestamp.0.is_multiple_of(10) {
                return;
            }
            let delivery = Delivery { position: timestamp.0 - 1, timestamp, message: message.clone() };
            if self.habit == Habit::Repeats {
                out.emit(Up::Deliver(delivery.clone()));
            }
            let stamp = delivery.stamp();
            out.emit(Up::Deliver(delivery));
            out.emit(Up::Settled(stamp));
            out.send(ProcessId(0), Told(timestamp, message));
        }

        fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Self>) {
            match timer {}
        }

        fn check(&self) {}
    }

    impl Pair {
        fn order(&mut self, message: Multicast, out: &mut Out<Self>) {
            self.ordered += 1;
            let timestamp = Timestamp(self.ordered);
            out.emit(Up::Deliver(Delivery { position: self.ordered - 1, timestamp, message: message.clone() }));
            out.send(ProcessId(1), Told(timestamp, message));
        }
    }

    fn measured(pressure: Pressure, answers_wait: bool, habit: Habit) -> Result<Flow, String> {
        let cluster = Arc::new(Cluster::regular(1, 2, 0).unwrap());
        let latency = Latency::fixed(&cluster.processes().collect::<Vec<_>>(), MILLISECOND);
        let plan = FlowPlan {
            cluster,
            latency,
            pressure,
            destinations: 1,
            payload: 8,
            warm_up: SECOND,
            window: SECOND,
            clock_error: 0,
            answers_wait,
        };
        measure(&plan, 7, move |me, _| Pair { me, habit, ordered: 0 })
    }

    fn close_to(micros: u64) -> impl Fn(u64) -> bool {
        move |nanos| nanos.abs_diff(micros * MICROSECOND) <= nanos / 500
    }

    /// The replica that orders has its own at once, and the other one's after a delay; the second a delay later.
    #[test]
    fn times_are_those_of_the_delays() {
        let flow = measured(Pressure::Rate(100.0), false, Habit::Honest).unwrap();
        assert!((flow.per_second - 100.0).abs() < 30.0, "{}", flow.per_second);
        assert!(close_to(2000)(flow.everywhere.max()), "{}", flow.everywhere.max());
        assert!(close_to(1000)(flow.at_leaders.max()), "{}", flow.at_leaders.max());
        // One delivery may fall behind the end.
        assert!(flow.everywhere.len().abs_diff(2 * flow.at_leaders.len()) <= 1);
        assert!((flow.waiting(), flow.turned_away) == (0.0, 0));
        // Half of them are asked for at the second, and each is told there and acknowledged.
        assert!((2.2..2.8).contains(&flow.messages), "{}", flow.messages);
        assert_eq!(flow.idle_messages, 0.0);
    }

    /// What the first has delivered may leave when it has heard from the second, two delays later.
    #[test]
    fn answers_wait_where_they_have_to() {
        let flow = measured(Pressure::Rate(100.0), true, Habit::Honest).unwrap();
        assert!((0.3..0.7).contains(&flow.waiting()), "{}", flow.waiting());
        assert!(close_to(2000)(flow.waits.min()) && close_to(2000)(flow.waits.max()));
        assert!(close_to(2000)(flow.answers.min()) && close_to(2000)(flow.answers.max()));
    }

    /// Each of the two has one on the way: the first one's takes no time, so only the second one's can be counted on.
    #[test]
    fn a_closed_loop_is_as_fast_as_its_answers() {
        let flow = measured(Pressure::Outstanding(3), true, Habit::Honest).unwrap();
        assert!((flow.per_second - 3000.0).abs() < 10.0, "two clients, three each, two delays: {}", flow.per_second);
    }

    #[test]
    fn what_must_not_be_is_told() {
        let wrong = |answers_wait, habit| measured(Pressure::Rate(100.0), answers_wait, habit).unwrap_err();
        let forgotten = wrong(false, Habit::Forgets);
        assert!(forgotten.contains("not delivered everywhere"), "{forgotten}");
        let repeated = wrong(false, Habit::Repeats);
        assert!(repeated.contains("p1 delivers"), "{repeated}");
        let silent = wrong(true, Habit::Silent);
        assert!(silent.contains("never be answered"), "{silent}");
    }
}
