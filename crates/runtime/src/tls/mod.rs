//! [`Tls`]: what a process needs to speak in secret and to know whom it speaks
//! to. Both ends present a certificate that the cluster's own authority has
//! signed, and a node's certificate names the node: a process is believed to be
//! who it says only where the names agree. This file opens no socket.

mod mint;
mod papers;
mod reason;
mod session;
mod visit;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use skein_machine::ProcessId;

pub use mint::{Authority, Issued, Validity};
pub use papers::{Files, Papers, TlsError};
pub(crate) use session::{Room, Session};
pub use visit::{Trust, Visit};

/// Certificates in force, for the connections to come. Clones share them.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Files,
    /// The node whose papers these are; clients are none.
    node: Option<String>,
    /// What the certificate of whoever speaks for a process has to be valid for: the name of its node.
    homes: RwLock<Homes>,
    current: RwLock<Configs>,
}

type Homes = BTreeMap<ProcessId, ServerName<'static>>;

/// The two sides of a handshake, and until when they are of use.
#[derive(Clone)]
struct Configs {
    calls: Arc<ClientConfig>,
    answers: Arc<ServerConfig>,
    /// For those who only read how a node is, and for whoever else may come without a certificate.
    pages: Arc<ServerConfig>,
    /// For those who are not asked who they are.
    anybody: Arc<ServerConfig>,
    expires: Option<SystemTime>,
}

/// What whoever connects has to present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificates {
    /// A certificate of the authority, or the door stays shut.
    #[default]
    Required,
    /// One or none, but one that is presented has to be of the authority.
    Optional,
    /// Nothing. The connection is secret all the same, and who serves it is known.
    NotAsked,
}

/// Whether a certificate can name a node that is called like this.
pub fn check_name(node: &str) -> Result<(), TlsError> {
    papers::name_of(node).map(|_| ())
}

impl Tls {
    /// Reads and checks the papers of a node, or those of a client if no node is named.
    pub fn open(files: Files, node: Option<&str>, homes: &BTreeMap<ProcessId, String>) -> Result<Tls, TlsError> {
        let homes = RwLock::new(named(homes)?);
        let current = RwLock::new(Configs::of(Papers::read(&files, node)?)?);
        Ok(Tls(Arc::new(Shared { files, node: node.map(str::to_owned), homes, current })))
    }

