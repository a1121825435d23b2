//! Several partitions against one: whatever is asked, the replies are the same,
//! and no replica of a partition ever differs from another, even one that
//! started from a snapshot on the way.

#[path = "kv/bus.rs"]
#[allow(dead_code)]
mod bus;
#[path = "kv/resp.rs"]
#[allow(dead_code)]
mod resp;
#[path = "kv/talk.rs"]
#[allow(dead_code)]
mod talk;

use bytes::Bytes;
use proptest::prelude::*;
use skein_machine::{GroupSet, Random, Service, Timestamp};
use skein_service::kv::{
    Body, Division, Limits, MAX_IDLE_MS, MAX_SHARE, Placement, Protocol, Request, Rule, Transaction,
};

use bus::{Bus, ask, group};
use resp::{Line, Value, comparable, escape, whole};
use talk::{FAMILIES, Family, chaos, speak};

fn three() -> Placement {
    let rule = |prefix: &str, number| Rule { prefix: prefix.into(), division: Division::Group(group(number)) };
    let split = Division::Split { groups: vec![group(2), group(0)], points: vec![b"w_c".to_vec()] };
    let rules = vec![rule("k1", 0), rule("k2", 1), rule("k3", 2), Rule { prefix: b"w_".to_vec(), division: split }];
    Placement::new(rules, GroupSet::first(3)).unwrap()
}

fn one() -> Placement {
    Placement::new(Vec::new(), GroupSet::first(1)).unwrap()
}

/// What concerns time, the whole keyspace, and what only this store has.
const OWN: Family = Family {
    name: "own",
    templates: &[
        "SET $k $v",
        "SET $k $v PX 5000",
        "EXPIRE $k 20",
        "SADD $k $m $m",
        "RPUSH $k $m",
        "MSET k1 $v k2 $v k3 $v $k $v",
        "MGET k1 k2 k3 $k lst",
        "DEL $k $k $k",
        "EXISTS k1 k2 k3 k4",
        "DBSIZE",
        "SKEIN.STATS",
        "KEYS *",
        "RENAME $k $k",
        "SUNIONSTORE $k $k $k",
        "SKEIN.RANGE $m z VALUES|_ REV|_ LIMIT~$n|_",
        "SKEIN.RANGE \u{0} $k VALUES|_ REV|_",
        "SKEIN.RANGE k l LIMIT 2|1 CURSOR 0",
        "SKEIN.RANGE k l LIMIT 2|1 VALUES CURSOR 0",
        "SKEIN.RANGE a z LIMIT 1|2|3 REV|_ CURSOR cursor",
        "SKEIN.RANGE k l LIMIT 1|2|3 VALUES|_ CURSOR cursor",
        "SKEIN.RANGE k l LIMIT x CURSOR 0",
        "FLUSHALL",
    ],
};

