//! Backups as an operator makes them: of a store of three groups that goes on
//! meanwhile, brought back into stores of other shapes, with nodes that die in
//! the middle.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::place::{Place, signal};
use super::ports;
use super::redis::{Redis, Reply, array, bulk, ok};

/// What the two keys that money goes between hold together.
const SUM: i64 = 1_000_000;

/// Far from now.
const DEADLINE_MS: &[u8] = b"4102444800123";

/// These groups over these nodes, or each at the one that stands behind its name, and where clients find the store.
fn place(name: &str, nodes: &[&str], groups: &[&str], more: &str) -> (Place, Vec<String>) {
    let free: Vec<_> = (0..2 * nodes.len()).map(|_| ports::free()).collect();
    let address = |nth: usize| free[nth].to_string();
    let mut config = format!("cluster = \"00000000000000ae\"\ndata = \"data\"\nstorage = \"async\"\n{more}\n");
    for (nth, node) in nodes.iter().enumerate() {
        let (own, redis) = (address(nth), address(nth + nodes.len()));
        config += &format!("[nodes.{node}]\naddress = \"{own}\"\nredis = \"{redis}\"\n");
    }
    for group in groups {
        let (group, replicas) =
            group.split_once('@').map_or((*group, nodes.to_vec()), |(group, node)| (group, vec![node]));
        config += &format!("[[groups]]\nname = \"{group}\"\nreplicas = {replicas:?}\n");
    }
    let addresses = (nodes.len()..2 * nodes.len()).map(address).collect();
    let mut place = Place::with(&format!("backup-{name}"), &config);
    nodes.iter().for_each(|node| place.start("skein.toml", node, &[]));
    (place, addresses)
}

fn three(name: &str) -> (Place, Vec<String>) {
    place(name, &["a", "b", "c"], &["x", "y", "z"], "[store]")
}

/// `skein backup` at this place.
fn backup(place: &Place, words: &[&str]) -> Command {
    let mut command = place.skein(&["backup", "--config", "skein.toml"]);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command said, and how it ended.
fn told(output: &Output) -> (i32, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code().unwrap(), text)
}

fn run(place: &Place, words: &[&str]) -> (i32, String) {
    told(&backup(place, words).output().unwrap())
}

/// Commands that make keys of every kind in all partitions, and the keys.
fn contents() -> (Vec<Vec<Vec<u8>>>, Vec<Vec<u8>>) {
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    let (mut commands, mut keys) = (Vec::new(), Vec::new());
    let mut make = |key: &[u8], command: Vec<Vec<u8>>| {
        if keys.last().map(Vec::as_slice) != Some(key) {
            keys.push(key.to_vec());
        }
        commands.push(command);
    };
    for nth in 0..300 {
        let key = format!("user:{nth}").into_bytes();
        make(&key, words(&[b"SET", &key, format!("{nth}").as_bytes()]));
    }
    let odd: &[u8] = b"\xff\0 \r\n*1\r\n";
    make(odd, words(&[b"SET", odd, b"\0\xfe\r\n$5\r\n"]));
    make(b"", words(&[b"SET", b"", b""]));
    make(b"number", words(&[b"SET", b"number", b"007"]));
    make(b"long", words(&[b"SETRANGE", b"long", b"2500000", b"\xffend"]));
    for nth in 0..40u32 {
        let items: Vec<Vec<u8>> = (0..60).map(|item| format!("{}", (nth * 60 + item) % 97).into_bytes()).collect();
        make(b"list", [words(&[b"RPUSH", b"list"]), items.clone()].concat());
        let pairs = items.iter().flat_map(|item| [[b"f", &item[..], &[nth as u8]].concat(), odd.to_vec()]);
        make(b"hash", [words(&[b"HSET", b"hash"]), pairs.collect()].concat());
        make(b"set", [words(&[b"SADD", b"set", odd]), items].concat());
    }
    for (score, member) in
        [("-inf", "a"), ("inf", "b"), ("0.1", "c"), ("5e-324", "d"), ("-1.7976931348623157e308", "e"), ("0", "f")]
    {
        make(b"sorted", words(&[b"ZADD", b"sorted", score.as_bytes(), member.as_bytes()]));
    }
    for key in [&b"user:7"[..], b"list", b"long"] {
        commands.push(words(&[b"PEXPIREAT", key, DEADLINE_MS]));
    }
    keys.sort();
    keys.dedup();
    (commands, keys)
}

