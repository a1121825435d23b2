//! [`Drive`]: what carries a processor on, whichever fabric lies below it.
//! Above this file nobody knows which it is.

use std::time::Duration;

use skein_order::mu::{Command, Options};

use super::config::Fabric;
use super::far::Far;
use super::ground::Shared;
use super::host::{Host, User};
use super::{MuConfig, MuError};

/// A processor on its memories.
pub(super) enum Drive {
    /// They are at hand.
    Near(Box<Host<Shared>>),
    /// They are at the other end of a network. It sleeps so long at most when nothing is ready.
    Far(Box<Far>, Duration),
}

impl Drive {
    /// A processor begins to live.
    pub(super) fn start(
        config: &MuConfig,
        options: Options,
        seed: u64,
        user: &mut impl User,
    ) -> Result<Drive, MuError> {
        match &config.fabric {
            Fabric::Shared(folder) => {
                let ground = Shared::open(config, folder, &options.shape)?;
                Ok(Drive::Near(Box::new(Host::start(options, ground, seed, user))))
            }
            Fabric::Network(network) => {
                let nap = options.pace.look;
                Ok(Drive::Far(Box::new(Far::start(config, network, options, seed, user)?), nap))
            }
        }
    }

    /// Its user asks for something.
    #[inline]
    pub(super) fn command(&mut self, command: Command, user: &mut impl User) {
        match self {
            Drive::Near(host) => host.command(command, user),
            Drive::Far(far, _) => far.command(command, user),
        }
    }

    /// Whatever is ready. Whether there was anything for its user, or time has passed anyway.
    #[inline]
    pub(super) fn poll(&mut self, is_awaited: bool, user: &mut impl User) -> bool {
        match self {
            Drive::Near(host) => host.poll(user),
            Drive::Far(far, nap) => {
                let longest = if is_awaited { Duration::ZERO } else { *nap };
                far.poll(longest, user) || !is_awaited
            }
        }
    }

    /// Timers that came due.
    #[inline]
    pub(super) fn keep_time(&mut self, user: &mut impl User) {
        match self {
            Drive::Near(host) => host.keep_time(user),
            Drive::Far(far, _) => drop(far.poll(Duration::ZERO, user)),
        }
    }

    pub(super) fn applied(&self) -> u64 {
        match self {
            Drive::Near(host) => host.applied(),
            Drive::Far(far, _) => far.replica().applied(),
        }
    }

    pub(super) fn applied_by(&self, replica: usize) -> Option<u64> {
        match self {
            Drive::Near(host) => host.applied_by(replica),
            Drive::Far(far, _) => far.replica().applied_by(replica),
        }
    }

    pub(super) fn is_well(&self) -> bool {
        match self {
            Drive::Near(host) => host.is_well(),
            Drive::Far(far, _) => far.replica().is_well(),
        }
    }

    /// Reads its certificates again, if it has any.
    pub(super) fn reload(&self) -> Result<(), MuError> {
        match self {
            Drive::Near(_) => Ok(()),
            Drive::Far(far, _) => far.reload(),
        }
    }

    /// Why it goes on no more, if it does not.
    #[inline]
    pub(super) fn failure(&self) -> Option<MuError> {
        match self {
            Drive::Near(_) => None,
            Drive::Far(far, _) => far.failure(),
        }
    }
}
