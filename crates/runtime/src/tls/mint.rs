//! [`Authority`]: signs certificates for the nodes and the clients of one
//! cluster. Whoever has an authority of their own needs none of this.

use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::papers::TlsError;

/// From when until when.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The beginning.
    pub from: SystemTime,
    /// The end.
    pub until: SystemTime,
}

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, which anybody may see.
    pub cert: String,
    /// The key, which nobody else may.
    pub key: String,
}

/// Whoever holds this says who belongs to the cluster.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    issued: Issued,
}

struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Validity {
    /// From now on for so many days. Clocks may differ by an hour.
    pub fn days(days: u32) -> Validity {
        let now = SystemTime::now();
        Validity { from: now - Duration::from_secs(3600), until: now + Duration::from_secs(86400 * u64::from(days)) }
    }
}

impl Authority {
    /// A new one.
    pub fn new(name: &str, validity: Validity) -> Result<Authority, TlsError> {
        Authority::with(Key::draw()?, name, validity)
    }

    /// The same one again, from its key in PEM. Its own certificate is another one then, and certificates are valid
    /// under either.
    pub fn again(key: &str, name: &str, validity: Validity) -> Result<Authority, TlsError> {
        let key = pem::parse(key).map_err(|error| TlsError(format!("it is no key in PEM: {error}")))?;
        Authority::with(Key::of(key.into_contents())?, name, validity)
    }

    fn with(key: Key, name: &str, validity: Validity) -> Result<Authority, TlsError> {
        let mut params = params(name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let digest = ring::digest::digest(&ring::digest::SHA256, key.der_bytes());
        params.key_identifier_method = KeyIdMethod::PreSpecified(digest.as_ref()[..20].to_vec());
        let cert = params.self_signed(&key).map_err(|error| failed(&error))?;
        let issued = Issued { cert: cert.pem(), key: key.to_pem() };
        Ok(Authority { issuer: Issuer::new(params, key), issued })
    }

    /// Its own certificate, and its key.
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// For a node of this name: for both ends of links.
    pub fn node(&self, name: &str, validity: Validity) -> Result<Issued, TlsError> {
        self.valid_for(name, name, validity)
    }

    fn valid_for(&self, host: &str, name: &str, validity: Validity) -> Result<Issued, TlsError> {
        let mut params = params(name, validity)?;
        let host = rcgen::string::Ia5String::try_from(host).map_err(|error| failed(&error))?;
        params.subject_alt_names = vec![rcgen::SanType::DnsName(host)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// For a member of a fleet: for both ends of connections, and valid for the name of the fleet, whoever it is.
    pub fn member(&self, fleet: &str, name: &str, validity: Validity) -> Result<Issued, TlsError> {
        self.valid_for(fleet, name, validity)
    }

    /// For a client, which no name makes a node.
    pub fn client(&self, name: &str, validity: Validity) -> Result<Issued, TlsError> {
        let mut params = params(name, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Issued, TlsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = Key::draw()?;
        let cert = params.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?;
        Ok(Issued { cert: cert.pem(), key: key.to_pem() })
    }
}

fn params(name: &str, validity: Validity) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let at = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
    };
    (params.not_before, params.not_after) = (at(validity.from), at(validity.until));
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|error| failed(&error))?;
    // Serial numbers are positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn failed(error: &dyn std::fmt::Display) -> TlsError {
    TlsError(format!("cannot make a certificate: {error}"))
}

impl Key {
    fn draw() -> Result<Key, TlsError> {
        let drawn = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        Key::of(drawn.map_err(|error| failed(&error))?.as_ref().to_vec())
    }

    fn of(pkcs8: Vec<u8>) -> Result<Key, TlsError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new());
        let pair = pair.map_err(|error| TlsError(format!("it is no key of the kind that is made here: {error}")))?;
        Ok(Key { pair, pkcs8 })
    }

    fn to_pem(&self) -> String {
        let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("PRIVATE KEY", self.pkcs8.clone()), lines)
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        signed.map(|signature| signature.as_ref().to_vec()).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
