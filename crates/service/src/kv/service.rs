//! [`Kv`]: one partition of the store as a [`Service`], and [`KvRouter`], which
//! every node has. What a command does is said in `commands`; this file decides
//! on which keys it does it, and whether.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{
    Call, Frozen, GroupId, GroupSet, MessageId, Random, Refusal, Reply, Router, Service, Shares, Stamp, Timestamp,
};

use super::answer::Answer;
use super::exchange::{MAX_SHARE, Told};
use super::execute::{Context, Held, check, execute};
use super::failure::Failure;
use super::limits::Limits;
use super::parts::{error, join};
use super::placement::Placement;
use super::request::{Args, Body, Protocol, Request, Transaction};
use super::route::{Plan, Way, home, only_reads, own_part, step};
use super::snapshot::{self, State, Writing};
use super::store::{Entry, Store};
use super::table::{Command, Spread, flags};
use super::xxh64::xxh64;
use crate::{Mutant, Planted};

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// One partition.
#[derive(Clone, Debug)]
pub struct Kv {
    group: GroupId,
    placement: Arc<Placement>,
    limits: Limits,
    planted: Planted,
    state: State,
}

/// Knows where keys are, and how replies of several partitions become one.
#[derive(Clone, Debug)]
pub struct KvRouter {
    placement: Arc<Placement>,
    limits: Limits,
}

/// What is run, and under which circumstances.
struct Turn<'a> {
    group: GroupId,
    placement: &'a Placement,
    limits: &'a Limits,
    random: Random,
    alone: bool,
}

