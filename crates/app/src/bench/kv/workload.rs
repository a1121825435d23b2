//! What the load asks for. [`Workload`] names the mixes, A to F as the Yahoo
//! benchmark has them; [`Mill`] makes one operation after the other out of one,
//! as the bytes that travel. An operation is a command, or several of which the
//! later ones follow from what the first was answered.
//!
//! A record is a hash with some fields in A to F (`user:…`), a string in `get`,
//! `set`, `mget` and `mset` (`string:…`), and a balance in `cross` (`account:…`),
//! so that several workloads can be run on one store.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use clap::ValueEnum;
use serde::Serialize;
use skein_machine::Random;

use super::replies::Reply;
use super::zipf::Zipf;

/// Keys of one operation that should lie in different partitions: so often another is drawn before it is taken as
/// it is.
const DRAWS: usize = 64;

/// What an account holds at first.
const BALANCE: u64 = 1_000_000;

/// As many records as a scan asks for, at most.
const LONGEST_SCAN: u64 = 100;

/// Where Redis keeps the order of the records, which it has no other way to scan.
const INDEX: &str = "user-index";

/// A mix of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// YCSB A: half reads, half updates of one field.
    A,
    /// YCSB B: 95 of 100 are reads, the others updates.
    B,
    /// YCSB C: only reads.
    C,
    /// YCSB D: 95 of 100 read what is new, the others insert.
    D,
    /// YCSB E: 95 of 100 scan up to 100 records, the others insert.
    E,
    /// YCSB F: half reads; the others read a record and write a field of it.
    F,
    /// Several keys in different partitions at once: half read, half move an amount from the first to the others.
    Cross,
    /// Reads of one string.
    Get,
    /// Writes of one string.
    Set,
    /// Reads of several strings in different partitions at once.
    Mget,
    /// Writes of several strings in different partitions at once.
    Mset,
}

/// How keys are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Draw {
    /// Few are wanted often.
    Zipf,
    /// All alike.
    Uniform,
    /// Those that came last are wanted most.
    Latest,
}

/// What operations are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Hashes,
    Strings,
    Balances,
}

impl Workload {
    pub(super) fn content(self) -> Content {
        match self {
            Workload::A | Workload::B | Workload::C | Workload::D | Workload::E | Workload::F => Content::Hashes,
            Workload::Get | Workload::Set | Workload::Mget | Workload::Mset => Content::Strings,
            Workload::Cross => Content::Balances,
        }
    }

    /// How its keys are drawn unless somebody says otherwise.
    pub(super) fn usual_draw(self) -> Draw {
        match self {
            Workload::D => Draw::Latest,
            Workload::Get | Workload::Set | Workload::Mget | Workload::Mset => Draw::Uniform,
            _ => Draw::Zipf,
        }
    }

    pub(super) fn spans_partitions(self) -> bool {
        matches!(self, Workload::Cross | Workload::Mget | Workload::Mset)
    }
}

impl Content {
    fn key(self, record: u64) -> Vec<u8> {
        let name = match self {
            Content::Hashes => "user",
            Content::Strings => "string",
            Content::Balances => "account",
        };
        let mut key = String::with_capacity(name.len() + 11);
        write!(key, "{name}:{record:010}").expect("there is room");
        key.into_bytes()
    }
}

/// How operations look, the same for all connections.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) workload: Workload,
    pub(super) draw: Draw,
    pub(super) value: usize,
    pub(super) fields: usize,
    /// Keys of an operation of `cross`, `mget` and `mset`.
    pub(super) keys: usize,
    /// Replicas that a write waits for, by the command WAIT.
    pub(super) wait: Option<u32>,
    /// The store scans its keys in order.
    pub(super) has_range: bool,
    /// Which partition holds each of the first records; empty if that makes no difference.
    pub(super) partitions: Arc<Vec<u16>>,
    /// Records that there are.
    pub(super) records: Arc<AtomicU64>,
}

/// What an operation does once its replies are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is over.
    Over,
    /// It writes what it has read.
    Write(u64),
    /// It reads the records that it has found.
    Read,
}

/// Commands that were written, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) replies: usize,
    pub(super) then: Then,
}

impl Asked {
    fn last(replies: usize) -> Asked {
        Asked { replies, then: Then::Over }
    }
}

