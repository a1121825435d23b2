//! The history of an engine, in five words: how much happened, and a digest of
//! all of it in order. Two engines with the same five did the same.
//!
//! The auditor keeps one too, from what it reads.

use crate::digest::Digest;
use crate::words::{Client, OrderId, Price, Quantity, Side};

/// How much happened so far, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// Commands that used up a number.
    pub taken: u64,
    /// Orders that were accepted.
    pub orders: u64,
    /// Trades.
    pub trades: u64,
    /// Orders that were cancelled.
    pub cancels: u64,
    /// Of all orders, trades and cancels.
    pub digest: Digest,
}

/// What an event begins with in the digest. Each is followed by a number of words of its own, so that no two stories
/// are the same row of words.
const ORDER: u64 = u64::MAX;
const TRADE: u64 = u64::MAX - 1;
const DROPPED: u64 = u64::MAX - 2;
const CANCEL: u64 = u64::MAX - 3;

impl History {
    /// Nothing happened yet.
    pub const NEW: History = History { taken: 0, orders: 0, trades: 0, cancels: 0, digest: Digest::NEW };

    /// An order was accepted; its trades follow.
    #[inline]
    pub fn order(&mut self, id: OrderId, client: Client, side: Side, price: Price, quantity: Quantity) {
        self.orders += 1;
        let side = u64::from(side == Side::Sell);
        self.say([ORDER, id.bits(), u64::from(client.0) << 1 | side, pair(price, quantity)]);
    }

    /// The last order has traded with one that waited.
    #[inline]
    pub fn trade(&mut self, maker: OrderId, price: Price, quantity: Quantity) {
        self.trades += 1;
        self.say([TRADE, maker.bits(), pair(price, quantity)]);
    }

    /// So much of the last order was dropped.
    #[inline]
    pub fn dropped(&mut self, quantity: Quantity) {
        self.say([DROPPED, u64::from(quantity)]);
    }

    /// So much of an order was cancelled.
    #[inline]
    pub fn cancel(&mut self, id: OrderId, quantity: Quantity) {
        self.cancels += 1;
        self.say([CANCEL, id.bits(), u64::from(quantity)]);
    }

    #[inline]
    fn say<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.digest.word(word);
        }
    }
}

fn pair(price: Price, quantity: Quantity) -> u64 {
    u64::from(price) << 32 | u64::from(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Instrument;
    use std::collections::BTreeSet;

    #[test]
    fn whatever_is_otherwise_gives_another_digest() {
        let id = |number| OrderId::new(Instrument(1), number);
        let stories: &[&dyn Fn(&mut History)] = &[
            &|_| {},
            &|history| history.order(id(1), Client(1), Side::Buy, 10, 20),
            &|history| history.order(id(2), Client(1), Side::Buy, 10, 20),
            &|history| history.order(id(1), Client(2), Side::Buy, 10, 20),
            &|history| history.order(id(1), Client(1), Side::Sell, 10, 20),
            &|history| history.order(id(1), Client(1), Side::Buy, 20, 10),
            &|history| history.trade(id(1), 10, 20),
            &|history| history.trade(id(1), 10, 10),
            &|history| {
                history.trade(id(1), 10, 10);
                history.trade(id(1), 10, 10);
            },
            &|history| history.cancel(id(1), 20),
            &|history| history.dropped(20),
            &|history| {
                history.trade(id(1), 10, 10);
                history.cancel(id(1), 20);
            },
            &|history| {
                history.cancel(id(1), 20);
                history.trade(id(1), 10, 10);
            },
        ];
        let digests: BTreeSet<u64> = stories
            .iter()
            .map(|story| {
                let mut history = History::NEW;
                story(&mut history);
                history.digest.value()
            })
            .collect();
        assert_eq!(digests.len(), stories.len());
    }
}
