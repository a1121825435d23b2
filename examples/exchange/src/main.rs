//! The `exchange` binary: reads the command line, runs what was asked for and
//! prints what came of it. Results go to standard output, mistakes to standard
//! error. Exit codes: 0 all is well, 1 something that was checked does not hold,
//! 2 the question makes no sense.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use skein_exchange::alone::{self, MOST_ORDERS, Report, Settings};
use skein_exchange::audit::Verdict;
use skein_exchange::histogram::{Drawn, grouped};
use skein_exchange::words::{MAX_CLIENTS, MAX_INSTRUMENTS};

const EXAMPLES: &str = "Examples:
  exchange --alone                              a million orders through one engine, judged
  exchange --alone --orders 5000000 --seed 7    more of them, and others
  exchange --alone --clients 1 --instruments 1  one client trades with itself
Exit codes: 0 well, 1 a check failed, 2 a mistake in the command.";

/// An order-matching engine, its flow and its auditor.
#[derive(Parser)]
#[command(name = "exchange", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// Run the flow against one engine that nobody replicates
    #[arg(long, required = true)]
    alone: bool,
    /// How many commands, new orders and cancels together
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=MOST_ORDERS))]
    orders: u64,
    /// What the flow follows from: the same seed is the same flow
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many clients trade
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_CLIENTS)))]
    clients: u16,
    /// How many instruments they trade
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_INSTRUMENTS)))]
    instruments: u16,
}

fn main() -> ExitCode {
    let Arguments { alone: _, orders, seed, clients, instruments } = Arguments::parse();
    let settings = Settings { orders, seed, clients, instruments };
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!(
                "exchange: {why}.\nThe same flow comes from `--orders {orders} --seed {seed} --clients {clients} --instruments {instruments}`."
            );
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), String> {
    let Settings { orders, seed, clients, instruments } = *settings;
    println!("commands {}, clients {clients}, instruments {instruments}, seed {seed}", grouped(orders));
    let report = alone::run(settings)?;
    let begun = Instant::now();
    let verdict = alone::audit(&report)?;
    let took = begun.elapsed();
    print(&report, &verdict);
    println!(
        "\nThe audit took {:.1} s and found nothing: every command exactly once and in its client's order, every\n\
         trade as the rules want it, every lot filled, cancelled or open, and the snapshot restored to the same.",
        took.as_secs_f64()
    );
    Ok(())
}

fn print(report: &Report, verdict: &Verdict) {
    let history = verdict.history;
    let seconds = report.in_engine.as_secs_f64();
    let rate = (history.taken as f64 / seconds) as u64;
    println!(
        "  {} orders, {} cancels, {} refused; {} trades; {} asked twice and told the same",
        grouped(history.orders),
        grouped(history.cancels),
        grouped(report.refused),
        grouped(history.trades),
        grouped(report.asked_again),
    );
    println!(
        "  {} lots ordered = {} filled + {} cancelled + {} open in {} orders",
        grouped(verdict.sums.ordered as u64),
        grouped(verdict.sums.filled as u64),
        grouped(verdict.sums.cancelled as u64),
        grouped(verdict.open.1 as u64),
        grouped(verdict.open.0 as u64),
    );
    println!("  {} commands/s: {seconds:.3} s in the engine", grouped(rate));
    println!(
        "  history {:016x}, a snapshot has {} bytes",
        history.digest.value(),
        grouped(report.snapshot.len() as u64)
    );
    println!("\nNanoseconds for each, about {} of them the clock's own:", report.clock_nanos);
    println!("{}", Drawn(&report.latencies));
}