/// Makes operations.
pub(super) struct Mill {
    recipe: Recipe,
    random: Random,
    zipf: Zipf,
    /// Bytes of which values are cut.
    filling: Vec<u8>,
    chosen: Vec<u64>,
}

impl Mill {
    pub(super) fn new(recipe: Recipe, seed: u64) -> Mill {
        let zipf = Zipf::new(recipe.records.load(Relaxed).max(1));
        let mut random = Random::new(seed);
        let filling = (0..2 * recipe.value.max(1)).map(|_| b'a' + random.below(26) as u8).collect();
        Mill { recipe, random, zipf, filling, chosen: Vec::new() }
    }

    /// Writes the first commands of another operation.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) -> Asked {
        let percent = self.random.below(100);
        match self.recipe.workload {
            Workload::A if percent < 50 => self.read(out),
            Workload::B if percent < 95 => self.read(out),
            Workload::A | Workload::B => {
                let record = self.record();
                self.update(record, out)
            }
            Workload::D if percent < 95 => self.read(out),
            Workload::E if percent < 95 => self.scan(out),
            Workload::D | Workload::E => self.insert_another(out),
            Workload::F if percent >= 50 => {
                let record = self.record();
                command(out, &[b"HGETALL", &self.key(record)]);
                Asked { replies: 1, then: Then::Write(record) }
            }
            Workload::C | Workload::F => self.read(out),
            Workload::Cross if percent < 50 => self.read_several(out),
            Workload::Cross => self.transfer(out),
            Workload::Mget => self.read_several(out),
            Workload::Mset => self.write_several(out),
            Workload::Get => {
                let record = self.record();
                command(out, &[b"GET", &self.key(record)]);
                Asked::last(1)
            }
            Workload::Set => {
                let record = self.record();
                let value = self.value();
                command(out, &[b"SET", &self.key(record), &self.filling[value]]);
                self.wait(1, out)
            }
        }
    }

    /// Writes what follows from the replies.
    pub(super) fn go_on(&mut self, then: Then, reply: Option<Reply<'_>>, out: &mut Vec<u8>) -> Option<Asked> {
        match then {
            Then::Over => None,
            Then::Write(record) => Some(self.update(record, out)),
            Then::Read => {
                let mut replies = 0;
                for key in reply?.items().filter_map(Reply::text) {
                    command(out, &[b"HGETALL", key]);
                    replies += 1;
                }
                (replies > 0).then_some(Asked::last(replies))
            }
        }
    }

    /// Writes one more record; before anything is measured, these are all that there is.
    pub(super) fn insert(&mut self, record: u64, out: &mut Vec<u8>) -> Asked {
        match self.recipe.workload.content() {
            Content::Hashes => {
                let key = self.key(record);
                let names: Vec<String> = (0..self.recipe.fields).map(|nth| format!("field{nth}")).collect();
                let values: Vec<_> = names.iter().map(|_| self.value()).collect();
                let mut words: Vec<&[u8]> = vec![b"HSET", &key];
                for (name, value) in names.iter().zip(values) {
                    words.extend([name.as_bytes(), &self.filling[value]]);
                }
                command(out, &words);
                if self.recipe.workload == Workload::E && !self.recipe.has_range {
                    command(out, &[b"ZADD", INDEX.as_bytes(), b"0", &key]);
                    return self.wait(2, out);
                }
            }
            Content::Strings => {
                let value = self.value();
                command(out, &[b"SET", &self.key(record), &self.filling[value]]);
            }
            Content::Balances => {
                command(out, &[b"SET", &self.key(record), BALANCE.to_string().as_bytes()]);
            }
        }
        self.wait(1, out)
    }

    /// The key of a record.
    pub(super) fn key(&self, record: u64) -> Vec<u8> {
        self.recipe.workload.content().key(record)
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Asked {
        let record = self.record();
        command(out, &[b"HGETALL", &self.key(record)]);
        Asked::last(1)
    }

    fn update(&mut self, record: u64, out: &mut Vec<u8>) -> Asked {
        let field = format!("field{}", self.random.below(self.recipe.fields as u64));
        let value = self.value();
        command(out, &[b"HSET", &self.key(record), field.as_bytes(), &self.filling[value]]);
        self.wait(1, out)
    }

    fn insert_another(&mut self, out: &mut Vec<u8>) -> Asked {
        let record = self.recipe.records.fetch_add(1, Relaxed);
        self.insert(record, out)
    }

    fn scan(&mut self, out: &mut Vec<u8>) -> Asked {
        let start = {
            let record = self.record();
            self.key(record)
        };
        let most = (1 + self.random.below(LONGEST_SCAN)).to_string();
        if self.recipe.has_range {
            command(out, &[b"SKEIN.RANGE", &start, b"user;", b"LIMIT", most.as_bytes()]);
        } else {
            let from = [b"[", start.as_slice()].concat();
            command(out, &[b"ZRANGE", INDEX.as_bytes(), &from, b"+", b"BYLEX", b"LIMIT", b"0", most.as_bytes()]);
        }
        Asked { replies: 1, then: Then::Read }
    }

    fn read_several(&mut self, out: &mut Vec<u8>) -> Asked {
        self.choose();
        array(out, 1 + self.chosen.len());
        word(out, b"MGET");
        self.chosen.iter().for_each(|record| word(out, &self.key(*record)));
        Asked::last(1)
    }

    fn write_several(&mut self, out: &mut Vec<u8>) -> Asked {
        self.choose();
        array(out, 1 + 2 * self.chosen.len());
        word(out, b"MSET");
        for nth in 0..self.chosen.len() {
            let value = self.value();
            word(out, &self.key(self.chosen[nth]));
            word(out, &self.filling[value]);
        }
        self.wait(1, out)
    }

    fn transfer(&mut self, out: &mut Vec<u8>) -> Asked {
        self.choose();
        let others = self.chosen.len() - 1;
        command(out, &[b"MULTI"]);
        command(out, &[b"DECRBY", &self.key(self.chosen[0]), others.to_string().as_bytes()]);
        for record in &self.chosen[1..] {
            command(out, &[b"INCRBY", &self.key(*record), b"1"]);
        }
        command(out, &[b"EXEC"]);
        self.wait(3 + others, out)
    }

    /// A write waits for replicas where that has to be asked for.
    fn wait(&self, replies: usize, out: &mut Vec<u8>) -> Asked {
        let Some(replicas) = self.recipe.wait else { return Asked::last(replies) };
        command(out, &[b"WAIT", replicas.to_string().as_bytes(), b"0"]);
        Asked::last(replies + 1)
    }

    fn record(&mut self) -> u64 {
        let count = self.recipe.records.load(Relaxed).max(1);
        match self.recipe.draw {
            Draw::Uniform => self.random.below(count),
            // What is wanted most must not be what lies side by side.
            Draw::Zipf => scatter(self.zipf.draw(&mut self.random)) % count,
            Draw::Latest => {
                self.zipf.grow(count);
                count - 1 - self.zipf.draw(&mut self.random)
            }
        }
    }

    /// As many records as an operation has keys, in different partitions as far as there are so many, and never one
    /// twice.
    fn choose(&mut self) {
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        while chosen.len() < self.recipe.keys {
            let mut draws = 0;
            let record = loop {
                let record = self.record();
                draws += 1;
                let is_new = !chosen.contains(&record);
                let place = self.partition(record);
                if is_new && (draws > DRAWS || chosen.iter().all(|other| self.partition(*other) != place)) {
                    break record;
                }
            };
            chosen.push(record);
        }
        self.chosen = chosen;
    }

    /// Where nothing is known, each lies by itself.
    fn partition(&self, record: u64) -> u64 {
        self.recipe.partitions.get(record as usize).map_or(u64::MAX - record, |partition| u64::from(*partition))
    }

    /// Somewhere in the filling.
    fn value(&mut self) -> std::ops::Range<usize> {
        let start = self.random.below(self.recipe.value as u64 + 1) as usize;
        start..start + self.recipe.value
    }
}

