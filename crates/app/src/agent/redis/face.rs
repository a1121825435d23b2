//! [`Face`]: what stands behind the connections of clients of Redis. It reads
//! commands, asks the agent, and tells those who listen what has changed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use skein_edge::Agent;
use skein_edge::map::{MAX_KEY, MAX_VALUE};
use skein_runtime::datagrams::{Handle, Unheard};
use skein_runtime::streams::{Caller, Desk, Input, Protocol as Streams, StreamId};
use skein_service::kv::{Answer, Failure, Protocol};

use super::asker::{Asker, of_unheard};
use super::client::{Client, MOST_CHANNELS, MOST_PATTERNS};
use super::reads::Search;
use super::wish::Wish;
use crate::agent::{News, What, spoken};
use crate::serve::resp::parser::{Bounds, Found, unquote};

/// The longest command: a thousand keys of the longest, or a value and what stands around it.
pub(super) const MOST_COMMAND: usize = 2 << 20;

/// Reads of one client that the agent answers at once.
const MOST_READS: usize = 256;

/// What other threads tell the face.
pub(crate) enum Call {
    /// The way to itself.
    Begin(Caller<Call>),
    /// The agent has answered.
    Answer(StreamId, Vec<u8>),
    /// Something has happened.
    News(Arc<News>),
    /// Something was missed.
    Missed,
}

/// See above.
pub(super) struct Face {
    name: String,
    /// The digest of the password, if there is one.
    password: Option<Vec<u8>>,
    agent: Handle<Agent>,
    itself: Option<Caller<Call>>,
    clients: HashMap<StreamId, Client>,
    next_number: u64,
    since: Instant,
}

/// What is to be said at once, if anything.
type Said = Result<(), Failure>;

impl Face {
    pub(super) fn new(name: &str, password: Option<&str>, agent: Handle<Agent>) -> Face {
        let password = password.map(|password| digest(&SHA256, password.as_bytes()).as_ref().to_vec());
        let (clients, since) = (HashMap::new(), Instant::now());
        Face { name: name.to_owned(), password, agent, itself: None, clients, next_number: 1, since }
    }

    /// Reads commands until one has to wait for its answer.
    fn serve(
        &mut self,
        stream: StreamId,
        client: &mut Client,
        input: &mut Input,
        desk: &mut Desk,
    ) -> Result<(), String> {
        let mut reads = Vec::new();
        let mut nonsense = None;
        while !client.waits && !client.is_leaving && reads.len() < MOST_READS && desk.has_room(stream) {
            let bounds = Bounds { bulk: MAX_VALUE.max(MAX_KEY), command: MOST_COMMAND, is_known: client.is_known };
            let (places, length) = match client.parser.next(input.bytes(), bounds) {
                Ok(Found::Command(places, length)) => (places, length),
                Ok(Found::Unfinished(need)) => {
                    desk.expect(stream, need);
                    break;
                }
                Err(found) => {
                    nonsense = Some(found);
                    break;
                }
            };
            let bytes = input.bytes();
            let words: Vec<Vec<u8>> = match bytes[0] {
                b'*' => places.into_iter().map(|place| bytes[place].to_vec()).collect(),
                _ => places.into_iter().map(|place| unquote(&bytes[place])).collect(),
            };
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let wish = if args.is_empty() { None } else { Some(admit(client, Wish::parse(&args))) };
            match wish {
                Some(Ok(Wish::Read(read))) => reads.push(read),
                // What was asked before is answered before.
                Some(_) if !reads.is_empty() => {
                    client.parser = Default::default();
                    break;
                }
                Some(Ok(wish)) => self.grant(stream, client, wish, desk),
                Some(Err(failure)) => fail(client.protocol, &failure, desk.write(stream)),
                None => {}
            }
            input.consume(length);
            desk.settled(stream);
        }
        if !reads.is_empty() {
            let asked = self.asker(stream, client).and_then(|asker| asker.read(reads));
            self.wait(stream, client, asked, desk);
            // Nonsense is answered after what came before it, when it is read again.
            if nonsense.is_some() {
                client.parser = Default::default();
            }
        } else if let Some(nonsense) = nonsense {
            desk.write(stream).extend_from_slice(format!("-{nonsense}\r\n").as_bytes());
            client.is_leaving = true;
        }
        if client.is_leaving && !client.waits { Err("it leaves".to_owned()) } else { Ok(()) }
    }

    /// Asks the agent for a client. Who comes in the very first moment, before there is a way back, may come again.
    fn asker(&self, stream: StreamId, client: &Client) -> Result<Asker, Unheard> {
        let face = self.itself.clone().ok_or(Unheard::Busy)?;
        Ok(Asker { agent: self.agent.clone(), face, stream, protocol: client.protocol })
    }

