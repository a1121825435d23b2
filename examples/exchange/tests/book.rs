//! Books and engines against the model: whatever is ordered and cancelled, they
//! do the same, trade by trade.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::Config;
use skein_exchange::book::{Book, Order, Placed};
use skein_exchange::engine::Engine;
use skein_exchange::model::Model;
use skein_exchange::words::{
    Action, Answer, Client, Fill, Instrument, MAX_INSTRUMENTS, OrderId, Outcome, Price, Quantity, Request, Side, Why,
};
use skein_machine::Service;

/// Something that a client does, in a market that is narrow enough for all to meet.
#[derive(Clone, Copy, Debug)]
enum Step {
    Place {
        client: u16,
        instrument: u16,
        side: Side,
        price: Price,
        quantity: Quantity,
    },
    /// Of the orders so far, one that many before the last.
    Cancel {
        client: u16,
        instrument: u16,
        back: u64,
    },
}

fn steps(instruments: u16, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let quantity = prop_oneof![8 => 1u32..10, 1 => 50u32..200, 1 => Just(Quantity::MAX)];
    let place = (0u16..4, 0..instruments, side, 1u32..8, quantity);
    let place = place.prop_map(|(client, instrument, side, price, quantity)| Step::Place {
        client,
        instrument,
        side,
        price,
        quantity,
    });
    let cancel = (0u16..4, 0..instruments, 0u64..12).prop_map(|(client, instrument, back)| Step::Cancel {
        client,
        instrument,
        back,
    });
    prop::collection::vec(prop_oneof![3 => place, 1 => cancel], 0..most)
}

fn cases(cases: u32) -> Config {
    Config { cases, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_book_does_what_the_model_does(steps in steps(1, 150)) {
        let instrument = Instrument(0);
        let (mut book, mut model, mut given) = (Book::new(), Model::default(), 0);
        for step in steps {
            match step {
                Step::Place { client, side, price, quantity, .. } => {
                    given += 1;
                    let client = Client(client);
                    let mut fills = Vec::new();
                    let order = Order { number: given, client, side, price, quantity };
                    let Placed { rests, dropped } = book.place(order, |trade| {
                        let maker = OrderId::new(instrument, trade.maker);
                        fills.push(Fill { maker, price: trade.price, quantity: trade.quantity });
                    });
                    let outcome = Outcome::Accepted { order: OrderId::new(instrument, given), rests, dropped, fills };
                    let action = Action::Place { instrument, side, price, quantity };
                    prop_assert_eq!(outcome, model.take(&Request { client, sequence: 1, action }));
                }
                Step::Cancel { client, back, .. } if back < given => {
                    let (client, order) = (Client(client), OrderId::new(instrument, given - back));
                    let outcome = match book.cancel(order.number(), client) {
                        Some(quantity) => Outcome::Cancelled { order, quantity },
                        None => Outcome::Refused(Why::NotOpen),
                    };
                    let action = Action::Cancel { order };
                    prop_assert_eq!(outcome, model.take(&Request { client, sequence: 1, action }));
                }
                Step::Cancel { .. } => {}
            }
            book.check();
        }
        let open: Vec<_> = model.open().collect();
        prop_assert_eq!(open.len(), book.len());
        for order in [Side::Buy, Side::Sell].into_iter().flat_map(|side| book.orders(side)) {
            let id = OrderId::new(instrument, order.number);
            let held = open.iter().find(|(other, _)| *other == id).map(|(_, open)| *open);
            let held = held.map(|open| (open.client, open.side, open.price, open.quantity));
            prop_assert_eq!(held, Some((order.client, order.side, order.price, order.quantity)));
        }
    }

    /// Answers get lost and commands are asked again; now and then the engine is killed, and another one goes on from
    /// its snapshot. A second engine, to which nothing of this happens, ends the same.
    #[test]
    fn an_engine_does_what_the_model_does_whatever_happens_to_it(
        steps in steps(3, 120), again in prop::collection::vec(any::<bool>(), 120), killed in 0usize..120,
    ) {
        let (mut engine, mut calm, mut model) = (Engine::new(), Engine::new(), Model::default());
        let mut sequences = [0u64; 4];
        let mut given = [0u64; 3];
        for (nth, step) in steps.into_iter().enumerate() {
            let (client, action) = match step {
                Step::Place { client, instrument, side, price, quantity } => {
                    given[usize::from(instrument)] += 1;
                    (client, Action::Place { instrument: Instrument(instrument), side, price, quantity })
                }
                Step::Cancel { client, instrument, back } => {
                    let number = given[usize::from(instrument)].saturating_sub(back).max(1);
                    (client, Action::Cancel { order: OrderId::new(Instrument(instrument), number) })
                }
            };
            let sequence = &mut sequences[usize::from(client)];
            *sequence += 1;
            let request = Request { client: Client(client), sequence: *sequence, action };
            let told = engine.command(&request.encode());
            let outcome = model.take(&request);
            prop_assert_eq!(Answer::decode(&told), Ok(Answer { client: request.client, sequence: *sequence, outcome }));
            prop_assert_eq!(calm.command(&request.encode()), &told);
            if nth == killed {
                let mut next = Engine::new();
                next.restore(snapshot(&engine)).unwrap();
                engine = next;
            }
            if again[nth] {
                prop_assert_eq!(engine.command(&request.encode()), told);
                let early = Request { sequence: *sequence + 2, ..request };
                let told = Answer::decode(&engine.command(&early.encode())).unwrap();
                prop_assert_eq!(told.outcome, Outcome::Refused(Why::Gap));
            }
            engine.check();
        }
        prop_assert_eq!(snapshot(&engine), snapshot(&calm));
        prop_assert_eq!(engine.digest(), calm.digest());
        let held = (0..MAX_INSTRUMENTS).map(Instrument).map(|instrument| {
            engine.orders(instrument, Side::Buy).count() + engine.orders(instrument, Side::Sell).count()
        });
        prop_assert_eq!(held.sum::<usize>(), model.open().count());
    }

    /// Bytes of strangers: the engine answers, and holds together.
    #[test]
    fn whatever_is_said_the_engine_stands(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 24), 0..60)) {
        let mut engine = Engine::new();
        for mut word in words {
            // Made likely to mean something: a kind, a side, and small numbers.
            word[0] %= 4;
            word[1] %= 2;
            for at in [3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21] {
                word[at] /= 250;
            }
            word[8] = word[8] % 3 + 1;
            prop_assert!(Answer::decode(&engine.command(&word)).is_ok());
        }
        engine.check();
    }
}

fn snapshot(engine: &Engine) -> Bytes {
    engine.snapshot().next(usize::MAX).unwrap()
}
