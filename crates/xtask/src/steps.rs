//! The steps of `cargo xtask ci`, as a table to read and to change.
//!
//! Quick steps come first, so that a slip is told within seconds. This file says what is run; how
//! it is run and reported stands in `ci.rs`. It will never start anything itself.

use std::path::Path;

use crate::metadata::Metadata;

/// One thing that has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What `--from` goes by.
    pub(crate) name: String,
    pub(crate) work: Work,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// The house rules, in this process.
    Tidy,
    Run(Order),
    /// There is nothing to run, and the log should say why.
    Nothing(&'static str),
}

/// A command line: settings of the environment, the program, its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
}

/// What the steps depend on, besides the text of the repository.
pub(crate) struct Surroundings {
    /// Where Cargo builds, from the root of the repository if it lies below.
    pub(crate) target: String,
    /// The package and the name of every example in the workspace.
    pub(crate) examples: Vec<(String, String)>,
    /// Where the random range of seeds begins.
    pub(crate) fresh_seed: u64,
}

/// How many seeds nobody has tried before are run each time.
const FRESH_SEEDS: u64 = 50;

/// All steps in order.
#[rustfmt::skip]
pub(crate) fn steps(around: &Surroundings) -> Vec<Step> {
    let cargo = |name, arguments| step(name, order("cargo", arguments));
    let skein = |name, arguments| step(name, order(&format!("{}/release/skein", around.target), arguments));
    // What the tests have built, with bugs in it. No step that runs the release can pick that up.
    let tested = |name, program, arguments| step(name, order(&format!("{}/debug/{program}", around.target), arguments));
    let fresh = format!("sim run --protocol skeen --scenario calm --seeds {}", fresh_range(around));
    let fresh_swarm = format!("sim run --protocol primcast --scenario swarm --seeds {}", fresh_range(around));

    let mut steps = vec![
        cargo("fmt", "fmt --all -- --check"),
        Step { name: "tidy".to_owned(), work: Work::Tidy },
        cargo("clippy", "clippy --workspace --all-targets --all-features -- -D warnings"),
        // The build that everybody else has. What it does is what the release does, further down.
        cargo("check", "check --workspace --all-targets"),
        // With all that tests can see: bugs are planted only where a test asks for one. One build serves all of it,
        // the examples, and the hunt at the end.
        cargo("test", "test --workspace --all-features"),
        cargo("doc", "doc --workspace --no-deps").with("RUSTDOCFLAGS", "-D warnings"),
        cargo("build", "build --release --bin skein"),

        skein("sim-steps", "sim steps"),
        skein("sim-calm", "sim run --protocol skeen --scenario calm --seeds 0..50"),
        skein("sim-lan", "sim run --protocol skeen --scenario lan --seeds 0..10"),
        skein("sim-colocated", "sim run --protocol skeen --scenario colocated --seeds 0..10"),
        skein("sim-distributed", "sim run --protocol skeen --scenario distributed --seeds 0..10"),
        skein("sim-planet", "sim run --protocol skeen --scenario planet --seeds 0..10"),
        skein("sim-fresh", &fresh),
        skein("sim-search", "sim search --protocol skeen --groups 2 --replicas 1 --messages 3"),

        skein("primcast-swarm", "sim run --protocol primcast --seeds 0..200"),
        skein("primcast-swarm-one", "sim run --protocol primcast --groups 1 --replicas 5 --seeds 0..100"),
        skein("primcast-swarm-many", "sim run --protocol primcast --groups 8 --seeds 0..50"),
        skein("primcast-swarm-single", "sim run --protocol primcast --groups 3 --replicas 1 --seeds 0..100"),
        skein("primcast-expiry", "sim run --protocol primcast --expiry 60 --seeds 0..200"),
        skein(
            "primcast-tight",
            "sim run --protocol primcast --tight --severity 3 --expiry 60 --seconds 20 --seeds 0..300",
        ),
        skein("primcast-hybrid", "sim run --protocol primcast --clock hybrid --seeds 0..100"),
        skein("primcast-conflicts", "sim run --protocol primcast --conflicts --seeds 0..200"),
        skein(
            "primcast-conflicts-tight",
            "sim run --protocol primcast --conflicts --tight --severity 2 --expiry 60 --seeds 0..200",
        ),
        skein("primcast-calm", "sim run --protocol primcast --scenario calm --seeds 0..50"),
        skein("primcast-planet", "sim run --protocol primcast --scenario planet --seeds 0..10"),
        skein("primcast-fresh", &fresh_swarm),
        skein("primcast-search", "sim search --protocol primcast --groups 2 --replicas 1 --messages 3"),
        skein(
            "primcast-search-conflicts",
            "sim search --protocol primcast --groups 2 --replicas 1 --messages 3 --conflicts",
        ),
        skein(
            "primcast-search-crash",
            "sim search --protocol primcast --groups 2 --replicas 3 --messages 1 --crashes 1 --max-states 300000",
        ),

        skein("whitebox-swarm", "sim run --protocol whitebox --seeds 0..100"),
        skein(
            "whitebox-tight",
            "sim run --protocol whitebox --tight --severity 3 --expiry 60 --seconds 20 --seeds 0..150",
        ),
        skein("fastcast-swarm", "sim run --protocol fastcast --seeds 0..100"),
        skein(
            "fastcast-tight",
            "sim run --protocol fastcast --tight --severity 3 --expiry 60 --seconds 20 --seeds 0..150",
        ),
        skein("multiring-swarm", "sim run --protocol multiring --seeds 0..100"),
        skein(
            "multiring-tight",
            "sim run --protocol multiring --tight --severity 3 --expiry 60 --seconds 20 --seeds 0..150",
        ),

        skein("answers-swarm", "sim run --protocol primcast --mode linearizable --seeds 0..100"),
        skein(
            "answers-search",
            "sim search --protocol primcast --mode linearizable --groups 3 --replicas 1 --messages 4 --max-states 300000",
        ),
        skein("clock-swarm", "sim run --protocol primcast --mode linearizable-clock --seeds 0..100"),
        skein(
            "clock-search",
            "sim search --protocol primcast --mode linearizable-clock --groups 3 --replicas 1 --messages 4 \
             --max-states 300000",
        ),
        skein("global-swarm", "sim run --protocol primcast --mode global-order --groups 3 --seeds 0..100"),
        skein(
            "global-search",
            "sim search --protocol primcast --mode global-order --groups 3 --replicas 1 --messages 4 --max-states 300000",
        ),
        skein(
            "lists-search",
            "sim search --protocol primcast --service lists --groups 3 --replicas 1 --operations yz,xy,x,z",
        ),
        skein("lists-swarm", "sim run --protocol primcast --service lists --seeds 0..40"),
        skein("lists-swarm-three", "sim run --protocol primcast --service lists --groups 3 --seeds 0..25"),
        skein(
            "lists-tight",
            "sim run --protocol primcast --service lists --groups 3 --tight --severity 2 --seeds 0..15",
        ),
        skein("lists-hybrid", "sim run --protocol primcast --service lists --clock hybrid --seeds 0..40"),
        skein("lists-planet", "sim run --protocol primcast --service lists --groups 3 --scenario planet --seeds 0..10"),

        skein("kv-swarm", "sim run --protocol primcast --service kv --groups 3 --seeds 0..20"),
        skein(
            "kv-tight",
            "sim run --protocol primcast --service kv --groups 2 --tight --severity 3 --seconds 20 --seeds 0..20",
        ),
        skein("kv-hybrid", "sim run --protocol primcast --service kv --clock hybrid --seconds 20 --seeds 0..20"),

        skein("mu-shared", "sim mu --seeds 0..150"),
        skein("mu-network", "sim mu --fabric network --seeds 0..100"),
        skein("mu-five", "sim mu --replicas 5 --seeds 0..30"),
        skein("edge-heal", "sim edge --figure heal_violations"),
        skein("edge-probes", "sim edge --figure wrongly_probed"),
        skein("edge-catch-up", "sim edge --figure catch_up_ratio"),

        skein("torture", "torture --minutes 0.2"),
        tested("exchange-alone", "exchange", "--alone"),
        tested("exchange", "exchange", "--replicas 3 --orders 1000000 --kill-every 100000 --stop-every 150000"),
        step("clients", order("bash", &format!(".ci/clients {}/release/skein", around.target))),

        tested("sim-mutants", "skein", "sim mutants"),
    ];
    steps.extend(examples(around));
    steps
}

