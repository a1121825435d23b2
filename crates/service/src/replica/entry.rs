//! [`Entry`]: commands on their way into the order, and their answers on the
//! way back. What comes up for the same partitions while earlier parcels are on
//! their way is sent together: alone a command leaves at once, in a crowd it
//! shares a message with hundreds. No command waits long for company: after a
//! moment it goes, however many are on their way.
//!
//! Nothing is applied here, and nothing outlives the process: commands of an
//! entry that dies happen or do not, and whoever asked has to ask somebody else.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use skein_machine::{
    Ask, Command, GroupId, GroupSet, MessageId, Multicast, ProcessId, Random, Reply, SessionId, Timestamp, Told,
};

use super::parcel::{MAX_COMMANDS, Parcel, is_too_long, length_of};
use super::sessions::Outcome;
use super::wire::ParcelId;

/// So many parcels to the same partitions go one behind the other without a thought. One would leave the way empty
/// while its answer comes back.
const UNHURRIED: usize = 2;

/// More are not on their way to the same partitions, however long that takes.
const MAX_OPEN: usize = 256;

/// A parcel with more bytes of commands goes as it is. Long ones make those behind them wait.
const FULL: usize = 256 << 10;

/// Commands that wait for their turn, in bytes, above which no more are taken.
const MAX_WAITING: usize = 64 << 20;

/// Ticks after which answers that did not come are asked for. Doubled each time, up to a point.
const PATIENCE: u32 = 8;

/// Sessions of one process lie beside each other, so many. Then it draws others: none may come twice.
const STREAM_BITS: u32 = 16;

/// Sets of partitions that have a stream each. There are far more sets than anybody can remember, and every turn looks
/// at all streams. One that is idle makes room for a new one.
const MAX_STREAMS: usize = 1 << 10;

/// See above.
#[derive(Clone, Debug, Hash)]
pub(super) struct Entry {
    me: ProcessId,
    random: Random,
    /// The first of the sessions that were drawn last, and how many of them are used.
    first_session: u64,
    sessions: u64,
    /// Counts what is asked for.
    asked: u64,
    streams: BTreeMap<GroupSet, Stream>,
    waiting_bytes: usize,
}

#[derive(Clone, Debug, Hash)]
struct Stream {
    session: SessionId,
    /// When something was last asked for that goes there.
    used: u64,
    next: u64,
    waiting: VecDeque<Waiting>,
    open: BTreeMap<u64, Open>,
    /// From this number on, messages were turned away.
    turned_away: Option<u64>,
}

#[derive(Clone, Debug, Hash)]
struct Waiting {
    token: u64,
    floor: Timestamp,
    commands: Vec<Command>,
}

#[derive(Clone, Debug, Hash)]
struct Open {
    message: Multicast,
    /// Who asked for how many commands, in order; nobody any more for some.
    askers: Vec<(Option<u64>, usize)>,
    missing: GroupSet,
    answers: Vec<(GroupId, Vec<Reply>)>,
    /// It stands at or below this timestamp, if that is known.
    done: Timestamp,
    age: u32,
    asks: u32,
}

/// An answer that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) parcel: ParcelId,
    pub(super) group: GroupId,
    /// What was asked for stands at or below this timestamp, if that is known.
    pub(super) done: Timestamp,
    /// How often it was asked for.
    pub(super) asks: u32,
}

impl Entry {
    pub(super) fn new(me: ProcessId, random: &mut Random) -> Entry {
        let (mut random, streams) = (random.fork(0), BTreeMap::new());
        let first_session = Entry::draw_sessions(&mut random);
        Entry { me, random, first_session, sessions: 0, asked: 0, streams, waiting_bytes: 0 }
    }

