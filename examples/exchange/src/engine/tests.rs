//! What an engine does with clients, bounds and snapshots; tests/engine.rs
//! holds what it does with orders against a model.

use skein_machine::{GroupId, MessageId, Stamp};

use super::*;

fn place(client: u16, sequence: u64, side: Side, price: Price, quantity: Quantity) -> Request {
    let action = Action::Place { instrument: Instrument(0), side, price, quantity };
    Request { client: Client(client), sequence, action }
}

fn cancel(client: u16, sequence: u64, number: u64) -> Request {
    let action = Action::Cancel { order: OrderId::new(Instrument(0), number) };
    Request { client: Client(client), sequence, action }
}

fn say(engine: &mut Engine, request: Request) -> Outcome {
    let answer = Answer::decode(&engine.command(&request.encode())).unwrap();
    assert_eq!((answer.client, answer.sequence), (request.client, request.sequence));
    answer.outcome
}

fn snapshot_of(engine: &Engine) -> Bytes {
    engine.snapshot().next(1).unwrap()
}

fn restored(bytes: Bytes) -> Engine {
    let mut engine = Engine::new();
    engine.restore(bytes).unwrap();
    engine.check();
    engine
}

/// A short day: five commands of two clients, one of them refused.
fn day() -> Engine {
    let mut engine = Engine::new();
    say(&mut engine, place(1, 1, Side::Sell, 100, 10));
    say(&mut engine, place(2, 1, Side::Buy, 100, 4));
    say(&mut engine, place(2, 2, Side::Buy, 99, 5));
    say(&mut engine, cancel(2, 3, 1));
    say(&mut engine, place(2, 4, Side::Sell, 101, 5));
    engine.check();
    engine
}

#[test]
fn a_command_is_done_once_and_answered_as_often_as_asked() {
    let mut engine = Engine::new();
    let ask = place(1, 1, Side::Sell, 100, 10).encode();
    let bid = place(2, 1, Side::Buy, 100, 4).encode();
    let first = [engine.command(&ask), engine.command(&bid)];
    let before = snapshot_of(&engine);
    assert_eq!([engine.command(&ask), engine.command(&bid)], first);
    assert_eq!(snapshot_of(&engine), before);
    assert_eq!((engine.history().orders, engine.history().trades), (2, 1));
}

#[test]
fn a_refusal_uses_up_its_number_only_if_it_is_about_the_books() {
    let mut engine = Engine::new();
    assert_eq!(say(&mut engine, place(1, 2, Side::Buy, 1, 1)), Outcome::Refused(Why::Gap));
    assert_eq!(say(&mut engine, place(MAX_CLIENTS, 1, Side::Buy, 1, 1)), Outcome::Refused(Why::UnknownClient));
    assert_eq!(engine.history(), &History::NEW);
    assert_eq!(say(&mut engine, place(1, 1, Side::Buy, 0, 1)), Outcome::Refused(Why::NoPrice));
    assert_eq!(say(&mut engine, place(1, 2, Side::Buy, 1, 0)), Outcome::Refused(Why::NoQuantity));
    assert_eq!(say(&mut engine, cancel(1, 3, 1)), Outcome::Refused(Why::NotOpen));
    let unknown = |action| Request { client: Client(1), sequence: 4, action };
    let instrument = Instrument(MAX_INSTRUMENTS);
    let order = unknown(Action::Place { instrument, side: Side::Buy, price: 1, quantity: 1 });
    assert_eq!(say(&mut engine, order), Outcome::Refused(Why::UnknownInstrument));
    let order = unknown(Action::Cancel { order: OrderId::new(instrument, 1) });
    assert_eq!(say(&mut engine, order), Outcome::Refused(Why::NumberUsed));
    assert_eq!(say(&mut engine, Request { sequence: 5, ..order }), Outcome::Refused(Why::NotOpen));
    assert_eq!(say(&mut engine, place(1, 4, Side::Buy, 1, 1)), Outcome::Refused(Why::Past));
    assert_eq!(engine.history().taken, 5);
    engine.check();
}

#[test]
fn bytes_that_are_no_command_do_nothing() {
    let mut engine = day();
    let before = snapshot_of(&engine);
    for bytes in [&b""[..], &[0; 24], &[1; 23], &[1; 25], &[255; 24]] {
        let answer = Answer::decode(&engine.command(bytes)).unwrap();
        assert_eq!(answer, Answer::refused(Client(0), 0, Why::Malformed));
    }
    assert_eq!(snapshot_of(&engine), before);
}

