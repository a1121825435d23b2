//! A book: the open orders of one instrument, and how a new one meets them.
//!
//! The rule is as old as exchanges: the best price goes first, and at one price
//! whoever was first. A new order trades with those on the other side, from the
//! best on, as long as their price will do, each time at the price of the order
//! that had waited; what is left of it waits in its turn. So the highest price
//! that somebody pays is always below the lowest that somebody takes.
//!
//! Orders lie in a slab, those of one price in a queue that runs through it, and
//! the queues of one side in an ordered map, the ladder. An index finds an order
//! that is to be cancelled. A trade costs a few steps in memory that was just
//! used; a cancel the same and a look into the index; a new price a place in the
//! map.
//!
//! Orders are numbers, clients are passed through. Whether somebody may order,
//! and what becomes of an answer, is for the engine to say.

mod index;
mod queue;
mod slab;

use std::collections::BTreeMap;

use self::index::Index;
use self::queue::Queue;
use self::slab::{NOWHERE, Node, Slab, Slot};
use crate::words::{Client, MAX_FILLS, Price, Quantity, Side};

/// The open orders of one instrument.
#[derive(Clone, Debug)]
pub struct Book {
    slab: Slab,
    index: Index,
    bids: Ladder,
    asks: Ladder,
}

/// An order: on its way into the book, or in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Orders of one book have rising numbers.
    pub number: u64,
    /// Whose it is.
    pub client: Client,
    /// Which way it goes.
    pub side: Side,
    /// Its limit.
    pub price: Price,
    /// What is left of it.
    pub quantity: Quantity,
}

/// Two orders have met. It happens at the price of whoever was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trade {
    /// The order that had waited.
    pub maker: u64,
    /// Whose that was.
    pub client: Client,
    /// Its price.
    pub price: Price,
    /// How much changed hands.
    pub quantity: Quantity,
    /// Nothing is left of it.
    pub is_done: bool,
}

/// What is left of a new order when it has traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placed {
    /// It waits in the book with so much.
    pub rests: Quantity,
    /// It would have traded with more than [`MAX_FILLS`] others: so much is forgotten, since it
    /// cannot wait in the book at a price at which others wait on the other side.
    pub dropped: Quantity,
}

/// One side of the book: queues by price, the best first.
#[derive(Clone, Debug, Default)]
struct Ladder {
    levels: BTreeMap<Rank, Queue>,
}

/// Prices of one side as numbers of which the lowest is the best: a price itself for those who sell, and for those
/// who buy its distance from the highest of all. So both sides go by the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32);

impl Rank {
    fn new(side: Side, price: Price) -> Rank {
        match side {
            Side::Sell => Rank(price),
            Side::Buy => Rank(Price::MAX - price),
        }
    }
}

impl Book {
    /// A book without orders.
    pub fn new() -> Book {
        Book { slab: Slab::new(), index: Index::new(), bids: Ladder::default(), asks: Ladder::default() }
    }

    /// How many orders are open.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no order is open.
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// A new order trades, and waits with the rest. Its number is above all that were here before.
    pub fn place(&mut self, mut order: Order, on_trade: impl FnMut(&Trade)) -> Placed {
        let wants_more = self.trade(&mut order, on_trade);
        if wants_more {
            return Placed { rests: 0, dropped: order.quantity };
        }
        if order.quantity > 0 {
            let is_new = self.rest(order);
            assert!(is_new, "order {} is placed twice", order.number);
        }
        Placed { rests: order.quantity, dropped: 0 }
    }

