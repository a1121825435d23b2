//! [`Crowd`]: all clients of a run. Each does one thing after the other through
//! some replica, looks for another when its own is gone or silent, and writes
//! down what it asked and what it was told. Some name what they ask for, and ask
//! again until they have an answer; the others never know.

use std::collections::BTreeMap;

use skein_machine::{
    Ask, Cluster, Command, Freshness, GroupId, GroupSet, MessageId, Multicast, ProcessId, Random, Reply, Serving,
    Timestamp, Told,
};

use super::habits::Habits;
use super::tongue::{Asker, Heard, Meaning, Tongue, Way, Wish};
use crate::check::linear::{Element, Fate, Key, Operation, Place};
use crate::{Nanos, SECOND, World};

/// How long a client waits for an answer.
const PATIENCE: (Nanos, Nanos) = (2 * SECOND, 10 * SECOND);

/// Sessions of messages that are no commands begin here, one for each.
const RAW_SESSIONS: u64 = 1 << 40;

/// Lists do not grow beyond what is easily looked at.
const MOST_OPERATIONS: usize = 6_000;

/// All clients of a run.
pub(super) struct Crowd<T: Tongue> {
    tongue: T,
    habits: Habits,
    random: Random,
    replicas: Vec<ProcessId>,
    groups: usize,
    clients: Vec<Client<T::Deed>>,
    /// Who waits under which token.
    tokens: BTreeMap<u64, usize>,
    next_token: u64,
    next_raw: u64,
    is_closed: bool,
    /// Everything that was asked.
    pub(super) operations: Vec<Operation>,
    /// Where appended elements are said to stand.
    pub(super) places: Vec<Place>,
    /// What went wrong beyond order.
    pub(super) oddities: Vec<String>,
}

struct Client<D> {
    entry: ProcessId,
    /// Its session, if it names what it asks for, and the number of the next thing.
    name: Option<(u64, u64)>,
    open: Option<Open<D>>,
    /// The timestamp of the last answer.
    seen: Timestamp,
    /// How long it has seen lists, and what it has appended to them last.
    knows: BTreeMap<Key, Known>,
}

/// What a client may expect of a list.
#[derive(Clone, Copy, Default)]
struct Known {
    length: usize,
    own: Option<Element>,
}

#[derive(Clone)]
struct Open<D> {
    /// The first of those that it stands for, which follow each other.
    operation: usize,
    wish: Wish<D>,
    token: u64,
    life: Option<u32>,
    gives_up: Nanos,
}

impl<T: Tongue> Crowd<T> {
    pub(super) fn new(tongue: T, count: usize, habits: Habits, cluster: &Cluster, mut random: Random) -> Crowd<T> {
        let groups = cluster.groups();
        let replicas: Vec<ProcessId> = cluster.replicas(groups).collect();
        let clients = (0..count as u64).map(|number| Client {
            entry: *random.pick(&replicas),
            name: random.chance(habits.named).then_some((number, 1)),
            open: None,
            seen: Timestamp::ZERO,
            knows: BTreeMap::new(),
        });
        let clients = clients.collect();
        Crowd {
            tongue,
            habits,
            random,
            replicas,
            groups: groups.len(),
            clients,
            tokens: BTreeMap::new(),
            next_token: 0,
            next_raw: RAW_SESSIONS,
            is_closed: false,
            operations: Vec::new(),
            places: Vec::new(),
            oddities: Vec::new(),
        }
    }

    pub(super) fn replicas(&self) -> &[ProcessId] {
        &self.replicas
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Nothing new is begun.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether anybody waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.clients.iter().any(|client| client.open.is_some())
    }

    /// What is waited for, in words.
    pub(super) fn open(&self) -> Vec<String> {
        let open = self.clients.iter().filter_map(|client| client.open.as_ref());
        open.map(|open| format!("{} has no answer", self.operations[open.operation])).collect()
    }

    /// A client looks around. Answers when it does so next.
    pub(super) fn wake<M: Serving>(&mut self, number: usize, world: &mut World<M>) -> Nanos {
        let now = world.now();
        let client = &self.clients[number];
        match client.open.clone() {
            None if self.is_closed || self.operations.len() >= MOST_OPERATIONS => now + SECOND,
            None => {
                self.begin(number, world);
                now + self.habits.glance
            }
            Some(open) if world.life(client.entry) != open.life || now >= open.gives_up => {
                self.lose(number, &open, world);
                self.thinks_until(now)
            }
            Some(_) => now + self.habits.glance,
        }
    }

    /// When a client that was answered does the next thing.
    pub(super) fn thinks_until(&mut self, now: Nanos) -> Nanos {
        now + self.random.between(self.habits.thought.0, self.habits.thought.1)
    }