#[test]
fn an_order_tells_its_id_its_fills_and_its_rest() {
    let mut engine = Engine::new();
    say(&mut engine, place(1, 1, Side::Sell, 100, 10));
    say(&mut engine, place(1, 2, Side::Sell, 101, 10));
    let id = |number| OrderId::new(Instrument(0), number);
    let fill = |number, price, quantity| Fill { maker: id(number), price, quantity };
    let outcome = say(&mut engine, place(2, 1, Side::Buy, 101, 25));
    let fills = vec![fill(1, 100, 10), fill(2, 101, 10)];
    assert_eq!(outcome, Outcome::Accepted { order: id(3), rests: 5, dropped: 0, fills });
    assert_eq!(say(&mut engine, cancel(1, 3, 3)), Outcome::Refused(Why::NotOpen), "somebody else's");
    assert_eq!(say(&mut engine, cancel(2, 2, 3)), Outcome::Cancelled { order: id(3), quantity: 5 });
    assert_eq!(engine.open(), 0);
    engine.check();
}

/// Sixty-four clients fill the books, and each its share of them.
#[test]
fn books_and_clients_have_bounds() {
    let mut engine = Engine::new();
    let share = u64::from(MAX_OPEN_OF_CLIENT);
    let clients = (MAX_OPEN as u64 / share) as u16;
    for client in 0..clients {
        for sequence in 1..=share {
            assert!(matches!(say(&mut engine, place(client, sequence, Side::Buy, 1, 1)), Outcome::Accepted { .. }));
        }
        if client == 0 {
            let outcome = say(&mut engine, place(0, share + 1, Side::Buy, 1, 1));
            assert_eq!(outcome, Outcome::Refused(Why::TooManyOpen));
        }
    }
    assert_eq!(engine.open(), MAX_OPEN);
    assert_eq!(say(&mut engine, place(clients, 1, Side::Sell, 1, 1)), Outcome::Refused(Why::Full));
    // What is full can be written and read.
    let mut again = restored(snapshot_of(&engine));
    assert_eq!(snapshot_of(&again), snapshot_of(&engine));
    assert!(matches!(say(&mut again, cancel(0, share + 2, 5)), Outcome::Cancelled { .. }));
    let outcome = say(&mut again, place(clients, 2, Side::Sell, 1, 1));
    assert!(matches!(outcome, Outcome::Accepted { rests: 0, .. }), "{outcome:?}");
    again.check();
}

#[test]
fn a_sweep_and_its_answer_have_a_bound() {
    let mut engine = Engine::new();
    for sequence in 1..=MAX_FILLS as u64 + 1 {
        say(&mut engine, place(1, sequence, Side::Sell, 100, 1));
    }
    let outcome = say(&mut engine, place(2, 1, Side::Buy, 100, 100));
    let Outcome::Accepted { rests: 0, dropped: 36, fills, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(fills.len(), MAX_FILLS);
    assert_eq!(engine.open(), 1);
    restored(snapshot_of(&engine));
}

#[test]
fn a_digest_can_be_asked_for_in_the_order_and_beside_it() {
    let mut engine = day();
    let before = snapshot_of(&engine);
    let question = Bytes::copy_from_slice(&Command::Digest.encode());
    let told = engine.command(&question);
    assert_eq!(engine.read(Timestamp(0), &question).0, told);
    assert_eq!(snapshot_of(&engine), before);
    let Outcome::Digest(digest) = Answer::decode(&told).unwrap().outcome else { panic!() };
    assert_eq!((digest.taken, digest.orders, digest.trades), (5, 4, 1));
    assert_ne!(Answer::decode(&Engine::new().command(&question)).unwrap().outcome, Outcome::Digest(digest));
    // The same books after another past.
    say(&mut engine, place(1, 2, Side::Buy, 1, 1));
    say(&mut engine, cancel(1, 3, 5));
    let Outcome::Digest(later) = engine.digest().outcome else { panic!() };
    assert!(later.history != digest.history && later.state != digest.state);
}

#[test]
fn as_a_service_it_is_the_same() {
    let mut service: Box<dyn Service> = Box::new(Engine::new());
    let request = place(1, 1, Side::Buy, 1, 1);
    let command = Bytes::copy_from_slice(&request.encode());
    let stamp = Stamp { timestamp: Timestamp(1), id: MessageId::new(1, 1, 0b1) };
    let call = Call { stamp, nth: 0, group: GroupId::new(0).unwrap(), command: &command };
    assert_eq!(service.share(&call), None);
    let unavailable = Answer::refused(Client(1), 1, Why::Unavailable);
    assert_eq!(Answer::decode(&service.refuse(&command, "busy").0), Ok(unavailable.clone()));
    assert_eq!(Answer::decode(&service.read(Timestamp(1), &command).0), Ok(unavailable));
    assert_eq!(service.apply(&call, &Shares::none()).0, Engine::new().command(&command));
    let mut gauges = Vec::new();
    service.gauges(&mut |name, value| gauges.push((name, value)));
    assert!(gauges.contains(&("exchange_open_orders", 1)) && gauges.contains(&("exchange_commands", 1)));
}

#[test]
fn a_snapshot_is_restored_to_the_same_and_goes_on_alike() {
    let mut engine = day();
    let mut again = restored(snapshot_of(&engine));
    assert_eq!(snapshot_of(&again), snapshot_of(&engine));
    let repeated = place(2, 4, Side::Sell, 101, 5).encode();
    assert_eq!(again.command(&repeated), engine.command(&repeated));
    let next = place(1, 2, Side::Buy, 105, 50).encode();
    assert_eq!(again.command(&next), engine.command(&next));
    assert_eq!(snapshot_of(&again), snapshot_of(&engine));
}

/// Any byte that is cut off or changed is noticed, or makes another engine that holds together; a restore that fails
/// leaves everything as it was.
#[test]
fn a_damaged_snapshot_is_refused_or_is_another_engine() {
    let bytes = snapshot_of(&day());
    let mut engine = Engine::new();
    say(&mut engine, place(9, 1, Side::Buy, 1, 1));
    let before = snapshot_of(&engine);
    for length in 0..bytes.len() {
        assert!(engine.restore(bytes.slice(..length)).is_err(), "{length} bytes are enough");
    }
    assert_eq!(snapshot_of(&engine), before);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            let changed = Bytes::from(changed);
            let mut other = Engine::new();
            if other.restore(changed.clone()).is_ok() {
                other.check();
                assert_eq!(snapshot_of(&other), changed, "bit {bit} of byte {at}");
            }
        }
    }
    let longer = Bytes::from([&bytes[..], &[0]].concat());
    assert!(engine.restore(longer).unwrap_err().contains("behind the last book"));
}

