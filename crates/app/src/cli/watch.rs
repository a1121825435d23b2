//! `skein kv watch`: where keys are, and what is done to them. It follows what
//! their partitions deliver, as `skein tail` does, and unpacks the commands. It
//! sees what is ordered and nothing else: whoever only reads one partition
//! leaves no trace there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use clap::Args;
use serde::Serialize;
use skein_machine::{Command, Delivery, GroupId, GroupSet, MessageId};
use skein_service::kv::table::{self, flags};
use skein_service::kv::{Body, KvRouter, Request};
use skein_service::replica::unpack;

use super::kv::replicas;
use super::{Mistake, Verdict, output};
use crate::client::Client;
use crate::config::Config;

/// Of an argument so many bytes are shown, and so many of a whole command; the rest is counted.
const MOST_OF_ARGUMENT: usize = 64;
const MOST_OF_COMMAND: usize = 400;

/// The same in JSON, which nobody has to read on one line.
const MOST_OF_ARGUMENT_IN_JSON: usize = 1 << 10;
const MOST_OF_COMMAND_IN_JSON: usize = 16 << 10;

/// So many messages are remembered that several of the watched partitions deliver, to be shown once. Far more than can
/// lie between two partitions that both are well.
const MOST_REMEMBERED: usize = 1 << 14;

#[derive(Args)]
#[command(
    after_help = "A line says at which timestamp a command stands, in which message it came (which `skein explain`
can tell more of), which partitions it concerns, and what it says. What only reads in one partition is not ordered and
not seen, and neither is a deadline that passes. Whoever may be a client of the nodes may watch: where the cluster
speaks TLS, whoever has a certificate. The store's users and passwords have no say in it.

Examples:
  skein kv watch user:7 order:1
  skein kv watch --all user:7           every command of the partition that holds user:7
  skein kv watch --json user:7 | jq .commands"
)]
pub(crate) struct Arguments {
    /// The keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Every command of their partitions, whatever it touches.
    #[arg(long)]
    all: bool,
    /// One JSON object a line: the keys first, then each command.
    #[arg(long)]
    json: bool,
}

/// A key and where it is.
#[derive(Serialize)]
struct KeyLine<'a> {
    kind: &'static str,
    key: &'a str,
    partition: &'a str,
    nodes: &'a [String],
}

/// One command, or one transaction.
#[derive(Debug, Serialize)]
struct CommandLine<'a> {
    kind: &'static str,
    timestamp: u64,
    message: String,
    /// The process through which it came.
    entry: String,
    /// What SKEIN.SESSION has said, and its number there.
    name: Option<(u64, u64)>,
    partitions: Vec<&'a str>,
    is_transaction: bool,
    /// It came too late, and has no effect.
    is_void: bool,
    /// Keys that spoil the transaction if they have changed.
    watched: Vec<String>,
    commands: Vec<Vec<String>>,
    /// Not all of it is shown.
    is_cut: bool,
}

/// What is looked for.
struct Watch<'a> {
    config: &'a Config,
    router: KvRouter,
    keys: BTreeSet<&'a [u8]>,
    /// The partitions that hold them.
    groups: GroupSet,
    all: bool,
    recent: Recent,
}

/// Messages that were shown and may be delivered by another watched partition.
#[derive(Default)]
struct Recent {
    known: BTreeSet<(u64, u64)>,
    order: VecDeque<(u64, u64)>,
}

pub(crate) fn command(config: &Config, arguments: &Arguments) -> Verdict {
    let store = config.store.as_ref().expect("it was looked for");
    let keys = arguments.keys.iter().map(String::as_bytes).collect();
    let groups = arguments.keys.iter().map(|key| store.placement.group_of(key.as_bytes())).collect();
    let router = KvRouter::new(store.placement.clone(), store.limits);
    let mut watch = Watch { config, router, keys, groups, all: arguments.all, recent: Recent::default() };
    let mut client = Client::new(config.clone()).map_err(Mistake)?;
    let nodes = replicas(config);
    for key in &arguments.keys {
        watch.show_key(key, &nodes, arguments.json);
    }
    let each = |_, delivery: Delivery| {
        watch.show(&delivery, arguments.json);
        true
    };
    client.follow_all(groups, each).map_err(Mistake)?;
    Ok(true)
}