    fn wait(&self, stream: StreamId, client: &mut Client, asked: Result<(), Unheard>, desk: &mut Desk) {
        match asked {
            Ok(()) => {
                client.waits = true;
                desk.pause(stream);
            }
            Err(unheard) => fail(client.protocol, &of_unheard(unheard), desk.write(stream)),
        }
    }

    /// Does what a client asks for.
    fn grant(&mut self, stream: StreamId, client: &mut Client, wish: Wish, desk: &mut Desk) {
        match wish {
            Wish::Read(_) => unreachable!("reads are answered together"),
            Wish::Keys(pattern) => {
                let asked = self.asker(stream, client).and_then(|asker| asker.search(Search::new(pattern)));
                self.wait(stream, client, asked, desk);
            }
            Wish::Set(key, value) => {
                let asked = self.asker(stream, client).and_then(|asker| asker.set(key, value));
                self.wait(stream, client, asked, desk);
            }
            Wish::Remove(keys) => {
                let asked = self.asker(stream, client).and_then(|asker| asker.remove(keys, 0));
                self.wait(stream, client, asked, desk);
            }
            wish => {
                let mut answer = Answer::new(client.protocol);
                let said = self.answer_here(client, wish, &mut answer);
                let buffer = desk.write(stream);
                buffer.extend_from_slice(answer.bytes());
                if let Err(failure) = said {
                    fail(client.protocol, &failure, buffer);
                }
                desk.may_be_silent(stream, client.listens_to() > 0);
            }
        }
    }

    /// What concerns only the connection.
    fn answer_here(&mut self, client: &mut Client, wish: Wish, answer: &mut Answer) -> Said {
        match wish {
            Wish::Ping(word) if client.listens_to() > 0 && !answer.is_three() => {
                answer.array(2);
                answer.bulk(b"pong");
                answer.bulk(word.as_deref().unwrap_or_default());
            }
            Wish::Ping(None) => answer.simple("PONG"),
            Wish::Ping(Some(word)) | Wish::Echo(word) => answer.bulk(&word),
            Wish::Quit => {
                client.is_leaving = true;
                answer.ok();
            }
            Wish::Reset => {
                *client = Client::new(client.number, self.password.is_none());
                *answer = Answer::new(client.protocol);
                answer.simple("RESET");
            }
            Wish::Auth(_) if self.password.is_none() => {
                return Err(Failure::of("ERR AUTH called without any password configured here"));
            }
            Wish::Auth(password) => {
                self.identify(client, &password)?;
                answer.ok();
            }
            Wish::Hello { protocol, password, name } => {
                if let Some(password) = password
                    && self.password.is_some()
                {
                    self.identify(client, &password)?;
                }
                if !client.is_known {
                    return Err(Failure::of("NOAUTH HELLO wants AUTH default PASSWORD here"));
                }
                client.protocol = protocol.unwrap_or(client.protocol);
                client.name = name.map_or_else(|| std::mem::take(&mut client.name), |name| name.to_vec());
                *answer = Answer::new(client.protocol);
                hello(client, answer);
            }
            Wish::Say(line) => answer.simple(line),
            Wish::Count(count) => answer.integer(count),
            Wish::Nothing => answer.array(0),
            Wish::ClientId => answer.integer(client.number as i64),
            Wish::ClientName => answer.bulk(&client.name),
            Wish::SetClientName(name) => {
                client.name = name.to_vec();
                answer.ok();
            }
            Wish::Info => answer.bulk(self.information().as_bytes()),
            Wish::Subscribe { channels, are_patterns } => subscribe(client, &channels, are_patterns, answer)?,
            Wish::Unsubscribe { channels, are_patterns } => unsubscribe(client, &channels, are_patterns, answer),
            Wish::Read(_) | Wish::Keys(_) | Wish::Set(..) | Wish::Remove(_) => unreachable!("the agent is asked"),
        }
        Ok(())
    }

    fn identify(&self, client: &mut Client, password: &[u8]) -> Said {
        // Of two digests nobody learns anything by how long it takes to compare them.
        if self.password.as_deref() != Some(digest(&SHA256, password).as_ref()) {
            return Err(Failure::of("WRONGPASS invalid username-password pair or user is disabled."));
        }
        client.is_known = true;
        Ok(())
    }

    fn information(&self) -> String {
        let (version, uptime, clients) =
            (env!("CARGO_PKG_VERSION"), self.since.elapsed().as_secs(), self.clients.len());
        format!(
            "# Server\r\nredis_version:7.4.0\r\nredis_mode:standalone\r\nskein_version:{version}\r\nskein_agent:{}\r\n\
             uptime_in_seconds:{uptime}\r\n\r\n# Clients\r\nconnected_clients:{}\r\n",
            self.name,
            clients + 1,
        )
    }

    fn tell_all(&mut self, key: &[u8], value: &[u8], desk: &mut Desk) {
        for (stream, client) in self.clients.iter().filter(|(_, client)| client.listens_to() > 0) {
            let mut answer = Answer::new(client.protocol);
            if client.tell(key, value, &mut answer) {
                desk.write(*stream).extend_from_slice(answer.bytes());
            }
        }
    }
}

