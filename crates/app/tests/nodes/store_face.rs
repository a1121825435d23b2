//! What stands between a store and its clients, as they meet it: what it
//! answers itself, what a connection is told of itself, `skein kv`, and clients
//! that mean no good.

use std::time::{Duration, Instant};

use super::place::Place;
use super::redis::{Redis, Reply, array, bulk, ok};
use super::store::{insist, started};

/// What is answered where the client is, as Redis 7.0.15 answers it.
#[test]
fn what_the_face_answers_itself_is_what_redis_answers() {
    let users = "[store]\n[[store.users]]\nname = \"default\"\nrules = \"on >pw ~* +@all\"";
    let (_place, addresses) = started("face", users);
    let mut redis = Redis::connect(&addresses[0]);
    let conversation = [
        ("FOO a", "ERR unknown command 'FOO', with args beginning with: 'a'"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("GET a", "NOAUTH Authentication required."),
        ("CLIENT FOO", "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        (
            "HELLO 3",
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
             time",
        ),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("AUTH a b c", "ERR syntax error"),
        ("AUTH pw", ""),
        ("CLIENT LIST TYPE foo", "ERR Unknown client type 'foo'"),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("CLIENT LIST FOO", "ERR syntax error"),
        ("CLIENT LIST TYPE", "ERR syntax error"),
        ("CLIENT NO-EVICT x", "ERR syntax error"),
        ("CLIENT REPLY x", "ERR syntax error"),
        ("CLIENT SETINFO lib-name some-client", ""),
        ("CLIENT PAUSE 10", "ERR command 'client|pause' is not supported yet"),
        ("ACL SETUSER ann", "ERR command 'acl|setuser' is not supported yet"),
        ("CONFIG REWRITE", "ERR command 'config|rewrite' is not supported yet"),
        ("EXEC", "ERR EXEC without MULTI"),
        ("DISCARD", "ERR DISCARD without MULTI"),
        ("MULTI", ""),
        ("MULTI", "ERR MULTI calls can not be nested"),
        ("WATCH a", "ERR WATCH inside MULTI is not allowed"),
        ("DISCARD", ""),
    ];
    for (line, why) in conversation {
        let expected = if why.is_empty() { ok() } else { Reply::Error(why.to_owned()) };
        assert_eq!(redis.ask(&line.split(' ').collect::<Vec<_>>()), expected, "{line}");
    }
    for container in ["CLIENT", "CONFIG", "ACL", "COMMAND"] {
        let Reply::Array(lines) = redis.ask(&[container, "HELP"]) else { panic!("{container} HELP is no array") };
        assert_eq!(lines.last(), Some(&Reply::Line("    Prints this help.".into())));
    }
    let Reply::Number(own) = redis.ask(&["CLIENT", "ID"]) else { panic!("an id is a number") };
    let mut list = |more: &[&str]| match redis.ask(&[&["CLIENT", "LIST"], more].concat()) {
        Reply::Bulk(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(list(&[]).contains("lib-name=some-client"));
    assert!(list(&["ID", &own.to_string(), "99999"]).starts_with(&format!("id={own} ")));
    assert_eq!((list(&["ID", "99999"]), list(&["TYPE", "replica"])), (String::new(), String::new()));
}

/// What a connection says of itself and asks of the store, beside what is in it.
#[test]
fn a_connection_has_ways_of_its_own() {
    let (_place, addresses) = started("ways", "[store]\nmax_memory_mb = 7");
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(0));
    let mut redis = Redis::connect(&addresses[0]);
    assert_eq!(redis.ask(&["SKEIN.CONSISTENCY"]), bulk("linearizable"));
    assert_eq!(redis.ask(&["SKEIN.CONSISTENCY", "causal"]), ok());
    assert_eq!(redis.ask(&["SKEIN.CONSISTENCY"]), bulk("causal"));
    assert!(matches!(redis.ask(&["SKEIN.CONSISTENCY", "none"]), Reply::Error(why) if why.contains("causal")));
    let timestamp = |redis: &mut Redis| match redis.ask(&["SKEIN.TS"]) {
        Reply::Number(timestamp) => timestamp,
        other => panic!("{other:?}"),
    };
    assert_eq!(timestamp(&mut redis), 0, "it has seen nothing");
    let seen: Vec<i64> = (0..3)
        .map(|_| {
            assert!(matches!(redis.ask(&["INCR", "k"]), Reply::Number(_)));
            timestamp(&mut redis)
        })
        .collect();
    assert!(0 < seen[0] && seen.is_sorted_by(|one, other| one < other), "{seen:?}");
    // Whoever has seen that reads it in causal mode too, at any node.
    assert_eq!(redis.ask(&["GET", "k"]), bulk("3"));
    assert_eq!(redis.ask(&["RESET"]), Reply::Line("RESET".into()));
    assert_eq!(redis.ask(&["SKEIN.CONSISTENCY"]), bulk("linearizable"));

    let config = |redis: &mut Redis, name: &str| redis.ask(&["CONFIG", "GET", name]);
    for (name, value) in [("maxmemory", "7340032"), ("maxclients", "10000"), ("databases", "1")] {
        assert_eq!(config(&mut redis, name), array([bulk(name), bulk(value)]));
    }
    for name in ["RANGE", "CONSISTENCY", "WHERE", "TS", "SESSION"] {
        let name = format!("skein.{}", name.to_lowercase());
        let Reply::Array(docs) = redis.ask(&["COMMAND", "DOCS", &name]) else { panic!("{name} has no docs") };
        assert!(docs[0] == bulk(&name) && format!("{:?}", docs[1]).contains("summary"), "{docs:?}");
    }
    let Reply::Array(hello) = redis.ask(&["HELLO", "3", "SETNAME", "me"]) else { panic!("a map") };
    assert_eq!(
        &hello[..6],
        &[bulk("server"), bulk("redis"), bulk("version"), bulk("7.0.15"), bulk("proto"), Reply::Number(3)]
    );
    assert_eq!(redis.ask(&["GET", "nothing"]), Reply::Null);
    assert_eq!(redis.ask(&["CLIENT", "GETNAME"]), bulk("me"));
    assert_eq!(redis.ask(&["QUIT"]), ok());
    assert!(redis.hear().is_err(), "it is closed");
}

/// `skein kv` with these words: what it prints, and how it ends.
fn kv(place: &Place, words: &[&str]) -> (String, i32) {
    let output = place.skein(&[&["kv"][..], words].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code().expect("it ends by itself"))
}

#[test]
fn a_shell_can_put_get_delete_and_walk() {
    let (place, addresses) = started("shell", "[store]");
    // Each partition has somebody to lead it.
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(0));
    for (words, text, code) in [
        (&["put", "b", "two words"][..], "", 0),
        (&["put", "a", "1"], "", 0),
        (&["put", "c", "3"], "", 0),
        (&["get", "a"], "1\n", 0),
        (&["get", "b", "a"], "two words\n1\n", 0),
        (&["del", "c"], "1\n", 0),
    ] {
        assert_eq!(kv(&place, words), (text.to_owned(), code), "{words:?}");
    }
    assert_eq!(kv(&place, &["get", "c"]).1, 1, "it holds nothing");
    assert_eq!(kv(&place, &["range", "a", "z"]), ("a\nb\n".to_owned(), 0));
    assert_eq!(kv(&place, &["range", "a", "z", "--values"]), ("a\t1\nb\ttwo words\n".to_owned(), 0));
    let (text, code) = kv(&place, &["where", "a", "b"]);
    assert!(code == 0 && text.lines().count() == 2 && text.starts_with('a'), "{text}");
    let (text, code) = kv(&place, &["--address", "127.0.0.1:1", "get", "a"]);
    assert!(code > 1 && text.contains("127.0.0.1:1"), "{text}");
}

/// How much memory a node has, in MiB.
fn memory_of(place: &Place, node: &str) -> u64 {
    let (_, child) = place.nodes.iter().find(|(name, _)| name == node).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn a_client_that_takes_nothing_and_one_that_announces_everything_have_bounds() {
    let (place, addresses) = started("bounds", "[store]");
    let mut other = Redis::connect(&addresses[0]);
    let long = "x".repeat(4 << 20);
    assert_eq!(insist(&addresses, &["DBSIZE"]), Reply::Number(0));
    assert_eq!(other.ask(&["SET", "long", &long]), ok());
    let before = memory_of(&place, "a");
    // Three gigabytes of answers.
    let mut deaf = Redis::connect(&addresses[0]);
    deaf.raw("GET long\r\n".repeat(800).as_bytes());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(other.ask(&["PING"]), Reply::Line("PONG".into()));
        let now = memory_of(&place, "a");
        assert!(now < before + 400, "{before} MiB before, {now} now");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(deaf);

    // Half a gigabyte that never comes, of each of a hundred.
    let mut crowd: Vec<Redis> = (0..100).map(|_| Redis::connect(&addresses[0])).collect();
    let before = memory_of(&place, "a");
    for redis in &mut crowd {
        redis.raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx");
        assert!(matches!(redis.hear(), Ok(Reply::Error(why)) if why.contains("invalid bulk length")));
        assert!(redis.hear().is_err(), "it is closed");
    }
    let now = memory_of(&place, "a");
    assert!(now < before + 50, "{before} MiB before, {now} now");
    assert_eq!(other.ask(&["STRLEN", "long"]), Reply::Number(4 << 20));

    // A string becomes no longer piece by piece than at once.
    let most = 15 << 20;
    assert_eq!(other.ask(&["SETRANGE", "grown", &(most - 1).to_string(), "x"]), Reply::Number(most));
    let too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    for words in [&["APPEND", "grown", "x"][..], &["SETRANGE", "other", &most.to_string(), "x"]] {
        assert_eq!(other.ask(words), Reply::Error(too_long.to_owned()));
    }
}