    /// Takes commands in, or says why not.
    pub(super) fn ask(
        &mut self,
        token: u64,
        groups: GroupSet,
        floor: Timestamp,
        commands: Vec<Command>,
    ) -> Result<(), &'static str> {
        let bytes: usize = commands.iter().map(length_of).sum();
        if commands.len() > MAX_COMMANDS {
            return Err("these are too many commands at once");
        }
        if commands.iter().any(is_too_long) || bytes > skein_machine::MAX_PAYLOAD - FULL {
            return Err("the command is too long");
        }
        if self.waiting_bytes + bytes > MAX_WAITING {
            return Err("too many commands wait here already: try again later");
        }
        if !self.streams.contains_key(&groups) {
            self.make_room()?;
            let session = self.new_session();
            self.streams.insert(groups, Stream::new(session));
        }
        self.asked += 1;
        self.waiting_bytes += bytes;
        let stream = self.streams.get_mut(&groups).expect("there is one by now");
        stream.used = self.asked;
        stream.waiting.push_back(Waiting { token, floor, commands });
        Ok(())
    }

    /// Another stream needs a place. The one that was idle for longest goes: it comes again under another name.
    fn make_room(&mut self) -> Result<(), &'static str> {
        if self.streams.len() >= MAX_STREAMS {
            let idle = self.streams.iter().filter(|(_, stream)| stream.is_idle());
            let oldest = idle.min_by_key(|(_, stream)| stream.used).map(|(groups, _)| *groups);
            self.streams.remove(&oldest.ok_or("commands for too many sets of partitions wait here: try again later")?);
        }
        Ok(())
    }

    fn new_session(&mut self) -> SessionId {
        if self.sessions == 1 << STREAM_BITS {
            (self.first_session, self.sessions) = (Entry::draw_sessions(&mut self.random), 0);
        }
        self.sessions += 1;
        SessionId(self.first_session + self.sessions - 1)
    }

    fn draw_sessions(random: &mut Random) -> u64 {
        (random.word() | Ask::SESSIONS) >> STREAM_BITS << STREAM_BITS
    }

    /// Makes parcels of what waits; all of it if there is a hurry. Answers whether something is left that could go in a
    /// hurry.
    pub(super) fn pack(&mut self, expiry: Timestamp, is_hurry: bool, send: &mut Vec<Multicast>) -> bool {
        let mut is_left = false;
        for (groups, stream) in &mut self.streams {
            let most = if is_hurry { MAX_OPEN } else { UNHURRIED };
            while !stream.waiting.is_empty() && stream.open.len() < most && stream.turned_away.is_none() {
                let message = stream.pack(self.me, *groups, expiry, &mut self.waiting_bytes);
                send.push(message);
            }
            // What cannot leave in a hurry either leaves with the answer that makes room.
            let may_leave = stream.open.len() < MAX_OPEN && stream.turned_away.is_none();
            is_left |= !stream.waiting.is_empty() && may_leave;
        }
        is_left
    }

    /// A message was not taken. It comes again with the next tick, and what follows it too.
    pub(super) fn turned_away(&mut self, id: MessageId) {
        if let Some(stream) = self.streams.get_mut(&id.destinations)
            && stream.session == id.session
            && stream.open.contains_key(&id.sequence)
        {
            stream.turned_away = Some(stream.turned_away.map_or(id.sequence, |first| first.min(id.sequence)));
        }
    }

    /// A session of this entry is over.
    pub(super) fn expired(&mut self, id: MessageId, tell: &mut Vec<Told>) {
        if self.streams.get(&id.destinations).is_none_or(|stream| stream.session != id.session) {
            return;
        }
        let session = self.new_session();
        let stream = self.streams.get_mut(&id.destinations).expect("it was just there");
        let open = core::mem::take(&mut stream.open);
        stream.turned_away = None;
        (stream.session, stream.next) = (session, 1);
        for open in open.into_values() {
            open.fail(false, "it took too long", tell);
        }
    }

    /// A parcel has its place in the order, not above this one: whoever is past it and does not know it has forgotten it.
    pub(super) fn done(&mut self, id: MessageId, timestamp: Timestamp) {
        if let Some(stream) = self.streams.get_mut(&id.destinations)
            && stream.session == id.session
            && let Some(open) = stream.open.get_mut(&id.sequence)
        {
            open.done = timestamp;
        }
    }

    /// A partition says what became of a parcel.
    pub(super) fn answered(
        &mut self,
        parcel: ParcelId,
        group: GroupId,
        timestamp: Timestamp,
        outcome: Option<Outcome>,
        tell: &mut Vec<Told>,
    ) {
        let Some(stream) = self.streams.values_mut().find(|stream| stream.session == parcel.session) else { return };
        let Some(open) = stream.open.get_mut(&parcel.sequence) else { return };
        if !open.missing.contains(group) {
            return;
        }
        match outcome {
            Some(Outcome::Replies(replies)) => {
                open.missing.remove(group);
                open.done = timestamp;
                let place = open.answers.partition_point(|(other, _)| *other < group);
                open.answers.insert(place, (group, replies));
                if !open.missing.is_empty() {
                    return;
                }
                let open = stream.open.remove(&parcel.sequence).expect("it is open");
                open.tell(timestamp, tell);
            }
            Some(Outcome::Void) => {
                let open = stream.open.remove(&parcel.sequence).expect("it is open");
                open.fail(true, "it took too long, and was not done", tell);
            }
            None => {
                let open = stream.open.remove(&parcel.sequence).expect("it is open");
                open.fail(false, "its answer is lost", tell);
            }
        }
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, token: u64) {
        for stream in self.streams.values_mut() {
            let open = stream.open.values_mut().flat_map(|open| &mut open.askers);
            for asker in open.filter(|(asker, _)| *asker == Some(token)) {
                asker.0 = None;
            }
            let waiting = &mut self.waiting_bytes;
            stream.waiting.retain(|commands| {
                let is_kept = commands.token != token;
                if !is_kept {
                    *waiting -= commands.commands.iter().map(length_of).sum::<usize>();
                }
                is_kept
            });
        }
    }

    /// A moment has passed: what to send again, and what to ask for.
    pub(super) fn tick(&mut self, send: &mut Vec<Multicast>) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for stream in self.streams.values_mut() {
            if let Some(first) = stream.turned_away.take() {
                send.extend(stream.open.range(first..).map(|(_, open)| open.message.clone()));
            }
            for (sequence, open) in &mut stream.open {
                open.age += 1;
                if open.age < PATIENCE << open.asks.min(4) {
                    continue;
                }
                open.age = 0;
                let parcel = ParcelId { session: stream.session, sequence: *sequence };
                overdue.extend(open.missing.iter().map(|group| Overdue {
                    parcel,
                    group,
                    done: open.done,
                    asks: open.asks,
                }));
                open.asks += 1;
            }
        }
        overdue
    }

    /// Whether something that waits could leave.
    pub(super) fn has_room(&self) -> bool {
        self.streams
            .values()
            .any(|stream| !stream.waiting.is_empty() && stream.open.len() < UNHURRIED && stream.turned_away.is_none())
    }

    /// Whether there is anything to look after.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.values().all(Stream::is_idle)
    }

    /// How many parcels are on their way, and how many bytes of commands wait.
    pub(super) fn counts(&self) -> [usize; 2] {
        [self.streams.values().map(|stream| stream.open.len()).sum(), self.waiting_bytes]
    }
}

