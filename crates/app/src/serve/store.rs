//! What stands between a replica of a service and those who use it: what the
//! replica tells goes to whoever uses it on another thread, and what is asked
//! comes from there. Clients that multicast by themselves are served too, as
//! where there is no service. It keeps nothing.

use bytes::Bytes;
use skein_machine::{Ask, Serving, Told};
use skein_runtime::front::{ClientId, Desk, Front};

use super::multicast::{Call, Multicasts};

/// Takes what replicas tell.
pub(crate) type Teller = Box<dyn Fn(Told) + Send>;

/// The user of a replica.
pub(crate) struct Counter {
    multicasts: Multicasts,
    /// Whoever uses the service at this node.
    user: Teller,
    /// The replica tells of every delivery.
    tells: bool,
}

impl Counter {
    pub(crate) fn new(multicasts: Multicasts, user: Teller) -> Counter {
        Counter { multicasts, user, tells: false }
    }

    /// A replica tells of commands only as long as somebody listens: that costs something with each.
    fn follow<M: Serving>(&mut self, desk: &mut Desk<M>) {
        let wanted = self.multicasts.is_followed();
        if self.tells != wanted {
            self.tells = wanted;
            desk.command(Ask::Follow(wanted));
        }
    }
}

impl<M: Serving> Front<M> for Counter {
    type Call = Call;

    fn on_event(&mut self, told: Told, desk: &mut Desk<M>) {
        match told {
            Told::Up(up) => {
                self.multicasts.hear(up, desk);
                // Of whoever has gone one learns without a chance to say so.
                self.follow(desk);
            }
            told => (self.user)(told),
        }
    }

    fn on_call(&mut self, call: Call, desk: &mut Desk<M>) {
        match call {
            Call::Retire => desk.command(Ask::Retire),
            Call::Asks(asks) => asks.into_iter().for_each(|ask| desk.command(ask)),
        }
    }

    fn on_request(&mut self, client: ClientId, request: Bytes, desk: &mut Desk<M>) -> Result<(), String> {
        self.multicasts.ask(client, request, desk, Ask::Multicast)?;
        self.follow(desk);
        Ok(())
    }

    fn on_gone(&mut self, client: ClientId) {
        self.multicasts.lose(client);
    }
}
