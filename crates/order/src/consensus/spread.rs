//! The normal case: the leader appends entries and sends them to its followers
//! (2a), and every replica tells every other one how far it holds the log (2b).
//! What a quorum holds in one epoch is decided.

use alloc::vec;
use alloc::vec::Vec;

use skein_machine::{Out, ProcessId};

use super::wire::{Message, Report};
use super::{Consensus, Content, Owner, Record, Slot};
use crate::Mutant;
use crate::parts::{Epoch, Index, Logged, reached_by};

/// So many entries travel in one message: when short ones are many and the way is long, whoever is behind gets no more
/// than these in each journey there and back, and has to catch up all the same,
const APPEND_ENTRIES: usize = 1 << 12;

/// and so many bytes, unless a single one is longer.
const APPEND_BYTES: usize = 1 << 20;

/// Somebody who was silent for so many ticks is not helped until it speaks.
const GONE: u32 = 20;

impl<E: Content, S: Content> Consensus<E, S> {
    /// Step 1, at the leader: appends an entry. Its followers see it at the end of the turn.
    pub fn propose<O: Owner<E, S>>(&mut self, content: E, out: &mut Out<O>) -> Index {
        assert!(self.may_propose(), "{} proposes and does not lead", self.me);
        let slot = Slot { epoch: self.held, content };
        self.unshown.get_or_insert(self.log.last() + 1);
        if self.keeps_records {
            out.persist(Record::Entries(vec![slot.clone()]).into());
        }
        self.log.append(slot)
    }