impl Watch<'_> {
    fn show_key(&self, key: &str, nodes: &BTreeMap<String, Vec<String>>, is_json: bool) {
        let partition = self.name(self.router.placement().group_of(key.as_bytes()));
        let nodes = nodes.get(partition).map(Vec::as_slice).unwrap_or_default();
        match is_json {
            true => output::json(&KeyLine { kind: "key", key, partition, nodes }),
            false => output::line(format_args!("{key}\t{partition}\tat {}", nodes.join(", "))),
        }
    }

    fn name(&self, group: GroupId) -> &str {
        &self.config.groups[group.index()]
    }

    fn show(&mut self, delivery: &Delivery, is_json: bool) {
        let id = delivery.message.id;
        let watched = id.destinations.iter().filter(|group| self.groups.contains(*group)).count();
        if watched > 1 && !self.recent.is_new(id) {
            return;
        }
        let Some(parcel) = unpack(&delivery.message) else { return };
        for command in &parcel.commands {
            let pen = if is_json { Pen::IN_JSON } else { Pen::IN_WORDS };
            let Some(line) = self.line(delivery, &parcel.entry.to_string(), command, pen) else { continue };
            match is_json {
                true => output::json(&line),
                false => output::line(line.in_words()),
            }
        }
    }

    /// What is told of a command, if it is one of those that are watched.
    fn line(&self, delivery: &Delivery, entry: &str, command: &Command, mut pen: Pen) -> Option<CommandLine<'_>> {
        let request = Request::decode(&command.command).ok()?;
        // One that is wrong wherever it is run concerns whoever was asked.
        let groups = self.router.plan(&request).map_or(delivery.message.id.destinations, |plan| plan.groups);
        let concerns = groups.iter().any(|group| self.groups.contains(group));
        if !concerns || !(self.all || self.touches(&request)) {
            return None;
        }
        let none = Vec::new();
        let (watched, commands, is_transaction) = match &request.body {
            Body::Command(args) => (&none, std::slice::from_ref(args), false),
            Body::Transaction(transaction) => (&transaction.watched, &transaction.commands[..], true),
        };
        let watched = pen.write_all(watched.iter().map(|(key, _)| *key));
        let mut written = Vec::new();
        for args in commands {
            if pen.left == 0 {
                pen.is_cut = true;
                break;
            }
            written.push(pen.write_all(args.iter().copied()));
        }
        Some(CommandLine {
            kind: "command",
            timestamp: delivery.timestamp.0,
            message: delivery.message.id.to_string(),
            entry: entry.to_owned(),
            name: command.name,
            partitions: groups.iter().map(|group| self.name(group)).collect(),
            is_transaction,
            is_void: delivery.is_void(),
            watched,
            commands: written,
            is_cut: pen.is_cut,
        })
    }

    /// Whether a request names one of the keys, or changes keys without naming any, as FLUSHALL does.
    fn touches(&self, request: &Request<'_>) -> bool {
        let touches = |args: &[&[u8]]| match table::keys_of(args) {
            Ok(keys) => keys.iter().any(|key| self.keys.contains(key)),
            Err(_) => args.first().and_then(|name| table::find(name)).is_some_and(|it| it.has(flags::WRITE)),
        };
        match &request.body {
            Body::Command(args) => touches(args),
            Body::Transaction(transaction) => {
                transaction.watched.iter().any(|(key, _)| self.keys.contains(key))
                    || transaction.commands.iter().any(|args| touches(args))
            }
        }
    }
}

impl Recent {
    fn is_new(&mut self, id: MessageId) -> bool {
        let id = (id.session.0, id.sequence);
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MOST_REMEMBERED {
            self.order.pop_front().map(|oldest| self.known.remove(&oldest));
        }
        true
    }
}

/// Writes arguments until there is no room left.
struct Pen {
    left: usize,
    most_of_argument: usize,
    /// As one would type them in a shell of Redis, in quotes where that is needed.
    quotes: bool,
    is_cut: bool,
}

impl Pen {
    const IN_WORDS: Pen =
        Pen { left: MOST_OF_COMMAND, most_of_argument: MOST_OF_ARGUMENT, quotes: true, is_cut: false };
    const IN_JSON: Pen =
        Pen { left: MOST_OF_COMMAND_IN_JSON, most_of_argument: MOST_OF_ARGUMENT_IN_JSON, quotes: false, is_cut: false };

