//! [`Trouble`]: why a probe came to nothing, in a few words for whoever has to
//! mend it. They go into a map that a whole fleet keeps, so the same cause has
//! the same words each time: no numbers that vary, and nothing that an origin
//! has written itself.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// Why it came to nothing. What is least is told where there are several, so it does not matter which was first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// This host could not probe, which says nothing about the origin.
    Ours(String),
    /// The origin is not well, as far as can be seen from here.
    Theirs(String),
}

/// How far a probe had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    ShakingHands,
    Asking,
}

impl Stage {
    /// What it means if the other end goes away. How it goes is chance: whether it says so or resets depends on who is
    /// quicker.
    fn closed(self) -> &'static str {
        match self {
            Stage::Connecting => "connection reset",
            Stage::ShakingHands => "connection closed during the TLS handshake",
            Stage::Asking => "connection closed before an answer",
        }
    }

    /// What it means if the time is over.
    pub(super) fn too_late(self, timeout: Duration) -> Trouble {
        let what = match self {
            Stage::Connecting => "no connection",
            Stage::ShakingHands => "no TLS handshake",
            Stage::Asking => "no answer",
        };
        Trouble::Theirs(format!("{what} within {}", Span(timeout)))
    }
}

impl Trouble {
    pub(super) fn theirs(text: &str) -> Trouble {
        Trouble::Theirs(text.to_owned())
    }

    /// Of a socket, or of the TLS on it.
    pub(super) fn of_io(error: &io::Error, stage: Stage) -> Trouble {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return Trouble::Theirs(of_tls(error));
        }
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                return Trouble::Ours(format!("this host cannot open more connections: {error}"));
            }
            // What a firewall of this host answers.
            Some(Errno::PERM | Errno::ACCESS) => return Trouble::theirs("connection forbidden by a firewall"),
            _ => {}
        }
        Trouble::Theirs(match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            ErrorKind::HostUnreachable => "host unreachable".to_owned(),
            ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
            ErrorKind::AddrNotAvailable => "no address here to connect from".to_owned(),
            ErrorKind::TimedOut => "connection timed out".to_owned(),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => stage.closed().to_owned(),
            _ => format!("connection failed: {error}"),
        })
    }

    /// Of what was said on it.
    pub(super) fn of_http(error: &hyper::Error) -> Trouble {
        if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            return Trouble::of_io(error, Stage::Asking);
        }
        Trouble::Theirs(if error.is_parse_too_large() {
            "head of the answer is too long".to_owned()
        } else if error.is_parse() {
            "answer is no HTTP".to_owned()
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            Stage::Asking.closed().to_owned()
        } else {
            format!("HTTP failed: {error}")
        })
    }
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(flaw) => of_certificate(flaw),
        Error::NoCertificatesPresented => "no certificate".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => "it asks for a certificate of ours".to_owned(),
        Error::AlertReceived(alert) => format!("TLS refused: {alert:?}"),
        Error::InvalidMessage(_) => "answer is no TLS".to_owned(),
        Error::PeerIncompatible(_) => "no version or cipher of TLS in common".to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

fn of_certificate(flaw: &CertificateError) -> String {
    match flaw {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate not valid yet".to_owned()
        }
        CertificateError::NotValidForName => "certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("certificate is not for {}", expected.to_str())
        }
        // The latter if somebody else goes by the name of one who is known.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by an unknown authority".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for servers".to_owned()
        }
        CertificateError::Revoked => "certificate revoked".to_owned(),
        flaw => format!("certificate not accepted: {flaw}"),
    }
}

/// A time that somebody has chosen, as they have written it: 2 s, 1.5 s, 250 ms.
pub(super) struct Span(pub(super) Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            span if span < Duration::from_secs(1) => write!(f, "{} ms", span.as_millis()),
            span => write!(f, "{} s", span.as_millis() as f64 / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_fault_of_this_host_is_told_apart() {
        let of = |errno: Errno| Trouble::of_io(&errno.into(), Stage::Connecting);
        for ours in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(matches!(of(ours), Trouble::Ours(why) if why.contains("cannot open more connections")));
        }
        assert_eq!(of(Errno::CONNREFUSED), Trouble::theirs("connection refused"));
        assert_eq!(of(Errno::HOSTUNREACH), Trouble::theirs("host unreachable"));
        assert_eq!(of(Errno::PERM), Trouble::theirs("connection forbidden by a firewall"));
        // A host without IPv6 says so of the first address of a name, and the second may be the one that tells.
        assert!(of(Errno::CONNREFUSED) < of(Errno::NETUNREACH) && of(Errno::CONNREFUSED) < of(Errno::ADDRNOTAVAIL));
        assert!(of(Errno::CONNREFUSED) < Stage::Connecting.too_late(Duration::from_secs(2)));
    }

    #[test]
    fn times_are_told_as_they_are_written() {
        let told = |millis| Span(Duration::from_millis(millis)).to_string();
        assert_eq!([told(250), told(1000), told(1500), told(30_000)], ["250 ms", "1 s", "1.5 s", "30 s"]);
    }
}
