//! A replica whose order says what a test wants: for schedules that a seed meets once in a thousand years, and for
//! bounds that it never meets.

mod parcels;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer, to_bytes};
use skein_machine::{
    Ask, Call, Cluster, Command, Delivery, Down, Effect, Freshness, Frozen, GroupId, GroupSet, Machine, MessageId,
    Multicast, Out, Position, ProcessId, Recipients, Reply, Service, Shares, Stamp, Time, Timestamp, Told, Up, Wire,
};

use super::answers::MAX_ANSWERS;
use super::exchange::{MAX_HEARD_BYTES, Share, Turn};
use super::parcel::Parcel;
use super::reads;
use super::record::State;
use super::wire::{Answer, Message, ParcelId};
use super::{Mode, Near, Replica, Settings};
use crate::Planted;
use crate::settled::{Standing, Word};

/// An order that says what it is told to say, and notes what it is asked for.
#[derive(Clone, Default)]
struct Puppet {
    says: Rc<RefCell<VecDeque<Up>>>,
    asked: Rc<RefCell<Vec<Down>>>,
    forgot: Rc<Cell<bool>>,
    is_late: Rc<Cell<bool>>,
}

#[derive(Clone, Debug)]
struct Nothing;

impl Wire for Nothing {
    fn encode(&self, _: &mut Writer<'_>) {}

    fn decode(_: &mut Reader) -> Result<Nothing, WireError> {
        Ok(Nothing)
    }
}

impl Machine for Puppet {
    type Command = Down;
    type Message = Nothing;
    type Timer = ();
    type Record = Nothing;
    type Event = Up;

    fn restore(&mut self, _: Nothing) {}

    fn start(&mut self, _: Time, _: u64, _: &mut Out<Puppet>) {}

    fn on_command(&mut self, _: Time, command: Down, _: &mut Out<Puppet>) {
        self.asked.borrow_mut().push(command);
    }

    fn on_message(&mut self, _: Time, _: ProcessId, _: Nothing, _: &mut Out<Puppet>) {}

    fn on_timer(&mut self, _: Time, (): (), _: &mut Out<Puppet>) {}

    fn finish(&mut self, _: Time, out: &mut Out<Puppet>) {
        self.says.borrow_mut().drain(..).for_each(|up| out.emit_as(!self.is_late.get(), up));
    }

    fn check(&self) {}

    fn remembers(&self) -> bool {
        !self.forgot.get()
    }
}

/// Commands that begin with an x need what others hold, and what begins with an L is answered at length. It answers
/// with the time at which it was asked.
#[derive(Default)]
struct Bag(Vec<u8>);

fn long() -> Reply {
    Reply(Bytes::from_static(&[0; MAX_ANSWERS / 2]))
}

struct Pieces(Vec<u8>);

impl Frozen for Pieces {
    fn next(&mut self, _: usize) -> Option<Bytes> {
        self.0.pop().map(|byte| Bytes::from(vec![byte]))
    }
}

impl Service for Bag {
    fn share(&self, call: &Call<'_>) -> Option<Bytes> {
        call.command.starts_with(b"x").then(Bytes::new)
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        self.0.extend_from_slice(call.command);
        if call.command.starts_with(b"L") { long() } else { Reply(call.command.clone()) }
    }

    fn read(&self, now: Timestamp, query: &Bytes) -> Reply {
        if query.starts_with(b"L") { long() } else { Reply(Bytes::copy_from_slice(&now.0.to_le_bytes())) }
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Pieces(self.0.iter().rev().copied().collect()))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), alloc::string::String> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

const OWN: GroupId = GroupId::new(0).unwrap();
const OTHER: GroupId = GroupId::new(1).unwrap();
const THIRD: GroupId = GroupId::new(2).unwrap();
/// The replicas of three groups of two: this one, and one of each other group.
const ME: ProcessId = ProcessId(0);
const FRIEND: ProcessId = ProcessId(1);
const THERE: ProcessId = ProcessId(2);
const ELSEWHERE: ProcessId = ProcessId(4);

struct Stage {
    replica: Replica<Puppet, Bag>,
    puppet: Puppet,
    next: Position,
}

type Effects = Vec<Effect<Replica<Puppet, Bag>>>;

impl Stage {
    fn new() -> Stage {
        Stage::of(Puppet::default())
    }

