//! The exchange replicated, as the binary runs it: replicas that are killed and
//! stopped while orders flow, and nothing lost. Blows fall by how much was
//! answered, so however slow the machine is there are as many of them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

use skein_exchange::audit::{Evidence, Fault, judge};
use skein_exchange::journal::{Record, records};
use skein_exchange::replicated::{Every, Settings, audit, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_exchange");

const SETTINGS: Settings = Settings {
    replicas: 3,
    orders: 6000,
    seed: 3,
    clients: 16,
    instruments: 3,
    kill_every: Some(Every::Answers(2000)),
    stop_every: Some(Every::Answers(2500)),
    longest: None,
};

#[test]
fn nothing_is_lost_when_replicas_are_killed_and_stopped() {
    let mut report = run(&SETTINGS, Path::new(PROGRAM), &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!((report.end.answered, report.end.kills, report.end.stops), (6000, 2, 2));
    let verdict = audit(&report).unwrap();
    assert_eq!((verdict.asked, verdict.told, verdict.states), (6000, 6000, 3));
    assert!(verdict.history.trades > 100, "{verdict:?}");
    assert_eq!(report.latencies.len(), 6000);
    // One for each life.
    assert_eq!(report.tapes.len(), 3 + 2);

    // That it can be wrong: a command that no tape has is missed, and a state that is behind.
    let journals = vec![&report.journal[..]];
    let short: Vec<_> = report.tapes.iter().map(|tape| without(tape, 3000)).collect();
    let tapes = short.iter().map(Vec::as_slice).collect();
    let fault = judge(&Evidence { tapes, journals, states: Vec::new() }).unwrap_err();
    assert!(matches!(fault, Fault::Missing { place: 3000, .. }), "{fault}");
    report.states[2] = report.states[2].slice(1..);
    assert!(audit(&report).unwrap_err().contains("replica 2 ended"));
}

/// A tape that does not know of a place.
fn without(tape: &[u8], missing: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    for record in records(tape) {
        let record = record.unwrap();
        if !matches!(record, Record::Took { place, .. } if place == missing) {
            record.append(&mut kept);
        }
    }
    kept
}

#[test]
fn the_binary_tells_what_came_of_it_and_leaves_nothing_behind() {
    let output = exchange(&["--replicas", "3", "--orders", "3000", "--clients", "8", "--kill-every", "2000"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    for part in ["1 kills", "longest gap", "median", "found nothing", "at 3 replicas"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    let cases: [(&[&str], &str); 7] = [
        (&[], "--alone"),
        (&["--replicas", "4"], "an odd number from 3 to 7"),
        (&["--replicas", "3", "--alone"], "cannot be used with"),
        (&["--alone", "--kill-every", "2s"], "cannot be used with"),
        (&["--replicas", "3", "--kill-every", "2h"], "neither a time"),
        (&["--replicas", "3", "--orders", "10000001"], "10000000 can be replicated"),
        (&["--replicas", "3", "--seconds", "0"], "0 is not in"),
    ];
    for (arguments, part) in cases {
        let output = exchange(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(part), "{arguments:?}: {complaint}");
    }
}

fn exchange(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    let child =
        command.args(arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let child = child.unwrap();
    let folder = format!("/dev/shm/skein-exchange-{}", child.id());
    let output = child.wait_with_output().unwrap();
    assert!(!Path::new(&folder).exists(), "{folder} was left behind");
    output
}