    /// The end of a turn: what was proposed goes out, and everybody hears how far the log has come.
    pub fn speak<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        self.show_proposals(out);
        if self.election.is_amnesiac() {
            return;
        }
        let report = self.report();
        let said = self.said.as_ref();
        let has_moved = said.is_none_or(|said| said.has_moved(&report));
        // Followers that are well hear each other. What a leader holds is news to them only where one is missing, so it
        // waits until the leader knows that it was decided: a decision takes two steps, as it does in the books.
        let is_log = self.election.is_primary() && said.is_some_and(|said| said.is_of_one_reign(&report));
        if (self.election.is_primary() && self.decided > self.told) || (has_moved && !is_log) {
            self.told = self.decided;
            self.say(report, has_moved, out);
        } else if has_moved {
            self.said = Some(report.clone());
            out.send(self.me, Message::Report(report).into());
        }
    }

    /// What goes out early promises nothing: a follower's word counts, and the leader's own once it is on disk.
    fn show_proposals<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        let Some(first) = self.unshown.take() else { return };
        if !self.election.is_primary() {
            // Whoever leads now will show what is left of it.
            return;
        }
        let mut previous = first - 1;
        while previous < self.log.last() {
            let entries = self.batch_after(previous);
            let next = previous + entries.len() as Index;
            let append = Message::Append { epoch: self.held, previous, entries };
            // To whom something long is on its way, this would come to wait behind it and be for nothing.
            let followers: Vec<ProcessId> =
                self.others().filter(|process| self.peers[process].pause.is_over()).collect();
            out.send_early_to_all(followers, append.into());
            previous = next;
        }
    }

    /// What follows in the log, as much of it as one message takes.
    fn batch_after(&self, previous: Index) -> Vec<Slot<E>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for slot in self.log.after(previous, APPEND_ENTRIES) {
            bytes += slot.length();
            if bytes > APPEND_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(slot.clone());
        }
        entries
    }

    /// Step 2, at a follower: hold what the leader has appended.
    pub(super) fn on_append<O: Owner<E, S>>(
        &mut self,
        from: ProcessId,
        epoch: Epoch,
        previous: Index,
        entries: Vec<Slot<E>>,
        out: &mut Out<O>,
    ) {
        self.election.hear_of(epoch);
        let is_promised = self.election.promised() == epoch || self.planted.is(Mutant::ConsensusFollowsTwoLeaders);
        let follows = self.held == epoch && is_promised && from == epoch.leader;
        if !follows || previous > self.log.last() {
            // Of an epoch that is not held, or behind a gap: the leader will see it in the next report.
            return;
        }
        let known = (self.log.last() - previous) as usize;
        let Some(new) = entries.get(known..).filter(|new| !new.is_empty()) else { return };
        if self.keeps_records {
            let record = Record::Entries(new.to_vec()).into();
            if self.planted.is(Mutant::ConsensusAcknowledgesEarly) {
                let report = Report { index: previous + entries.len() as Index, ..self.report() };
                out.send_all(self.members(), Message::Report(report).into());
            }
            out.persist(record);
        }
        for slot in entries.into_iter().skip(known) {
            self.log.append(slot);
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            incarnation: self.election.incarnation(),
            held: self.held,
            index: self.log.last(),
            promised: self.election.promised(),
            is_leader: self.election.is_primary(),
        }
    }

    /// To itself, too, if it has moved: what it hears of itself is on disk.
    fn say<O: Owner<E, S>>(&mut self, report: Report, to_itself: bool, out: &mut Out<O>) {
        self.said = Some(report.clone());
        let me = self.me;
        let hearers = self.members().filter(|member| to_itself || *member != me);
        out.send_all(hearers, Message::Report(report).into());
    }

    /// A leader lives, and whoever missed a word hears it again.
    pub(super) fn say_heartbeat<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        let report = self.report();
        let has_moved = self.said.as_ref().is_none_or(|said| said.has_moved(&report));
        self.say(report, has_moved, out);
    }

    /// Step 3: somebody holds the log so far.
    pub(super) fn on_report<O: Owner<E, S>>(&mut self, from: ProcessId, report: &Report, out: &mut Out<O>) {
        if !self.election.counts(from, report.incarnation) {
            // Said in a life that it has forgotten.
            return;
        }
        if from == self.me {
            self.is_durable = true;
        }
        self.election.hear_of(report.promised);
        self.election.hear(from);
        let is_mine = self.election.is_primary();
        let peer = self.peers.get_mut(&from).expect("only replicas of the group report");
        (peer.held, peer.index) = (peer.held, peer.index).max((report.held, report.index));
        if is_mine && peer.held == self.held && peer.index >= self.log.base() {
            // The log of this epoch has arrived.
            peer.pause.end();
        }
        // A heartbeat counts only from a leader that this replica could follow.
        let is_followed = from == report.promised.leader && report.promised >= self.election.promised();
        if report.is_leader && is_followed && from != self.me {
            self.election.hear_primary();
        }
        self.resend_more(from, out);
    }

    /// Decides whatever a quorum holds by now. Called once a turn, before what is decided is applied.
    pub fn decide(&mut self) {
        let quorum = if self.planted.is(Mutant::ConsensusDecidesByAMinority) { 1 } else { self.quorum() };
        let holders = self.peers.values().filter(|peer| peer.held == self.held).map(|peer| peer.index);
        if let Some(index) = reached_by(holders, quorum) {
            self.decided = self.decided.max(index.min(self.log.last()));
            self.is_established = true;
        }
    }

    /// What is decided may be applied whatever else was promised: it is decided.
    pub(super) fn may_apply(&self) -> bool {
        !self.election.is_amnesiac()
    }

    /// Helps replicas of the group that have stood still for a while.
    pub(super) fn help_those_behind<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        let others: Vec<ProcessId> = self.others().collect();
        for process in others {
            let peer = self.peers.get_mut(&process).expect("every replica of the group is known");
            peer.pause.tick();
            let ticks = if peer.stalled.0 == peer.index { peer.stalled.1.saturating_add(1) } else { 0 };
            // Whoever lacks nothing has stood still because there was nothing to take.
            peer.stalled = (peer.index, if peer.index >= self.log.last() { 0 } else { ticks });
            if self.election.silence_of(process) > GONE {
                peer.begin_anew();
                continue;
            }
            let waits = peer.stalled.1;
            let is_mine = self.election.is_primary() && peer.held == self.held;
            if is_mine && waits.is_power_of_two() {
                // What takes its time must not be overtaken by its copies.
                self.resend(process, out);
            }
        }
    }

    /// Sends a follower what it lacks, from where it said that it stands.
    pub(super) fn resend<O: Owner<E, S>>(&mut self, to: ProcessId, out: &mut Out<O>) {
        let previous = self.peers[&to].index;
        if previous < self.log.base() {
            return self.send_snapshot(to, out);
        }
        let entries = self.batch_after(previous);
        if entries.is_empty() {
            return;
        }
        self.peers.get_mut(&to).expect("it is known").resent = Some(previous + entries.len() as Index);
        out.send_early(to, Message::Append { epoch: self.held, previous, entries }.into());
    }

    /// It has taken all that was sent again, and there is more.
    fn resend_more<O: Owner<E, S>>(&mut self, to: ProcessId, out: &mut Out<O>) {
        let last = self.log.last();
        let peer = self.peers.get_mut(&to).expect("every replica of the group is known");
        if peer.resent.is_some_and(|resent| peer.index >= resent) {
            peer.resent = None;
            if self.election.is_primary() && peer.held == self.held && peer.index < last {
                self.resend(to, out);
            }
        }
    }
}
