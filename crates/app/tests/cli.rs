//! The binary as its users meet it: what it prints, what it refuses, and that
//! a seed is the same everywhere.

use std::process::{Command, Output};

fn skein(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(arguments.split_whitespace()).output().expect("the binary runs")
}

fn stdout(arguments: &str) -> String {
    let output = skein(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "`skein {arguments}` failed:\n{out}{err}");
    out
}

const CALM: &str = "sim run --protocol skeen --scenario calm";

#[test]
fn a_seed_replays_byte_for_byte() {
    let one = stdout(&format!("{CALM} --seeds 4242..4243 --trace full"));
    let two = stdout(&format!("{CALM} --seeds 4242..4243 --trace full"));
    assert!(one.lines().count() > 1000);
    assert!(one == two, "the same seed has two histories");
    assert_ne!(one, stdout(&format!("{CALM} --seeds 4243..4244 --trace full")));
}

#[test]
fn the_output_does_not_depend_on_how_many_seeds_run_at_once() {
    let alone = stdout(&format!("{CALM} --seeds 0..12 --seconds 5 --trace --jobs 1"));
    assert!(alone == stdout(&format!("{CALM} --seeds 0..12 --seconds 5 --trace --jobs 5")));
    let alone = stdout(&format!("{CALM} --seeds 0..12 --json --jobs 1"));
    assert_eq!(alone, stdout(&format!("{CALM} --seeds 0..12 --json --jobs 5")));
}

#[test]
fn the_summary_has_the_fields_that_scripts_rely_on() {
    let out = stdout(&format!("{CALM} --seeds 0..3 --json"));
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["kind"], &last["protocol"], &last["mode"]),
        (&"summary".into(), &"skeen".into(), &"ordered".into())
    );
    assert_eq!((&last["seeds"], &last["violations"], &last["stuck"]), (&3.into(), &0.into(), &0.into()));
    for field in ["multicasts", "deliveries", "crashes", "restarts", "partitions", "disk_faults", "clock_faults"] {
        assert!(last[field].is_u64(), "{field} in {last}");
    }
    assert!(last["virtual_hours"].as_f64().unwrap() > 0.04);
}

#[test]
fn messages_expire_when_they_are_told_to() {
    let is_void = |line: &str| line.contains(" delivers ") && line.ends_with(" void");
    let voids = |arguments: &str| {
        stdout(&format!("{CALM} --seeds 1..2 --trace{arguments}")).lines().filter(|line| is_void(line)).count()
    };
    assert_eq!(voids(""), 0);
    assert!(voids(" --expiry 3") > voids(" --expiry 9") && voids(" --expiry 9") > 0);
}

#[test]
fn steps_and_search_answer_in_json() {
    let out = stdout("sim steps --protocol skeen --json");
    let steps: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((&steps["collision_free"], &steps["worst"]), (&2.into(), &4.into()));
    // START to five others, and six processes that each propose to five.
    assert_eq!(steps["messages"], 5 + 30);
    let out = stdout("sim steps --protocol primcast --json");
    let rows: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = rows.iter().map(|row| (row["protocol"].as_str(), row["worst"].as_u64())).collect();
    let expected = [("primcast", 5), ("primcast-hybrid", 4), ("primcast-commuting", 3)];
    assert_eq!(seen, expected.map(|(protocol, worst)| (Some(protocol), Some(worst))));
    let out = stdout("sim search --protocol skeen --groups 2 --replicas 1 --messages 2 --json --quiet");
    let search: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((&search["complete"], &search["violations"]), (&true.into(), &0.into()));
    assert_eq!(search["trace"], serde_json::json!([]));
    let lists = "sim search --protocol primcast --service lists --groups 3 --replicas 1 --quiet";
    let search: serde_json::Value =
        serde_json::from_str(stdout(&format!("{lists} --operations yz,x --json")).trim()).unwrap();
    assert_eq!(
        (&search["service"], &search["messages"], &search["complete"]),
        (&"lists".into(), &2.into(), &true.into())
    );
    let out = stdout(&format!("{lists} --messages 1 --kinds append,read"));
    assert!(out.starts_with("primcast and lists with 3 groups of 1 and up to 1 operations: "), "{out}");
}