impl Turn<'_> {
    fn run(&mut self, store: &mut Store, args: &[&[u8]], answer: &mut Answer, held: Held<'_>) {
        execute(&mut Context {
            store,
            answer,
            args,
            name: "",
            random: &mut self.random,
            limits: self.limits,
            placement: self.placement,
            group: self.group,
            held,
            alone: self.alone,
        });
    }

    /// Every command of a transaction.
    fn run_all(&mut self, store: &mut Store, commands: &[Args<'_>], answer: &mut Answer) {
        answer.array(commands.len());
        for args in commands {
            self.run(store, args, answer, Held::Nothing);
        }
    }

    /// Of every command what concerns this partition.
    fn run_parts(&mut self, store: &mut Store, commands: &[Args<'_>], groups: GroupSet, answer: &mut Answer) {
        let home = home(groups, self.placement) == self.group;
        let mut own: Vec<Args<'_>> = Vec::new();
        for args in commands {
            let Ok(step) = step(args, self.placement, self.limits) else { continue };
            match step.command {
                Some(command) if step.groups.contains(self.group) => {
                    own.push(own_part(command, args, self.group, self.placement));
                }
                _ if step.groups.is_empty() && home => own.push(args.clone()),
                _ => {}
            }
        }
        answer.array(own.len());
        for args in &own {
            // Others may do the same at the same time.
            self.run(store, args, answer, Held::Nothing);
        }
    }
}

impl State {
    /// What a command outside a transaction sees of it.
    fn changed_by(&mut self, call: &Call<'_>) -> (&mut Store, Held<'_>) {
        let State { store, cursors, backups, .. } = self;
        (store, Held::ToChange { cursors, backups, stamp: call.stamp, nth: call.nth })
    }
}

impl Kv {
    /// An empty partition: this group's of that placement.
    pub fn new(group: GroupId, placement: Arc<Placement>, limits: Limits) -> Kv {
        Kv { group, placement, limits, planted: Planted::NONE, state: State::default() }
    }

    /// The same with one of its rules broken, for those who judge it.
    pub fn planted(self, planted: Planted) -> Kv {
        Kv { planted, ..self }
    }

    /// How many keys it holds, those past their deadline included until they are taken away.
    pub fn keys(&self) -> usize {
        self.state.store.keys().len()
    }

    /// How much memory what it holds is said to take: what `max_memory` is compared with.
    pub fn used_memory(&self) -> u64 {
        self.state.store.used()
    }

    fn full(&self) -> bool {
        self.limits.max_memory > 0 && self.state.store.used() > self.limits.max_memory
    }

    fn turn<'a>(&self, placement: &'a Placement, limits: &'a Limits, seed: u64, alone: bool) -> Turn<'a> {
        Turn { group: self.group, placement, limits, random: Random::new(seed), alone }
    }

    fn plan(&self, request: &Request<'_>, destinations: GroupSet) -> Result<Plan, Failure> {
        if destinations.len() == 1 {
            return Ok(Plan { groups: destinations, way: Way::Single });
        }
        Plan::of(request, &self.placement, &self.limits)
    }

    /// Whether the keys that a transaction watches and this partition owns are as they were.
    fn holds(&self, store: &Store, transaction: &Transaction<'_>) -> bool {
        let own = |key: &[u8]| self.placement.group_of(key) == self.group;
        transaction.watched.iter().all(|(key, version)| !own(key) || store.version_of(key) == *version)
    }

    /// Whether nothing that is watched has changed, wherever it is. What this partition itself tells comes last.
    fn all_hold(&self, told: &[Told<'_>]) -> bool {
        if self.planted.is(Mutant::KvWatchesAlone) {
            return told.last().is_some_and(|own| own.holds);
        }
        told.iter().all(|told| told.holds)
    }

    /// What the other partitions must know of this one before they carry a request out.
    fn tell<'a>(&self, store: &Store, request: &Request<'a>, way: Way) -> Told<'a> {
        let holds = match &request.body {
            Body::Command(_) => true,
            Body::Transaction(transaction) => self.holds(store, transaction),
        };
        let mut entries: Vec<(&[u8], Entry)> = Vec::new();
        if way == Way::Values {
            let unread = match &request.body {
                Body::Command(args) => check(args).ok().and_then(|command| overwritten(command, args)),
                Body::Transaction(_) => None,
            };
            let keys = own_keys(request, self.group, &self.placement);
            let keys = keys.into_iter().filter(|key| Some(*key) != unread);
            entries = keys.filter_map(|key| Some((key, store.entry(key)?.clone()))).collect();
        }
        Told::of(holds, self.full(), entries)
    }

    fn carry_out(&mut self, call: &Call<'_>, shares: &Shares) -> Reply {
        let request = match Request::decode(call.command) {
            Ok(request) => request,
            Err(malformed) => return error(Protocol::Two, &Failure::with(&[b"ERR ", malformed.0.as_bytes()])),
        };
        let plan = match self.plan(&request, call.stamp.id.destinations) {
            Ok(plan) => plan,
            Err(failure) => return error(request.protocol, &failure),
        };
        if !plan.groups.contains(self.group) {
            return Reply::default(); // whoever sent it here, the request has nothing to do with this partition
        }
        let (placement, limits) = (self.placement.clone(), self.limits);
        let alone = plan.groups.len() == 1;
        let mut turn = self.turn(&placement, &limits, seed(call), alone);
        let mut answer = Answer::new(request.protocol);
        if matches!(plan.way, Way::Judged | Way::Values) {
            let others = plan.groups.iter().filter(|group| *group != self.group);
            let own = self.tell(&self.state.store, &request, plan.way);
            let told: Vec<Told<'_>> = others
                .map(|group| shares.from(group).unwrap_or_else(|| panic!("{group} told nothing of {:?}", call.stamp)))
                .map(|told| Told::decode(told).unwrap_or_else(|malformed| panic!("a share that is none: {malformed}")))
                .chain([own])
                .collect();
            let verdict = if told.iter().any(|told| told.full) && grows(&request) {
                Some(out_of_memory(&request))
            } else if told.iter().any(|told| told.too_large) {
                let limit = (MAX_SHARE >> 20).to_string();
                Some(Failure::with(&[
                    b"ERR values of more than ",
                    limit.as_bytes(),
                    b" MiB cannot move between partitions",
                ]))
            } else {
                None
            };
            if let Some(failure) = verdict {
                answer.failure(&failure);
            } else if !self.all_hold(&told) {
                answer.null_array();
            } else if plan.way == Way::Judged {
                self.apply_part(&request, plan.groups, call, &mut turn, &mut answer);
            } else {
                self.apply_values(&request, &told, &mut turn, &mut answer);
            }
        } else if plan.way == Way::Split {
            self.apply_part(&request, plan.groups, call, &mut turn, &mut answer);
        } else {
            self.apply_alone(&request, call, &mut turn, &mut answer);
        }
        answer.into_reply()
    }

    fn apply_alone(&mut self, request: &Request<'_>, call: &Call<'_>, turn: &mut Turn<'_>, answer: &mut Answer) {
        if self.full() && grows(request) {
            return answer.failure(&out_of_memory(request));
        }
        match &request.body {
            Body::Command(args) => {
                let (store, held) = self.state.changed_by(call);
                turn.run(store, args, answer, held);
            }
            Body::Transaction(transaction) => {
                let same = |(key, version): &(&[u8], u64)| self.state.store.version_of(key) == *version;
                if transaction.watched.iter().all(same) {
                    turn.run_all(&mut self.state.store, &transaction.commands, answer);
                } else {
                    answer.null_array();
                }
            }
        }
    }

    fn apply_part(
        &mut self,
        request: &Request<'_>,
        groups: GroupSet,
        call: &Call<'_>,
        turn: &mut Turn<'_>,
        answer: &mut Answer,
    ) {
        match &request.body {
            Body::Command(args) => {
                let command = check(args).expect("only what can be run is spread");
                let own = own_part(command, args, self.group, &self.placement);
                let (store, held) = self.state.changed_by(call);
                turn.run(store, &own, answer, held);
            }
            Body::Transaction(transaction) => {
                turn.run_parts(&mut self.state.store, &transaction.commands, groups, answer);
            }
        }
    }

    /// Runs the whole request on the values of all its keys, and keeps what became of this partition's.
    fn apply_values(&mut self, request: &Request<'_>, told: &[Told<'_>], turn: &mut Turn<'_>, answer: &mut Answer) {
        let mut scratch = Store::default();
        scratch.begin(self.state.store.now_ms(), self.state.applied);
        let keys = own_keys(request, self.group, &self.placement);
        for key in &keys {
            if let Some(entry) = self.state.store.entry(key) {
                scratch.put_entry(key, entry.clone());
            }
        }
        let is_alone = self.planted.is(Mutant::KvSetsAlone) && is_msetnx(request);
        for (key, entry) in told.iter().filter(|_| !is_alone).flat_map(|told| &told.entries) {
            if self.placement.group_of(key) != self.group {
                scratch.put_entry(key, entry.clone());
            }
        }
        scratch.begin(self.state.store.now_ms(), self.state.applied);
        match &request.body {
            Body::Command(args) => turn.run(&mut scratch, args, answer, Held::Nothing),
            Body::Transaction(transaction) => turn.run_all(&mut scratch, &transaction.commands, answer),
        }
        for key in keys {
            match scratch.entry(key) {
                Some(entry) if entry.version == self.state.applied => {
                    let mut entry = entry.clone();
                    if self.planted.is(Mutant::KvMovesUnnoticed) {
                        entry.version = self.state.store.entry(key).map_or(entry.version, |before| before.version);
                    }
                    self.state.store.put_entry(key, entry);
                }
                Some(_) => {}
                None => drop(self.state.store.remove(key)),
            }
        }
    }
}

