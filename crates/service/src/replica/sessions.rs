//! [`Sessions`]: what has been answered, so that nothing is applied twice and
//! an answer that was lost can be given again. It is part of the state of a
//! partition: every replica keeps and forgets the same, in the order of what it
//! applies, and a checkpoint holds it.
//!
//! An entry numbers its parcels in streams, and says with each what it has
//! heard the answers of; so little is kept. A client may name its commands, and
//! then one that it asks for again, through whichever entry, is answered from
//! here for as long as its name is remembered.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{MAX_PAYLOAD, Reply, SessionId, Timestamp, Wire};

use super::parcel::MAX_COMMANDS;

/// Streams that are remembered. An entry has one for every set of partitions that it has used in this life.
const MAX_STREAMS: usize = 1 << 12;

/// Answers to parcels that were given and of which no entry has said that it has them, in bytes. The oldest go first,
/// and whoever asks for them hears that they are lost.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What an answer takes besides its replies, about: many short ones are much, too.
const OVERHEAD: usize = 128;

/// Sessions of clients whose last command is remembered,
const MAX_NAMES: usize = 1 << 16;

/// and how long the answers to those may be together.
const MAX_NAMED_BYTES: usize = 64 << 20;

/// What becomes of the commands of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// One reply for each.
    Replies(Vec<Reply>),
    /// It came after its expiry, and nothing was done.
    Void,
}

/// What is known of a parcel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Its outcome, and its place.
    Outcome(Timestamp, &'a Outcome),
    /// It was answered, and the answer is forgotten.
    Forgotten,
    /// Nothing.
    Unknown,
}

/// What is known of a named command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It was not applied, or so long ago that nobody remembers.
    New,
    /// It was applied, with this answer.
    Again(Reply),
    /// A later one of its session was applied: whoever asks has been overtaken by himself.
    Overtaken,
}

/// See above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sessions {
    streams: BTreeMap<SessionId, Stream>,
    streams_by_age: BTreeSet<(Timestamp, SessionId)>,
    /// What is kept, in the order in which it came.
    answers: BTreeSet<(Timestamp, SessionId, u64)>,
    answer_bytes: usize,
    names: BTreeMap<u64, Name>,
    names_by_age: BTreeSet<(Timestamp, u64)>,
    named_bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Stream {
    /// When it was last heard of.
    used: Timestamp,
    /// Up to here nothing is kept.
    forgotten: u64,
    kept: BTreeMap<u64, (Timestamp, Outcome)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    used: Timestamp,
    number: u64,
    reply: Reply,
}

impl Outcome {
    fn length(&self) -> usize {
        match self {
            Outcome::Replies(replies) => OVERHEAD + replies.iter().map(|reply| reply.0.len() + 16).sum::<usize>(),
            Outcome::Void => OVERHEAD,
        }
    }
}

impl Sessions {
    /// A parcel is applied here now, at this place; its entry has heard everything before `answered`.
    pub(super) fn keep(&mut self, at: Timestamp, session: SessionId, sequence: u64, answered: u64, outcome: Outcome) {
        let stream = self.streams.entry(session).or_default();
        self.streams_by_age.remove(&(stream.used, session));
        stream.used = at;
        self.streams_by_age.insert((at, session));
        while let Some(first) = stream.kept.first_entry().filter(|first| *first.key() < answered) {
            let (sequence, (at, outcome)) = first.remove_entry();
            self.answer_bytes -= outcome.length();
            self.answers.remove(&(at, session, sequence));
        }
        stream.forgotten = stream.forgotten.max(answered);
        self.answer_bytes += outcome.length();
        stream.kept.insert(sequence, (at, outcome));
        self.answers.insert((at, session, sequence));
        self.forget();
    }

    fn forget(&mut self) {
        while self.streams.len() > MAX_STREAMS {
            let (_, session) = self.streams_by_age.pop_first().expect("every stream has an age");
            let stream = self.streams.remove(&session).expect("it has an age");
            for (sequence, (at, outcome)) in stream.kept {
                self.answer_bytes -= outcome.length();
                self.answers.remove(&(at, session, sequence));
            }
        }
        while self.answer_bytes > MAX_ANSWER_BYTES {
            let (_, session, sequence) = self.answers.pop_first().expect("what has a length is kept");
            let stream = self.streams.get_mut(&session).expect("what is kept has a stream");
            let (_, outcome) = stream.kept.remove(&sequence).expect("what is kept is in its stream");
            self.answer_bytes -= outcome.length();
            stream.forgotten = stream.forgotten.max(sequence + 1);
        }
    }