#[test]
fn mistakes_are_answered_with_a_sentence_and_exit_code_2() {
    for (arguments, part) in [
        ("sim run --protocol skeen --seeds 0..5", "skeen survives no crash and no lost message"),
        ("sim run --protocol skeen --scenario calm --seeds 5..5", "is empty"),
        ("sim run --protocol skeen --scenario calm --seeds five", "`five` is no range of seeds"),
        ("sim run --protocol skeen --scenario storm --seeds 0..5", "possible values: swarm, calm"),
        ("sim run --protocol skene --scenario calm --seeds 0..5", "possible values: skeen"),
        ("sim run --protocol skeen --scenario calm --layout 0,1,2/2,3,4 --seeds 0..5", "p2 is in g0 and in g1"),
        ("sim run --protocol skeen --scenario calm --groups 0 --seeds 0..5", "no group"),
        ("sim run --protocol skeen --scenario calm --groups 4000000000 --seeds 0..5", "at most 64"),
        ("sim run --protocol skeen --scenario calm --mix 7=1 --seeds 0..5", "no group g7"),
        ("sim run --protocol skeen --scenario calm --expiry 0 --seeds 0..5", "--expiry"),
        ("sim run --protocol skeen --scenario calm --conflicts --seeds 0..5", "leave out --conflicts"),
        ("sim search --protocol skeen --groups 2 --messages 2 --conflicts", "leave out --conflicts"),
        ("sim run --protocol skeen --scenario calm --mode linearizable --seeds 0..5", "does not offer the mode"),
        (
            "sim run --protocol primcast --mode linearizable --service lists --seeds 0..5",
            "leave out --mode linearizable",
        ),
        ("sim run --protocol primcast --mode linearizable-clock --conflicts --seeds 0..5", "the order of all messages"),
        (
            "sim search --protocol primcast --mode linearizable --service lists --groups 2 --replicas 1 --messages 2",
            "or --service",
        ),
        ("sim search --protocol primcast --groups 2 --replicas 1 --destinations 0,2", "there is no group g2"),
        ("sim search --protocol primcast --groups 2 --replicas 1 --destinations 0,x", "`x` is no set of groups"),
        ("sim run --protocol skeen --scenario calm --seeds 0..5 --resume /no/such/folder/file", "cannot open"),
        ("sim search --protocol skeen --groups 2 --replicas 1 --messages 99", "too many"),
        ("sim search --protocol skeen --groups 2 --replicas 1 --messages 2 --crashes 1", "survives no crash"),
        ("sim search --protocol primcast --groups 2 --replicas 1", "--messages <N>"),
        ("sim search --protocol primcast --groups 2 --replicas 1 --messages 1 --kinds read", "--service"),
        ("sim search --protocol primcast --service lists --groups 2 --messages 2", "say --replicas 1"),
        ("sim search --protocol primcast --service kv --groups 2 --replicas 1 --messages 2", "choose --service lists"),
        (
            "sim search --protocol skeen --service lists --groups 2 --replicas 1 --messages 2",
            "choose --protocol primcast",
        ),
        ("sim search --protocol primcast --service lists --groups 2 --replicas 1 --operations xz", "`z` in `xz` is no"),
        (
            "sim search --protocol primcast --service lists --groups 2 --replicas 1 --messages 1 --widest 0",
            "--widest 1",
        ),
        ("sim frobnicate", "unrecognized subcommand"),
        ("edge", "unrecognized subcommand"),
        ("kv get", "<KEY>..."),
        ("", "Usage: skein"),
    ] {
        let output = skein(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "`skein {arguments}`: {err}");
        assert!(err.contains(part), "`skein {arguments}` says:\n{err}");
        assert!(output.stdout.is_empty(), "a mistake prints no data");
    }
}

/// A check that checks nothing must not say that all is well.
#[cfg(feature = "mutants")]
#[test]
fn a_bug_that_nobody_planted_is_a_mistake() {
    let output = skein("sim mutants --only skeen-sleeps");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no planted bug has `skeen-sleeps` in its name"));
}

#[cfg(not(feature = "mutants"))]
#[test]
fn a_build_that_ships_has_no_planted_bugs() {
    let output = skein("sim mutants");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features mutants"));
}

#[test]
fn help_fits_a_screen_and_shows_examples() {
    let help = stdout("--help");
    assert!(help.lines().count() <= 30, "{} lines", help.lines().count());
    for command in [
        "--help",
        "dev --help",
        "multicast --help",
        "kv --help",
        "backup --help",
        "backup create --help",
        "backup restore --help",
        "status --help",
        "sim run --help",
        "sim search --help",
        "sim steps --help",
    ] {
        assert!(stdout(command).contains("Example"), "{command}");
    }
    assert!(stdout("completions bash").contains("_skein"));
}

/// `skein … | head` is how people look at traces.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let arguments = format!("{CALM} --seeds 0..3 --trace full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(arguments.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(!first.is_empty());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is said about it");
    assert_eq!(output.status.code(), Some(141));
}

/// Nobody was ever there to read.
#[test]
fn completions_that_nobody_reads_are_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    let output = command.args(["completions", "bash"]).stdout(writer).output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is said about it");
    assert_eq!(output.status.code(), Some(141));
}
