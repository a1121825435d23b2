//! What a book does, by small stories; tests/book.rs holds it against a model.

use super::*;

const ANN: Client = Client(1);
const BOB: Client = Client(2);

/// Places orders and says what was traded, in words: `maker quantity@price`.
struct Floor {
    book: Book,
    given: u64,
}

impl Floor {
    fn new() -> Floor {
        Floor { book: Book::new(), given: 0 }
    }

    fn place(&mut self, client: Client, side: Side, quantity: Quantity, price: Price) -> (Placed, String) {
        self.given += 1;
        let mut trades = Vec::new();
        let order = Order { number: self.given, client, side, price, quantity };
        let placed = self.book.place(order, |trade| {
            let done = if trade.is_done { "" } else { "…" };
            trades.push(format!("{} {}@{}{done}", trade.maker, trade.quantity, trade.price));
        });
        self.book.check();
        (placed, trades.join(", "))
    }

    fn buy(&mut self, quantity: Quantity, price: Price) -> String {
        self.place(ANN, Side::Buy, quantity, price).1
    }

    fn sell(&mut self, quantity: Quantity, price: Price) -> String {
        self.place(BOB, Side::Sell, quantity, price).1
    }

    fn cancel(&mut self, number: u64, client: Client) -> Option<Quantity> {
        let left = self.book.cancel(number, client);
        self.book.check();
        left
    }

    /// The book as it is read: the best of each side first.
    fn shown(&self) -> String {
        let side = |side| {
            let orders =
                self.book.orders(side).map(|order| format!("{} {}@{}", order.number, order.quantity, order.price));
            orders.collect::<Vec<_>>().join(", ")
        };
        format!("{} | {}", side(Side::Buy), side(Side::Sell))
    }
}

#[test]
fn the_best_price_goes_first_and_at_one_price_whoever_was_first() {
    let mut floor = Floor::new();
    for (quantity, price) in [(10, 102), (10, 101), (10, 103), (10, 101)] {
        assert_eq!(floor.sell(quantity, price), "");
    }
    assert_eq!(floor.shown(), " | 2 10@101, 4 10@101, 1 10@102, 3 10@103");
    assert_eq!(floor.buy(25, 102), "2 10@101, 4 10@101, 1 5@102…");
    assert_eq!(floor.shown(), " | 1 5@102, 3 10@103");
}

#[test]
fn who_buys_is_a_mirror_of_who_sells() {
    let mut floor = Floor::new();
    for (quantity, price) in [(10, 98), (10, 99), (10, 97), (10, 99)] {
        assert_eq!(floor.buy(quantity, price), "");
    }
    assert_eq!(floor.sell(25, 98), "2 10@99, 4 10@99, 1 5@98…");
    assert_eq!(floor.shown(), "1 5@98, 3 10@97 | ");
}

#[test]
fn what_is_left_waits_at_its_own_price() {
    let mut floor = Floor::new();
    floor.sell(10, 100);
    let (placed, trades) = floor.place(ANN, Side::Buy, 15, 105);
    assert_eq!(placed, Placed { rests: 5, dropped: 0 });
    assert_eq!(trades, "1 10@100", "at the price of whoever was first");
    assert_eq!(floor.shown(), "2 5@105 | ");
    assert_eq!(floor.sell(5, 1), "2 5@105");
    assert!(floor.book.is_empty());
}

#[test]
fn who_is_filled_in_part_keeps_its_place() {
    let mut floor = Floor::new();
    floor.sell(10, 100);
    floor.sell(10, 100);
    assert_eq!(floor.buy(4, 100), "1 4@100…");
    assert_eq!(floor.buy(10, 100), "1 6@100, 2 4@100…");
}

