//! [`Papers`]: a certificate, its key and the authority, as they lie in files,
//! read and held against each other before anybody relies on them. What is
//! wrong is said with the name of the file and with what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use super::reason;

/// Where the papers of a process lie, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificates of the authorities that are trusted.
    pub ca: PathBuf,
    /// The own certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// The key of the own certificate.
    pub key: PathBuf,
}

/// What is wrong with the papers, in which file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(pub(super) String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// Papers that belong together.
pub struct Papers {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) verifies_nodes: Arc<WebPkiServerVerifier>,
    pub(super) verifies_callers: Arc<dyn ClientCertVerifier>,
    /// The same for those who need not present any.
    pub(super) verifies_visitors: Arc<dyn ClientCertVerifier>,
    pub(super) expires: Option<SystemTime>,
    /// How the certificate is called when somebody has to be told.
    pub(super) shown: String,
}

/// More certificates than any chain has, and any list of authorities.
const MOST_CERTIFICATES: usize = 256;

/// Later than the end of any certificate.
const END_OF_TIME: Duration = Duration::from_secs(1 << 40);

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A node's name as certificates have it.
pub(super) fn name_of(node: &str) -> Result<ServerName<'static>, TlsError> {
    match ServerName::try_from(node.to_owned()) {
        Ok(name @ ServerName::DnsName(_)) => Ok(name),
        _ => Err(TlsError(format!(
            "no certificate can name the node \"{node}\": call it as a host may be called, by letters, digits, \
             hyphens and dots"
        ))),
    }
}

impl Papers {
    /// Reads the papers of a node, or of a client, and checks all that others will check.
    pub fn read(files: &Files, node: Option<&str>) -> Result<Papers, TlsError> {
        let roots = roots(&files.ca)?;
        let chain = certificates(&files.cert)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, "key", &error))?;
        let (ca, cert, key_file) = (files.ca.display(), files.cert.display(), files.key.display());
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                TlsError(format!("{key_file} is not the key of {cert}: name the one that it was made with"))
            }
            error => TlsError(format!("{key_file} is no key for {cert}: {}", reason::of(&error))),
        })?;
        let unusable = |error: &dyn fmt::Display| TlsError(format!("{ca} cannot be used: {error}"));
        let verifies_nodes = verifier_of(&files.ca, roots.clone())?;
        let verifies_callers = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build();
        let verifies_callers = verifies_callers.map_err(|error| unusable(&error))?;
        let visitors = WebPkiClientVerifier::builder_with_provider(roots, provider()).allow_unauthenticated();
        let verifies_visitors = visitors.build().map_err(|error| unusable(&error))?;

        let (end, between) = chain.split_first().expect("there is a certificate");
        let as_caller = |now| verifies_callers.verify_client_cert(end, between, now).map(|_| ());
        let refused = |error: &Error| TlsError(format!("{cert} would be refused: {}", reason::of(error)));
        as_caller(UnixTime::now()).map_err(|error| refused(&error))?;
        if let Some(node) = node {
            let name = name_of(node)?;
            let verified = verifies_nodes.verify_server_cert(end, between, &name, &[], UnixTime::now());
            verified.map_err(|error| refused(&error))?;
        }
        // Asked about the end of time, the verifier tells when the certificate ends.
        let expires = match as_caller(UnixTime::since_unix_epoch(END_OF_TIME)) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs()))
            }
            _ => None,
        };
        Ok(Papers { shown: cert.to_string(), chain, key, verifies_nodes, verifies_callers, verifies_visitors, expires })
    }

    /// When the certificate ends.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

/// What believes the nodes that an authority has signed.
pub(super) fn verifier(ca: &Path) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    verifier_of(ca, roots(ca)?)
}

fn verifier_of(ca: &Path, roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let built = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    built.map_err(|error| TlsError(format!("{} cannot be used: {error}", ca.display())))
}

/// The authorities that a file names.
fn roots(ca: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots
            .add(authority)
            .map_err(|error| TlsError(format!("{} names no authority: {}", ca.display(), reason::of(&error))))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.take(MOST_CERTIFICATES).collect());
    let read: Vec<CertificateDer<'static>> = read.map_err(|error| unreadable(path, "certificate", &error))?;
    if read.is_empty() {
        return Err(unreadable(path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(read)
}

fn unreadable(path: &Path, what: &str, error: &pem::Error) -> TlsError {
    let path = path.display();
    TlsError(match error {
        pem::Error::Io(error) => {
            format!("cannot read {path}: {error}; `skein config certificates` makes certificates")
        }
        pem::Error::NoItemsFound => format!("{path} holds no {what} in PEM: is it another file?"),
        error => format!("{path} holds no sound {what} in PEM: {error}"),
    })
}