/// Whether anything in a request may make a partition grow.
fn grows(request: &Request<'_>) -> bool {
    let grows = |args: &Args<'_>| check(args).is_ok_and(|command| command.has(flags::DENYOOM));
    match &request.body {
        Body::Command(args) => grows(args),
        Body::Transaction(transaction) => transaction.commands.iter().any(grows),
    }
}

fn is_msetnx(request: &Request<'_>) -> bool {
    matches!(&request.body, Body::Command(args) if args[0].eq_ignore_ascii_case(b"msetnx"))
}

/// The keys of a request that lie in a group, each once.
fn own_keys<'a>(request: &Request<'a>, group: GroupId, placement: &Placement) -> Vec<&'a [u8]> {
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut collect = |args: &Args<'a>| {
        let places = check(args).map(|command| command.key_places(args)).unwrap_or_default();
        keys.extend(places.iter().map(|place| args[*place]).filter(|key| placement.group_of(key) == group));
    };
    match &request.body {
        Body::Command(args) => collect(args),
        Body::Transaction(transaction) => transaction.commands.iter().for_each(collect),
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The key of a command that nobody needs to know, for it is overwritten and not read.
fn overwritten<'a>(command: &Command, args: &Args<'a>) -> Option<&'a [u8]> {
    let places = command.key_places(args);
    let (first, rest) = places.split_first()?;
    let unread = command.overwrites_first && rest.iter().all(|place| args[*place] != args[*first]);
    unread.then(|| args[*first])
}

fn now_ms(timestamp: Timestamp) -> u64 {
    timestamp.0 / NANOSECONDS_PER_MS
}

