//! What happens when the leader is killed or stopped while it has work to do:
//! how long it takes until another one has decided its first request.

use std::time::Duration;

use rustix::process::Signal;

use super::crossing::median;
use super::replica::{Led, Order, Said};
use super::stage::Stage;
use super::tally::now;
use crate::cli::Mistake;

/// The one that leads whenever it can.
const FIRST: usize = 0;

/// So many requests are answered before a leader is struck.
const UNDER_WAY: u64 = 1000;

/// If nobody leads after so long, somebody did before.
const VAIN: Duration = Duration::from_secs(2);

/// What happens to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// `kill -9`, and it is started again.
    Kill,
    /// It stands still, and goes on when another leads.
    Stop,
}

/// What came of several of them: medians, in microseconds, and the worst.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failovers {
    /// From just before the signal until the next leader had decided a request.
    pub(super) all_us: f64,
    pub(super) worst_us: f64,
    /// Of that: until it had another opinion of who should lead,
    pub(super) noticed_us: f64,
    /// from then until it had its grants and knew what stood in the log,
    pub(super) granted_us: f64,
    /// and from then until its first request was decided.
    pub(super) decided_us: f64,
}

/// Strikes the leader so often.
pub(super) fn measure(stage: &mut Stage, blow: Blow, rounds: usize, payload: usize) -> Result<Failovers, Mistake> {
    let mut parts: [Vec<u64>; 4] = Default::default();
    let mut vain = 0;
    while parts[0].len() < rounds {
        let Some((began, led)) = round(stage, blow, payload)? else {
            vain += 1;
            if vain > rounds {
                return Err(Mistake(format!(
                    "{vain} times another replica led before the leader was struck: this machine has too much else to do"
                )));
            }
            continue;
        };
        let Led { suspected, leading, decided } = led;
        let of_round = [decided - began, suspected.saturating_sub(began), leading - suspected, decided - leading];
        parts.iter_mut().zip(of_round).for_each(|(part, nanos)| part.push(nanos));
    }
    let worst_us = parts[0].iter().max().map_or(0.0, |nanos| *nanos as f64 / 1e3);
    let [all_us, noticed_us, granted_us, decided_us] = parts.map(|part| median(part) as f64 / 1e3);
    Ok(Failovers { all_us, worst_us, noticed_us, granted_us, decided_us })
}

/// One blow. Nothing if the leader had lost its office before it was struck, as on a machine that has much else to do:
/// then nobody takes over because of it.
fn round(stage: &mut Stage, blow: Blow, payload: usize) -> Result<Option<(u64, Led)>, Mistake> {
    stage.wait_for_leader(FIRST)?;
    stage.order_all(&Order::Load { payload })?;
    // It is struck in the middle of its work.
    let before = stage.state(FIRST)?.answered;
    while stage.state(FIRST)?.answered < before + UNDER_WAY {}
    let began = now();
    stage.strike(FIRST, if blow == Blow::Kill { Signal::KILL } else { Signal::STOP })?;
    let led = stage.hear_within(VAIN, |who, said| match said {
        Said::Led(led) if who != FIRST && led.decided > began => Some(led),
        _ => None,
    })?;
    match blow {
        Blow::Kill => stage.restart(FIRST)?,
        Blow::Stop => stage.strike(FIRST, Signal::CONT)?,
    }
    stage.order_all(&Order::Rest)?;
    stage.wait_for_leader(FIRST)?;
    stage.wait_for_agreement()?;
    Ok(led.filter(|led| led.suspected > began).map(|led| (began, led)))
}
