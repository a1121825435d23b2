//! Hosts on threads of one process, with memories that die with it: what does
//! not need files and processes. Who runs when is left to the system, so nothing
//! here depends on it but how long a test takes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use skein_machine::{Call, Frozen, Reply, Service, Shares, Timestamp};
use skein_order::Planted;
use skein_order::mu::memory::Memory;
use skein_order::mu::{Command, Role, Shape};

use super::desk::Desk;
use super::ground::{Ground, News};
use super::host::Host;
use super::requests::Requests;
use super::{Fabric, Mu, MuConfig, MuError};

/// Memories that threads share, and who is said to be dead.
#[derive(Clone)]
struct Threads {
    memories: Arc<Vec<Box<[AtomicU64]>>>,
    deaths: Arc<AtomicU64>,
    told: u64,
}

impl Threads {
    fn new(shape: &Shape) -> Threads {
        let memory = || {
            let words = (0..shape.words()).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>();
            Memory::new(&words[..], shape, Planted::NONE).begin();
            words
        };
        let memories = Arc::new((0..shape.replicas).map(|_| memory()).collect());
        Threads { memories, deaths: Arc::default(), told: 0 }
    }
}

impl Ground for Threads {
    fn words(&self, replica: usize) -> Option<&[AtomicU64]> {
        self.memories.get(replica).map(|words| &words[..])
    }

    fn look(&mut self, tell: &mut dyn FnMut(News)) {
        let dead = self.deaths.load(Relaxed);
        (0..8).filter(|nth| dead & !self.told & 1 << nth != 0).for_each(|nth| tell(News::Died(nth)));
        self.told = dead;
    }
}

/// Everything that it was told, in order.
#[derive(Default)]
struct Diary(Vec<u8>);

impl Service for Diary {
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        self.0.extend_from_slice(call.command);
        Reply(Bytes::copy_from_slice(&(self.0.len() as u64).to_le_bytes()))
    }

    fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
        Reply(Bytes::copy_from_slice(&self.0))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Some(Bytes::copy_from_slice(&self.0)))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

/// A replica on one thread or another.
struct Actor {
    host: Host<Threads>,
    desk: Desk,
    requests: Requests,
    next: u64,
}

impl Actor {
    fn new(replica: usize, config: &MuConfig, ground: &Threads) -> Actor {
        let config = MuConfig { replica, ..config.clone() };
        let mut desk = Desk::new(Box::new(Diary::default()), config.replicas);
        let host = Host::start(config.options().unwrap(), ground.clone(), replica as u64, &mut desk);
        Actor { host, desk, requests: Requests::new(config.longest), next: 0 }
    }

    fn poll(&mut self) {
        self.host.poll(&mut self.desk);
    }

    fn submit(&mut self, request: &[u8]) -> u64 {
        self.next += 1;
        let (token, request) = (self.next, self.requests.copy(request));
        self.host.command(Command::Propose { token, request }, &mut self.desk);
        token
    }

    fn said(&self) -> Vec<u8> {
        self.desk.service().read(Timestamp(1), &Bytes::new()).0.to_vec()
    }
}

fn config(slots: usize) -> MuConfig {
    let mut config = MuConfig::new("threads", 0, 3);
    (config.slots, config.longest, config.window) = (slots, 16, 4);
    config
}

/// Polls all of them until something holds. It would be for ever if it never did.
fn until(actors: &mut [Actor], holds: impl Fn(&[Actor]) -> bool) {
    while !holds(actors) {
        actors.iter_mut().for_each(Actor::poll);
    }
}

fn leads(actor: &Actor) -> bool {
    actor.desk.role() == Role::Leading
}

#[test]
fn a_request_is_decided_before_the_call_is_over() {
    let config = config(16);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    for count in 1..=10_u64 {
        let token = actors[0].submit(b"a");
        // Nobody else was polled.
        let reply = actors[0].desk.take(token).expect("it was decided at once").unwrap();
        assert_eq!(reply.0[..], count.to_le_bytes());
    }
    until(&mut actors, |actors| actors.iter().all(|actor| actor.host.applied() == 10));
    assert!(actors.iter().all(|actor| actor.said() == b"aaaaaaaaaa"));
}

#[test]
fn whoever_does_not_lead_says_who_does() {
    let config = config(16);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    let token = actors[1].submit(b"b");
    let refusal = actors[1].desk.take(token).expect("it is refused at once").unwrap_err();
    assert!(matches!(refusal, MuError::NotLeading { leader: Some(0) }) && refusal.is_certain(), "{refusal}");
}

