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

fn rows(arguments: &str) -> Vec<serde_json::Value> {
    stdout(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Messages that meet nobody, where every delay is 45 us: PrimCast delivers after three of them at every replica,
/// White-Box after three at leaders and a fourth elsewhere.
#[test]
fn a_sweep_of_a_calm_room_counts_delays() {
    let room = "sim sweep --scenario lan --deviation 0 --groups 4 --rate 20 --seconds 2 --json";
    let all = rows(&format!("{room} --protocol primcast,whitebox"));
    let micros = |row: &serde_json::Value, field: &str| row[field].as_f64().unwrap().round() as i64;
    // Three digits are kept.
    let is = |row: &serde_json::Value, field: &str, expected: i64| {
        assert!((micros(row, field) - expected).abs() <= expected / 500, "{field} in {row}");
    };
    for field in ["p50_us", "p95_us", "p99_us", "max_us", "leaders_p50_us", "leaders_p99_us", "answer_p99_us"] {
        is(&all[0], field, 135);
    }
    is(&all[1], "leaders_p99_us", 135);
    is(&all[1], "max_us", 180);
    for row in &all {
        let per_second = row["msgs_per_s"].as_f64().unwrap();
        assert!((10.0..30.0).contains(&per_second), "{row}");
        assert!(row["messages"].as_f64().unwrap() > 10.0 && row["waiting"] == 0.0 && row["turned_away"] == 0, "{row}");
    }
}

/// A seed decides everything, and how many run at once nothing.
#[test]
fn figures_of_the_edge_answer_in_json() {
    let row = &rows("sim edge --figure catch_up_ratio --json")[0];
    assert_eq!((row["figure"].as_str(), row["unit"].as_str()), (Some("catch_up_ratio"), Some("sent/encoded")));
    let ratio = row["value"].as_f64().unwrap();
    assert!((0.5..1.2).contains(&ratio), "{ratio}");
    assert_eq!(rows("sim edge --figure wrongly_probed --json")[0]["value"], 0.0);
    assert!(stdout("sim edge --figure catch_up_ratio").contains("at most 1.2"));
}

#[test]
fn a_sweep_is_the_same_every_time() {
    let small = "sim sweep --scenario distributed --groups 3 --outstanding 1,8 --seconds 0.5 --warm-up 0.2 --json \
                 --protocol primcast,multiring --clock logical,hybrid --mode ordered,linearizable-clock";
    let alone = stdout(&format!("{small} --jobs 1"));
    assert!(alone == stdout(&format!("{small} --jobs 3")), "the results depend on how many run at once");
    assert!(alone != stdout(&format!("{small} --seed 2")));
    let named: Vec<(String, String, String)> = rows(small)
        .iter()
        .map(|row| ["protocol", "clock", "mode"].map(|field| row[field].as_str().unwrap().to_owned()).into())
        .collect();
    let expected = [
        ("primcast", "logical", "ordered"),
        ("primcast", "hybrid", "linearizable-clock"),
        ("primcast", "hybrid", "ordered"),
        ("multiring", "logical", "ordered"),
    ];
    let expected = expected.iter().flat_map(|(a, b, c)| std::iter::repeat_n([a, b, c].map(|s| (*s).to_owned()), 2));
    assert_eq!(named, expected.map(Into::into).collect::<Vec<_>>());
}

/// Answers wait, and deliveries do not.
#[test]
fn a_sweep_tells_what_modes_cost() {
    let all = rows(
        "sim sweep --scenario planet --groups 3 --protocol primcast --mode ordered,linearizable,linearizable-clock \
         --clock-error 40 --rate 300 --seconds 2 --json",
    );
    let of = |row: &serde_json::Value, field: &str| row[field].as_f64().unwrap();
    assert_eq!(of(&all[0], "waiting"), 0.0);
    assert!(of(&all[1], "waiting") > 0.1 && of(&all[1], "wait_p50_us") > 1000.0, "{}", all[1]);
    assert!(of(&all[1], "messages") > of(&all[0], "messages"), "groups ask each other");
    assert!(of(&all[1], "answer_p95_us") > of(&all[0], "answer_p95_us"));
    assert!(of(&all[2], "wait_max_us") < 81_000.0, "twice the error at most: {}", all[2]);
    let delays = |nth: usize| of(&all[nth], "p50_us");
    assert!((delays(1) / delays(0) - 1.0).abs() < 0.1, "{} and {}", delays(0), delays(1));
}

#[test]
fn a_sweep_draws_what_it_measured() {
    let path = |name: &str| std::env::temp_dir().join(format!("skein-sweep-{}-{name}.svg", std::process::id()));
    let (curves, parts) = (path("curves"), path("parts"));
    stdout(&format!(
        "sim sweep --scenario distributed --protocol primcast,whitebox --outstanding 1,2 --seconds 0.5 --quiet \
         --svg {} --cdf {}",
        curves.display(),
        parts.display()
    ));
    let drawn = |path: &std::path::Path| {
        let svg = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        svg
    };
    let (curves, parts) = (drawn(&curves), drawn(&parts));
    assert_eq!((curves.matches("<polyline").count(), parts.matches("<polyline").count()), (2, 4));
    assert!(curves.contains(">whitebox</text>") && curves.contains("messages a virtual second"));
    assert!(parts.contains(">whitebox, 2 on the way for each client</text>"));
    assert!(curves.len() < 60_000 && parts.len() < 60_000);
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
        ("sim edge --figure detection", "possible values: detect_p99_s"),
        ("sim edge --jobs 0", "0 is not in 1..=1024"),
        ("sim sweep --scenario lan", "--rate"),
        ("sim sweep --scenario swarm --rate 1", "possible values: lan, colocated, distributed, planet"),
        ("sim sweep --scenario lan --rate 1 --outstanding 1", "cannot be used with"),
        ("sim sweep --scenario lan --rate 0", "a rate of 0 cannot be"),
        ("sim sweep --scenario lan --outstanding 0", "0 messages on the way cannot be"),
        ("sim sweep --scenario lan --rate 1 --destinations 9", "a message to 9 of 8 groups cannot be"),
        ("sim sweep --scenario lan --rate 1 --replicas 2", "2 replicas"),
        ("sim sweep --scenario lan --rate 1 --deviation 30", "from 0 to 20 per cent"),
        ("sim sweep --scenario lan --rate 1 --clock-error 2000", "from 0 to 1000 milliseconds"),
        ("sim sweep --scenario lan --rate 1 --seconds 0", "--seconds from 0.1"),
        ("sim sweep --scenario lan --rate 1 --protocol skeen --clock hybrid", "does not use hardware clocks"),
        ("sim sweep --scenario lan --rate 1 --protocol skeen --mode linearizable", "does not offer the mode"),
        (
            "sim sweep --scenario lan --rate 1 --protocol primcast --mode linearizable --outside 3",
            "leave out --outside, or --mode",
        ),
        ("sim sweep --scenario lan --rate 1,2,3 --cdf x.svg", "choose fewer protocols or loads"),
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
        ("ledger", "unrecognized subcommand"),
        ("edge", "--config <FILE>"),
        ("edge certificates papers --fleet shop", "<NAME>..."),
        ("edge certificates papers --fleet 10.0.0.1 a", "no certificate can name"),
        ("bench edge --agents 2", "2 is not in 6..=128"),
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
    assert!(help.lines().count() <= 32, "{} lines", help.lines().count());
    for command in [
        "--help",
        "dev --help",
        "multicast --help",
        "kv --help",
        "kv get --help",
        "kv put --help",
        "kv del --help",
        "kv range --help",
        "kv where --help",
        "kv watch --help",
        "bench kv --help",
        "backup list --help",
        "backup verify --help",
        "backup --help",
        "backup create --help",
        "backup restore --help",
        "status --help",
        "edge --help",
        "edge certificates --help",
        "bench edge --help",
        "sim edge --help",
        "sim run --help",
        "sim search --help",
        "sim steps --help",
        "sim sweep --help",
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
