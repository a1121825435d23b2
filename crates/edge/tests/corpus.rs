//! What the fuzzer has found worth keeping, run as plain tests. `UPDATE=1`
//! writes the seeds anew: what one member of a small fleet was told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use skein_edge::agent::{Agent, Command, Message, Timer};
use skein_edge::membership::{self, Pace};
use skein_edge::{Book, Planted, spread, trial};
use skein_machine::wire::{VERSION, from_bytes, to_bytes};
use skein_machine::{Effect, Machine, Out, ProcessId, Time};

fn folder_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Writes the seeds, if that is asked for, and tries everything that is kept. Of a seed everything can be read, and the
/// last number in its name says how much that is.
fn each(target: &str, seeds: &BTreeMap<String, Vec<u8>>, trial: impl Fn(&[u8]) -> usize) {
    let folder = folder_of(target);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::create_dir_all(&folder).unwrap();
        seeds.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    }
    for name in seeds.keys() {
        let kept = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{target}/{name}: {error}"));
        let count = name.rsplit('-').next().and_then(|count| count.parse().ok());
        assert_eq!(Some(trial(&kept)), count, "{target}/{name} is laid out differently; if it must be, UPDATE=1");
    }
    let files = folder.read_dir().expect("the corpus is part of the repository");
    let mut inputs = 0;
    for file in files {
        trial(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}

/// Three agents, each a millisecond from the others, of which the first is told things.
struct Three {
    agents: BTreeMap<ProcessId, Agent>,
    timers: BTreeMap<(ProcessId, Timer), Time>,
    /// When it arrives, in which order it was said, to whom, from whom.
    words: BTreeMap<(Time, usize), (ProcessId, ProcessId, Message)>,
    now: Time,
    /// The first of them hears nothing for a while.
    is_deaf: bool,
    /// Everything that was said, and to whom.
    all: Vec<(ProcessId, Message)>,
}

impl Three {
    fn start(&mut self, process: ProcessId, life: u64) {
        let me = trial::member(process).living(life);
        let seeds = vec![Book::ruled_address(trial::TRIED)];
        let members = membership::Settings { me: me.clone(), seeds, pace: Pace::of(3), planted: Planted::NONE };
        let map = spread::Settings { me, gateways: Vec::new(), tempo: trial::tempo(), planted: Planted::NONE };
        self.timers.retain(|(whose, _), _| *whose != process);
        self.agents.insert(process, Agent::new(members, map, Vec::new(), Book::of_rule()));
        self.step(process, |agent, now, out| agent.start(now, u64::from(process.0), out));
    }

    fn step(&mut self, process: ProcessId, act: impl FnOnce(&mut Agent, Time, &mut Out<Agent>)) {
        let (now, mut out) = (self.now, Out::new());
        let Some(agent) = self.agents.get_mut(&process) else { return };
        act(agent, now, &mut out);
        agent.finish(now, &mut out);
        agent.check();
        for effect in out.drain() {
            match effect {
                Effect::Send(to, message) | Effect::SendEarly(to, message) => {
                    for to in to.iter() {
                        self.all.push((to, message.clone()));
                        // Some are lost, or nobody would ever have to ask again.
                        let is_lost = self.all.len().is_multiple_of(5) || self.is_deaf && to == trial::TRIED;
                        if !is_lost {
                            let arrives = now.after(Duration::from_millis(1));
                            self.words.insert((arrives, self.all.len()), (to, process, message.clone()));
                        }
                    }
                }
                Effect::Arm(timer, span) => drop(self.timers.insert((process, timer), now.after(span))),
                Effect::Disarm(timer) => drop(self.timers.remove(&(process, timer))),
                Effect::Emit(_) | Effect::EmitEarly(_) => {}
                Effect::Persist(record) | Effect::Checkpoint(record) | Effect::Compact(record) => match record {},
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now.after(Duration::from_secs(seconds));
        loop {
            let word = self.words.keys().next().map(|(at, _)| *at);
            let timer = self.timers.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (timer.clone(), *at));
            match (word, timer) {
                (Some(at), timer) if at <= end && timer.as_ref().is_none_or(|(_, other)| at <= *other) => {
                    let (_, (to, from, message)) = self.words.pop_first().unwrap();
                    self.now = at;
                    self.step(to, |agent, now, out| agent.on_message(now, from, message, out));
                }
                (_, Some(((process, timer), at))) if at <= end => {
                    self.timers.remove(&(process, timer.clone()));
                    self.now = at;
                    self.step(process, |agent, now, out| agent.on_timer(now, timer, out));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn put(&mut self, process: ProcessId, key: &'static str) {
        let (key, value) = (Bytes::from(key), Bytes::from("value"));
        self.step(process, |agent, now, out| agent.on_command(now, Command::Put { key, value }, out));
    }

    fn remove(&mut self, process: ProcessId, key: &'static str) {
        let key = Bytes::from(key);
        self.step(process, |agent, now, out| agent.on_command(now, Command::Remove { key }, out));
    }
}

/// What is said while they write, remove, die, start again and leave, and somebody comes whose name is taken.
fn said() -> Vec<(ProcessId, Message)> {
    let [first, second, third, namesake] = [0, 1, 2, 3].map(ProcessId);
    let (agents, timers, words) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut three = Three { agents, timers, words, now: Time::ZERO, is_deaf: false, all: Vec::new() };
    three.start(first, 1);
    three.run(8);
    three.start(second, 1);
    three.start(third, 1);
    three.run(8);
    for (process, key) in [(second, "a"), (third, "a"), (first, "b"), (third, "c")] {
        three.put(process, key);
    }
    three.run(4);
    three.remove(second, "a");
    three.put(third, "b");
    three.run(12);
    three.agents.remove(&third);
    three.run(15);
    three.start(third, 7);
    three.run(5);
    three.put(third, "a");
    three.start(namesake, 1);
    three.run(12);
    three.agents.remove(&namesake);
    three.is_deaf = true;
    three.run(6);
    three.is_deaf = false;
    three.run(12);
    three.step(second, |agent, now, out| agent.on_command(now, Command::Leave, out));
    three.run(5);
    three.all
}

/// The same, as far as the first of them is told it.
fn heard() -> impl Iterator<Item = Message> {
    said().into_iter().filter(|(to, _)| *to == trial::TRIED).map(|(_, message)| message)
}

/// One after the other, in some pieces from the beginning and from later on.
fn in_pieces(messages: &[Bytes]) -> BTreeMap<String, Vec<u8>> {
    let places = [("begin", 0), ("soon", 5), ("middle", messages.len() / 2), ("end", messages.len() - 40)];
    let sizes = [2, 5, 10, 20, 40];
    let pieces = places
        .into_iter()
        .flat_map(|(name, at)| sizes.map(|size| (format!("seed-{name}-{size}"), messages[at..at + size].concat())));
    pieces.collect()
}

#[test]
fn messages() {
    let mut seeds = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for (_, message) in said() {
        let bytes = to_bytes(&message).to_vec();
        if kinds.insert([bytes[0], bytes[1]]) {
            seeds.insert(format!("seed-{}-{}-1", bytes[0], bytes[1]), bytes);
        }
    }
    let all = (0..9).map(|kind| [0, kind]).chain((0..6).map(|kind| [1, kind]));
    assert_eq!(kinds, all.collect(), "a kind is said by nobody here, or there is another");
    each("edge_message", &seeds, |bytes| {
        trial::message(bytes);
        usize::from(from_bytes::<Message>(Bytes::copy_from_slice(bytes), VERSION).is_ok())
    });
}

#[test]
fn words() {
    let words = heard().filter_map(|message| match message {
        Message::Map(word) => Some(to_bytes(&word)),
        Message::Member(_) => None,
    });
    each("edge_words", &in_pieces(&words.collect::<Vec<_>>()), trial::words);
}

#[test]
fn packets() {
    let packets = heard().filter_map(|message| match message {
        Message::Member(message) => Some(to_bytes(&message)),
        Message::Map(_) => None,
    });
    each("edge_packets", &in_pieces(&packets.collect::<Vec<_>>()), trial::packets);
}
