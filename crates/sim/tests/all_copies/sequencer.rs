//! What only the sequencer does: it appends, feeds everybody's copy, and finds
//! out what is everywhere. After a loss of memory it first takes all copies.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::{Cluster, Multicast, Out, ProcessId, Timestamp};

use super::log::{Entry, Log, Standing};
use super::{AllCopies, Message, Mutant, Record};

/// The most entries of one message.
const BATCH: u64 = 32;

/// The most entries that are sent ahead of what a replica is known to hold.
const WINDOW: u64 = 128;

/// What the sequencer knows of the others.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Sequencer {
    /// Of every replica, itself included.
    copies: BTreeMap<ProcessId, Copy>,
    /// What it was given back so far, after a loss of memory.
    given: BTreeMap<ProcessId, Vec<Entry>>,
}

/// The copy of one replica.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Copy {
    /// So many entries are on its disk.
    held: u64,
    /// So many were sent over the link as it stands.
    sent: u64,
    /// What was held when the timer came due last.
    held_before: u64,
}

impl Sequencer {
    pub(crate) fn new(cluster: &Cluster) -> Sequencer {
        let copies = cluster.replicas(cluster.groups()).map(|replica| (replica, Copy::default())).collect();
        Sequencer { copies, given: BTreeMap::new() }
    }
}

impl AllCopies {
    /// A sender has a message. It asks until it hears that the message is everywhere.
    pub(crate) fn on_ask(&mut self, from: ProcessId, message: Multicast, out: &mut Out<Self>) {
        assert!(self.sequencer.is_some(), "{from} takes {} for the sequencer", self.me);
        if !self.recovered {
            return;
        }
        match self.log.standing(message.id) {
            Standing::Known(place) => {
                if (place as u64) < self.everywhere {
                    out.send(from, Message::Taken(message.id));
                }
                return;
            }
            _ if self.is_too_late(&message) => {
                out.send(from, Message::Expired(message.id));
                return;
            }
            Standing::TooEarly if self.is(Mutant::OvertakesInSessions) => {}
            Standing::TooEarly if self.is(Mutant::ForgetsIds) => {}
            Standing::TooEarly => return,
            Standing::Next => {}
        }
        let timestamp = self.log.next_timestamp(message.floor);
        let is_void = timestamp > message.expiry;
        if !is_void && message.expiry < Timestamp::MAX && self.is(Mutant::DeniesWhatItAppends) {
            out.send(from, Message::Expired(message.id));
        }
        let payload = if is_void { Bytes::new() } else { message.payload };
        self.append(Entry { timestamp, message: Some(Multicast { payload, ..message }) }, out);
    }

    /// A replica wants a timestamp to be passed. What is in the log already will be everywhere by itself.
    pub(crate) fn on_raise(&mut self, from: ProcessId, timestamp: Timestamp, out: &mut Out<Self>) {
        assert!(self.sequencer.is_some(), "{from} takes {} for the sequencer", self.me);
        if self.recovered && self.log.timestamp_before(self.log.entries().len()) < timestamp {
            let timestamp = self.log.next_timestamp(Timestamp::ZERO).max(timestamp);
            self.append(Entry { timestamp, message: None }, out);
        }
    }

    fn append(&mut self, entry: Entry, out: &mut Out<Self>) {
        let sequencer = self.sequencer.as_ref().expect("only the sequencer appends");
        let replicas: Vec<ProcessId> = sequencer.copies.keys().copied().collect();
        out.persist(Record::Appended(entry.clone()));
        self.log.push(entry);
        self.tell_what_is_held(out);
        for replica in replicas {
            self.feed(replica, out);
        }
    }

    /// Whatever is appended stands above what is everywhere already, which nobody can lose.
    fn is_too_late(&self, message: &Multicast) -> bool {
        self.log.timestamp_before(self.everywhere as usize) >= message.expiry
    }

    /// A replica says what is on its disk.
    pub(crate) fn on_held(&mut self, from: ProcessId, length: u64, recovered: bool, out: &mut Out<Self>) {
        let Some(sequencer) = &mut self.sequencer else { panic!("{from} takes {} for the sequencer", self.me) };
        let copy = sequencer.copies.get_mut(&from).expect("only replicas hold copies");
        if self.recovered {
            let mine = self.log.length();
            assert!(length <= mine, "{from} holds {length} entries, the sequencer only {mine}");
        }
        if recovered {
            assert!(length >= copy.held, "{from} had {} entries on its disk and now says {length}", copy.held);
            copy.sent = copy.sent.max(length);
        } else if length != copy.held {
            copy.sent = length;
        }
        copy.held = length;
        if self.recovered {
            if !recovered && from != self.me {
                out.send(from, Message::Goal(self.log.length()));
            }
            self.look_what_is_everywhere(out);
            self.feed(from, out);
        }
    }

