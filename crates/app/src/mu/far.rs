//! [`Far`]: drives one processor of Mu whose memories lie at the other end of a
//! network. Each verb travels to its memory's server, and what came of it
//! travels back; the links, and what becomes of them, are the runtime's.
//!
//! It has no thread either: it goes on as far as it is called.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use skein_machine::wire::VERSION;
use skein_machine::{Boot, ProcessId};
use skein_order::Planted;
use skein_order::mu::{Command, Event, Mu, Options, Replica, Shape};
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::Begin;
use skein_runtime::driven::Driven;
use skein_runtime::files::Native;
use skein_runtime::front::{Desk, Front};
use skein_runtime::hello::plan_of;
use skein_runtime::replica::{self, Handle, Places, Surroundings};
use skein_runtime::tls::Tls;
use skein_runtime::wal::Storage;

use super::config::Network;
use super::host::User;
use super::{MuConfig, MuError};

/// A processor and its links to memories.
pub(super) struct Far {
    driven: Driven<Mu, Heard>,
    tls: Option<Tls>,
    /// Why it goes on no more.
    failure: Option<String>,
}

impl Far {
    /// A processor begins to live. Nothing is asked of the memories yet: it has no links.
    pub(super) fn start(
        config: &MuConfig,
        network: &Network,
        options: Options,
        seed: u64,
        user: &mut impl User,
    ) -> Result<Far, MuError> {
        let make = move |_| Mu::Replica(Box::new(Replica::new(options, Planted::NONE)));
        let tls = tls(config, network)?;
        let (replica, _) = open(config, network, Side::Processor, tls.clone(), make)?;
        let driven = replica.start(seed).map_err(|failure| MuError::Network(failure.to_string()))?;
        let mut far = Far { driven, tls, failure: None };
        far.turn(Duration::ZERO, user);
        Ok(far)
    }

    /// Its user asks for something.
    pub(super) fn command(&mut self, command: Command, user: &mut impl User) {
        self.driven.command(command);
        self.turn(Duration::ZERO, user);
    }

    /// Whatever is ready; if nothing is, waits for it, so long at most. Whether there was anything for its user.
    pub(super) fn poll(&mut self, longest: Duration, user: &mut impl User) -> bool {
        let applied = self.replica().applied();
        self.turn(longest, user);
        self.replica().applied() != applied
    }

    fn turn(&mut self, mut longest: Duration, user: &mut impl User) {
        loop {
            if self.failure.is_none()
                && let Err(failure) = self.driven.turn(Some(longest))
            {
                self.failure = Some(failure.to_string());
            }
            let mut has_answered = false;
            while let Some(event) = self.driven.front().0.pop_front() {
                if let Some(answer) = user.told(event) {
                    self.driven.command(answer);
                    has_answered = true;
                }
            }
            if !has_answered || self.failure.is_some() {
                return;
            }
            longest = Duration::ZERO;
        }
    }

    /// Reads its certificates again, for links to come.
    pub(super) fn reload(&self) -> Result<(), MuError> {
        reload(self.tls.as_ref())
    }

    /// The processor, to look at.
    pub(super) fn replica(&self) -> &Replica {
        match self.driven.machine() {
            Mu::Replica(replica) => replica,
            Mu::Memory(_) => unreachable!("a processor was made"),
        }
    }

    /// Why it goes on no more, if it does not.
    pub(super) fn failure(&self) -> Option<MuError> {
        self.failure.clone().map(MuError::Network)
    }
}

/// What a processor told its user, until its user listens.
#[derive(Default)]
pub(super) struct Heard(VecDeque<Event>);

impl Front<Mu> for Heard {
    type Call = Infallible;

    fn on_event(&mut self, event: Event, _: &mut Desk<Mu>) {
        self.0.push_back(event);
    }

    fn on_call(&mut self, call: Infallible, _: &mut Desk<Mu>) {
        match call {}
    }
}

/// What a process of a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Processor,
    Memory,
}

/// A process of a replica with its directory and its links, not yet alive.
pub(super) fn open(
    config: &MuConfig,
    network: &Network,
    side: Side,
    tls: Option<Tls>,
    make: impl FnOnce(Boot) -> Mu,
) -> Result<(replica::Replica<Mu, Heard>, Handle<Infallible>), MuError> {
    let replicas = config.replicas;
    let process = process(side, config.replica, replicas);
    // Processors call memories, and never each other; where whoever calls may be does not matter.
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let addresses = match side {
        Side::Processor => {
            let memories = network.memories.iter().enumerate();
            memories.map(|(nth, address)| (self::process(Side::Memory, nth, replicas), *address)).collect()
        }
        Side::Memory => (0..replicas).map(|nth| (self::process(Side::Processor, nth, replicas), unknown)).collect(),
    };
    let begin = network.rejoin.map_or(Begin::Usual, |incarnation| Begin::Rejoin { incarnation });
    let surroundings = Surroundings {
        cluster: config.cluster(),
        plan: plan(&config.shape()),
        process,
        places: Places { addresses, distances: BTreeMap::new() },
        files: Arc::new(Native),
        data: network.data.clone(),
        clock: HardwareClock::default(),
        storage: Storage::Memory,
        begin,
        tls,
        notes: None,
        speaks: VERSION,
        is_patient: false,
        busy_poll: false,
    };
    let opened = replica::Replica::open(surroundings, make, Heard::default());
    opened.map_err(|failure| MuError::Network(failure.to_string()))
}

/// Processors are numbered like their replicas, and memories follow.
pub(super) fn process(side: Side, replica: usize, replicas: usize) -> ProcessId {
    let first = if side == Side::Memory { replicas } else { 0 };
    ProcessId((first + replica) as u16)
}

/// What all processes must have been told alike.
fn plan(shape: &Shape) -> u32 {
    plan_of(&format!("mu {shape:?}"))
}

/// The papers of a replica are in its name, for both of its processes.
pub(super) fn tls(config: &MuConfig, network: &Network) -> Result<Option<Tls>, MuError> {
    let name = |replica: usize| format!("replica-{replica}");
    let homes = (0..2 * config.replicas).map(|nth| (ProcessId(nth as u16), name(nth % config.replicas))).collect();
    let open = |files| Tls::open(files, Some(&name(config.replica)), &homes);
    network.tls.clone().map(open).transpose().map_err(|error| MuError::Network(error.to_string()))
}

/// Reads certificates again. What is wrong with them is said, and changes nothing.
pub(super) fn reload(tls: Option<&Tls>) -> Result<(), MuError> {
    tls.map_or(Ok(()), Tls::reload).map_err(|error| MuError::Network(error.to_string()))
}
