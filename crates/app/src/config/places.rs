//! Where nodes stand, and who can reach them there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use skein_sim::PLANET;

use super::{ConfigError, File, Wan};

impl File {
    pub(super) fn check_regions(&self) -> Result<(), ConfigError> {
        let is_known = |name: &str| PLANET.iter().any(|region| region.name == name);
        let unknown = self.nodes.iter().find(|(_, node)| !is_known(&node.region));
        match (self.wan, unknown) {
            (Some(Wan::Planet), Some((name, node))) => {
                let known: Vec<&str> = PLANET.iter().map(|region| region.name).collect();
                Err(ConfigError(format!(
                    "node {name} is in the region \"{}\", which wan = \"planet\" does not know: it knows {}",
                    node.region,
                    known.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whoever can reach a node without TLS can do anything to it, so nobody beyond this machine may unless that is
    /// said to be so.
    pub(super) fn check_exposure(&self) -> Result<(), ConfigError> {
        for (name, node) in &self.nodes {
            let listens = node.listen.unwrap_or(node.address);
            if !listens.ip().is_loopback() && self.tls.is_none() && !self.insecure {
                return Err(ConfigError(format!(
                    "node {name} would listen at {listens}, beyond this machine, and believe whatever anybody says \
                     there: give it certificates ([tls]; `skein config certificates` makes some), or write \
                     insecure = true if nobody else can reach it"
                )));
            }
            let is_guarded = self.insecure_http || self.tls.as_ref().is_some_and(|tls| tls.http);
            if let Some(http) = node.http.filter(|http| !http.ip().is_loopback() && !is_guarded) {
                return Err(ConfigError(format!(
                    "node {name} would tell how it is to anybody who asks at {http}, beyond this machine: move it to \
                     127.0.0.1, have it speak TLS ([tls] http = true), or write insecure_http = true if that is wanted"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn check_addresses(&self) -> Result<(), ConfigError> {
        let mut seen: BTreeMap<SocketAddr, &str> = BTreeMap::new();
        for (name, node) in &self.nodes {
            if node.address.port() == 0 {
                return Err(ConfigError(format!("node {name} has port 0: others must know where to find it")));
            }
            for address in [Some(node.address), node.http, node.redis].into_iter().flatten() {
                match seen.insert(address, name) {
                    Some(other) if other == name => {
                        return Err(ConfigError(format!("node {name} has the address {address} twice")));
                    }
                    Some(other) => {
                        return Err(ConfigError(format!("nodes {other} and {name} have the same address {address}")));
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}
