//! Those who want to read what a group has, without multicasting: now and then
//! one asks a replica for a point to read at, often twice in a row, and waits
//! for the answer. Half of them ask the one that is furthest behind the others
//! of its group: there an answer is most easily wrong. A question ends with the
//! life of its replica. Whether an answer is right is not for them to say: the
//! history keeps both.

use std::collections::BTreeMap;

use skein_machine::{Cluster, Down, Ordering, ProcessId, Random, Timestamp};

use crate::{History, MILLISECOND, Nanos, SECOND, World};

/// How many crowds of readers there are in a virtual second.
const PER_SECOND: f64 = 4.0;

/// How likely it is that one asks the replica that is furthest behind.
const TO_THE_LAST: f64 = 0.5;

/// How likely it is that another one is of the same crowd: it asks the same replica,
const COMPANY: f64 = 0.6;

/// about so much later, while the replica may still be asking its group for the first.
const APART: Nanos = 20 * MILLISECOND;

/// All of them in one run.
pub(crate) struct Askers {
    random: Random,
    /// Each with its group's number.
    replicas: Vec<(ProcessId, usize)>,
    /// The highest that each has delivered,
    newest: BTreeMap<ProcessId, Timestamp>,
    /// and anybody of its group.
    newest_of_all: BTreeMap<usize, Timestamp>,
    /// The replica that was asked last, if somebody else will ask it too.
    again: Option<ProcessId>,
    rounds: u64,
    /// What was asked of each replica and not answered: in which life, and when.
    open: BTreeMap<ProcessId, BTreeMap<u64, (u32, Nanos)>>,
}

impl Askers {
    pub(crate) fn new(cluster: &Cluster, random: Random) -> Askers {
        let group_of = |process| cluster.group_of(process).expect("a replica has a group").index();
        let replicas = cluster.replicas(cluster.groups()).map(|process| (process, group_of(process))).collect();
        let (newest, newest_of_all) = (BTreeMap::new(), BTreeMap::new());
        Askers { random, replicas, newest, newest_of_all, again: None, rounds: 0, open: BTreeMap::new() }
    }

    /// Until the next question.
    pub(crate) fn pause(&mut self) -> Nanos {
        let mean = if self.again.is_some() { APART as f64 } else { SECOND as f64 / PER_SECOND };
        (-(1.0 - self.random.fraction()).ln() * mean) as Nanos
    }

    /// Asks a replica that is up, if there is one.
    pub(crate) fn ask<M: Ordering>(&mut self, world: &mut World<M>, history: &mut History) {
        let is_up = |(process, _): &(ProcessId, usize)| world.is_up(*process);
        let up: Vec<(ProcessId, usize)> = self.replicas.iter().copied().filter(is_up).collect();
        let Some(last) = up.iter().max_by_key(|(process, group)| self.lag(*process, *group)) else {
            self.again = None;
            return;
        };
        let (drawn, _) = if self.random.chance(TO_THE_LAST) { *last } else { *self.random.pick(&up) };
        let replica = self.again.take().filter(|replica| world.is_up(*replica)).unwrap_or(drawn);
        let life = world.life(replica).expect("it is up");
        self.rounds += 1;
        history.asked(replica, life, self.rounds);
        let rounds = self.open.entry(replica).or_default();
        rounds.retain(|_, (of, _)| *of == life);
        rounds.insert(self.rounds, (life, world.now()));
        world.command(replica, Down::ReadPoint(self.rounds));
        self.again = self.random.chance(COMPANY).then_some(replica);
    }

    /// How far one is behind its group, in timestamps.
    fn lag(&self, process: ProcessId, group: usize) -> u64 {
        let newest = |timestamp: Option<&Timestamp>| timestamp.map_or(0, |timestamp| timestamp.0);
        newest(self.newest_of_all.get(&group)).saturating_sub(newest(self.newest.get(&process)))
    }

    /// A replica has delivered something.
    pub(crate) fn delivered(&mut self, process: ProcessId, timestamp: Timestamp) {
        let group = self.replicas.iter().find(|(replica, _)| *replica == process).map(|(_, group)| *group);
        let newest = self.newest.entry(process).or_default();
        *newest = timestamp.max(*newest);
        if let Some(group) = group {
            let newest = self.newest_of_all.entry(group).or_default();
            *newest = timestamp.max(*newest);
        }
    }