    fn begin<M: Serving>(&mut self, number: usize, world: &mut World<M>) {
        if self.habits.raw > 0.0 && self.random.chance(self.habits.raw) {
            self.multicast(number, world);
        }
        if self.habits.wanders > 0.0 && self.random.chance(self.habits.wanders) {
            self.clients[number].entry = *self.random.pick(&self.replicas);
        }
        let client = &self.clients[number];
        let asker = Asker { number, group: self.group_of(client.entry), is_named: client.name.is_some() };
        let wish = self.tongue.wish(asker, &self.habits, &mut self.random);
        let who = format!("c{number}");
        let operation = self.write_down(&who, &wish, world.now());
        self.ask(number, operation, wish, world);
    }

    /// Notes what somebody is about to ask for. Answers the number of the first operation that it is.
    fn write_down(&mut self, who: &str, wish: &Wish<T::Deed>, now: Nanos) -> usize {
        // What is only recalled may be as old as the world.
        let asked = if wish.way == Way::Recall { 0 } else { now };
        let first = self.operations.len();
        for deed in &wish.deeds {
            let how = match wish.way {
                Way::Order => "",
                Way::Read => "reads: ",
                Way::Recall => "recalls: ",
            };
            self.operations.push(Operation {
                who: format!("{who} {how}{}", self.tongue.words(deed)),
                asked,
                answered: None,
                fate: Fate::Unknown,
                appends: self.tongue.appends(deed),
                saw: Vec::new(),
            });
        }
        first
    }

    /// Something that is no command, and that nobody waits for.
    fn multicast<M: Serving>(&mut self, number: usize, world: &mut World<M>) {
        let destinations = self.random.between(1, (1 << self.groups) - 1);
        self.next_raw += 1;
        let message = Multicast {
            id: MessageId::new(self.next_raw, 1, destinations),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: bytes::Bytes::from_static(b"no command"),
        };
        let _ = world.command(self.clients[number].entry, Ask::Multicast(message));
    }

    /// The partition of a replica.
    fn group_of(&self, entry: ProcessId) -> GroupId {
        let place = self.replicas.iter().position(|process| *process == entry).expect("an entry is a replica");
        GroupId::new(place * self.groups / self.replicas.len()).expect("a replica is in a group")
    }

    /// The partitions to which something goes as one.
    fn groups_of(&self, wish: &Wish<T::Deed>) -> GroupSet {
        let each = wish.deeds.iter().map(|deed| self.tongue.groups(deed));
        each.reduce(GroupSet::or).expect("a wish is for something")
    }

    fn ask<M: Serving>(&mut self, number: usize, operation: usize, wish: Wish<T::Deed>, world: &mut World<M>) {
        let token = self.next_token;
        self.next_token += 1;
        let client = &self.clients[number];
        let queries = || wish.deeds.iter().map(|deed| self.tongue.bytes(deed)).collect();
        let ask = match wish.way {
            Way::Order => Ask::Calls {
                token,
                groups: self.groups_of(&wish),
                floor: client.seen,
                commands: (wish.deeds.iter())
                    .map(|deed| Command { name: client.name, command: self.tongue.bytes(deed) })
                    .collect(),
            },
            Way::Read => Ask::Read { token, freshness: Freshness::Linearizable, queries: queries() },
            Way::Recall => Ask::Read { token, freshness: Freshness::Causal(client.seen), queries: queries() },
        };
        let life = world.life(client.entry);
        let gives_up = world.now() + self.random.between(PATIENCE.0, PATIENCE.1);
        let operations = operation..operation + wish.deeds.len();
        self.clients[number].open = Some(Open { operation, wish, token, life, gives_up });
        self.tokens.insert(token, number);
        let entry = self.clients[number].entry;
        for operation in &self.operations[operations] {
            world.remark_if_traced(|| format!("{}, through {entry}", operation.who));
        }
        // A process that is down takes nothing; the client will see that it is gone.
        let _ = world.command(entry, ask);
    }

    /// The replica of a client is gone, or silent for too long.
    fn lose<M: Serving>(&mut self, number: usize, open: &Open<T::Deed>, world: &mut World<M>) {
        self.tokens.remove(&open.token);
        let client = &mut self.clients[number];
        let _ = world.command(client.entry, Ask::Forget(open.token));
        client.entry = *self.random.pick(&self.replicas);
        match client.name {
            Some(_) => self.ask(number, open.operation, open.wish.clone(), world),
            None => {
                self.clients[number].open = None;
                self.tongue.lose(number, &open.wish);
            }
        }
    }

