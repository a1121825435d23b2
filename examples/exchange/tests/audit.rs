//! The auditor, convinced that it sees: a run that is right, and everything
//! that can be wrong with one, planted by hand.

#[path = "audit/run.rs"]
mod run;

use skein_exchange::audit::{Evidence, Fault, judge};
use skein_exchange::words::{Action, Client, Instrument, MAX_FILLS, OrderId, Outcome, Side, Why};

use run::{Noted, Run};

/// What the auditor says when this was done to a run that was right.
fn fault(plant: impl FnOnce(&mut Run)) -> Fault {
    let mut run = Run::new();
    assert_eq!(run.judge().map(|verdict| verdict.asked), Ok(Run::COMMANDS));
    plant(&mut run);
    let fault = run.judge().expect_err("nobody noticed");
    assert!(fault.to_string().contains(' '), "{fault}");
    fault
}

#[test]
fn a_run_that_is_right_is_found_right() {
    let run = Run::new();
    let verdict = run.judge().unwrap();
    assert_eq!((verdict.asked, verdict.told, verdict.states), (Run::COMMANDS, Run::COMMANDS, 1));
    assert!(verdict.history.trades > 50 && verdict.history.cancels > 100 && verdict.open.0 > 10, "{verdict:?}");
    assert_eq!(verdict.sums.ordered, verdict.sums.filled + verdict.sums.cancelled + verdict.open.1);
}

#[test]
fn a_command_on_the_way_at_the_end_may_be_in_the_log_or_not() {
    let mut run = Run::new();
    let last = run.journal.pop().unwrap();
    assert!(matches!(last, Noted::Told(_)));
    assert_eq!(run.judge().unwrap().told, Run::COMMANDS - 1);
    run.tape.pop();
    run.state = None;
    assert_eq!(run.judge().unwrap().asked, Run::COMMANDS);
}

#[test]
fn tapes_of_several_lives_and_replicas_fit_together() {
    let run = Run::new();
    let (whole, journal) = (run.tape_bytes(0..run.tape.len()), run.journal_bytes());
    let judged = |tapes: &[Vec<u8>]| {
        let tapes = tapes.iter().map(Vec::as_slice).collect();
        judge(&Evidence { tapes, journals: vec![&journal], states: run.state.iter().cloned().collect() })
    };
    let verdict = judged(std::slice::from_ref(&whole)).unwrap();
    // One replica was killed in the middle of a record, and went on from a snapshot; another was killed for good; a
    // third repeats itself after a restart.
    let torn = run.tape_bytes(0..200);
    let torn = [&torn[..torn.len() - 5]].concat();
    let pieces = [run.tape_bytes(350..run.tape.len()), torn, run.tape_bytes(100..360), run.tape_bytes(340..400)];
    assert_eq!(judged(&pieces), Ok(verdict));
    assert_eq!(
        judged(&[run.tape_bytes(0..200), run.tape_bytes(201..600)]),
        Err(Fault::Missing { place: 201, after: 399 })
    );
    assert_eq!(judged(&[run.tape_bytes(1..600)]), Err(Fault::Missing { place: 1, after: 599 }));
    let mut other = Run::new();
    let (place, _) = other.find_trade();
    other.change_fill(place, |fills| fills[0].price += 1);
    assert_eq!(judged(&[whole, other.tape_bytes(0..600)]), Err(Fault::Disagree { place: place as u64 + 1 }));
}

// Lost.

#[test]
fn an_order_that_is_lost_is_missed() {
    // In the middle of what its client asked.
    let fault = fault(|run| {
        let place = run.find(|run, place| run.outcome(place).is_accepted() && !run.is_last_of_client(place));
        run.tape.remove(place);
        run.state = None;
    });
    assert!(matches!(fault, Fault::OutOfTurn { .. }), "{fault}");
}

