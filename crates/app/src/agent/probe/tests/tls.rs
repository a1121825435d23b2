//! The same with origins that speak TLS, well and badly.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use skein_runtime::tls::{Authority, Issued, Validity};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::*;

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// An authority, and a file with its certificate.
struct Signer {
    authority: Authority,
    path: PathBuf,
}

impl Signer {
    fn new(test: &str) -> Signer {
        Signer::named("an authority of our own", test)
    }

    fn named(name: &str, test: &str) -> Signer {
        let authority = Authority::new(name, Validity::days(10)).unwrap();
        let path = std::env::temp_dir().join(format!("skein-probe-{test}-{}.pem", std::process::id()));
        std::fs::write(&path, &authority.issued().cert).unwrap();
        Signer { authority, path }
    }

    fn trust(&self) -> Trust {
        Trust::Authority(self.path.clone())
    }

    fn issue(&self, name: &str) -> Issued {
        self.authority.node(name, Validity::days(5)).unwrap()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn acceptor(issued: &Issued, versions: &[&'static SupportedProtocolVersion], asks: Option<&Signer>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(signer) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&signer.path).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

/// An origin that answers 200 to whoever shakes hands.
async fn secret(acceptor: TlsAcceptor) -> SocketAddr {
    origin(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                assert_eq!(
                    stream.get_ref().1.handshake_kind(),
                    Some(HandshakeKind::Full),
                    "a certificate is looked at"
                );
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

/// To the origin at this port, by its name.
fn by_name(address: SocketAddr, trust: Trust) -> Recipe {
    Recipe { trust, ..recipe(&format!("https://localhost:{}/", address.port())) }
}

#[test]
fn an_origin_is_well_whose_certificate_is() {
    let signer = Signer::new("well");
    run(async {
        for versions in [BOTH, &[&version::TLS13], &[&version::TLS12]] {
            let address = secret(acceptor(&signer.issue("localhost"), versions, None)).await;
            let recipe = by_name(address, signer.trust());
            let prober = prober(std::slice::from_ref(&recipe)).unwrap();
            // The second time as the first: nothing is left of it that could be gone on with.
            for _ in 0..2 {
                let outcome = prober.probe(&recipe).await.unwrap();
                assert!(outcome.is_well && outcome.why.starts_with("200 in "), "{outcome:?}");
            }
        }
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_unless_anybody_is_believed() {
    let (signer, double) = (Signer::new("wrong"), Signer::new("double"));
    let other = Signer::named("another authority", "other");
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let valid = |from, until| signer.authority.node("localhost", Validity { from, until }).unwrap();
    run(async {
        for (issued, why) in [
            (valid(now - 2 * hour, now - hour), "certificate expired"),
            (valid(now + hour, now + 2 * hour), "certificate not valid yet"),
            (signer.issue("elsewhere"), "certificate is not for localhost"),
            (other.issue("localhost"), "certificate signed by an unknown authority"),
            (double.issue("localhost"), "certificate signed by an unknown authority"),
            (signer.authority.client("localhost", Validity::days(1)).unwrap(), "certificate is not for servers"),
        ] {
            let address = secret(acceptor(&issued, BOTH, None)).await;
            assert_eq!(failure(by_name(address, signer.trust())).await, why);
            assert!(probe(by_name(address, Trust::Anybody)).await.is_well, "{why}");
        }
        // Whoever is reached by an address has to be vouched for by that.
        let address = secret(acceptor(&signer.issue("localhost"), BOTH, None)).await;
        let by_address = Recipe { trust: signer.trust(), ..recipe(&format!("https://{address}/")) };
        assert_eq!(failure(by_address).await, "certificate is not for 127.0.0.1");
    });
}

#[test]
fn what_is_no_tls_is_told_so() {
    let signer = Signer::new("none");
    run(async {
        let at = |address| by_name(address, signer.trust());
        let plain = origin(|mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 This Is HTTP\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1024]).await;
        });
        assert_eq!(failure(at(plain.await)).await, "answer is no TLS");
        let closes = origin(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
        });
        assert_eq!(failure(at(closes.await)).await, "connection closed during the TLS handshake");
        let silent = origin(|mut stream| async move { while stream.read_u8().await.is_ok() {} });
        assert_eq!(failure(hasty(at(silent.await))).await, "no TLS handshake within 150 ms");
        let asks = secret(acceptor(&signer.issue("localhost"), BOTH, Some(&signer)));
        assert_eq!(failure(at(asks.await)).await, "it asks for a certificate of ours");
    });
}

/// Hosts differ, but none of them knows an authority that was made just now.
#[test]
fn whom_the_system_believes_is_asked_of_the_system() {
    let signer = Signer::new("system");
    run(async {
        let address = secret(acceptor(&signer.issue("localhost"), BOTH, None)).await;
        let recipe = by_name(address, Trust::System);
        match prober(std::slice::from_ref(&recipe)) {
            Ok(prober) => {
                let outcome = prober.probe(&recipe).await.unwrap();
                assert_eq!((outcome.is_well, &outcome.why[..]), (false, "certificate signed by an unknown authority"));
            }
            Err(why) => assert!(why.contains("ca-certificates"), "{why}"),
        }
    });
}

#[test]
fn authorities_are_read_before_the_first_probe_and_only_where_they_are_needed() {
    let missing = Trust::Authority(PathBuf::from("no-such-file.pem"));
    let of = |target: &str, trust: &Trust| prober(&[Recipe { trust: trust.clone(), ..recipe(target) }]).map(|_| ());
    let told = of("https://localhost/", &missing).unwrap_err();
    assert!(told.starts_with("cannot read the authorities in no-such-file.pem: No such file"), "{told}");
    assert_eq!(of("http://localhost/", &missing), Ok(()));
    let signer = Signer::new("files");
    assert_eq!(of("https://localhost/", &signer.trust()), Ok(()));
    let written = |text: &str| {
        std::fs::write(&signer.path, text).unwrap();
        of("https://localhost/", &signer.trust()).unwrap_err()
    };
    assert!(written("nothing").contains("holds no certificate in PEM: is it another file?"));
    let cert = &signer.authority.issued().cert;
    assert!(written(&cert[..200]).contains("holds no sound certificate in PEM"));
    assert!(written(&cert.repeat(1025)).contains("holds over 1024 certificates"));
}
