//! Backups of several partitions: one moment whatever comes after it, the same
//! at every replica, also one that started from a snapshot in the middle.

#[path = "kv/bus.rs"]
mod bus;
#[path = "kv/resp.rs"]
#[allow(dead_code)]
mod resp;

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::{GroupSet, Service, Timestamp};
use skein_service::kv::{
    Body, Entries, Limits, MAX_BACKUP_IDLE_MS, MAX_BACKUPS, PIECE, Part, Placement, Protocol, Request, Transaction,
};

use bus::{Bus, ask, group};
use resp::{Value, whole};

const FORGOTTEN: &str = "-ERR this backup is forgotten";

fn bus() -> Bus {
    Bus::new(Placement::new(Vec::new(), GroupSet::first(3)).unwrap(), Limits::default())
}

/// A command whose words may be any bytes.
fn tell(bus: &mut Bus, sequence: u64, words: &[&[u8]]) {
    let reply = bus.ask(&Request::command(Protocol::Two, words), sequence * 1_000_000, sequence).unwrap();
    assert!(!reply.starts_with(b"-"), "{}", reply.escape_ascii());
}

fn open(bus: &mut Bus, sequence: u64) -> String {
    let reply = ask(bus, sequence, "SKEIN.BACKUP OPEN");
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let timestamp = format!(":{}", sequence * 1_000_000);
    assert_eq!([lines[0], lines[3], lines[4], lines[5]], ["*4", &timestamp, &format!(":{sequence}"), ":3"], "{reply}");
    lines[2].to_owned()
}

/// One piece, as every replica of the partition reads it, with and without an order.
fn piece(bus: &mut Bus, sequence: u64, name: &str, partition: usize, position: &str) -> (String, Vec<u8>) {
    let line = format!("SKEIN.BACKUP READ {name} {partition} {position}");
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let request = Request::command(Protocol::Two, &words);
    let ordered = bus.ask(&request, sequence * 1_000_000, sequence).unwrap();
    for replica in &bus.replicas[partition] {
        let read = replica.read(Timestamp(sequence * 1_000_000), &request.encode()).0;
        assert!(read == ordered, "{} and {}", read.escape_ascii(), ordered.escape_ascii());
    }
    let Value::Many(_, items) = whole(&ordered) else { panic!("{}", ordered.escape_ascii()) };
    let [Value::Bulk(next), Value::Bulk(bytes)] = &items[..] else { panic!("{items:?}") };
    (String::from_utf8(next.clone()).unwrap(), bytes.clone())
}

/// What a backup says of each key, and the length of its longest piece; `between` happens after each piece.
fn read_all(bus: &mut Bus, name: &str, mut between: impl FnMut(&mut Bus)) -> (BTreeMap<Vec<u8>, String>, usize) {
    let (mut told, mut longest) = (BTreeMap::new(), 0);
    for partition in 0..3 {
        let (mut entries, mut position) = (Entries::new(), "0".to_owned());
        let mut of_key: Option<(Vec<u8>, String)> = None;
        loop {
            let (next, bytes) = piece(bus, 10_000, name, partition, &position);
            longest = longest.max(bytes.len());
            let each = |part: Part<'_>| match part {
                Part::Key { key, .. } => of_key = Some((key.to_vec(), format!("{part:?}"))),
                Part::Bytes(bytes) => of_key.as_mut().unwrap().1 += &String::from_utf8_lossy(bytes),
                Part::End => {
                    let (key, text) = of_key.take().unwrap();
                    assert!(told.insert(key, text).is_none());
                }
                part => of_key.as_mut().unwrap().1 += &format!("{part:?}"),
            };
            entries.read(&bytes, each).unwrap();
            between(bus);
            position = next;
            if position == "0" {
                break;
            }
        }
        assert!(entries.is_between());
    }
    (told, longest)
}