#[test]
fn the_last_command_of_a_client_is_missed_when_it_is_lost() {
    let fault = fault(|run| {
        let place = run.find_back(|run, place| run.outcome(place).is_cancelled() && run.is_last_of_client(place));
        // Nobody comes after it, so nothing in the log shows that it was there.
        run.tape.truncate(place);
        run.state = None;
    });
    assert!(matches!(fault, Fault::Lost { .. }), "{fault}");
}

#[test]
fn an_order_that_was_accepted_and_is_not_in_the_book_is_missed() {
    // The replicas took it and told of it; and the state at the end does not have it.
    let fault = fault(|run| run.state = Some(run.state_without_an_order()));
    assert!(fault.to_string().contains("state 0 does not follow from the log"), "{fault}");
}

// Doubled.

#[test]
fn a_trade_that_is_doubled_is_found() {
    // Told twice, and nothing else changed: it does not add up.
    let twice = |run: &mut Run| {
        let (place, _) = run.find_trade();
        run.change_fill(place, |fills| fills.push(fills[0]));
    };
    assert!(matches!(fault(twice), Fault::NotOpen { .. } | Fault::DoesNotAddUp { .. }));
    // A trade told as two halves adds up: only the rules say that it was one.
    let split = fault(Run::plant_split_trade);
    assert!(matches!(split, Fault::Rules { .. }), "{split}");
}

#[test]
fn a_command_that_was_done_twice_is_found() {
    let fault = fault(|run| {
        let place = run.find(|run, place| run.outcome(place).is_accepted());
        let entry = run.tape[place].clone();
        run.tape.insert(place + 1, entry);
    });
    assert!(matches!(fault, Fault::OutOfTurn { sequence, expected, .. } if sequence + 1 == expected), "{fault}");
}

#[test]
fn an_id_that_is_given_twice_or_left_out_is_found() {
    let given = |by: i64| {
        fault(|run| {
            let place = run.find(|run, place| place > 50 && run.outcome(place).is_accepted());
            run.change(place, |outcome| {
                let Outcome::Accepted { order, .. } = outcome else { panic!() };
                *order = OrderId::new(order.instrument(), order.number().strict_add_signed(by));
            });
        })
    };
    assert!(matches!(given(-1), Fault::OrderTwice { .. }));
    assert!(matches!(given(1), Fault::OrderLeftOut { .. }));
}

// Reordered.

#[test]
fn two_orders_that_changed_places_are_found() {
    // Of one client: out of its turn.
    let fault_of_one = fault(|run| {
        let (one, other) = run.find_two(|one, other| one.client == other.client);
        run.tape.swap(one, other);
    });
    assert!(matches!(fault_of_one, Fault::OutOfTurn { .. }), "{fault_of_one}");
    // Of two clients in one book: their ids.
    let fault_of_two = fault(|run| {
        let (one, other) =
            run.find_two(|one, other| one.client != other.client && instrument(one) == instrument(other));
        run.tape.swap(one, other);
    });
    assert!(matches!(fault_of_two, Fault::OrderLeftOut { .. }), "{fault_of_two}");
    // Of two clients in two books: no rule is broken, but one had been told before the other asked.
    let swap = |run: &mut Run| {
        let (one, other) =
            run.find_two(|one, other| one.client != other.client && instrument(one) != instrument(other));
        run.tape.swap(one, other);
    };
    assert!(matches!(fault(swap), Fault::Overtaken { .. }));
    // And if nobody knows who was told when, the history of the state is another.
    let silent = fault(|run| {
        swap(run);
        run.is_apart = true;
    });
    assert!(silent.to_string().contains("state 0 does not follow from the log: the log tells of"), "{silent}");
}

fn instrument(request: &skein_exchange::words::Request) -> Option<Instrument> {
    match request.action {
        Action::Place { instrument, .. } => Some(instrument),
        Action::Cancel { .. } => None,
    }
}

