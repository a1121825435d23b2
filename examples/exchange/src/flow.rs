//! The flow: clients who trade, by a seed.
//!
//! Prices walk about. Most orders wait a little away from the price of the
//! moment, most of them near it; some go straight across and trade at once; and
//! two in five of all commands take an order back, for that is what traders do
//! most. A client has one command on the way at a time, as it must, and learns
//! from answers which of its orders are open: from its own, and from those of
//! its neighbours in the same flow, for whoever trades is told with whose order.
//! What it did not hear of it may try to cancel in vain.
//!
//! The same seed and the same answers give the same commands. It never knows
//! whether answers are right; that is for the auditor.

use std::collections::HashMap;

use skein_machine::Random;

use crate::words::{
    Action, Answer, Client, Fill, Instrument, MAX_CLIENTS, MAX_INSTRUMENTS, OrderId, Outcome, Price, Quantity, Request,
    Side, Why,
};

/// Of all commands, so many take an order back, if the client has one.
const CANCELS: f64 = 0.4;

/// Of new orders, so many go across. With the cancels they take out of the books about what the others put in, so that
/// some dozens of orders of each client are open.
const ACROSS: f64 = 0.14;

/// A client with so many open orders takes one back before it places another: the books of a long run are as full as
/// those of a short one, and far from what the engine refuses.
pub const MOST_HELD: usize = 256;

/// Where the prices of instruments begin, in ticks, and how far they get from there.
const MIDDLE: Price = 10_000;
const REACH: Price = 1_000;

/// Clients of one process, and the markets as they see them.
#[derive(Debug)]
pub struct Flow {
    random: Random,
    /// The number of the first client; the others follow.
    first: u16,
    traders: Vec<Trader>,
    /// For each instrument its price of the moment.
    prices: Vec<Price>,
    /// Open orders of these clients, as far as they know.
    held: HashMap<OrderId, Held>,
}

/// One client.
#[derive(Debug, Default)]
struct Trader {
    sequence: u64,
    on_the_way: Option<Request>,
    open: Vec<OrderId>,
}

/// An open order: whose, where in that one's list, and what is left of it.
#[derive(Debug)]
struct Held {
    trader: usize,
    place: usize,
    quantity: Quantity,
}

impl Flow {
    /// So many clients, from this number on, who trade the first so many instruments.
    pub fn new(seed: u64, first: Client, clients: u16, instruments: u16) -> Flow {
        assert!(clients > 0, "a flow has clients");
        assert!(first.0 <= MAX_CLIENTS - clients, "{clients} clients from {first} on: there are {MAX_CLIENTS}");
        assert!((1..=MAX_INSTRUMENTS).contains(&instruments), "{instruments} instruments: there are {MAX_INSTRUMENTS}");
        Flow {
            random: Random::new(seed),
            first: first.0,
            traders: (0..clients).map(|_| Trader::default()).collect(),
            prices: vec![MIDDLE; usize::from(instruments)],
            held: HashMap::new(),
        }
    }

    /// One of the clients that wait for nothing; none if all do.
    pub fn somebody(&mut self) -> Option<Client> {
        let count = self.traders.len();
        let begin = self.random.below(count as u64) as usize;
        let free = (0..count).map(|nth| (begin + nth) % count).find(|at| self.traders[*at].on_the_way.is_none());
        free.map(|at| Client(self.first + at as u16))
    }

    /// What a client wants next. It is asked again, the same, until it is answered.
    pub fn next(&mut self, client: Client) -> Request {
        let at = self.trader(client).expect("this client is one of this flow");
        assert!(self.traders[at].on_the_way.is_none(), "{client} waits for an answer and asks for more");
        let open = self.traders[at].open.len();
        let goes = open > 0 && (self.random.chance(CANCELS) || open >= MOST_HELD);
        let action =
            if goes { Action::Cancel { order: *self.random.pick(&self.traders[at].open) } } else { self.order() };
        let trader = &mut self.traders[at];
        trader.sequence += 1;
        let request = Request { client, sequence: trader.sequence, action };
        trader.on_the_way = Some(request);
        request
    }

    /// What a client waits for.
    pub fn on_the_way(&self, client: Client) -> Option<Request> {
        self.traders[self.trader(client)?].on_the_way
    }

