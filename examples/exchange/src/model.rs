//! A model of the engine: the same rules, as plainly as they can be said.
//!
//! It is what the engine is held against, so it shares nothing with it but the
//! words and the names of its bounds: no slab, no queues, no index, no common
//! code for the two sides. An order is a line in a list; who trades next is
//! looked up each time. It knows nothing of clients' numbers: whoever replays a
//! history has seen to it that each command is in it once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{MAX_OPEN, MAX_OPEN_OF_CLIENT};
use crate::words::{
    Action, Client, Fill, Instrument, MAX_FILLS, MAX_INSTRUMENTS, OrderId, Outcome, Price, Quantity, Request, Side, Why,
};

/// All that is traded.
#[derive(Clone, Debug, Default)]
pub struct Model {
    markets: BTreeMap<Instrument, Market>,
    open_of: BTreeMap<Client, u32>,
}

/// One instrument.
#[derive(Clone, Debug, Default)]
struct Market {
    /// How many orders were accepted.
    given: u64,
    /// Every open order.
    open: BTreeMap<u64, Open>,
    /// Who buys: the highest price first, then the lowest number.
    buyers: BTreeSet<(Reverse<Price>, u64)>,
    /// Who sells: the lowest price first, then the lowest number.
    sellers: BTreeSet<(Price, u64)>,
}

/// An open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Whose it is.
    pub client: Client,
    /// Which way it goes.
    pub side: Side,
    /// Its limit.
    pub price: Price,
    /// What is left of it.
    pub quantity: Quantity,
}

impl Model {
    /// What becomes of a client's command.
    pub fn take(&mut self, request: &Request) -> Outcome {
        match request.action {
            Action::Place { instrument, side, price, quantity } => {
                self.place(instrument, Open { client: request.client, side, price, quantity })
            }
            Action::Cancel { order } => self.cancel(request.client, order),
        }
    }

    /// Every open order.
    pub fn open(&self) -> impl Iterator<Item = (OrderId, Open)> {
        let of = |(instrument, market): (&Instrument, &'_ Market)| {
            let instrument = *instrument;
            let orders: Vec<_> = market.open.iter().map(|(number, open)| (*number, *open)).collect();
            orders.into_iter().map(move |(number, open)| (OrderId::new(instrument, number), open))
        };
        self.markets.iter().flat_map(of)
    }

    fn place(&mut self, instrument: Instrument, mut new: Open) -> Outcome {
        if instrument.0 >= MAX_INSTRUMENTS {
            return Outcome::Refused(Why::UnknownInstrument);
        }
        if new.price == 0 {
            return Outcome::Refused(Why::NoPrice);
        }
        if new.quantity == 0 {
            return Outcome::Refused(Why::NoQuantity);
        }
        if self.markets.values().map(|market| market.open.len()).sum::<usize>() == MAX_OPEN {
            return Outcome::Refused(Why::Full);
        }
        if self.open_of.get(&new.client) == Some(&MAX_OPEN_OF_CLIENT) {
            return Outcome::Refused(Why::TooManyOpen);
        }
        let market = self.markets.entry(instrument).or_default();
        market.given += 1;
        let order = OrderId::new(instrument, market.given);
        let mut fills = Vec::new();
        while new.quantity > 0 {
            let Some(number) = market.who_trades_next(&new) else {
                market.come(order.number(), new);
                *self.open_of.entry(new.client).or_default() += 1;
                break;
            };
            if fills.len() == MAX_FILLS {
                return Outcome::Accepted { order, rests: 0, dropped: new.quantity, fills };
            }
            let maker = market.open.get_mut(&number).expect("who trades next is open");
            let quantity = maker.quantity.min(new.quantity);
            maker.quantity -= quantity;
            new.quantity -= quantity;
            fills.push(Fill { maker: OrderId::new(instrument, number), price: maker.price, quantity });
            if maker.quantity == 0 {
                *self.open_of.get_mut(&maker.client).expect("its client has open orders") -= 1;
                market.leave(number);
            }
        }
        Outcome::Accepted { order, rests: new.quantity, dropped: 0, fills }
    }

    fn cancel(&mut self, client: Client, order: OrderId) -> Outcome {
        let market = self.markets.get_mut(&order.instrument());
        let open = market.and_then(|market| market.open.get(&order.number()).copied());
        let Some(open) = open.filter(|open| open.client == client) else {
            return Outcome::Refused(Why::NotOpen);
        };
        self.markets.get_mut(&order.instrument()).expect("it has open orders").leave(order.number());
        *self.open_of.get_mut(&client).expect("it has open orders") -= 1;
        Outcome::Cancelled { order, quantity: open.quantity }
    }
}

impl Market {
    /// The best order on the other side, if its price will do.
    fn who_trades_next(&self, new: &Open) -> Option<u64> {
        match new.side {
            Side::Buy => {
                let (price, number) = self.sellers.first()?;
                (*price <= new.price).then_some(*number)
            }
            Side::Sell => {
                let (Reverse(price), number) = self.buyers.first()?;
                (*price >= new.price).then_some(*number)
            }
        }
    }

    fn come(&mut self, number: u64, open: Open) {
        match open.side {
            Side::Buy => self.buyers.insert((Reverse(open.price), number)),
            Side::Sell => self.sellers.insert((open.price, number)),
        };
        self.open.insert(number, open);
    }

    fn leave(&mut self, number: u64) {
        let open = self.open.remove(&number).expect("who leaves was there");
        match open.side {
            Side::Buy => self.buyers.remove(&(Reverse(open.price), number)),
            Side::Sell => self.sellers.remove(&(open.price, number)),
        };
    }
}
