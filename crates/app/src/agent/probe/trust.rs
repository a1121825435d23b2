//! [`Trust`]: whose signature on an origin's certificate is believed. It is made
//! ready once, before the first probe, so that a file that is missing is told to
//! whoever starts an agent. Certificates of our own are never presented: an
//! origin knows a probe as it knows any visitor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Who may sign for an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Whom this host believes.
    #[default]
    System,
    /// Those whose certificates are in this file, in PEM, and nobody else.
    Authority(PathBuf),
    /// Anybody at all, of any name: an answer proves that something is there, not that it is the origin.
    Anybody,
}

/// Systems know about 150 authorities. A file with so many is none.
const MOST_AUTHORITIES: usize = 1024;

impl Trust {
    /// What shakes hands with those who are believed.
    pub(super) fn connector(&self) -> Result<TlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS cannot be spoken: {error}"))?;
        let mut config = match self {
            Trust::System => builder.with_root_certificates(of_system()?).with_no_client_auth(),
            Trust::Authority(path) => builder.with_root_certificates(of_file(path)?).with_no_client_auth(),
            Trust::Anybody => {
                let verifier = Arc::new(BelievesAnybody(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
        };
        // Whoever resumes a session does not see the certificate, and it is what may have expired.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems list old and odd ones, too; whoever is signed by one of those is told so.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(format!(
            "this host knows no authority that signs certificates{why}: install its package of them, often called \
             ca-certificates, or name a file of your own as `ca` of the origin"
        ));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(|all| all.take(MOST_AUTHORITIES + 1).collect());
    let read: Vec<CertificateDer<'static>> = read.map_err(|error| match error {
        pem::Error::Io(error) => format!("cannot read the authorities in {shown}: {error}"),
        error => format!("{shown} holds no sound certificate in PEM: {error}"),
    })?;
    if read.is_empty() {
        return Err(format!("{shown} holds no certificate in PEM: is it another file?"));
    }
    if read.len() > MOST_AUTHORITIES {
        return Err(format!("{shown} holds over {MOST_AUTHORITIES} certificates: name a file of those who may sign"));
    }
    let mut roots = RootCertStore::empty();
    for authority in read {
        roots.add(authority).map_err(|error| format!("{shown} names no authority: {error}"))?;
    }
    Ok(roots)
}

/// Looks at no certificate; but whoever presents one has to hold its key, or it would be no TLS.
#[derive(Debug)]
struct BelievesAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
