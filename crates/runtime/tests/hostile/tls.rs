//! TLS among those who mean no good: strangers without certificates or with
//! those of others, handshakes that never end, bytes that are none.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use skein_machine::ProcessId;
use skein_runtime::caller::{Callers, Heard};
use skein_runtime::frame::FrameReader;
use skein_runtime::hello::{self, Answer, Caller};
use skein_runtime::tls::{Authority, Files, Issued, Tls, Validity};

use crate::ports;
use crate::raw::{Raw, frame, hello, peer};
use crate::stage::{CLUSTER, Do, Ground, HERE_I_AM, Saw, Stage, Word};

/// An authority, and a folder for what it signs. Process 0 lives at node n0, and so on.
pub(crate) struct Office {
    folder: PathBuf,
    authority: Authority,
}

fn day() -> Validity {
    Validity::days(1)
}

impl Office {
    pub(crate) fn new(name: &str) -> Office {
        let folder = std::env::temp_dir().join(format!("skein-office-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Office { folder, authority: Authority::new(name, day()).unwrap() }
    }

    fn files(&self, name: &str, issued: &Issued) -> Files {
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        let files = Files { ca: file("ca"), cert: file("pem"), key: file("key") };
        fs::write(&files.ca, &self.authority.issued().cert).unwrap();
        fs::write(&files.cert, &issued.cert).unwrap();
        fs::write(&files.key, &issued.key).unwrap();
        files
    }

    fn homes() -> BTreeMap<ProcessId, String> {
        (0..4).map(|process| (ProcessId(process), format!("n{process}"))).collect()
    }

    /// The papers of the node where a process lives.
    pub(crate) fn node(&self, process: u16) -> Tls {
        let name = format!("n{process}");
        let files = self.files(&name, &self.authority.node(&name, day()).unwrap());
        Tls::open(files, Some(&name), &Office::homes()).unwrap()
    }

    fn client(&self) -> Tls {
        let files = self.files("client", &self.authority.client("client", day()).unwrap());
        Tls::open(files, None, &Office::homes()).unwrap()
    }

    /// Somebody who speaks TLS by hand, with these papers or none, and trusts this office.
    fn connect(&self, address: SocketAddr, to: u16, papers: Option<&Issued>) -> Sealed {
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
        let name = ServerName::try_from(format!("n{to}")).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let end = ClientConnection::new(Arc::new(config), name).unwrap();
        Sealed { stream: StreamOwned::new(end, stream), reader: FrameReader::new() }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One end of a TLS connection, held by hand.
struct Sealed {
    stream: StreamOwned<ClientConnection, TcpStream>,
    reader: FrameReader,
}

impl Sealed {
    fn say(&mut self, messages: &[&[u8]]) {
        // Who is refused in the middle of it hears why when it listens.
        let _ = self.stream.write_all(&frame(messages));
        let _ = self.stream.flush();
    }

    /// The next message in a frame of its own, or why there is none.
    fn hear(&mut self) -> Result<bytes::Bytes, String> {
        loop {
            if let Some(mut body) = self.reader.next_frame().unwrap() {
                if let Some(message) = self.reader.next_message(&mut body).unwrap() {
                    return Ok(message);
                }
                continue;
            }
            match self.stream.read(self.reader.room()) {
                Ok(0) => return Err("closed".to_owned()),
                Ok(count) => self.reader.read(count),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err("closed".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn answer(&mut self) -> Answer {
        hello::from_bytes(self.hear().unwrap()).unwrap()
    }

    fn refusal(&mut self) -> String {
        match self.answer() {
            Answer::Refused(why) => why,
            welcome => panic!("{welcome:?}"),
        }
    }
}

/// p1 at node n1, which p0 calls.
fn called(office: &Office) -> Stage {
    Ground::of(1).with_peer(0, ports::free()).with_peer(2, ports::free()).with_tls(office.node(1)).start()
}

/// Somebody who belongs there is let in: the door is not locked.
fn lets_clients_in(office: &Office, stage: &Stage) {
    let mut callers = Callers::new().unwrap().with_tls(Some(office.client()));
    let connection = callers.call(stage.address, CLUSTER, ProcessId(1)).unwrap();
    callers.say(connection, |buffer| buffer.extend_from_slice(b"in"));
    let mut heard = Vec::new();
    while heard.len() < 2 {
        callers.wait(Some(Duration::from_secs(10)), &mut heard).unwrap();
    }
    let says = |text: &'static str| Heard::Message(connection, text.into());
    assert_eq!(heard, [says("welcome"), says("in")]);
}

#[test]
fn replicas_and_clients_that_belong_together_speak() {
    let office = Office::new("together");
    let (here, there) = (ports::free(), ports::free());
    let mut near = Ground::of(0).with_peer(1, there).with_tls(office.node(0));
    near.addresses.insert(ProcessId(0), here);
    let mut far = Ground::of(1).with_peer(0, here).with_tls(office.node(1));
    far.addresses.insert(ProcessId(1), there);
    let (near, far) = (near.start(), far.start());
    let reconnects = |seen: &[Saw]| seen.iter().any(|saw| matches!(saw, Saw::Heard(_, HERE_I_AM)));
    near.wait_for("a link", reconnects);
    far.wait_for("a link", reconnects);
    // Longer than records, buffers of sockets, and what is encrypted at once.
    near.ask(&[Do::SendLong(1, 30 << 20), Do::SendEarly(1, 7)]);
    far.ask(&[Do::SendEarly(0, 8)]);
    far.wait_for("what came behind a long message", |seen| seen.contains(&Saw::Heard(0, 7)));
    near.wait_for("a word", |seen| seen.contains(&Saw::Heard(1, 8)));
    lets_clients_in(&office, &far);
}

#[test]
fn nobody_is_heard_in_the_clear() {
    let office = Office::new("clear");
    let stage = called(&office);
    for caller in [Caller::Client, Caller::Peer(peer(0))] {
        let mut raw = Raw::connect(stage.address);
        raw.say(&[&hello(1, caller)]);
        let why = raw.refusal();
        assert!(why.contains("only TLS is spoken here"), "{why}");
    }
    let error = Callers::new().unwrap().call(stage.address, CLUSTER, ProcessId(1)).unwrap_err();
    assert!(error.to_string().contains("--ca, --cert and --key"), "{error}");
    assert_eq!(stage.seen(), []);
    // And the other way round: TLS where it is not configured.
    let plain = Ground::of(1).start();
    let mut callers = Callers::new().unwrap().with_tls(Some(office.client()));
    let error = callers.call(plain.address, CLUSTER, ProcessId(1)).unwrap_err().to_string();
    assert!(error.contains("instead of speaking TLS: are certificates configured there?"), "{error}");
    lets_clients_in(&office, &stage);
}

#[test]
fn bytes_that_are_no_handshake_are_thrown_out() {
    let office = Office::new("garbage");
    let stage = called(&office);
    let records: [&[u8]; 6] = [
        // A record longer than any, one that is none, one that is empty, a hello that is none, another version, nothing.
        &[&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat(),
        &[0x16; 4096],
        &[0x16, 3, 1, 0, 0],
        &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0],
        &[0x16, 9, 9, 0, 1, 1],
        b"",
    ];
    for bytes in records {
        let mut raw = Raw::connect(stage.address);
        let _ = raw.stream.write_all(bytes);
        let _ = raw.stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        // Perhaps an alert; then the end.
        let _ = raw.stream.read_to_end(&mut answer);
        assert!(answer.len() < 100, "{answer:?}");
    }
    lets_clients_in(&office, &stage);
    assert_eq!(stage.count(|saw| matches!(saw, Saw::Reconnect(_) | Saw::Heard(..))), 0);
}

/// A handshake that goes on, a byte at a time, does not go on for ever.
#[test]
fn a_handshake_has_an_end() {
    let office = Office::new("slow");
    let stage = called(&office);
    let mut raw = Raw::connect(stage.address);
    // A record that is announced, and comes slowly.
    raw.stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
    raw.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(15) {
        let is_gone = raw.stream.write_all(&[0]).is_err();
        match raw.stream.read(&mut [0; 100]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_gone => {}
            _ => break,
        }
    }
    let took = begin.elapsed();
    assert!((4..9).contains(&took.as_secs()), "it ended after {took:?}");
    lets_clients_in(&office, &stage);
}

#[test]
fn whoever_has_no_certificate_of_ours_is_refused() {
    let office = Office::new("strangers");
    let other = Office::new("strangers-others");
    let of_the_same_name = Authority::new("strangers", day()).unwrap();
    let stage = called(&office);
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let expired = Validity { from: now - 2 * hour, until: now - hour };
    let strangers = [
        (None, "CertificateRequired"),
        (Some(other.authority.node("n0", day()).unwrap()), "UnknownCA"),
        (Some(of_the_same_name.node("n0", day()).unwrap()), "DecryptError"),
        (Some(office.authority.node("n0", expired).unwrap()), "CertificateExpired"),
    ];
    for (papers, alert) in strangers {
        let mut stranger = office.connect(stage.address, 1, papers.as_ref());
        stranger.say(&[&hello(1, Caller::Peer(peer(0)))]);
        let why = stranger.hear().unwrap_err();
        assert!(why.contains(alert), "{why}");
    }
    assert_eq!(stage.seen(), []);
    lets_clients_in(&office, &stage);
}

/// A certificate says at which node its holder lives, and a process is believed to be who it says only from there.
#[test]
fn nobody_speaks_for_a_process_of_another_node() {
    let office = Office::new("names");
    let stage = called(&office);
    let claim = |papers: &Issued, caller| {
        let mut sealed = office.connect(stage.address, 1, Some(papers));
        sealed.say(&[&hello(1, caller)]);
        sealed
    };
    let two = office.authority.node("n2", day()).unwrap();
    let why = claim(&two, Caller::Peer(peer(0))).refusal();
    assert!(why.contains("p0 lives at node n0") && why.contains("names") && why.contains("n2"), "{why}");
    let client = office.authority.client("n0", day()).unwrap();
    let why = claim(&client, Caller::Peer(peer(0))).refusal();
    assert!(why.contains("p0 lives at node n0"), "{why}");
    let why = claim(&client, Caller::Peer(peer(9))).refusal();
    assert!(why.contains("p9 is no process of this cluster"), "{why}");
    assert_eq!(stage.seen(), []);
    // Nodes may be clients too, and who is who it says is let in.
    assert!(matches!(claim(&two, Caller::Client).answer(), Answer::Welcome { .. }));
    let zero = office.authority.node("n0", day()).unwrap();
    let mut link = claim(&zero, Caller::Peer(peer(0)));
    assert!(matches!(link.answer(), Answer::Welcome { .. }));
    assert_eq!(Word::of(link.hear().unwrap()).number, HERE_I_AM);
}

/// A call that reaches somebody else is no link, whoever answers, and however.
#[test]
fn a_replica_calls_nobody_but_the_one_it_wants() {
    let office = Office::new("called");
    for answers in [Some(office.node(2)), None] {
        let mut wrong = Ground::of(1).with_peer(0, ports::free());
        wrong.tls = answers;
        let wrong = wrong.start();
        let stage = Ground::of(0).with_peer(1, wrong.address).with_tls(office.node(0)).start();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!((stage.seen(), wrong.seen()), (vec![], vec![]));
    }
}

/// Somebody who accepts and never answers the handshake is given up, and called again.
#[test]
fn whoever_never_answers_a_handshake_is_called_again() {
    let office = Office::new("mute");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stage = Ground::of(0).with_peer(1, address).with_tls(office.node(0)).start();
    let (mut mute, _) = listener.accept().unwrap();
    let begin = Instant::now();
    let drip = std::thread::spawn(move || {
        // It gives signs of life, but they come to nothing.
        let announced = mute.write_all(&[0x16, 3, 3, 2, 0, 2, 0, 1, 0xfc]);
        while announced.is_ok() && mute.write_all(&[0]).is_ok() && begin.elapsed() < Duration::from_secs(12) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    listener.accept().unwrap();
    let took = begin.elapsed();
    assert!((4..9).contains(&took.as_secs()), "noticed after {took:?}");
    assert_eq!(stage.seen(), []);
    drip.join().unwrap();
}

/// The end of a connection is an end, with a word of farewell or without.
#[test]
fn whoever_hangs_up_is_gone_and_may_call_again() {
    let office = Office::new("hangs-up");
    let stage = called(&office);
    let papers = office.authority.node("n0", day()).unwrap();
    for (number, is_polite) in [(1, true), (2, false), (3, true)] {
        let mut link = office.connect(stage.address, 1, Some(&papers));
        link.say(&[&hello(1, Caller::Peer(peer(0)))]);
        assert!(matches!(link.answer(), Answer::Welcome { .. }));
        assert_eq!(Word::of(link.hear().unwrap()).number, HERE_I_AM);
        link.say(&[&Word::bytes(number)]);
        stage.wait_for("a word", |seen| seen.contains(&Saw::Heard(0, number)));
        // New keys in the middle of it, as often as anybody likes, and with them a record for the other end.
        for _ in 0..100 {
            link.stream.conn.refresh_traffic_keys().unwrap();
            link.say(&[&Word::bytes(number + 10)]);
        }
        stage.wait_for("words", |seen| seen.iter().filter(|saw| **saw == Saw::Heard(0, number + 10)).count() == 100);
        if is_polite {
            link.stream.conn.send_close_notify();
            let _ = link.stream.flush();
            while link.hear().is_ok() {}
        }
    }
    assert_eq!(stage.count(|saw| matches!(saw, Saw::Reconnect(0))), 3);
}

/// What is changed on the way is noticed by TLS, and nothing of it is heard.
#[test]
fn records_that_were_changed_cut_their_link() {
    let office = Office::new("changed");
    let stage = called(&office);
    let papers = office.authority.node("n0", day()).unwrap();
    let mut link = office.connect(stage.address, 1, Some(&papers));
    link.say(&[&hello(1, Caller::Peer(peer(0)))]);
    assert!(matches!(link.answer(), Answer::Welcome { .. }));
    assert_eq!(Word::of(link.hear().unwrap()).number, HERE_I_AM);
    link.stream.conn.writer().write_all(&frame(&[&Word::bytes(1)])).unwrap();
    let mut record = Vec::new();
    link.stream.conn.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    link.stream.sock.write_all(&record).unwrap();
    let why = link.hear().unwrap_err();
    assert!(why.contains("BadRecordMac") || why == "closed", "{why}");
    assert_eq!(stage.seen(), [Saw::Reconnect(0)]);
}

/// New certificates hold for new connections, and those that stand go on.
#[test]
fn an_authority_is_replaced_while_links_stand() {
    let (old, new) = (Office::new("old"), Office::new("new"));
    let tls = old.node(1);
    let stage = Ground::of(1).with_peer(0, ports::free()).with_tls(tls.clone()).start();
    let mut callers = Callers::new().unwrap().with_tls(Some(old.client()));
    let connection = callers.call(stage.address, CLUSTER, ProcessId(1)).unwrap();
    // First both are trusted, then the node changes over.
    let both = [old.authority.issued(), new.authority.issued()].map(|issued| issued.cert.clone()).concat();
    fs::write(old.folder.join("n1.ca"), both).unwrap();
    tls.reload().unwrap();
    lets_clients_in(&old, &stage);
    fs::write(old.folder.join("n1.ca"), &new.authority.issued().cert).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("not signed by the authority"), "{error}");
    lets_clients_in(&old, &stage);
    let issued = new.authority.node("n1", day()).unwrap();
    fs::write(old.folder.join("n1.pem"), &issued.cert).unwrap();
    fs::write(old.folder.join("n1.key"), &issued.key).unwrap();
    tls.reload().unwrap();
    lets_clients_in(&new, &stage);
    let mut stranger = new.connect(stage.address, 1, Some(&old.authority.client("c", day()).unwrap()));
    stranger.say(&[&hello(1, Caller::Client)]);
    assert!(stranger.hear().unwrap_err().contains("UnknownCA"));
    callers.say(connection, |buffer| buffer.extend_from_slice(b"still"));
    let mut heard = Vec::new();
    while heard.len() < 2 {
        callers.wait(Some(Duration::from_secs(10)), &mut heard).unwrap();
    }
    assert_eq!(heard[1], Heard::Message(connection, "still".into()));
}
