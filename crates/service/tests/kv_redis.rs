//! The store against a real Redis. The conversations in `tests/kv/*.resp` were
//! held with Redis 7.0.15 and are held again with the store, which must say the
//! same.
//!
//! `UPDATE=1 REDIS=127.0.0.1:6379 cargo test --test kv_redis` records them anew
//! (it empties that server), and `SEEDS=100 REDIS=… cargo test --test kv_redis`
//! holds new ones with both.

#[path = "kv/resp.rs"]
mod resp;
#[path = "kv/talk.rs"]
mod talk;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use skein_machine::{Call, GroupId, GroupSet, MessageId, Random, Service, Shares, Stamp, Timestamp};
use skein_service::kv::{Body, Kv, Limits, Placement, Protocol, Request, Transaction, check, table};

use resp::{Line, Value, comparable, escape, unescape, whole};
use talk::{FAMILIES, chaos, speak};

/// Commands of one recorded conversation, and recorded conversations of a family in each protocol.
const COMMANDS: usize = 220;

/// By how much times may differ that two servers tell, one after the other.
const TOLERANCE_MS: i64 = 50;

/// A store of one partition that is talked to.
struct Store {
    kv: Kv,
    sequence: u64,
    queue: Option<Vec<Vec<Vec<u8>>>>,
}

impl Store {
    fn new() -> Store {
        let placement = Placement::new(Vec::new(), GroupSet::first(1)).unwrap();
        Store {
            kv: Kv::new(GroupId::new(0).unwrap(), Arc::new(placement), Limits::default()),
            sequence: 0,
            queue: None,
        }
    }

    /// What stands between MULTI and EXEC is kept until then, as the face of a client does.
    fn ask(&mut self, protocol: Protocol, args: &[Vec<u8>], now_ms: u64) -> Bytes {
        match (&mut self.queue, args[0].as_slice()) {
            (None, b"MULTI") => {
                self.queue = Some(Vec::new());
                return Bytes::from_static(b"+OK\r\n");
            }
            (Some(queue), word) if word != b"EXEC" => {
                queue.push(args.to_vec());
                return Bytes::from_static(b"+QUEUED\r\n");
            }
            _ => {}
        }
        let queue = self.queue.take();
        let body = match &queue {
            None => Body::Command(args.iter().map(Vec::as_slice).collect()),
            Some(queue) => {
                let commands = queue.iter().map(|args| args.iter().map(Vec::as_slice).collect()).collect();
                Body::Transaction(Transaction { watched: Vec::new(), commands })
            }
        };
        let command = Request { protocol, body }.encode();
        self.sequence += 1;
        let stamp = Stamp { timestamp: Timestamp(now_ms * 1_000_000), id: MessageId::new(1, self.sequence, 1) };
        let call = Call { stamp, nth: 0, group: GroupId::new(0).unwrap(), command: &command };
        self.kv.apply(&call, &Shares::none()).0
    }
}

/// A real server.
struct Redis {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Redis {
    fn connect(address: &str, protocol: Protocol) -> Redis {
        let stream = TcpStream::connect(address).expect("REDIS is the address of a server");
        stream.set_nodelay(true).unwrap();
        let mut redis = Redis { stream, buffer: Vec::new() };
        if protocol == Protocol::Three {
            redis.ask(&words("HELLO 3"));
        }
        redis.ask(&words("FLUSHALL"));
        redis
    }