    fn of(puppet: Puppet) -> Stage {
        Stage::with(puppet, Mode::Linearizable, Planted::NONE)
    }

    fn with(puppet: Puppet, mode: Mode, planted: Planted) -> Stage {
        let cluster = Arc::new(Cluster::regular(3, 2, 0).unwrap());
        let near = Arc::new(Near::new(&cluster, |_, _| 0));
        let settings = Settings { mode, follows_real_time: false, keeps_records: true, tells_everything: false };
        let mut replica = Replica::new(ME, cluster, near, puppet.clone(), Bag::default(), settings, planted);
        replica.start(Time::ZERO, 1, &mut Out::new());
        Stage { replica, puppet, next: 0 }
    }

    fn step(&mut self, step: impl FnOnce(&mut Replica<Puppet, Bag>, &mut Out<Replica<Puppet, Bag>>)) -> Effects {
        let mut out = Out::new();
        step(&mut self.replica, &mut out);
        self.replica.finish(Time::ZERO, &mut out);
        self.replica.check();
        out.drain().collect()
    }

    fn says(&mut self, ups: impl IntoIterator<Item = Up>) -> Effects {
        self.puppet.says.borrow_mut().extend(ups);
        self.step(|_, _| {})
    }

    fn hears(&mut self, from: ProcessId, message: Message<Nothing>) -> Effects {
        self.step(|replica, out| replica.on_message(Time::ZERO, from, message, out))
    }

    fn asks(&mut self, ask: Ask) -> Effects {
        self.step(|replica, out| replica.on_command(Time::ZERO, ask, out))
    }

    fn ticks(&mut self) -> Effects {
        self.step(|replica, out| replica.on_timer(Time::ZERO, super::Timer::Tick, out))
    }