    /// A replica says something. Who waits for it may go on.
    pub(super) fn hear<M: Serving>(&mut self, told: Told, world: &mut World<M>) {
        let now = world.now();
        let token = match &told {
            Told::Answers { token, .. } | Told::Read { token, .. } | Told::Failed { token, .. } => *token,
            Told::Up(_) => return,
        };
        let Some(number) = self.tokens.remove(&token) else { return };
        let open = self.clients[number].open.take().expect("a token is somebody's");
        match told {
            Told::Answers { timestamp, replies, .. } => {
                if let Some((_, next)) = &mut self.clients[number].name {
                    *next += 1;
                }
                self.answered(now, number, &open, timestamp, &replies);
            }
            Told::Read { replies, timestamp, .. } => {
                let group = self.group_of(self.clients[number].entry);
                self.answered(now, number, &open, timestamp, &[(group, replies)]);
            }
            Told::Failed { certain, .. } if self.clients[number].name.is_none() => {
                for operation in stands_for(&open).filter(|_| certain) {
                    let operation = &mut self.operations[operation];
                    (operation.answered, operation.fate) = (Some(now), Fate::Never);
                }
                self.tongue.lose(number, &open.wish);
            }
            // Whoever named it asks again; the next glance does.
            Told::Failed { .. } => {
                self.clients[number].open = Some(Open { gives_up: now, ..open });
                return;
            }
            Told::Up(_) => unreachable!("it has no token"),
        }
        for operation in stands_for(&open) {
            let Operation { who, fate, saw, .. } = &self.operations[operation];
            world.remark_if_traced(|| match fate {
                Fate::Done if saw.is_empty() => format!("{who}: done"),
                Fate::Done => format!("{who}: done, saw {saw:?}"),
                Fate::Never => format!("{who}: nothing was done"),
                Fate::Unknown => format!("{who}: nobody knows"),
            });
        }
    }

    fn answered(
        &mut self,
        now: Nanos,
        number: usize,
        open: &Open<T::Deed>,
        timestamp: Timestamp,
        replies: &[(GroupId, Vec<Reply>)],
    ) {
        let client = &mut self.clients[number];
        client.seen = client.seen.max(timestamp);
        let (deeds, way) = (&open.wish.deeds, open.wish.way);
        let expected: Vec<GroupId> = match way {
            Way::Order => self.groups_of(&open.wish).iter().collect(),
            Way::Read | Way::Recall => replies.iter().map(|(group, _)| *group).collect(),
        };
        let told: Vec<GroupId> = replies.iter().map(|(group, _)| *group).collect();
        if told != expected || replies.iter().any(|(_, replies)| replies.len() != deeds.len()) {
            self.oddities.push(format!("{} was answered by {told:?}", self.operations[open.operation]));
            return;
        }
        for (nth, deed) in deeds.iter().enumerate() {
            let operation = open.operation + nth;
            let replies: Vec<(GroupId, Reply)> =
                replies.iter().map(|(group, replies)| (*group, replies[nth].clone())).collect();
            let heard = Heard { client: number, operation, way, timestamp, replies: &replies };
            let meaning = self.tongue.understand(deed, heard);
            self.operations[operation].fate = meaning.fate;
            if way != Way::Recall {
                self.operations[operation].answered = Some(now);
            }
            self.take_in(number, operation, meaning);
            if self.operations[operation].fate == Fate::Done {
                for (key, element) in self.operations[operation].appends.clone() {
                    self.clients[number].knows.entry(key).or_default().own = Some(element);
                }
            }
        }
    }

    fn take_in(&mut self, number: usize, operation: usize, meaning: Meaning) {
        let Meaning { fate: _, saw, earlier, places, expected, oddities } = meaning;
        self.oddities.extend(oddities.into_iter().map(|what| format!("{}: {what}", self.operations[operation])));
        for (key, list) in saw {
            self.remember(number, operation, key, &list);
            self.operations[operation].saw.push((key, list));
        }
        for (then, key, list) in earlier {
            self.operations[then].saw.push((key, list));
        }
        self.places.extend(places.into_iter().map(|(key, element, nth)| Place { operation, key, element, nth }));
        for (who, key, element) in expected {
            let appends = vec![(key, element)];
            let (asked, fate) = (0, Fate::Unknown);
            self.operations.push(Operation { who, asked, answered: None, fate, appends, saw: Vec::new() });
        }
    }

    /// A client never sees less than it has seen, nor without what it has appended.
    fn remember(&mut self, number: usize, operation: usize, key: Key, list: &[Element]) {
        let known = self.clients[number].knows.entry(key).or_default();
        let lacks_own = known.own.is_some_and(|own| !list.contains(&own));
        if list.len() < known.length || lacks_own {
            let detail = format!("{} saw less of list {key} than before", self.operations[operation]);
            self.oddities.push(detail);
        }
        known.length = known.length.max(list.len());
    }

    /// Asks every replica for everything that its partition has. It is looked for among the others' answers.
    pub(super) fn look_at_everything<M: Serving>(&mut self, world: &mut World<M>) {
        for process in self.replicas.clone() {
            let deed = self.tongue.look_at_everything(self.group_of(process));
            let wish = Wish { deeds: vec![deed], way: Way::Read };
            let operation = self.write_down(&format!("the last look at {process}"), &wish, world.now());
            let (name, open, knows) = (None, None, BTreeMap::new());
            let client = Client { entry: process, name, open, seen: Timestamp::ZERO, knows };
            self.clients.push(client);
            let number = self.clients.len() - 1;
            self.ask(number, operation, wish, world);
            // It has all the time that there is.
            self.clients[number].open.as_mut().expect("it has just asked").gives_up = Nanos::MAX;
        }
    }
}

/// The operations that something open stands for.
fn stands_for<D>(open: &Open<D>) -> std::ops::Range<usize> {
    open.operation..open.operation + open.wish.deeds.len()
}
