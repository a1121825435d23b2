//! `skein bench mu`: how long a request takes to be replicated in shared
//! memory, beside what the machine itself takes from core to core, and how
//! long another replica takes over when the leader is killed or stops.

mod crossing;
mod failover;
mod figures;
mod replica;
mod stage;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use skein_runtime::cores;

use self::failover::{Blow, Failovers};
use self::figures::{Figures, quantile};
use self::replica::{Measured, Order, Said};
use self::stage::Stage;
use super::plot::{Axis, Chart, Curve};
use super::write_chart;
use crate::cli::{Mistake, Verdict, output};

pub(crate) use replica::{ReplicaArguments, command as replica};

#[derive(Args)]
#[command(
    after_help = "Starts a process for each replica. The leader has a core of its own; where there are not enough for
all, the others share the rest, and take turns. One request is on its way at a time. It is timed from the
call until the leader knows that a majority has it, by a clock whose own cost is told and not subtracted.

On a machine that takes its core from the leader for milliseconds another replica takes over in the middle.
Then it is measured again with a new cluster, a few times, and told how often.

Afterwards the leader is killed (kill -9) and stopped (SIGSTOP), each so often, while it has work to do: from
just before the signal until the next leader has decided a request.

The exit code is 1 when a figure misses its bar.

Examples:
  skein bench mu
  skein bench mu --payload 64 --replicas 3 --json
  skein bench mu --failovers 0 --svg latency.svg"
)]
pub(crate) struct Arguments {
    /// Bytes of a request; 64 and then 512 unless told.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(8..=16384))]
    payload: Option<u32>,
    /// How many replicas.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    replicas: u8,
    /// How many requests count.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    requests: u64,
    /// How often the leader is killed, and how often it is stopped.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(0..=1000))]
    failovers: u16,
    /// Where the memories lie meanwhile; a directory that does not exist yet.
    #[arg(long, value_name = "DIRECTORY")]
    folder: Option<PathBuf>,
    /// One JSON object for each payload.
    #[arg(long)]
    json: bool,
    /// Draw the latencies into this file.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// A measurement takes a second or so, where nothing else runs.
const LONGEST: Duration = Duration::from_secs(60);

/// If another replica takes over in the middle, it is begun again; so often at most.
const ATTEMPTS: u32 = 8;

/// The payloads that the bars speak of.
const PAYLOADS: [u32; 2] = [64, 512];

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let payloads = arguments.payload.map_or(PAYLOADS.to_vec(), |payload| vec![payload]);
    let allowed = cores::allowed().map_err(|error| Mistake(error.to_string()))?;
    let mut all_hold = true;
    let mut curves = Vec::new();
    for (nth, payload) in payloads.into_iter().enumerate() {
        // Who takes over does not depend on how long requests are.
        let failovers = if nth == 0 { usize::from(arguments.failovers) } else { 0 };
        let figures = measure(arguments, payload as usize, &allowed, failovers)?;
        if arguments.json {
            output::json(&figures);
        } else {
            figures.print();
        }
        all_hold &= figures.holds();
        curves.push(figures.curve());
    }
    if let Some(file) = &arguments.svg {
        write_chart(file, &chart(curves))?;
    }
    Ok(all_hold)
}

/// Where each replica runs: the leader, which is the first, on the last core, since the first one has the most to do
/// for the machine; the others in turn on the rest.
fn places(allowed: &[usize], replicas: usize) -> Vec<Option<usize>> {
    let Some((last, rest)) = allowed.split_last() else { return vec![None; replicas] };
    if rest.is_empty() {
        return vec![Some(*last); replicas];
    }
    std::iter::once(*last).chain(rest.iter().rev().copied().cycle()).take(replicas).map(Some).collect()
}

fn measure(arguments: &Arguments, payload: usize, allowed: &[usize], failovers: usize) -> Result<Figures, Mistake> {
    let pair = match *allowed {
        [first, .., last] => [last, first],
        _ => return Err(Mistake("two cores at least are needed: one for the leader, one for the others".to_owned())),
    };
    let line_crossing_ns = crossing::line_crossing_ns(pair)?;
    let clock_ns = crossing::clock_ns();
    let replicas = usize::from(arguments.replicas);
    let cores = places(allowed, replicas);
    let own = PathBuf::from(format!("/dev/shm/skein-bench-mu-{}", std::process::id()));
    let folder = arguments.folder.clone().unwrap_or(own);
    if folder.exists() {
        return Err(Mistake(format!("{} is there already; name a directory that is not", folder.display())));
    }
    let ((mut stage, measured), begun_again) = uninterrupted(|| {
        let mut stage = Stage::start(&folder, payload, cores.clone())?;
        let measured = attempt(&mut stage, payload, arguments.requests)?;
        Ok(measured.map(|measured| (stage, measured)))
    })?;
    let state = stage.wait_for_agreement()?;
    let proposed = stage.state(0)?.answered;
    let applied_ns = last_applications(&mut stage, &measured)?;
    let [kill, stop] = if failovers > 0 && replicas >= 3 {
        [Blow::Kill, Blow::Stop].map(|blow| failover::measure(&mut stage, blow, failovers, payload))
    } else {
        [Ok(Failovers::default()), Ok(Failovers::default())]
    };
    let has_core_each = allowed.len() >= replicas;
    Ok(Figures {
        payload,
        replicas,
        requests: measured.times.iter().map(|(_, count)| count).sum(),
        proposed,
        applied_by_all: state.count,
        p10_ns: quantile(&measured.times, 0.10),
        p50_ns: quantile(&measured.times, 0.50),
        p90_ns: quantile(&measured.times, 0.90),
        p99_ns: quantile(&measured.times, 0.99),
        p999_ns: quantile(&measured.times, 0.999),
        max_ns: quantile(&measured.times, 1.0),
        applied_p50_ns: crossing::median(applied_ns),
        line_crossing_ns,
        crossings_per_request: quantile(&measured.times, 0.50) as f64 / line_crossing_ns,
        clock_ns,
        requests_per_s: arguments.requests as f64 / (measured.nanos as f64 / 1e9),
        ticks: measured.ticks,
        preempted: measured.preempted,
        begun_again,
        failovers,
        has_core_each,
        kill: kill?,
        stop: stop?,
        times: measured.times,
    })
}