fn scatter(place: u64) -> u64 {
    // The odd number nearest to 2^64 over the golden ratio, and the high bits folded in.
    let mixed = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    array(out, words.len());
    words.iter().for_each(|next| word(out, next));
}

fn array(out: &mut Vec<u8>, words: usize) {
    write!(out, "*{words}\r\n").expect("memory takes everything");
}

fn word(out: &mut Vec<u8>, bytes: &[u8]) {
    write!(out, "${}\r\n", bytes.len()).expect("memory takes everything");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(workload: Workload, records: u64) -> Recipe {
        Recipe {
            workload,
            draw: workload.usual_draw(),
            value: 10,
            fields: 3,
            keys: 2,
            wait: None,
            has_range: true,
            partitions: Arc::new((0..records).map(|record| (record % 3) as u16).collect()),
            records: Arc::new(AtomicU64::new(records)),
        }
    }

    /// The commands in these bytes, as lines of words. A command looks like a reply.
    fn lines(mut bytes: &[u8]) -> Vec<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(next) = Reply::first(bytes).unwrap() {
            let words = next.items().map(|word| String::from_utf8(word.text().unwrap().to_vec()).unwrap());
            lines.push(words.collect());
            bytes = &bytes[next.length()..];
        }
        assert!(bytes.is_empty());
        lines
    }

    #[test]
    fn the_mixes_are_what_they_say() {
        let share = |workload, name: &str| {
            let mut mill = Mill::new(recipe(workload, 1000), 3);
            let count = (0..10_000).filter(|_| {
                let mut out = Vec::new();
                mill.begin(&mut out);
                lines(&out)[0][0] == name
            });
            count.count() as f64 / 10_000.0
        };
        let cases = [
            (Workload::A, "HSET", 0.5),
            (Workload::B, "HGETALL", 0.95),
            (Workload::C, "HGETALL", 1.0),
            (Workload::D, "HSET", 0.05),
            (Workload::E, "SKEIN.RANGE", 0.95),
            (Workload::F, "HGETALL", 1.0),
            (Workload::Cross, "MULTI", 0.5),
            (Workload::Mset, "MSET", 1.0),
        ];
        for (workload, name, expected) in cases {
            let seen = share(workload, name);
            assert!((seen - expected).abs() < 0.02, "{workload:?} {name}: {seen}");
        }
    }

    #[test]
    fn keys_of_one_operation_lie_in_different_partitions() {
        let mut mill = Mill::new(Recipe { keys: 3, ..recipe(Workload::Cross, 1000) }, 5);
        for _ in 0..1000 {
            mill.choose();
            let mut places: Vec<u64> = mill.chosen.iter().map(|record| record % 3).collect();
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        // More keys than partitions: they are at least different.
        let mut mill = Mill::new(Recipe { keys: 5, ..recipe(Workload::Mset, 6) }, 5);
        mill.choose();
        mill.chosen.sort_unstable();
        mill.chosen.dedup();
        assert_eq!(mill.chosen.len(), 5);
    }

    #[test]
    fn a_scan_reads_what_it_found_and_a_change_writes_what_it_read() {
        let mut mill = Mill::new(recipe(Workload::E, 100), 1);
        let mut out = Vec::new();
        let found = Reply::first(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n").unwrap();
        assert_eq!(mill.go_on(Then::Read, found, &mut out), Some(Asked::last(2)));
        assert_eq!(lines(&out), [["HGETALL", "a"], ["HGETALL", "b"]]);
        let nothing = Reply::first(b"*0\r\n").unwrap();
        assert_eq!(mill.go_on(Then::Read, nothing, &mut out), None);
        let mut mill = Mill::new(Recipe { wait: Some(2), ..recipe(Workload::F, 100) }, 1);
        let mut out = Vec::new();
        assert_eq!(mill.go_on(Then::Write(7), None, &mut out), Some(Asked::last(2)));
        let lines = lines(&out);
        assert_eq!(lines[0][..2], ["HSET", "user:0000000007"]);
        assert_eq!(lines[1], ["WAIT", "2", "0"]);
    }

    #[test]
    fn what_is_new_is_read_most() {
        let mut mill = Mill::new(recipe(Workload::D, 10), 1);
        mill.recipe.records.store(1000, Relaxed);
        let draws: Vec<u64> = (0..1000).map(|_| mill.record()).collect();
        assert!(draws.iter().filter(|record| **record >= 990).count() > 300);
        assert!(draws.iter().all(|record| *record < 1000));
    }
}