impl Service for Kv {
    fn share(&self, call: &Call<'_>) -> Option<Bytes> {
        let request = Request::decode(call.command).ok()?;
        let plan = self.plan(&request, call.stamp.id.destinations).ok()?;
        if matches!(plan.way, Way::Single | Way::Split) {
            return None;
        }
        let mut store = self.state.store.clone();
        store.begin(now_ms(call.stamp.timestamp), self.state.applied);
        Some(self.tell(&store, &request, plan.way).encode())
    }

    fn apply(&mut self, call: &Call<'_>, shares: &Shares) -> Reply {
        let now_ms = now_ms(call.stamp.timestamp);
        self.state.applied += 1;
        self.state.store.begin(now_ms, self.state.applied);
        self.state.cursors.forget_idle(now_ms);
        self.state.backups.forget_idle(now_ms);
        let reply = self.carry_out(call, shares);
        // Only now: what the others were told of this partition held before its old keys went.
        self.state.store.clean();
        reply
    }

    fn read(&self, now: Timestamp, query: &Bytes) -> Reply {
        let request = match Request::decode(query) {
            Ok(request) => request,
            Err(malformed) => return error(Protocol::Two, &Failure::with(&[b"ERR ", malformed.0.as_bytes()])),
        };
        if !only_reads(&request) {
            return error(request.protocol, &Failure::of("ERR a command that writes must be ordered"));
        }
        let plan = match Plan::of(&request, &self.placement, &self.limits) {
            Ok(plan) => plan,
            Err(failure) => return error(request.protocol, &failure),
        };
        if !plan.groups.contains(self.group) || matches!(plan.way, Way::Judged | Way::Values) {
            return error(request.protocol, &Failure::of("ERR this partition alone cannot answer"));
        }
        let mut store = self.state.store.clone();
        if !self.planted.is(Mutant::KvReadsInThePast) {
            store.begin(now_ms(now), self.state.applied);
        }
        let alone = plan.groups.len() == 1;
        let mut turn = self.turn(&self.placement, &self.limits, now.0 ^ xxh64(query), alone);
        let mut answer = Answer::new(request.protocol);
        let held = Held::ToRead(&self.state.backups);
        match &request.body {
            Body::Command(args) if alone => turn.run(&mut store, args, &mut answer, held),
            Body::Command(args) => {
                let command = check(args).expect("only what can be run is spread");
                turn.run(&mut store, &own_part(command, args, self.group, &self.placement), &mut answer, held);
            }
            Body::Transaction(transaction) if alone => turn.run_all(&mut store, &transaction.commands, &mut answer),
            Body::Transaction(transaction) => {
                turn.run_parts(&mut store, &transaction.commands, plan.groups, &mut answer);
            }
        }
        answer.into_reply()
    }

    fn refuse(&self, command: &Bytes, why: &str) -> Reply {
        let protocol = Request::decode(command).map_or(Protocol::Two, |request| request.protocol);
        error(protocol, &Failure::with(&[b"ERR ", why.as_bytes()]))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        let mut state = self.state.clone();
        if self.planted.is(Mutant::KvForgetsCursors) {
            state.cursors = Default::default();
        }
        Box::new(Writing::new(state))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.state = snapshot::read(&snapshot).map_err(|malformed| malformed.0.to_string())?;
        Ok(())
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        let State { store, cursors, .. } = &self.state;
        tell("keys", store.len() as u64);
        tell("keys_with_deadline", store.ending() as u64);
        tell("memory_bytes", store.used());
        tell("max_memory_bytes", self.limits.max_memory);
        tell("cursors", cursors.count() as u64);
    }
}

/// The reply to a command that concerns no key, such as PING, TIME or COMMAND:
/// whoever asks it need not ask a partition. `None` if it does concern some, or
/// is the face's own.
pub fn answer_here(protocol: Protocol, args: &[&[u8]], now: Timestamp) -> Option<Reply> {
    let command = check(args).ok()?;
    if command.run.is_none() || !command.specs.is_empty() || command.spread != Spread::Values {
        return None;
    }
    let group = GroupId::new(0).expect("the first group is one");
    let placement = Placement::new(Vec::new(), [group].into_iter().collect()).expect("one group holds everything");
    let mut store = Store::default();
    store.begin(now_ms(now), 0);
    let mut answer = Answer::new(protocol);
    let limits = Limits::default();
    Turn { group, placement: &placement, limits: &limits, random: Random::new(now.0), alone: true }.run(
        &mut store,
        args,
        &mut answer,
        Held::Nothing,
    );
    Some(answer.into_reply())
}