fn fill(redis: &mut Redis) -> Vec<Vec<u8>> {
    let (commands, keys) = contents();
    for command in &commands {
        let reply = redis.ask(command);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }
    keys
}

/// Everything that can be seen of each of these keys.
fn seen(redis: &mut Redis, keys: &[Vec<u8>]) -> Vec<(Reply, Reply, Reply, Reply)> {
    let sorted = |reply: Reply, width: usize| match reply {
        Reply::Array(items) => {
            let mut groups: Vec<String> = items.chunks(width).map(|group| format!("{group:?}")).collect();
            groups.sort();
            Reply::Line(groups.join(" "))
        }
        other => other,
    };
    let each = |key: &Vec<u8>| {
        let key = &key[..];
        let kind = redis.ask::<&[u8]>(&[b"TYPE", key]);
        let Reply::Line(name) = &kind else { panic!("{kind:?}") };
        let value = match name.as_str() {
            "string" => redis.ask::<&[u8]>(&[b"GET", key]),
            "list" => redis.ask::<&[u8]>(&[b"LRANGE", key, b"0", b"-1"]),
            "hash" => sorted(redis.ask::<&[u8]>(&[b"HGETALL", key]), 2),
            "set" => sorted(redis.ask::<&[u8]>(&[b"SMEMBERS", key]), 1),
            "zset" => redis.ask::<&[u8]>(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
            other => panic!("{key:?} is {other}"),
        };
        let (encoding, ends) =
            (redis.ask::<&[u8]>(&[b"OBJECT", b"ENCODING", key]), redis.ask::<&[u8]>(&[b"PEXPIRETIME", key]));
        (kind, value, encoding, ends)
    };
    keys.iter().map(each).collect()
}

/// Moves money between two keys of different partitions until it is told to stop; how often it did.
fn transfer(address: &str, stop: &AtomicBool) -> u64 {
    let mut redis = Redis::connect(address);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let amount = (count % 17 + 1).to_string();
        let (from, to) = if count % 2 == 0 { ("account:1", "account:2") } else { ("account:2", "account:1") };
        for words in [&["MULTI"][..], &["DECRBY", from, &amount], &["INCRBY", to, &amount], &["EXEC"]] {
            redis.say(words).unwrap();
        }
        let replies = [(); 4].map(|()| redis.hear().unwrap());
        assert!(matches!(replies[3], Reply::Array(_)), "{replies:?}");
        count += 1;
    }
    count
}

fn number(reply: &Reply) -> i64 {
    let Reply::Bulk(text) = reply else { panic!("{reply:?} is no number") };
    text.parse().unwrap()
}

