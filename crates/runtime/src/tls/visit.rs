//! [`Trust`]: what somebody needs who visits a node over TLS and is no member of
//! the cluster: whose signature to believe and, if it likes, a certificate of its
//! own. Visits are blocking, for programs that do one thing after the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use super::papers::{self, Files, Papers, TlsError};
use super::reason;

/// Whom to believe, and with what to make oneself known.
#[derive(Clone, Debug)]
pub struct Trust {
    by_name: Arc<ClientConfig>,
    any_node: Arc<ClientConfig>,
}

impl Trust {
    /// Believes those whom the authority in this file has signed, and presents nothing.
    pub fn read(ca: &Path) -> Result<Trust, TlsError> {
        Trust::with(papers::verifier(ca)?, None)
    }

    /// The same, and presents a certificate.
    pub fn read_with(files: &Files) -> Result<Trust, TlsError> {
        let papers = Papers::read(files, None)?;
        Trust::with(papers.verifies_nodes.clone(), Some(&papers))
    }

    fn with(verifies: Arc<WebPkiServerVerifier>, own: Option<&Papers>) -> Result<Trust, TlsError> {
        let config = |verifies: Arc<dyn ServerCertVerifier>| -> Result<Arc<ClientConfig>, Error> {
            let config = ClientConfig::builder_with_provider(papers::provider())
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(verifies);
            let mut config = match own {
                None => config.with_no_client_auth(),
                Some(papers) => config.with_client_auth_cert(papers.chain.clone(), papers.key.clone_key())?,
            };
            config.resumption = rustls::client::Resumption::disabled();
            config.enable_sni = false;
            Ok(Arc::new(config))
        };
        let broken = |error: Error| TlsError(format!("TLS cannot be spoken: {}", reason::of(&error)));
        let any_node = config(Arc::new(AnyNode(verifies.clone()))).map_err(broken)?;
        Ok(Trust { by_name: config(verifies).map_err(broken)?, any_node })
    }

    /// Shakes hands with a node; with any of the cluster's, where no name is known. How long that may take says the
    /// stream. What is no TLS, or not from whom it should be, is an error of the kind [`ErrorKind::InvalidData`].
    pub fn visit(&self, node: Option<&str>, mut stream: TcpStream) -> io::Result<Visit> {
        let (config, name) = match node {
            Some(node) => {
                let name = papers::name_of(node).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.0))?;
                (&self.by_name, name)
            }
            None => (&self.any_node, ServerName::from(stream.peer_addr()?.ip())),
        };
        let made = ClientConnection::new(config.clone(), name);
        let mut made = made.map_err(|error| io::Error::new(ErrorKind::InvalidData, reason::of(&error)))?;
        while made.is_handshaking() {
            made.complete_io(&mut stream).map_err(told)?;
        }
        Ok(Visit(StreamOwned::new(made, stream)))
    }
}

/// A connection over TLS, seen from who has opened it.
#[derive(Debug)]
pub struct Visit(StreamOwned<ClientConnection, TcpStream>);

impl Visit {
    /// What it goes by.
    pub fn socket(&self) -> &TcpStream {
        &self.0.sock
    }
}

impl Read for Visit {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).map_err(told)
    }
}

impl Write for Visit {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told)
    }
}

/// The same error in a sentence, where TLS is the reason.
fn told(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(why) => io::Error::new(ErrorKind::InvalidData, reason::of(why)),
        None => error,
    }
}

/// Believes every node of the cluster, whatever its name: all of them serve the same. What is a client's alone is
/// believed by nobody, for its certificate is for something else.
#[derive(Debug)]
struct AnyNode(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end, between, name, ocsp, now) {
            // The name is looked at last, after the chain, the time and the purpose; `a_visit_believes_whom_it_may`
            // holds the library to that.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