#[test]
fn two_trades_that_changed_places_are_found() {
    let fault = fault(|run| {
        let place = run.find(|run, place| run.outcome(place).fills() > 1);
        run.change_fill(place, |fills| fills.swap(0, 1));
    });
    assert!(matches!(fault, Fault::Rules { .. }), "{fault}");
}

/// An engine that serves whoever was second at a price: all adds up, and it is wrong.
#[test]
fn whoever_jumps_the_queue_is_found() {
    let mut run = Run::empty();
    run.place(1, Side::Sell, 100, 5);
    run.place(2, Side::Sell, 100, 5);
    run.place(3, Side::Buy, 100, 5);
    run.judge().unwrap();
    run.state = None;
    run.change_fill(2, |fills| fills[0].maker = OrderId::new(Instrument(0), 2));
    assert!(matches!(run.judge(), Err(Fault::Rules { place: 3, .. })));
}

// Amounts.

#[test]
fn lots_that_come_from_nothing_or_go_nowhere_are_found() {
    let more_filled = fault(|run| {
        let (place, _) = run.find_trade();
        run.change_fill(place, |fills| fills[0].quantity += 1000);
    });
    assert!(matches!(more_filled, Fault::NotOpen { .. }), "{more_filled}");
    let more_rests = fault(|run| {
        let place = run.find(|run, place| run.outcome(place).is_accepted());
        run.change(place, |outcome| {
            let Outcome::Accepted { rests, .. } = outcome else { panic!() };
            *rests += 1;
        });
    });
    assert!(matches!(more_rests, Fault::DoesNotAddUp { .. }), "{more_rests}");
    for by in [1, -1] {
        let cancelled = fault(|run| {
            let place = run.find(|run, place| run.outcome(place).is_cancelled());
            run.change(place, |outcome| {
                let Outcome::Cancelled { quantity, .. } = outcome else { panic!() };
                *quantity = quantity.strict_add_signed(by);
            });
        });
        assert!(matches!(cancelled, Fault::NotOpen { .. }), "{cancelled}");
    }
    let unknown = fault(|run| {
        let (place, _) = run.find_trade();
        run.change_fill(place, |fills| fills[0].maker = OrderId::new(Instrument(700), 1));
    });
    assert!(matches!(unknown, Fault::NotOpen { open: 0, .. }), "{unknown}");
}

/// An order that met as many others as it may: what was dropped is judged like what was cancelled.
#[test]
fn what_was_dropped_is_not_open() {
    let mut run = Run::empty();
    for client in 0..=MAX_FILLS as u16 {
        run.place(client, Side::Sell, 100, 1);
    }
    run.place(100, Side::Buy, 100, 70);
    let verdict = run.judge().unwrap();
    assert_eq!((verdict.open, verdict.sums.cancelled), ((1, 1), 6));
    run.change(MAX_FILLS + 1, |outcome| {
        let Outcome::Accepted { rests, dropped, .. } = outcome else { panic!() };
        std::mem::swap(rests, dropped);
    });
    assert!(matches!(run.judge(), Err(Fault::Rules { .. })));
}

// Clients.

#[test]
fn a_client_that_was_told_otherwise_is_heard() {
    let otherwise = fault(|run| {
        let (place, at) = run.find_trade();
        run.change_fill(place, |fills| fills.truncate(0));
        // In the log it is as it was.
        run.tape[place] = Run::new().tape[place].clone();
        assert!(matches!(run.journal[at], Noted::Told(_)));
    });
    assert!(matches!(otherwise, Fault::ToldOtherwise { .. }), "{otherwise}");
    let twice = fault(|run| {
        let told = run.journal[101].clone();
        assert!(matches!(told, Noted::Told(_)));
        run.journal.insert(102, told);
    });
    assert!(matches!(twice, Fault::ToldUnasked { .. }), "{twice}");
    let never_taken = fault(|run| {
        let last = run.journal.len() - 1;
        let Noted::Told(answer) = &mut run.journal[last] else { panic!() };
        answer.outcome = Outcome::Refused(Why::Unavailable);
    });
    assert!(matches!(never_taken, Fault::ToldOtherwise { .. }), "{never_taken}");
}