#[test]
fn a_snapshot_says_what_is_wrong_with_it() {
    let refused = |change: &dyn Fn(&mut Engine)| {
        let mut engine = day();
        change(&mut engine);
        Engine::new().restore(snapshot_of(&engine)).unwrap_err()
    };
    assert!(Engine::new().restore(Bytes::from_static(b"skeinkv\x01")).unwrap_err().contains("no snapshot"));
    assert!(refused(&|engine| engine.history.taken += 1).contains("different histories"));
    assert!(refused(&|engine| engine.markets[0].given += 1).contains("different histories"));
    assert!(refused(&|engine| engine.markets[0].given = 2).contains("order 3 of 2 waits"));
    assert!(refused(&|engine| engine.clients.record(Client(2)).last = 0).contains("different histories"));
    assert!(refused(&|engine| engine.clients.record(Client(2)).answer.clear()).contains("answers something else"));
    let gap = |engine: &mut Engine| {
        let mut answer = Vec::new();
        Answer::refused(Client(2), 4, Why::Gap).encode(&mut answer);
        engine.clients.record(Client(2)).answer = answer;
    };
    assert!(refused(&gap).contains("answers something else"));
}

#[test]
fn clients_and_books_stand_in_a_snapshot_once_and_by_rising_number() {
    let refused = |engine: &Engine, at: usize, was: u16, is: u16| {
        let mut bytes = snapshot_of(engine).to_vec();
        assert_eq!(bytes[at..at + 2], was.to_le_bytes());
        bytes[at..at + 2].copy_from_slice(&is.to_le_bytes());
        Engine::new().restore(Bytes::from(bytes)).unwrap_err()
    };
    // Behind six numbers come how many clients there are and the first of them; each has a number, a command and an
    // answer without fills.
    let (first, client) = (6 * 8 + 2, 2 + (4 + 24) + (4 + 32));
    let twice = refused(&day(), first + client, 2, 1);
    assert!(twice.starts_with("client 1 stands where there can only be one from 2 to 4095"), "{twice}");
    let far = refused(&day(), first, 1, MAX_CLIENTS);
    assert!(far.contains("client 4096 stands where"), "{far}");

    let mut engine = Engine::new();
    for (sequence, instrument) in [(1, 3), (2, 5)] {
        let action = Action::Place { instrument: Instrument(instrument), side: Side::Sell, price: 1, quantity: 1 };
        say(&mut engine, Request { client: Client(0), sequence, action });
    }
    // A book with one order: its instrument, how many it gave, no bids, one ask.
    let last = snapshot_of(&engine).len() - (2 + 8 + 4 + 4 + 18);
    let twice = refused(&engine, last, 5, 3);
    assert!(twice.starts_with("instrument 3 stands where there can only be one from 4 to 63"), "{twice}");
    let far = refused(&engine, last, 5, MAX_INSTRUMENTS);
    assert!(far.contains("instrument 64 stands where"), "{far}");
}