struct Pair {
    many: Bus,
    one: Bus,
    random: Random,
    timestamp: u64,
    sequence: u64,
    protocol: Protocol,
    cursor: Vec<u8>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let limits = Limits { max_string: 1 << 16, ..Limits::default() };
        Pair {
            many: Bus::new(three(), limits),
            one: Bus::new(one(), limits),
            random: Random::new(seed),
            timestamp: 1_700_000_000_000_000_000,
            sequence: 0,
            protocol: if seed.is_multiple_of(2) { Protocol::Two } else { Protocol::Three },
            cursor: b"0".to_vec(),
        }
    }

    /// A command that both can be asked.
    fn command(&mut self) -> Vec<Vec<u8>> {
        loop {
            let family = match self.random.below(8) {
                0 | 1 => &OWN,
                2 | 3 => return chaos(&mut self.random),
                _ => self.random.pick(FAMILIES),
            };
            let mut args = speak(family, &mut self.random);
            for arg in &mut args {
                if arg == b"cursor" {
                    arg.clone_from(&self.cursor);
                }
            }
            // A walk over partitions has other cursors; it has a test of its own.
            if !args[0].eq_ignore_ascii_case(b"SCAN") {
                return args;
            }
        }
    }

    fn versions(&mut self, keys: &[Vec<u8>]) -> [Vec<u64>; 2] {
        let mut args = vec![b"SKEIN.VERSION".to_vec()];
        args.extend_from_slice(keys);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let request = Request::command(Protocol::Two, &args);
        self.sequence += 1;
        [&mut self.many, &mut self.one].map(|bus| {
            let Value::Many(_, items) = whole(&bus.ask(&request, self.timestamp, self.sequence).unwrap()) else {
                panic!("versions are an array")
            };
            items.iter().map(|item| item.integer().unwrap() as u64).collect()
        })
    }

    fn step(&mut self) {
        self.timestamp += match self.random.below(20) {
            0 => self.random.below(30_000) * 1_000_000,
            1 | 2 => 0,
            _ => self.random.below(50_000_000),
        };
        self.sequence += 1;
        if self.random.below(5) == 0 {
            self.transaction();
        } else {
            self.plain();
        }
        if self.random.below(40) == 0 {
            let (place, about) = (self.random.below(3) as usize, self.random.between(1, 200) as usize);
            self.many.restart(place, about);
            self.one.restart(0, about);
        }
    }

    fn plain(&mut self) {
        let args = self.command();
        let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let request = Request::command(self.protocol, &slices);
        let Some(ours) = self.many.ask(&request, self.timestamp, self.sequence) else { return };
        let theirs = self.one.ask(&request, self.timestamp, self.sequence).expect("one partition can do anything");
        assert_eq!(
            comparable(&args, whole(&ours)),
            comparable(&args, whole(&theirs)),
            "{}: {} and {}",
            Line(&args),
            escape(&ours),
            escape(&theirs)
        );
        if slices.last() == Some(&&self.cursor[..]) && slices.contains(&b"CURSOR".as_slice()) {
            self.cursor = match whole(&ours) {
                Value::Many(_, items) => match &items[0] {
                    Value::Bulk(cursor) => cursor.clone(),
                    other => panic!("{other:?} is no cursor"),
                },
                _ => b"0".to_vec(),
            };
        }
    }

    fn transaction(&mut self) {
        let count = self.random.below(4) as usize + 1;
        let commands: Vec<Vec<Vec<u8>>> = (0..count).map(|_| self.command()).collect();
        let mut watched: Vec<Vec<u8>> = Vec::new();
        for _ in 0..self.random.below(3) {
            watched.push(self.random.pick(&["k1", "k2", "k3", "lst"]).as_bytes().to_vec());
        }
        let mut versions = [Vec::new(), Vec::new()];
        if !watched.is_empty() {
            versions = self.versions(&watched);
            if self.random.below(4) == 0 {
                versions[0][0] += 1;
                versions[1][0] += 1;
            }
            self.sequence += 1;
        }
        let request = |versions: &[u64]| Request {
            protocol: self.protocol,
            body: Body::Transaction(Transaction {
                watched: watched.iter().map(Vec::as_slice).zip(versions.iter().copied()).collect(),
                commands: commands.iter().map(|args| args.iter().map(Vec::as_slice).collect()).collect(),
            }),
        };
        let Some(ours) = self.many.ask(&request(&versions[0]), self.timestamp, self.sequence) else { return };
        let theirs = self.one.ask(&request(&versions[1]), self.timestamp, self.sequence).unwrap();
        let told = |reply: &Bytes| match whole(reply) {
            Value::Many(kind, items) => {
                assert_eq!(items.len(), commands.len());
                let items = items.into_iter().zip(&commands).map(|(item, args)| comparable(args, item));
                Value::Many(kind, items.collect())
            }
            other => other,
        };
        let lines: Vec<String> = commands.iter().map(|args| Line(args).to_string()).collect();
        assert_eq!(told(&ours), told(&theirs), "{}", lines.join("; "));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn several_partitions_answer_as_one(seed: u64) {
        let mut pair = Pair::new(seed);
        for _ in 0..400 {
            pair.step();
        }
        pair.many.check();
        pair.one.check();
    }
}