impl Stream {
    fn new(session: SessionId) -> Stream {
        Stream { session, used: 0, next: 1, waiting: VecDeque::new(), open: BTreeMap::new(), turned_away: None }
    }

    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    /// A parcel of what has waited longest.
    fn pack(&mut self, me: ProcessId, groups: GroupSet, expiry: Timestamp, waiting_bytes: &mut usize) -> Multicast {
        let (mut commands, mut askers, mut floor) = (Vec::new(), Vec::new(), Timestamp::ZERO);
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            let length: usize = next.commands.iter().map(length_of).sum();
            let is_full = bytes + length > FULL || commands.len() + next.commands.len() > MAX_COMMANDS;
            if is_full && !commands.is_empty() {
                break;
            }
            let next = self.waiting.pop_front().expect("there is a front");
            bytes += length;
            *waiting_bytes -= length;
            floor = floor.max(next.floor);
            askers.push((Some(next.token), next.commands.len()));
            commands.extend(next.commands);
        }
        let answered = self.open.first_key_value().map_or(self.next, |(first, _)| *first);
        let sequence = self.next;
        self.next += 1;
        let id = MessageId { session: self.session, sequence, destinations: groups };
        let message = Multicast { id, floor, expiry, payload: Parcel { entry: me, answered, commands }.to_bytes() };
        let (answers, done) = (Vec::new(), Timestamp::ZERO);
        let open = Open { message: message.clone(), askers, missing: groups, answers, done, age: 0, asks: 0 };
        self.open.insert(sequence, open);
        message
    }
}

impl Open {
    /// Gives everybody what is theirs.
    fn tell(self, timestamp: Timestamp, tell: &mut Vec<Told>) {
        let mut answers: Vec<_> =
            self.answers.into_iter().map(|(group, replies)| (group, replies.into_iter())).collect();
        for (asker, count) in self.askers {
            let replies = answers.iter_mut().map(|(group, replies)| (*group, replies.by_ref().take(count).collect()));
            let replies = replies.collect();
            if let Some(token) = asker {
                tell.push(Told::Answers { token, timestamp, replies });
            }
        }
    }

