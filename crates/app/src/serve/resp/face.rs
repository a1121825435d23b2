//! [`Face`]: what stands behind the connections. It reads commands, makes runs
//! of them, and gives each run to the replica that hears the answer first. What
//! the replicas tell comes back as calls from their threads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use skein_machine::{Ask, Command, Freshness, GroupId, Reply, Timestamp, Told};
use skein_runtime::inspect::Inspection;
use skein_runtime::streams::{self, Desk, Input, Protocol as Streams, StreamId};
use skein_service::kv::table::{self, flags};
use skein_service::kv::{
    Answer, Args, Body, Failure, KvRouter, Limits, Protocol, Request, Transaction, answer_here, check, only_reads,
};

use super::client::{Client, Kind, Queue, Run, Slot};
use super::counts::{Counts, Number, Passage};
use super::information::Statistics;
use super::local::{self, Said};
use super::parser::{Bounds, Found, unquote};
use super::partitions::Partitions;
use super::users::Users;

/// Commands of one client that travel together, at most, and their bytes.
const LONGEST_RUN: usize = 1024;
const LONGEST_RUN_BYTES: usize = 1 << 20;

/// The longest command. A message takes little more, and the name of the session goes with it.
pub(crate) const MAX_COMMAND: usize = 15 << 20;

/// Commands in a transaction, and their bytes.
const MAX_QUEUE: usize = 1 << 16;

/// What the face has to know.
pub(crate) struct Directory {
    /// Which partition holds which key.
    pub(crate) router: KvRouter,
    /// What must not become larger.
    pub(crate) limits: Limits,
    /// Who may come.
    pub(crate) users: Users,
    /// The node, for those who ask.
    pub(crate) node: String,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// The names of the groups.
    pub(crate) groups: Vec<String>,
    /// The port that clients know.
    pub(crate) port: u16,
}

/// The way to a replica of this node.
pub(crate) struct Way {
    /// Its partition.
    pub(crate) group: GroupId,
    /// Hands it what is asked; false if it is gone.
    pub(crate) ask: Box<dyn Fn(Vec<Ask>) -> bool + Send>,
    /// Asks how it is.
    pub(crate) inspect: Box<dyn Fn() -> Option<Receiver<Inspection>> + Send>,
}

/// What other threads tell the face.
pub(crate) enum Call {
    /// A replica tells something.
    Told(Told),
    /// The replicas of the node, once they live.
    Ways(Vec<Way>),
    /// Somebody wants to know how things are here.
    Look(Sender<Look>),
}

/// What a face tells of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) counts: Counts,
    pub(crate) streams: streams::Tally,
    /// Connections that stand.
    pub(crate) connections: usize,
    /// Bytes that clients were told and have not taken.
    pub(crate) backlog: usize,
}

/// See above.
pub(crate) struct Face {
    pub(super) directory: Arc<Directory>,
    ways: Vec<Way>,
    /// What each of them is to be asked at the end of the turn.
    outbox: Vec<Vec<Ask>>,
    pub(super) clients: HashMap<StreamId, Client>,
    /// Whose run goes by which token.
    runs: HashMap<u64, StreamId>,
    next_token: u64,
    next_client: u64,
    pub(super) counts: Counts,
    /// When answers came in this turn: all of one turn are written at its end, so the clock is read once for them.
    heard_at: Option<Instant>,
    pub(super) statistics: Statistics,
    /// What is known of the partitions here.
    pub(super) partitions: Partitions,
}

impl Face {
    pub(crate) fn new(directory: Arc<Directory>) -> Face {
        Face {
            directory,
            ways: Vec::new(),
            outbox: Vec::new(),
            clients: HashMap::new(),
            runs: HashMap::new(),
            next_token: 1,
            next_client: 1,
            counts: Counts::default(),
            heard_at: None,
            statistics: Statistics::begin(),
            partitions: Partitions::default(),
        }
    }

    /// Reads commands until one has to wait for answers, and sends what came together on its way.
    fn serve(&mut self, stream: StreamId, input: &mut Input, desk: &mut Desk) -> Result<(), String> {
        let Some(mut client) = self.clients.remove(&stream) else { return Ok(()) };
        let mut run = Run { only_reads: true, ..Run::default() };
        let served = self.read_commands(&mut client, &mut run, input, desk);
        if !run.requests.is_empty() {
            self.send(&mut client, run);
        }
        if client.run.is_some() {
            desk.pause(stream);
        }
        if let Err(nonsense) = &served {
            // What came before it is answered first, by whoever answers it.
            let line = format!("-{nonsense}\r\n").into_bytes();
            match &mut client.run {
                Some(run) => run.slots.push(Slot::Ready(line)),
                None => desk.write(stream).extend_from_slice(&line),
            }
            client.is_leaving = true;
        }
        let is_leaving = client.is_leaving && client.run.is_none();
        self.clients.insert(stream, client);
        if is_leaving { Err("it leaves".to_owned()) } else { Ok(()) }
    }

