//! A consensus alone, without a protocol above it: a group that writes a book
//! together. Whoever leads appends a word when it is asked to, replicas crash,
//! lose their disks and are cut off, and at the end all have the same book.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Boot, Cluster, GroupId, Machine, Out, ProcessId, Random, Time, Wire};
use skein_order::Planted;
use skein_order::consensus::{Consensus, Content, Message, Record, Tail};
use skein_sim::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, SECOND, World};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(u64);

/// All of them, as far as they are decided.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Book(Vec<Word>);

/// One of those who write it.
#[derive(Clone, Debug, Hash)]
struct Writing {
    consensus: Consensus<Word, Book>,
    book: Book,
    /// A checkpoint is due after so many words.
    every: usize,
}

/// Few entries are kept for those behind, so that some need a whole book.
const TAIL: Tail = Tail { entries: 5, bytes: 1 << 20 };

const TICK: Duration = Duration::from_millis(100);

impl Machine for Writing {
    type Command = Word;
    type Message = Message<Word, Book>;
    type Timer = ();
    type Record = Record<Word, Book>;
    type Event = (u64, Word);

    fn restore(&mut self, record: Self::Record) {
        if let Some(book) = self.consensus.restore(record) {
            self.book = book;
        }
    }

    fn start(&mut self, _: Time, seed: u64, out: &mut Out<Self>) {
        self.consensus.start(seed, out);
        out.arm((), TICK);
    }

    fn on_command(&mut self, _: Time, word: Word, out: &mut Out<Self>) {
        if self.consensus.may_propose() {
            self.consensus.propose(word, out);
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Self::Message, out: &mut Out<Self>) {
        self.consensus.on_message(from, message, out);
        if let Some(book) = self.consensus.arrival() {
            let book = book.unwrap_or_default();
            assert!(book.0.starts_with(&self.book.0), "a state forgets what was decided");
            self.book = book;
            self.consensus.install(self.book.clone(), out);
        }
    }

    fn on_timer(&mut self, _: Time, (): (), out: &mut Out<Self>) {
        out.arm((), TICK);
        self.consensus.tick(out);
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Out<Self>) {
        self.consensus.on_reconnect(peer, out);
    }

    fn finish(&mut self, _: Time, out: &mut Out<Self>) {
        self.consensus.decide();
        while let Some((index, word)) = self.consensus.next_decided() {
            self.book.0.push(word);
            assert_eq!(index, self.book.0.len() as u64, "a place is left out");
            out.emit((index, word));
            if self.book.0.len().is_multiple_of(self.every) {
                self.consensus.checkpoint(self.book.clone(), TAIL, out);
            }
        }
        self.consensus.speak(out);
    }

    fn check(&self) {
        self.consensus.check();
    }

    fn remembers(&self) -> bool {
        self.consensus.remembers()
    }
}

/// Writes for so long in such weather, and lets everything settle. Answers how many words the book has.
fn write_a_book(replicas: usize, seed: u64) -> usize {
    let cluster = Arc::new(Cluster::regular(1, replicas, 0).unwrap());
    let processes: Vec<ProcessId> = cluster.processes().collect();
    let group = GroupId::new(0).unwrap();
    let maker = move |process, boot: Boot| Writing {
        consensus: Consensus::new(process, group, &cluster, boot, true, Planted::NONE),
        book: Book::default(),
        every: 10,
    };
    let mut random = Random::new(seed);
    let latency = Latency::varied(&processes, &mut random);
    let mut world = World::new(&processes, latency, DiskHabits::GOOD, seed, Box::new(maker));
    world.start();
    let mut decided: BTreeMap<u64, Word> = BTreeMap::new();
    let mut run = |world: &mut World<Writing>, until: Nanos| {
        while let Some(occurrence) = world.next(until) {
            if let Occurrence::Told { event: (index, word), .. } = occurrence {
                let first = *decided.entry(index).or_insert(word);
                assert_eq!(first, word, "two words are decided at {index}");
            }
        }
    };
    let mut down: Option<ProcessId> = None;
    let mut word = 0;
    for _ in 0..400 {
        let next = world.now() + 50 * MILLISECOND;
        run(&mut world, next);
        for process in &processes {
            word += 1;
            world.command(*process, Word(word));
        }
        // Elections take a second or two.
        if random.chance(if down.is_some() { 0.1 } else { 0.03 }) {
            match down.take() {
                Some(process) => world.restart(process),
                // One at a time, and not before the one before it is a replica again.
                None if processes.iter().all(|process| world.remembers(*process)) => {
                    let process = *random.pick(&processes);
                    world.crash(process);
                    if replicas > 1 && random.chance(0.3) {
                        world.lose_disk(process);
                    }
                    down = Some(process);
                }
                None => {}
            }
        }
        let (one, other) = (*random.pick(&processes), *random.pick(&processes));
        if one != other && random.chance(0.1) {
            world.set_cut(one, other, random.chance(0.2));
        }
    }
    down.into_iter().for_each(|process| world.restart(process));
    for one in &processes {
        for other in processes.iter().filter(|other| *other != one) {
            world.set_cut(*one, *other, false);
        }
    }
    let end = world.now() + 30 * SECOND;
    run(&mut world, end);
    let books: Vec<&Book> = processes.iter().map(|process| &world.machine(*process).unwrap().book).collect();
    assert!(books.iter().all(|book| *book == books[0]), "seed {seed}: {books:?}");
    for (index, word) in &decided {
        assert_eq!(books[0].0[*index as usize - 1], *word, "what was decided at {index} is lost");
    }
    books[0].0.len()
}

#[test]
fn all_have_the_same_book_whatever_breaks() {
    for (replicas, seeds) in [(1, 0..5), (3, 0..60), (5, 0..30)] {
        for seed in seeds {
            let words = write_a_book(replicas, seed);
            assert!(words > 20, "{replicas} replicas wrote only {words} words with seed {seed}");
        }
    }
}

impl Content for Word {
    fn length(&self) -> usize {
        size_of::<u64>()
    }
}

impl Content for Book {
    fn length(&self) -> usize {
        size_of_val(&self.0[..])
    }
}

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        Ok(Word(reader.u64()?))
    }
}

impl Wire for Book {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.each(&self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Book, WireError> {
        Ok(Book(reader.list("words", 1 << 20)?))
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a book of {} words, last {:?}", self.0.len(), self.0.last())
    }
}