    /// What became of a parcel.
    pub(super) fn find(&self, session: SessionId, sequence: u64) -> Found<'_> {
        let Some(stream) = self.streams.get(&session) else { return Found::Unknown };
        match stream.kept.get(&sequence) {
            Some((at, outcome)) => Found::Outcome(*at, outcome),
            None if sequence < stream.forgotten => Found::Forgotten,
            None => Found::Unknown,
        }
    }

    /// Whether a client's command was applied.
    pub(super) fn named(&self, (session, number): (u64, u64)) -> Named {
        match self.names.get(&session) {
            Some(name) if name.number == number => Named::Again(name.reply.clone()),
            Some(name) if name.number > number => Named::Overtaken,
            _ => Named::New,
        }
    }

    /// A client's command was applied.
    pub(super) fn remember(&mut self, at: Timestamp, (session, number): (u64, u64), reply: Reply) {
        self.named_bytes += reply.0.len();
        if let Some(before) = self.names.insert(session, Name { used: at, number, reply }) {
            self.names_by_age.remove(&(before.used, session));
            self.named_bytes -= before.reply.0.len();
        }
        self.names_by_age.insert((at, session));
        while self.names.len() > MAX_NAMES || self.named_bytes > MAX_NAMED_BYTES {
            let (_, oldest) = self.names_by_age.pop_first().expect("every name has an age");
            self.named_bytes -= self.names.remove(&oldest).expect("it has an age").reply.0.len();
        }
    }

    /// How many streams, answers and names are remembered.
    pub(super) fn counts(&self) -> [usize; 3] {
        [self.streams.len(), self.answers.len(), self.names.len()]
    }
}

const REPLIES: u8 = 0;
const VOID: u8 = 1;

impl Wire for Outcome {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Outcome::Replies(replies) => {
                writer.u8(REPLIES);
                writer.u32(replies.len() as u32);
                replies.iter().for_each(|reply| writer.bytes(&reply.0));
            }
            Outcome::Void => writer.u8(VOID),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Outcome, WireError> {
        match reader.u8()? {
            REPLIES => {
                let count = reader.u32()? as usize;
                if count > MAX_COMMANDS {
                    return Err(WireError::TooLong { what: "replies", length: count, limit: MAX_COMMANDS });
                }
                let replies = (0..count).map(|_| Ok(Reply(reader.bytes("a reply", MAX_REPLY)?)));
                Ok(Outcome::Replies(replies.collect::<Result<_, WireError>>()?))
            }
            VOID => Ok(Outcome::Void),
            tag => Err(WireError::UnknownTag { what: "outcome", tag }),
        }
    }
}

/// A reply may hold many values.
const MAX_REPLY: usize = 16 * MAX_PAYLOAD;

