//! The command line: what there is, how it is asked for, and what a mistake
//! answers. Data goes to standard output, everything else to standard error.
//! Exit codes: 0 all is well, 1 something that was checked does not hold,
//! 2 the question makes no sense, 78 a node refuses its configuration.

mod admin;
pub(crate) mod ask;
mod backup;
pub(crate) mod certificates;
mod config;
mod edge;
mod edge_figures;
mod explain;
pub(crate) mod kv;
mod log;
mod memory;
mod mu_seeds;
pub(crate) mod node;
pub(crate) mod output;
mod reminder;
mod run;
mod search;
mod searched;
mod served;
mod settings;
mod status;
mod steps;
mod sweep;
mod talk;
mod watch;

use std::fmt;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "mutants")]
pub(crate) use run::{jobs, seed_of};
#[cfg(all(test, feature = "mutants"))]
pub(crate) use search::in_words;
#[cfg(feature = "mutants")]
pub(crate) use search::search_of;
#[cfg(feature = "mutants")]
pub(crate) use served::counted;
#[cfg(any(test, feature = "mutants"))]
pub(crate) use served::{Served, served_of};
pub(crate) use settings::{ScenarioName, Shape, check_mode, name_of};
#[cfg(feature = "mutants")]
pub(crate) use steps::steps_of;

/// Atomic multicast that stays correct across shards and continents.
#[derive(Parser)]
#[command(name = "skein", version, max_term_width = 100, help_template = HELP, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// As usual, but for a line that a screen has not.
const HELP: &str = "{about-with-newline}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "Examples:
  skein dev                          run a cluster here, to try things with
  skein kv put name Ada              use its store; so does redis-cli -p 7001
  skein sim run --protocol primcast --seeds 0..100   judge a hundred random runs
`skein COMMAND --help` says more. Exit codes: 0 well, 1 a check failed, 2 a mistake in the command.";

#[derive(Subcommand)]
enum Command {
    /// Study and judge protocols in a deterministic simulator.
    #[command(subcommand)]
    Sim(Sim),
    /// Run a whole cluster in this process, to try things with.
    Dev(crate::dev::Arguments),
    /// Use the store of a cluster, and see where its keys are.
    Kv(kv::Arguments),
    /// Copy a store as it is at one moment, and bring it back.
    Backup(backup::Arguments),
    /// Send messages to groups.
    Multicast(talk::MulticastArguments),
    /// Follow what a group delivers.
    Tail(talk::TailArguments),
    /// See how a cluster is, and what to do about it.
    Status(status::Arguments),
    /// See what a message waited for, or which ones were slow.
    Explain(explain::Arguments),
    /// Run one node of a cluster.
    Node(node::Arguments),
    /// Run a member of a fleet that shares a map, and watches origins, without a leader.
    Edge(Box<edge::Arguments>),
    /// Serve the memory of a replica of Mu to processes on other hosts.
    Memory(memory::Arguments),
    /// Write and check the configuration of a cluster.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Change a cluster that runs.
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Measure a cluster on this machine.
    #[command(subcommand)]
    Bench(Bench),
    /// Torment a cluster of processes on this machine, and judge what it did.
    Torture(crate::torture::Arguments),
    /// Look at the log of a replica that does not run.
    #[command(subcommand)]
    Log(log::Log),
    /// Print a script that completes commands in a shell.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// Measure how many messages a cluster orders, how fast, and at what cost.
    Multicast(crate::bench::multicast::Arguments),
    /// Measure what a store does in a second, ours or any that speaks Redis' protocol.
    Kv(crate::bench::kv::Arguments),
    /// Draw throughput and latency of protocols under a growing load.
    Sweep(crate::bench::sweep::Arguments),
    /// Measure how fast this machine merges maps of the edge.
    Edge(crate::bench::edge::Arguments),
    /// Measure how fast requests are replicated in shared memory, and how fast another leads.
    Mu(crate::bench::mu::Arguments),
    /// One replica of that.
    #[command(hide = true)]
    MuReplica(crate::bench::mu::ReplicaArguments),
    /// One process of the load of another command.
    #[command(hide = true)]
    Load {
        #[arg(long)]
        config: std::path::PathBuf,
        #[arg(long)]
        job: String,
    },
}