    /// Takes what it can from the other side. True if there is more to take, and it has traded often enough.
    fn trade(&mut self, order: &mut Order, mut on_trade: impl FnMut(&Trade)) -> bool {
        let others = order.side.opposite();
        let ladder = match others {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let worst = Rank::new(others, order.price);
        let mut fills = 0;
        while order.quantity > 0 {
            let Some(mut level) = ladder.levels.first_entry().filter(|level| *level.key() <= worst) else { break };
            let queue = level.get_mut();
            while let Some(slot) = queue.first().filter(|_| order.quantity > 0) {
                if fills == MAX_FILLS {
                    return true;
                }
                fills += 1;
                let maker = self.slab.node_mut(slot);
                let quantity = maker.quantity.min(order.quantity);
                maker.quantity -= quantity;
                order.quantity -= quantity;
                let Node { number, client, price, quantity: left, .. } = *maker;
                if left == 0 {
                    queue.take(&mut self.slab, slot);
                    self.slab.remove(slot);
                    self.index.remove(number);
                }
                on_trade(&Trade { maker: number, client, price, quantity, is_done: left == 0 });
            }
            if queue.first().is_none() {
                level.remove();
            }
        }
        false
    }

    /// Puts an order last in the queue of its price. False if an order of this number is there already.
    fn rest(&mut self, order: Order) -> bool {
        let Order { number, client, side, price, quantity } = order;
        let slot = self.slab.insert(Node { number, price, quantity, client, side, before: NOWHERE, behind: NOWHERE });
        if !self.index.insert(number, slot) {
            self.slab.remove(slot);
            return false;
        }
        let (ladder, slab) = self.ladder_mut(side);
        ladder.levels.entry(Rank::new(side, price)).or_insert(Queue::EMPTY).push(slab, slot);
        true
    }

    /// Takes what is left of a client's order out of the book; nothing if it is not there, or not this client's.
    pub fn cancel(&mut self, number: u64, client: Client) -> Option<Quantity> {
        let slot = self.index.get(number)?;
        let Node { client: owner, side, price, quantity, .. } = *self.slab.node(slot);
        if owner != client {
            return None;
        }
        self.index.remove(number);
        let rank = Rank::new(side, price);
        let (ladder, slab) = self.ladder_mut(side);
        let queue = ladder.levels.get_mut(&rank).expect("an order waits in the queue of its price");
        queue.take(slab, slot);
        if queue.first().is_none() {
            ladder.levels.remove(&rank);
        }
        slab.remove(slot);
        Some(quantity)
    }

    /// The orders of one side, from the one that trades next to the one that trades last.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Order> {
        let slots = self.ladder(side).levels.values().flat_map(|queue| queue.iter(&self.slab));
        slots.map(|slot| self.order(slot))
    }

    /// The order of this side that trades next.
    pub fn best(&self, side: Side) -> Option<Order> {
        self.orders(side).next()
    }

    /// Puts an order back that stood in a book, behind those that were put back before. A sentence if it cannot have
    /// stood there.
    pub fn put_back(&mut self, order: Order) -> Result<(), String> {
        let Order { number, side, price, quantity, .. } = order;
        if price == 0 || quantity == 0 || number == 0 {
            return Err(format!("order {number} has {quantity} lots at {price} ticks: none of these can be 0"));
        }
        let rank = Rank::new(side, price);
        if let Some((worst, queue)) = self.ladder(side).levels.last_key_value() {
            let last = queue.last().map_or(0, |slot| self.slab.node(slot).number);
            if (*worst, last) >= (rank, number) {
                return Err(format!("order {number} stands behind order {last}, and would trade before it"));
            }
        }
        if let Some(other) = self.best(side.opposite())
            && Rank::new(other.side, price) >= Rank::new(other.side, other.price)
        {
            return Err(format!("order {number} and order {} would have traded with each other", other.number));
        }
        if self.rest(order) { Ok(()) } else { Err(format!("order {number} stands in the book twice")) }
    }

    /// What must hold between two commands.
    ///
    /// # Panics
    ///
    /// If it does not, with a sentence.
    pub fn check(&self) {
        let mut counted = 0;
        for side in [Side::Buy, Side::Sell] {
            for (rank, queue) in &self.ladder(side).levels {
                assert!(queue.first().is_some(), "an empty queue stands at {rank:?} of {side}");
                let mut newest = 0;
                for slot in queue.iter(&self.slab) {
                    let Node { number, price, quantity, side: own, .. } = *self.slab.node(slot);
                    assert!(quantity > 0, "nothing is left of order {number}, and it waits");
                    assert_eq!((own, Rank::new(side, price)), (side, *rank), "order {number} waits somewhere else");
                    assert!(number > newest, "order {number} waits behind order {newest}");
                    assert_eq!(self.index.get(number), Some(slot), "order {number} is not where it is looked for");
                    newest = number;
                    counted += 1;
                }
            }
        }
        assert_eq!((counted, counted), (self.slab.len(), self.index.len()), "some orders wait in no queue");
        if let (Some(bid), Some(ask)) = (self.best(Side::Buy), self.best(Side::Sell)) {
            assert!(bid.price < ask.price, "{bid:?} and {ask:?} have not met");
        }
    }

    fn order(&self, slot: Slot) -> Order {
        let Node { number, client, side, price, quantity, .. } = *self.slab.node(slot);
        Order { number, client, side, price, quantity }
    }

    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn ladder_mut(&mut self, side: Side) -> (&mut Ladder, &mut Slab) {
        match side {
            Side::Buy => (&mut self.bids, &mut self.slab),
            Side::Sell => (&mut self.asks, &mut self.slab),
        }
    }
}

impl Default for Book {
    fn default() -> Book {
        Book::new()
    }
}

#[cfg(test)]
mod tests;
