//! Those who read: now and then one asks a replica to pass a timestamp that lies
//! somewhat above everything delivered so far, and waits until the replica says
//! that it has. A wish ends with the life of its replica, as the connection of
//! whoever waits does. Readers multicast nothing.

use std::collections::BTreeMap;

use skein_machine::{Cluster, Down, Ordering, ProcessId, Random, Timestamp};

use crate::{Nanos, SECOND, World};

/// How many wishes there are in a virtual second.
const PER_SECOND: f64 = 2.0;

/// How far above everything delivered a wish may lie: so far that no
/// multicast happens to bring the clock there.
const FURTHEST: u64 = 100;

/// All readers of a run.
pub(crate) struct Readers {
    random: Random,
    replicas: Vec<ProcessId>,
    /// The highest final timestamp that was delivered anywhere.
    newest: Timestamp,
    /// What each replica has said last, in which life.
    safe: BTreeMap<ProcessId, (u32, Timestamp)>,
    /// The highest that is open at each replica; what fulfils it fulfils the others.
    wishes: BTreeMap<ProcessId, Wish>,
}

/// A timestamp to be passed.
#[derive(Clone, Copy, Debug)]
struct Wish {
    life: u32,
    timestamp: Timestamp,
    at: Nanos,
}

impl Readers {
    pub(crate) fn new(cluster: &Cluster, random: Random) -> Readers {
        Readers {
            random,
            replicas: cluster.replicas(cluster.groups()).collect(),
            newest: Timestamp::ZERO,
            safe: BTreeMap::new(),
            wishes: BTreeMap::new(),
        }
    }

    /// Until the next wish: exponential, as independent readers are together.
    pub(crate) fn pause(&mut self) -> Nanos {
        (-(1.0 - self.random.fraction()).ln() / PER_SECOND * SECOND as f64) as Nanos
    }

    /// Asks a replica that is up, if there is one.
    pub(crate) fn ask<M: Ordering>(&mut self, world: &mut World<M>) {
        let up: Vec<ProcessId> = self.replicas.iter().copied().filter(|replica| world.is_up(*replica)).collect();
        if up.is_empty() {
            return;
        }
        let replica = *self.random.pick(&up);
        let timestamp = Timestamp(self.newest.0 + self.random.below(FURTHEST));
        let life = world.life(replica).expect("it is up");
        world.command(replica, Down::RaiseClock(timestamp));
        let is_safe = |(of, safe): &(u32, Timestamp)| *of == life && *safe >= timestamp;
        let is_open = |wish: &Wish| wish.life == life && wish.timestamp >= timestamp;
        if !self.safe.get(&replica).is_some_and(is_safe) && !self.wishes.get(&replica).is_some_and(is_open) {
            self.wishes.insert(replica, Wish { life, timestamp, at: world.now() });
        }
    }

    /// Something was delivered somewhere.
    pub(crate) fn delivered(&mut self, timestamp: Timestamp) {
        self.newest = self.newest.max(timestamp);
    }

    /// A replica says that everything up to this timestamp has been delivered there.
    pub(crate) fn told(&mut self, process: ProcessId, life: u32, timestamp: Timestamp) {
        self.safe.insert(process, (life, timestamp));
        if self.wishes.get(&process).is_some_and(|wish| wish.life == life && wish.timestamp <= timestamp) {
            self.wishes.remove(&process);
        }
    }

    /// The wishes that are open in lives that last, in words.
    pub(crate) fn open<M: Ordering>(&self, world: &World<M>) -> Vec<String> {
        let lasts = |(replica, wish): &(&ProcessId, &Wish)| world.life(**replica) == Some(wish.life);
        let in_words = |(replica, wish): (&ProcessId, &Wish)| {
            let at = wish.at as f64 / SECOND as f64;
            format!("{replica} was asked at {at:.6} s to pass {}, and never said that it had", wish.timestamp)
        };
        self.wishes.iter().filter(lasts).map(in_words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Claims, LIVENESS};
    use crate::{Load, Mix, Outcome, Plan, Scenario, run_seed};
    use skein_machine::wire::Nothing;
    use skein_machine::{Delivery, Machine, Out, Time, Up};
    use std::sync::Arc;
    use std::time::Duration;

    /// A group of one that orders everything, and passes what it is asked to some time after it was asked last.
    struct Clerk {
        passes_after: Option<Duration>,
        delivered: u64,
        clock: Timestamp,
        wanted: Timestamp,
    }

    impl Machine for Clerk {
        type Command = Down;
        type Message = Nothing;
        type Timer = ();
        type Record = Nothing;
        type Event = Up;

        fn restore(&mut self, record: Nothing) {
            match record {}
        }

        fn start(&mut self, _: Time, _: u64, _: &mut Out<Clerk>) {}

        fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Clerk>) {
            match command {
                Down::Multicast(message) => {
                    self.clock = self.clock.max(message.floor).next();
                    out.emit(Up::Deliver(Delivery { position: self.delivered, timestamp: self.clock, message }));
                    self.delivered += 1;
                }
                Down::RaiseClock(timestamp) => {
                    self.wanted = self.wanted.max(timestamp);
                    self.passes_after.into_iter().for_each(|after| out.arm((), after));
                }
                other => panic!("nobody is there to {other:?}"),
            }
        }

        fn on_message(&mut self, _: Time, _: ProcessId, message: Nothing, _: &mut Out<Clerk>) {
            match message {}
        }

        fn on_timer(&mut self, _: Time, (): (), out: &mut Out<Clerk>) {
            if self.wanted > self.clock {
                self.clock = self.wanted;
                out.emit(Up::SafeTime(self.clock));
            }
        }

        fn check(&self) {}
    }

    fn run(passes_after: Option<Duration>) -> Outcome {
        let cluster = Arc::new(Cluster::regular(1, 1, 0).unwrap());
        let mix = Mix::usual(&cluster);
        let plan = Plan {
            load: Load {
                per_second: 10.0,
                mix,
                payload: 8,
                expiry: None,
                misbehaves: false,
                readers: true,
                asks_for_read_points: false,
            },
            cluster,
            scenario: Scenario::Calm,
            duration: 10 * SECOND,
            claims: Claims::CLASSIC,
            clock_bound: None,
            severity: 1.0,
        };
        let maker = move |_, _| Clerk { passes_after, delivered: 0, clock: Timestamp::ZERO, wanted: Timestamp::ZERO };
        run_seed(&plan, 1, None, maker)
    }

    /// Long after the last message is delivered, and the end of a run waits for it.
    #[test]
    fn a_wish_may_be_fulfilled_late() {
        let outcome = run(Some(Duration::from_secs(20)));
        assert_eq!(outcome.violations, []);
        assert!(outcome.counts.virtual_time > 28 * SECOND, "{}", outcome.counts.virtual_time);
    }

    #[test]
    fn a_wish_that_nobody_fulfils_is_missed() {
        let outcome = run(None);
        assert!(outcome.is_stuck() && !outcome.is_wrong());
        let [violation] = &outcome.violations[..] else { panic!("{:#?}", outcome.violations) };
        assert_eq!(violation.property, LIVENESS);
        assert!(violation.detail.contains("p0 was asked at") && violation.detail.contains("to pass"), "{violation}");
    }
}