#[test]
fn a_backup_is_of_one_moment_whatever_comes_after_it() {
    let mut bus = bus();
    let long = vec![b'x'; 700];
    for nth in 0..2000u32 {
        tell(&mut bus, 1, &[b"SET", format!("key:{nth}").as_bytes(), &long]);
        tell(&mut bus, 1, &[b"RPUSH", b"list", format!("{nth}").as_bytes(), &long, &long]);
        tell(&mut bus, 1, &[b"HSET", b"hash", format!("{nth}\r\n").as_bytes(), b"\xff\0"]);
        tell(&mut bus, 1, &[b"SADD", b"set", format!("{nth}").as_bytes()]);
    }
    tell(&mut bus, 1, &[b"ZADD", b"sorted", b"-inf", b"a", b"5e-324", b"b", b"0.1", b"\xfe", b"inf", b"d"]);
    tell(&mut bus, 1, &[b"SETRANGE", b"long", b"3000000", b"end"]);
    tell(&mut bus, 1, &[b"SET", b"ends", b"x", b"PXAT", b"77777"]);
    // Its last millisecond is the one before the backup.
    tell(&mut bus, 1, &[b"SET", b"past", b"x", b"PXAT", b"9"]);
    let name = open(&mut bus, 10);
    let (expected, longest) = read_all(&mut bus, &name, |_| ());
    assert!((PIECE..PIECE + 1000).contains(&longest), "{longest}");
    assert_eq!(expected.len(), 2006);
    assert!(!expected.contains_key(&b"past"[..]));
    let sorted = &expected[&b"sorted"[..]];
    assert!(
        ["[98], 5e-324", "[254], 0.1", "[97], -inf", "[100], inf"].iter().all(|text| sorted.contains(text)),
        "{sorted}"
    );
    assert!(expected[&b"ends"[..]].contains("deadline_ms: Some(77777)"));
    assert!(expected[&b"key:7"[..]].contains("deadline_ms: None"));

    let mut round = 0;
    let (again, _) = read_all(&mut bus, &name, |bus| {
        round += 1;
        for key in ["list", "set", "hash", "sorted", "long", "ends", "key:1", "key:2", "key:3"] {
            match round % 3 {
                0 => ask(bus, 9_000, &format!("DEL {key}")),
                1 => ask(bus, 9_000, &format!("SET {key} other")),
                _ => ask(bus, 9_000, &format!("SADD new:{round}:{key} a b")),
            };
        }
        for place in 0..3 {
            bus.restart(place, 1 + round * 1000);
            // And the other way round: each has been somebody who was not there when it was opened.
            bus.replicas[place].swap(0, 1);
        }
    });
    assert!(again == expected, "the backup changes with the store");
    bus.check();
    ask(&mut bus, 10_000, "FLUSHALL");
    assert!(read_all(&mut bus, &name, |_| ()).0 == expected, "the store is empty, and its backup is not");
}