/// What comes of the first attempt that nothing interrupts, and how many there were before it.
fn uninterrupted<T>(mut attempt: impl FnMut() -> Result<Result<T, String>, Mistake>) -> Result<(T, u32), Mistake> {
    let mut begun_again = 0;
    loop {
        match attempt()? {
            Ok(found) => return Ok((found, begun_again)),
            Err(_) if begun_again + 1 < ATTEMPTS => begun_again += 1,
            Err(why) => {
                return Err(Mistake(format!(
                    "{why}; it was begun {ATTEMPTS} times: this machine has too much else to do"
                )));
            }
        }
    }
}

/// One measurement with a new cluster; or why there is none, if its leader did not lead all the while.
fn attempt(stage: &mut Stage, payload: usize, requests: u64) -> Result<Result<Measured, String>, Mistake> {
    stage.wait_for_leader(0)?;
    stage.order(0, &Order::Measure { payload, requests })?;
    let heard = stage.hear_within(LONGEST, |who, said| match said {
        Said::Measured(measured) if who == 0 => Some(Ok(measured)),
        Said::Interrupted(why) if who == 0 => Some(Err(why)),
        _ => None,
    })?;
    heard.ok_or_else(|| {
        Mistake(format!(
            "{requests} requests took longer than {LONGEST:?}: this machine has too much else to do, or ask for fewer"
        ))
    })
}

/// How long sampled requests took until the slowest replica had applied them.
fn last_applications(stage: &mut Stage, measured: &Measured) -> Result<Vec<u64>, Mistake> {
    let mut last: std::collections::BTreeMap<u64, (u64, u64)> =
        measured.proposed_at.iter().map(|(number, at)| (*number, (*at, *at))).collect();
    for replica in 0..stage.replicas() {
        stage.order(replica, &Order::Samples)?;
        let samples = stage.hear("a replica tells when it applied", |who, said| match said {
            Said::Samples(samples) if who == replica => Some(samples),
            _ => None,
        })?;
        for (number, at) in samples {
            if let Some((_, latest)) = last.get_mut(&number) {
                *latest = (*latest).max(at);
            }
        }
    }
    Ok(last.into_values().map(|(proposed, applied)| applied - proposed).collect())
}

fn chart(curves: Vec<Curve>) -> Chart {
    Chart {
        title: "Replication in shared memory: one in so many takes longer".to_owned(),
        across: Axis::logarithmic("one in so many takes longer"),
        up: Axis::logarithmic("nanoseconds"),
        curves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_has_a_core_of_its_own() {
        let places =
            |allowed: &[usize], replicas| -> Vec<usize> { places(allowed, replicas).into_iter().flatten().collect() };
        assert_eq!(places(&[0, 1], 3), [1, 0, 0]);
        assert_eq!(places(&[0, 1, 2, 3], 3), [3, 2, 1]);
        assert_eq!(places(&[4, 5, 6], 5), [6, 5, 4, 5, 4]);
        assert_eq!(places(&[2], 3), [2, 2, 2]);
    }

    #[test]
    fn what_is_interrupted_is_begun_again_and_not_for_ever() {
        let mut attempts = 0..;
        let third = uninterrupted(|| Ok(attempts.next().filter(|nth| *nth == 2).ok_or_else(String::new)));
        assert_eq!(third.ok(), Some((2, 2)));
        let mut attempts = 0;
        let never = uninterrupted(|| {
            attempts += 1;
            Ok(Err::<(), _>("request 7: somebody else leads".to_owned()))
        });
        let Err(Mistake(why)) = never else { panic!("nothing was measured") };
        assert!(attempts == 8 && why.starts_with("request 7: somebody else leads; it was begun 8 times"), "{why}");
        let broken = uninterrupted(|| Err::<Result<(), String>, _>(Mistake("no memory".to_owned())));
        assert!(matches!(broken, Err(Mistake(why)) if why == "no memory"));
    }
}
