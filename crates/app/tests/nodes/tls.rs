//! A cluster whose nodes are processes and speak TLS, as an operator meets it:
//! certificates are made, checked, replaced while it runs, and refused when
//! they are not what they should be.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::place::{Place, signal};
use super::ports;

/// Three nodes and their certificates.
fn place_by_tls(name: &str) -> Place {
    let mut config = "cluster = \"00000000000000ab\"\ndata = \"data\"\n".to_owned();
    for (node, address) in ["a", "b", "c"].into_iter().zip(ports::some::<3>()) {
        config += &format!("nodes.{node}.address = \"{address}\"\n");
    }
    config += "[tls]\nca = \"papers/ca.pem\"\ncert = \"papers/{node}.pem\"\nkey = \"papers/{node}.key\"\n";
    config += "client_cert = \"papers/client.pem\"\nclient_key = \"papers/client.key\"\n";
    config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    let place = Place::with(&format!("tls-{name}"), &config);
    let made = place.says(&["config", "certificates", "papers"]);
    assert!(made.contains("4 certificates made, 0 were there"), "{made}");
    place
}

impl Place {
    fn output(&self, arguments: &[&str]) -> Output {
        self.skein(arguments).output().unwrap()
    }

    /// Tells a node to read its certificates again, and waits until it says what came of it.
    fn reload(&self, node: &str, comes_to: &str) {
        let before = self.log_of(node).matches(comes_to).count();
        self.signal("HUP", node);
        self.wait_for(node, comes_to, before + 1);
    }
}

