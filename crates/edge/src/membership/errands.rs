//! [`Errands`]: what the gossip beneath wants done, put into effects.

use core::time::Duration;

use alloc::collections::{BTreeMap, BTreeSet};
use skein_machine::Out;

use super::identity::Identity;
use super::packet::Packet;
use super::timer::{Tick, Timer};
use super::wire::Message;
use super::{Counts, Event, Membership, Pace};
use crate::{Book, MemberId};

/// Members that somebody here suspects of being dead, each with the incarnation in which it is.
pub(super) type Doubts = BTreeMap<MemberId, (Identity, u16)>;

/// What the gossip may reach.
pub(super) struct Errands<'a> {
    pub(super) me: &'a Identity,
    pub(super) pace: &'a Pace,
    pub(super) beginning: u32,
    pub(super) book: &'a mut Book,
    pub(super) condemning: &'a mut BTreeSet<Tick>,
    pub(super) doubts: &'a mut Doubts,
    pub(super) counts: &'a mut Counts,
    pub(super) out: &'a mut Out<Membership>,
}

impl Errands<'_> {
    /// Says something to a member, wherever that is.
    pub(super) fn say(&mut self, whom: &Identity, message: Message) {
        say(self.book, self.counts, self.me, whom, message, self.out);
    }

    /// Tells a member that it is suspected: it is the first to know better.
    pub(super) fn doubt(&mut self, whom: &Identity, incarnation: u16) {
        self.counts.doubts += 1;
        self.say(whom, Message::Doubt { by: self.me.clone(), whom: whom.clone(), incarnation });
    }
}

/// Something from one member to another, wherever that is.
pub(super) fn say(
    book: &mut Book,
    counts: &mut Counts,
    me: &Identity,
    whom: &Identity,
    message: Message,
    out: &mut Out<Membership>,
) {
    if whom.member.address == me.member.address {
        // An earlier life of its own: nobody else is there.
        return;
    }
    match book.handle(whom.member.address) {
        Some(handle) => out.send(handle, message),
        None => counts.unreachable += 1,
    }
}

impl foca::Runtime<Identity> for &mut Errands<'_> {
    fn notify(&mut self, notification: foca::Notification<'_, Identity>) {
        // Who comes and goes is read from the gossip's list.
        match notification {
            foca::Notification::Rejoin(_) => {
                self.counts.rebirths += 1;
                self.out.emit(Event::Renewed);
            }
            foca::Notification::Defunct => panic!("{:?} was declared dead more often than it can be reborn", self.me),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.say(&to, Message::Packet(Packet::written(data)));
    }

    fn submit_after(&mut self, timer: foca::Timer<Identity>, after: Duration) {
        let tick = Tick::from(timer);
        if let Tick::Condemn { whom, incarnation, .. } = &tick {
            if !self.condemning.insert(tick.clone()) {
                // It failed another probe. That must not give it more time.
                return;
            }
            self.doubt(whom, *incarnation);
            if self.doubts.is_empty() {
                self.out.arm(Timer::Doubt, self.pace.doubt());
            }
            self.doubts.insert(whom.id, (whom.clone(), *incarnation));
        }
        self.out.arm(Timer::Swim(self.beginning, tick), after);
    }
}
