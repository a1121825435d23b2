//! What becomes of START: a message that wants a place. It gets one in the
//! smallest ring that is awake and serves its destinations, from that ring's
//! coordinator.
//!
//! Where rings sleep, a message may stand in one of several: it was proposed
//! where it had to go then, and its sender has asked again since. That does no
//! harm, since its destinations listen to all of them and take it once; but who
//! coordinates one ring cannot say that a message will come to nothing.

use skein_machine::{MessageId, ProcessId};

use super::Effects;
use super::entry::Proposal;
use super::replica::Replica;
use super::ring::Ring;
use super::wire::{Message, Number, Start};
use crate::Mutant;
use crate::parts::{MAX_PENDING, MAX_PENDING_BYTES, Refusal};

/// With payloads longer than this in a ring's log its coordinator refuses more. Twice what is on the way at most: who
/// gets there has a user who does not hand in checkpoints.
const MAX_LOG_BYTES: usize = 2 * MAX_PENDING_BYTES;

impl Replica {
    /// A sender wants a message ordered.
    pub(super) fn on_start(&mut self, from: ProcessId, start: Start, out: &mut Effects) {
        let id = start.message.id;
        let is_destination = id.destinations.contains(self.group);
        if let Some(window) = self.learner.windows.delivered(id) {
            if is_destination {
                // The newest timestamp of the session: at least that of this message.
                out.send(start.sender, Message::Done(id, window.timestamp));
            } else {
                // It is decided, and not delivered here: that is for a destination to say.
                self.ask_a_destination(from, start, out);
            }
            return;
        }
        if is_destination && self.learner.merged >= start.message.expiry {
            // It listens to every ring in which this may stand, and has passed its last moment in all of them.
            out.send(start.sender, Message::Refused(id, Refusal::Expired));
            return;
        }
        let Some(number) = self.ring_for(id) else { return };
        let taken = |sequence| self.learner.windows.delivered(MessageId { sequence, ..id }).is_some();
        let follows_taken = start.follows == 0 || taken(start.follows);
        let planted = self.planted;
        let ring = self.ring(number);
        if !ring.coordinates() {
            if !ring.consensus.is_amnesiac() {
                pass_on(ring, from, start, out);
            }
            return;
        }
        if ring.has_proposed(id) {
            return;
        }
        if !follows_taken
            && !ring.has_proposed(MessageId { sequence: start.follows, ..id })
            && !planted.is(Mutant::MultiRingForgetsWhatItFollows)
        {
            // The one before was lost on the way; both will be sent again, in order.
            return;
        }
        let message = &start.message;
        if ring.next_timestamp(message.floor) > message.expiry {
            let is_sure = planted.is(Mutant::MultiRingRefusesAlone) || message.floor >= message.expiry;
            if is_sure {
                out.send(start.sender, Message::Refused(id, Refusal::Expired));
                return;
            }
            // It may stand where it is not known yet, or be lost from there with a coordinator. A destination that has
            // passed its last moment can tell; it will, once it sees that this ring has.
            ring.want_past(message.expiry.min(Replica::HIGHEST));
            if !is_destination {
                self.ask_a_destination(from, start, out);
            }
            return;
        }
        if ring.open() >= MAX_PENDING || ring.consensus.log().bytes() >= MAX_LOG_BYTES {
            // Nobody but its sender waits for what is refused here. If it may stand elsewhere it is not refused, since
            // something may come of it, but lost on the way.
            if self.description.for_message(id.destinations).nth(1).is_none() {
                out.send(start.sender, Message::Refused(id, Refusal::Full));
            }
            return;
        }
        let Start { message, sender, .. } = start;
        ring.propose(Proposal { message, sender }, out);
    }

    /// The ring in which it gets a place: of those that would do, and that this process is in, the smallest that is
    /// awake. There may be none, if its sender knows that a ring is awake and this process does not.
    fn ring_for(&self, id: MessageId) -> Option<Number> {
        let here = |number: &Number| self.rings.iter().any(|ring| ring.number == *number && ring.is_awake());
        self.description.for_message(id.destinations).map(|number| number as Number).find(here)
    }

    /// What only a destination knows, one of them is asked.
    fn ask_a_destination(&self, from: ProcessId, start: Start, out: &mut Effects) {
        if from == start.sender {
            let group = start.message.id.destinations.iter().next().expect("a message has a destination");
            let members = self.cluster.members(group);
            out.send_early(members[self.ticks as usize % members.len()], Message::Start(start));
        }
    }
}

/// Whoever does not coordinate a ring knows who does, and says so.
fn pass_on(ring: &Ring, from: ProcessId, start: Start, out: &mut Effects) {
    let epoch = ring.consensus.promised();
    if epoch.leader == ring.me || from != start.sender {
        return;
    }
    out.send_early(from, Message::Primary(ring.number, epoch));
    out.send_early(epoch.leader, Message::Start(start));
}
