//! [`MemoryServer`]: the memory of one replica, for processors on other hosts.
//! It does what it is asked to and nothing of its own accord; it knows neither
//! who leads nor what a value means.
//!
//! What it holds is gone with its process, and nothing here pretends otherwise:
//! the next one on the same directory says that it has forgotten everything,
//! and counts for nothing until a leader has told it all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use skein_machine::Boot;
use skein_machine::wire::VERSION;
use skein_order::Planted;
use skein_order::mu::{Mu, Registers};
use skein_runtime::listener::{Listener, takes_up_to};
use skein_runtime::replica::{Failure, Handle};
use skein_runtime::tls::Tls;

use super::config::Fabric;
use super::far::{self, Side};
use super::{MuConfig, MuError};

/// A memory that runs, until it is stopped.
pub struct MemoryServer {
    address: SocketAddr,
    handle: Handle<Infallible>,
    tls: Option<Tls>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
    /// Nobody comes in any more once it is dropped.
    _listener: Listener,
}

impl MemoryServer {
    /// Serves the memory of [`MuConfig::replica`] where [`Network::memories`](super::Network::memories) says, or at
    /// `listen`, where that is not an address of this host. [`Network::data`](super::Network::data) is a directory of
    /// the memory's own.
    pub fn open(config: &MuConfig, listen: Option<SocketAddr>) -> Result<MemoryServer, MuError> {
        let shape = config.checked_shape()?;
        let Fabric::Network(network) = &config.fabric else { return Err(MuError::NoNetwork) };
        let address = listen.unwrap_or(network.memories[config.replica]);
        if network.tls.is_none() && !network.insecure && !address.ip().is_loopback() {
            return Err(MuError::Insecure { address });
        }
        let owner = config.replica as u8;
        let make = move |boot| {
            let is_first = boot == Boot::First;
            Mu::Memory(Box::new(Registers::new(owner, shape, is_first, None, Planted::NONE)))
        };
        let tls = far::tls(config, network)?;
        let (replica, handle) = far::open(config, network, Side::Memory, tls.clone(), make)?;
        let me = far::process(Side::Memory, config.replica, config.replicas);
        let doors = [(me, takes_up_to(0, handle.clone()))].into();
        let listener = Listener::open(address, config.cluster(), VERSION, doors, tls.clone())
            .map_err(|error| MuError::Network(format!("cannot listen at {address}: {error}")))?;
        let seed = crate::draw().map_err(MuError::NoChance)?;
        let name = format!("memory {}", config.replica);
        let thread = std::thread::Builder::new().name(name).spawn(move || replica.run(seed));
        let thread = thread.map_err(|error| MuError::Network(format!("there is no thread for a memory: {error}")))?;
        Ok(MemoryServer { address: listener.address(), handle, tls, thread: Some(thread), _listener: listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads its certificates again: new connections use them. If anything is wrong with them, all stays as it was.
    pub fn reload(&self) -> Result<(), MuError> {
        far::reload(self.tls.as_ref())
    }

    /// How long its certificate is valid, if that is less than `notice`.
    pub fn expires_within(&self, notice: Duration) -> Option<Duration> {
        self.tls.as_ref()?.expires_within(notice)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops it, and says whether it ended well. What it holds is gone.
    pub fn stop(mut self) -> Result<(), MuError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), MuError> {
        self.handle.stop();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(failure))) => Err(MuError::Network(failure.to_string())),
            Some(Err(_)) => Err(MuError::Network("the thread of a memory has panicked".to_owned())),
        }
    }
}

impl Drop for MemoryServer {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
