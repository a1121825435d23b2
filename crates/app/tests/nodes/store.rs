//! The store as its users meet it: three nodes, three groups over all of them,
//! and clients of Redis at each.

use std::time::{Duration, Instant};

use skein_service::kv::table;

use super::place::Place;
use super::ports;
use super::redis::{Redis, Reply, array, bulk, ok};

/// Three nodes with a replica of each of three groups, and where clients find them.
fn place(name: &str, more: &str) -> (Place, [String; 3]) {
    let addresses = ports::some::<6>();
    let address = |nth: usize| addresses[nth].to_string();
    let mut config = format!("cluster = \"00000000000000ae\"\ndata = \"data\"\n{more}\n");
    for (nth, node) in ["a", "b", "c"].into_iter().enumerate() {
        config += &format!("[nodes.{node}]\naddress = \"{}\"\nredis = \"{}\"\n", address(nth), address(nth + 3));
    }
    for group in ["x", "y", "z"] {
        config += &format!("[[groups]]\nname = \"{group}\"\nreplicas = [\"a\", \"b\", \"c\"]\n");
    }
    (Place::with(&format!("store-{name}"), &config), [3, 4, 5].map(address))
}

pub(super) fn started(name: &str, more: &str) -> (Place, [String; 3]) {
    let (mut place, addresses) = place(name, more);
    for node in ["a", "b", "c"] {
        place.start("skein.toml", node, &[]);
    }
    (place, addresses)
}

/// Keys in all partitions.
fn keys(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("k{nth}")).collect()
}