    fn write_all<'a>(&mut self, args: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        let mut written = Vec::new();
        for arg in args {
            if self.left == 0 {
                self.is_cut = true;
                break;
            }
            written.push(self.write(arg));
        }
        written
    }

    /// Text as it is, and anything else in escapes.
    fn write(&mut self, arg: &[u8]) -> String {
        let shown = &arg[..arg.len().min(self.most_of_argument).min(self.left)];
        self.left -= shown.len().max(1);
        let is_cut = shown.len() < arg.len();
        let text = match std::str::from_utf8(shown) {
            Ok(text) => Some(text),
            // A letter that was cut in two.
            Err(error) if is_cut && error.error_len().is_none() => {
                std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let mut written = match text {
            Some(text) if !self.quotes || is_plain(text) => text.to_owned(),
            Some(text) => format!("\"{}\"", text.escape_debug()),
            None if self.quotes => format!("\"{}\"", shown.escape_ascii()),
            None => shown.escape_ascii().to_string(),
        };
        if is_cut {
            self.is_cut = true;
            written += &format!("…({} bytes)", arg.len());
        }
        written
    }
}

/// Whether a word needs no quotes.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| letter.is_ascii_graphic() && !"\"'\\;".contains(letter))
}

impl CommandLine<'_> {
    fn in_words(&self) -> String {
        let commands: Vec<String> = self.commands.iter().map(|args| args.join(" ")).collect();
        let mut text = format!("at {} {} in {}: ", self.timestamp, self.message, self.partitions.join(","));
        if self.is_transaction {
            if !self.watched.is_empty() {
                text += &format!("WATCH {}; ", self.watched.join(" "));
            }
            text += &format!("MULTI; {}; EXEC", commands.join("; "));
        } else {
            text += &commands.join("; ");
        }
        if self.is_cut {
            text += " (cut)";
        }
        if let Some((session, number)) = self.name {
            text += &format!(" (number {number} of session {session})");
        }
        if self.is_void {
            text += " (void: it came too late)";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use skein_machine::{Multicast, SessionId, Timestamp};
    use skein_service::kv::{Protocol, Transaction};

    fn config() -> Config {
        let text = "[store]\n[[store.placement]]\nprefix = \"x:\"\ngroup = \"x\"\n[[store.placement]]\nprefix = \"\"\n\
                    group = \"y\"\n[nodes.a]\naddress = \"127.0.0.1:7401\"\nredis = \"127.0.0.1:7402\"\n\
                    [[groups]]\nname = \"x\"\nreplicas = [\"a\"]\n[[groups]]\nname = \"y\"\nreplicas = [\"a\"]\n";
        Config::parse(&format!("cluster = \"00000000000000ae\"\ndata = \"data\"\n{text}")).unwrap()
    }

    fn watch<'a>(config: &'a Config, keys: &[&'a str], all: bool) -> Watch<'a> {
        let store = config.store.as_ref().unwrap();
        Watch {
            config,
            router: KvRouter::new(store.placement.clone(), store.limits),
            keys: keys.iter().map(|key| key.as_bytes()).collect(),
            groups: keys.iter().map(|key| store.placement.group_of(key.as_bytes())).collect(),
            all,
            recent: Recent::default(),
        }
    }

    fn delivery() -> Delivery {
        let destinations = (0..2).filter_map(GroupId::new).collect();
        let id = MessageId { session: SessionId(7), sequence: 2, destinations };
        let (floor, expiry) = (Timestamp::ZERO, Timestamp::MAX);
        let message = Multicast { id, floor, expiry, payload: Bytes::new() };
        Delivery { position: 1, timestamp: Timestamp(99), message }
    }

    /// What is told of this request, in words.
    fn told(watch: &Watch<'_>, request: &Request<'_>) -> Option<String> {
        let command = Command { name: None, command: request.encode() };
        let line = watch.line(&delivery(), "p0", &command, Pen::IN_WORDS)?;
        Some(line.in_words())
    }

    fn said<'a>(args: &[&'a [u8]]) -> Request<'a> {
        Request::command(Protocol::Two, args)
    }

    #[test]
    fn a_command_is_told_if_it_touches_a_watched_key() {
        let config = config();
        let one = watch(&config, &["x:1"], false);
        assert_eq!(told(&one, &said(&[b"SET", b"x:1", b"a b"])).unwrap(), "at 99 s7.2 in x: SET x:1 \"a b\"");
        assert_eq!(
            told(&one, &said(&[b"MSET", b"x:2", b"1", b"x:1", b"2"])).unwrap(),
            "at 99 s7.2 in x: MSET x:2 1 x:1 2"
        );
        assert_eq!(told(&one, &said(&[b"RENAME", b"y", b"x:1"])).unwrap(), "at 99 s7.2 in x,y: RENAME y x:1");
        assert_eq!(told(&one, &said(&[b"FLUSHALL"])).unwrap(), "at 99 s7.2 in x,y: FLUSHALL");
        for other in [&[b"SET".as_slice(), b"x:2", b"x:1"][..], &[b"SET", b"y", b"1"], &[b"DBSIZE"]] {
            assert_eq!(told(&one, &said(other)), None);
        }
        let all = watch(&config, &["x:1"], true);
        assert!(told(&all, &said(&[b"SET", b"x:2", b"1"])).is_some() && told(&all, &said(&[b"DBSIZE"])).is_some());
        assert_eq!(told(&all, &said(&[b"SET", b"y", b"1"])), None, "it travelled along, and is another partition's");
    }

    #[test]
    fn a_transaction_is_told_as_it_was_typed() {
        let config = config();
        let args = |line: &'static str| line.split(' ').map(str::as_bytes).collect();
        let commands = vec![args("INCR x:2"), args("GET x:1")];
        let transaction = Transaction { watched: vec![(b"x:3", 4)], commands };
        let request = Request { protocol: Protocol::Three, body: Body::Transaction(transaction) };
        let expected = "at 99 s7.2 in x: WATCH x:3; MULTI; INCR x:2; GET x:1; EXEC";
        for key in ["x:1", "x:2", "x:3"] {
            assert_eq!(told(&watch(&config, &[key], false), &request).as_deref(), Some(expected));
        }
        assert_eq!(told(&watch(&config, &["x:4"], false), &request), None);
    }

    /// Whatever values are, a line stays a line, and a short one.
    #[test]
    fn what_is_long_is_cut_and_what_is_no_text_is_escaped() {
        let config = config();
        let one = watch(&config, &["x:1"], false);
        let line = told(&one, &said(&[b"SET", b"x:1", b"\xff\x00\n"])).unwrap();
        assert_eq!(line, "at 99 s7.2 in x: SET x:1 \"\\xff\\x00\\n\"");
        assert!(told(&one, &said(&[b"SET", b"x:1", b"a\nb\x1b[2J"])).unwrap().ends_with("\"a\\nb\\u{1b}[2J\""));
        let long = "ä".repeat(1 << 19);
        let line = told(&one, &said(&[b"SET", b"x:1", long.as_bytes()])).unwrap();
        assert!(line.ends_with("\"…(1048576 bytes) (cut)") && line.chars().count() < 150, "{line}");
        let many: Vec<Vec<u8>> = (0..100_000).map(|nth| format!("member{nth}").into_bytes()).collect();
        let args: Vec<&[u8]> = [&b"SADD"[..], b"x:1"].into_iter().chain(many.iter().map(Vec::as_slice)).collect();
        let line = told(&one, &said(&args)).unwrap();
        assert!(line.ends_with(" (cut)") && line.len() < 3 * MOST_OF_COMMAND, "{line}");
        let empty = vec![b"".as_slice(); 100_000];
        assert!(told(&one, &said(&[&[b"DEL".as_slice(), b"x:1"][..], &empty[..]].concat())).unwrap().len() < 3000);
        // In JSON, text is text.
        let command = Command { name: Some((77, 3)), command: said(&[b"SET", b"x:1", b"a b\xff"]).encode() };
        let line = one.line(&delivery(), "p0", &command, Pen::IN_JSON).unwrap();
        assert_eq!((line.commands[0][2].as_str(), line.is_cut), ("a b\\xff", false));
        assert!(line.in_words().ends_with(" (number 3 of session 77)"));
    }

    #[test]
    fn what_two_partitions_deliver_is_shown_once_and_forgotten_some_time() {
        let mut recent = Recent::default();
        let id = |sequence| MessageId { sequence, ..delivery().message.id };
        assert!(recent.is_new(id(0)) && !recent.is_new(id(0)));
        (1..=MOST_REMEMBERED as u64).for_each(|sequence| assert!(recent.is_new(id(sequence))));
        assert_eq!((recent.known.len(), recent.order.len()), (MOST_REMEMBERED, MOST_REMEMBERED));
        assert!(recent.is_new(id(0)), "it is long gone");
    }
}
