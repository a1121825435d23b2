//! `skein bench kv` as its users meet it: what scripts rely on is there, and the
//! store answers every operation of every workload.

use std::process::{Command, Output};

fn bench(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(["bench", "kv"]).args(arguments.split_whitespace()).output().expect("the binary runs")
}

/// What the others ask is a part of what these ask.
const WORKLOADS: [&str; 4] = ["a", "e", "cross", "mset"];

#[test]
fn workloads_run_and_have_the_fields_that_scripts_rely_on() {
    for workload in WORKLOADS {
        let words = format!(
            "--workload {workload} --groups 2 --clients 6 --pipeline 2 --records 100 --value 20 --seconds 0.2 --json"
        );
        let output = bench(&words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{workload}:\n{out}{err}");
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&line["workload"], &line["clients"], &line["pipeline"]), (&workload.into(), &6.into(), &2.into()));
        assert_eq!(line["errors"], 0, "{line}");
        let figures = ["ops_per_s", "p50_us", "p99_us", "p999_us", "server_cpu_us_per_op", "loopback_msg_cpu_us"];
        for field in figures {
            assert!(line[field].as_f64().is_some_and(|figure| figure > 0.0), "{field} in {line}");
        }
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let cases = [
        ("--groups 0", "0 groups cannot be"),
        ("--replicas 2", "2 replicas cannot be"),
        ("--nodes 5", "there are 3 nodes"),
        ("--workload cross --keys 5 --records 3", "5 different keys of 3 records"),
        ("--address 127.0.0.1:1 --groups 2", "cannot be used with"),
        ("--address 127.0.0.1:1", "127.0.0.1:1 does not answer"),
        ("--server 127.0.0.1:1", "required"),
    ];
    for (words, expected) in cases {
        let output = bench(words);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {err}");
        assert!(err.contains(expected), "{words}: {err}");
    }
}
