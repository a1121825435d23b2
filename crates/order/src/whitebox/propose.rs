//! Steps 1 and 2: a leader takes a message, gives it a local timestamp, and
//! shows that to every process of every destination. What it shows promises
//! nothing: acknowledgements count, its own too, once they are on disk.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, Multicast, ProcessId, Timestamp};

use super::Effects;
use super::offers::Offer;
use super::record::Entry;
use super::replica::{Replica, Terms, Track};
use super::wire::{Header, Message, Start};
use super::{MAX_LOG_BYTES, MAX_PENDING};
use crate::Mutant;
use crate::parts::Refusal;

/// So many proposals travel in one message with their payloads,
const ENTRIES: usize = 256;

/// and so many bytes of payload, unless a single one is longer.
const ENTRY_BYTES: usize = 1 << 20;

/// So many without.
const HEADERS: usize = 512;

impl Replica {
    /// A sender, or another destination that has proposed the message already, wants it ordered.
    pub(super) fn on_start(&mut self, from: ProcessId, start: Start, out: &mut Effects) {
        if !self.may_lead() {
            self.pass_on(from, start, out);
            return;
        }
        let Start { message, follows, sender, proposed } = start;
        let id = message.id;
        let asker = self.cluster.group_of(from).filter(|group| *group != self.group).zip(proposed);
        if let Some(track) = self.tracks.get_mut(&id).filter(|track| track.own.is_some()) {
            track.sender = Some(sender);
            if let Some((group, _)) = asker {
                self.show_to(&[id], group, &[from], out);
            }
            return;
        }
        if let Some(window) = self.windows.delivered(id) {
            // The newest timestamp of the session: at least that of this message.
            let timestamp = window.timestamp;
            out.send(sender, Message::Done(id, timestamp));
            if asker.is_some() {
                self.tell_fact(from, id);
            }
            return;
        }
        if let Some((group, (epoch, timestamp))) = asker {
            let remote = self.remotes.get_mut(group).expect("every group is known");
            let is_deposed = !remote.hears(epoch) && !self.planted.is(Mutant::WhiteBoxHearsDeposedLeaders);
            if is_deposed || timestamp <= remote.settled {
                // Asked long ago, or by one that was deposed: since then this group may have delivered the
                // message, and forgotten it.
                return;
            }
        }
        let is_shown = asker.is_some() || self.tracks.get(&id).is_some_and(|track| self.is_shown(track));
        let timestamp = self.next_timestamp(message.floor);
        let is_late = timestamp > message.expiry;
        if is_late && (!is_shown || self.planted.is(Mutant::WhiteBoxRefusesAlone)) {
            // Nobody has proposed it. If every timestamp that it could still get is too late, its sender may know.
            if self.quorum_clock() >= message.expiry {
                out.send(sender, Message::Refused(id, Refusal::Expired));
            }
            return;
        }
        if !self.has_proposed(id, follows) {
            // The one before was lost on the way; both will be sent again, in order.
            return;
        }
        // Only what no other group can be waiting for is refused: two full groups must not wait for each other.
        let is_full = self.stamps.len() >= MAX_PENDING || self.bytes() >= MAX_LOG_BYTES;
        if is_full && id.destinations.len() == 1 {
            out.send(sender, Message::Refused(id, Refusal::Full));
            return;
        }
        let message = if is_late { Multicast { payload: bytes::Bytes::new(), ..message } } else { message };
        self.propose(message, follows, timestamp, Some(sender), out);
    }

    /// A follower knows who leads, and says so.
    fn pass_on(&self, from: ProcessId, start: Start, out: &mut Effects) {
        let promised = self.election.promised();
        if promised.leader == self.me || self.cluster.group_of(from) == Some(self.group) {
            return;
        }
        // A destination that asks is believed only by the link that it asks on, so its word goes along no further.
        if from == start.sender || start.proposed.is_some() {
            out.send_early(from, Message::Leader(promised));
        }
        if start.proposed.is_none() {
            out.send_early(promised.leader, Message::Start(start));
        }
    }

    /// Whether the message of the session that must come before has been proposed here.
    fn has_proposed(&self, id: MessageId, follows: u64) -> bool {
        let before = MessageId { sequence: follows, ..id };
        follows == 0
            || self.is_on_the_way(before)
            || self.windows.delivered(before).is_some()
            || self.planted.is(Mutant::WhiteBoxForgetsWhatItFollows)
    }

    fn next_timestamp(&self, floor: Timestamp) -> Timestamp {
        self.clock.value().max(floor).next()
    }

    /// Step 2: a local timestamp above everything seen.
    fn propose(
        &mut self,
        message: Multicast,
        follows: u64,
        timestamp: Timestamp,
        sender: Option<ProcessId>,
        out: &mut Effects,
    ) {
        let id = message.id;
        self.raise_clock(timestamp, out);
        if self.planted.is(Mutant::WhiteBoxTellsBystanders) {
            let message = Message::Accept { epoch: self.held, settled: Timestamp::ZERO, headers: Vec::new() };
            let bystanders = self.cluster.groups().iter().filter(|group| !id.destinations.contains(*group));
            bystanders.for_each(|group| out.send_early(self.cluster.members(group)[0], message.clone()));
        }
        let (_, track) = self.tracks.enter(id);
        (track.message, track.follows, track.sender) = (Some(message), follows, sender);
        (track.age, track.tries) = (0, 0);
        track.offers.insert(Offer { group: self.group, epoch: self.held, timestamp });
        self.set_own(id, timestamp);
        self.enqueue(id);
        self.unshown.push(id);
        self.accept(id, None, out);
    }

