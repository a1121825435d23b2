//! The node's end of torture: one thread that reads what is to go wrong from
//! standard input, a line each, and does it to the node's disk and clock. A node
//! that was not started with the hidden flag never comes here. When the other
//! end goes away, the node dies with it, so that nothing tormented is left over.

use std::io::stdin;
use std::path::Path;
use std::sync::Arc;

use skein_runtime::clock::HardwareClock;
use skein_runtime::files::{Faults, Faulty, Native, Strike};

use crate::node::Ground;

/// What can be done to a node from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Its disk fails it.
    Disk(Strike),
    /// Its hardware clock is so far off from now on.
    Clock { error_nanos: i64 },
}

const FULL: &str = "full-disk";
const FAILING_SYNC: &str = "failing-sync";
const TORN_WRITE: &str = "torn-write";
const CLOCK: &str = "clock";

impl Order {
    pub(crate) fn to_line(self) -> String {
        match self {
            Order::Disk(Strike::Full) => FULL.to_owned(),
            Order::Disk(Strike::FailingSync) => FAILING_SYNC.to_owned(),
            Order::Disk(Strike::TornWrite) => TORN_WRITE.to_owned(),
            Order::Clock { error_nanos } => format!("{CLOCK} {error_nanos}"),
        }
    }

    fn from_line(line: &str) -> Option<Order> {
        match line {
            FULL => Some(Order::Disk(Strike::Full)),
            FAILING_SYNC => Some(Order::Disk(Strike::FailingSync)),
            TORN_WRITE => Some(Order::Disk(Strike::TornWrite)),
            _ => {
                let error_nanos = line.strip_prefix(CLOCK)?.strip_prefix(' ')?.parse().ok()?;
                Some(Order::Clock { error_nanos })
            }
        }
    }
}

/// Gives this process away, and answers what its node is to stand on.
pub(crate) fn put_on(folder: &Path) -> Result<Ground, String> {
    // A stopped process does not notice that its input has ended; this reaches it all the same.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| format!("cannot be bound to the process that torments this one: {error}"))?;
    let (files, clock) = (Faulty::new(Arc::new(Native), Faults::default()), HardwareClock::default());
    let (planted, planted_in_service) = planted()?;
    let ground = Ground {
        files: Arc::new(files.clone()),
        clock: clock.clone(),
        journals: Some(folder.to_owned()),
        planted,
        planted_in_service,
    };
    let obey = move || {
        for line in stdin().lines().map_while(Result::ok) {
            tracing::warn!(order = line, "is tormented");
            match Order::from_line(&line) {
                Some(Order::Disk(strike)) => files.strike(strike),
                Some(Order::Clock { error_nanos }) => clock.set_error(error_nanos),
                None => tracing::error!(line, "makes no sense"),
            }
        }
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new().name("leash".to_owned()).spawn(obey);
    thread.map_err(|error| format!("there is no thread to be tormented by: {error}"))?;
    Ok(ground)
}

/// A bug of the order, and one of the service.
type Bugs = (skein_order::Planted, skein_service::Planted);

const NO_BUG: Bugs = (skein_order::Planted::NONE, skein_service::Planted::NONE);

/// The bug that torture is to find, in the order or in the service: in a build that can have one, and whose user names
/// one of `skein sim mutants` or of [`skein_service::Mutant::ALL`].
#[cfg(feature = "mutants")]
fn planted() -> Result<Bugs, String> {
    let Ok(name) = std::env::var("SKEIN_PLANTED") else { return Ok(NO_BUG) };
    if let Some((_, mutant)) = skein_service::Mutant::ALL.into_iter().find(|(other, _)| *other == name) {
        return Ok((NO_BUG.0, skein_service::Planted::bug(mutant)));
    }
    let mutant = crate::mutants::named(&name).ok_or_else(|| format!("SKEIN_PLANTED=\"{name}\": there is no such bug"));
    Ok((skein_order::Planted::bug(mutant?), NO_BUG.1))
}

#[cfg(not(feature = "mutants"))]
fn planted() -> Result<Bugs, String> {
    Ok(NO_BUG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_understood_as_it_was_meant() {
        let strikes = [Strike::Full, Strike::FailingSync, Strike::TornWrite].map(Order::Disk);
        for order in strikes.into_iter().chain([Order::Clock { error_nanos: -7 }, Order::Clock { error_nanos: 7 }]) {
            assert_eq!(Order::from_line(&order.to_line()), Some(order));
        }
        assert_eq!(Order::from_line("clock"), None);
        assert_eq!(Order::from_line("clocks 7"), None);
    }
}
