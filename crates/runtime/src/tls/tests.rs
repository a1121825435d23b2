//! Papers that do not belong together, and what is said of them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use super::*;

/// A folder that is gone with the test, with the papers of a node `a` and a client in it.
struct Folder {
    path: PathBuf,
    authority: Authority,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skein-papers-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        let folder = Folder { path, authority: Authority::new("one", Validity::days(100)).unwrap() };
        folder.put("ca.pem", &folder.authority.issued().cert);
        folder.put_both("a", &folder.authority.node("a", Validity::days(10)).unwrap());
        folder.put_both("client", &folder.authority.client("somebody", Validity::days(10)).unwrap());
        folder
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path.join(name), text).unwrap();
    }

    fn put_both(&self, name: &str, issued: &Issued) {
        self.put(&format!("{name}.pem"), &issued.cert);
        self.put(&format!("{name}.key"), &issued.key);
    }

    fn files(&self, name: &str) -> Files {
        let file = |name: String| self.path.join(name);
        Files { ca: file("ca.pem".into()), cert: file(format!("{name}.pem")), key: file(format!("{name}.key")) }
    }

    fn mistake(&self, files: &Files, node: Option<&str>) -> String {
        Papers::read(files, node).map(|_| "it is sound").unwrap_err().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[test]
fn papers_that_belong_together_are_read() {
    let folder = Folder::new("sound");
    let papers = Papers::read(&folder.files("a"), Some("a")).unwrap();
    let left = papers.expires().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((9..=10).contains(&(left.as_secs() / 86400)), "{left:?}");
    assert!(Papers::read(&folder.files("A"), Some("A")).is_err(), "there is no such file");
    assert!(Papers::read(&folder.files("a"), Some("A")).is_ok(), "certificates do not know capital letters");
    assert!(Papers::read(&folder.files("client"), None).is_ok());
    let tls = Tls::open(folder.files("a"), Some("a"), &BTreeMap::new()).unwrap();
    assert!(tls.expires_within(Duration::from_secs(9 * 86400)).is_none());
    assert!(tls.expires_within(Duration::from_secs(11 * 86400)).is_some());
}

#[test]
fn mistakes_name_the_file_and_what_to_do() {
    let folder = Folder::new("mistakes");
    let a = folder.files("a");
    let missing = folder.mistake(&folder.files("b"), Some("b"));
    assert!(missing.contains("b.pem: No such file") && missing.contains("`skein config certificates`"), "{missing}");
    folder.put("empty.pem", "nothing");
    let empty = folder.mistake(&Files { cert: folder.path.join("empty.pem"), ..a.clone() }, Some("a"));
    assert!(empty.contains("empty.pem holds no certificate in PEM"), "{empty}");
    let swapped = folder.mistake(&Files { key: a.cert.clone(), ..a.clone() }, Some("a"));
    assert!(swapped.contains("a.pem holds no key in PEM: is it another file?"), "{swapped}");
    let torn: String = fs::read_to_string(&a.cert).unwrap().chars().take(200).collect();
    folder.put("torn.pem", &torn);
    let torn = folder.mistake(&Files { cert: folder.path.join("torn.pem"), ..a.clone() }, Some("a"));
    assert!(torn.contains("torn.pem holds no sound certificate"), "{torn}");
    let other = folder.mistake(&Files { key: folder.files("client").key, ..a.clone() }, Some("a"));
    assert!(other.contains("client.key is not the key of") && other.contains("a.pem"), "{other}");
    let another = folder.mistake(&a, Some("b"));
    assert!(
        another.contains("a.pem would be refused: its certificate names") && another.contains("not b"),
        "{another}"
    );
    let client = folder.mistake(&folder.files("client"), Some("a"));
    assert!(client.contains("client.pem would be refused: its certificate"), "{client}");
    let unnamed = folder.mistake(&a, Some("a b"));
    assert!(unnamed.contains("no certificate can name the node \"a b\""), "{unnamed}");
    assert!(check_name("127.0.0.1").is_err() && check_name("eu-west-1").is_ok());
}

#[test]
fn papers_of_another_authority_or_time_are_refused() {
    let folder = Folder::new("others");
    let other = Authority::new("one", Validity::days(100)).unwrap();
    folder.put_both("b", &other.node("b", Validity::days(10)).unwrap());
    let why = folder.mistake(&folder.files("b"), Some("b"));
    assert!(why.contains("not signed by the authority"), "{why}");
    let now = SystemTime::now();
    let at = |from: i64, until: i64| {
        let shift =
            |hours: i64| now + Duration::from_secs(3600 * 1000) - Duration::from_secs((1000 - hours) as u64 * 3600);
        Validity { from: shift(from), until: shift(until) }
    };
    folder.put_both("old", &folder.authority.node("old", at(-2, -1)).unwrap());
    let why = folder.mistake(&folder.files("old"), Some("old"));
    assert!(why.contains("has expired"), "{why}");
    folder.put_both("early", &folder.authority.node("early", at(1, 2)).unwrap());
    let why = folder.mistake(&folder.files("early"), Some("early"));
    assert!(why.contains("not valid yet"), "{why}");
}

/// An authority that was kept signs what its first certificate vouches for.
#[test]
fn an_authority_lives_in_its_key() {
    let folder = Folder::new("again");
    let again = Authority::again(&folder.authority.issued().key, "one", Validity::days(1)).unwrap();
    folder.put_both("b", &again.node("b", Validity::days(10)).unwrap());
    assert!(Papers::read(&folder.files("b"), Some("b")).is_ok());
    assert!(Authority::again("what?", "one", Validity::days(1)).is_err());
}

#[test]
fn what_cannot_be_read_leaves_all_as_it_was() {
    let folder = Folder::new("reload");
    let tls = Tls::open(folder.files("a"), Some("a"), &BTreeMap::new()).unwrap();
    let before = Arc::as_ptr(&tls.current().answers);
    folder.put("a.key", "torn");
    assert!(tls.reload().unwrap_err().to_string().contains("a.key"));
    assert_eq!(Arc::as_ptr(&tls.current().answers), before);
    folder.put_both("a", &folder.authority.node("a", Validity::days(20)).unwrap());
    tls.reload().unwrap();
    assert_ne!(Arc::as_ptr(&tls.current().answers), before);
    assert!(tls.expires_within(Duration::from_secs(11 * 86400)).is_none());
}

/// Answers one visit with what it hears, as whoever these papers are of.
fn echo(papers: &Tls, certificates: Certificates) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let configs = papers.current();
    let config = if certificates == Certificates::Required { configs.answers } else { configs.pages };
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut bytes = [0; 5];
        if stream.read_exact(&mut bytes).is_ok() {
            let _ = stream.write_all(&bytes);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

/// What a visit comes to: what is said, said back; or why not.
fn visit(trust: &Trust, node: Option<&str>, address: std::net::SocketAddr) -> Result<String, String> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut visit = trust.visit(node, stream).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let said = visit.write_all(b"hello").and_then(|()| visit.read_to_string(&mut text));
    said.map(|_| text).map_err(|error| error.to_string())
}

#[test]
fn a_visit_believes_whom_it_may() {
    let folder = Folder::new("visit");
    let node = Tls::open(folder.files("a"), Some("a"), &BTreeMap::new()).unwrap();
    let serves = |certificates| echo(&node, certificates);
    let trust = Trust::read(&folder.path.join("ca.pem")).unwrap();
    let optional = Certificates::Optional;
    assert_eq!(visit(&trust, Some("a"), serves(optional)), Ok("hello".to_owned()));
    assert_eq!(visit(&trust, None, serves(optional)), Ok("hello".to_owned()), "a node of the cluster, whichever");
    let other = visit(&trust, Some("b"), serves(optional)).unwrap_err();
    assert!(other.contains("its certificate names") && other.contains("and not b"), "{other}");

    // Where a certificate is asked for, one is presented if there is one.
    let nobody = visit(&trust, Some("a"), serves(Certificates::Required)).unwrap_err();
    assert!(nobody.contains("it wants a certificate, and none was presented"), "{nobody}");
    let known = Trust::read_with(&folder.files("client")).unwrap();
    assert_eq!(visit(&known, None, serves(Certificates::Required)), Ok("hello".to_owned()));

    // A client of the same authority is no node, whatever name is asked for; nor is a node of another authority.
    let client = Tls::open(folder.files("client"), None, &BTreeMap::new()).unwrap();
    for name in [None, Some("a")] {
        let why = visit(&trust, name, echo(&client, optional)).unwrap_err();
        assert!(why.contains("its certificate is for something else"), "{why}");
    }
    let elsewhere = Folder::new("visit-elsewhere");
    let stranger = Tls::open(elsewhere.files("a"), Some("a"), &BTreeMap::new()).unwrap();
    for name in [None, Some("a")] {
        let why = visit(&trust, name, echo(&stranger, optional)).unwrap_err();
        assert!(why.contains("not signed by the authority that is trusted here"), "{why}");
    }
    let why = Trust::read(&folder.path.join("a.key")).unwrap_err().to_string();
    assert!(why.contains("a.key holds no certificate in PEM"), "{why}");
}
