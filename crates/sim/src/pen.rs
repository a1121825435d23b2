//! [`Pen`]: writes histories by hand, for the tests of those who read them.
//! What it writes may break any rule: that is what it is for.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{Cluster, Delivery, MessageId, Multicast, ProcessId, Stamp, Timestamp};

use crate::{History, Nanos, SOME_COMMUTE, Sent};

/// Writes a history by hand: groups of the given sizes, everything a millisecond apart.
pub(crate) struct Pen {
    pub(crate) history: History,
    now: Nanos,
}

impl Pen {
    pub(crate) fn new(groups: usize, replicas: usize) -> Pen {
        let cluster = Arc::new(Cluster::regular(groups, replicas, 2).unwrap());
        Pen { history: History::new(cluster, None), now: 0 }
    }

    /// The same where some messages commute: those that [`Pen::say`] the right letters.
    pub(crate) fn commuting(groups: usize, replicas: usize) -> Pen {
        let cluster = Arc::new(Cluster::regular(groups, replicas, 2).unwrap());
        Pen { history: History::new(cluster, Some(SOME_COMMUTE)), now: 0 }
    }

    pub(crate) fn message(&self, session: u64, sequence: u64, groups: u64) -> Multicast {
        Multicast {
            id: MessageId::new(session, sequence, groups),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::new(),
        }
    }

    /// The message that was multicast under these numbers, or would have been to group 0.
    fn id(&self, session: u64, sequence: u64) -> MessageId {
        let lowest = MessageId::new(session, sequence, 0);
        let casts = self.history.casts().range(lowest..);
        let known = casts.map(|(id, _)| *id).find(|id| (id.session.0, id.sequence) == (session, sequence));
        known.unwrap_or(MessageId::new(session, sequence, 0b1))
    }

    /// Session `session` multicasts its message `sequence` to the groups of the bits, from process 0.
    pub(crate) fn cast(&mut self, session: u64, sequence: u64, groups: u64) -> &mut Pen {
        self.now += crate::MILLISECOND;
        let message = self.message(session, sequence, groups);
        self.history.multicast(self.now, ProcessId(0), &message);
        self
    }

    /// A session multicasts its first message to the groups of the bits: one letter.
    pub(crate) fn say(&mut self, session: u64, groups: u64, letter: char) -> &mut Pen {
        self.now += crate::MILLISECOND;
        let message = Multicast { payload: letter.to_string().into(), ..self.message(session, 1, groups) };
        self.history.multicast(self.now, ProcessId(0), &message);
        self
    }

    /// A process delivers it next, at this timestamp.
    pub(crate) fn deliver(&mut self, process: u16, session: u64, sequence: u64, timestamp: u64) -> &mut Pen {
        self.deliver_in(1, process, session, sequence, timestamp)
    }

    /// The same in this life.
    pub(crate) fn deliver_in(
        &mut self,
        life: u32,
        process: u16,
        session: u64,
        sequence: u64,
        timestamp: u64,
    ) -> &mut Pen {
        self.now += crate::MILLISECOND;
        let message = match self.history.casts().get(&self.id(session, sequence)) {
            Some(cast) => cast.message.clone(),
            None => self.message(session, sequence, 1),
        };
        let position = match self.history.states() {
            Some(states) => states.held(ProcessId(process), life).map_or(0, BTreeSet::len),
            None => self.history.deliveries(ProcessId(process)).count(),
        } as u64;
        let delivery = Delivery { position, timestamp: Timestamp(timestamp), message };
        self.history.delivered(self.now, ProcessId(process), life, &delivery);
        self
    }

    /// A process takes a state that holds the first messages of these sessions, with their timestamps.
    pub(crate) fn install(&mut self, life: u32, process: u16, held: &[(u64, u64)]) -> &mut Pen {
        let stamp = |(session, timestamp)| Stamp { timestamp: Timestamp(timestamp), id: self.id(session, 1) };
        let held = held.iter().copied().map(stamp).collect();
        self.history.installed_set(self.now, ProcessId(process), life, &held);
        self
    }

    /// Session `session` multicasts its message `sequence` to group 0, to be void above this timestamp.
    pub(crate) fn cast_until(&mut self, session: u64, sequence: u64, expiry: u64) -> &mut Pen {
        self.now += crate::MILLISECOND;
        let message = Multicast { expiry: Timestamp(expiry), ..self.message(session, sequence, 1) };
        self.history.multicast(self.now, ProcessId(0), &message);
        self
    }

    /// A process says that the message came too late.
    pub(crate) fn expire(&mut self, process: u16, session: u64, sequence: u64) -> &mut Pen {
        let id = self.id(session, sequence);
        self.history.expired(ProcessId(process), id);
        self
    }

    /// A process says that others have delivered the message.
    pub(crate) fn done(&mut self, process: u16, session: u64, sequence: u64, timestamp: u64) -> &mut Pen {
        let id = self.id(session, sequence);
        self.history.done(ProcessId(process), id, Timestamp(timestamp));
        self
    }

    /// A process says that everything up to this timestamp is delivered there.
    pub(crate) fn safe(&mut self, process: u16, timestamp: u64) -> &mut Pen {
        self.history.safe_time(ProcessId(process), 1, Timestamp(timestamp));
        self
    }

    /// Somebody asks a process for a point to read at.
    pub(crate) fn ask(&mut self, process: u16, round: u64) -> &mut Pen {
        self.ask_in(1, process, round)
    }

    /// The same in this life.
    pub(crate) fn ask_in(&mut self, life: u32, process: u16, round: u64) -> &mut Pen {
        self.history.asked(ProcessId(process), life, round);
        self
    }

    /// A process answers.
    pub(crate) fn read(&mut self, process: u16, round: u64, timestamp: u64) -> &mut Pen {
        self.read_in(1, process, round, timestamp)
    }

    /// The same in this life.
    pub(crate) fn read_in(&mut self, life: u32, process: u16, round: u64, timestamp: u64) -> &mut Pen {
        self.history.read_point(ProcessId(process), life, round, Timestamp(timestamp));
        self
    }

    /// A message between two processes, now.
    pub(crate) fn send(&mut self, from: u16, to: u16) -> &mut Pen {
        self.now += crate::MILLISECOND;
        self.history.traffic.push(Sent { at: self.now, from: ProcessId(from), to: ProcessId(to) });
        self
    }
}
