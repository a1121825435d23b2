//! [`Ground`]: what everybody at a host shares: where it is reached, how members
//! know each other, whom it pretends not to hear, and the meters.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::meters::Meters;
use super::seal::Keys;
use crate::tls::Tls;

/// How members know each other.
#[derive(Clone, Debug)]
pub enum Security {
    /// They share a key. Datagrams are sealed with it, and so is what goes over connections.
    Keys(Keys),
    /// Each has a certificate that names the fleet. Everything goes by TLS, so by connections.
    Certificates(Tls, String),
}

/// Of those who are no members somebody is told so often.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// See above.
pub(super) struct Ground {
    /// Where others reach this host.
    pub(super) me: SocketAddr,
    pub(super) meters: Meters,
    security: RwLock<Security>,
    deaf_to: RwLock<HashSet<SocketAddr>>,
    complained: RwLock<Option<Instant>>,
}

// Whoever died while holding a lock here had nothing half done.
impl Ground {
    pub(super) fn new(me: SocketAddr, security: Security) -> Ground {
        let (meters, security) = (Meters::default(), RwLock::new(security));
        Ground { me, meters, security, deaf_to: RwLock::default(), complained: RwLock::default() }
    }

    pub(super) fn security(&self) -> Security {
        self.security.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn secure(&self, security: Security) {
        *self.security.write().unwrap_or_else(PoisonError::into_inner) = security;
    }

    /// Whether nothing goes to and fro between this host and that address.
    pub(super) fn is_deaf_to(&self, other: SocketAddr) -> bool {
        let deaf_to = self.deaf_to.read().unwrap_or_else(PoisonError::into_inner);
        !deaf_to.is_empty() && deaf_to.contains(&other)
    }

    pub(super) fn be_deaf_to(&self, others: HashSet<SocketAddr>) {
        let mut deaf_to = self.deaf_to.write().unwrap_or_else(PoisonError::into_inner);
        if *deaf_to != others {
            tracing::info!(?others, "nothing goes to these or comes from them any more");
            *deaf_to = others;
        }
    }

    /// Somebody is no member: that is counted, and told now and then.
    pub(super) fn refuse(&self, peer: SocketAddr, why: &dyn std::fmt::Display) {
        self.meters.unverified.add(1);
        let mut complained = self.complained.write().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAINTS) {
            *complained = Some(Instant::now());
            let so_far = self.meters.unverified.read();
            tracing::warn!(%peer, %why, so_far, "somebody who is no member of this fleet is not heard: has it another key?");
        }
    }
}

/// What went wrong with a socket, in a sentence.
pub(super) fn cannot(what: &str, address: SocketAddr, error: &io::Error) -> String {
    format!("cannot {what} {address}: {error}")
}