#[test]
fn a_cluster_by_tls_lives_through_kills_and_new_certificates() {
    let mut place = place_by_tls("cluster");
    ["a", "b", "c"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    assert!(place.multicast("one").contains(" at 1: g "));

    // The primary goes, and comes back to what was said without it.
    place.kill("a");
    assert!(place.multicast("two").contains(" at "));
    place.start("skein.toml", "a", &[]);
    assert!(place.multicast("three").contains(" at "));

    // Certificates of the same authority, while everything runs.
    let renewed = place.says(&["config", "certificates", "papers", "--renew", "--days", "3"]);
    assert!(renewed.contains("4 certificates made"), "{renewed}");
    assert!(place.says(&["config", "check"]).contains("node b: papers/b.pem is sound, for 2 days"));
    for node in ["a", "b", "c"] {
        place.reload(node, "certificates are read again");
        place.wait_for(node, "the own certificate ends soon", 1);
    }
    assert!(place.multicast("four").contains(" at "));
    place.kill("b");
    place.start("skein.toml", "b", &[]);
    // It takes two of three, and the third has seen nothing but the new certificates.
    place.kill("c");
    assert!(place.multicast("five").contains(" at "));

    // Half of a pair is refused, and what was read before stays in force.
    fs::copy(place.folder.join("papers/b.key"), place.folder.join("papers/a.key")).unwrap();
    place.reload("a", "the certificates that were read before stay in force");
    assert!(place.log_of("a").contains("papers/a.key is not the key of papers/a.pem"), "{}", place.log_of("a"));
    assert!(place.multicast("six").contains(" at "));
}

#[test]
fn whoever_does_not_belong_there_is_told_why() {
    let mut place = place_by_tls("strangers");
    ["a", "b"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    assert!(place.multicast("one").contains(" at 1: g "));
    let config = fs::read_to_string(place.folder.join("skein.toml")).unwrap();

    // A client without TLS, one without a certificate, one with another authority's.
    let plain: String = config.split("[tls]").next().unwrap().to_owned()
        + "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    fs::write(place.folder.join("plain.toml"), &plain).unwrap();
    let told = place.says(&["multicast", "--config", "plain.toml", "g", "x"]);
    assert!(told.contains("only TLS is spoken here"), "{told}");
    place.wait_for("a", "it does not speak TLS", 1);
    let nameless: String =
        config.lines().filter(|line| !line.starts_with("client_")).map(|line| format!("{line}\n")).collect();
    fs::write(place.folder.join("nameless.toml"), nameless).unwrap();
    let told = place.says(&["multicast", "--config", "nameless.toml", "g", "x"]);
    assert!(told.contains("name a certificate and its key by --cert and --key"), "{told}");
    let flags = ["--cert", "papers/client.pem", "--key", "papers/client.key"];
    let sent = place.says(&[&["multicast", "--config", "nameless.toml", "g", "x"][..], &flags].concat());
    assert!(sent.contains(" at "), "{sent}");
    place.says(&["config", "certificates", "others"]);
    let flags = ["--ca", "others/ca.pem", "--cert", "others/client.pem", "--key", "others/client.key"];
    let told = place.says(&[&["multicast", "--config", "skein.toml", "g", "x"][..], &flags].concat());
    assert!(told.contains("not signed by the authority that is trusted here"), "{told}");
    let flags = ["--cert", "others/client.pem", "--key", "others/client.key"];
    let told = place.says(&[&["multicast", "--config", "skein.toml", "g", "x"][..], &flags].concat());
    assert!(told.contains("others/client.pem would be refused"), "{told}");

    // A node with the papers of another, or with none, is not even started: exit code 78.
    fs::copy(place.folder.join("papers/b.pem"), place.folder.join("papers/c.pem")).unwrap();
    fs::copy(place.folder.join("papers/b.key"), place.folder.join("papers/c.key")).unwrap();
    let refused = |more: &[&str]| {
        let output = place.output(&[&["node", "--config", "skein.toml", "--node", "c"][..], more].concat());
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    };
    let why = refused(&[]);
    assert!(why.contains("papers/c.pem would be refused") && why.contains("and not c"), "{why}");
    let checked = place.output(&["config", "check", "skein.toml", "--node", "c"]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("and not c"));
    let why = refused(&["--cert", "nowhere.pem"]);
    assert!(why.contains("cannot read nowhere.pem"), "{why}");

    // One that trusts others is no peer, and both sides say so.
    fs::copy(place.folder.join("others/c.pem"), place.folder.join("papers/c.pem")).unwrap();
    fs::copy(place.folder.join("others/c.key"), place.folder.join("papers/c.key")).unwrap();
    fs::write(place.folder.join("skein.toml"), config.replace("papers/ca.pem", "others/ca.pem")).unwrap();
    place.start("skein.toml", "c", &[]);
    place.wait_for("a", "no link by TLS", 1);
    assert!(place.log_of("a").contains("not signed by the authority"), "{}", place.log_of("a"));
    place.wait_for("c", "it does not trust the authority that signed our certificate", 1);
}

#[test]
fn a_supervisor_hears_of_the_beginning_and_the_end() {
    let mut place = place_by_tls("supervisor");
    let path = place.folder.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = place.skein(&["node", "--config", "skein.toml", "--node", "a", "--storage", "memory"]);
    let child = command.env("NOTIFY_SOCKET", &path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut bytes = [0; 100];
    let mut hear = || {
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    assert_eq!(hear(), "READY=1");
    signal("HUP", &child);
    assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hear(), "READY=1");
    signal("TERM", &child);
    assert_eq!(hear(), "STOPPING=1");
    place.nodes.push(("a".to_owned(), child));
    let mut child = place.take("a");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success() && said.contains("certificates are read again"), "{said}");
}

#[test]
fn keys_are_for_their_owner_and_what_is_there_stays() {
    use std::os::unix::fs::PermissionsExt;
    let place = place_by_tls("keys");
    for key in ["ca.key", "a.key", "client.key"] {
        let mode = fs::metadata(place.folder.join("papers").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let before = fs::read(place.folder.join("papers/a.pem")).unwrap();
    fs::remove_file(place.folder.join("papers/b.key")).unwrap();
    let again = place.says(&["config", "certificates", "papers"]);
    assert!(again.contains("1 certificates made, 3 were there"), "{again}");
    assert_eq!(fs::read(place.folder.join("papers/a.pem")).unwrap(), before);
    assert!(place.says(&["config", "check"]).contains("node b: papers/b.pem is sound, for 364 days"));
    fs::remove_file(place.folder.join("papers/ca.key")).unwrap();
    let lost = place.says(&["config", "certificates", "papers", "--renew"]);
    assert!(lost.contains("papers/ca.pem is there and papers/ca.key is not"), "{lost}");
    assert!(place.says(&["config", "init"]).contains("# cert = \"certificates/{node}.pem\""));
}

#[test]
fn a_node_says_where_its_settings_come_from() {
    let place = place_by_tls("layers");
    let mut command = place.skein(&["config", "show", "skein.toml", "--node", "b", "--storage", "memory"]);
    let output = command.env("SKEIN_STORAGE", "async").env("SKEIN_DATA", "elsewhere").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("storage").contains("memory") && line("storage").ends_with("--storage"), "{shown}");
    assert!(line("data").contains("elsewhere") && line("data").ends_with("SKEIN_DATA"), "{shown}");
    assert!(line("cert").contains("papers/b.pem") && line("cert").ends_with("the configuration"), "{shown}");
    assert!(line("log").contains("info") && line("log").ends_with("default"), "{shown}");
    let refused =
        place.skein(&["node", "--config", "skein.toml", "--node", "b"]).env("SKEIN_PROTOCOL", "skeen").output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("protocol has to be the same at all nodes"));
    let absent = place.output(&["node", "--config", "nowhere.toml", "--node", "a"]);
    assert_eq!(absent.status.code(), Some(78));
}

/// The page of a node, as a scraper or a probe asks for it: with a certificate, or with none.
fn page(place: &Place, node: &str, http: SocketAddr, paper: Option<&str>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.folder.join("papers/ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match paper {
        None => config.with_no_client_auth(),
        Some(paper) => {
            let file = |end: &str| place.folder.join(format!("papers/{paper}.{end}"));
            let chain = vec![CertificateDer::from_pem_file(file("pem")).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(file("key")).unwrap()).unwrap()
        }
    };
    let name = ServerName::try_from(node.to_owned()).unwrap();
    let end = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = StreamOwned::new(end, stream);
    let asked =
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {node}\r\nConnection: close\r\n\r\n").as_bytes());
    let mut text = String::new();
    match asked.and_then(|()| stream.read_to_string(&mut text)) {
        Ok(_) => text,
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_page_by_tls_tells_strangers_no_more_than_whether_a_node_is_well() {
    let mut place = place_by_tls("page");
    let addresses = ports::some::<3>();
    let file = place.folder.join("skein.toml");
    let mut config = fs::read_to_string(&file).unwrap().replace("[tls]\n", "[tls]\nhttp = true\n");
    for (node, http) in ["a", "b", "c"].into_iter().zip(addresses) {
        config = config.replacen("data = ", &format!("nodes.{node}.http = \"{http}\"\ndata = "), 1);
    }
    fs::write(&file, config).unwrap();
    ["a", "b", "c"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    let sent = place.multicast("one");
    assert!(sent.contains(" at 1: g "), "{sent}");

    let status = place.says(&["status"]);
    assert!(status.contains("primary") && !status.contains("does not answer"), "{status}");
    let message = sent.split_whitespace().next().unwrap();
    let told = place.says(&["explain", message]);
    assert!(told.contains("Delivered at ") && !told.contains("does not answer"), "{told}");

    let http = addresses[0];
    assert!(page(&place, "a", http, None, "/livez").ends_with("alive\n"));
    assert!(page(&place, "a", http, None, "/readyz").starts_with("HTTP/1.1 200"));
    for path in ["/metrics", "/status", "/slow", "/waiting", "/explain?message=s1.1"] {
        let refused = page(&place, "a", http, None, path);
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("present a certificate"), "{path}: {refused}");
    }
    assert!(page(&place, "a", http, Some("client"), "/metrics").contains("skein_multicasts_total{node=\"a\""));
    assert!(page(&place, "b", http, None, "/livez").contains("not valid for name"), "a is not b");

    // A certificate of somebody else's authority opens nothing, and in the clear nothing is said at all.
    let foreign = place_by_tls("page-foreign");
    for end in ["pem", "key"] {
        let from = foreign.folder.join(format!("papers/client.{end}"));
        fs::copy(from, place.folder.join(format!("papers/foreign.{end}"))).unwrap();
    }
    let refused = page(&place, "a", http, Some("foreign"), "/livez");
    assert!(!refused.contains("alive"), "{refused}");
    let mut stream = TcpStream::connect(http).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(!String::from_utf8_lossy(&bytes).contains("alive"));
    // Whoever connects and says nothing is in nobody's way.
    let _silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(http).unwrap()).collect();
    assert!(page(&place, "a", http, None, "/livez").ends_with("alive\n"));
}