    fn read_commands(
        &mut self,
        client: &mut Client,
        run: &mut Run,
        input: &mut Input,
        desk: &mut Desk,
    ) -> Result<(), String> {
        while client.run.is_none() && !client.is_leaving {
            let is_full = run.requests.len() >= LONGEST_RUN || run.bytes >= LONGEST_RUN_BYTES;
            // Whoever does not take its answers is not asked what else it wants.
            if is_full || !desk.has_room(client.stream) {
                return Ok(());
            }
            let bounds = Bounds { bulk: MAX_COMMAND, command: MAX_COMMAND, is_known: client.user.is_some() };
            let (places, length) = match client.parser.next(input.bytes(), bounds)? {
                Found::Command(places, length) => (places, length),
                Found::Unfinished(need) => {
                    desk.expect(client.stream, need);
                    return Ok(());
                }
            };
            let bytes = input.bytes();
            let is_line = bytes[0] != b'*';
            let words: Vec<Vec<u8>>;
            let args: Args<'_> = if is_line {
                words = places.into_iter().map(|place| unquote(&bytes[place])).collect();
                words.iter().map(Vec::as_slice).collect()
            } else {
                places.into_iter().map(|place| &bytes[place]).collect()
            };
            // Reads the version of keys, which has to wait for what comes before it.
            if !run.requests.is_empty() && args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"watch")) {
                client.parser = Default::default();
                return Ok(());
            }
            if !args.is_empty() {
                self.command(client, run, &args, desk);
            }
            drop(args);
            input.consume(length);
            desk.settled(client.stream);
        }
        Ok(())
    }

    /// One command of a client.
    fn command(&mut self, client: &mut Client, run: &mut Run, args: &[&[u8]], desk: &mut Desk) {
        let is_wanted = client.wants_answer();
        let said = self.understand(client, run, args);
        let reply = match said {
            Said::Reply(reply) => {
                // What WATCH asks is on its way, and is counted when it comes back.
                if client.run.is_none() {
                    self.counts.answered_here(client.last_number, &reply);
                }
                reply
            }
            Said::Awaited => {
                run.slots.push(if is_wanted { Slot::Awaited } else { Slot::Unwanted });
                return;
            }
        };
        // CLIENT REPLY speaks of itself.
        let is_wanted = is_wanted && client.answers != super::client::Answers::Off;
        if !is_wanted || reply.is_empty() {
            return;
        }
        if run.requests.is_empty() {
            desk.write(client.stream).extend_from_slice(&reply);
        } else {
            run.slots.push(Slot::Ready(reply));
        }
    }

    fn understand(&mut self, client: &mut Client, run: &mut Run, args: &[&[u8]]) -> Said {
        let refuse = |client: &mut Client, failure: &Failure| {
            if let Some(queue) = &mut client.queue {
                queue.is_spoiled = true;
            }
            failed(client.protocol, failure)
        };
        client.last_number = table::find(args[0]).map_or(Number::NONE, Number::of);
        let command = match check(args) {
            Ok(command) => command,
            Err(failure) => return refuse(client, &failure),
        };
        (client.last_command, client.last_number) = (command.name, Number::of(command));
        let Some(user) = &client.user else {
            if command.has(flags::NO_AUTH) {
                return local::answer(self, client, command, args);
            }
            return refuse(client, &Failure::of("NOAUTH Authentication required."));
        };
        if !command.has(flags::NO_AUTH)
            && let Err(forbidden) = user.may(command, args)
        {
            return refuse(client, &Failure::with(&[forbidden.words().as_bytes()]));
        }
        match command.name {
            "exec" => self.execute(client, run),
            "watch" if client.queue.is_none() => self.watch(client, run, args),
            "skein.session" if client.queue.is_none() => local::answer(self, client, command, args),
            _ if client.queue.is_some() => self.queue(client, command, args),
            _ if command.runs_here() => match answer_here(client.protocol, args, now()) {
                Some(reply) => Said::Reply(reply.0.to_vec()),
                None => self.enqueue(client, run, &Request::command(client.protocol, args)),
            },
            _ => local::answer(self, client, command, args),
        }
    }

    /// Between MULTI and EXEC.
    fn queue(&mut self, client: &mut Client, command: &'static table::Command, args: &[&[u8]]) -> Said {
        match command.name {
            "multi" => return failed(client.protocol, &Failure::of("ERR MULTI calls can not be nested")),
            "watch" => return failed(client.protocol, &Failure::of("ERR WATCH inside MULTI is not allowed")),
            "discard" | "reset" | "quit" => return local::answer(self, client, command, args),
            _ => {}
        }
        let queue = client.queue.as_mut().expect("it queues");
        if !command.runs_here() {
            queue.is_spoiled = true;
            let name = command.name.replace('|', " ");
            let line = format!("ERR Command '{name}' is not allowed inside a transaction here");
            return failed(client.protocol, &Failure::with(&[line.as_bytes()]));
        }
        queue.bytes += args.iter().map(|arg| arg.len() + 8).sum::<usize>();
        if queue.commands.len() >= MAX_QUEUE || queue.bytes > MAX_COMMAND {
            queue.is_spoiled = true;
            return failed(client.protocol, &Failure::of("ERR the transaction is too large"));
        }
        queue.commands.push(args.iter().map(|arg| arg.to_vec()).collect());
        Said::Reply(b"+QUEUED\r\n".to_vec())
    }

    fn execute(&mut self, client: &mut Client, run: &mut Run) -> Said {
        let watched = std::mem::take(&mut client.watched);
        let Some(Queue { commands, is_spoiled, .. }) = client.queue.take() else {
            client.watched = watched;
            return failed(client.protocol, &Failure::of("ERR EXEC without MULTI"));
        };
        if is_spoiled {
            let why = "EXECABORT Transaction discarded because of previous errors.";
            return failed(client.protocol, &Failure::of(why));
        }
        let commands: Vec<_> = commands.iter().map(|args| args.iter().map(Vec::as_slice).collect()).collect();
        if commands.is_empty() && watched.keys.is_empty() {
            return Said::Reply(b"*0\r\n".to_vec());
        }
        let watched = watched.keys.iter().map(|(key, version)| (key.as_slice(), *version)).collect();
        let body = Body::Transaction(Transaction { watched, commands });
        self.enqueue(client, run, &Request { protocol: client.protocol, body })
    }

    /// The versions of keys are read, and remembered until EXEC.
    fn watch(&mut self, client: &mut Client, run: &mut Run, args: &[&[u8]]) -> Said {
        if !client.watched.has_room(&args[1..], MAX_QUEUE, MAX_COMMAND) {
            return failed(client.protocol, &Failure::of("ERR too many keys are watched"));
        }
        let keys = args[1..].iter().map(|key| key.to_vec()).collect();
        let mut question: Vec<&[u8]> = args.to_vec();
        question[0] = b"SKEIN.VERSION";
        if let Said::Reply(refused) = self.enqueue(client, run, &Request::command(client.protocol, &question)) {
            *run = Run { only_reads: true, ..Run::default() };
            return Said::Reply(refused);
        }
        run.kind = Kind::Watch(keys);
        // Nothing may come between the question and what it is for.
        self.send(client, std::mem::take(run));
        client.run.as_mut().expect("it was just sent").slots.push(Slot::Awaited);
        Said::Reply(Vec::new())
    }

    /// Adds a request to what travels together.
    fn enqueue(&mut self, client: &Client, run: &mut Run, request: &Request<'_>) -> Said {
        let plan = match self.directory.router.plan(request) {
            Ok(plan) => plan,
            Err(failure) => return failed(client.protocol, &failure),
        };
        let bytes = request.encode();
        run.bytes += bytes.len();
        run.only_reads &= only_reads(request);
        run.groups = run.groups.or(plan.groups);
        run.requests.push((bytes, plan.groups, client.last_number));
        Said::Awaited
    }

    /// A run goes to the replica that hears its answers first.
    fn send(&mut self, client: &mut Client, mut run: Run) {
        run.token = self.next_token;
        self.next_token += 1;
        run.began = Some(Instant::now());
        let is_one = run.groups.len() == 1;
        let reads = run.only_reads && client.session.is_none() && is_one;
        // Whoever joins the answers of several partitions has to know what was asked.
        let bytes_of = |request: &mut Bytes| if is_one { std::mem::take(request) } else { request.clone() };
        let at = self.ways.iter().position(|way| run.groups.contains(way.group));
        let ask = if let Some(at) = at.filter(|_| reads) {
            (run.at, run.passage) = (at, Passage::Read);
            if run.kind == Kind::Calls {
                run.kind = Kind::Read;
            }
            let freshness = match client.is_causal {
                true => Freshness::Causal(client.seen),
                false => Freshness::Linearizable,
            };
            let queries = run.requests.iter_mut().map(|(request, ..)| bytes_of(request)).collect();
            Ask::Read { token: run.token, freshness, queries }
        } else {
            run.at = at.unwrap_or(0);
            run.passage = if run.groups.len() > 1 { Passage::Several } else { Passage::One };
            let commands = run.requests.iter_mut().map(|(request, ..)| {
                let name = client.session;
                if let Some((_, number)) = &mut client.session {
                    *number += 1;
                }
                Command { name, command: bytes_of(request) }
            });
            Ask::Calls { token: run.token, groups: run.groups, floor: client.seen, commands: commands.collect() }
        };
        self.counts.left(run.requests.len());
        self.runs.insert(run.token, client.stream);
        if let Some(outbox) = self.outbox.get_mut(run.at) {
            outbox.push(ask);
        }
        client.run = Some(run);
    }

    fn hear(&mut self, told: Told, desk: &mut Desk) {
        let token = match &told {
            Told::Answers { token, .. } | Told::Read { token, .. } | Told::Failed { token, .. } => *token,
            Told::Up(_) => return,
        };
        let Some(stream) = self.runs.remove(&token) else { return };
        let Some(client) = self.clients.get_mut(&stream) else { return };
        let Some(run) = client.run.take_if(|run| run.token == token) else { return };
        let answers = match told {
            Told::Answers { timestamp, replies, .. } => {
                client.seen = client.seen.max(timestamp);
                join_all(&self.directory.router, &run, replies)
            }
            Told::Read { timestamp, replies, .. } => {
                client.seen = client.seen.max(timestamp);
                replies
            }
            Told::Failed { certain, why, .. } => {
                let line = match certain {
                    true => format!("-TRYAGAIN {why}: nothing was done\r\n"),
                    false => format!("-UNCERTAIN {why}: it may have been done\r\n"),
                };
                vec![Reply(Bytes::from(line)); run.requests.len()]
            }
            Told::Up(_) => unreachable!("it has no token"),
        };
        count(&mut self.counts, &run, &answers, *self.heard_at.get_or_insert_with(Instant::now));
        finish(client, run, answers, desk);
    }
}

