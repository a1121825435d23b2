//! The load of torture on a store: clients of Redis, a thread each, that append
//! to lists and look at them, one thing after the other through some node, and
//! go to another when theirs is dead or silent. No two elements are alike, so
//! what a client sees tells what had happened before.
//!
//! A third of them name what they ask for, and ask again until they have an
//! answer, which may happen only once. The others live with not knowing. Each
//! writes down what it asked and what it was told. It judges nothing but what
//! makes no sense at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use skein_machine::{GroupId, Random};
use skein_service::kv::Placement;
use skein_sim::check::linear::{Element, Fate, Key, Operation};

use super::form::{CHANGED, Form, Outcome};
use super::journal::moment;
use super::load::Tally;
use super::plan::span;
use crate::cli::Mistake;
use crate::config::Config;
use crate::list_words::{list, look, words};
use crate::redis::{Command, Connection, Reply};

/// As many as have something on the way at once.
const CLIENTS: u64 = 12;

/// Lists that are in use at once.
const LISTS: u64 = 12;

/// After so many appends the next lists have their turn: who looks at one must not have to read for long.
const APPENDS: u64 = LISTS * 40;

/// A node that has no answer by then says so.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// As a rule a client has more patience than a node,
const PATIENCE: Duration = Duration::from_millis(2500);

/// and now and then as little as this.
const HASTE: Duration = Duration::from_millis(5);

/// Before something is tried once more.
const PAUSE: Duration = Duration::from_millis(20);

/// A node that was silent is left alone for so long, while there are others.
const AVOIDED_FOR: Duration = Duration::from_secs(1);

/// Why nobody knows.
const LEFT: &str = "it left at once";
const OVER: &str = "it is over";

/// So many lists are looked at in one go at the end.
const BATCH: usize = 100;

/// The key of a list.
pub(crate) fn name_of(key: Key) -> String {
    format!("list:{key}")
}

/// Something that was asked for, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    /// How long lists were with what was appended to them, as the answer said.
    pub(crate) lengths: Vec<(Key, Element, u64)>,
    /// Why nothing was done, or nobody knows.
    pub(crate) why: String,
}

/// What one client, or the last look, saw.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) asked: Vec<Asked>,
    /// Answers that make no sense.
    pub(crate) strange: Vec<String>,
}

/// What all clients draw from.
#[derive(Debug, Default)]
struct Supply {
    elements: AtomicU64,
}

/// All clients.
pub(crate) struct Clients {
    pub(crate) tally: Arc<Tally>,
    supply: Arc<Supply>,
    threads: Vec<JoinHandle<Account>>,
}

impl Clients {
    /// Begins to ask for so many things a second, over all clients.
    pub(crate) fn begin(config: &Config, random: &mut Random, per_second: f64) -> Result<Clients, Mistake> {
        let (tally, supply) = (Arc::new(Tally::default()), Arc::new(Supply::default()));
        let mut clients = Clients { tally, supply, threads: Vec::new() };
        let nodes = faces(config);
        for number in 0..CLIENTS {
            let mut random = random.fork(number);
            let client = Client {
                number,
                at: random.below(nodes.len() as u64) as usize,
                nodes: nodes.iter().map(|(name, address)| (name.clone(), *address, None)).collect(),
                connection: None,
                pause: Duration::from_secs_f64(CLIENTS as f64 / per_second),
                random,
                is_named: number % 3 == 2,
                next_number: 1,
                account: Account::default(),
                tally: clients.tally.clone(),
                supply: clients.supply.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("client {number}")).spawn(move || client.live());
            clients.threads.push(thread.map_err(|error| Mistake(format!("there is no thread for a client: {error}")))?);
        }
        Ok(clients)
    }

    /// Whether all have the answers on which they insist, once they are closing.
    pub(crate) fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends it and answers what they wrote down, and how many lists there are.
    pub(crate) fn end(mut self) -> Result<(Vec<Account>, Key), Mistake> {
        self.tally.is_over.store(true, Relaxed);
        let ended = std::mem::take(&mut self.threads).into_iter().map(JoinHandle::join);
        let accounts = ended.map(|account| account.map_err(|_| Mistake("a client panicked".to_owned())));
        Ok((accounts.collect::<Result<_, _>>()?, self.supply.next_list()))
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.tally.is_over.store(true, Relaxed);
    }
}

/// Where the nodes serve clients.
fn faces(config: &Config) -> Vec<(String, SocketAddr)> {
    config.nodes.iter().filter_map(|(name, node)| Some((name.clone(), node.redis?))).collect()
}

impl Supply {
    fn element(&self) -> Element {
        self.elements.fetch_add(1, Relaxed)
    }

    /// The first of the lists that are in use.
    fn first_list(&self) -> Key {
        self.elements.load(Relaxed) / APPENDS * LISTS
    }