    /// A replica has answered this question, and with it every earlier one.
    pub(crate) fn answered(&mut self, process: ProcessId, life: u32, round: u64) {
        let rounds = self.open.entry(process).or_default();
        rounds.retain(|open, (of, _)| *of != life || *open > round);
    }

    /// The questions that are open in lives that last, in words.
    pub(crate) fn open<M: Ordering>(&self, world: &World<M>) -> Vec<String> {
        let all = self.open.iter().flat_map(|(replica, rounds)| rounds.values().map(move |asked| (replica, asked)));
        let lasts = all.filter(|(replica, (life, _))| world.life(**replica) == Some(*life));
        let in_words = |(replica, (_, at)): (&ProcessId, &(u32, Nanos))| {
            format!("{replica} was asked at {:.6} s for a point to read at, and told none", *at as f64 / SECOND as f64)
        };
        lasts.map(in_words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Claims, LIVENESS, READ_POINT, Violation};
    use crate::{Load, Mix, Plan, Scenario, run_seed};
    use skein_machine::wire::Nothing;
    use skein_machine::{Delivery, Machine, Out, Time, Up};
    use std::sync::Arc;
    use std::time::Duration;

    /// What is wrong with a clerk, if anything.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Flaw {
        None,
        AnswersNobody,
        TellsAnOlderClock,
        AnswersWhatNobodyAsked,
    }

    /// A group of one that orders everything, and answers somewhat later.
    struct Clerk {
        flaw: Flaw,
        delivered: u64,
        clock: Timestamp,
        asked: Option<u64>,
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
                Down::ReadPoint(round) => {
                    self.asked = Some(round);
                    out.arm((), Duration::from_millis(30));
                }
                other => panic!("nobody is there to {other:?}"),
            }
        }

        fn on_message(&mut self, _: Time, _: ProcessId, message: Nothing, _: &mut Out<Clerk>) {
            match message {}
        }

        fn on_timer(&mut self, _: Time, (): (), out: &mut Out<Clerk>) {
            let Some(mut round) = self.asked.take() else { return };
            let mut timestamp = self.clock;
            match self.flaw {
                Flaw::None => {}
                Flaw::AnswersNobody => return,
                Flaw::TellsAnOlderClock => timestamp = Timestamp(timestamp.0.saturating_sub(5)),
                Flaw::AnswersWhatNobodyAsked => round += 7,
            }
            out.emit(Up::ReadPoint { round, timestamp });
        }

        fn check(&self) {}
    }

    fn found(flaw: Flaw) -> Vec<Violation> {
        let cluster = Arc::new(Cluster::regular(1, 1, 0).unwrap());
        let mix = Mix::usual(&cluster);
        let load = Load {
            per_second: 10.0,
            mix,
            payload: 8,
            expiry: None,
            misbehaves: false,
            readers: false,
            asks_for_read_points: true,
        };
        let plan = Plan {
            load,
            cluster,
            scenario: Scenario::Calm,
            duration: 10 * SECOND,
            claims: Claims::CLASSIC,
            clock_bound: None,
            severity: 1.0,
        };
        let maker = move |_, _| Clerk { flaw, delivered: 0, clock: Timestamp::ZERO, asked: None };
        run_seed(&plan, 1, None, maker).violations
    }

    #[test]
    fn a_good_answer_passes_and_the_others_do_not() {
        assert_eq!(found(Flaw::None), []);
        for flaw in [Flaw::TellsAnOlderClock, Flaw::AnswersWhatNobodyAsked] {
            assert!(found(flaw).iter().any(|violation| violation.property == READ_POINT));
        }
    }

    #[test]
    fn a_question_that_nobody_answers_is_missed() {
        let found = found(Flaw::AnswersNobody);
        assert!(found.iter().all(|violation| violation.property == LIVENESS), "{found:#?}");
        assert!(found[0].detail.contains("for a point to read at, and told none"), "{found:#?}");
    }
}