#[test]
fn a_walk_over_partitions_sees_what_stays() {
    let mut bus = Bus::new(Placement::new(Vec::new(), GroupSet::first(3)).unwrap(), Limits::default());
    let mut sequence = 1;
    for key in 0..300 {
        sequence += 1;
        ask(&mut bus, sequence, &format!("SET stays:{key} v"));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = "0".to_string();
    for round in 0.. {
        sequence += 1;
        let reply = ask(&mut bus, sequence, &format!("SCAN {cursor} COUNT 7 MATCH stays:*"));
        let Value::Many(_, items) = whole(reply.as_bytes()) else { panic!("{reply}") };
        let Value::Many(_, keys) = &items[1] else { panic!("{reply}") };
        seen.extend(keys.iter().map(|key| format!("{key:?}")));
        let Value::Bulk(next) = &items[0] else { panic!("{reply}") };
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
        sequence += 1;
        ask(&mut bus, sequence, &format!("SET comes:{round} v"));
        ask(&mut bus, sequence, &format!("DEL comes:{}", round / 2));
        assert!(round < 200, "the walk has no end");
    }
    assert_eq!(seen.len(), 300);
}

#[test]
fn a_cursor_stays_on_its_snapshot_over_all_partitions() {
    let mut bus = Bus::new(Placement::new(Vec::new(), GroupSet::first(3)).unwrap(), Limits::default());
    for key in 100..150 {
        ask(&mut bus, key, &format!("SET key:{key} old"));
    }
    let mut cursor = "0".to_string();
    let mut keys = Vec::new();
    for round in 0.. {
        let reply = ask(&mut bus, 1000 + round, &format!("SKEIN.RANGE key: key; LIMIT 7 VALUES CURSOR {cursor}"));
        let Value::Many(_, items) = whole(reply.as_bytes()) else { panic!("{reply}") };
        let (Value::Bulk(next), Value::Many(_, page)) = (&items[0], &items[1]) else { panic!("{reply}") };
        keys.extend(page.chunks(2).map(|pair| {
            assert_eq!(pair[1], Value::Bulk(b"old".to_vec()));
            pair[0].clone()
        }));
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
        ask(&mut bus, 1000 + round, &format!("SET key:{} new", 100 + round));
        ask(&mut bus, 1000 + round, &format!("DEL key:{}", 149 - round));
        for place in 0..3 {
            bus.restart(place, 33);
        }
    }
    let expected: Vec<Value> = (100..150).map(|key| Value::Bulk(format!("key:{key}").into_bytes())).collect();
    assert_eq!(keys, expected);
    bus.check();
    let reply = ask(&mut bus, 2000, "SKEIN.RANGE key: key; LIMIT 7 CURSOR 0");
    let cursor = reply.lines().nth(2).unwrap().to_string();
    let reply = ask(&mut bus, 2001 + MAX_IDLE_MS, &format!("SKEIN.RANGE key: key; LIMIT 7 CURSOR {cursor}"));
    assert!(reply.starts_with("-ERR this cursor is forgotten"), "{reply}");
    bus.check();
}

/// Two walks begin in one message, and a partition that only one of them concerns calls that one as the others do.
#[test]
fn cursors_that_begin_together_have_one_name_everywhere() {
    let mut bus = Bus::new(three(), Limits::default());
    ask(&mut bus, 1, "MSET k1a 1 k1b 1 k2a 1 k2b 1 k3a 1");
    let begin = |end: &'static [u8]| {
        Request::command(Protocol::Two, &[b"SKEIN.RANGE", b"k1", end, b"LIMIT", b"1", b"CURSOR", b"0"])
    };
    let row = [begin(b"k1z"), begin(b"k3")];
    let concerned = row.each_ref().map(|request| bus.router.plan(request).unwrap().groups.len());
    assert_eq!(concerned, [1, 3]);
    let replies = bus.ask_in_a_row(&row, 2_000_000, 2).expect("it can be routed");
    for place in 0..3 {
        bus.restart(place, 100);
    }
    let mut pages = Vec::new();
    for (reply, end) in replies.iter().zip(["k1z", "k3"]) {
        let (mut reply, mut seen) = (String::from_utf8_lossy(reply).into_owned(), Vec::new());
        loop {
            let Value::Many(_, page) = whole(reply.as_bytes()) else { panic!("{reply}") };
            let [Value::Bulk(cursor), Value::Many(_, keys)] = &page[..] else { panic!("{reply}") };
            seen.extend(keys.clone());
            if cursor == b"0" {
                break;
            }
            let cursor = String::from_utf8_lossy(cursor).into_owned();
            reply = ask(&mut bus, 3, &format!("SKEIN.RANGE k1 {end} LIMIT 1 CURSOR {cursor}"));
        }
        pages.push(seen.len());
    }
    assert_eq!(pages, [2, 4]);
    bus.check();
}