/// What the store must stand, for fuzzing: whatever is asked, by however many partitions, is done or refused, and
/// everybody who does the same answers the same.
pub fn try_out(command: &[u8]) {
    let command = Bytes::copy_from_slice(command);
    let Ok(request) = Request::decode(&command) else { return };
    let groups: GroupSet = (0..2).filter_map(GroupId::new).collect();
    let placement = Arc::new(Placement::new(Vec::new(), groups).expect("two groups hold everything"));
    let limits = Limits { max_memory: 1 << 20, max_string: 1 << 16 };
    let router = KvRouter::new(placement.clone(), limits);
    let Ok(plan) = router.plan(&request) else { return };
    let stamp = Stamp { timestamp: Timestamp(1 << 60), id: MessageId::new(1, 1, plan.groups.bits()) };
    let parts = |_: usize| -> Vec<(GroupId, Reply)> {
        let mut partitions: Vec<Kv> =
            plan.groups.iter().map(|group| Kv::new(group, placement.clone(), limits)).collect();
        let call = |group| Call { stamp, nth: 0, group, command: &command };
        let told: Vec<_> = partitions.iter().map(|kv| (kv.group, kv.share(&call(kv.group)))).collect();
        let share_of_others = |own: GroupId| {
            let mut shares = Shares::none();
            for (group, share) in told.iter().filter(|(group, _)| *group != own) {
                share.iter().for_each(|share| shares.insert(*group, share.clone()));
            }
            shares
        };
        partitions.iter_mut().map(|kv| (kv.group, kv.apply(&call(kv.group), &share_of_others(kv.group)))).collect()
    };
    let [first, second] = [0, 1].map(parts);
    assert!(first == second, "two replicas answer differently");
    let _ = router.join(&request, &first);
}

/// What a request is told that would grow a store that is full.
fn out_of_memory(request: &Request<'_>) -> Failure {
    match request.body {
        Body::Command(_) => Failure::OUT_OF_MEMORY,
        Body::Transaction(_) => Failure::ABORTED_OUT_OF_MEMORY,
    }
}

/// What choices of a command follow from: the same at every replica of every partition.
fn seed(call: &Call<'_>) -> u64 {
    let Call { stamp, nth, .. } = call;
    let words = [stamp.timestamp.0, stamp.id.session.0, stamp.id.sequence, u64::from(*nth)];
    xxh64(words.map(u64::to_le_bytes).as_flattened())
}

impl KvRouter {
    /// For this placement and these limits, which all nodes share.
    pub fn new(placement: Arc<Placement>, limits: Limits) -> KvRouter {
        KvRouter { placement, limits }
    }

    /// Where keys are.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Where a request goes, and how it is carried out there.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan, Failure> {
        Plan::of(request, &self.placement, &self.limits)
    }

    /// The one reply, of what the partitions of a request answered.
    pub fn join(&self, request: &Request<'_>, parts: &[(GroupId, Reply)]) -> Reply {
        join(request, parts, &self.placement, &self.limits).unwrap_or_else(|failure| error(request.protocol, &failure))
    }
}

impl Router for KvRouter {
    fn groups(&self, command: &[u8]) -> Result<GroupSet, Refusal> {
        let request = Request::decode(command).map_err(|malformed| Refusal(malformed.to_string()))?;
        let plan =
            self.plan(&request).map_err(|failure| Refusal(String::from_utf8_lossy(failure.line()).into_owned()))?;
        Ok(plan.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_no_key_is_answered_anywhere() {
        let ask = |args: &[&[u8]]| answer_here(Protocol::Two, args, Timestamp(1_234_567_000_000));
        assert_eq!(ask(&[b"PING"]).unwrap().0, b"+PONG\r\n".as_slice());
        assert_eq!(ask(&[b"TIME"]).unwrap().0, b"*2\r\n$4\r\n1234\r\n$6\r\n567000\r\n".as_slice());
        assert!(ask(&[b"COMMAND", b"COUNT"]).unwrap().0.starts_with(b":"));
        for other in [b"GET".as_slice(), b"DBSIZE", b"HELLO", b"SCAN", b"NONSENSE", b"SKEIN.TS"] {
            assert_eq!(ask(&[other]), None);
        }
    }
}
