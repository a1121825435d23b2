//! The engine: a book for each instrument, and for each client what it was told
//! last. It is a [`Service`]: a state that commands change, the same on every
//! replica that applies the same commands in the same order.
//!
//! **Exactly once.** Clients number their commands. A command that was applied
//! is answered again with the same bytes and not applied again, one that leaves
//! a number out is refused. So a client whose answer was lost, because whoever
//! should have told it was killed, asks again, anybody, and learns what became
//! of its order.
//!
//! **Deterministic.** Ids follow from the history, the engine sees no clock, and
//! of tables in which places follow from chance or from the past nothing shows.
//! A snapshot is the same for all who did the same, restored or not.
//!
//! It will never say who may trade or whether somebody can pay: that is to be
//! settled before a command gets here.

mod clients;
mod history;
mod snapshot;

use bytes::Bytes;
use skein_machine::{Call, Frozen, Reply, Service, Shares, Timestamp};

use self::clients::{Clients, Turn};
pub use self::history::History;
use crate::book::{Book, Order};
use crate::digest::Digest;
use crate::words::{
    Action, Answer, Client, Command, Fill, Instrument, MAX_CLIENTS, MAX_FILLS, MAX_INSTRUMENTS, OrderId, Outcome,
    Price, Quantity, Request, Side, StateDigest, Why,
};

/// Open orders of all books together. They take 64 MiB with their index, and a
/// snapshot of them 20: what a replica can be sent while others wait.
pub const MAX_OPEN: usize = 1 << 20;

/// Open orders of one client: no single one can fill the books.
pub const MAX_OPEN_OF_CLIENT: u32 = 1 << 14;

/// Books, and who may still be told what.
#[derive(Clone, Debug)]
pub struct Engine {
    markets: Vec<Market>,
    clients: Clients,
    /// Of each client, how many orders are open: beside its record, for a trade needs this and nothing else of whoever
    /// had waited.
    open_of: Vec<u32>,
    open: usize,
    history: History,
    /// The fills of the command in hand: the memory is used again.
    fills: Vec<Fill>,
}

/// One instrument.
#[derive(Clone, Debug, Default)]
struct Market {
    book: Book,
    /// How many orders were accepted, and so the number of the last.
    given: u64,
}

impl Engine {
    /// An exchange on its first day.
    pub fn new() -> Engine {
        Engine {
            markets: vec![Market::default(); usize::from(MAX_INSTRUMENTS)],
            clients: Clients::default(),
            open_of: vec![0; usize::from(MAX_CLIENTS)],
            open: 0,
            history: History::NEW,
            fills: Vec::with_capacity(MAX_FILLS),
        }
    }

    /// Applies a command and answers it.
    pub fn command(&mut self, bytes: &[u8]) -> Bytes {
        match Command::decode(bytes) {
            Ok(Command::Request(request)) => self.request(&request, bytes),
            Ok(Command::Digest) => encoded(&self.digest()),
            Err(_) => encoded(&Answer::refused(Client(0), 0, Why::Malformed)),
        }
    }

    /// How much happened so far. A command was the last to use up a number when this has just counted it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many orders are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// The orders that wait on one side of an instrument, from the one that trades next to the one that trades last.
    pub fn orders(&self, instrument: Instrument, side: Side) -> impl Iterator<Item = Order> {
        let market = self.markets.get(usize::from(instrument.0));
        market.into_iter().flat_map(move |market| market.book.orders(side))
    }

    /// Where the engine stands, for comparing it with another.
    pub fn digest(&self) -> Answer {
        let History { taken, orders, trades, digest, .. } = self.history;
        let mut state = Digest::NEW;
        state.bytes(&snapshot::write(self));
        let digest = StateDigest { taken, orders, trades, history: digest.value(), state: state.value() };
        Answer { client: Client(0), sequence: 0, outcome: Outcome::Digest(digest) }
    }

    /// What must hold between two commands.
    ///
    /// # Panics
    ///
    /// If it does not, with a sentence.
    pub fn check(&self) {
        let mut open_of = vec![0; usize::from(MAX_CLIENTS)];
        for market in &self.markets {
            market.book.check();
            for order in [Side::Buy, Side::Sell].into_iter().flat_map(|side| market.book.orders(side)) {
                assert!(order.number <= market.given, "order {} waits, and was never given a number", order.number);
                open_of[usize::from(order.client.0)] += 1;
            }
        }
        assert_eq!(
            self.open,
            self.markets.iter().map(|market| market.book.len()).sum::<usize>(),
            "open orders are miscounted"
        );
        assert_eq!(self.open_of, open_of, "open orders of clients are miscounted");
        assert_eq!(
            self.history.orders,
            self.markets.iter().map(|market| market.given).sum::<u64>(),
            "ids were left out"
        );
        assert_eq!(
            self.history.taken,
            self.clients.iter().map(|(_, record)| record.last).sum::<u64>(),
            "commands used up other numbers than their own"
        );
    }

