//! Reading without multicasting: one round trip inside a group, for however
//! many; and who must not answer.

use skein_machine::{Cluster, Down, Effect, Machine, Out, ProcessId, Time, Timestamp, Up};
use skein_order::Planted;
use skein_order::primcast::{ClockKind, Message, PrimCast, Report, Settings};
use skein_sim::{MILLISECOND, Nanos, SECOND, Trace};

use super::room::{CLIENT, G, H, Room, SMALL, TO_BOTH, TO_G, cluster, compare, message};

/// The last question that a process has answered, and how.
fn answer(room: &Room, at: ProcessId) -> Option<(u64, Timestamp)> {
    room.said.iter().rev().find_map(|(process, said)| match said {
        Up::ReadPoint { round, timestamp } if *process == at => Some((*round, *timestamp)),
        _ => None,
    })
}

fn ask(room: &mut Room, at: ProcessId, round: u64) {
    assert!(room.world.command(at, Down::ReadPoint(round)));
}

/// After a message, at a moment when nobody ticks. The timestamp of that message, and the room.
fn quiet(settings: Settings, groups: u64) -> (Room, Timestamp) {
    let mut room = Room::new(settings);
    room.run_until(2 * SECOND);
    let m = message(1, 1, groups, "m");
    room.multicast(CLIENT, m.clone());
    room.run(10);
    room.run_to_a_quiet_moment(10);
    let (_, delivery) = room.delivery(G[0], m.id).expect("everybody has it");
    let timestamp = delivery.timestamp;
    (room, timestamp)
}

#[test]
fn a_read_takes_one_round_trip() {
    for reader in G {
        let (mut room, newest) = quiet(SMALL, TO_BOTH);
        room.world.set_trace(Trace::brief());
        ask(&mut room, reader, 1);
        room.run(1);
        assert_eq!(answer(&room, reader), None);
        room.run(1);
        assert!(answer(&room, reader).is_some_and(|(_, timestamp)| timestamp >= newest), "{reader}");
        if reader == G[1] {
            compare("primcast_read.txt", &room.lines(|line| !line.contains("hears itself")));
        }
    }
}

/// Whoever has delivered a message knows that nothing comes before it, and need not ask.
#[test]
fn up_to_what_is_delivered_nobody_is_asked() {
    for reader in G {
        let mut room = Room::new(SMALL);
        room.run_until(2 * SECOND);
        let m = message(1, 1, TO_BOTH, "m");
        room.multicast(CLIENT, m.clone());
        while room.delivery(reader, m.id).is_none() {
            room.run(1);
        }
        let newest = room.delivery(reader, m.id).expect("it was just there").1.timestamp;
        let is_safe = |room: &Room| {
            let mut said = room.said.iter().filter(|(process, _)| *process == reader);
            said.any(|(_, said)| matches!(said, Up::SafeTime(safe) if *safe >= newest))
        };
        assert!(!is_safe(&room), "nobody wanted to know");
        room.world.set_trace(Trace::brief());
        assert!(room.world.command(reader, Down::RaiseClock(newest)));
        // Shorter than any way there and back.
        room.run(1);
        assert!(is_safe(&room), "{reader}");
        room.run(5);
        assert!(!room.world.trace().contains("RAISE"), "{}", room.world.trace());
    }
}

/// With hybrid clocks nobody's is the same, and the reader's may be the highest: the question takes it along.
#[test]
fn a_read_takes_one_round_trip_with_hybrid_clocks_as_a_rule() {
    let clock = ClockKind::Hybrid { bound: core::time::Duration::from_millis(500) };
    let mut at_once = 0;
    for (nth, reader) in (0..10).flat_map(|nth| G.map(|reader| (nth, reader))) {
        let (mut room, newest) = quiet(Settings { clock, ..SMALL }, TO_G);
        room.run(nth * 7);
        ask(&mut room, reader, 1);
        room.run(2);
        at_once += u32::from(answer(&room, reader).is_some());
        room.run(2);
        assert!(answer(&room, reader).is_some_and(|(_, timestamp)| timestamp >= newest), "{reader}");
    }
    assert!(at_once >= 15, "{at_once} of thirty");
}

const HYBRID: Settings =
    Settings { clock: ClockKind::Hybrid { bound: core::time::Duration::from_millis(500) }, ..SMALL };

