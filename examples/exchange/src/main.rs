//! The `exchange` binary: reads the command line, runs what was asked for and
//! prints what came of it. Results go to standard output, mistakes and how it
//! goes to standard error. Exit codes: 0 all is well, 1 something that was
//! checked does not hold, 2 the question makes no sense.

#![forbid(unsafe_code)]

mod show;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use skein_exchange::alone;
use skein_exchange::histogram::grouped;
use skein_exchange::replicated::{self, Every, MOST_REPLICAS, Progress, ReplicaArguments};
use skein_exchange::words::{MAX_CLIENTS, MAX_INSTRUMENTS};

const EXAMPLES: &str = "Examples:
  exchange --replicas 3                            a million orders through three replicas, judged
  exchange --replicas 3 --orders 10000000 --kill-every 2s
                                                   more of them, and a replica is killed every two seconds
  exchange --replicas 3 --seconds 20 --kill-every 2s --stop-every 3s
                                                   for twenty seconds, and replicas stand still now and then
  exchange --replicas 3 --clients 1                one client: how long one command takes
  exchange --alone                                 a million orders through one engine, judged
  exchange --alone --orders 5000000 --seed 7       more of them, and others
Replicas are processes of their own, on memory below /dev/shm, which they give back at the end.
Exit codes: 0 well, 1 a check failed, 2 a mistake in the command.";

/// An order-matching engine, its replicas, its flow and its auditor.
#[derive(Parser)]
#[command(name = "exchange", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Run the flow against one engine that nobody replicates
    #[arg(long, required_unless_present = "replicas", conflicts_with = "replicas")]
    alone: bool,
    /// Run the flow against so many replicas, an odd number of at least 3
    #[arg(long, value_name = "N", value_parser = replicas)]
    replicas: Option<usize>,
    /// How many commands, new orders and cancels together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=alone::MOST_ORDERS))]
    orders: Option<u64>,
    /// What the flow follows from: the same seed, given the same answers, is the same flow
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many clients trade, each with one command on the way
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_CLIENTS)))]
    clients: u16,
    /// How many instruments they trade
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_INSTRUMENTS)))]
    instruments: u16,
    /// Kill a replica, mostly the leader, every so often (2s, 500ms) or after so many answers (20000)
    #[arg(long, value_name = "EVERY", requires = "replicas", conflicts_with = "alone")]
    kill_every: Option<Every>,
    /// Stop a replica for a moment every so often, in the same words
    #[arg(long, value_name = "EVERY", requires = "replicas", conflicts_with = "alone")]
    stop_every: Option<Every>,
    /// End the flow after so long, if not before
    #[arg(long, value_name = "N", requires = "replicas", conflicts_with = "alone", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
}

#[derive(Subcommand)]
enum Role {
    /// One replica of a run
    #[command(hide = true)]
    Replica(ReplicaArguments),
}

/// An even number of them survives no more deaths than one less.
fn replicas(text: &str) -> Result<usize, String> {
    let wrong = || format!("take an odd number from 3 to {MOST_REPLICAS}");
    let replicas = text.parse().map_err(|_| wrong())?;
    if (3..=MOST_REPLICAS).contains(&replicas) && replicas % 2 == 1 { Ok(replicas) } else { Err(wrong()) }
}

/// How many commands there are unless somebody says.
const ORDERS: u64 = 1_000_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Role::Replica(arguments)) = &arguments.role {
        return match replicated::replica(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("exchange: replica: {why}.");
                ExitCode::FAILURE
            }
        };
    }
    let outcome = match arguments.replicas {
        Some(replicas) => run_replicated(&arguments, replicas),
        None => run_alone(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Wrong::Question(why)) => {
            eprintln!("exchange: {why}.");
            ExitCode::from(2)
        }
        Err(Wrong::Check(why)) => {
            let again: Vec<String> = std::env::args().skip(1).collect();
            eprintln!("exchange: {why}.\nIt was asked for with `exchange {}`.", again.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// Why it did not end well.
enum Wrong {
    Question(String),
    Check(String),
}

impl From<String> for Wrong {
    fn from(why: String) -> Wrong {
        Wrong::Check(why)
    }
}

fn run_alone(arguments: &Arguments) -> Result<(), Wrong> {
    let Arguments { seed, clients, instruments, .. } = *arguments;
    let orders = arguments.orders.unwrap_or(ORDERS);
    println!("commands {}, clients {clients}, instruments {instruments}, seed {seed}", grouped(orders));
    let report = alone::run(&alone::Settings { orders, seed, clients, instruments })?;
    let begun = Instant::now();
    let verdict = alone::audit(&report)?;
    show::alone(&report, &verdict, begun.elapsed());
    Ok(())
}

fn run_replicated(arguments: &Arguments, replicas: usize) -> Result<(), Wrong> {
    let Arguments { seed, clients, instruments, kill_every, stop_every, seconds, .. } = *arguments;
    let most = replicated::MOST_ORDERS;
    let orders = arguments.orders.unwrap_or(if seconds.is_some() { most } else { ORDERS });
    if orders > most {
        return Err(Wrong::Question(format!("{orders} orders are asked for, and {most} can be replicated and judged")));
    }
    let longest = seconds.map(Duration::from_secs);
    let settings =
        replicated::Settings { replicas, orders, seed, clients, instruments, kill_every, stop_every, longest };
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let listening = signal_hook::flag::register(signal, is_interrupted.clone());
        listening.map_err(|error| format!("cannot listen to signals: {error}"))?;
    }
    let program = std::env::current_exe().map_err(|error| format!("this program cannot be found again: {error}"))?;
    let bound = if longest.is_some() { " at most" } else { "" };
    println!(
        "commands {}{bound}, replicas {replicas}, clients {clients}, instruments {instruments}, seed {seed}",
        grouped(orders)
    );
    let is_terminal = stderr().is_terminal();
    let mut tell = |progress: &Progress| show::progress(progress, is_terminal);
    let report = replicated::run(&settings, &program, &is_interrupted, &mut tell);
    if is_terminal {
        show::progress_is_over();
    }
    let report = report?;
    let begun = Instant::now();
    let verdict = replicated::audit(&report).map_err(|fault| {
        let folder = std::env::temp_dir().join(format!("skein-exchange-evidence-{}", std::process::id()));
        match replicated::keep(&report, &folder) {
            Ok(()) => format!("{fault}. Tapes, states and the journal are in {}", folder.display()),
            Err(error) => format!("{fault}. The evidence cannot be kept in {}: {error}", folder.display()),
        }
    })?;
    show::replicated(&report, &verdict, begun.elapsed());
    Ok(())
}