#[test]
fn a_cancel_takes_what_is_left_and_only_the_owner_may() {
    let mut floor = Floor::new();
    floor.sell(10, 100);
    floor.sell(10, 100);
    floor.sell(10, 100);
    floor.buy(3, 100);
    assert_eq!(floor.cancel(1, ANN), None, "somebody else's");
    assert_eq!(floor.cancel(2, BOB), Some(10));
    assert_eq!(floor.cancel(1, BOB), Some(7));
    assert_eq!(floor.cancel(1, BOB), None, "it is gone");
    assert_eq!(floor.cancel(99, BOB), None, "it never was");
    assert_eq!(floor.shown(), " | 3 10@100");
    assert_eq!(floor.cancel(3, BOB), Some(10));
    assert!(floor.book.is_empty());
}

#[test]
fn an_order_meets_so_many_others_and_the_rest_is_dropped() {
    let mut floor = Floor::new();
    for _ in 0..=MAX_FILLS {
        floor.sell(1, 100);
    }
    let (placed, _) = floor.place(ANN, Side::Buy, 1000, 100);
    assert_eq!(placed, Placed { rests: 0, dropped: 1000 - MAX_FILLS as Quantity });
    assert_eq!(floor.shown(), " | 65 1@100", "and nothing waits across from it");
    // One that meets exactly so many, and finds nobody else, waits as ever.
    for _ in 1..MAX_FILLS {
        floor.sell(1, 100);
    }
    let (placed, _) = floor.place(ANN, Side::Buy, 1000, 100);
    assert_eq!(placed, Placed { rests: 1000 - MAX_FILLS as Quantity, dropped: 0 });
}

#[test]
fn the_ends_of_the_scale_are_prices_like_others() {
    let mut floor = Floor::new();
    floor.buy(1, 1);
    floor.sell(1, Price::MAX);
    assert_eq!(floor.shown(), "1 1@1 | 2 1@4294967295");
    assert_eq!(floor.buy(Quantity::MAX, Price::MAX), "2 1@4294967295");
    assert_eq!(floor.sell(Quantity::MAX, 1), "3 4294967294@4294967295, 1 1@1");
    assert!(floor.book.is_empty());
}

#[test]
fn a_book_is_put_back_as_it_is_read() {
    let mut floor = Floor::new();
    floor.buy(5, 99);
    floor.buy(5, 98);
    floor.buy(5, 99);
    floor.sell(5, 101);
    let mut again = Book::new();
    for side in [Side::Buy, Side::Sell] {
        for order in floor.book.orders(side) {
            again.put_back(order).unwrap();
        }
    }
    again.check();
    assert_eq!(Floor { book: again, given: 0 }.shown(), floor.shown());
}

#[test]
fn what_no_book_can_hold_is_not_put_back() {
    let order = |number, side, price| Order { number, client: ANN, side, price, quantity: 1 };
    let mut book = Book::new();
    book.put_back(order(5, Side::Buy, 99)).unwrap();
    let mut refused = |order| {
        let why = book.put_back(order).unwrap_err();
        book.check();
        why
    };
    assert!(refused(order(6, Side::Buy, 100)).contains("trade before it"));
    assert!(refused(order(4, Side::Buy, 99)).contains("trade before it"));
    assert!(refused(order(6, Side::Sell, 99)).contains("traded with each other"));
    assert!(refused(order(5, Side::Buy, 98)).contains("twice"));
    assert!(refused(order(5, Side::Sell, 100)).contains("twice"));
    assert!(refused(order(6, Side::Buy, 0)).contains("can be 0"));
    assert!(refused(Order { quantity: 0, ..order(6, Side::Buy, 9) }).contains("can be 0"));
    assert!(refused(order(0, Side::Buy, 9)).contains("can be 0"));
    assert_eq!(book.len(), 1);
}

#[test]
#[should_panic(expected = "placed twice")]
fn numbers_are_used_once() {
    let order = Order { number: 1, client: ANN, side: Side::Buy, price: 1, quantity: 1 };
    let mut book = Book::new();
    book.place(order, |_| {});
    book.place(order, |_| {});
}
