//! Streams by TLS: with certificates, without, and those who speak in the clear.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use skein_runtime::streams::Settings;
use skein_runtime::tls::{Authority, Certificates, Files, Issued, Tls, Validity};

use crate::lines::{Client, Lines, PATIENCE, Saw, Stage};

/// An authority, the folder for the papers of the one node `a`, and a client's papers.
struct Office {
    folder: PathBuf,
    authority: Authority,
    client: Issued,
}

impl Office {
    fn new(name: &str) -> Office {
        let folder = std::env::temp_dir().join(format!("skein-streams-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let authority = Authority::new(name, Validity::days(1)).unwrap();
        let client = authority.client("client", Validity::days(1)).unwrap();
        Office { folder, authority, client }
    }

    fn node(&self) -> Tls {
        let file = |name: &str, text: &str| {
            let path = self.folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let issued = self.authority.node("a", Validity::days(1)).unwrap();
        let ca = file("ca", &self.authority.issued().cert);
        let files = Files { ca, cert: file("cert", &issued.cert), key: file("key", &issued.key) };
        Tls::open(files, Some("a"), &BTreeMap::new()).unwrap()
    }

    fn stage(&self, settings: Settings) -> Stage {
        Stage::with(settings, Some(self.node()), Lines::default())
    }

    fn connect(&self, address: SocketAddr, papers: Option<&Issued>) -> Sealed {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.issued().cert.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let config = config.unwrap().with_root_certificates(roots);
        let config = match papers {
            None => config.with_no_client_auth(),
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = ClientConnection::new(Arc::new(config), ServerName::try_from("a").unwrap()).unwrap();
        Sealed(StreamOwned::new(end, stream))
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One end of a TLS connection, held by hand.
struct Sealed(StreamOwned<ClientConnection, TcpStream>);

impl Sealed {
    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }

    fn hear(&mut self, length: usize) -> std::io::Result<String> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn asks(&mut self, line: &str) -> std::io::Result<()> {
        self.say(line)?;
        assert_eq!(self.hear(line.len())?, line);
        Ok(())
    }
}

#[test]
fn certificates_are_asked_for_as_is_set() {
    use Certificates::{NotAsked, Optional, Required};
    let (office, other) = (Office::new("asked"), Office::new("asked-others"));
    let (ours, theirs, none) = (Some(&office.client), Some(&other.client), None);
    let cases = [
        (Required, ours, true),
        (Required, theirs, false),
        (Required, none, false),
        (Optional, ours, true),
        (Optional, theirs, false),
        (Optional, none, true),
        (NotAsked, ours, true),
        (NotAsked, theirs, true),
        (NotAsked, none, true),
    ];
    for (certificates, papers, is_let_in) in cases {
        let stage = office.stage(Settings { certificates, ..Settings::default() });
        let mut client = office.connect(stage.address(), papers);
        let asked = client.asks("here\n");
        assert_eq!(asked.is_ok(), is_let_in, "{certificates:?}: {asked:?}");
        // Of whoever is not let in, the protocol never hears.
        assert_eq!(stage.seen().len(), usize::from(is_let_in));
    }
}

#[test]
fn long_values_come_and_go_by_tls() {
    let office = Office::new("long");
    let stage = office.stage(Settings::default());
    let mut client = office.connect(stage.address(), Some(&office.client));
    for length in [0, 1, 16_384, 100_000, 20 << 20] {
        client.say(&format!("={length}\n{}", "v".repeat(length))).unwrap();
        let answer = format!("got {length}\n");
        assert_eq!(client.hear(answer.len()).unwrap(), answer);
        client.say(&format!("!{length}\n")).unwrap();
        assert!(client.hear(length + 1).unwrap().ends_with('\n'));
    }
    // New keys in the middle of it.
    for _ in 0..50 {
        client.0.conn.refresh_traffic_keys().unwrap();
        client.asks("still here\n").unwrap();
    }
    assert_eq!(stage.ask(|_, desk| (desk.input_kept(), desk.backlog_kept())), (0, 0));
}

/// The end is said by TLS, so that nobody takes a cut for it; and an end that is said is heard.
#[test]
fn an_end_is_said_and_heard() {
    let office = Office::new("ends");
    let stage = office.stage(Settings::default());
    for (last, farewell) in [("bye\n", "bye\n"), ("bad\n", "that is no request\n")] {
        let mut client = office.connect(stage.address(), Some(&office.client));
        client.say(&format!("!3000000\n{last}too late\n")).unwrap();
        let mut rest = String::new();
        client.0.read_to_string(&mut rest).unwrap();
        assert!(rest.len() == 3_000_001 + farewell.len() && rest.ends_with(farewell), "{}", rest.len());
    }
    stage.wait_until_gone(2);
    // The word alone, with the connection open; then with the last bytes; then nothing but the end of the connection.
    for number in 0..3 {
        let mut client = office.connect(stage.address(), Some(&office.client));
        client.asks("here\n").unwrap();
        if number == 1 {
            client.0.conn.writer().write_all(b"one more\n").unwrap();
        }
        if number < 2 {
            client.0.conn.send_close_notify();
            client.0.flush().unwrap();
        } else {
            client.0.sock.shutdown(Shutdown::Write).unwrap();
        }
        let mut rest = String::new();
        client.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, if number == 1 { "one more\n" } else { "" });
    }
    stage.wait_until_gone(5);
    assert_eq!(stage.count(|saw| matches!(saw, Saw::Ended(_))), 3);
    stage.wait_for("nobody", || stage.server.streams() == 0);
}

#[test]
fn nobody_is_heard_in_the_clear() {
    let office = Office::new("clear");
    let refusal_in_the_clear = b"only TLS is spoken here\n".to_vec();
    let stage = office.stage(Settings { refusal_in_the_clear, ..Settings::default() });
    let mut client = stage.client();
    client.say("here\n");
    assert_eq!(client.hear(), "only TLS is spoken here\n");
    assert!(client.is_cut());
    // What begins like TLS and is none, a record longer than any, one that is empty, another version.
    let garbage: [&[u8]; 4] = [
        &[0x16; 4096],
        &[&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat(),
        &[0x16, 3, 1, 0, 0],
        &[0x16, 9, 9, 0, 1, 1],
    ];
    for bytes in garbage {
        let mut client = stage.client();
        let _ = client.stream.write_all(bytes);
        let _ = client.stream.shutdown(Shutdown::Write);
        assert!(client.rest_of_any_kind() < 100);
    }
    stage.wait_for("nobody", || stage.server.streams() == 0);
    assert_eq!(stage.seen(), []);
    office.connect(stage.address(), Some(&office.client)).asks("here\n").unwrap();
    // What clients say is counted as they meant it, without what TLS adds.
    let tally = stage.ask(|_, desk| desk.tally());
    assert_eq!((tally.unopened, tally.refused, tally.heard, tally.told), (5, 0, 5, 5));
}

impl Client {
    /// Perhaps an alert; then the end.
    fn rest_of_any_kind(&mut self) -> usize {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest.len()
    }
}

#[test]
fn a_handshake_has_an_end() {
    let office = Office::new("slow");
    let stage = office.stage(Settings { first_word: Duration::from_millis(300), ..Settings::default() });
    let (mut mute, mut slow) = (stage.client(), stage.client());
    // A record that is announced, and never comes.
    slow.stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
    assert!(mute.is_cut() && slow.is_cut());
    let mut client = office.connect(stage.address(), Some(&office.client));
    client.asks("here\n").unwrap();
}

/// Where there is no room, the door is shut; a server that retires lets go of those by TLS, too.
#[test]
fn bounds_hold_by_tls() {
    let office = Office::new("bounds");
    let stage = office.stage(Settings { most_streams: 2, refusal: b"too many\n".to_vec(), ..Settings::default() });
    let mut client = office.connect(stage.address(), Some(&office.client));
    client.asks("here\n").unwrap();
    let mut knocks = stage.client();
    stage.wait_for("two", || stage.server.streams() == 2);
    assert!(office.connect(stage.address(), Some(&office.client)).asks("here\n").is_err());
    client.asks("still here\n").unwrap();
    stage.server.retire();
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).unwrap();
    assert!(rest.is_empty() && knocks.is_cut());
    drop(client);
    stage.wait_for("nobody", || stage.server.streams() == 0);
}