#[test]
fn another_leads_when_the_leader_is_dead_and_nothing_is_lost() {
    let config = config(16);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    let token = actors[0].submit(b"before");
    actors[0].desk.take(token).expect("it was decided at once").unwrap();
    let mut dead = actors.remove(0);
    ground.deaths.store(1, Relaxed);
    until(&mut actors, |actors| leads(&actors[0]));
    let token = actors[0].submit(b", after");
    actors[0].desk.take(token).expect("it was decided at once").unwrap();
    until(&mut actors, |actors| actors.iter().all(|actor| actor.said() == b"before, after"));

    // It was not dead after all, and had not heard. What it writes counts no more.
    let token = dead.submit(b", never");
    let answer = dead.desk.take(token);
    assert!(!matches!(answer, Some(Ok(_))), "{answer:?}");
    assert_eq!(actors[0].said(), b"before, after");
}

#[test]
fn whoever_was_away_for_longer_than_the_log_is_long_is_told_a_state() {
    let config = config(8);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    drop(actors.pop());
    ground.deaths.store(0b100, Relaxed);
    let mut expected = Vec::new();
    // More than one piece of a state, too.
    while expected.len() < 100_000 {
        let token = actors[0].submit(b"0123456789abcdef");
        expected.extend_from_slice(b"0123456789abcdef");
        while actors[0].desk.take(token).is_none() {
            actors.iter_mut().for_each(Actor::poll);
        }
    }
    ground.deaths.store(0, Relaxed);
    actors.push(Actor::new(2, &config, &ground));
    until(&mut actors, |actors| actors.iter().all(|actor| actor.said() == expected));
}

#[test]
fn whoever_stood_still_while_the_log_came_round_is_told_a_state() {
    let config = config(8);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    let stopped = actors.pop().unwrap();
    for nth in 0..40_u8 {
        let token = actors[0].submit(&[nth]);
        // Nobody says that it is dead: its heartbeat does, or rather does not.
        until(&mut actors, |actors| actors[0].desk.unread() > 0);
        actors[0].desk.take(token).unwrap().unwrap();
    }
    // It goes on as if nothing had been, and finds out.
    assert!(stopped.host.is_well() && stopped.host.applied() < 8);
    actors.push(stopped);
    let expected: Vec<u8> = (0..40).collect();
    until(&mut actors, |actors| actors.iter().all(|actor| actor.said() == expected && actor.host.is_well()));
}

#[test]
fn of_two_that_believe_to_lead_one_is_told_that_nobody_knows() {
    let config = config(16);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    until(&mut actors, |actors| leads(&actors[0]));
    let mut deposed = actors.remove(0);
    ground.deaths.store(1, Relaxed);
    until(&mut actors, |actors| leads(&actors[0]));
    assert!(leads(&deposed) && leads(&actors[0]), "both do");
    let [late, good] = [deposed.submit(b"late"), actors[0].submit(b"good")];
    actors[0].desk.take(good).expect("it was decided at once").unwrap();
    // The one that is wrong goes on living beside the others.
    actors.push(deposed);
    until(&mut actors, |actors| actors[2].desk.unread() > 0);
    let answer = actors[2].desk.take(late).unwrap();
    let what_is_there = if answer.is_ok() { &b"goodlate"[..] } else { b"good" };
    if let Err(error) = answer {
        assert!(!error.is_certain() && error.to_string().contains("look before asking again"), "{error}");
    }
    until(&mut actors, |actors| actors.iter().all(|actor| actor.said() == what_is_there));
}

#[test]
fn several_are_on_their_way_and_answered_in_order() {
    let config = config(16);
    let ground = Threads::new(&config.options().unwrap().shape);
    let mut actors: Vec<Actor> = (0..3).map(|nth| Actor::new(nth, &config, &ground)).collect();
    // Nobody leads yet; replica 0 is going to.
    until(&mut actors, |actors| actors[0].host.is_well());
    let tokens: Vec<u64> = (0..40_u8).map(|nth| actors[0].submit(&[nth])).collect();
    until(&mut actors, |actors| actors[0].desk.unread() == 40);
    let answers: Vec<u64> = std::iter::from_fn(|| actors[0].desk.next()).map(|(token, _)| token).collect();
    assert_eq!(answers, tokens);
}