/// What came of a run.
fn count(counts: &mut Counts, run: &Run, answers: &[Reply], now: Instant) {
    let took = run.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
    let replies = run.requests.iter().zip(answers).map(|((.., number), reply)| (*number, &reply.0[..]));
    counts.came_back(run.passage, u64::try_from(took.as_micros()).unwrap_or(u64::MAX), replies);
}

/// The answers to each request of a run.
fn join_all(router: &KvRouter, run: &Run, replies: Vec<(GroupId, Vec<Reply>)>) -> Vec<Reply> {
    let replies = match <[(GroupId, Vec<Reply>); 1]>::try_from(replies) {
        Ok([(_, only)]) => return only,
        Err(replies) => replies,
    };
    let mut replies: Vec<(GroupId, std::vec::IntoIter<Reply>)> =
        replies.into_iter().map(|(group, replies)| (group, replies.into_iter())).collect();
    let mut joined = Vec::with_capacity(run.requests.len());
    for (request, groups, _) in &run.requests {
        let parts: Vec<(GroupId, Reply)> = replies
            .iter_mut()
            .filter_map(|(group, replies)| Some((*group, replies.next()?)))
            .filter(|(group, _)| groups.contains(*group))
            .collect();
        let reply = match <[(GroupId, Reply); 1]>::try_from(parts) {
            Ok([(_, only)]) => only,
            Err(parts) => Request::decode(request).map_or(parts[0].1.clone(), |request| router.join(&request, &parts)),
        };
        joined.push(reply);
    }
    joined
}