#[derive(Subcommand)]
enum Sim {
    /// Run random seeds under load and faults, and judge every history.
    Run(run::Arguments),
    /// Measure how many message delays, messages and bytes a multicast takes.
    Steps(steps::Arguments),
    /// Draw throughput and latency of protocols under a growing load, in virtual time.
    Sweep(sweep::Arguments),
    /// Measure fleets that share a map: deaths, news, probes, and what a parting leaves.
    Edge(edge_figures::Arguments),
    /// Run random seeds of a log that its leader writes into the memories of all, and judge it.
    Mu(mu_seeds::Arguments),
    /// Try every order of deliveries and crashes in a small scope.
    Search(search::Arguments),
    /// Plant known bugs and see that the judges catch each (needs the feature `mutants`).
    Mutants(MutantArguments),
}

#[derive(Args)]
pub(crate) struct MutantArguments {
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only bugs whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// How many seeds run at once; all cores unless told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// A question that makes no sense, with a sentence that says why and what to do.
#[derive(Debug)]
pub(crate) struct Mistake(pub(crate) String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<skein_machine::ClusterError> for Mistake {
    fn from(error: skein_machine::ClusterError) -> Mistake {
        Mistake(error.to_string())
    }
}

impl From<skein_runtime::tls::TlsError> for Mistake {
    fn from(error: skein_runtime::tls::TlsError) -> Mistake {
        Mistake(error.to_string())
    }
}

impl From<crate::config::ConfigError> for Mistake {
    fn from(error: crate::config::ConfigError) -> Mistake {
        Mistake(error.to_string())
    }
}

/// What a node answers whose configuration is refused, as `sysexits.h` has it: starting it again is of no use.
const CONFIGURATION: u8 = 78;

/// Whether what was checked holds.
pub(crate) type Verdict = Result<bool, Mistake>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let verdict = match Cli::parse().command {
        Command::Sim(Sim::Run(arguments)) => run::command(&arguments),
        Command::Sim(Sim::Steps(arguments)) => steps::command(&arguments),
        Command::Sim(Sim::Sweep(arguments)) => sweep::command(&arguments),
        Command::Sim(Sim::Edge(arguments)) => edge_figures::command(&arguments),
        Command::Sim(Sim::Mu(arguments)) => mu_seeds::command(&arguments),
        Command::Sim(Sim::Search(arguments)) => search::command(&arguments),
        Command::Sim(Sim::Mutants(arguments)) => mutants(&arguments),
        Command::Dev(arguments) => crate::dev::command(&arguments),
        Command::Kv(arguments) => kv::command(&arguments),
        Command::Backup(arguments) => backup::command(&arguments),
        Command::Multicast(arguments) => talk::multicast(&arguments),
        Command::Tail(arguments) => talk::tail(&arguments),
        Command::Status(arguments) => status::command(&arguments),
        Command::Explain(arguments) => explain::command(&arguments),
        Command::Config(command) => config::command(&command),
        Command::Admin(command) => admin::command(&command),
        Command::Node(arguments) => match node::command(&arguments) {
            Ok(verdict) => verdict,
            Err(mistake) => {
                eprintln!("error: {mistake}");
                return ExitCode::from(CONFIGURATION);
            }
        },
        Command::Edge(arguments) => match edge::command(&arguments) {
            Ok(verdict) => verdict,
            Err(mistake) => {
                eprintln!("error: {mistake}");
                return ExitCode::from(CONFIGURATION);
            }
        },
        Command::Memory(arguments) => memory::command(&arguments),
        Command::Bench(Bench::Multicast(arguments)) => crate::bench::multicast::command(&arguments),
        Command::Bench(Bench::Kv(arguments)) => crate::bench::kv::command(&arguments),
        Command::Bench(Bench::Sweep(arguments)) => crate::bench::sweep::command(&arguments),
        Command::Bench(Bench::Edge(arguments)) => crate::bench::edge::command(&arguments),
        Command::Bench(Bench::Mu(arguments)) => crate::bench::mu::command(&arguments),
        Command::Bench(Bench::MuReplica(arguments)) => crate::bench::mu::replica(&arguments),
        Command::Bench(Bench::Load { config, job }) => crate::bench::load::command(&config, &job),
        Command::Torture(arguments) => crate::torture::command(&arguments),
        Command::Log(log) => log::command(&log),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "skein", &mut script);
            output::text(&String::from_utf8_lossy(&script));
            Ok(true)
        }
    };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(mistake) => {
            eprintln!("error: {mistake}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "mutants")]
fn mutants(arguments: &MutantArguments) -> Verdict {
    crate::mutants::command(arguments)
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: &MutantArguments) -> Verdict {
    Err(Mistake(
        "this build has no planted bugs, as no build that ships has; \
         run `cargo run --release --features mutants -- sim mutants`"
            .into(),
    ))
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([thousands(7), thousands(1234), thousands(123456789)], ["7", "1,234", "123,456,789"]);
    }
}