#[test]
fn a_full_partition_refuses_for_all() {
    let limits = Limits { max_memory: 400, ..Limits::default() };
    let mut bus = Bus::new(three(), limits);
    assert_eq!(ask(&mut bus, 1, &format!("SET k1 {}", "x".repeat(300))), "+OK\r\n");
    let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    for line in ["SET k1 y", "MSET k2 1 k1 2", "MSETNX k2 1 k1 2", "SUNIONSTORE k2 k1 k3"] {
        assert_eq!(ask(&mut bus, 2, line), refused, "{line}");
    }
    assert_eq!(ask(&mut bus, 3, "EXISTS k2"), ":0\r\n", "nothing was half done");
    assert_eq!(ask(&mut bus, 4, "SET k2 fits"), "+OK\r\n", "another partition is not full");
    let mut transaction = |lines: &[&str]| {
        let request = Request {
            protocol: Protocol::Two,
            body: Body::Transaction(Transaction {
                watched: Vec::new(),
                commands: lines.iter().map(|line| line.split(' ').map(str::as_bytes).collect()).collect(),
            }),
        };
        String::from_utf8_lossy(&bus.ask(&request, 5_000_000, 5).unwrap()).into_owned()
    };
    let aborted = refused.replace("-OOM", "-EXECABORT Transaction discarded because of: OOM");
    for lines in [&["SET k2 z", "SET k1 z"][..], &["SET k1 z"]] {
        assert_eq!(transaction(lines), aborted);
    }
    assert_eq!(transaction(&["GET k2", "STRLEN k1", "DEL k1"]), "*3\r\n$4\r\nfits\r\n:300\r\n:1\r\n");
    assert_eq!(ask(&mut bus, 6, "MSET k2 1 k1 2"), "+OK\r\n");
}

#[test]
fn values_that_are_too_large_to_move_move_nowhere() {
    let mut bus = Bus::new(three(), Limits::default());
    ask(&mut bus, 1, &format!("SETRANGE k1 {MAX_SHARE} x"));
    let refused = "-ERR values of more than 64 MiB cannot move between partitions\r\n";
    assert_eq!(ask(&mut bus, 2, "RENAME k1 k2"), refused);
    assert_eq!(ask(&mut bus, 3, "MGET k2 k3"), "*2\r\n$-1\r\n$-1\r\n");
    assert_eq!(ask(&mut bus, 4, "EXISTS k1 k2"), ":1\r\n");
}

/// Collections of thousands move whole, and are read alike by replicas whose trees grew differently.
#[test]
fn large_values_move_between_partitions() {
    let mut bus = Bus::new(three(), Limits::default());
    for nth in 0..2000 {
        let scattered = nth * 7919 % 2000;
        ask(&mut bus, 1, &format!("HSET k1h {scattered} v{nth}"));
        ask(&mut bus, 1, &format!("SADD k1s {scattered}"));
        ask(&mut bus, 1, &format!("ZADD k1z {} {scattered}", nth % 7));
        ask(&mut bus, 1, &format!("RPUSH k1l {scattered}"));
    }
    let reads = ["HGETALL @h", "SMEMBERS @s", "ZRANGE @z 0 -1 WITHSCORES", "LRANGE @l 0 -1", "ZLEXCOUNT @z [3 (7"];
    let read = |bus: &mut Bus, key: &str| reads.map(|line| ask(bus, 2, &line.replace('@', key)));
    let before = read(&mut bus, "k1");
    for (from, to) in [("k1", "k2"), ("k2", "k3"), ("k3", "k1")] {
        for kind in ["h", "s", "z", "l"] {
            assert_eq!(ask(&mut bus, 3, &format!("RENAME {from}{kind} {to}{kind}")), "+OK\r\n");
        }
        for place in 0..3 {
            bus.restart(place, 500);
        }
        assert_eq!(read(&mut bus, to), before);
        ask(&mut bus, 4, &format!("ZADD {to}z 3 x"));
        ask(&mut bus, 4, &format!("ZREM {to}z x"));
    }
    bus.check();
}