#[test]
fn a_store_is_brought_back_into_any_shape() {
    let (source, addresses) = three("shapes");
    let mut redis = Redis::connect(&addresses[0]);
    let mut keys = fill(&mut redis);
    let half = (SUM / 2).to_string();
    assert_eq!(redis.ask(&["MSET", "account:1", &half, "account:2", &half]), ok());
    let homes: Vec<Reply> = ["account:1", "account:2"].map(|key| redis.ask(&["SKEIN.WHERE", key])).to_vec();
    assert!(homes[0] != homes[1], "the money goes between partitions");

    // A backup while money moves, and writers change what is copied.
    let stop = Arc::new(AtomicBool::new(false));
    let movers: Vec<_> = addresses
        .iter()
        .map(|address| {
            let (address, stop) = (address.clone(), stop.clone());
            thread::spawn(move || transfer(&address, &stop))
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    let (code, text) = run(&source, &["create", "backups", "--name", "moving", "--json"]);
    stop.store(true, Ordering::Relaxed);
    let moved: u64 = movers.into_iter().map(|mover| mover.join().unwrap()).sum();
    assert_eq!(code, 0, "{text}");
    assert!(moved > 10, "{moved}");
    let fields = ["\"kind\":\"backup\"", "\"cluster\":\"00000000000000ae\"", "\"partitions\":3", "\"timestamp\":"];
    assert!(fields.iter().all(|field| text.contains(field)), "{text}");
    keys.extend(["account:1", "account:2"].map(|key| key.as_bytes().to_vec()));
    assert!(text.contains(&format!("\"keys\":{},", keys.len())), "{text}");

    // What the backup holds is what was there, but for the accounts, which were at some moment.
    let folder = source.folder.join("backups/moving").display().to_string();
    let (code, text) = run(&source, &["verify", "backups/moving"]);
    assert!(code == 0 && text.contains("backups/moving: sound, "), "{text}");
    let before = seen(&mut redis, &keys);
    let without_accounts = keys.len() - 2;

    let placement = "[store]\n[[store.placement]]\nprefix = \"user:\"\nsplit = [\"four\", \"two\"]\n\
                     points = [\"user:2\"]\n[[store.placement]]\nprefix = \"l\"\ngroup = \"five\"";
    let shapes: [(&str, &[&str], &str); 2] =
        [("one", &["alone"], "[store]"), ("five", &["one", "two", "three", "four", "five"], placement)];
    for (name, groups, store) in shapes {
        let (target, addresses) = place(name, &["a"], groups, store);
        let (code, text) = run(&target, &["restore", &folder]);
        assert!(code == 0 && text.contains(&format!("{0} keys restored; the store has {0} now", keys.len())), "{text}");
        let mut redis = Redis::connect(&addresses[0]);
        let after = seen(&mut redis, &keys);
        for (key, (was, is)) in keys.iter().zip(before.iter().zip(&after)).take(without_accounts) {
            assert!(was == is, "{}: {was:?} and {is:?}", key.escape_ascii());
        }
        let accounts = ["account:1", "account:2"].map(|key| number(&redis.ask(&["GET", key])));
        assert_eq!(accounts[0] + accounts[1], SUM, "{accounts:?}");
        assert_eq!(redis.ask(&["DBSIZE"]), Reply::Number(keys.len() as i64));

        // Nothing is overwritten unasked; and then what the backup has, and nothing else.
        let (code, text) = run(&target, &["restore", &folder]);
        assert!(code == 2 && text.contains("the store is not empty") && text.contains("--replace"), "{text}");
        assert_eq!(redis.ask(&["MSET", "own", "stays", "list", "is no list"]), ok());
        assert_eq!(redis.ask(&["RPUSH", "set2", "x"]), Reply::Number(1));
        assert_eq!(redis.ask(&["SADD", "hash2", "x"]), Reply::Number(1));
        assert_eq!(redis.ask(&["HSET", "hash", "other", "field"]), Reply::Number(1));
        assert_eq!(redis.ask(&["PERSIST", "user:7"]), Reply::Number(1));
        assert_eq!(redis.ask(&["EXPIRE", "user:8", "1000"]), Reply::Number(1));
        let (code, text) = run(&target, &["restore", &folder, "--replace", "--json"]);
        let size = keys.len() + 3;
        assert!(code == 0 && text.contains(&format!("\"store_keys\":{size}}}")), "{text}");
        assert!(seen(&mut redis, &keys)[..without_accounts] == before[..without_accounts]);
        assert_eq!(redis.ask(&["GET", "own"]), bulk("stays"));
    }
}

#[test]
fn mistakes_and_damage_are_told_and_change_nothing() {
    let (place, addresses) = place("mistakes", &["a"], &["x", "y"], "[store]");
    let mut redis = Redis::connect(&addresses[0]);
    assert_eq!(redis.ask(&["MSET", "a", "1", "b", "2", "c", "3"]), ok());
    assert_eq!(redis.ask(&["PSETEX", "soon", "1500", "gone"]), ok());
    let soon = Instant::now() + Duration::from_millis(1600);
    let (code, text) = run(&place, &["create", "new/folder", "--name", "first"]);
    assert!(code == 0 && text.contains("new/folder/first: 4 keys, "), "{text}");
    let (code, text) = run(&place, &["create", "new/folder"]);
    assert!(code == 0 && text.contains("new/folder/20"), "{text}");
    // The store holds none of them any longer: both were closed.
    let Reply::Array(opened) = redis.ask(&["SKEIN.BACKUP", "OPEN"]) else { panic!() };
    let Reply::Bulk(name) = &opened[0] else { panic!() };
    assert_eq!(redis.ask(&["SKEIN.BACKUP", "CLOSE", name]), ok());

    let (code, text) = run(&place, &["create", "new/folder", "--name", "first"]);
    assert!(code == 2 && text.contains("new/folder/first is there already: give another --name"), "{text}");
    let (code, text) = run(&place, &["create", "new/folder", "--name", "../first"]);
    assert!(code == 2 && text.contains("is no name for a backup"), "{text}");
    let (code, text) = run(&place, &["verify", "new/folder"]);
    assert!(code == 2 && text.contains("new/folder is no backup: it has no manifest.json"), "{text}");
    let (code, text) = run(&place, &["restore", "nowhere"]);
    assert!(code == 2 && text.contains("nowhere is no backup"), "{text}");

    fs::create_dir(place.folder.join("new/folder/.second.00.unfinished")).unwrap();
    fs::create_dir(place.folder.join("new/folder/something else")).unwrap();
    let (code, text) = run(&place, &["list", "new/folder"]);
    let rows: Vec<&str> = text.lines().collect();
    assert!(code == 0 && rows.len() == 4, "{text}");
    assert!(rows[0].starts_with("name ") && rows[1].starts_with("20") && rows[2].starts_with("first "), "{text}");
    assert!(rows[3].starts_with(".second.00.unfinished: not finished"), "{text}");
    let (_, text) = run(&place, &["list", "new/folder", "--json"]);
    assert_eq!(text.matches("\"kind\":\"backup\"").count(), 2, "{text}");

    // Past its deadline by now: it is in the backup, and comes back to nobody.
    thread::sleep(soon.saturating_duration_since(Instant::now()));
    assert_eq!(redis.ask(&["FLUSHALL"]), ok());
    let (code, text) = run(&place, &["restore", "new/folder/first"]);
    assert!(code == 0 && text.contains("4 keys restored; the store has 3 now"), "{text}");
    assert!(text.contains("keys whose deadline has passed since are gone"), "{text}");
    assert_eq!(redis.ask(&["MGET", "a", "b", "c", "soon"]), array([bulk("1"), bulk("2"), bulk("3"), Reply::Null]));

    let file = place.folder.join("new/folder/first/partition-1.data");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let at = last - 15;
    let (code, text) = run(&place, &["verify", "new/folder/first"]);
    let why = format!("partition-1.data: damaged at byte {at}: a record does not match its checksum");
    assert!(code == 1 && text.contains(&why), "{text}");
    let (code, text) = run(&place, &["verify", "new/folder/first", "--json"]);
    assert!(code == 1 && text.contains(&format!("\"file\":\"partition-1.data\",\"offset\":{at},")), "{text}");
    assert!(text.contains("{\"kind\":\"summary\",\"path\":\"new/folder/first\",\"sound\":false,"), "{text}");
    let (code, text) = run(&place, &["restore", "new/folder/first", "--replace"]);
    assert!(code == 1 && text.contains(&why) && text.contains("nothing was restored"), "{text}");
    fs::write(place.folder.join("new/folder/first/manifest.json"), "{}").unwrap();
    let (code, text) = run(&place, &["list", "new/folder"]);
    assert!(code == 1 && text.contains("first: manifest.json: damaged at byte 0"), "{text}");
}

#[test]
fn a_node_that_holds_none_of_it_copies_it_too() {
    let store = "[store]\n[[store.placement]]\nprefix = \"\"\ngroup = \"y\"";
    let (place, addresses) = place("elsewhere", &["a", "b"], &["x@a", "y@b"], store);
    let mut redis = Redis::connect(&addresses[0]);
    let keys = fill(&mut redis);
    let before = seen(&mut redis, &keys);
    let (code, text) = run(&place, &["create", "backups", "--name", "all", "--address", &addresses[0]]);
    assert!(code == 0 && text.contains(&format!(": {} keys, ", keys.len())), "{text}");
    assert_eq!(redis.ask(&["FLUSHALL"]), ok());
    let (code, text) = run(&place, &["restore", "backups/all"]);
    assert!(code == 0, "{text}");
    assert!(seen(&mut redis, &keys) == before);
}

#[test]
fn only_who_may_makes_backups() {
    let users = "[store]\n[[store.users]]\nname = \"default\"\nrules = \"on >open ~* +@all -@dangerous\"\n\
                 [[store.users]]\nname = \"keeper\"\nrules = \"on >k +skein.backup +skein.session\"";
    let (place, _) = place("users", &["a"], &["x"], users);
    let ask = |words: &[&str]| told(&backup(&place, words).env("SKEIN_PASSWORD", words[1]).output().unwrap());
    let (code, text) = ask(&["--password", "open", "create", "there"]);
    assert!(code == 2 && text.contains("NOPERM this user has no permissions"), "{text}");
    let (code, text) = ask(&["--password", "k", "--user", "keeper", "create", "there"]);
    assert!(code == 0 && text.contains(": 0 keys, "), "{text}");
    let (code, text) = run(&place, &["create", "there"]);
    assert!(code == 2 && text.contains("NOAUTH"), "{text}");
}

/// Waits for something in the folder of the place, and stops the process that makes it right there.
fn stop_when(child: &Child, is_there: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_there() {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing happens");
        thread::sleep(Duration::from_millis(2));
    }
    signal("STOP", child);
}

/// Many keys, and lists whose items come in order.
fn fill_with_much(addresses: &[String], rounds: usize) {
    let mut redis = Redis::connect(&addresses[0]);
    let value = "v".repeat(2000);
    for round in 0..rounds {
        for nth in 0..200 {
            redis.say(&["SET", &format!("key:{round}:{nth}"), &value]).unwrap();
        }
        let item = format!("{round}:{value}");
        for nth in 0..20 {
            redis.say(&["RPUSH", &format!("list:{nth}"), &item, &value, &item]).unwrap();
        }
        for _ in 0..220 {
            let reply = redis.hear().unwrap();
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        }
    }
}

/// A list from whichever node answers.
fn list(addresses: &[String], key: &str) -> Vec<Reply> {
    let begin = Instant::now();
    loop {
        for address in addresses {
            let Ok(mut redis) = Redis::try_connect(address) else { continue };
            let said = redis.say(&["LRANGE", key, "0", "-1"]);
            if let Ok(Reply::Array(items)) = said.and_then(|()| redis.hear()) {
                return items;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_node_dies_in_the_middle_of_a_backup_and_of_a_restore() {
    let (mut source, addresses) = three("dies");
    fill_with_much(&addresses, 60);
    let backups: PathBuf = source.folder.join("backups");
    let child = backup(&source, &["create", "backups", "--name", "through"]).spawn().unwrap();
    // It has begun to copy, from the first node that there is.
    stop_when(&child, || {
        let entries = fs::read_dir(&backups).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.filter_map(|folder| fs::metadata(folder.join("partition-0.data")).ok()).any(|file| file.len() > 1000)
    });
    assert!(!backups.join("through").exists(), "it was too fast for this test");
    source.kill("a");
    signal("CONT", &child);
    let mut others = Redis::connect(&addresses[1]);
    let _ = others.ask(&["SET", "key:0:0", "changed meanwhile"]);
    let (code, text) = told(&child.wait_with_output().unwrap());
    assert!(code == 0 && text.contains("12,020 keys"), "{text}");
    let (code, text) = run(&source, &["verify", "backups/through"]);
    assert!(code == 0, "{text}");
    assert_eq!(fs::read_dir(&backups).unwrap().count(), 1, "nothing else is left there");

    let expected: Vec<Vec<Reply>> = (0..20).map(|nth| list(&addresses[1..], &format!("list:{nth}"))).collect();
    assert_eq!(expected[0].len(), 180);
    ["b", "c"].into_iter().for_each(|node| source.kill(node));

    let (mut target, addresses) = three("dies-again");
    let folder = backups.join("through").display().to_string();
    let child = backup(&target, &["restore", &folder]).spawn().unwrap();
    let is_restoring = || {
        let Ok(mut redis) = Redis::try_connect(&addresses[2]) else { return false };
        matches!(redis.say(&["DBSIZE"]).and_then(|()| redis.hear()), Ok(Reply::Number(1..)))
    };
    stop_when(&child, is_restoring);
    target.kill("a");
    signal("CONT", &child);
    let (code, text) = told(&child.wait_with_output().unwrap());
    assert!(code == 0 && text.contains("12,020 keys restored; the store has 12,020 now"), "{text}");
    for (nth, expected) in expected.iter().enumerate() {
        assert!(list(&addresses[1..], &format!("list:{nth}")) == *expected, "list:{nth} is another");
    }
}

/// A way to a node on which answers are lost: every other connection breaks when its first transaction was passed on,
/// the others at their third; and how many were lost.
fn lossy_way(to: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap().to_string(), to.to_owned());
    let lost = Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
            let is_mute = Arc::new(AtomicBool::new(false));
            let (mut answers, mut back, mute) =
                (server.try_clone().unwrap(), client.try_clone().unwrap(), is_mute.clone());
            thread::spawn(move || {
                let mut bytes = [0; 1 << 16];
                while let Ok(length @ 1..) = answers.read(&mut bytes) {
                    if mute.load(Ordering::SeqCst) || back.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            });
            let lost = lost.clone();
            thread::spawn(move || {
                let (mut seen, mut done, mut bytes) = (Vec::new(), 0, [0; 1 << 16]);
                while let Ok(length @ 1..) = client.read(&mut bytes) {
                    seen.extend_from_slice(&bytes[..length]);
                    let more = seen.windows(14).filter(|bytes| bytes == b"*1\r\n$4\r\nEXEC\r\n").count();
                    seen.drain(..seen.len().saturating_sub(13));
                    done += more;
                    let is_last = done > nth % 2 * 2;
                    is_mute.store(is_last, Ordering::SeqCst);
                    if server.write_all(&bytes[..length]).is_err() || is_last {
                        break;
                    }
                }
                if is_mute.load(Ordering::SeqCst) {
                    lost.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(300));
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    (address, count)
}

#[test]
fn an_answer_that_is_lost_makes_nothing_happen_twice() {
    let (place, addresses) = place("lost", &["a"], &["x", "y"], "[store]");
    fill_with_much(&addresses, 20);
    let lists = || (0..20).map(|nth| list(&addresses, &format!("list:{nth}"))).collect::<Vec<_>>();
    let expected = lists();
    assert_eq!(run(&place, &["create", "backups", "--name", "all"]).0, 0);
    assert_eq!(Redis::connect(&addresses[0]).ask(&["FLUSHALL"]), ok());
    let (way, lost) = lossy_way(&addresses[0]);
    let (code, text) = run(&place, &["restore", "backups/all", "--address", &way]);
    assert!(code == 0 && text.contains("4,020 keys restored; the store has 4,020 now"), "{text}");
    assert!(lost.load(Ordering::SeqCst) > 5, "{lost:?} answers were lost");
    assert!(lists() == expected, "items came twice");
}