/// Asks until it is answered with something that is no excuse: right after a node has died, another has to lead.
pub(super) fn insist(addresses: &[String], words: &[&str]) -> Reply {
    let begin = Instant::now();
    loop {
        for address in addresses {
            let Ok(mut redis) = Redis::try_connect(address) else { continue };
            match redis.say(words).and_then(|()| redis.hear()) {
                Ok(Reply::Error(why)) if why.starts_with("TRYAGAIN") || why.starts_with("UNCERTAIN") => {}
                Ok(reply) => return reply,
                Err(_) => {}
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody answers {words:?}");
    }
}

#[test]
fn one_store_at_every_node() {
    let (_place, addresses) = started("one", "[store]");
    let [mut a, mut b, mut c] = addresses.each_ref().map(|address| Redis::connect(address));
    let keys = keys(40);
    let pairs: Vec<&str> = keys.iter().flat_map(|key| [key.as_str(), key.as_str()]).collect();
    assert_eq!(a.ask(&[&["MSET"], &pairs[..]].concat()), ok());
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(b.ask(&[&["MGET"], &names[..]].concat()), array(keys.iter().map(|key| bulk(key))));
    let homes: std::collections::BTreeSet<String> =
        names.iter().map(|key| format!("{:?}", c.ask(&["SKEIN.WHERE", key]))).collect();
    assert_eq!(homes.len(), 3, "every partition holds some");

    // A transaction over partitions, and one that comes too late.
    assert_eq!(a.ask(&["WATCH", "k1", "k2"]), ok());
    assert_eq!(c.ask(&["SET", "k2", "other"]), ok());
    for words in [&["MULTI"][..], &["SET", "k1", "never"], &["EXEC"]] {
        a.say(words).unwrap();
    }
    assert_eq!(
        [a.hear().unwrap(), a.hear().unwrap(), a.hear().unwrap()],
        [ok(), Reply::Line("QUEUED".into()), Reply::Null]
    );
    for words in [&["MULTI"][..], &["INCR", "n1"], &["INCRBY", "n2", "7"], &["GET", "k1"], &["EXEC"]] {
        b.say(words).unwrap();
    }
    let heard: Vec<Reply> = (0..5).map(|_| b.hear().unwrap()).collect();
    assert_eq!(heard[4], array([Reply::Number(1), Reply::Number(7), bulk("k1")]));

    // What needs the values of another partition.
    assert_eq!(a.ask(&["RENAME", "k1", "renamed"]), ok());
    assert_eq!(c.ask(&["MGET", "k1", "renamed"]), array([Reply::Null, bulk("k1")]));
    assert_eq!(b.ask(&["MSETNX", "renamed", "1", "fresh", "2"]), Reply::Number(0));
    assert_eq!(b.ask(&["EXISTS", "fresh"]), Reply::Number(0));
    assert_eq!(a.ask(&["SKEIN.RANGE", "k10", "k13"]), array(["k10", "k11", "k12"].map(bulk)));
}

#[test]
fn what_a_connection_says_in_a_row_happens_in_a_row() {
    let (_place, addresses) = started("row", "[store]");
    let mut a = Redis::connect(&addresses[0]);
    for round in 0..20 {
        let value = round.to_string();
        for key in ["p", "q", "r", "s"] {
            a.say(&["SET", key, &value]).unwrap();
            a.say(&["GET", key]).unwrap();
        }
        a.say(&["MGET", "s", "p"]).unwrap();
        a.say(&["PING"]).unwrap();
        for _ in 0..4 {
            assert_eq!([a.hear().unwrap(), a.hear().unwrap()], [ok(), bulk(&value)]);
        }
        assert_eq!(a.hear().unwrap(), array([bulk(&value), bulk(&value)]));
        assert_eq!(a.hear().unwrap(), Reply::Line("PONG".into()));
    }
    // Bytes in pieces are the same bytes.
    for byte in b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n" {
        a.raw(&[*byte]);
    }
    assert_eq!(a.hear().unwrap(), bulk("hello"));
    // What is no command ends the connection, after what came before it was answered.
    a.raw(b"*2\r\n$3\r\nGET\r\n$1\r\np\r\n*1\r\n!\r\n");
    assert_eq!(a.hear().unwrap(), bulk("19"));
    assert_eq!(a.hear().unwrap(), Reply::Error("ERR Protocol error: expected '$', got '!'".into()));
    assert!(a.hear().is_err());
}

#[test]
fn a_node_dies_and_nothing_is_lost() {
    let (mut place, addresses) = started("dies", "[store]");
    for nth in 0..50 {
        assert_eq!(insist(&addresses, &["SET", &format!("before{nth}"), "1"]), ok());
    }
    place.kill("b");
    let others = [addresses[0].clone(), addresses[2].clone()];
    for nth in 0..50 {
        assert_eq!(insist(&others, &["SET", &format!("after{nth}"), "2"]), ok());
        assert_eq!(insist(&others, &["GET", &format!("before{nth}")]), bulk("1"));
    }
    place.start("skein.toml", "b", &[]);
    let back = [addresses[1].clone()];
    for nth in 0..50 {
        assert_eq!(insist(&back, &["GET", &format!("after{nth}")]), bulk("2"), "a read at the one that was away");
    }
    // All of them at once, as when the power fails.
    ["a", "b", "c"].into_iter().for_each(|node| place.kill(node));
    ["a", "b", "c"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(100));
}

#[test]
fn who_may_do_what_is_said_in_the_configuration() {
    let users = "[store]\n[[store.users]]\nname = \"default\"\nrules = \"on >open-sesame ~* +@all -@dangerous\"\n\
                 [[store.users]]\nname = \"reader\"\nrules = \"on >r ~public:* +@read +@connection +acl|whoami\"";
    let (_place, addresses) = started("users", users);
    let mut redis = Redis::connect(&addresses[0]);
    let error = |why: &str| Reply::Error(why.to_owned());
    assert_eq!(redis.ask(&["GET", "a"]), error("NOAUTH Authentication required."));
    assert!(matches!(redis.ask(&["HELLO", "3"]), Reply::Error(why) if why.starts_with("NOAUTH HELLO must be called")));
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(redis.ask(&["AUTH", "sesame"]), error(wrong));
    assert_eq!(redis.ask(&["AUTH", "open-sesame"]), ok());
    assert_eq!(redis.ask(&["SET", "public:1", "x"]), ok());
    assert_eq!(redis.ask(&["FLUSHALL"]), error("NOPERM this user has no permissions to run the 'flushall' command"));
    assert_eq!(redis.ask(&["AUTH", "reader", "r"]), ok());
    assert_eq!(redis.ask(&["GET", "public:1"]), bulk("x"));
    assert_eq!(
        redis.ask(&["GET", "private"]),
        error("NOPERM this user has no permissions to access one of the keys used as arguments")
    );
    assert!(matches!(redis.ask(&["SET", "public:1", "y"]), Reply::Error(why) if why.starts_with("NOPERM this user")));
    assert_eq!(redis.ask(&["ACL", "WHOAMI"]), bulk("reader"));
}

#[test]
fn a_named_command_is_done_once_whoever_is_asked() {
    let (mut place, addresses) = started("named", "[store]");
    let mut a = Redis::connect(&addresses[0]);
    assert_eq!(a.ask(&["SKEIN.SESSION", "77", "1"]), ok());
    assert_eq!(a.ask(&["INCR", "n"]), Reply::Number(1));
    assert_eq!(a.ask(&["INCR", "n"]), Reply::Number(2));
    place.kill("a");
    // The answer to the last one never came, say: it is asked for again elsewhere, under its number.
    let begin = Instant::now();
    loop {
        let mut c = Redis::connect(&addresses[2]);
        assert_eq!(c.ask(&["SKEIN.SESSION", "77", "2"]), ok());
        match c.ask(&["INCR", "n"]) {
            Reply::Number(2) => break,
            Reply::Error(why) if why.starts_with("TRYAGAIN") || why.starts_with("UNCERTAIN") => {}
            other => panic!("{other:?}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}

/// A client that uses numbers of its session twice, or goes back, harms nobody, and nothing of its commands is done by
/// one partition and refused by another.
#[test]
fn numbers_that_are_used_twice_stop_no_node() {
    let (_place, addresses) = started("twice", "[store]");
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(0));
    let mut redis = Redis::connect(&addresses[0]);
    let names = keys(40);
    let mut home = |key: &str| format!("{:?}", redis.ask(&["SKEIN.WHERE", key]));
    let mut homes = std::collections::BTreeMap::new();
    for key in &names {
        homes.entry(home(key)).or_insert(key.as_str());
    }
    let [x, y, z]: [&str; 3] = homes.into_values().collect::<Vec<_>>().try_into().expect("all partitions hold some");
    let mut say = |words: &[&str]| redis.ask(words);
    let is_refused =
        |reply: Reply, why: &str| assert!(matches!(&reply, Reply::Error(text) if text.contains(why)), "{reply:?}");

    // One partition has heard of a later number.
    say(&["SKEIN.SESSION", "77", "5"]);
    assert_eq!(say(&["SET", y, "later"]), ok());
    for words in [&["MSET", x, "1", y, "1"][..], &["DEL", x, y], &["MGET", x, y, z]] {
        say(&["SKEIN.SESSION", "77", "3"]);
        is_refused(say(words), "applied before");
    }
    say(&["SKEIN.SESSION", "77", "3"]);
    for words in [&["MULTI"][..], &["SET", x, "1"], &["SET", y, "1"]] {
        say(words);
    }
    is_refused(say(&["EXEC"]), "applied before");
    assert_eq!(say(&["RESET"]), Reply::Line("RESET".into()));
    assert_eq!(say(&["MGET", x, y]), array([Reply::Null, bulk("later")]));

    // All of them know the number, each from another command.
    for key in [x, y, z] {
        say(&["SKEIN.SESSION", "78", "5"]);
        assert_eq!(say(&["APPEND", key, "1"]), Reply::Number(if key == y { 6 } else { 1 }));
    }
    say(&["SKEIN.SESSION", "78", "5"]);
    is_refused(say(&["MGET", x, y, z]), "used twice");
    assert_eq!(say(&["PING"]), Reply::Line("PONG".into()));
}

/// More than fits into a transaction cannot be watched.
#[test]
fn nobody_watches_more_than_a_transaction_holds() {
    let (_place, addresses) = started("watches", "[store]");
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(0));
    let mut redis = Redis::connect(&addresses[0]);
    let many = keys(40_000);
    let words: Vec<&str> = ["WATCH"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(redis.ask(&words), ok());
    assert_eq!(redis.ask(&words), Reply::Error("ERR too many keys are watched".into()));
    assert_eq!(redis.ask(&words[..20_001]), ok());
    for (words, answer) in [(&["MULTI"][..], ok()), (&["SET", "k1", "1"], Reply::Line("QUEUED".into()))] {
        assert_eq!(redis.ask(words), answer);
    }
    assert_eq!(redis.ask(&["EXEC"]), array([ok()]));
    let long = "x".repeat(8 << 20);
    assert_eq!(redis.ask(&["WATCH", &long]), ok());
    assert_eq!(redis.ask(&["WATCH", &long]), Reply::Error("ERR too many keys are watched".into()));
    assert_eq!(redis.ask(&["UNWATCH"]), ok());
    assert_eq!(redis.ask(&["WATCH", &long]), ok());
}

/// Every command, with any number of words that mean nothing to it: it is answered, or its client is sent away.
#[test]
fn no_words_stop_a_node() {
    let (_place, addresses) = started("words", "[store]");
    assert_eq!(insist(&addresses[..1], &["SET", "k", "v"]), ok());
    let all = table::all().flat_map(|command| [command].into_iter().chain(command.subcommands));
    for command in all.filter(|command| command.name != "client|reply") {
        let mut redis = Redis::connect(&addresses[0]);
        for filler in ["x", "0", "-1", ""] {
            for count in 0..7 {
                let words: Vec<&str> = command.name.split('|').chain(std::iter::repeat_n(filler, count)).collect();
                // It may be gone by now.
                let _ = redis.say(&words);
            }
        }
        let _ = redis.say(&["RESET"]).and_then(|()| redis.say(&["PING", "the end"]));
        while redis.hear().is_ok_and(|reply| reply != bulk("the end")) {}
        let mut another = Redis::connect(&addresses[0]);
        assert_eq!(another.ask(&["PING"]), Reply::Line("PONG".into()), "after {}", command.name);
    }
}
