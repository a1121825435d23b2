//! Agents of a fleet as an operator runs them: what they find out, what they
//! make of deaths and goodbyes, and whom they do not hear.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::place::Place;
use crate::ports;
use crate::redis::{Redis, Reply, array, bulk, ok};

/// Nothing here takes longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Some agents of one fleet, each known by its name.
struct Fleet {
    place: Place,
    agents: Vec<Addresses>,
}

#[derive(Clone)]
struct Addresses {
    name: String,
    gossip: SocketAddr,
    redis: SocketAddr,
    http: SocketAddr,
}

impl Fleet {
    /// What is in the configuration besides who there is. Nobody lives yet.
    fn of(test: &str, names: &[&str], config: &str) -> Fleet {
        let agent = |name: &&str| {
            let [gossip, redis, http] = ports::some();
            Addresses { name: (*name).to_owned(), gossip, redis, http }
        };
        let agents: Vec<Addresses> = names.iter().map(agent).collect();
        let seeds: Vec<String> = agents.iter().map(|agent| format!("\"{}\"", agent.gossip)).collect();
        let seeds = seeds.join(", ");
        let config = format!("fleet = \"shop\"\nplace = \"ams\"\nseeds = [{seeds}]\nlog = \"info\"\n{config}");
        Fleet { place: Place::with(test, &config), agents }
    }

    /// The same, and all of them have found each other.
    fn together(test: &str, names: &[&str], config: &str) -> Fleet {
        let mut fleet = Fleet::of(test, names, config);
        names.iter().for_each(|name| fleet.start(name));
        fleet.settle();
        fleet
    }

    fn agent(&self, name: &str) -> Addresses {
        self.agents.iter().find(|agent| agent.name == name).unwrap().clone()
    }

    fn start(&mut self, name: &str) {
        self.start_called(name, name);
    }

    /// Starts one that claims to be another.
    fn start_called(&mut self, name: &str, called: &str) {
        let Addresses { gossip, redis, http, .. } = self.agent(name);
        let [gossip, redis, http] = [gossip, redis, http].map(|address| address.to_string());
        let arguments = ["edge", "--config", "skein.toml", "--name", called, "--listen", &gossip];
        let faces = ["--redis", &redis, "--http", &http];
        self.place.start_as(name, &[&arguments[..], &faces].concat());
    }

    fn redis(&self, name: &str) -> Redis {
        Redis::connect(&self.agent(name).redis.to_string())
    }

    fn get(&self, name: &str, key: &str) -> Reply {
        self.redis(name).ask(&["GET", key])
    }

    /// Waits until all that live list each other and know what the others know.
    fn settle(&self) {
        let living: Vec<&String> = self.place.nodes.iter().map(|(name, _)| name).collect();
        let lines: Vec<Reply> = self
            .agents
            .iter()
            .filter(|agent| living.contains(&&agent.name))
            .map(|agent| bulk(&format!("@member/{}", agent.name)))
            .collect();
        for name in living {
            wait(&format!("{name} to see all"), || {
                self.redis(name).ask(&["KEYS", "@member/*"]) == array(lines.clone())
            });
            wait(&format!("{name} to be well"), || self.page(name, "/healthz").0 == 200);
        }
    }

    /// The status and the body of a page.
    fn page(&self, name: &str, path: &str) -> (u16, String) {
        visit(self.agent(name).http, path, "")
    }
}