/// What the hardware clock of a process shows, so much later.
fn clock_of(room: &mut Room, process: ProcessId, later: Nanos) -> Timestamp {
    let now = room.world.now();
    Timestamp(room.world.clock(process).read(now).as_nanos() + later)
}

fn cut_off(room: &mut Room, process: ProcessId, is_cut: bool) {
    for other in cluster().processes().filter(|other| *other != process) {
        room.world.set_cut(process, other, is_cut);
        room.world.set_cut(other, process, is_cut);
    }
}

/// While it was cut off, p2 waited for a timestamp so far ahead. It restarts at the ceiling of its clock, and the others
/// hear it sooner than each other.
fn one_clock_is_ahead(by: Nanos) -> Room {
    let mut room = Room::new(HYBRID);
    room.run_until(2 * SECOND);
    cut_off(&mut room, G[2], true);
    let far = clock_of(&mut room, G[2], by);
    assert!(room.world.command(G[2], Down::RaiseClock(far)));
    room.run_until(room.world.now() + 6 * SECOND);
    room.world.crash(G[2]);
    cut_off(&mut room, G[2], false);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 2 * SECOND);
    room.world.set_slowdown(G[0], G[1], 3.0);
    room.world.set_slowdown(G[1], G[0], 3.0);
    room.run_to_a_quiet_moment(20);
    let ahead = clock_of(&mut room, G[2], by / 2);
    let is_ahead = G.map(|process| {
        let mut clock = 0;
        room.world.machine(process).expect("it is up").gauges(&mut |name, value| {
            if name == "clock" {
                clock = value;
            }
        });
        clock > ahead.0
    });
    assert!(by == 0 || is_ahead == [false, false, true], "{is_ahead:?}");
    room
}

/// A quorum that has not been where that clock is cannot have delivered anything there: the reader need not go there,
/// and must not take its group along.
#[test]
fn one_clock_that_is_ahead_holds_up_nobody() {
    for (reader, by) in G.into_iter().flat_map(|reader| [(reader, 0), (reader, 30 * SECOND)]) {
        let mut room = one_clock_is_ahead(by);
        ask(&mut room, reader, 1);
        room.run(12);
        let furthest = clock_of(&mut room, reader, 300 * MILLISECOND);
        let answer = answer(&room, reader);
        assert!(answer.is_some_and(|(_, timestamp)| timestamp < furthest), "{reader} of {by}: {answer:?}");
        let m = message(1, 1, TO_G, "m");
        room.multicast(CLIENT, m.clone());
        room.run(12);
        let (_, delivery) = room.delivery(reader, m.id).expect("nothing hinders it");
        assert!(delivery.timestamp < furthest, "{reader} of {by}: {}", delivery.timestamp);
    }
}

/// With nobody else there that clock may be one of those that a delivery has waited for. Whoever comes back says that
/// it was not.
#[test]
fn a_reply_that_comes_late_lowers_the_point() {
    let mut room = one_clock_is_ahead(30 * SECOND);
    cut_off(&mut room, G[1], true);
    ask(&mut room, G[0], 1);
    room.run(300);
    assert_eq!(answer(&room, G[0]), None);
    cut_off(&mut room, G[1], false);
    room.run(150);
    let furthest = clock_of(&mut room, G[0], 5 * SECOND);
    let answer = answer(&room, G[0]);
    assert!(answer.is_some_and(|(_, timestamp)| timestamp < furthest), "{answer:?}");
}

/// The hardware of the primary is behind, and nobody has multicast for a while. Where a quorum's clocks are it goes at
/// once.
#[test]
fn a_primary_whose_clock_is_behind_holds_up_nobody() {
    for reader in G {
        let mut room = Room::new(HYBRID);
        room.run_until(2 * SECOND);
        room.world.clock(G[0]).jump(-30 * SECOND as i64);
        room.run_until(20 * SECOND);
        room.run_to_a_quiet_moment(10);
        ask(&mut room, reader, 1);
        room.run(4);
        assert!(answer(&room, reader).is_some(), "{reader}");
    }
}