    /// Commands of an entry elsewhere, in the order at this timestamp.
    fn delivery(&mut self, timestamp: u64, groups: &[GroupId], commands: &[&'static [u8]]) -> Up {
        let commands = commands.iter().map(|command| Command { name: None, command: Bytes::from_static(command) });
        self.delivery_of(timestamp, groups, commands.collect())
    }

    fn delivery_of(&mut self, timestamp: u64, groups: &[GroupId], commands: Vec<Command>) -> Up {
        let parcel = Parcel { entry: THERE, answered: 0, commands };
        let message = Multicast {
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: to_bytes(&parcel),
            id: id(timestamp, groups),
        };
        self.next += 1;
        Up::Deliver(Delivery { position: self.next - 1, timestamp: Timestamp(timestamp), message })
    }

    fn delivers(&mut self, timestamp: u64, groups: &[GroupId], commands: &[&'static [u8]]) -> Effects {
        let delivery = self.delivery(timestamp, groups, commands);
        self.says([delivery, Up::SafeTime(Timestamp(timestamp))])
    }

    fn delivers_all(&mut self, timestamp: u64, groups: &[GroupId], commands: Vec<Command>) -> Effects {
        let delivery = self.delivery_of(timestamp, groups, commands);
        self.says([delivery, Up::SafeTime(Timestamp(timestamp))])
    }

    fn share(&mut self, timestamp: u64, groups: &[GroupId], nth: u32, bytes: Vec<u8>) -> Effects {
        let turn = Turn { stamp: stamp(timestamp, groups), nth };
        self.hears(THERE, Message::Share(turn, OTHER, Share { was_applied: false, bytes: bytes.into() }))
    }

    /// The checkpoint that it hands in when the order wants one, after so many turns at most.
    fn checkpoint(&mut self, turns: usize) -> Option<State> {
        for _ in 0..turns {
            let asked: Vec<Down> = self.puppet.asked.borrow_mut().drain(..).collect();
            for down in asked {
                if let Down::Checkpointed { position, bytes } = down {
                    return Some(State { position, bytes });
                }
            }
            self.says([]);
        }
        None
    }
}

fn id(timestamp: u64, groups: &[GroupId]) -> MessageId {
    let destinations: GroupSet = groups.iter().copied().collect();
    MessageId { session: skein_machine::SessionId(Ask::SESSIONS + timestamp), sequence: 1, destinations }
}

fn stamp(timestamp: u64, groups: &[GroupId]) -> Stamp {
    Stamp { timestamp: Timestamp(timestamp), id: id(timestamp, groups) }
}

/// The timestamps of the answers that leave.
fn answers(effects: &Effects) -> Vec<u64> {
    let answer = |effect: &Effect<_>| match effect {
        Effect::Send(_, Message::Answer(_, timestamp, _)) | Effect::SendEarly(_, Message::Answer(_, timestamp, _)) => {
            Some(timestamp.0)
        }
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn standing(group: GroupId, delivered: u64, shares: &[(GroupId, u64)]) -> Message<Nothing> {
    let shares = shares.iter().map(|(group, first)| (*group, Timestamp(*first))).collect();
    Message::Standing(Word(vec![(group, Standing { delivered: Timestamp(delivered), shares })]))
}

#[test]
fn a_state_of_one_who_was_not_so_far_makes_no_answer_leave_too_early() {
    let mut ahead = Stage::new();
    ahead.delivers(5, &[OWN, OTHER], &[b"x"]);
    ahead.share(5, &[OWN, OTHER], 0, Vec::new());
    ahead.says([Up::WantCheckpoint]);
    let state = ahead.checkpoint(5).unwrap();
    assert_eq!(state.position, 1);

    // This one has more, and could apply none of it.
    let mut behind = Stage::new();
    behind.delivers(5, &[OWN, OTHER], &[b"x"]);
    behind.delivers(7, &[OWN, THIRD], &[b"a"]);
    behind.delivers(9, &[OWN], &[b"b"]);
    assert!(behind.replica.applied.is_none());
    let mut left = behind.hears(FRIEND, Message::State(state));
    assert_eq!(behind.replica.position, 3);
    left.extend(behind.hears(THERE, standing(OTHER, 20, &[])));
    left.extend(behind.says([Up::SafeTime(Timestamp(20))]));
    assert_eq!(answers(&left), [7], "what is told of 9 waits for what was delivered at 7 to come to the third group");
    let left = behind.hears(ELSEWHERE, standing(THIRD, 20, &[]));
    assert_eq!(answers(&left), [9]);
}

/// What follows from what waits for a disk waits for it too, from then on.
#[test]
fn answers_are_as_early_as_what_the_order_tells() {
    let mut stage = Stage::with(Puppet::default(), Mode::Ordered, Planted::NONE);
    let is_early = |effects: &Effects| {
        let mut answers = effects.iter().filter_map(|effect| match effect {
            Effect::Send(_, Message::Answer(..)) => Some(false),
            Effect::SendEarly(_, Message::Answer(..)) => Some(true),
            _ => None,
        });
        (answers.next(), answers.next())
    };
    assert_eq!(is_early(&stage.delivers(1, &[OWN], &[b"a"])), (Some(true), None));
    stage.puppet.is_late.set(true);
    assert_eq!(is_early(&stage.delivers(2, &[OWN], &[b"b"])), (Some(false), None));
    stage.puppet.is_late.set(false);
    assert_eq!(is_early(&stage.delivers(3, &[OWN], &[b"c"])), (Some(false), None));
}

#[test]
fn an_answer_that_is_asked_for_again_waits_as_it_did() {
    let mut stage = Stage::new();
    stage.delivers(5, &[OWN, OTHER], &[b"a"]);
    stage.delivers(7, &[OWN], &[b"b"]);
    let MessageId { session, sequence, .. } = id(7, &[OWN]);
    let again = || Message::AskAnswer(ParcelId { session, sequence }, Timestamp::ZERO);
    assert!(answers(&stage.hears(THERE, again())).is_empty());
    let left = answers(&stage.hears(THERE, standing(OTHER, 9, &[])));
    assert_eq!(left, [7, 7], "the one that was asked for, and the one before");
    assert_eq!(answers(&stage.hears(THERE, again())), [7]);
}

#[test]
fn the_order_is_asked_at_once_how_far_it_is_when_an_answer_waits_for_that_alone() {
    let mut stage = Stage::new();
    let shared = stage.delivery(5, &[OWN, OTHER], &[b"a"]);
    let alone = stage.delivery(7, &[OWN], &[b"b"]);
    // Nobody else asks for anything, and an order says how far it is when somebody wants to know.
    stage.says([shared, alone]);
    let raised = |down: &Down| matches!(down, Down::RaiseClock(Timestamp(5)));
    assert_eq!(stage.puppet.asked.borrow().iter().filter(|down| raised(down)).count(), 1);
    assert!(answers(&stage.hears(THERE, standing(OTHER, 9, &[]))).is_empty());
    assert_eq!(answers(&stage.says([Up::SafeTime(Timestamp(5))])), [7]);
    assert_eq!(stage.puppet.asked.borrow().iter().filter(|down| raised(down)).count(), 1, "it was asked once");
}

/// Clocks err by ten, and it is zero o'clock.
fn by_clocks(planted: Planted) -> Stage {
    Stage::with(Puppet::default(), Mode::LinearizableClock(Duration::from_nanos(10)), planted)
}

#[test]
fn by_clocks_an_answer_waits_for_what_the_order_calls_past_and_asks_nobody() {
    let mut stage = by_clocks(Planted::NONE);
    let effects = stage.delivers(5, &[OWN, OTHER], &[b"a"]);
    assert!(answers(&effects).is_empty());
    let asks = |effect: &Effect<_>| matches!(effect, Effect::Send(_, Message::AskStanding(_)));
    assert!(!effects.iter().chain(&stage.ticks()).any(asks));
    assert!(answers(&stage.hears(THERE, standing(OTHER, 20, &[]))).is_empty(), "that it is settled does not count");
    assert_eq!(answers(&stage.says([Up::Settled(stamp(5, &[OWN, OTHER]))])), [5]);
}

/// What is over anywhere may have a timestamp of ten, and of what comes before it some may be on its way here. The own
/// group has come to three. Answers at which time the world is shown.
fn asked_at_zero(planted: Planted) -> Option<u64> {
    let mut stage = by_clocks(planted);
    stage.asks(Ask::Read { token: 0, freshness: Freshness::Linearizable, queries: vec![Bytes::new()] });
    let mut effects = stage.says([Up::ReadPoint { round: 0, timestamp: Timestamp(3) }]);
    for safe in 3..=10 {
        effects.extend(stage.says([Up::SafeTime(Timestamp(safe))]));
    }
    effects.iter().find_map(|effect| match effect {
        Effect::Emit(Told::Read { timestamp, .. }) | Effect::EmitEarly(Told::Read { timestamp, .. }) => {
            Some(timestamp.0)
        }
        _ => None,
    })
}

#[test]
fn by_clocks_a_question_sees_all_that_may_be_over_elsewhere() {
    assert_eq!(asked_at_zero(Planted::NONE), Some(10));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_reads_in_the_past_sees_only_what_its_group_knew() {
    assert_eq!(asked_at_zero(Planted::bug(crate::Mutant::ReplicaReadsInThePast)), Some(3));
}

#[test]
fn a_checkpoint_that_was_overtaken_is_written_again() {
    let mut stage = Stage::new();
    stage.delivers(1, &[OWN], &[b"a"]);
    stage.says([Up::WantCheckpoint]);
    let state = stage.checkpoint(5).unwrap();
    stage.next = 5;
    // The puppet's pieces are so short that one turn writes nothing but the first of them.
    stage.replica.snapshot = Some(super::Snapshot::begin(
        1,
        &super::snapshot::Head {
            applied: stage.replica.applied,
            settled: stage.replica.settled.clone(),
            sessions: super::Sessions::default(),
            told: Vec::new(),
        },
        Box::new(Pieces(vec![0; 1 << 20])),
    ));
    stage.says([Up::Install { position: 5, bytes: state.bytes }]);
    assert_eq!(stage.checkpoint(5).expect("the order does not ask twice").position, 5);
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    let mut stage = Stage::new();
    stage.delivers(5, &[OWN, OTHER], &[b"a"]);
    let ask = |token| Ask::Read { token, freshness: Freshness::Linearizable, queries: Vec::new() };
    stage.asks(ask(0));
    stage.says([Up::ReadPoint { round: 0, timestamp: Timestamp(5) }]);
    assert_eq!(stage.replica.held.count(), 1, "what it shows is not settled");
    stage.asks(Ask::Forget(0));
    assert_eq!(stage.replica.held.count(), 0);
    for token in 1..=reads::MAX_WAITING as u64 {
        let effects = stage.asks(ask(token));
        assert!(effects.iter().all(|effect| !effect.tells()));
        stage.says([Up::ReadPoint { round: token, timestamp: Timestamp(5) }]);
    }
    let effects = stage.asks(ask(0));
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Emit(Told::Failed { certain: true, .. }) | Effect::EmitEarly(Told::Failed { certain: true, .. })
    )));
}

#[test]
fn who_sees_half_of_a_parcel_sees_it_at_its_time() {
    let mut stage = Stage::new();
    stage.delivers(3, &[OWN], &[b"a"]);
    stage.delivers(9, &[OWN, OTHER], &[b"b", b"x"]);
    assert_eq!(stage.replica.service().0, b"ab");
    let ask = Ask::Read { token: 1, freshness: Freshness::Causal(Timestamp(5)), queries: vec![Bytes::new()] };
    let effects = stage.asks(ask);
    let seen = effects.iter().find_map(|effect| match effect {
        Effect::Emit(Told::Read { timestamp, .. }) | Effect::EmitEarly(Told::Read { timestamp, .. }) => {
            Some(*timestamp)
        }
        _ => None,
    });
    assert_eq!(seen, Some(Timestamp(9)));
}

#[test]
fn what_is_told_to_one_who_is_far_behind_has_a_bound() {
    let mut stage = Stage::new();
    let groups = [OWN, OTHER];
    let third = MAX_HEARD_BYTES / 3 + 1;
    for timestamp in 11..14 {
        stage.share(timestamp, &groups, 0, vec![0; third]);
    }
    let full = stage.replica.exchange.counts();
    assert!(stage.share(15, &groups, 0, Vec::new()).is_empty());
    assert_eq!(stage.replica.exchange.counts(), full);
    stage.delivers(10, &groups, &[b"x"]);
    let effects = stage.share(10, &groups, 0, Vec::new());
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Persist(_))), "this one it waits for");
    assert_eq!(stage.replica.applied, Some(stamp(10, &groups)));
}