    /// The first that has not been in use yet.
    fn next_list(&self) -> Key {
        self.first_list() + LISTS
    }
}

struct Client {
    number: u64,
    /// Each with its face, and until when it is avoided.
    nodes: Vec<(String, SocketAddr, Option<Instant>)>,
    /// Where it is, or wants to be next.
    at: usize,
    connection: Option<Connection>,
    pause: Duration,
    random: Random,
    /// Whether it names what it asks for.
    is_named: bool,
    next_number: u64,
    account: Account,
    tally: Arc<Tally>,
    supply: Arc<Supply>,
}

/// What was said, and what came back of it before the end of patience or of the connection.
struct Exchange {
    node: String,
    asked: u64,
    answered: u64,
    replies: Vec<Reply>,
    /// Why there are no more.
    ended: String,
}

impl Client {
    fn live(mut self) -> Account {
        let mut next = Instant::now();
        while !self.is_told_to(&self.tally.is_closing) {
            let now = Instant::now();
            if now < next {
                std::thread::sleep(next - now);
            }
            // What was missed while nobody answered is not made up for.
            next = (next + self.pause).max(now.checked_sub(self.pause * 10).unwrap_or(now));
            if self.random.chance(0.02) {
                self.go_elsewhere();
            }
            self.act();
        }
        self.account
    }

    fn is_told_to(&self, word: &std::sync::atomic::AtomicBool) -> bool {
        word.load(Relaxed) || self.tally.is_over.load(Relaxed)
    }

    fn act(&mut self) {
        let lot = self.random.below(100);
        if self.is_named {
            let form = match lot {
                0..45 => self.some_append(),
                45..90 => self.some_transaction(),
                90..95 => self.some_look(),
                _ => self.some_view(),
            };
            return self.insist(&form);
        }
        match lot {
            0..25 => {
                let form = self.some_append();
                self.ask_for(&[form]);
            }
            25..45 => {
                let form = self.some_look();
                self.ask_for(&[form]);
            }
            45..70 => {
                let form = self.some_transaction();
                self.ask_for(&[form]);
            }
            70..78 => {
                let form = self.some_view();
                self.ask_for(&[form]);
            }
            78..88 => self.pipeline(),
            _ => self.watch(),
        }
    }

    fn some_keys(&mut self, count: usize) -> Vec<Key> {
        let mut first = self.supply.first_list();
        // What is late may come to a list that others have left.
        if first >= LISTS && self.random.chance(0.03) {
            first -= LISTS;
        }
        let mut keys: Vec<Key> = (first..first + LISTS).collect();
        self.random.shuffle(&mut keys);
        keys.truncate(count);
        keys
    }

    fn some_append(&mut self) -> Form {
        Form::append(self.some_keys(1)[0], self.supply.element())
    }

    fn some_look(&mut self) -> Form {
        Form::look(self.some_keys(1)[0])
    }

    fn some_view(&mut self) -> Form {
        let count = self.random.between(2, 4) as usize;
        Form::transaction(self.some_keys(count), Vec::new())
    }

    /// Sees some lists, and appends one element to some of them and to others.
    fn some_transaction(&mut self) -> Form {
        let keys = self.some_keys(3);
        let element = self.supply.element();
        let reads = keys[..self.random.between(0, 2) as usize].to_vec();
        let appends = match self.random.below(3) {
            0 => vec![keys[0], keys[2]],
            1 => vec![keys[1], keys[2], keys[0]],
            _ => vec![keys[2]],
        };
        Form::transaction(reads, appends.into_iter().map(|key| (key, element)).collect())
    }

    /// Some things in one breath. What a client says in a row happens in a row.
    fn pipeline(&mut self) {
        let keys = self.some_keys(3);
        let element = self.supply.element();
        let forms = [
            Form::append(keys[0], element),
            Form::look(keys[0]),
            Form::look(keys[1]),
            self.some_transaction(),
            Form::append(keys[2], self.supply.element()),
        ];
        let first = self.account.asked.len();
        self.ask_for(&forms);
        let [append, look, ..] = &self.account.asked[first..] else { return };
        let (append, look) = (&append.operation, &look.operation);
        if append.fate == Fate::Done && look.fate == Fate::Done && !look.saw[0].1.contains(&element) {
            let words = format!("{look} did not see {element} in list {}, which it had appended before", keys[0]);
            self.account.strange.push(words);
        }
    }