/// What comes while the group is being asked is asked once more, all of it together.
#[test]
fn however_many_read_the_group_is_asked_once_at_a_time() {
    let (mut room, _) = quiet(SMALL, TO_G);
    room.world.set_trace(Trace::brief());
    let asked = |room: &Room| room.world.trace().matches("hears p1: INQUIRE").count();
    for round in 1..=100 {
        ask(&mut room, G[1], round);
    }
    room.run(1);
    for round in 101..=200 {
        ask(&mut room, G[1], round);
    }
    room.run(1);
    let first = answer(&room, G[1]).map(|(round, _)| round);
    assert!(first.is_some_and(|round| round <= 100), "{first:?}");
    room.run(2);
    assert_eq!(answer(&room, G[1]).map(|(round, _)| round), Some(200));
    let asked = asked(&room);
    assert!(asked <= 2 * 3, "two others were asked {asked} times");
}

/// It does not know that it was deposed, and must not answer with what it has. When it is back it does.
#[test]
fn a_primary_in_a_minority_answers_nobody() {
    let (mut room, _) = quiet(SMALL, TO_G);
    for other in [G[1], G[2], CLIENT] {
        room.world.set_cut(G[0], other, true);
    }
    ask(&mut room, G[0], 1);
    room.run_until(room.world.now() + 5 * SECOND);
    let m = message(2, 1, TO_G, "meanwhile");
    room.multicast(CLIENT, m.clone());
    room.run_until(room.world.now() + SECOND);
    let (_, delivery) = room.delivery(G[1], m.id).expect("the others go on");
    let meanwhile = delivery.timestamp;
    ask(&mut room, G[0], 2);
    ask(&mut room, G[1], 3);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(answer(&room, G[0]), None);
    assert!(answer(&room, G[1]).is_some_and(|(round, timestamp)| round == 3 && timestamp >= meanwhile));
    for other in [G[1], G[2], CLIENT] {
        room.world.set_cut(G[0], other, false);
    }
    room.run_until(room.world.now() + 2 * SECOND);
    assert!(answer(&room, G[0]).is_some_and(|(round, timestamp)| round == 2 && timestamp >= meanwhile));
    assert!(room.delivery(G[0], m.id).is_some());
}

/// p1 misses a message that p0 and p2 deliver. Then p2 loses its disk, and only p2 can be asked: it must not say what
/// its clock shows now.
fn one_that_has_forgotten(planted: Planted) -> (Option<(u64, Timestamp)>, Timestamp) {
    let mut room = Room::with_bug(SMALL, 1, planted);
    room.run_until(2 * SECOND);
    room.world.set_cut(G[0], G[1], true);
    let m = message(1, 1, TO_G, "m");
    room.multicast(CLIENT, m.clone());
    // Before anybody takes p0 for dead.
    room.run(20);
    let (_, delivery) = room.delivery(G[2], m.id).expect("it is in a majority");
    let newest = delivery.timestamp;
    assert!(room.delivery(G[1], m.id).is_none());
    room.world.crash(G[2]);
    room.world.lose_disk(G[2]);
    room.world.restart(G[2]);
    // Its links take a moment to stand again.
    room.run(200);
    ask(&mut room, G[1], 1);
    room.run(200);
    (answer(&room, G[1]), newest)
}

#[test]
fn one_that_has_forgotten_answers_nobody() {
    assert_eq!(one_that_has_forgotten(Planted::NONE).0, None);
}

/// The schedule is one in which it matters.
#[cfg(feature = "mutants")]
#[test]
fn one_that_has_forgotten_would_answer_wrongly() {
    let bug = Planted::bug(skein_order::Mutant::PrimCastRepliesWithoutMemory);
    let (answer, newest) = one_that_has_forgotten(bug);
    assert!(answer.is_some_and(|(_, timestamp)| timestamp < newest), "{answer:?} where {newest} was delivered");
}

/// A process that is told things one by one.
struct Reader(PrimCast);

impl Reader {
    fn new(seed: u64) -> Reader {
        let mut machine = PrimCast::new(G[1], cluster(), skein_machine::Boot::First, Settings::DEFAULT, Planted::NONE);
        machine.start(Time::ZERO, seed, &mut Out::new());
        Reader(machine)
    }