/// The client hears everything in its order, and may go on.
fn finish(client: &mut Client, run: Run, answers: Vec<Reply>, desk: &mut Desk) {
    let buffer = desk.write(client.stream);
    if let Kind::Watch(keys) = run.kind {
        let answer = answers.into_iter().next().unwrap_or_default();
        match versions(&answer.0).filter(|versions| versions.len() == keys.len()) {
            Some(versions) => {
                client.watched.add(keys, versions);
                buffer.extend_from_slice(b"+OK\r\n");
            }
            // It is an error, and tells what is wrong.
            None => buffer.extend_from_slice(&answer.0),
        }
        for slot in run.slots {
            if let Slot::Ready(reply) = slot {
                buffer.extend_from_slice(&reply);
            }
        }
    } else {
        let mut answers = answers.into_iter();
        for slot in run.slots {
            match slot {
                Slot::Ready(reply) => buffer.extend_from_slice(&reply),
                Slot::Awaited => {
                    if let Some(reply) = answers.next() {
                        buffer.extend_from_slice(&reply.0);
                    }
                }
                Slot::Unwanted => drop(answers.next()),
            }
        }
    }
    if client.is_leaving {
        desk.close(client.stream);
    } else {
        desk.resume(client.stream);
    }
}

/// The numbers that an array of integers says.
fn versions(reply: &[u8]) -> Option<Vec<u64>> {
    let text = std::str::from_utf8(reply).ok()?;
    let mut lines = text.strip_prefix('*')?.split_terminator("\r\n");
    let count: usize = lines.next()?.parse().ok()?;
    let numbers: Option<Vec<u64>> = lines.map(|line| line.strip_prefix(':')?.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() == count)
}