    /// Reads the files again. Connections that stand are left alone, new ones use what was read. If anything is
    /// wrong with it, all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let configs = Configs::of(Papers::read(&self.0.files, self.0.node.as_deref())?)?;
        // Whoever died while holding the lock had nothing half done.
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = configs;
        Ok(())
    }

    /// Some processes live at other nodes by now: connections to come are held to that.
    pub fn others_live_at(&self, homes: &BTreeMap<ProcessId, String>) -> Result<(), TlsError> {
        *self.0.homes.write().unwrap_or_else(PoisonError::into_inner) = named(homes)?;
        Ok(())
    }

    fn home_of(&self, process: ProcessId) -> Option<ServerName<'static>> {
        self.0.homes.read().unwrap_or_else(PoisonError::into_inner).get(&process).cloned()
    }

    /// How long the own certificate is valid from now on, if that is less than `notice`.
    pub fn expires_within(&self, notice: Duration) -> Option<Duration> {
        let left = self.current().expires?.duration_since(SystemTime::now()).unwrap_or_default();
        (left < notice).then_some(left)
    }

    fn current(&self) -> Configs {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Our end of a connection to where a process lives.
    pub(crate) fn call(&self, process: ProcessId) -> Result<Session, String> {
        let name = self.home_of(process).ok_or_else(|| format!("nobody knows where {process} lives"))?;
        let made = ClientConnection::new(self.current().calls, name);
        made.map(|end| Session::new(end.into())).map_err(|error| reason::of(&error))
    }

    /// Our end of a connection that somebody else has opened.
    pub(crate) fn answer(&self) -> Result<Session, String> {
        self.answer_with(Certificates::Required)
    }

    /// The same, for those of whom more or less is asked.
    pub(crate) fn answer_with(&self, certificates: Certificates) -> Result<Session, String> {
        let Configs { answers, pages, anybody, .. } = self.current();
        let made = ServerConnection::new(match certificates {
            Certificates::Required => answers,
            Certificates::Optional => pages,
            Certificates::NotAsked => anybody,
        });
        made.map(|end| Session::new(end.into())).map_err(|error| reason::of(&error))
    }

    /// With what the page behind a node is served: whoever reads it may present a certificate, and need not. One that
    /// is presented has to be of the authority.
    pub fn page(&self) -> Arc<ServerConfig> {
        self.current().pages
    }

    /// Our end of a visit to the page behind a node, which has to be that node's.
    pub fn visit(&self, node: &str, stream: TcpStream) -> Result<impl Read + Write, String> {
        let name = papers::name_of(node).map_err(|error| error.to_string())?;
        let made = ClientConnection::new(self.current().calls, name).map_err(|error| reason::of(&error))?;
        Ok(StreamOwned::new(made, stream))
    }

    /// For connections that are made to whoever has a certificate of a common name.
    pub(crate) fn dialing(&self) -> Arc<ClientConfig> {
        self.current().calls
    }

    /// The same, for those that are taken in.
    pub(crate) fn receiving(&self) -> Arc<ServerConfig> {
        self.current().answers
    }

    /// Whether the first of the certificates that were presented is valid for a name.
    pub(crate) fn is_named(&self, presented: Option<&[CertificateDer<'_>]>, name: &str) -> Result<(), String> {
        let end = presented.and_then(<[_]>::first).ok_or("it presents no certificate")?;
        let name = papers::name_of(name).map_err(|error| error.to_string())?;
        session::is_valid_for(end, &name)
    }

    /// Whether the other end may speak for a process: its certificate names the node where that one lives.
    pub(crate) fn may_be(&self, session: &Session, process: ProcessId) -> Result<(), String> {
        let home = self.home_of(process);
        let home = home
            .ok_or_else(|| format!("{process} is no process of this cluster: use the same configuration everywhere"))?;
        session.is_valid_for(&home).map_err(|why| {
            let home = home.to_str();
            format!("{process} lives at node {home}, and the certificate that was presented is another's: {why}")
        })
    }
}

fn named(homes: &BTreeMap<ProcessId, String>) -> Result<Homes, TlsError> {
    homes.iter().map(|(process, node)| Ok((*process, papers::name_of(node)?))).collect()
}

impl Configs {
    fn of(papers: Papers) -> Result<Configs, TlsError> {
        let Papers { chain, key, verifies_nodes, verifies_callers, verifies_visitors, expires, shown } = papers;
        let broken = |error: rustls::Error| TlsError(format!("{shown} cannot be used: {}", reason::of(&error)));
        let (versions, provider) = (&[&rustls::version::TLS13], papers::provider());
        let calls = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
        let calls = calls.map_err(broken)?.with_webpki_verifier(verifies_nodes);
        let mut calls = calls.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(broken)?;
        // A session that is resumed is not asked for its certificate again, and outlives a reload. Connections here
        // last: there is little to save.
        calls.resumption = rustls::client::Resumption::disabled();
        calls.enable_sni = false;
        let serves = |verifies: Arc<dyn ClientCertVerifier>| -> Result<Arc<ServerConfig>, TlsError> {
            let serves = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
            let serves = serves.map_err(broken)?.with_client_cert_verifier(verifies);
            let mut serves = serves.with_single_cert(chain.clone(), key.clone_key()).map_err(broken)?;
            serves.session_storage = Arc::new(NoServerSessionStorage {});
            serves.send_tls13_tickets = 0;
            Ok(Arc::new(serves))
        };
        let (answers, pages) = (serves(verifies_callers)?, serves(verifies_visitors)?);
        let anybody = serves(WebPkiClientVerifier::no_client_auth())?;
        Ok(Configs { calls: Arc::new(calls), answers, pages, anybody, expires })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