#[test]
fn three_threads_agree_whoever_runs() {
    let config = config(32);
    let ground = Threads::new(&config.options().unwrap().shape);
    const REQUESTS: u64 = 3000;
    let run = |nth: usize| {
        let mut actor = Actor::new(nth, &config, &ground);
        let mut said = 0;
        // A thread that stands still is taken for dead and another leads, so it may be anybody who proposes.
        while actor.host.applied_by(0).max(actor.host.applied_by(1)).max(actor.host.applied_by(2)) < Some(REQUESTS) {
            actor.poll();
            if leads(&actor) {
                actor.submit(&[nth as u8, said as u8]);
                said += 1;
                while actor.desk.next().is_some() {}
            } else {
                std::thread::yield_now();
            }
        }
        // Those that are behind need the others.
        let end = std::time::Instant::now() + std::time::Duration::from_millis(300);
        while std::time::Instant::now() < end {
            actor.poll();
            std::thread::yield_now();
        }
        actor.said()
    };
    let said: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|nth| scope.spawn(move || run(nth))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let shortest = said.iter().map(Vec::len).min().unwrap();
    assert!(said.iter().any(|said| said.len() as u64 >= REQUESTS));
    for one in &said {
        assert!(one[..shortest] == said[0][..shortest], "they differ");
    }
}

/// A directory for memories that goes when the test is over.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::path::PathBuf::from("/dev/shm").join(format!("skein-mu-test-{name}-{}", std::process::id())))
    }

    fn open(&self, replica: usize) -> Result<Mu, MuError> {
        let config = MuConfig { replica, fabric: Fabric::Shared(self.0.clone()), ..config(16) };
        Mu::open(&config, Box::new(Diary::default()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(mu: &Mu) -> Vec<u8> {
    mu.service().read(Timestamp(1), &Bytes::new()).0.to_vec()
}

#[test]
fn what_was_answered_outlives_all_replicas_but_one() {
    let folder = Folder::new("outlives");
    let mut all: Vec<Mu> = (0..3).map(|nth| folder.open(nth).unwrap()).collect();
    let taken = folder.open(0).err().expect("somebody has the seat").to_string();
    assert!(taken.contains("stop that one first"), "{taken}");
    while all[0].role() != Role::Leading {
        all.iter_mut().for_each(|mu| drop(mu.poll()));
    }
    // More than the log is long: whoever comes back cannot find it there.
    for _ in 0..40 {
        while all[0].propose(b"0123").is_err() {
            all.iter_mut().for_each(|mu| drop(mu.poll()));
        }
        all.iter_mut().for_each(|mu| drop(mu.poll()));
    }
    let expected = b"0123".repeat(40);
    while all.iter().any(|mu| said(mu) != expected) {
        all.iter_mut().for_each(|mu| drop(mu.poll()));
    }
    all.drain(..2);
    let mut again: Vec<Mu> = (0..2).map(|nth| folder.open(nth).unwrap()).collect();
    again.append(&mut all);
    while again.iter().any(|mu| said(mu) != expected || !mu.is_well()) {
        again.iter_mut().for_each(|mu| drop(mu.poll()));
    }
}

#[test]
fn memories_of_other_measures_are_refused() {
    let folder = Folder::new("measures");
    drop(folder.open(0).unwrap());
    let other = MuConfig { fabric: Fabric::Shared(folder.0.clone()), ..config(32) };
    let refusal = Mu::open(&other, Box::new(Diary::default())).err().expect("it has 16 slots").to_string();
    assert!(refusal.contains("16 slots") || refusal.contains("words"), "{refusal}");
    let mut other = MuConfig { fabric: Fabric::Shared(folder.0.clone()), ..config(16) };
    other.name = "another".to_owned();
    let refusal = Mu::open(&other, Box::new(Diary::default())).err().expect("another's").to_string();
    assert!(refusal.contains("belongs to cluster"), "{refusal}");
}

#[test]
fn too_long_a_request_is_refused_before_anything_is_done() {
    let folder = Folder::new("long");
    let mut mu = folder.open(0).unwrap();
    let refusal = mu.propose(&[0; 17]).unwrap_err();
    assert!(refusal.is_certain() && refusal.to_string().contains("17 bytes, where 16 fit"), "{refusal}");
    let refusal = mu.submit(&[0; 17]).unwrap_err();
    assert!(matches!(refusal, MuError::TooLong { bytes: 17, longest: 16 }));
}
