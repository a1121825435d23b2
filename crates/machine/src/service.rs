//! What a replicated service is to Skein: [`Service`], applied by every
//! replica of a partition in the same order, and [`Router`], which every node
//! has, for it answers which partitions a command concerns.
//!
//! Both are object-safe, so that one replica type serves them all. A service
//! sees no clock, no randomness and no protocol: the only time is the one in
//! the delivery.

use core::fmt;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::{GroupId, GroupSet, Machine, Multicast, Stamp, Timestamp, Up};

/// A deterministic state that commands change.
pub trait Service: Send {
    /// What this partition must tell the others before any of them applies the
    /// command, as things stand now; `None` when nobody needs anybody's values.
    /// Whether it is `None` follows from the command and its destinations
    /// alone, never from the state: the others wait for a share, or they do
    /// not. It is asked only of commands that concern several partitions.
    fn share(&self, call: &Call<'_>) -> Option<Bytes>;

    /// Applies a command. `shares` holds what the other partitions told.
    fn apply(&mut self, call: &Call<'_>, shares: &Shares) -> Reply;

    /// Answers a question without changing anything. `now` is the timestamp at
    /// which it is asked: all that was ordered up to it has been applied.
    fn read(&self, now: Timestamp, query: &Bytes) -> Reply;

    /// How this service says that a command was refused, and has had no effect.
    fn refuse(&self, command: &Bytes, why: &str) -> Reply {
        let _ = command;
        Reply(Bytes::copy_from_slice(why.as_bytes()))
    }

    /// The whole state as it is now. It is written down while commands go on.
    fn snapshot(&self) -> Box<dyn Frozen>;

    /// Becomes what the bytes of a snapshot say. A sentence if it cannot: then
    /// they were written by something else.
    fn restore(&mut self, snapshot: Bytes) -> Result<(), String>;

    /// Tells what it counts and measures, by names that no other part of a
    /// replica uses.
    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        let _ = tell;
    }
}

impl<S: Service + ?Sized> Service for Box<S> {
    fn share(&self, call: &Call<'_>) -> Option<Bytes> {
        (**self).share(call)
    }

    fn apply(&mut self, call: &Call<'_>, shares: &Shares) -> Reply {
        (**self).apply(call, shares)
    }

    fn read(&self, now: Timestamp, query: &Bytes) -> Reply {
        (**self).read(now, query)
    }

    fn refuse(&self, command: &Bytes, why: &str) -> Reply {
        (**self).refuse(command, why)
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        (**self).snapshot()
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        (**self).restore(snapshot)
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        (**self).gauges(tell);
    }
}

/// One command at its place in the order.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Where the message stands that carries it: its timestamp is the only time
    /// there is, and its id names the partitions that are concerned.
    pub stamp: Stamp,
    /// Its number among those that the message carries: together with the stamp
    /// it tells every command of a partition from every other.
    pub nth: u32,
    /// The partition that applies it.
    pub group: GroupId,
    /// What is asked.
    pub command: &'a Bytes,
}

/// A state as it was at one moment, on its way into bytes.
pub trait Frozen: Send {
    /// The next piece, of about so many bytes; `None` at the end. All pieces in
    /// a row are what [`Service::restore`] takes.
    fn next(&mut self, about: usize) -> Option<Bytes>;
}

/// A state that is short enough to be written down at once.
impl Frozen for Option<Bytes> {
    fn next(&mut self, _: usize) -> Option<Bytes> {
        self.take()
    }
}

/// Knows where things are.
pub trait Router: Send + Sync {
    /// The groups that a command concerns, at least one.
    fn groups(&self, command: &[u8]) -> Result<GroupSet, Refusal>;
}

/// A command that cannot be routed, with a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Refusal {}

/// What a service answers; opaque to everything but the client's own face.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reply(pub Bytes);

/// What other partitions told about one command, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    told: Vec<(GroupId, Bytes)>,
}

impl Shares {
    /// Nobody told anything.
    pub fn none() -> Shares {
        Shares::default()
    }

    /// Adds what a group told; the first word of a group stands.
    pub fn insert(&mut self, group: GroupId, share: Bytes) {
        if let Err(place) = self.told.binary_search_by_key(&group, |(told, _)| *told) {
            self.told.insert(place, (group, share));
        }
    }

    /// What a group told.
    pub fn from(&self, group: GroupId) -> Option<&Bytes> {
        let place = self.told.binary_search_by_key(&group, |(told, _)| *told).ok()?;
        Some(&self.told[place].1)
    }

    /// Every share, by rising group.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &Bytes)> {
        self.told.iter().map(|(group, share)| (*group, share))
    }
}

