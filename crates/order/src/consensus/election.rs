//! Who leads: what the [`Election`](crate::parts::Election) wants said and
//! written down. What a promise contains, and what an epoch begins with, is
//! told in `promises.rs`.

use alloc::vec::Vec;

use skein_machine::{Out, ProcessId};

use super::wire::{Candidacy, Message};
use super::{Consensus, Content, Owner, Peer, Record};
use crate::parts::{Epoch, Rebirth, Role, Urge};

impl<E: Content, S: Content> Consensus<E, S> {
    /// Everything about elections that is done every tick.
    pub(super) fn tick_election<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        match self.election.tick() {
            Urge::Wait => {}
            Urge::Rejoin => {
                let message = Message::Rejoin(self.election.incarnation());
                out.send_all(self.others(), message.into());
            }
            Urge::Canvass => out.send_all(self.others(), Message::Canvass.into()),
            Urge::Stand => self.stand(out),
            Urge::Insist => {
                let message = Message::NewEpoch(self.candidacy());
                let missing: Vec<ProcessId> = self.election.not_promised().collect();
                out.send_all(missing, message.into());
            }
            Urge::Lead => {
                // Whoever does not hold the epoch has not heard of it, or needs its state again.
                let held = self.held;
                let behind: Vec<ProcessId> = self.others().filter(|process| self.peers[process].held < held).collect();
                if !behind.is_empty() {
                    out.send_all(behind, Message::NewEpoch(self.candidacy()).into());
                }
            }
        }
    }

    pub(super) fn on_canvass<O: Owner<E, S>>(&self, from: ProcessId, out: &mut Out<O>) {
        if self.election.hears_nobody() {
            out.send_early(from, Message::Silent.into());
        }
    }

    pub(super) fn on_silent<O: Owner<E, S>>(&mut self, from: ProcessId, out: &mut Out<O>) {
        if self.election.on_silent(from) {
            self.stand(out);
        }
    }

    /// Whoever stands does so because the leader asked it to.
    pub(super) fn on_stand<O: Owner<E, S>>(&mut self, from: ProcessId, out: &mut Out<O>) {
        let follows = self.held == self.election.promised() && from == self.held.leader;
        if follows && self.election.role() == Role::Follower {
            self.stand(out);
        }
    }

    /// Hands over before a planned stop: to the one that holds most.
    pub fn retire<O: Owner<E, S>>(&self, out: &mut Out<O>) {
        if !self.election.is_primary() {
            return;
        }
        let followers = self.others().filter(|process| self.peers[process].held == self.held);
        if let Some(heir) = followers.max_by_key(|process| self.peers[process].index) {
            out.send(heir, Message::Stand.into());
        }
    }

    /// Promises itself the next epoch and asks the others to promise it too.
    fn stand<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        let wanted: Vec<Rebirth> = self.election.wanted().collect();
        wanted.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
        let epoch = self.election.stand();
        out.persist(Record::Promised(epoch, self.election.rebirths()).into());
        // To itself, too: its own promise counts once it is on disk.
        out.send_all(self.members(), Message::NewEpoch(self.candidacy()).into());
    }

    pub(super) fn promise<O: Owner<E, S>>(&mut self, epoch: Epoch, out: &mut Out<O>) {
        self.election.promise(epoch);
        out.persist(Record::Promised(epoch, self.election.rebirths()).into());
    }

    pub(super) fn candidacy(&self) -> Candidacy {
        let (epoch, rebirths) = (self.election.promised(), self.election.rebirths());
        Candidacy { epoch, outline: self.log.outline(), rebirths }
    }

    /// What a replica said before it lost its memory does not count any more.
    pub(super) fn note_rebirth(&mut self, rebirth: Rebirth) {
        if self.election.note_rebirth(rebirth) && rebirth.process != self.me {
            self.peers.insert(rebirth.process, Peer::new(self.first));
        }
    }

    /// A replica of the group has lost its memory and wants to come back.
    pub(super) fn on_rejoin<O: Owner<E, S>>(&mut self, from: ProcessId, incarnation: u32, out: &mut Out<O>) {
        if self.election.on_rejoin(from, incarnation) && self.election.is_primary() {
            self.send_snapshot(from, out);
        }
    }
}