/// Each example is run, not only built: it is the first code that a reader tries. Cargo would build it once more,
/// for one package asks for fewer features of its dependencies than all of them together.
fn examples(around: &Surroundings) -> Vec<Step> {
    if around.examples.is_empty() {
        let why = "There are no examples yet, so none is run.";
        return vec![Step { name: "examples".to_owned(), work: Work::Nothing(why) }];
    }
    around
        .examples
        .iter()
        .map(|(package, example)| {
            let program = format!("{}/debug/examples/{example}", around.target);
            step(&format!("example-{package}-{example}"), order(&program, ""))
        })
        .collect()
}

fn fresh_range(around: &Surroundings) -> String {
    let first = around.fresh_seed;
    format!("{first}..{}", first + FRESH_SEEDS)
}

fn step(name: &str, order: Order) -> Step {
    Step { name: name.to_owned(), work: Work::Run(order) }
}

/// None of our arguments has a space in it, so the table may be written as one types.
fn order(program: &str, arguments: &str) -> Order {
    Order {
        environment: Vec::new(),
        program: program.to_owned(),
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
    }
}

impl Step {
    fn with(mut self, variable: &'static str, value: &str) -> Step {
        if let Work::Run(order) = &mut self.work {
            order.environment.push((variable, value.to_owned()));
        }
        self
    }

