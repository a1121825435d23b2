//! What came of a run, as a person reads it. It prints and computes nothing but
//! rates.

use std::time::Duration;

use skein_exchange::audit::Verdict;
use skein_exchange::histogram::{Drawn, grouped};
use skein_exchange::{alone, replicated};

/// One engine and nobody else.
pub(crate) fn alone(report: &alone::Report, verdict: &Verdict, audited: Duration) {
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
    lots(verdict);
    println!("  {} commands/s: {seconds:.3} s in the engine", grouped(rate));
    println!(
        "  history {:016x}, a snapshot has {} bytes",
        history.digest.value(),
        grouped(report.snapshot.len() as u64)
    );
    println!("\nNanoseconds for each, about {} of them the clock's own:", report.clock_nanos);
    println!("{}", Drawn(&report.latencies));
    println!(
        "\nThe audit took {:.1} s and found nothing: every command exactly once and in its client's order, every\n\
         trade as the rules want it, every lot filled, cancelled or open, and the snapshot restored to the same.",
        audited.as_secs_f64()
    );
}

/// Replicas that were processes.
pub(crate) fn replicated(report: &replicated::Report, verdict: &Verdict, audited: Duration) {
    let (history, end) = (verdict.history, report.end);
    let seconds = end.time.as_secs_f64();
    println!(
        "  {} orders, {} cancels, {} refused; {} trades; {} asked again",
        grouped(history.orders),
        grouped(history.cancels),
        grouped(history.taken - history.orders - history.cancels),
        grouped(history.trades),
        grouped(report.asked_again),
    );
    lots(verdict);
    println!("  {} commands/s: {seconds:.3} s", grouped((end.answered as f64 / seconds) as u64));
    println!(
        "  {} kills, {} of them of the leader; {} stops; the longest gap in which nobody was answered {:.3} ms",
        end.kills,
        end.leaders_killed,
        end.stops,
        report.gap.as_secs_f64() * 1e3,
    );
    println!(
        "  history {:016x} at {} replicas, a snapshot has {} bytes",
        history.digest.value(),
        report.states.len(),
        grouped(report.states[0].len() as u64)
    );
    println!("\nNanoseconds from a client's first question to its answer:");
    println!("{}", Drawn(&report.latencies));
    println!(
        "\nThe audit of {} tapes took {:.1} s and found nothing: every command exactly once and in its client's order,\n\
         every answer as it was told, every trade as the rules want it, every lot filled, cancelled or open, and all\n\
         replicas ended the same.",
        report.tapes.len(),
        audited.as_secs_f64()
    );
}

fn lots(verdict: &Verdict) {
    println!(
        "  {} lots ordered = {} filled + {} cancelled + {} open in {} orders",
        grouped(verdict.sums.ordered as u64),
        grouped(verdict.sums.filled as u64),
        grouped(verdict.sums.cancelled as u64),
        grouped(verdict.open.1 as u64),
        grouped(verdict.open.0 as u64),
    );
}

/// How it goes: one line that is written again and again where somebody looks, else a line for each time.
pub(crate) fn progress(progress: &replicated::Progress, is_terminal: bool) {
    let line = format!(
        "  {:>4} s  {:>12} answered, {} kills, {} stops",
        progress.time.as_secs(),
        grouped(progress.answered),
        progress.kills,
        progress.stops
    );
    if is_terminal {
        eprint!("\r{line}");
    } else {
        eprintln!("{line}");
    }
}

/// Clears that line.
pub(crate) fn progress_is_over() {
    eprint!("\r{:70}\r", "");
}