#[test]
fn what_nobody_asked_is_found() {
    let invented = fault(|run| {
        let last = run.journal.len() - 2;
        run.journal.truncate(last);
    });
    assert!(matches!(invented, Fault::Invented { .. }), "{invented}");
    let other = fault(|run| {
        let place = run.find(|run, place| run.outcome(place).is_accepted());
        let Noted::Asked(request) = &mut run.journal[2 * place] else { panic!() };
        let Action::Place { price, .. } = &mut request.action else { panic!() };
        *price += 1;
    });
    assert!(matches!(other, Fault::AskedOtherwise { .. }), "{other}");
}

#[test]
fn a_load_that_is_wrong_itself_is_not_blamed_on_the_exchange() {
    let skipped = fault(|run| {
        run.journal.drain(0..2);
    });
    assert!(matches!(skipped, Fault::AskedOutOfTurn { .. }), "{skipped}");
    let impatient = fault(|run| {
        let place = run.find(|run, place| !run.is_last_of_client(place));
        run.journal.remove(2 * place + 1);
    });
    assert!(matches!(impatient, Fault::AskedOutOfTurn { .. }), "{impatient}");
    let digest = Run::new();
    let mut journal = digest.journal_bytes();
    skein_exchange::journal::Record::Asked(&skein_exchange::words::Command::Digest.encode()).append(&mut journal);
    let tape = digest.tape_bytes(0..digest.tape.len());
    let judged = |tape: &[u8], journal: &[u8]| {
        judge(&Evidence { tapes: vec![tape], journals: vec![journal], states: Vec::new() }).unwrap_err()
    };
    assert_eq!(judged(&tape, &journal), Fault::NoWord { journal: 0 });
    assert_eq!(judged(&journal, &tape), Fault::ForeignRecord { tape: 0 });
    assert_eq!(judged(&tape, &tape), Fault::TookInJournal { journal: 0 });
    let broken = |bytes: &[u8]| [bytes, &[77]].concat();
    assert!(matches!(judged(&broken(&tape), &journal), Fault::BrokenTape { tape: 0, .. }));
    assert!(matches!(judged(&tape, &broken(&digest.journal_bytes())), Fault::BrokenJournal { journal: 0, .. }));
}

#[test]
fn a_log_of_something_else_is_refused() {
    let at_place_0 = Run::new().tape_from(0, 0..10);
    let evidence = Evidence { tapes: vec![&at_place_0], journals: Vec::new(), states: Vec::new() };
    assert_eq!(judge(&evidence), Err(Fault::NoPlace { tape: 0 }));
    let foreign = fault(|run| run.change_answer(7, |answer| answer.client = Client(answer.client.0 ^ 1)));
    assert_eq!(foreign, Fault::NoAnswer { place: 8 });
    let digest = fault(|run| run.tape[7].0 = skein_exchange::words::Command::Digest.encode());
    assert_eq!(digest, Fault::NoCommand { place: 8 });
    let stranger = fault(|run| run.tape[7].0[5] = 255);
    assert_eq!(stranger, Fault::NoCommand { place: 8 });
    let garbage = fault(|run| run.tape[7].1[6] = 1);
    assert_eq!(garbage, Fault::NoAnswer { place: 8 });
}

// States.

#[test]
fn a_state_from_another_moment_or_another_run_is_found() {
    let early = fault(|run| {
        run.tape.pop();
        run.journal.truncate(run.journal.len() - 2);
    });
    assert!(matches!(early, Fault::State { .. }), "{early}");
    let garbage = fault(|run| run.state = Some(bytes::Bytes::from_static(b"nothing")));
    assert!(garbage.to_string().contains("no snapshot"), "{garbage}");
    let forgetful = fault(|run| run.state = Some(run.state_with_another_last_answer()));
    assert!(forgetful.to_string().contains("told again"), "{forgetful}");
}