    /// What to type in order to do the step again.
    pub(crate) fn command(&self) -> String {
        match &self.work {
            Work::Tidy => "cargo xtask tidy".to_owned(),
            Work::Nothing(why) => (*why).to_owned(),
            Work::Run(order) => {
                let settings =
                    order.environment.iter().map(|(variable, value)| format!("{variable}={}", quoted(value)));
                let words = std::iter::once(&order.program).chain(&order.arguments);
                settings.chain(words.map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// For the shell, so that the line can be pasted.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

impl Surroundings {
    pub(crate) fn of(metadata: &Metadata, fresh_seed: u64) -> Surroundings {
        let target = &metadata.target_directory;
        let mut examples = Vec::new();
        for member in metadata.members() {
            for target in &member.targets {
                if target.kind.iter().any(|kind| kind == "example") {
                    examples.push((member.name.clone(), target.name.clone()));
                }
            }
        }
        examples.sort();
        Surroundings {
            target: Path::new(target)
                .strip_prefix(&metadata.workspace_root)
                .ok()
                .and_then(Path::to_str)
                .unwrap_or(target)
                .to_owned(),
            examples,
            fresh_seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn around(examples: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            target: "target".to_owned(),
            examples: examples.iter().map(|(package, name)| ((*package).to_owned(), (*name).to_owned())).collect(),
            fresh_seed: 4_000,
        }
    }

    fn command(name: &str, steps: &[Step]) -> String {
        steps.iter().find(|step| step.name == name).unwrap().command()
    }

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let steps = steps(&around(&[("skein", "tour"), ("skein-sim", "tour")]));
        let names: BTreeSet<_> = steps.iter().map(|step| &step.name).collect();
        assert_eq!(names.len(), steps.len());
    }

    #[test]
    fn commands_can_be_pasted() {
        let steps = steps(&around(&[("skein-sim", "tour")]));
        let expected = "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps";
        assert_eq!(command("doc", &steps), expected);
        let expected = "target/debug/examples/tour";
        assert_eq!(command("example-skein-sim-tour", &steps), expected);
        assert!(command("sim-steps", &steps).starts_with("target/release/skein sim"));
        assert!(!command("sim-mutants", &steps).contains("release"));
    }

    #[test]
    fn the_fresh_range_is_written_out() {
        assert!(command("sim-fresh", &steps(&around(&[]))).ends_with("--seeds 4000..4050"));
    }

    #[test]
    fn an_absence_of_examples_is_said() {
        let steps = steps(&around(&[]));
        assert!(matches!(steps.last().unwrap().work, Work::Nothing(_)));
    }
}
