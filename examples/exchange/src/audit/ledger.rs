//! The ledger: of each order, how much is still open, as the answers tell it.
//!
//! It knows no rules of trading, only that nothing comes from nothing: an id is
//! given once, a trade takes from both who trade, and what was ordered is what
//! was filled, cancelled, dropped and is open. It is a second opinion, beside
//! the model, that shares nothing with it.

use super::Fault;
use crate::engine::History;
use crate::words::{Action, Client, MAX_INSTRUMENTS, OrderId, Outcome, Price, Quantity, Request, Side};

/// Every order that ever was.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By instrument and number.
    orders: Vec<Vec<Line>>,
    pub(super) sums: Sums,
    pub(super) history: History,
}

/// An order, and what is still open of it.
#[derive(Clone, Copy, Debug)]
struct Line {
    client: Client,
    side: Side,
    price: Price,
    open: Quantity,
}

/// Amounts over all orders, in lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// What was ordered.
    pub ordered: u128,
    /// What was filled, of either side of a trade.
    pub filled: u128,
    /// What was cancelled or dropped.
    pub cancelled: u128,
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        Ledger { orders: vec![Vec::new(); usize::from(MAX_INSTRUMENTS)], sums: Sums::default(), history: History::NEW }
    }

    /// Enters what became of a command.
    pub(super) fn enter(&mut self, place: u64, request: &Request, outcome: &Outcome) -> Result<(), Fault> {
        self.history.taken += 1;
        match (request.action, outcome) {
            (Action::Place { side, price, quantity, .. }, Outcome::Accepted { order, rests, dropped, fills }) => {
                let line = Line { client: request.client, side, price, open: quantity };
                self.open(place, *order, line)?;
                self.sums.ordered += u128::from(quantity);
                self.history.order(*order, request.client, side, price, quantity);
                for fill in fills {
                    self.take(place, fill.maker, fill.quantity)?;
                    self.take(place, *order, fill.quantity)?;
                    self.sums.filled += 2 * u128::from(fill.quantity);
                    self.history.trade(fill.maker, fill.price, fill.quantity);
                }
                if *dropped > 0 {
                    self.take(place, *order, *dropped)?;
                    self.sums.cancelled += u128::from(*dropped);
                    self.history.dropped(*dropped);
                }
                let open = self.line(*order).open;
                if open != *rests {
                    let told = u64::from(quantity) - u64::from(open) + u64::from(*rests);
                    return Err(Fault::DoesNotAddUp { place, order: *order, ordered: u64::from(quantity), told });
                }
            }
            (_, Outcome::Cancelled { order, quantity }) => {
                self.take(place, *order, *quantity)?;
                self.sums.cancelled += u128::from(*quantity);
                self.history.cancel(*order, *quantity);
                // An order is cancelled as a whole.
                let left = self.line(*order).open;
                if left > 0 {
                    let (open, wanted) = (u64::from(left) + u64::from(*quantity), u64::from(*quantity));
                    return Err(Fault::NotOpen { place, order: *order, open, wanted });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whatever is open: its id, client, side, price and how much.
    pub(super) fn open_orders(&self) -> impl Iterator<Item = (OrderId, Client, Side, Price, Quantity)> {
        (0..MAX_INSTRUMENTS).zip(&self.orders).flat_map(|(instrument, lines)| {
            let open = (1..).zip(lines).filter(|(_, line)| line.open > 0);
            open.map(move |(number, line)| {
                let id = OrderId::new(crate::words::Instrument(instrument), number);
                (id, line.client, line.side, line.price, line.open)
            })
        })
    }

    fn open(&mut self, place: u64, order: OrderId, line: Line) -> Result<(), Fault> {
        let Some(lines) = self.orders.get_mut(usize::from(order.instrument().0)) else {
            return Err(Fault::OrderLeftOut { place, order, expected: 1 });
        };
        let expected = lines.len() as u64 + 1;
        if order.number() < expected {
            return Err(Fault::OrderTwice { place, order });
        }
        if order.number() > expected {
            return Err(Fault::OrderLeftOut { place, order, expected });
        }
        lines.push(line);
        Ok(())
    }

    /// So much of an order is open no longer.
    fn take(&mut self, place: u64, order: OrderId, quantity: Quantity) -> Result<(), Fault> {
        let lines = self.orders.get_mut(usize::from(order.instrument().0));
        let line = lines.and_then(|lines| lines.get_mut((order.number() - 1) as usize));
        let open = line.as_ref().map_or(0, |line| line.open);
        match line.filter(|_| quantity <= open && quantity > 0) {
            Some(line) => line.open -= quantity,
            None => {
                let (open, wanted) = (u64::from(open), u64::from(quantity));
                return Err(Fault::NotOpen { place, order, open, wanted });
            }
        }
        Ok(())
    }

    fn line(&self, order: OrderId) -> &Line {
        &self.orders[usize::from(order.instrument().0)][(order.number() - 1) as usize]
    }
}