    /// A proposal waits for its turn from now on.
    pub(super) fn enqueue(&mut self, id: MessageId) {
        let spot = self.spot(id);
        let track = self.tracks.at_mut(spot, &id).expect("it was just found");
        let own = track.own.expect("what is queued has a timestamp");
        let bound = track.outcome.as_ref().map_or(own, |outcome| outcome.timestamp);
        self.queue.raise(id, spot, &mut track.place, bound);
    }

    /// The end of step 2: what was proposed in this turn goes out in as few messages as it fits into.
    pub(super) fn show_proposals(&mut self, out: &mut Effects) {
        let mut ids = core::mem::take(&mut self.unshown);
        ids.retain(|id| self.is_on_the_way(*id));
        if ids.is_empty() || !self.may_lead() {
            // Whoever leads now will show what is left of it.
            return;
        }
        // Who does not hold the epoch yet is shown everything when it does. To whom something long is on its way,
        // this would come to wait behind it.
        let followers: Vec<ProcessId> = self
            .others()
            .filter(|process| self.peers[process].held == self.held && self.peers[process].pause.is_over())
            .collect();
        self.give(&ids, &followers, out);
        for group in self.cluster.groups().iter().filter(|group| *group != self.group) {
            let shared: Vec<MessageId> = ids.iter().copied().filter(|id| id.destinations.contains(group)).collect();
            let cluster = self.cluster.clone();
            self.show_to(&shared, group, cluster.members(group), out);
        }
    }

    /// ACCEPT with payloads, to followers.
    pub(super) fn give(&self, ids: &[MessageId], to: &[ProcessId], out: &mut Effects) {
        let mut batch: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let mut send = |batch: &mut Vec<Entry>| {
            if !batch.is_empty() {
                let entries = core::mem::take(batch);
                out.send_early_to_all(to.iter().copied(), Message::Propose { epoch: self.held, entries });
            }
        };
        for id in ids {
            let track = self.tracks.get(id).expect("what is shown is known");
            let entry = self.entry_of(track);
            bytes += entry.message.payload.len();
            if batch.len() >= ENTRIES || bytes > ENTRY_BYTES {
                send(&mut batch);
                bytes = entry.message.payload.len();
            }
            batch.push(entry);
        }
        send(&mut batch);
    }

    /// ACCEPT, to replicas of another group.
    pub(super) fn show_to(&self, ids: &[MessageId], group: GroupId, to: &[ProcessId], out: &mut Effects) {
        for batch in ids.chunks(HEADERS) {
            let headers = batch.iter().map(|id| self.header_of(self.tracks.get(id).expect("what is shown is known")));
            let headers = headers.collect();
            let message = Message::Accept { epoch: self.held, settled: self.settled_with(group), headers };
            out.send_early_to_all(to.iter().copied(), message);
        }
    }

    pub(super) fn entry_of(&self, track: &Track) -> Entry {
        Entry {
            timestamp: track.own.expect("what is shown has a timestamp"),
            follows: self.still_follows(track),
            message: track.message.clone().expect("what has a timestamp is here"),
        }
    }

    fn header_of(&self, track: &Track) -> Header {
        let Entry { timestamp, follows, message } = self.entry_of(track);
        Header { timestamp, id: message.id, floor: message.floor, expiry: message.expiry, follows }
    }

    /// The message that others must propose before this one. None that was delivered here: they have, and may have
    /// forgotten it.
    pub(super) fn still_follows(&self, track: &Track) -> u64 {
        let id = track.message.as_ref().expect("what follows is here").id;
        let before = MessageId { sequence: track.follows, ..id };
        let is_on_the_way = track.follows > 0 && self.is_on_the_way(before);
        if is_on_the_way { track.follows } else { 0 }
    }

    /// Messages that other groups have proposed and that can only be void by now need no payload: they are proposed
    /// as soon as it is their turn.
    pub(super) fn propose_what_is_void(&mut self, out: &mut Effects) {
        if !self.may_lead() || self.planted.is(Mutant::WhiteBoxRefusesAlone) {
            return;
        }
        let clock = self.clock.value();
        let is_late = |track: &Track| {
            let expires = track.terms.is_some_and(|terms| terms.expiry <= clock);
            expires && track.own.is_none() && self.is_shown(track)
        };
        let late = self.tracks.sorted_if(is_late);
        let late: Vec<(MessageId, Terms)> =
            late.into_iter().filter_map(|(id, track)| Some((id, track.terms?))).collect();
        for (id, Terms { floor, expiry, follows }) in late {
            if self.has_proposed(id, follows) {
                let message = Multicast { id, floor, expiry, payload: bytes::Bytes::new() };
                let timestamp = self.next_timestamp(floor);
                self.propose(message, follows, timestamp, None, out);
            }
        }
    }

    /// ACCEPTs, by what is to be told in one go.
    pub(super) fn show_again(&self, what: BTreeMap<(GroupId, ProcessId), Vec<MessageId>>, out: &mut Effects) {
        for ((group, process), ids) in what {
            if group == self.group {
                self.give(&ids, &[process], out);
            } else {
                self.show_to(&ids, group, &[process], out);
            }
        }
    }
}
