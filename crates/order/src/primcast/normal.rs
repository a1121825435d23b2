//! The normal case inside a group: the primary takes a message, proposes a
//! local timestamp for it and appends it to the log; followers append what the
//! primary appends. (Thesis, Algorithm 2, lines 33 to 45.)

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, Multicast, ProcessId, Stamp, Time, Timestamp};

use super::record::Record;
use super::replica::{Replica, Terms, Track};
use super::wire::{Header, Message, Start};
use super::{Effects, MAX_LOG_BYTES, MAX_PENDING};
use crate::Mutant;
use crate::parts::{Entry, Epoch, Index, Refusal, Spot};

/// So many entries travel in one message,
const APPEND_ENTRIES: usize = 256;

/// and so many bytes of payload, unless a single one is longer.
const APPEND_BYTES: usize = 1 << 20;

/// So many headers.
const HEADERS: usize = 512;

impl Replica {
    /// A sender, or another destination that has proposed the message already,
    /// wants it ordered.
    pub(super) fn on_start(&mut self, now: Time, from: ProcessId, start: Start, out: &mut Effects) {
        if !self.may_propose() {
            self.pass_on(from, start, out);
            return;
        }
        let Start { message, follows, sender, proposed } = start;
        let follows = if self.planted.is(Mutant::PrimCastForgetsWhatItFollows) { 0 } else { follows };
        let id = message.id;
        let known = self.tracks.spot(&id);
        if let Some(spot) = known
            && let Some(track) = self.tracks.at_mut(spot, &id)
            && track.index.is_some()
            && !track.is_delivered
        {
            track.sender = Some(sender);
            if let Some(timestamp) = self.early.timestamp(id) {
                self.answer_sender(Stamp { timestamp, id }, spot, out);
            }
            return;
        }
        if let Some(window) = self.windows.delivered(id) {
            // The newest timestamp of the session: at least that of this message.
            out.send(sender, Message::Done(id, window.timestamp));
            return;
        }
        let asker = self.cluster.group_of(from).filter(|group| *group != self.group).zip(proposed);
        if let Some((group, place)) = &asker {
            let remote = self.remotes.get_mut(*group).expect("every group is known");
            if !remote.hears(place.epoch) || place.last <= remote.settled {
                // Asked long ago, or by one that was deposed: since then this group may have delivered the
                // message, and forgotten it.
                return;
            }
        }
        if self.has_wrong_clock(now) {
            // Its timestamp would lie in the past: whoever leads next proposes it.
            return;
        }
        let is_shown = asker.is_some() || known.is_some_and(|spot| self.is_shown(self.track(id, spot)));
        let timestamp = self.next_timestamp(now, message.floor);
        let is_late = timestamp > message.expiry;
        if is_late && (!is_shown || self.planted.is(Mutant::PrimCastRefusesAlone)) {
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
        let is_full = self.queue.len() >= MAX_PENDING || self.log.bytes() >= MAX_LOG_BYTES;
        if is_full && message.id.destinations.len() == 1 {
            out.send(sender, Message::Refused(id, Refusal::Full));
            return;
        }
        let message = if is_late { Multicast { payload: bytes::Bytes::new(), ..message } } else { message };
        let spot = self.propose(message, follows, timestamp, out);
        self.tracks.at_mut(spot, &id).expect("it was just proposed").sender = Some(sender);
    }

    /// A follower knows who is primary, and says so.
    fn pass_on(&self, from: ProcessId, start: Start, out: &mut Effects) {
        let leader = self.election.promised().leader;
        if leader == self.me || self.cluster.group_of(from) == Some(self.group) {
            return;
        }
        if from == start.sender {
            out.send_early(from, Message::Primary(self.election.promised()));
        }
        // A destination that asks is believed only by the link that it asks on, so its place goes along no further.
        if start.proposed.is_none() {
            out.send_early(leader, Message::Start(start));
        } else {
            out.send_early(from, Message::Primary(self.election.promised()));
        }
    }

    /// Whether the message of the session that must come before has been proposed here.
    fn has_proposed(&self, id: MessageId, follows: u64) -> bool {
        let before = MessageId { sequence: follows, ..id };
        follows == 0 || self.find(before).is_some() || self.windows.delivered(before).is_some()
    }

    /// What the next proposal would get (thesis, line 37, with 4.4.1 and 4.4.2).
    fn next_timestamp(&self, now: Time, floor: Timestamp) -> Timestamp {
        let next = self.clock.value().max(floor).next();
        self.reading(now).map_or(next, |reading| next.max(reading))
    }

    /// Step 2: propose. What goes out early promises nothing: a follower's word
    /// counts, and the primary's own once it is on disk.
    fn propose(&mut self, message: Multicast, follows: u64, timestamp: Timestamp, out: &mut Effects) -> Spot {
        self.raise_clock(timestamp, out);
        let entry = Entry { epoch: self.held, timestamp, follows, message };
        self.unshown.get_or_insert(self.log.last() + 1);
        if self.planted.is(Mutant::PrimCastTellsBystanders) {
            let message = Message::Headers { epoch: self.held, settled: 0, headers: Vec::new() };
            let bystanders =
                self.cluster.groups().iter().filter(|group| !entry.message.id.destinations.contains(*group));
            bystanders.for_each(|group| out.send_early(self.cluster.members(group)[0], message.clone()));
        }
        self.write(|| Record::Entries(vec![entry.clone()]), out);
        self.append(entry)
    }

    /// The end of step 2: what was proposed in this turn goes out in as few messages as it fits into.
    pub(super) fn show_proposals(&mut self, out: &mut Effects) {
        let Some(first) = self.unshown.take() else { return };
        if !self.election.is_primary() {
            // Whoever leads now will show what is left of it.
            return;
        }
        let mut previous = first - 1;
        let mut headers: BTreeMap<GroupId, Vec<Header>> = BTreeMap::new();
        for (index, entry) in (first..).zip(self.log.after(previous, usize::MAX)) {
            for group in self.other_groups(entry.message.id.destinations).iter() {
                let headers = headers.entry(group).or_insert_with(|| Vec::with_capacity(self.new_since(previous)));
                headers.push(self.header_of(index, entry));
            }
        }
        while previous < self.log.last() {
            let entries = self.batch_after(previous);
            let next = previous + entries.len() as Index;
            let append = Message::Append { epoch: self.held, previous, entries };
            // To whom something long is on its way, this would come to wait behind it and be for nothing.
            let followers = self.others().filter(|process| self.peers[process].pause.is_over());
            out.send_early_to_all(followers, append);
            previous = next;
        }
        for (group, mut headers) in headers {
            while !headers.is_empty() {
                let rest = headers.split_off(headers.len().min(HEADERS));
                let members = self.cluster.members(group).iter().copied();
                out.send_early_to_all(members, self.headers(group, headers));
                headers = rest;
            }
        }
    }

    /// How many entries stand behind a place of the log.
    fn new_since(&self, previous: Index) -> usize {
        (self.log.last() - previous) as usize
    }

    /// What follows in the log, as much of it as one message takes.
    pub(super) fn batch_after(&self, previous: Index) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(self.new_since(previous).min(APPEND_ENTRIES));
        let mut bytes = 0;
        for entry in self.log.after(previous, APPEND_ENTRIES) {
            bytes += entry.message.payload.len();
            if bytes > APPEND_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }

    /// A proposal as other groups see it.
    pub(super) fn header_of(&self, index: Index, entry: &Entry) -> Header {
        let Entry { timestamp, message, .. } = entry;
        let Multicast { id, floor, expiry, .. } = *message;
        Header { index, timestamp: *timestamp, id, floor, expiry, follows: self.still_follows(entry) }
    }

    /// The message that others must propose before this one. None that was delivered here: they have, and
    /// may have forgotten it.
    pub(super) fn still_follows(&self, entry: &Entry) -> u64 {
        let before = MessageId { sequence: entry.follows, ..entry.message.id };
        let is_on_the_way = entry.follows > 0 && self.is_on_the_way(before);
        if is_on_the_way { entry.follows } else { 0 }
    }

    /// Messages that other groups have proposed and that can only be void by now need no payload:
    /// they are proposed as soon as it is their turn.
    pub(super) fn propose_what_is_void(&mut self, now: Time, out: &mut Effects) {
        if !self.may_propose() || self.has_wrong_clock(now) || self.planted.is(Mutant::PrimCastRefusesAlone) {
            return;
        }
        let clock = self.clock.value();
        let is_late = |track: &Track| {
            let expires = track.terms.is_some_and(|terms| terms.expiry <= clock);
            expires && track.index.is_none() && self.is_shown(track)
        };
        let late = self.tracks.sorted_if(is_late);
        let late: Vec<(MessageId, Terms)> =
            late.into_iter().filter_map(|(id, track)| Some((id, track.terms?))).collect();
        for (id, Terms { floor, expiry, follows }) in late {
            if self.has_proposed(id, follows) {
                let message = Multicast { id, floor, expiry, payload: bytes::Bytes::new() };
                let timestamp = self.next_timestamp(now, floor);
                self.propose(message, follows, timestamp, out);
            }
        }
    }

    /// Step 3 at a follower: hold what the primary has appended.
    pub(super) fn on_append(
        &mut self,
        from: ProcessId,
        epoch: Epoch,
        previous: Index,
        entries: Vec<Entry>,
        out: &mut Effects,
    ) {
        self.election.hear_of(epoch);
        let is_promised = self.election.promised() == epoch || self.planted.is(Mutant::PrimCastFollowsTwoPrimaries);
        let follows = self.held == epoch && is_promised && from == epoch.leader;
        if !follows || self.election.is_amnesiac() || previous > self.log.last() {
            // Of an epoch that is not held, or behind a gap: the primary will see it in the next report.
            return;
        }
        let known = self.new_since(previous);
        let Some(newest) = entries.get(known..).and_then(<[Entry]>::last) else { return };
        let newest = newest.timestamp;
        self.raise_clock(newest, out);
        self.write(|| Record::Entries(entries[known..].to_vec()), out);
        for entry in entries.into_iter().skip(known) {
            self.append(entry);
        }
        self.leader_clock = self.leader_clock.max(newest);
        self.recount_leader_clock();
    }

    /// Takes an entry into the log, and everything that goes with it. Answers where that is known.
    pub(super) fn append(&mut self, entry: Entry) -> Spot {
        let (id, timestamp) = (entry.message.id, entry.timestamp);
        let owed = self.other_groups(id.destinations);
        self.appended += 1;
        self.appended_bytes += entry.message.payload.len();
        let index = self.log.append(entry);
        let (spot, track) = self.tracks.enter(id);
        assert!(track.index.is_none(), "{id} is proposed twice");
        (track.index, track.owed, track.age, track.tries) = (Some(index), owed, 0, 0);
        for group in owed.iter() {
            self.remotes.get_mut(group).expect("every group is known").owed.insert(index, spot);
        }
        self.acknowledge = self.acknowledge.or(owed);
        self.queue.raise(id, spot, &mut track.place, track.heads.highest_decided().max(timestamp));
        self.certify_if_shown(id);
        spot
    }
}
