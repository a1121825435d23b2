//! Why TLS failed, in sentences for those who have to mend it.

use rustls::{AlertDescription, CertificateError, Error};

/// The sentence for an error, seen from the end that met it. It follows a name and a colon.
pub(super) fn of(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => {
            "it presents no certificate: give it one that the cluster's authority has signed".to_owned()
        }
        Error::InvalidCertificate(flaw) => of_certificate(flaw),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) => format!("what it says is no TLS ({error}): is TLS configured at both ends?"),
        Error::PeerIncompatible(_) => format!("it cannot speak TLS 1.3 as it is spoken here: {error}"),
        error => error.to_string(),
    }
}

fn of_certificate(flaw: &CertificateError) -> String {
    match flaw {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate was not signed by the authority that is trusted here: compare `ca` in both \
             configurations"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: make a new one, or look after the clocks".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: look after the clocks".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let named = if presented.is_empty() { "nobody".to_owned() } else { presented.join(", ") };
            format!("its certificate names {named} and not {}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is for something else: a node's is for servers and clients, a client's for clients"
                .to_owned()
        }
        flaw => format!("its certificate is not accepted: {flaw}"),
    }
}

/// What the other end has said of us.
fn of_alert(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateRequired => "it wants a certificate, and none was presented",
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it does not trust the authority that signed our certificate"
        }
        AlertDescription::CertificateExpired => "our certificate has expired, by its clock",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => "it refuses our certificate",
        AlertDescription::UnsupportedCertificate => "our certificate is for something else",
        alert => return format!("it ends the handshake: {alert:?}"),
    };
    format!("{why}: its log says more")
}