    /// How many orders a client believes to be open.
    pub fn held(&self, client: Client) -> usize {
        self.trader(client).map_or(0, |at| self.traders[at].open.len())
    }

    /// An answer has come. True if somebody here waited for it.
    pub fn hear(&mut self, answer: &Answer) -> bool {
        let Some(at) = self.trader(answer.client) else { return false };
        let Some(asked) = self.traders[at].on_the_way.filter(|asked| asked.sequence == answer.sequence) else {
            return false; // An answer that was asked for twice comes twice.
        };
        if !answer.outcome.is_final() {
            return false; // It was not taken, and has to be asked again.
        }
        match &answer.outcome {
            Outcome::Accepted { order, rests, fills, .. } => {
                for fill in fills {
                    self.trade(fill);
                }
                if *rests > 0 {
                    let place = self.traders[at].open.len();
                    self.traders[at].open.push(*order);
                    self.held.insert(*order, Held { trader: at, place, quantity: *rests });
                }
            }
            Outcome::Cancelled { order, .. } => self.forget(*order),
            Outcome::Refused(Why::NotOpen) => {
                if let Action::Cancel { order } = asked.action {
                    self.forget(order);
                }
            }
            Outcome::Refused(_) | Outcome::Digest(_) => {}
        }
        self.traders[at].on_the_way = None;
        true
    }

    fn trader(&self, client: Client) -> Option<usize> {
        let at = usize::from(client.0.checked_sub(self.first)?);
        (at < self.traders.len()).then_some(at)
    }

    /// Somebody has traded with an order, perhaps with one from here.
    fn trade(&mut self, fill: &Fill) {
        if let Some(held) = self.held.get_mut(&fill.maker) {
            held.quantity = held.quantity.saturating_sub(fill.quantity);
            if held.quantity == 0 {
                self.forget(fill.maker);
            }
        }
    }

    /// An order is open no longer.
    fn forget(&mut self, order: OrderId) {
        let Some(Held { trader, place, .. }) = self.held.remove(&order) else { return };
        let open = &mut self.traders[trader].open;
        open.swap_remove(place);
        if let Some(moved) = open.get(place) {
            self.held.get_mut(moved).expect("what is open is held").place = place;
        }
    }

    fn order(&mut self) -> Action {
        // The first instruments are traded more than the last.
        let count = self.prices.len() as u64;
        let at = self.random.below(count).min(self.random.below(count)) as usize;
        self.walk(at);
        let price = self.prices[at];
        let side = if self.random.chance(0.5) { Side::Buy } else { Side::Sell };
        let goes_across = self.random.chance(ACROSS);
        // Half as many a few ticks further away, and half as many again there.
        let steps = self.random.word().trailing_zeros().min(8);
        let away = 1 + 4 * steps + self.random.below(4) as u32;
        let lots = self.random.between(1, 20) as Quantity * if goes_across { 12 } else { 10 };
        let is_up = (side == Side::Sell) != goes_across;
        let price = if is_up { price + away } else { price - away };
        Action::Place { instrument: Instrument(at as u16), side, price, quantity: lots }
    }