/// The time of day.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) fn failed(protocol: Protocol, failure: &Failure) -> Said {
    let mut answer = Answer::new(protocol);
    answer.failure(failure);
    Said::Reply(answer.into_bytes())
}

impl Streams for Face {
    type Call = Call;

    fn on_client(&mut self, stream: StreamId, peer: SocketAddr, _: &mut Desk) {
        let user = self.directory.users.without_a_word();
        self.clients.insert(stream, Client::new(self.next_client, stream, peer, user));
        self.next_client += 1;
        self.counts.connections += 1;
    }

    fn on_bytes(&mut self, stream: StreamId, input: &mut Input, desk: &mut Desk) -> Result<(), String> {
        if self.owes(stream) {
            return Ok(()); // it is heard when it has its answers
        }
        self.serve(stream, input, desk)
    }

    /// What it has asked for is done and answered all the same; then this comes again.
    fn on_end(&mut self, stream: StreamId, desk: &mut Desk) {
        if !self.owes(stream) {
            desk.close(stream);
        }
    }

    fn owes(&self, stream: StreamId) -> bool {
        self.clients.get(&stream).is_some_and(|client| client.run.is_some())
    }

    fn on_call(&mut self, call: Call, desk: &mut Desk) {
        match call {
            Call::Told(told) => self.hear(told, desk),
            Call::Ways(ways) => {
                self.outbox = ways.iter().map(|_| Vec::new()).collect();
                self.partitions = Partitions::of(&ways);
                self.ways = ways;
            }
            Call::Look(asker) => {
                let (counts, streams) = (self.counts.clone(), desk.tally());
                let (connections, backlog) = (self.clients.len(), desk.backlog_kept());
                // Whoever has asked may have no patience left.
                let _ = asker.send(Look { counts, streams, connections, backlog });
            }
        }
    }

    fn end_turn(&mut self, _: &mut Desk) {
        self.heard_at = None;
        for (way, outbox) in self.ways.iter().zip(&mut self.outbox) {
            if !outbox.is_empty() {
                // Whoever is gone answers nothing, and the clients are told so when their patience ends.
                let _ = (way.ask)(std::mem::take(outbox));
            }
        }
    }

    fn on_tick(&mut self, now: Instant, desk: &mut Desk) {
        self.partitions.look(now, &self.ways);
        self.statistics.tick(now, &self.counts, desk.tally());
        let patience = self.directory.patience;
        let is_late = |run: &Run| run.began.is_some_and(|began| now.duration_since(began) > patience);
        for client in self.clients.values_mut() {
            let Some(run) = client.run.take_if(|run| is_late(run)) else { continue };
            self.runs.remove(&run.token);
            if let Some(outbox) = self.outbox.get_mut(run.at) {
                outbox.push(Ask::Forget(run.token));
            }
            let seconds = patience.as_secs_f64();
            let line = match run.only_reads {
                true => format!("-TRYAGAIN no answer within {seconds} s: is a majority of the partition up?\r\n"),
                false => format!("-UNCERTAIN no answer within {seconds} s: it may have been done, or may yet be\r\n"),
            };
            let answers = vec![Reply(Bytes::from(line)); run.requests.len()];
            count(&mut self.counts, &run, &answers, now);
            finish(client, run, answers, desk);
        }
    }

    fn on_gone(&mut self, stream: StreamId) {
        if let Some(run) = self.clients.remove(&stream).and_then(|client| client.run) {
            self.runs.remove(&run.token);
            run.requests.iter().for_each(|(.., number)| self.counts.unheard(*number));
            if let Some(outbox) = self.outbox.get_mut(run.at) {
                outbox.push(Ask::Forget(run.token));
            }
        }
    }
}