    /// Does what a client wants, if it was not done before.
    fn request(&mut self, request: &Request, bytes: &[u8]) -> Bytes {
        let Request { client, sequence, action } = *request;
        match self.clients.turn(client, sequence, bytes) {
            Turn::New => {}
            Turn::Done(answer) => return Bytes::copy_from_slice(answer),
            Turn::Refused(why) => return encoded(&Answer::refused(client, sequence, why)),
        }
        self.history.taken += 1;
        let outcome = match action {
            Action::Place { instrument, side, price, quantity } => {
                self.place(client, instrument, side, price, quantity)
            }
            Action::Cancel { order } => self.cancel(client, order),
        };
        let answer = Answer { client, sequence, outcome: outcome.unwrap_or_else(Outcome::Refused) };
        let record = self.clients.record(client);
        record.last = sequence;
        record.command.copy_from_slice(bytes);
        record.answer.clear();
        answer.encode(&mut record.answer);
        let told = Bytes::copy_from_slice(&record.answer);
        if let Outcome::Accepted { fills, .. } = answer.outcome {
            self.fills = fills;
        }
        told
    }

    fn place(
        &mut self,
        client: Client,
        instrument: Instrument,
        side: Side,
        price: Price,
        quantity: Quantity,
    ) -> Result<Outcome, Why> {
        let market = self.markets.get_mut(usize::from(instrument.0)).ok_or(Why::UnknownInstrument)?;
        if price == 0 {
            return Err(Why::NoPrice);
        }
        if quantity == 0 {
            return Err(Why::NoQuantity);
        }
        // Whether the order would wait is known only when it has traded, and then it is too late to refuse it.
        if self.open >= MAX_OPEN {
            return Err(Why::Full);
        }
        if self.open_of[usize::from(client.0)] >= MAX_OPEN_OF_CLIENT {
            return Err(Why::TooManyOpen);
        }
        market.given += 1;
        let id = OrderId::new(instrument, market.given);
        self.history.order(id, client, side, price, quantity);

        let mut fills = std::mem::take(&mut self.fills);
        fills.clear();
        let order = Order { number: market.given, client, side, price, quantity };
        let placed = market.book.place(order, |trade| {
            let fill =
                Fill { maker: OrderId::new(instrument, trade.maker), price: trade.price, quantity: trade.quantity };
            self.history.trade(fill.maker, fill.price, fill.quantity);
            fills.push(fill);
            if trade.is_done {
                self.open -= 1;
                self.open_of[usize::from(trade.client.0)] -= 1;
            }
        });
        if placed.rests > 0 {
            self.open += 1;
            self.open_of[usize::from(client.0)] += 1;
        }
        if placed.dropped > 0 {
            self.history.dropped(placed.dropped);
        }
        Ok(Outcome::Accepted { order: id, rests: placed.rests, dropped: placed.dropped, fills })
    }

    fn cancel(&mut self, client: Client, order: OrderId) -> Result<Outcome, Why> {
        let market = self.markets.get_mut(usize::from(order.instrument().0)).ok_or(Why::NotOpen)?;
        let quantity = market.book.cancel(order.number(), client).ok_or(Why::NotOpen)?;
        self.open -= 1;
        self.open_of[usize::from(client.0)] -= 1;
        self.history.cancel(order, quantity);
        Ok(Outcome::Cancelled { order, quantity })
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new()
    }
}

fn encoded(answer: &Answer) -> Bytes {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    Bytes::from(bytes)
}

impl Service for Engine {
    /// All instruments are in one partition.
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        Reply(self.command(call.command))
    }

    /// The digest is all that can be asked without a place in the order.
    fn read(&self, _: Timestamp, query: &Bytes) -> Reply {
        let answer = match Command::decode(query) {
            Ok(Command::Digest) => self.digest(),
            Ok(Command::Request(request)) => Answer::refused(request.client, request.sequence, Why::Unavailable),
            Err(_) => Answer::refused(Client(0), 0, Why::Malformed),
        };
        Reply(encoded(&answer))
    }

    /// A client is not told why: it asks again, as after every other silence.
    fn refuse(&self, command: &Bytes, _: &str) -> Reply {
        let (client, sequence) = match Command::decode(command) {
            Ok(Command::Request(request)) => (request.client, request.sequence),
            _ => (Client(0), 0),
        };
        Reply(encoded(&Answer::refused(client, sequence, Why::Unavailable)))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Some(Bytes::from(snapshot::write(self))))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        *self = snapshot::read(&snapshot)?;
        Ok(())
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        let History { taken, orders, trades, cancels, .. } = self.history;
        tell("exchange_commands", taken);
        tell("exchange_orders", orders);
        tell("exchange_trades", trades);
        tell("exchange_cancels", cancels);
        tell("exchange_open_orders", self.open as u64);
    }
}

#[cfg(test)]
mod tests;