    fn ask(&mut self, args: &[Vec<u8>]) -> Vec<u8> {
        let mut message = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            write!(message, "${}\r\n", arg.len()).unwrap();
            message.extend_from_slice(arg);
            message.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&message).unwrap();
        loop {
            if let Some((_, rest)) = resp::parse(&self.buffer) {
                let length = self.buffer.len() - rest.len();
                return self.buffer.drain(..length).collect();
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the server hung up");
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(unescape).collect()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Whether two replies to a command say the same.
fn agree(args: &[Vec<u8>], theirs: &[u8], ours: &[u8]) -> bool {
    let (theirs, ours) = (whole(theirs), whole(ours));
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    if let (true, Some(theirs), Some(ours)) =
        (name.contains("TTL") || name.contains("TIME"), theirs.integer(), ours.integer())
        && theirs > 0
    {
        return (theirs - ours).abs() <= if name.starts_with('P') { TOLERANCE_MS } else { 1 };
    }
    if let (Value::Line(theirs), Value::Line(ours)) = (&theirs, &ours)
        && theirs.starts_with('-')
    {
        return theirs == ours;
    }
    comparable(args, theirs) == comparable(args, ours)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/kv")
}

fn protocol_of(digit: &str) -> Protocol {
    if digit == "3" { Protocol::Three } else { Protocol::Two }
}

/// Holds a conversation with the store that was held with Redis.
fn replay(name: &str, text: &str) -> Vec<String> {
    let mut store = Store::new();
    let (mut protocol, mut time_ms) = (Protocol::Two, 0);
    let mut args = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (kind, rest) = line.split_at(1);
        match kind {
            "#" => {}
            "=" => {
                protocol = protocol_of(rest);
                store = Store::new();
            }
            "@" => time_ms = rest.parse().expect("a time"),
            ">" => args = words(rest),
            "<" => {
                let (theirs, ours) = (unescape(rest), store.ask(protocol, &args, time_ms));
                if !agree(&args, &theirs, &ours) {
                    wrong.push(format!(
                        "{name}:{}: {}\n  redis {}\n  skein {}",
                        number + 1,
                        Line(&args),
                        rest,
                        escape(&ours)
                    ));
                }
            }
            _ => panic!("{name}:{}: {line}", number + 1),
        }
    }
    wrong
}

#[test]
fn says_what_redis_said() {
    if let (Ok(address), Ok(_)) = (std::env::var("REDIS"), std::env::var("UPDATE")) {
        record(&address);
    }
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "resp"));
    assert!(files.len() > FAMILIES.len(), "a conversation for each family, and one of special cases");
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        wrong.extend(replay(&name, &std::fs::read_to_string(&file).unwrap()));
    }
    assert!(wrong.is_empty(), "{} replies differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

const COMMAND_LINES: &str = "COMMAND INFO object|encoding nothing OBJECT|help object|nothing
    COMMAND DOCS nothing
    COMMAND DOCS sort
    COMMAND DOCS bitfield
    COMMAND DOCS zunionstore
    COMMAND DOCS lmove
    COMMAND DOCS object|freq
    COMMAND DOCS hrandfield
    COMMAND LIST FILTERBY PATTERN zunion*
    COMMAND LIST FILTERBY ACLCAT bitmap
    COMMAND LIST FILTERBY ACLCAT nothing
    COMMAND LIST FILTERBY MODULE nothing
    COMMAND LIST NOTHING
    COMMAND NOTHING
    COMMAND HELP
    COMMAND COUNT nothing
    COMMAND GETKEYS GET a
    COMMAND GETKEYS
    COMMAND GETKEYS GET
    COMMAND GETKEYS GET a b
    COMMAND GETKEYS DBSIZE x
    COMMAND GETKEYS PING x
    COMMAND GETKEYS NOTHING x
    COMMAND GETKEYS MSET a 1 b 2
    COMMAND GETKEYS ZUNIONSTORE d 2 a b
    COMMAND GETKEYS LMPOP 2 a b LEFT
    COMMAND GETKEYS SORT a STORE b
    COMMAND GETKEYS OBJECT ENCODING a
    COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 2 a b
    COMMAND GETKEYSANDFLAGS BITOP AND d a b";

fn record(address: &str) {
    let write = |name: &str, conversations: Vec<(u8, Vec<Vec<Vec<u8>>>)>| {
        let mut text = String::from("# Held with Redis 7.0.15.\n");
        for (protocol, commands) in conversations {
            writeln!(text, "={protocol}").unwrap();
            let mut redis = Redis::connect(address, protocol_of(&protocol.to_string()));
            let mut last_ms = 0;
            for args in commands {
                let time_ms = now_ms();
                if time_ms != last_ms {
                    writeln!(text, "@{time_ms}").unwrap();
                    last_ms = time_ms;
                }
                let reply = redis.ask(&args);
                writeln!(text, ">{}\n<{}", Line(&args), escape(&reply)).unwrap();
            }
        }
        std::fs::write(folder().join(format!("{name}.resp")), text).unwrap();
    };
    for (place, family) in FAMILIES.iter().enumerate() {
        let commands = |seed: u64| {
            let mut random = Random::new(seed);
            (0..COMMANDS).map(|_| speak(family, &mut random)).collect()
        };
        write(family.name, vec![(2, commands(place as u64)), (3, commands(1000 + place as u64))]);
    }
    // How containers order what they contain, and notes on what these do with keys, are not told the same way.
    let noted = ["sort", "sort_ro", "set", "getex", "bitfield"];
    let same = |command: &&table::Command| command.subcommands.is_empty() && !noted.contains(&command.name);
    let asked = table::all().filter(same).filter(|command| !command.name.contains('.'));
    let mut commands: Vec<Vec<Vec<u8>>> =
        asked.map(|command| words(&format!("COMMAND INFO {}", command.name))).collect();
    commands.extend(COMMAND_LINES.lines().map(|line| words(line.trim())));
    write("commands", vec![(3, commands.clone()), (2, commands[..10].to_vec())]);
    let mut random = Random::new(4711);
    let told = |args: &Vec<Vec<u8>>| !UNTOLD.iter().any(|word| args[0].eq_ignore_ascii_case(word.as_bytes()));
    let anything: Vec<Vec<Vec<u8>>> = (0..2 * COMMANDS)
        .map(|nth| if nth % 2 == 0 { speak(random.pick(FAMILIES), &mut random) } else { chaos(&mut random) })
        .filter(told)
        .collect();
    write("anything", vec![(2, anything.clone()), (3, anything)]);
    let mut random = Random::new(77);
    let mut transactions = Vec::new();
    for _ in 0..60 {
        transactions.push(words("MULTI"));
        // Only what can be queued, and of which the order of elements is said.
        let mut left = random.below(5);
        while left > 0 {
            let args = speak(random.pick(&FAMILIES[..2]), &mut random);
            if check(&args.iter().map(Vec::as_slice).collect::<Vec<_>>()).is_ok() {
                transactions.push(args);
                left -= 1;
            }
        }
        transactions.push(words("EXEC"));
    }
    write("transactions", vec![(2, transactions.clone()), (3, transactions)]);
    let script = std::fs::read_to_string(folder().join("special.txt")).unwrap();
    let special: Vec<Vec<Vec<u8>>> = script.lines().filter(|line| !line.starts_with('#')).map(words).collect();
    write("special", vec![(2, special.clone()), (3, special)]);
}

/// What only this store has, and what depends on how Redis keeps things or on the moment.
const UNTOLD: [&str; 7] = ["skein.stats", "select", "object", "time", "spop", "zscan", "dbsize"];

/// New conversations, with both, when a server is there.
#[test]
fn says_what_redis_says() {
    let (Ok(address), Ok(seeds)) = (std::env::var("REDIS"), std::env::var("SEEDS")) else { return };
    let mut wrong = Vec::new();
    for seed in 0..seeds.parse().expect("SEEDS is a number") {
        for family in FAMILIES.iter().map(Some).chain([None]) {
            let name = family.map_or("chaos", |family| family.name);
            let protocol = if seed % 2 == 0 { Protocol::Two } else { Protocol::Three };
            let mut redis = Redis::connect(&address, protocol);
            let mut store = Store::new();
            let mut random = Random::new(0x5eed + seed);
            for _ in 0..COMMANDS {
                let args = match family {
                    Some(family) => speak(family, &mut random),
                    None if random.below(2) == 0 => speak(random.pick(FAMILIES), &mut random),
                    None => chaos(&mut random),
                };
                if family.is_none() && UNTOLD.iter().any(|word| args[0].eq_ignore_ascii_case(word.as_bytes())) {
                    continue;
                }
                let theirs = redis.ask(&args);
                let ours = store.ask(protocol, &args, now_ms());
                if !agree(&args, &theirs, &ours) {
                    wrong.push(format!(
                        "{name} {seed}: {}\n  redis {}\n  skein {}",
                        Line(&args),
                        escape(&theirs),
                        escape(&ours)
                    ));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} conversations differ:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}