fn visit(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let method = if headers.starts_with("POST") { "POST" } else { "GET" };
    let headers = headers.trim_start_matches("POST");
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How the finding of an origin begins.
fn state(reply: &Reply) -> &str {
    match reply {
        Reply::Bulk(text) => text.split(' ').next().unwrap(),
        _ => "unknown",
    }
}

#[test]
fn an_origin_is_watched_by_one_and_by_another_when_that_dies() {
    let origin = ports::free();
    let config =
        format!("[[origins]]\nname = \"toy\"\nurl = \"http://{origin}/health\"\ninterval_ms = 300\ntimeout_ms = 200\n");
    let mut fleet = Fleet::of("agents", &["a", "b", "c"], &config);
    let toy = fleet.place.skein(&["edge", "origin", "--listen", &origin.to_string()]).spawn().unwrap();
    fleet.place.nodes.push(("toy".to_owned(), toy));
    ["a", "b", "c"].iter().for_each(|name| fleet.start(name));
    let key = "@origin/ams/toy";
    for name in ["a", "b", "c"] {
        wait("all to know that it is up", || state(&fleet.get(name, key)) == "up");
    }
    let mut listener = fleet.redis("a");
    listener.say(&["PSUBSCRIBE", "@origin/*"]).unwrap();
    assert_eq!(listener.hear().unwrap(), array([bulk("psubscribe"), bulk("@origin/*"), Reply::Number(1)]));
    let told = |listener: &mut Redis| match listener.hear().unwrap() {
        Reply::Array(parts) => parts.into_iter().next_back().unwrap(),
        other => panic!("{other:?}"),
    };
    visit(origin, "/break", "POST");
    let down = told(&mut listener);
    let Reply::Bulk(text) = &down else { panic!("{down:?}") };
    assert!(text.starts_with("down by ") && text.ends_with(": 503 Service Unavailable"), "{text}");
    let owner = text.split([' ', ':']).nth(2).unwrap().to_owned();
    fleet.place.kill(&owner);
    visit(origin, "/mend", "POST");
    let witness = ["a", "b", "c"].into_iter().find(|name| *name != owner).unwrap();
    wait("another to take over", || state(&fleet.get(witness, key)) == "up");
    let Reply::Bulk(text) = fleet.get(witness, key) else { panic!("it is there") };
    assert!(!text.starts_with(&format!("up by {owner}:")), "{text}");
    let (_, members) = fleet.page(witness, "/members");
    assert!(members.contains("\"dead\""), "{members}");
    // And when it starts again, it is in at once, and all three see all.
    fleet.start(&owner);
    for name in ["a", "b", "c"] {
        wait("all to be up", || state(&fleet.get(name, &format!("@member/{owner}"))) == "up");
    }
}

#[test]
fn what_one_writes_all_read_and_what_one_removes_is_gone() {
    let fleet = Fleet::together("agents-map", &["a", "b", "c"], "");
    let mut a = fleet.redis("a");
    let mut listener = fleet.redis("c");
    listener.say(&["SUBSCRIBE", "greeting"]).unwrap();
    listener.hear().unwrap();
    assert_eq!(a.ask(&["SET", "greeting", "hej"]), ok());
    assert_eq!(a.ask(&["GET", "greeting"]), bulk("hej"), "at once where it was written");
    assert_eq!(listener.hear().unwrap(), array([bulk("message"), bulk("greeting"), bulk("hej")]));
    wait("b to have it", || fleet.get("b", "greeting") == bulk("hej"));
    assert_eq!(fleet.redis("b").ask(&["DEL", "greeting", "nothing"]), Reply::Number(1));
    assert_eq!(listener.hear().unwrap(), array([bulk("message"), bulk("greeting"), bulk("")]));
    wait("a to have lost it", || a.ask(&["GET", "greeting"]) == Reply::Null);
    // Many at once, longer than datagrams, pipelined, and what cannot be.
    let long = "x".repeat(60_000);
    for nth in 0..200 {
        a.say(&["SET", &format!("k{nth:03}"), if nth % 50 == 0 { &long } else { "v" }]).unwrap();
    }
    a.say(&["GET", "k000"]).unwrap();
    assert!((0..200).all(|_| a.hear().unwrap() == ok()) && a.hear().unwrap() == bulk(&long));
    wait("all of it", || {
        fleet.redis("b").ask(&["KEYS", "k*"]) == array((0..200).map(|nth| bulk(&format!("k{nth:03}"))))
    });
    assert_eq!(fleet.get("b", "k150"), bulk(&long));
    let refused = |words: &[&str]| match fleet.redis("a").ask(words) {
        Reply::Error(why) => why,
        other => panic!("{words:?}: {other:?}"),
    };
    assert!(refused(&["SET", "@member/x", "v"]).contains("the fleet's own"));
    assert!(refused(&["SET", &"k".repeat(1_025), "v"]).contains("at most 1024 bytes"));
    assert!(refused(&["SET", "k", &"v".repeat(65_537)]).contains("invalid bulk length"));
    assert!(refused(&["SET", "k", "v", "EX", "5"]).contains("no deadlines"));
    assert!(refused(&["INCR", "k"]).contains("unknown command"));
}

#[test]
fn who_is_asked_to_stop_says_goodbye() {
    let mut fleet = Fleet::together("agents-leave", &["a", "b", "c"], "");
    fleet.place.signal("TERM", "b");
    let mut left = fleet.place.take("b");
    assert!(left.wait().unwrap().success());
    for name in ["a", "c"] {
        wait("its line to be gone", || fleet.get(name, "@member/b") == Reply::Null);
        fleet.place.wait_for(name, "a member has left", 1);
        assert!(!fleet.place.log_of(name).contains("is down"), "{}", fleet.place.log_of(name));
    }
}

#[test]
fn strangers_are_not_heard_and_names_are_held() {
    let mut fleet = Fleet::of("agents-keys", &["a", "b", "eve", "imposter"], "key_file = \"fleet.key\"\n");
    assert!(fleet.place.says(&["edge", "key", "fleet.key"]).contains("a new key"));
    assert!(fleet.place.says(&["edge", "key", "fleet.key"]).contains("is there already"));
    assert!(fleet.place.says(&["edge", "key", "other.key"]).contains("a new key"));
    ["a", "b"].iter().for_each(|name| fleet.start(name));
    fleet.settle();
    let config = fs::read_to_string(fleet.place.folder.join("skein.toml")).unwrap();
    fs::write(fleet.place.folder.join("skein.toml"), config.replace("fleet.key", "other.key")).unwrap();
    fleet.start("eve");
    fs::write(fleet.place.folder.join("skein.toml"), config).unwrap();
    let unverified = |fleet: &Fleet| {
        let (_, metrics) = fleet.page("a", "/metrics");
        let line = metrics.lines().find(|line| line.starts_with("skein_edge_unverified_total")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    wait("strangers to be counted", || unverified(&fleet) > 0.0);
    fleet.place.wait_for("a", "is no member of this fleet", 1);
    assert_eq!(fleet.redis("a").ask(&["KEYS", "@member/*"]), array(["@member/a", "@member/b"].map(bulk)));
    // Whoever has the key and a name that somebody has is told so, and goes on asking.
    fleet.start_called("imposter", "a");
    fleet.place.wait_for("imposter", "another member has this name", 1);
    fleet.place.wait_for("a", "newcomers were not let in: their names are taken", 1);
    assert_eq!(fleet.page("imposter", "/healthz").0, 503);
    assert_eq!(fleet.page("a", "/healthz").0, 200);
}

#[test]
fn a_key_is_replaced_without_stopping_anybody() {
    let mut fleet = Fleet::of("agents-rekey", &["a", "b"], "key_file = \"fleet.key\"\n");
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let put = |fleet: &Fleet, keys: &[&str], times: usize| {
        fs::write(fleet.place.folder.join("fleet.key"), keys.join("\n")).unwrap();
        for name in ["a", "b"] {
            fleet.place.signal("HUP", name);
            fleet.place.wait_for(name, "keys and certificates are read again", times);
        }
    };
    fs::write(fleet.place.folder.join("fleet.key"), &old).unwrap();
    ["a", "b"].iter().for_each(|name| fleet.start(name));
    fleet.settle();
    put(&fleet, &[&old, &new], 1);
    put(&fleet, &[&new, &old], 2);
    put(&fleet, &[&new], 3);
    assert_eq!(fleet.redis("a").ask(&["SET", "k", "v"]), ok());
    wait("b to hear", || fleet.get("b", "k") == bulk("v"));
    for name in ["a", "b"] {
        assert!(!fleet.place.log_of(name).contains("does not answer"), "{}", fleet.place.log_of(name));
    }
}

#[test]
fn with_certificates_everything_goes_by_tls() {
    let mut fleet = Fleet::of("agents-tls", &["a", "b", "c"], "");
    let made = fleet.place.says(&["edge", "certificates", "papers", "--fleet", "shop", "a", "b", "c"]);
    assert!(made.contains("3 certificates made"), "{made}");
    let config = fs::read_to_string(fleet.place.folder.join("skein.toml")).unwrap();
    for name in ["a", "b", "c"] {
        let tls = format!("[tls]\nca = \"papers/ca.pem\"\ncert = \"papers/{name}.pem\"\nkey = \"papers/{name}.key\"\n");
        fs::write(fleet.place.folder.join("skein.toml"), format!("{config}{tls}")).unwrap();
        fleet.start(name);
    }
    fleet.settle();
    assert_eq!(fleet.redis("a").ask(&["SET", "k", "v"]), ok());
    wait("c to hear", || fleet.get("c", "k") == bulk("v"));
    assert!(
        fleet
            .page("b", "/metrics")
            .1
            .lines()
            .any(|line| { line.starts_with("skein_edge_datagrams_in_total") && line.ends_with(" 0") })
    );
    fleet.place.kill("b");
    fleet.place.wait_for("a", "a member is down", 1);
    // Whoever has papers of another authority is not heard, whatever they say.
    fleet.place.says(&["edge", "certificates", "elsewhere", "--fleet", "shop", "b"]);
    let tls = "[tls]\nca = \"elsewhere/ca.pem\"\ncert = \"elsewhere/b.pem\"\nkey = \"elsewhere/b.key\"\n";
    fs::write(fleet.place.folder.join("skein.toml"), format!("{config}{tls}")).unwrap();
    fleet.start("b");
    fleet.place.wait_for("a", "is no member of this fleet", 1);
}

#[test]
fn whoever_asks_without_the_password_is_told_so() {
    let mut fleet = Fleet::of("agents-password", &["a"], "password_file = \"password\"\n");
    fs::write(fleet.place.folder.join("password"), "s3cret\n").unwrap();
    fleet.start("a");
    let mut client = fleet.redis("a");
    assert!(matches!(client.ask(&["GET", "k"]), Reply::Error(why) if why.starts_with("NOAUTH")));
    assert!(matches!(client.ask(&["AUTH", "guess"]), Reply::Error(why) if why.starts_with("WRONGPASS")));
    assert_eq!(client.ask(&["AUTH", "s3cret"]), ok());
    assert_eq!(client.ask(&["GET", "k"]), Reply::Null);
    let http = fleet.agent("a").http;
    assert_eq!((fleet.page("a", "/members").0, fleet.page("a", "/livez").0), (401, 200));
    assert_eq!(visit(http, "/members", "Authorization: Bearer s3cret\r\n").0, 200);
}

#[test]
fn a_mistake_in_the_configuration_is_told_before_anything_starts() {
    let place = Place::with("agents-mistakes", "");
    let refused = |config: &str| {
        fs::write(place.folder.join("edge.toml"), config).unwrap();
        let output = place.skein(&["edge", "--config", "edge.toml", "--name", "a"]).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{config}");
        String::from_utf8(output.stderr).unwrap()
    };
    let origin = |more: &str| {
        let head = "fleet = \"f\"\n[[origins]]\nname = \"o\"\n";
        refused(&format!("{head}{more}"))
    };
    assert!(refused("").contains("missing field `fleet`"));
    assert!(refused("fleet = \"f\"\nnmae = \"a\"").contains("line 2, column 1"));
    assert!(refused("fleet = \"a b\"").contains("fleet = \"a b\""));
    assert!(refused("fleet = \"f\"\nlisten = \"0.0.0.0:7946\"").contains("nobody can be reached at 0.0.0.0:7946"));
    let beyond = "fleet = \"f\"\nlisten = \"0.0.0.0:7946\"\nadvertise = \"192.0.2.1:7946\"\n";
    assert!(refused(beyond).contains("skein edge key"));
    assert!(refused("fleet = \"f\"\nhttp = \"0.0.0.0:80\"").contains("password_file"));
    assert!(refused("fleet = \"f\"\nseeds = [\"no.such.host.invalid:1\"]").contains("none of the seeds is known"));
    assert!(refused("fleet = \"f\"\nkey_file = \"nowhere\"").contains("cannot read nowhere"));
    assert!(origin("url = \"ftp://h/\"").contains("origin o:"));
    assert!(origin("url = \"tcp://h:1\"\ninterval_ms = 1").contains("interval_ms = 1"));
    assert!(origin("url = \"tcp://h:1\"\ntimeout_ms = 9999").contains("timeout_ms = 9999"));
    assert!(origin("url = \"tcp://h:1\"\nfall = 0").contains("fall = 0"));
    let twice = "url = \"tcp://h:1\"\n[[origins]]\nname = \"o\"\nurl = \"tcp://h:2\"";
    assert!(origin(twice).contains("two origins o"));
}

#[test]
fn rude_clients_are_no_trouble_for_others() {
    // Whoever asks for much and goes is no trouble for those who stay.
    let fleet = Fleet::together("agents-rude", &["a"], "");
    for _ in 0..20 {
        let mut rude = fleet.redis("a");
        for nth in 0..100 {
            rude.say(&["SET", &format!("r{nth}"), "v"]).unwrap();
        }
        rude.say(&["KEYS", "*"]).unwrap();
        drop(rude);
    }
    let mut garbage = fleet.redis("a");
    garbage.raw(b"*1\r\n$-5\r\n");
    assert!(matches!(garbage.hear().unwrap(), Reply::Error(why) if why.contains("Protocol error")));
    assert!(garbage.hear().is_err(), "and the connection is closed");
    assert_eq!(fleet.redis("a").ask(&["PING"]), Reply::Line("PONG".into()));
}