/// Whether a client may ask for this now.
fn admit(client: &Client, wish: Result<Wish, Failure>) -> Result<Wish, Failure> {
    if !client.is_known && !wish.as_ref().is_ok_and(Wish::suits_strangers) {
        return Err(Failure::of("NOAUTH Authentication required."));
    }
    let wish = wish?;
    if client.listens_to() > 0 && client.protocol == Protocol::Two && !wish.suits_listeners() {
        return Err(Failure::of(
            "ERR only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        ));
    }
    Ok(wish)
}

fn hello(client: &Client, answer: &mut Answer) {
    answer.map(7);
    answer.bulk(b"server");
    answer.bulk(b"redis");
    answer.bulk(b"version");
    answer.bulk(b"7.4.0");
    answer.bulk(b"proto");
    answer.integer(if client.protocol == Protocol::Three { 3 } else { 2 });
    answer.bulk(b"id");
    answer.integer(client.number as i64);
    answer.bulk(b"mode");
    answer.bulk(b"standalone");
    answer.bulk(b"role");
    answer.bulk(b"master");
    answer.bulk(b"modules");
    answer.array(0);
}

fn subscribe(client: &mut Client, channels: &[Bytes], are_patterns: bool, answer: &mut Answer) -> Said {
    for channel in channels {
        let (all, most) = match are_patterns {
            false => (&mut client.channels, MOST_CHANNELS),
            true => (&mut client.patterns, MOST_PATTERNS),
        };
        if all.len() >= most && !all.contains(&channel[..]) {
            return Err(Failure::with(&[b"ERR nobody listens to more than ", most.to_string().as_bytes(), b" here"]));
        }
        all.insert(channel.to_vec());
        client.confirm(if are_patterns { "psubscribe" } else { "subscribe" }, Some(channel), answer);
    }
    Ok(())
}

fn unsubscribe(client: &mut Client, channels: &[Bytes], are_patterns: bool, answer: &mut Answer) {
    let what = if are_patterns { "punsubscribe" } else { "unsubscribe" };
    let all = if are_patterns { &mut client.patterns } else { &mut client.channels };
    let channels: Vec<Vec<u8>> = match channels {
        [] => all.iter().cloned().collect(),
        channels => channels.iter().map(|channel| channel.to_vec()).collect(),
    };
    if channels.is_empty() {
        client.confirm(what, None, answer);
    }
    for channel in channels {
        let all = if are_patterns { &mut client.patterns } else { &mut client.channels };
        all.remove(&channel);
        client.confirm(what, Some(&channel), answer);
    }
}

fn fail(protocol: Protocol, failure: &Failure, buffer: &mut Vec<u8>) {
    let mut answer = Answer::new(protocol);
    answer.failure(failure);
    buffer.extend_from_slice(answer.bytes());
}

impl Streams for Face {
    type Call = Call;

    fn on_client(&mut self, stream: StreamId, _: SocketAddr, _: &mut Desk) {
        self.clients.insert(stream, Client::new(self.next_number, self.password.is_none()));
        self.next_number += 1;
    }

    fn on_bytes(&mut self, stream: StreamId, input: &mut Input, desk: &mut Desk) -> Result<(), String> {
        let Some(mut client) = self.clients.remove(&stream) else { return Ok(()) };
        let served = if client.waits { Ok(()) } else { self.serve(stream, &mut client, input, desk) };
        self.clients.insert(stream, client);
        served
    }

    fn on_end(&mut self, stream: StreamId, desk: &mut Desk) {
        if !self.owes(stream) {
            desk.close(stream);
        }
    }

    fn owes(&self, stream: StreamId) -> bool {
        self.clients.get(&stream).is_some_and(|client| client.waits)
    }

    fn on_call(&mut self, call: Call, desk: &mut Desk) {
        match call {
            Call::Begin(itself) => self.itself = Some(itself),
            Call::Answer(stream, answer) => {
                let Some(client) = self.clients.get_mut(&stream) else { return };
                client.waits = false;
                desk.write(stream).extend_from_slice(&answer);
                desk.resume(stream);
            }
            Call::News(news) => {
                if let What::Changed { key, value, .. } = &news.what {
                    let value = value.as_ref().map(|value| spoken::value(key, value)).unwrap_or_default();
                    self.tell_all(key, &value, desk);
                }
            }
            Call::Missed => {
                // They cannot know what they have missed, but they know what to do when a connection breaks.
                let listeners = self.clients.iter().filter(|(_, client)| client.listens_to() > 0);
                listeners.for_each(|(stream, _)| desk.close(*stream));
            }
        }
    }

    fn end_turn(&mut self, _: &mut Desk) {}

    fn on_tick(&mut self, _: Instant, _: &mut Desk) {}

    fn on_gone(&mut self, stream: StreamId) {
        self.clients.remove(&stream);
    }
}