    fn fail(self, certain: bool, why: &'static str, tell: &mut Vec<Told>) {
        tell.extend(self.askers.into_iter().filter_map(|(asker, _)| asker).map(|token| Told::Failed {
            token,
            certain,
            why,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use bytes::Bytes;

    const FIRST: GroupId = GroupId::new(0).unwrap();
    const SECOND: GroupId = GroupId::new(1).unwrap();

    fn entry() -> Entry {
        Entry::new(ProcessId(1), &mut Random::new(7))
    }

    fn ask(entry: &mut Entry, token: u64, groups: u64, length: usize) {
        let command = Command { name: None, command: Bytes::from(vec![b'x'; length]) };
        entry.ask(token, GroupSet::from_bits(groups), Timestamp(token), vec![command]).unwrap();
    }

    fn pack(entry: &mut Entry, is_hurry: bool) -> (Vec<MessageId>, bool) {
        let mut send = Vec::new();
        let is_left = entry.pack(Timestamp::MAX, is_hurry, &mut send);
        (send.into_iter().map(|message| message.id).collect(), is_left)
    }

    fn parcel(id: MessageId) -> ParcelId {
        ParcelId { session: id.session, sequence: id.sequence }
    }

    fn replies(words: &[&'static str]) -> Option<Outcome> {
        Some(Outcome::Replies(words.iter().map(|word| Reply(Bytes::from_static(word.as_bytes()))).collect()))
    }

    #[test]
    fn in_a_crowd_commands_share_a_message() {
        let mut entry = entry();
        let mut sent = Vec::new();
        for token in 0..2 {
            ask(&mut entry, token, 0b1, 3);
            sent.extend(pack(&mut entry, false).0);
        }
        for token in 2..5 {
            ask(&mut entry, token, 0b1, 3);
        }
        ask(&mut entry, 5, 0b10, 3);
        let (others, is_left) = pack(&mut entry, false);
        assert_eq!((sent.len(), others.len(), is_left), (2, 1, true), "only the way to the other group is free");
        let mut told = Vec::new();
        entry.answered(parcel(sent[0]), FIRST, Timestamp(9), replies(&["a"]), &mut told);
        assert!(
            matches!(&told[..], [Told::Answers { token: 0, timestamp: Timestamp(9), replies }] if replies.len() == 1)
        );
        let (together, is_left) = pack(&mut entry, false);
        assert_eq!((together.len(), is_left, entry.waiting_bytes), (1, false, 0));
        told.clear();
        entry.answered(parcel(together[0]), FIRST, Timestamp(9), replies(&["c", "d", "e"]), &mut told);
        assert_eq!(told.len(), 3);
        let last = Told::Answers {
            token: 4,
            timestamp: Timestamp(9),
            replies: vec![(FIRST, vec![Reply(Bytes::from_static(b"e"))])],
        };
        assert_eq!(told[2], last);
    }

    #[test]
    fn no_more_sets_of_partitions_are_remembered_than_fit() {
        let mut entry = entry();
        ask(&mut entry, 0, 0b1, 3);
        let (busy, _) = pack(&mut entry, false);
        let mut seen = alloc::collections::BTreeSet::from([busy[0].session]);
        // Those that lie beside each other are nearly used up.
        entry.sessions = (1 << STREAM_BITS) - 20;
        for groups in 2..MAX_STREAMS as u64 + 10 {
            ask(&mut entry, groups, groups, 3);
            let (sent, _) = pack(&mut entry, false);
            assert!(seen.insert(sent[0].session), "{} comes twice", sent[0].session);
            for group in sent[0].destinations.iter() {
                entry.answered(parcel(sent[0]), group, Timestamp(9), replies(&["a"]), &mut Vec::new());
            }
        }
        assert_eq!(entry.streams.len(), MAX_STREAMS);
        assert_eq!(entry.streams[&busy[0].destinations].session, busy[0].session, "it is not idle");

        let mut entry = self::entry();
        for groups in 1..=MAX_STREAMS as u64 {
            ask(&mut entry, groups, groups, 3);
        }
        let another = GroupSet::from_bits(1 << 20);
        assert!(entry.ask(0, another, Timestamp::ZERO, Vec::new()).is_err(), "nobody is idle");
        entry.forget(7);
        assert!(entry.ask(0, another, Timestamp::ZERO, Vec::new()).is_ok());
    }

    #[test]
    fn nobody_hurries_what_cannot_leave() {
        let mut entry = entry();
        for token in 0..2 + MAX_OPEN as u64 {
            ask(&mut entry, token, 0b1, FULL / 2);
        }
        assert!(pack(&mut entry, false).1, "after a moment more may leave");
        assert!(!pack(&mut entry, true).1, "no more than that, whatever the hurry");
        assert_eq!(entry.counts()[0], MAX_OPEN);
    }

    #[test]
    fn nobody_waits_long_for_company() {
        let mut entry = entry();
        for token in 0..4 {
            ask(&mut entry, token, 0b1, 3);
            pack(&mut entry, false);
        }
        assert_eq!(entry.counts()[0], UNHURRIED);
        assert_eq!(pack(&mut entry, true), (vec![MessageId { sequence: 3, ..pack_id(&entry) }], false));
    }

    fn pack_id(entry: &Entry) -> MessageId {
        entry.streams.values().next().unwrap().open.values().next().unwrap().message.id
    }

    #[test]
    fn an_answer_is_one_when_every_partition_has_spoken() {
        let mut entry = entry();
        ask(&mut entry, 1, 0b11, 3);
        let (sent, _) = pack(&mut entry, false);
        let mut told = Vec::new();
        entry.answered(parcel(sent[0]), SECOND, Timestamp(9), replies(&["b"]), &mut told);
        entry.answered(parcel(sent[0]), SECOND, Timestamp(9), replies(&["b"]), &mut told);
        assert!(told.is_empty());
        entry.answered(parcel(sent[0]), FIRST, Timestamp(9), replies(&["a"]), &mut told);
        let Told::Answers { replies, .. } = &told[0] else { panic!("{told:?}") };
        assert_eq!(replies.iter().map(|(group, _)| *group).collect::<Vec<_>>(), [FIRST, SECOND]);
        assert!(entry.is_idle());
    }

    #[test]
    fn what_is_lost_is_told_so() {
        let mut entry = entry();
        let mut told = Vec::new();
        for (token, outcome) in [(1, None), (2, Some(Outcome::Void))] {
            ask(&mut entry, token, 0b1, 3);
            let (sent, _) = pack(&mut entry, false);
            entry.answered(parcel(sent[0]), FIRST, Timestamp(9), outcome, &mut told);
        }
        ask(&mut entry, 3, 0b1, 3);
        let (sent, _) = pack(&mut entry, false);
        entry.expired(sent[0], &mut told);
        let certain: Vec<bool> = told.iter().map(|told| matches!(told, Told::Failed { certain: true, .. })).collect();
        assert_eq!(certain, [false, true, false]);
        ask(&mut entry, 4, 0b1, 3);
        assert_ne!(pack(&mut entry, false).0[0].session, sent[0].session, "a session that is over is not used again");
    }

    #[test]
    fn what_was_turned_away_comes_again_with_all_that_follows() {
        let mut entry = entry();
        let mut sent = Vec::new();
        for token in 0..3 {
            ask(&mut entry, token, 0b1, 3);
            sent.extend(pack(&mut entry, true).0);
        }
        entry.turned_away(sent[1]);
        ask(&mut entry, 3, 0b1, 3);
        assert_eq!(pack(&mut entry, true), (vec![], false));
        let mut again = Vec::new();
        entry.tick(&mut again);
        assert_eq!(again.iter().map(|message| message.id).collect::<Vec<_>>(), sent[1..]);
        assert_eq!(pack(&mut entry, true).0.len(), 1);
    }

    #[test]
    fn late_answers_are_asked_for_less_and_less_often() {
        let mut entry = entry();
        ask(&mut entry, 1, 0b11, 3);
        pack(&mut entry, false);
        let mut asked = Vec::new();
        for tick in 0..200 {
            let overdue = entry.tick(&mut Vec::new());
            asked.extend(overdue.iter().map(|overdue| (tick, overdue.group, overdue.asks)));
        }
        let ticks: Vec<_> = asked.iter().filter(|(_, group, _)| *group == FIRST).map(|(tick, ..)| *tick).collect();
        assert_eq!(ticks, [7, 23, 55, 119]);
    }

    #[test]
    fn everything_has_a_bound() {
        let mut entry = entry();
        let groups = GroupSet::from_bits(1);
        let long = Command { name: None, command: Bytes::from(vec![0; skein_machine::MAX_PAYLOAD]) };
        assert!(entry.ask(1, groups, Timestamp::ZERO, vec![long]).is_err());
        let short = Command { name: None, command: Bytes::new() };
        assert!(entry.ask(1, groups, Timestamp::ZERO, vec![short; MAX_COMMANDS + 1]).is_err());
        let mut token = 0;
        let megabyte = Command { name: None, command: Bytes::from(vec![0; 1 << 20]) };
        while entry.ask(token, groups, Timestamp::ZERO, vec![megabyte.clone()]).is_ok() {
            token += 1;
        }
        assert_eq!(token, 63);
        entry.forget(5);
        assert!(entry.ask(token, groups, Timestamp::ZERO, vec![megabyte]).is_ok());
    }
}
