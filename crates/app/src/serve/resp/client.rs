//! [`Client`]: one connection and what it has said of itself; and [`Run`], the
//! commands of it that are on their way. A client has one run at a time, so that
//! what it says in a row happens in a row; what it pipelines travels together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use skein_machine::{GroupSet, Timestamp};
use skein_runtime::streams::StreamId;
use skein_service::kv::Protocol;
use smallvec::SmallVec;

use super::counts::{Number, Passage};
use super::parser::Parser;
use super::users::User;

/// One client.
pub(super) struct Client {
    /// Counts up: what CLIENT ID tells.
    pub(super) number: u64,
    pub(super) stream: StreamId,
    pub(super) peer: SocketAddr,
    pub(super) since: Instant,
    pub(super) parser: Parser,
    pub(super) protocol: Protocol,
    /// Who it is; nobody until it has said so, where that is asked for.
    pub(super) user: Option<Arc<User>>,
    pub(super) name: Vec<u8>,
    pub(super) library: [Vec<u8>; 2],
    pub(super) last_command: &'static str,
    /// The same for whoever counts.
    pub(super) last_number: Number,
    pub(super) answers: Answers,
    /// What it has queued since MULTI.
    pub(super) queue: Option<Queue>,
    /// Keys that it watches, and the version that each had.
    pub(super) watched: Watched,
    /// Whether it is content to read what this node has.
    pub(super) is_causal: bool,
    /// The name that its next command goes by.
    pub(super) session: Option<(u64, u64)>,
    /// The timestamp of the last answer.
    pub(super) seen: Timestamp,
    pub(super) run: Option<Run>,
    pub(super) is_leaving: bool,
}

/// Whether a client wants to hear answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    On,
    Off,
    /// Not the next one: the command that says so, and the one after it.
    Skip(u8),
}

/// What stands between MULTI and EXEC.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) commands: Vec<Vec<Vec<u8>>>,
    pub(super) bytes: usize,
    /// Something in it was refused.
    pub(super) is_spoiled: bool,
}

/// What a client watches until EXEC: keys, each with its version.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) keys: Vec<(Vec<u8>, u64)>,
    /// How much of a transaction they take.
    pub(super) bytes: usize,
}

impl Watched {
    /// What a key takes beside its bytes, in a transaction: its length and its version.
    const BESIDE: usize = 20;

    /// Whether so many keys may be watched, too: a transaction has room for them.
    pub(super) fn has_room(&self, keys: &[&[u8]], most: usize, most_bytes: usize) -> bool {
        self.keys.len() + keys.len() <= most && self.bytes + Watched::length(keys) <= most_bytes
    }

    pub(super) fn add(&mut self, keys: Vec<Vec<u8>>, versions: Vec<u64>) {
        self.bytes += Watched::length(&keys);
        self.keys.extend(keys.into_iter().zip(versions));
    }

    fn length(keys: &[impl AsRef<[u8]>]) -> usize {
        keys.iter().map(|key| key.as_ref().len() + Watched::BESIDE).sum()
    }
}

/// Commands that travel together.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Names it in what the replicas tell.
    pub(super) token: u64,
    pub(super) began: Option<Instant>,
    /// Which replica it was given to.
    pub(super) at: usize,
    pub(super) kind: Kind,
    /// The partitions that it goes to.
    pub(super) groups: GroupSet,
    /// Which way it went.
    pub(super) passage: Passage,
    /// What is asked, with the partitions that each concerns, and the number of its command. Once it is sent, nobody
    /// asks for the words of what goes to one partition alone.
    pub(super) requests: SmallVec<[(Bytes, GroupSet, Number); 1]>,
    /// What the client hears, in order.
    pub(super) slots: SmallVec<[Slot; 1]>,
    pub(super) bytes: usize,
    /// Whether all of it only reads.
    pub(super) only_reads: bool,
}

/// What a run is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ordered.
    #[default]
    Calls,
    /// Read where it is.
    Read,
    /// The versions of keys to be watched.
    Watch(Vec<Vec<u8>>),
}

/// One thing that the client hears.
#[derive(Debug)]
pub(super) enum Slot {
    /// It is known already.
    Ready(Vec<u8>),
    /// The next answer.
    Awaited,
    /// The next answer is not wanted.
    Unwanted,
}

impl Client {
    pub(super) fn new(number: u64, stream: StreamId, peer: SocketAddr, user: Option<Arc<User>>) -> Client {
        Client {
            number,
            stream,
            peer,
            since: Instant::now(),
            parser: Parser::default(),
            protocol: Protocol::Two,
            user,
            name: Vec::new(),
            library: [Vec::new(), Vec::new()],
            last_command: "NULL",
            last_number: Number::NONE,
            answers: Answers::On,
            queue: None,
            watched: Watched::default(),
            is_causal: false,
            session: None,
            seen: Timestamp::ZERO,
            run: None,
            is_leaving: false,
        }
    }

    /// As if it had just connected, but for who it is: what RESET does.
    pub(super) fn reset(&mut self, user: Option<Arc<User>>) {
        *self = Client {
            since: self.since,
            parser: std::mem::take(&mut self.parser),
            ..Client::new(self.number, self.stream, self.peer, user)
        };
    }

    /// Whether the answer to the command that was just read is wanted.
    pub(super) fn wants_answer(&mut self) -> bool {
        match self.answers {
            Answers::On => true,
            Answers::Off => false,
            Answers::Skip(left) => {
                self.answers = if left > 1 { Answers::Skip(left - 1) } else { Answers::On };
                false
            }
        }
    }

    /// One line, as CLIENT LIST has it.
    pub(super) fn line(&self, now: Instant) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let age = now.duration_since(self.since).as_secs();
        let multi = self.queue.as_ref().map_or(-1, |queue| queue.commands.len() as i64);
        let flags = if self.queue.is_some() { "x" } else { "N" };
        format!(
            "id={} addr={} laddr= fd=0 name={} age={age} idle=0 flags={flags} db=0 sub=0 psub=0 ssub=0 multi={multi} \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} \
             user={} redir=-1 resp={} lib-name={} lib-ver={}",
            self.number,
            self.peer,
            text(&self.name),
            self.queue.as_ref().map_or(0, |queue| queue.bytes),
            self.last_command,
            self.user.as_ref().map_or("(nobody)", |user| user.name.as_str()),
            if self.protocol == Protocol::Three { 3 } else { 2 },
            text(&self.library[0]),
            text(&self.library[1]),
        )
    }
}