#[test]
fn strings_and_work_have_limits() {
    let limits = Limits { max_string: 10, ..Limits::default() };
    let mut bus = Bus::new(three(), limits);
    let refused = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    assert_eq!(ask(&mut bus, 1, "APPEND k1 0123456789"), ":10\r\n");
    assert_eq!(ask(&mut bus, 2, "APPEND k1 x"), refused);
    assert_eq!(ask(&mut bus, 3, "SETRANGE k1 10 x"), refused);
    assert_eq!(ask(&mut bus, 4, "SETBIT k1 80 1"), "-ERR bit offset is not an integer or out of range\r\n");
    assert_eq!(ask(&mut bus, 5, "BITFIELD k1 SET u8 79 1"), "-ERR bit offset is not an integer or out of range\r\n");
    let mut bus = Bus::new(three(), Limits::default());
    ask(&mut bus, 6, "SETRANGE k1 5000 x");
    ask(&mut bus, 7, "SETRANGE k2 5000 x");
    let refused = "-ERR Insufficient memory, failed allocating transient memory for LCS\r\n";
    assert_eq!(ask(&mut bus, 8, "LCS k1 k2"), refused);
    ask(&mut bus, 9, "SADD s a");
    assert_eq!(ask(&mut bus, 10, "SRANDMEMBER s -1048577"), "-ERR value is out of range\r\n");
    assert!(ask(&mut bus, 11, "SRANDMEMBER s -1048576").starts_with("*1048576\r\n"));
}

#[test]
fn a_page_has_an_end_though_nobody_asked_for_one() {
    let mut bus = Bus::new(Placement::new(Vec::new(), GroupSet::first(3)).unwrap(), Limits::default());
    for key in 0..1100 {
        ask(&mut bus, 1, &format!("SET key:{key} v"));
    }
    let reply = ask(&mut bus, 2, "SKEIN.RANGE a z CURSOR 0");
    let Value::Many(_, items) = whole(reply.as_bytes()) else { panic!("{reply}") };
    assert!(matches!(&items[1], Value::Many(_, page) if page.len() == 1000));
    assert!(ask(&mut bus, 3, "SKEIN.RANGE a z").starts_with("*1100\r\n"));
}

#[test]
fn reads_change_nothing_and_need_no_order() {
    let mut bus = Bus::new(three(), Limits::default());
    ask(&mut bus, 1, "MSET k1 a k2 b");
    ask(&mut bus, 2, "PEXPIRE k1 10");
    let read = |bus: &Bus, place: usize, now_ms: u64, line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let query = Request::command(Protocol::Two, &args).encode();
        let kv = &bus.replicas[place][0];
        String::from_utf8_lossy(&kv.read(Timestamp(now_ms * 1_000_000), &query).0).into_owned()
    };
    assert_eq!(read(&bus, 0, 12, "GET k1"), "$1\r\na\r\n");
    assert_eq!(read(&bus, 0, 13, "GET k1"), "$-1\r\n");
    assert_eq!(read(&bus, 1, 13, "MGET k1 k2"), "*1\r\n$1\r\nb\r\n", "its part");
    assert!(read(&bus, 0, 13, "SET k1 x").starts_with("-ERR a command that writes"));
    assert!(read(&bus, 0, 13, "GET k2").starts_with("-ERR this partition alone"));
    assert!(read(&bus, 0, 13, "SINTER k1 k2").starts_with("-ERR this partition alone"));
    assert!(read(&bus, 0, 13, "SKEIN.RANGE a b CURSOR 0").starts_with("-ERR a command that writes"));
    assert_eq!(bus.replicas[0][0].keys(), 1, "a read takes nothing away");
    bus.check();
}