/// What is asked of a replica of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Commands for the same partitions, applied in a row at one place in the
    /// order. Answered by [`Told::Answers`] or [`Told::Failed`].
    Calls {
        /// Names them in what is told, and is never used twice in one life.
        token: u64,
        /// The partitions that they concern.
        groups: GroupSet,
        /// They come after everything up to this timestamp.
        floor: Timestamp,
        /// What is asked.
        commands: Vec<Command>,
    },
    /// Questions about what this partition holds, answered without ordering
    /// anything: [`Told::Read`].
    Read {
        /// Names them in what is told, and is never used twice in one life.
        token: u64,
        /// What the answers must not miss.
        freshness: Freshness,
        /// What is asked.
        queries: Vec<Bytes>,
    },
    /// Nobody waits any more for what goes by this token. What was asked may
    /// happen all the same.
    Forget(u64),
    /// Multicast something that is no command. Its session is below [`Ask::SESSIONS`].
    Multicast(Multicast),
    /// Whether somebody follows what is delivered here. As long as it is so, [`Told::Up`] tells of every delivery,
    /// those that carry commands included.
    Follow(bool),
    /// The process is about to stop: what it leads should be handed over.
    Retire,
}

impl Ask {
    /// Sessions from here on belong to replicas, which give them to their commands.
    pub const SESSIONS: u64 = 1 << 63;
}

/// A command, and by which name it is known if it is asked for again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// A client's session, and the command's number there: what was applied
    /// under a name is answered again and not applied again.
    pub name: Option<(u64, u64)>,
    /// What is asked.
    pub command: Bytes,
}

/// What an answer to a question must not miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Everything that was answered, to anybody, before the question was asked.
    Linearizable,
    /// Everything up to this timestamp.
    Causal(Timestamp),
}

/// What a replica of a service tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The answers to [`Ask::Calls`] from every partition, by rising group: one reply for each command.
    Answers {
        /// What was asked.
        token: u64,
        /// Where the commands stand in the order.
        timestamp: Timestamp,
        /// What each partition says.
        replies: Vec<(GroupId, Vec<Reply>)>,
    },
    /// The answers to [`Ask::Read`].
    Read {
        /// What was asked.
        token: u64,
        /// Everything up to here was applied.
        timestamp: Timestamp,
        /// One for each question.
        replies: Vec<Reply>,
    },
    /// There will be no answer.
    Failed {
        /// What was asked.
        token: u64,
        /// Whether it is certain that nothing has happened, or will. If not, it may have happened and its answer is
        /// lost.
        certain: bool,
        /// Why, in words for a person.
        why: &'static str,
    },
    /// What the order says of messages that are no commands; and every delivery, where that was asked for by
    /// [`Ask::Follow`].
    Up(Up),
}

/// A replica of a service: any machine that speaks [`Ask`] and [`Told`].
pub trait Serving: Machine<Command = Ask, Event = Told> {}

impl<M: Machine<Command = Ask, Event = Told>> Serving for M {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;

    /// The smallest service: it adds up the bytes that it is told.
    #[derive(Default)]
    struct Sum(u8);

    impl Service for Sum {
        fn share(&self, _: &Call<'_>) -> Option<Bytes> {
            None
        }

        fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
            self.0 = call.command.iter().fold(self.0, |sum, byte| sum.wrapping_add(*byte));
            self.read(call.stamp.timestamp, &Bytes::new())
        }

        fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
            Reply(Bytes::copy_from_slice(&[self.0]))
        }

        fn snapshot(&self) -> Box<dyn Frozen> {
            Box::new(Some(Bytes::copy_from_slice(&[self.0])))
        }

        fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
            self.0 = *snapshot.first().ok_or("a sum is one byte")?;
            Ok(())
        }
    }

    #[test]
    fn a_boxed_service_can_be_applied_copied_and_read() {
        let command = Bytes::from_static(&[2, 3]);
        let call = Call {
            stamp: Stamp { timestamp: Timestamp(1), id: MessageId::new(1, 1, 0b1) },
            nth: 0,
            group: GroupId::new(0).unwrap(),
            command: &command,
        };
        let mut service: Box<dyn Service> = Box::new(Sum::default());
        assert_eq!(service.apply(&call, &Shares::none()), Reply(Bytes::from_static(&[5])));
        let mut copy: Box<dyn Service> = Box::new(Sum::default());
        copy.restore(service.snapshot().next(1).unwrap()).unwrap();
        assert_eq!(copy.read(Timestamp(1), &Bytes::new()), Reply(Bytes::from_static(&[5])));
    }

    #[test]
    fn the_first_share_of_a_group_stands() {
        let group = GroupId::new(4).unwrap();
        let mut shares = Shares::none();
        shares.insert(group, Bytes::from_static(b"a"));
        shares.insert(group, Bytes::from_static(b"b"));
        assert_eq!(shares.from(group), Some(&Bytes::from_static(b"a")));
        assert_eq!(shares.from(GroupId::new(3).unwrap()), None);
        assert_eq!(shares.iter().count(), 1);
    }
}