#[test]
fn whoever_forgot_a_whole_stream_says_so_once_it_is_past_it() {
    let mut stage = Stage::new();
    stage.delivers(9, &[OWN], &[b"a"]);
    let parcel = ParcelId { session: skein_machine::SessionId(Ask::SESSIONS + 77), sequence: 1 };
    assert!(answers(&stage.hears(THERE, Message::AskAnswer(parcel, Timestamp::ZERO))).is_empty());
    assert!(answers(&stage.hears(THERE, Message::AskAnswer(parcel, Timestamp(9)))).is_empty(), "it may come yet");
    let effects = stage.hears(THERE, Message::AskAnswer(parcel, Timestamp(8)));
    let is_lost = |effect: &Effect<_>| matches!(effect, Effect::Send(_, Message::Answer(_, _, Answer(None))));
    assert!(effects.iter().any(is_lost));
}

#[test]
fn one_who_lost_its_memory_has_it_again_when_it_has_applied_everything() {
    let puppet = Puppet::default();
    puppet.forgot.set(true);
    let mut stage = Stage::of(puppet);
    assert!(!stage.replica.remembers());
    stage.puppet.forgot.set(false);
    stage.delivers(5, &[OWN, OTHER], &[b"x"]);
    stage.says([Up::ReadPoint { round: 0, timestamp: Timestamp(5) }]);
    assert!(!stage.replica.remembers(), "nobody has told it yet what it needs to apply it");
    stage.share(5, &[OWN, OTHER], 0, Vec::new());
    assert!(stage.replica.remembers());
}