    /// What it says to itself is heard at once.
    fn step(&mut self, act: impl FnOnce(&mut PrimCast, &mut Out<PrimCast>)) -> (Vec<u64>, Option<Timestamp>) {
        let mut out = Out::new();
        act(&mut self.0, &mut out);
        self.0.finish(Time::ZERO, &mut out);
        let (mut names, mut told) = (Vec::new(), None);
        let effects: Vec<Effect<PrimCast>> = out.drain().collect();
        for effect in effects {
            match effect {
                Effect::SendEarly(_, Message::Inquire { name, .. }) => names.push(name),
                Effect::Send(to, message) if to.iter().any(|to| to == G[1]) => {
                    let (more, later) = self.hears(G[1], message);
                    names.extend(more);
                    told = told.or(later);
                }
                Effect::EmitEarly(Up::ReadPoint { timestamp, .. }) => told = Some(timestamp),
                _ => {}
            }
        }
        (names, told)
    }

    fn hears(&mut self, from: ProcessId, message: Message) -> (Vec<u64>, Option<Timestamp>) {
        self.step(|machine, out| machine.on_message(Time::ZERO, from, message, out))
    }

    fn is_asked(&mut self, round: u64) -> Vec<u64> {
        self.step(|machine, out| machine.on_command(Time::ZERO, Down::ReadPoint(round), out)).0
    }

    fn hears_reply(&mut self, from: ProcessId, name: u64, clock: u64) -> Option<Timestamp> {
        let first = skein_order::parts::Epoch::first(G[0]);
        let report = Report {
            incarnation: 0,
            held: first,
            index: 0,
            promised: first,
            clock: Timestamp(clock),
            is_primary: from == G[0],
            delivered: 0,
            reading: Time::ZERO,
        };
        self.hears(from, Message::Reply { name, report }).1
    }
}

/// A reply says how far a clock was when its question came, and nothing of a later question.
#[test]
fn a_reply_counts_for_its_own_question() {
    let mut reader = Reader::new(1);
    let [first] = reader.is_asked(1)[..] else { panic!("it asks once") };
    assert_eq!(reader.hears_reply(G[0], first, 7), Some(Timestamp(7)));
    let [second] = reader.is_asked(2)[..] else { panic!("it asks once") };
    assert_eq!(reader.hears_reply(G[2], first, 7), None, "late");
    assert_eq!(reader.hears_reply(H[0].min(G[2]), second ^ 1, 7), None, "of another life");
    assert_eq!(reader.hears_reply(G[0], second, 9), Some(Timestamp(9)));
    // Another life does not ask by the same names.
    assert_ne!(Reader::new(2).is_asked(1), [first]);
}

/// The first two clocks allow no lower point than the higher one; the third shows that a quorum was never there.
#[test]
fn each_reply_may_lower_the_point() {
    let mut reader = Reader::new(1);
    let [name] = reader.is_asked(1)[..] else { panic!("it asks once") };
    assert_eq!(reader.hears_reply(G[2], name, 100), None, "the primary may be anywhere below");
    assert_eq!(reader.hears_reply(G[0], name, 7), Some(Timestamp(7)));
    let [name] = reader.is_asked(2)[..] else { panic!("it asks once") };
    assert_eq!(reader.hears_reply(G[0], name, 120), Some(Timestamp(120)), "one more who was there is a quorum");
}

/// A question that was lost, or a reply, is asked again.
#[test]
fn what_is_lost_is_asked_again() {
    let (mut room, newest) = quiet(SMALL, TO_G);
    for other in [G[0], G[2]] {
        room.world.set_cut(G[1], other, true);
    }
    ask(&mut room, G[1], 1);
    room.run(300);
    assert_eq!(answer(&room, G[1]), None);
    room.world.set_cut(G[1], G[2], false);
    room.run_until(room.world.now() + 4 * SECOND);
    assert!(answer(&room, G[1]).is_some_and(|(_, timestamp)| timestamp >= newest));
}

/// Alone in its group, a replica has nobody to ask.
#[test]
fn a_group_of_one_answers_at_once() {
    let cluster = std::sync::Arc::new(Cluster::regular(1, 1, 0).unwrap());
    let mut machine = PrimCast::new(G[0], cluster, skein_machine::Boot::First, Settings::DEFAULT, Planted::NONE);
    machine.start(Time::ZERO, 1, &mut Out::new());
    let mut out = Out::new();
    machine.on_command(Time::ZERO, Down::ReadPoint(5), &mut out);
    machine.finish(Time::ZERO, &mut out);
    let is_answer = |effect: &Effect<PrimCast>| matches!(effect, Effect::EmitEarly(Up::ReadPoint { round: 5, timestamp }) if *timestamp == Timestamp::ZERO);
    assert!(out.drain().any(|effect| is_answer(&effect)));
}
