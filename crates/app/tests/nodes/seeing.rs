//! What can be seen of a store while it runs: what its nodes count, and what is
//! done to a key.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::place::Place;
use super::ports;
use super::redis::{Redis, Reply, bulk, ok};

/// Three nodes, two groups over all of them, and where node `a` serves clients and its page.
fn started(name: &str) -> (Place, String, String) {
    let addresses = ports::some::<5>();
    let address = |nth: usize| addresses[nth].to_string();
    let mut config = "cluster = \"00000000000000af\"\ndata = \"data\"\nstorage = \"memory\"\n[store]\n\
                      max_memory_mb = 64\n[[store.placement]]\nprefix = \"x:\"\ngroup = \"x\"\n\
                      [[store.placement]]\nprefix = \"\"\ngroup = \"y\"\n"
        .to_owned();
    for (nth, node) in ["a", "b", "c"].into_iter().enumerate() {
        config += &format!("[nodes.{node}]\naddress = \"{}\"\n", address(nth));
        if node == "a" {
            config += &format!("redis = \"{}\"\nhttp = \"{}\"\n", address(3), address(4));
        }
    }
    for group in ["x", "y"] {
        config += &format!("[[groups]]\nname = \"{group}\"\nreplicas = [\"a\", \"b\", \"c\"]\n");
    }
    let addresses = (address(3), address(4));
    let mut place = Place::with(&format!("seeing-{name}"), &config);
    ["a", "b", "c"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    let begin = Instant::now();
    // Right after the start, a group may have nobody yet who leads it.
    while Redis::connect(&addresses.0).ask(&["MSET", "x:0", "", "y:0", ""]) != ok() {
        assert!(begin.elapsed() < Duration::from_secs(30), "the store never begins");
    }
    (place, addresses.0, addresses.1)
}

fn page(http: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The number behind a name and its labels; nothing counts as none.
fn number(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::Bulk(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn what_clients_do_is_counted() {
    let (_place, redis, http) = started("counts");
    let before = page(&http, "/metrics");
    let mut client = Redis::connect(&redis);
    for nth in 0..5 {
        assert_eq!(client.ask(&["SET", &format!("x:{nth}"), "value"]), ok());
    }
    assert_eq!(client.ask(&["GET", "x:1"]), bulk("value"));
    assert_eq!(client.ask(&["EXPIRE", "x:1", "1000"]), Reply::Number(1));
    assert_eq!(client.ask(&["MSET", "x:1", "1", "y:1", "2"]), ok());
    assert!(matches!(client.ask(&["LPUSH", "x:1", "1"]), Reply::Error(why) if why.starts_with("WRONGTYPE")));
    assert!(matches!(client.ask(&["GET"]), Reply::Error(why) if why.starts_with("ERR")));
    assert!(matches!(client.ask(&["NONSENSE", "x"]), Reply::Error(why) if why.starts_with("ERR")));
    (0..4).for_each(|_| client.say(&["PING"]).unwrap());
    (0..4).for_each(|_| assert_eq!(client.hear().unwrap(), Reply::Line("PONG".into())));

    let after = page(&http, "/metrics");
    let grown = |name: &str| number(&after, name) - number(&before, name);
    let commands = |name: &str, outcome: &str| {
        grown(&format!("skein_store_commands_total{{node=\"a\",command=\"{name}\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((commands("set", "ok"), commands("get", "ok"), commands("mset", "ok")), (5.0, 1.0, 1.0), "{after}");
    assert_eq!((commands("lpush", "WRONGTYPE"), commands("get", "ERR"), commands("(unknown)", "ERR")), (1.0, 1.0, 1.0));
    assert_eq!(commands("ping", "ok"), 4.0);
    let ways = ["read", "one", "several"]
        .map(|way| grown(&format!("skein_store_command_seconds_count{{node=\"a\",way=\"{way}\"}}")));
    assert_eq!(ways, [1.0, 7.0, 1.0], "a read, what changes one partition, and what changes two");
    assert!(grown("skein_store_received_bytes_total{node=\"a\"}") > 300.0);
    assert!(grown("skein_store_sent_bytes_total{node=\"a\"}") > 60.0);
    assert_eq!(grown("skein_store_connections_total{node=\"a\"}"), 1.0);
    assert!(number(&after, "skein_store_connections{node=\"a\"}") >= 1.0);
    assert_eq!(number(&after, "skein_keys{node=\"a\",group=\"x\",process=\"p0\"}"), 5.0, "{after}");
    assert!(number(&after, "skein_memory_bytes{node=\"a\",group=\"y\",process=\"p3\"}") > 100.0);
    assert_eq!(number(&after, "skein_max_memory_bytes{node=\"a\",group=\"y\",process=\"p3\"}"), f64::from(64 << 20));

    // The same for clients of Redis; of memory they hear what was a second ago.
    let begin = Instant::now();
    while !text(client.ask(&["INFO", "keyspace"])).contains("db0:keys=7,expires=0,avg_ttl=0") {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", text(client.ask(&["INFO"])));
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = text(client.ask(&["INFO", "commandstats"]));
    let of_get = told.lines().find_map(|line| line.strip_prefix("cmdstat_get:")).unwrap();
    assert!(of_get.starts_with("calls=1,usec=") && of_get.ends_with("rejected_calls=1,failed_calls=0"), "{told}");
    let told = text(client.ask(&["INFO"]));
    assert!(!told.contains("cmdstat_") && told.contains("errorstat_WRONGTYPE:count=1\r\n"), "{told}");
    assert!(
        told.contains(&format!("maxmemory:{}\r\n", 128 << 20)) && told.contains("skein_partition_x:memory="),
        "{told}"
    );
    assert!(text(client.ask(&["INFO", "everything"])).contains("cmdstat_set:calls="));

    // INFO begins anew, and what is scraped does not.
    assert_eq!(client.ask(&["CONFIG", "RESETSTAT"]), ok());
    assert!(!text(client.ask(&["INFO", "commandstats"])).contains("cmdstat_set"));
    assert!(page(&http, "/metrics").contains("command=\"set\",outcome=\"ok\""));
}

/// `skein kv watch`, until it is dropped.
struct Watching(Child, Receiver<String>);

impl Watching {
    fn begin(place: &Place, more: &[&str]) -> Watching {
        let mut command = place.skein(&[&["kv", "watch"][..], more].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let told = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Watching(child, lines)
    }

    fn next(&self) -> String {
        self.1.recv_timeout(Duration::from_secs(20)).expect("it says nothing")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_done_to_a_key_can_be_watched() {
    let (place, redis, _) = started("watch");
    let mut client = Redis::connect(&redis);
    let two = Watching::begin(&place, &["x:1", "y:1"]);
    assert_eq!([two.next(), two.next()], ["x:1\tx\tat a, b, c", "y:1\ty\tat a, b, c"]);
    let json = Watching::begin(&place, &["--json", "x:1"]);
    assert_eq!(json.next(), r#"{"kind":"key","key":"x:1","partition":"x","nodes":["a","b","c"]}"#);
    let all = Watching::begin(&place, &["--all", "y:1"]);
    all.next();
    // Each listens from some moment on, and says so by the first that it shows.
    for watching in [&two, &json, &all] {
        let begin = Instant::now();
        while watching.1.recv_timeout(Duration::from_millis(100)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "it never listens");
            assert_eq!(client.ask(&["MSET", "x:1", "", "y:1", ""]), ok());
        }
    }
    assert_eq!(client.ask(&["MSET", "x:1", "last", "y:1", "last"]), ok());
    for watching in [&two, &json, &all] {
        while !watching.next().contains("last") {}
    }

    assert_eq!(client.ask(&["SET", "x:1", "two words"]), ok());
    assert_eq!(client.ask(&["SET", "x:2", "nobody looks"]), ok());
    assert_eq!(client.ask(&["GET", "x:1"]), bulk("two words"));
    assert_eq!(client.ask(&["RENAME", "x:1", "y:2"]), ok());
    assert_eq!(client.ask(&["SKEIN.SESSION", "77", "5"]), ok());
    for words in [&["MULTI"][..], &["SET", "y:1", "1"], &["INCR", "x:1"], &["EXEC"]] {
        client.say(words).unwrap();
        client.hear().unwrap();
    }
    let line = two.next();
    let (place_of_it, words) = line.split_once(": ").unwrap();
    assert!(place_of_it.starts_with("at ") && place_of_it.ends_with(" in x"), "{line}");
    assert_eq!(words, "SET x:1 \"two words\"");
    assert!(two.next().ends_with(" in x,y: RENAME x:1 y:2"));
    assert!(two.next().ends_with(" in x,y: MULTI; SET y:1 1; INCR x:1; EXEC (number 5 of session 77)"));
    assert!(all.next().ends_with("RENAME x:1 y:2"), "it touches the partition");
    let line = json.next();
    assert!(
        line.contains(r#""partitions":["x"]"#) && line.contains(r#""commands":[["SET","x:1","two words"]]"#),
        "{line}"
    );

    let refused = place.says(&["kv", "--address", &redis, "watch", "x:1"]);
    assert!(refused.contains("name its configuration by --config"), "{refused}");
}