#[test]
fn who_waits_for_a_share_asks_everybody_soon_and_then_seldom() {
    let mut stage = Stage::new();
    stage.delivers(5, &[OWN, OTHER], &[b"x"]);
    let mut asked = Vec::new();
    for tick in 0..1000 {
        for effect in stage.ticks() {
            if let Effect::Send(Recipients { .. }, Message::AskShare(..)) = &effect {
                asked.push(tick);
            }
        }
    }
    assert!(asked[3] < 15, "{asked:?}");
    assert!((10..40).contains(&asked.len()), "{asked:?}");
}

/// It lost its memory, and what other partitions told with it. They have forgotten; a friend has not.
#[test]
fn what_other_partitions_told_comes_back_as_fast_as_it_is_asked_for() {
    let groups = [OWN, OTHER];
    let (mut friend, mut behind) = (Stage::new(), Stage::new());
    for timestamp in 1..=200 {
        friend.delivers(timestamp, &groups, &[b"x", b"x"]);
        behind.delivers(timestamp, &groups, &[b"x", b"x"]);
        (0..2).for_each(|nth| _ = friend.share(timestamp, &groups, nth, Vec::new()));
    }
    assert_eq!((friend.replica.position, behind.replica.position), (200, 0));
    let mut ticks = 0;
    while behind.replica.position < 200 {
        ticks += 1;
        assert!(ticks < 50, "after a second {} are applied", behind.replica.position);
        for effect in behind.ticks() {
            let Effect::Send(to, question @ Message::AskShare(..)) = effect else { continue };
            if !to.iter().any(|to| to == FRIEND) {
                continue;
            }
            for told in friend.hears(ME, question) {
                if let Effect::Send(_, share @ Message::Share(..)) = told {
                    behind.hears(FRIEND, share);
                }
            }
        }
    }
}