    /// One order in fifty moves the price by a tick, rather back to the middle than away.
    fn walk(&mut self, at: usize) {
        if !self.random.chance(0.02) {
            return;
        }
        let price = &mut self.prices[at];
        let height = f64::from(*price) - f64::from(MIDDLE);
        let is_up = self.random.chance(0.5 - 0.5 * height / f64::from(REACH));
        *price = if is_up { *price + 1 } else { *price - 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow::new(1, Client(10), 2, 3)
    }

    fn answer(request: Request, outcome: Outcome) -> Answer {
        Answer { client: request.client, sequence: request.sequence, outcome }
    }

    fn accepted(request: Request, number: u64, fills: Vec<Fill>) -> Answer {
        let Action::Place { instrument, quantity, .. } = request.action else { panic!("{request:?}") };
        let order = OrderId::new(instrument, number);
        answer(request, Outcome::Accepted { order, rests: quantity, dropped: 0, fills })
    }

    /// A command of this client that places an order.
    fn place(flow: &mut Flow, client: Client) -> Request {
        loop {
            let request = flow.next(client);
            if let Action::Place { .. } = request.action {
                return request;
            }
            assert!(flow.hear(&answer(request, Outcome::Refused(Why::Full))));
        }
    }

    #[test]
    fn a_command_is_on_the_way_until_it_is_answered_for_good() {
        let mut flow = flow();
        let request = flow.next(Client(10));
        assert_eq!(flow.on_the_way(Client(10)), Some(request));
        assert_eq!(flow.somebody(), Some(Client(11)), "who waits asks nothing else");
        assert!(!flow.hear(&answer(request, Outcome::Refused(Why::Unavailable))));
        assert!(!flow.hear(&answer(Request { sequence: 9, ..request }, Outcome::Refused(Why::Full))));
        assert!(!flow.hear(&answer(Request { client: Client(12), ..request }, Outcome::Refused(Why::Full))));
        assert!(!flow.hear(&answer(Request { client: Client(9), ..request }, Outcome::Refused(Why::Full))));
        assert_eq!(flow.on_the_way(Client(10)), Some(request));
        flow.next(Client(11));
        assert_eq!(flow.somebody(), None);
        assert!(flow.hear(&accepted(request, 1, Vec::new())));
        assert!(!flow.hear(&accepted(request, 1, Vec::new())), "the answer came twice");
        assert_eq!((flow.somebody(), flow.held(Client(10))), (Some(Client(10)), 1));
    }

    #[test]
    fn who_was_traded_with_is_open_no_longer() {
        let mut flow = flow();
        let maker = place(&mut flow, Client(10));
        assert!(flow.hear(&accepted(maker, 1, Vec::new())));
        let Action::Place { instrument, quantity, .. } = maker.action else { panic!() };
        let fill = |number, quantity| Fill { maker: OrderId::new(instrument, number), price: 1, quantity };
        let taker = place(&mut flow, Client(11));
        assert!(flow.hear(&accepted(taker, 2, vec![fill(1, quantity - 1), fill(77, 5)])));
        assert_eq!((flow.held(Client(10)), flow.held(Client(11))), (1, 1));
        let taker = place(&mut flow, Client(11));
        assert!(flow.hear(&accepted(taker, 3, vec![fill(1, 1)])));
        assert_eq!((flow.held(Client(10)), flow.held(Client(11))), (0, 2));
    }

    #[test]
    fn who_tried_to_cancel_in_vain_tries_no_more() {
        let mut flow = flow();
        let request = place(&mut flow, Client(10));
        assert!(flow.hear(&accepted(request, 1, Vec::new())));
        let cancel = (1..).find_map(|number| {
            let request = flow.next(Client(10));
            match request.action {
                Action::Cancel { .. } => Some(request),
                Action::Place { .. } => {
                    assert!(flow.hear(&accepted(request, number + 1, Vec::new())));
                    None
                }
            }
        });
        let held = flow.held(Client(10));
        assert!(flow.hear(&answer(cancel.unwrap(), Outcome::Refused(Why::NotOpen))));
        assert_eq!(flow.held(Client(10)), held - 1);
    }

    /// Nothing is ever filled, and cancels are refused for another reason than that there is nothing to cancel.
    #[test]
    fn who_holds_much_takes_back_before_it_places_more() {
        let mut flow = flow();
        let mut number = 0;
        let mut cancels = 0;
        for _ in 0..4 * MOST_HELD {
            let request = flow.next(Client(10));
            number += 1;
            let told = match request.action {
                Action::Place { .. } => accepted(request, number, Vec::new()),
                Action::Cancel { .. } => {
                    cancels += usize::from(flow.held(Client(10)) == MOST_HELD);
                    answer(request, Outcome::Refused(Why::Full))
                }
            };
            assert!(flow.hear(&told));
            assert!(flow.held(Client(10)) <= MOST_HELD);
        }
        assert_eq!(flow.held(Client(10)), MOST_HELD);
        assert!(cancels > MOST_HELD);
    }

    #[test]
    #[should_panic(expected = "asks for more")]
    fn nobody_asks_two_things_at_once() {
        let mut flow = flow();
        flow.next(Client(10));
        flow.next(Client(10));
    }
}