    fn look_what_is_everywhere(&mut self, out: &mut Out<Self>) {
        let sequencer = self.sequencer.as_ref().expect("only the sequencer looks");
        let held = sequencer.copies.values().map(|copy| copy.held).min().expect("there is a replica");
        let alone = sequencer.copies[&self.me].held;
        let everywhere = if self.is(Mutant::DeliversAlone) { alone } else { held };
        if everywhere <= self.everywhere {
            return;
        }
        self.everywhere = everywhere;
        let others: Vec<ProcessId> = sequencer.copies.keys().copied().filter(|replica| *replica != self.me).collect();
        out.send_all(others, Message::Append { first: everywhere, entries: Vec::new(), everywhere });
        self.deliver(out);
    }

    /// Sends a replica what comes next, as far as the window reaches.
    fn feed(&mut self, replica: ProcessId, out: &mut Out<Self>) {
        let everywhere = self.everywhere;
        let sequencer = self.sequencer.as_mut().expect("only the sequencer feeds");
        let copy = sequencer.copies.get_mut(&replica).expect("only replicas are fed");
        if replica == self.me {
            return;
        }
        while copy.sent < self.log.length().min(copy.held + WINDOW) {
            let first = copy.sent;
            let last = (first + BATCH).min(self.log.length());
            let entries = self.log.entries()[first as usize..last as usize].to_vec();
            out.send(replica, Message::Append { first, entries, everywhere });
            copy.sent = last;
        }
    }

    /// Sends everything again to those who have not got on since the last time,
    /// and tells the others what is everywhere: they may have missed it.
    pub(crate) fn feed_again(&mut self, out: &mut Out<Self>) {
        let everywhere = self.everywhere;
        let Some(sequencer) = &mut self.sequencer else { return };
        if !self.recovered {
            return;
        }
        let mut replicas = Vec::new();
        for (replica, copy) in sequencer.copies.iter_mut().filter(|(replica, _)| **replica != self.me) {
            if copy.held == copy.held_before {
                copy.sent = copy.held;
            }
            copy.held_before = copy.held;
            out.send(*replica, Message::Append { first: copy.held, entries: Vec::new(), everywhere });
            replicas.push(*replica);
        }
        for replica in replicas {
            self.feed(replica, out);
        }
    }

    /// The link to a replica stands again: what was sent over the old one may be lost.
    pub(crate) fn on_reconnect_of_replica(&mut self, peer: ProcessId, out: &mut Out<Self>) {
        let Some(sequencer) = &mut self.sequencer else { return };
        let Some(copy) = sequencer.copies.get_mut(&peer) else { return };
        copy.sent = copy.held;
        if self.recovered {
            self.feed(peer, out);
        } else if !sequencer.given.contains_key(&peer) {
            out.send(peer, Message::Fetch);
        }
    }

    /// Asks those for their copies who have not given them yet.
    pub(crate) fn fetch_copies(&mut self, out: &mut Out<Self>) {
        let Some(sequencer) = &self.sequencer else { return };
        if self.recovered {
            return;
        }
        let missing = |replica: &ProcessId| *replica != self.me && !sequencer.given.contains_key(replica);
        out.send_all(sequencer.copies.keys().copied().filter(missing), Message::Fetch);
    }

    /// With all copies here, the longest is the log. Nobody else holds more:
    /// what an earlier life had on the way was lost when the links stood again,
    /// before anybody was asked for a copy.
    pub(crate) fn on_copy(&mut self, from: ProcessId, entries: Vec<Entry>, out: &mut Out<Self>) {
        let sequencer = self.sequencer.as_mut().expect("only the sequencer asks for copies");
        if self.recovered {
            return;
        }
        sequencer.given.insert(from, entries);
        let is_enough = sequencer.given.len() + 1 == sequencer.copies.len();
        if !is_enough && self.mutant != Some(Mutant::TrustsTheFirstCopy) {
            return;
        }
        let longest = sequencer.given.values().max_by_key(|entries| entries.len()).expect("there is a copy").clone();
        for (replica, entries) in &sequencer.given {
            assert!(longest.starts_with(entries), "{replica} holds a log that is no beginning of the longest");
        }
        sequencer.given.clear();
        self.log = Log::of(longest);
        self.recovered = true;
        // In one piece: half a log must not be taken for a whole one after the next crash.
        self.checkpoint(out);
        out.send(self.me, Message::Recovered);
        self.tell_what_is_held(out);
    }
}