/// Commands are nobody's affair but those of whoever asked, unless somebody wants to hear of all.
#[test]
fn whoever_follows_hears_of_every_delivery_until_it_does_not() {
    let mut stage = Stage::new();
    let heard = |stage: &mut Stage, timestamp| {
        let effects = stage.delivers(timestamp, &[OWN], &[b"a"]);
        let told = |effect: &Effect<_>| {
            matches!(effect, Effect::Emit(Told::Up(Up::Deliver(_))) | Effect::EmitEarly(Told::Up(Up::Deliver(_))))
        };
        effects.iter().filter(|effect| told(effect)).count()
    };
    assert_eq!(heard(&mut stage, 1), 0);
    stage.asks(Ask::Follow(true));
    assert_eq!([heard(&mut stage, 2), heard(&mut stage, 3)], [1, 1]);
    stage.asks(Ask::Follow(false));
    assert_eq!(heard(&mut stage, 4), 0);
}

#[test]
fn commands_for_nobody_are_refused() {
    let mut stage = Stage::new();
    for groups in [GroupSet::EMPTY, GroupSet::first(64)] {
        let effects = stage.asks(Ask::Calls { token: 1, groups, floor: Timestamp::ZERO, commands: Vec::new() });
        let refused = |effect: &Effect<_>| {
            matches!(
                effect,
                Effect::Emit(Told::Failed { token: 1, certain: true, .. })
                    | Effect::EmitEarly(Told::Failed { token: 1, certain: true, .. })
            )
        };
        assert!(effects.iter().any(refused));
    }
}