    /// Appends to a list if nobody has changed what it saw.
    fn watch(&mut self) {
        let count = self.random.between(1, 2) as usize;
        let keys = self.some_keys(3);
        let watched = &keys[..count];
        let mut commands = vec![words(&["WATCH"])];
        commands[0].extend(watched.iter().map(|key| name_of(*key)));
        commands.extend(watched.iter().map(|key| look(&name_of(*key))));
        let Some(exchange) = self.exchange(&commands) else { return };
        let [watch, rest @ ..] = &exchange.replies[..] else { return };
        let is_refused = |reply: &Reply| matches!(reply, Reply::Error(why) if why.starts_with("TRYAGAIN ") || why.starts_with("UNCERTAIN "));
        if *watch != Reply::Simple("OK".to_owned()) {
            if !is_refused(watch) {
                self.account.strange.push(format!("WATCH at {} is answered {watch:?}", exchange.node));
            }
            self.connection = None;
            return;
        }
        let mut saw = Vec::new();
        for (key, reply) in watched.iter().zip(rest) {
            let form = Form::look(*key);
            let outcome = form.understand(std::slice::from_ref(reply));
            if let Outcome::Done(seen, _) = &outcome {
                saw.extend(seen.iter().cloned());
            }
            self.note(&form, &exchange, outcome);
        }
        if saw.len() < count {
            self.connection = None;
            return;
        }
        if self.random.chance(0.3) {
            std::thread::sleep(span(&mut self.random, Duration::from_millis(1), PAUSE));
        }
        let element = self.supply.element();
        let mut form = Form::transaction(Vec::new(), vec![(keys[0], element), (keys[2], element)]);
        form.appends.truncate(self.random.between(1, 2) as usize);
        form.is_bound_to = saw;
        self.ask_for(&[form]);
    }

    /// Asks once, for all of these together.
    fn ask_for(&mut self, forms: &[Form]) {
        let commands: Vec<Vec<Command>> = forms.iter().map(Form::commands).collect();
        let Some(exchange) = self.exchange(&commands.concat()) else { return };
        let mut replies = exchange.replies.iter();
        for (form, commands) in forms.iter().zip(commands) {
            let own: Vec<Reply> = replies.by_ref().take(commands.len()).cloned().collect();
            let outcome = form.understand(&own);
            if matches!(&outcome, Outcome::Never(why) if why != CHANGED) {
                std::thread::sleep(PAUSE);
            }
            self.note(form, &exchange, outcome);
        }
    }

    /// Asks by name, here and elsewhere, until there is an answer.
    fn insist(&mut self, form: &Form) {
        let number = self.next_number;
        self.next_number += 1;
        // Sessions are the store's own business: 1 and above are any client's.
        let mut commands = vec![words(&["SKEIN.SESSION", &(self.number + 1).to_string(), &number.to_string()])];
        commands.extend(form.commands());
        let mut first: Option<u64> = None;
        while !self.tally.is_over.load(Relaxed) {
            let Some(exchange) = self.exchange(&commands) else { continue };
            let is_first = first.is_none();
            let exchange = Exchange { asked: *first.get_or_insert(exchange.asked), ..exchange };
            let outcome = match &exchange.replies[..] {
                [] => Outcome::Unknown(String::new()),
                [Reply::Simple(word), replies @ ..] if word == "OK" => form.understand(replies),
                [other, ..] => Outcome::Strange(format!("SKEIN.SESSION is answered {other:?}")),
            };
            match outcome {
                Outcome::Unknown(_) => self.go_elsewhere(),
                // An earlier question may have been heard all the same.
                Outcome::Never(_) if !is_first || self.random.chance(0.5) => {}
                outcome => return self.note(form, &exchange, outcome),
            }
            std::thread::sleep(PAUSE);
        }
        if let Some(asked) = first {
            let node = self.nodes[self.at].0.clone();
            self.note(
                form,
                &Exchange { node, asked, answered: asked, replies: Vec::new(), ended: OVER.to_owned() },
                Outcome::Unknown(String::new()),
            );
        }
    }

    /// Says these, where it is or wherever somebody listens, and hears as much as comes. None: nobody listens.
    fn exchange(&mut self, commands: &[Command]) -> Option<Exchange> {
        let now = Instant::now();
        if self.connection.is_none() {
            let is_avoided = self.nodes[self.at].2.is_some_and(|until| now < until);
            if is_avoided {
                self.go_elsewhere();
            }
            let (_, address, avoided) = &mut self.nodes[self.at];
            match Connection::open(*address, PATIENCE) {
                Ok(connection) => (self.connection, *avoided) = (Some(connection), None),
                Err(_) => {
                    *avoided = Some(now + AVOIDED_FOR);
                    self.go_elsewhere();
                    std::thread::sleep(PAUSE);
                    return None;
                }
            }
        }
        let node = self.nodes[self.at].0.clone();
        let connection = self.connection.as_mut().expect("it is there");
        let asked = moment();
        let is_hasty = self.random.chance(0.02);
        let patience = if is_hasty { span(&mut self.random, HASTE, PATIENCE) } else { PATIENCE };
        let until = Instant::now() + patience;
        let mut replies = Vec::new();
        let mut outcome = connection.say(commands);
        // Some leave before they have heard anything.
        let leaves = self.random.chance(0.005);
        while outcome.is_ok() && !leaves && replies.len() < commands.len() {
            outcome = connection.hear(until).map(|reply| replies.push(reply));
        }
        let answered = moment();
        if let Err(error) = &outcome
            && error.kind() == std::io::ErrorKind::InvalidData
        {
            self.account.strange.push(format!("{node} says what makes no sense: {error}"));
        }
        if outcome.is_err() || leaves {
            if !is_hasty && !leaves {
                self.nodes[self.at].2 = Some(now + AVOIDED_FOR);
            }
            self.go_elsewhere();
        }
        let ended = match &outcome {
            _ if leaves => LEFT.to_owned(),
            Err(error) => error.to_string(),
            Ok(()) => String::new(),
        };
        Some(Exchange { node, asked, answered, replies, ended })
    }