#[test]
fn a_backup_is_forgotten_by_time_and_by_number_and_not_by_cursors() {
    let mut bus = bus();
    ask(&mut bus, 1, "MSET a 1 b 2 c 3 d 4");
    let name = open(&mut bus, 2);
    for sequence in 0..100 {
        ask(&mut bus, 3 + sequence, "SKEIN.RANGE a z LIMIT 1 CURSOR 0");
    }
    let mut now = 2;
    for _ in 0..3 {
        now += MAX_BACKUP_IDLE_MS;
        assert_eq!(ask(&mut bus, now, &format!("SKEIN.BACKUP KEEP {name}")), "+OK\r\n");
        assert_eq!(piece(&mut bus, now, &name, 0, "0").0, "0");
    }
    now += MAX_BACKUP_IDLE_MS + 1;
    for line in ["KEEP", "READ"].map(|word| format!("SKEIN.BACKUP {word} {name}")) {
        let line = if line.contains("READ") { line + " 2 0" } else { line };
        let reply = ask(&mut bus, now, &line);
        assert!(reply.starts_with(FORGOTTEN), "{reply}");
    }
    let names: Vec<String> = (0..=MAX_BACKUPS as u64).map(|nth| open(&mut bus, now + nth)).collect();
    now += 100;
    let keep = |bus: &mut Bus, name: &str| ask(bus, now, &format!("SKEIN.BACKUP KEEP {name}"));
    assert!(keep(&mut bus, &names[0]).starts_with(FORGOTTEN));
    assert!(names[1..].iter().all(|name| keep(&mut bus, name) == "+OK\r\n"));
    for _ in 0..2 {
        assert_eq!(ask(&mut bus, now, &format!("SKEIN.BACKUP CLOSE {}", names[1])), "+OK\r\n");
    }
    assert!(keep(&mut bus, &names[1]).starts_with(FORGOTTEN));
    bus.check();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut bus = bus();
    let name = open(&mut bus, 1);
    let cases = [
        ("SKEIN.BACKUP READ x 0 0".to_owned(), "ERR a backup is named as SKEIN.BACKUP OPEN named it"),
        (format!("SKEIN.BACKUP READ {name} 0 x"), "ERR a position is 0, or what SKEIN.BACKUP READ answered"),
        (format!("SKEIN.BACKUP READ {name} 0 1-0"), "ERR there is no such position in this backup"),
        ("SKEIN.BACKUP KEEP 1-2-3-4".to_owned(), "ERR this backup is forgotten"),
        ("SKEIN.BACKUP".to_owned(), "ERR wrong number of arguments"),
        ("SKEIN.BACKUP NONSENSE".to_owned(), "ERR unknown subcommand 'NONSENSE'"),
    ];
    for (line, why) in cases {
        let reply = ask(&mut bus, 2, &line);
        assert!(reply.starts_with(&format!("-{why}")), "{line}: {reply}");
    }
    for partition in ["3", "-1", "x", "9999999999"] {
        let line = format!("SKEIN.BACKUP READ {name} {partition} 0");
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let refused = bus.router.plan(&Request::command(Protocol::Two, &words)).unwrap_err();
        assert_eq!(refused.line(), b"ERR there is no such partition");
        // Whoever asks a partition all the same is told so there.
        let command = Request::command(Protocol::Two, &words).encode();
        let reply = bus.replicas[0][0].read(Timestamp(1), &command).0;
        assert!(reply.starts_with(b"-ERR there is no such partition"), "{}", reply.escape_ascii());
    }
    let own = group(0);
    let other = format!("SKEIN.BACKUP READ {name} 1 0");
    let words: Vec<&[u8]> = other.split(' ').map(str::as_bytes).collect();
    let reply = bus.apply_at(own, &Request::command(Protocol::Two, &words), 3_000_000, 3);
    assert!(reply.starts_with(b"-ERR there is no such partition"), "{}", reply.escape_ascii());
}

#[test]
fn a_transaction_has_no_backups() {
    let mut bus = bus();
    let name = open(&mut bus, 1);
    let lines = [
        "SKEIN.BACKUP OPEN".to_owned(),
        format!("SKEIN.BACKUP READ {name} 0 0"),
        format!("SKEIN.BACKUP KEEP {name}"),
        format!("SKEIN.BACKUP CLOSE {name}"),
    ];
    let commands = lines.iter().map(|line| line.split(' ').map(str::as_bytes).collect()).collect();
    let body = Body::Transaction(Transaction { watched: Vec::new(), commands });
    let reply = bus.ask(&Request { protocol: Protocol::Two, body }, 2_000_000, 2).unwrap();
    let refused = "-ERR SKEIN.BACKUP is not allowed in transactions\r\n";
    assert_eq!(reply, Bytes::from(format!("*4\r\n{}", refused.repeat(4))));
    assert_eq!(ask(&mut bus, 3, &format!("SKEIN.BACKUP KEEP {name}")), "+OK\r\n");
}

#[test]
fn there_is_one_zero_where_scores_are_kept() {
    // Or ZADD could not bring back what a backup holds. Redis answers the same, of sets that it keeps packed.
    let mut bus = bus();
    ask(&mut bus, 1, "ZADD s 0 a -0 b 1 c");
    ask(&mut bus, 2, "ZUNIONSTORE t 1 s WEIGHTS -1");
    ask(&mut bus, 3, "ZINTERSTORE i 2 s s WEIGHTS -1 -1");
    let (one, two) = (["$1", "c", "$2", "-1"], ["$1", "c", "$2", "-2"]);
    for (key, rest) in [("t", one), ("i", two)] {
        let reply = ask(&mut bus, 4, &format!("ZRANGE {key} 0 -1 WITHSCORES"));
        let lines: Vec<&str> = reply.trim_end().split("\r\n").collect();
        assert_eq!(lines, [&["*6"][..], &rest, &["$1", "a", "$1", "0", "$1", "b", "$1", "0"]].concat());
    }
}