impl Wire for Sessions {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.streams.len() as u32);
        for (session, stream) in &self.streams {
            session.encode(writer);
            stream.used.encode(writer);
            writer.u64(stream.forgotten);
            writer.u32(stream.kept.len() as u32);
            for (sequence, (at, outcome)) in &stream.kept {
                writer.u64(*sequence);
                at.encode(writer);
                outcome.encode(writer);
            }
        }
        writer.u32(self.names.len() as u32);
        for (session, name) in &self.names {
            writer.u64(*session);
            name.used.encode(writer);
            writer.u64(name.number);
            writer.bytes(&name.reply.0);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Sessions, WireError> {
        let mut sessions = Sessions::default();
        let streams = reader.u32()? as usize;
        if streams > MAX_STREAMS {
            return Err(WireError::TooLong { what: "streams", length: streams, limit: MAX_STREAMS });
        }
        for _ in 0..streams {
            let session = SessionId::decode(reader)?;
            let mut stream =
                Stream { used: Timestamp::decode(reader)?, forgotten: reader.u64()?, kept: BTreeMap::new() };
            for _ in 0..reader.u32()? {
                let (sequence, at) = (reader.u64()?, Timestamp::decode(reader)?);
                let outcome = Outcome::decode(reader)?;
                sessions.answer_bytes += outcome.length();
                sessions.answers.insert((at, session, sequence));
                stream.kept.insert(sequence, (at, outcome));
            }
            sessions.streams_by_age.insert((stream.used, session));
            sessions.streams.insert(session, stream);
        }
        let names = reader.u32()? as usize;
        if names > MAX_NAMES {
            return Err(WireError::TooLong { what: "names", length: names, limit: MAX_NAMES });
        }
        for _ in 0..names {
            let (session, used) = (reader.u64()?, Timestamp::decode(reader)?);
            let name = Name { used, number: reader.u64()?, reply: Reply(reader.bytes("a reply", MAX_REPLY)?) };
            sessions.named_bytes += name.reply.0.len();
            sessions.names_by_age.insert((used, session));
            sessions.names.insert(session, name);
        }
        Ok(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use bytes::Bytes;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};

    fn replies(bytes: usize) -> Outcome {
        Outcome::Replies(vec![Reply(vec![0; bytes].into())])
    }

    #[test]
    fn what_was_heard_is_forgotten() {
        let mut sessions = Sessions::default();
        sessions.keep(Timestamp(1), SessionId(9), 0, 0, replies(3));
        sessions.keep(Timestamp(2), SessionId(9), 1, 0, replies(3));
        assert_eq!(sessions.find(SessionId(9), 0), Found::Outcome(Timestamp(1), &replies(3)));
        sessions.keep(Timestamp(3), SessionId(9), 2, 2, Outcome::Void);
        assert_eq!(sessions.find(SessionId(9), 1), Found::Forgotten);
        assert_eq!(sessions.find(SessionId(9), 2), Found::Outcome(Timestamp(3), &Outcome::Void));
        assert_eq!(sessions.find(SessionId(9), 3), Found::Unknown);
        assert_eq!(sessions.find(SessionId(8), 0), Found::Unknown);
        assert_eq!(sessions.counts(), [1, 1, 0]);
    }

    #[test]
    fn too_much_is_forgotten_from_the_oldest_on() {
        let mut sessions = Sessions::default();
        let third = MAX_ANSWER_BYTES / 3;
        for nth in 0..4 {
            sessions.keep(Timestamp(nth), SessionId(nth), 5, 0, replies(third));
        }
        assert_eq!(sessions.find(SessionId(0), 5), Found::Forgotten);
        assert_eq!(sessions.find(SessionId(1), 5), Found::Forgotten, "every answer has an overhead");
        assert!(matches!(sessions.find(SessionId(2), 5), Found::Outcome(..)));
        for nth in 4..4 + MAX_STREAMS as u64 {
            sessions.keep(Timestamp(nth), SessionId(nth), 0, 0, Outcome::Void);
        }
        assert_eq!(sessions.find(SessionId(2), 5), Found::Unknown);
        assert_eq!((sessions.streams.len(), sessions.answer_bytes), (MAX_STREAMS, MAX_STREAMS * OVERHEAD));
    }

    #[test]
    fn one_who_is_never_heard_of_again_makes_nobody_remember_the_others() {
        let mut sessions = Sessions::default();
        sessions.keep(Timestamp(0), SessionId(1), 1, 0, replies(3));
        for nth in 1..1000 {
            sessions.keep(Timestamp(nth), SessionId(2), nth, nth, replies(3));
        }
        assert_eq!(sessions.counts(), [2, 2, 0]);
        assert!(matches!(sessions.find(SessionId(1), 1), Found::Outcome(..)));
    }

    #[test]
    fn short_answers_have_a_bound_too() {
        let mut sessions = Sessions::default();
        let most = (MAX_ANSWER_BYTES / OVERHEAD) as u64;
        (0..=most).for_each(|nth| sessions.keep(Timestamp(nth), SessionId(1), nth, 0, Outcome::Void));
        assert_eq!(sessions.find(SessionId(1), 0), Found::Forgotten);
        assert_eq!(sessions.counts(), [1, most as usize, 0]);
    }

    #[test]
    fn a_named_command_is_answered_again() {
        let mut sessions = Sessions::default();
        let reply = Reply(Bytes::from_static(b"+OK"));
        assert_eq!(sessions.named((1, 5)), Named::New);
        sessions.remember(Timestamp(1), (1, 5), reply.clone());
        assert_eq!(sessions.named((1, 5)), Named::Again(reply.clone()));
        assert_eq!(sessions.named((1, 4)), Named::Overtaken);
        assert_eq!(sessions.named((1, 6)), Named::New);
        for nth in 2..2 + MAX_NAMES as u64 {
            sessions.remember(Timestamp(nth), (nth, 0), reply.clone());
        }
        assert_eq!(sessions.named((1, 5)), Named::New, "the oldest name is forgotten");
        for nth in 0..5 {
            sessions.remember(Timestamp(1 << 20), (nth, 9), Reply(vec![0; MAX_NAMED_BYTES / 3].into()));
        }
        assert!(sessions.named_bytes <= MAX_NAMED_BYTES);
    }

    #[test]
    fn a_copy_forgets_what_the_original_forgets() {
        let mut sessions = Sessions::default();
        for nth in 0..100 {
            sessions.keep(Timestamp(nth), SessionId(nth % 7), nth, nth.saturating_sub(20), replies(nth as usize));
            sessions.remember(Timestamp(nth), (nth % 11, nth), Reply(Bytes::from_static(b"x")));
        }
        let mut copy: Sessions = from_bytes(to_bytes(&sessions), VERSION).unwrap();
        for each in [&mut sessions, &mut copy] {
            for nth in 100..200 {
                each.keep(Timestamp(nth), SessionId(nth % 5), nth, nth - 30, replies(MAX_ANSWER_BYTES / 50));
            }
        }
        assert_eq!(to_bytes(&copy), to_bytes(&sessions));
    }
}