    fn go_elsewhere(&mut self) {
        self.connection = None;
        let now = Instant::now();
        let is_welcome = |nth: &usize| self.nodes[*nth].2.is_none_or(|until| until <= now);
        let welcome: Vec<usize> = (0..self.nodes.len()).filter(is_welcome).collect();
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.at = *self.random.pick(if welcome.is_empty() { &all } else { &welcome });
    }

    fn note(&mut self, form: &Form, exchange: &Exchange, outcome: Outcome) {
        let who = format!("c{} {} at {}", self.number, form.what, exchange.node);
        self.tally.multicasts.fetch_add(1, Relaxed);
        let (fate, saw, lengths, why) = match outcome {
            Outcome::Done(saw, lengths) => {
                self.tally.acknowledged.fetch_add(1, Relaxed);
                (Fate::Done, saw, lengths, String::new())
            }
            Outcome::Never(why) => (Fate::Never, Vec::new(), Vec::new(), why),
            Outcome::Unknown(why) if why.is_empty() => (Fate::Unknown, Vec::new(), Vec::new(), exchange.ended.clone()),
            Outcome::Unknown(why) => (Fate::Unknown, Vec::new(), Vec::new(), why),
            Outcome::Strange(words) => {
                self.account.strange.push(format!("{who}: {words}"));
                (Fate::Unknown, Vec::new(), Vec::new(), words)
            }
        };
        let answered = (fate != Fate::Unknown).then_some(exchange.answered);
        let (asked, appends) = (exchange.asked, form.appends.clone());
        let operation = Operation { who, asked, answered, fate, appends, saw };
        self.account.asked.push(Asked { operation, lengths, why });
    }
}

/// Looks at every list through every node, now that nobody changes any. What a node does not answer in time is strange.
pub(crate) fn last_look(config: &Config, placement: &Placement, lists: Key, patience: Duration) -> Account {
    let begin = Instant::now();
    let mut account = Account::default();
    // What a node has itself it reads without asking around, unless something else travels with it.
    let mut keys: Vec<Vec<Key>> = config.cluster.groups().iter().map(|_| Vec::new()).collect();
    for key in 0..lists {
        let group: GroupId = placement.group_of(name_of(key).as_bytes());
        keys[group.index()].push(key);
    }
    for (node, address) in faces(config) {
        for batch in keys.iter().flat_map(|keys| keys.chunks(BATCH)) {
            loop {
                match look_at(&node, address, batch) {
                    Ok(asked) => {
                        account.asked.extend(asked);
                        break;
                    }
                    Err(_) if begin.elapsed() < patience => std::thread::sleep(PAUSE),
                    Err(why) => {
                        account.strange.push(format!("{node} does not answer after {patience:?} of calm: {why}"));
                        return account;
                    }
                }
            }
        }
    }
    account
}

fn look_at(node: &str, address: SocketAddr, keys: &[Key]) -> Result<Vec<Asked>, String> {
    let mut connection = Connection::open(address, PATIENCE).map_err(|error| error.to_string())?;
    let asked = moment();
    let commands: Vec<Command> = keys.iter().map(|key| look(&name_of(*key))).collect();
    connection.say(&commands).map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    for key in keys {
        let reply = connection.hear(until).map_err(|error| error.to_string())?;
        let list = list(&reply).ok_or_else(|| format!("LRANGE is answered {reply:?}"))?;
        let (who, answered) = (format!("the last look at {node}"), Some(moment()));
        let (fate, appends, saw) = (Fate::Done, Vec::new(), vec![(*key, list)]);
        seen.push(Asked {
            operation: Operation { who, asked, answered, fate, appends, saw },
            lengths: Vec::new(),
            why: String::new(),
        });
    }
    Ok(seen)
}
