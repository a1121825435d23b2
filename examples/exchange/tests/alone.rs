//! The exchange alone, as the binary runs it: judged, and the same every time.

use skein_exchange::alone::{Settings, audit, run};
use skein_exchange::journal::{Record, records};
use skein_exchange::words::{Action, Command, Request};

const SETTINGS: Settings = Settings { orders: 20_000, seed: 5, clients: 24, instruments: 3 };

#[test]
fn a_run_is_found_right_and_looks_like_a_market() {
    let report = run(&SETTINGS).unwrap();
    let verdict = audit(&report).unwrap();
    assert_eq!((verdict.asked, verdict.told, verdict.states), (SETTINGS.orders, SETTINGS.orders, 1));
    assert_eq!(verdict.history.taken, SETTINGS.orders);
    assert!(report.asked_again > 100, "{} were asked twice", report.asked_again);
    assert_eq!(report.latencies.len(), SETTINGS.orders);
    let cancels = verdict.history.cancels as f64 / SETTINGS.orders as f64;
    assert!((0.35..0.45).contains(&cancels), "{cancels} of all commands are cancels");
    let trades = verdict.history.trades as f64 / verdict.history.orders as f64;
    assert!((0.2..0.5).contains(&trades), "{trades} trades for each order");
    assert!((100..10_000).contains(&verdict.open.0), "{} orders are open", verdict.open.0);
    let mut instruments = [0; 3];
    for record in records(&report.journal) {
        if let Ok(Record::Asked(command)) = record
            && let Ok(Command::Request(Request { action: Action::Place { instrument, .. }, .. })) =
                Command::decode(command)
        {
            instruments[usize::from(instrument.0)] += 1;
        }
    }
    assert!(instruments.is_sorted_by(|more, less| more > less) && instruments[2] > 500, "{instruments:?}");
}

#[test]
fn a_seed_is_a_run() {
    let first = run(&SETTINGS).unwrap();
    let second = run(&SETTINGS).unwrap();
    assert!(first.tape == second.tape && first.journal == second.journal && first.snapshot == second.snapshot);
    let other = run(&Settings { seed: 6, ..SETTINGS }).unwrap();
    assert!(first.tape != other.tape);
}

#[test]
fn one_client_can_trade_with_itself() {
    let report = run(&Settings { clients: 1, instruments: 1, ..SETTINGS }).unwrap();
    let verdict = audit(&report).unwrap();
    assert!(verdict.history.trades > 0);
}
