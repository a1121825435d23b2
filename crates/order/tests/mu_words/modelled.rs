//! Words for the checker `loom`, and fences that can be taken away.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use loom::sync::atomic::{AtomicU64, fence};
use skein_order::mu::Words;

/// How often a thread that could go on is interrupted by another at most, unless `LOOM_MAX_PREEMPTIONS` says how often.
/// Every broken rule here shows at two, and all orders with two are tried in seconds; with four it takes minutes.
const PREEMPTIONS: usize = 2;

/// More than any thread of a model does. Whoever does more waits for something that never comes.
const MAX_STEPS: usize = 10_000;

/// The words of one memory. Whatever a processor may see in them is tried.
pub(crate) struct Modelled {
    words: Vec<Word>,
    /// Fences touch no word, so whoever comes by a full one knocks here.
    gate: Door,
}

struct Word {
    value: AtomicU64,
    door: Door,
}

/// The checker tries two orders of what two threads do only if the two touch one word, and remembers only who touched
/// it last: that somebody had loaded a word is forgotten when whoever stores to it has loaded it, too. So everybody who
/// touches a word stores to its door first. Nobody loads that, so it orders nothing, and no order is left out.
struct Door(AtomicU64);

impl Door {
    fn new() -> Door {
        Door(AtomicU64::new(0))
    }

    fn knock(&self) {
        self.0.store(1, Relaxed);
    }
}

impl Modelled {
    /// So many words.
    pub(crate) fn new(count: usize) -> Modelled {
        let word = |_| Word { value: AtomicU64::new(0), door: Door::new() };
        Modelled { words: (0..count).map(word).collect(), gate: Door::new() }
    }

    /// The words as one thread uses them.
    pub(crate) fn view(&self) -> View<'_> {
        self.without(Lacking::Nothing)
    }

    /// The same for a thread that lacks a fence.
    pub(crate) fn without(&self, lacking: Lacking) -> View<'_> {
        View { modelled: self, lacking, acquired: Cell::new(0), released: Cell::new(0) }
    }
}

/// Which fence is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    Nothing,
    /// The acquiring fence of this number, from 0, in the order in which the thread comes by them.
    Acquire(usize),
    /// The releasing fence of this number.
    Release(usize),
    /// All full ones.
    Full,
    /// All full ones are only as strong as the other two together.
    HalfOfFull,
}

/// Words as one thread uses them.
pub(crate) struct View<'a> {
    modelled: &'a Modelled,
    lacking: Lacking,
    acquired: Cell<usize>,
    released: Cell<usize>,
}

impl Words for View<'_> {
    fn load(&self, at: usize) -> u64 {
        let word = &self.modelled.words[at];
        word.door.knock();
        word.value.load(Relaxed)
    }

    fn store(&self, at: usize, value: u64) {
        let word = &self.modelled.words[at];
        word.door.knock();
        word.value.store(value, Relaxed);
    }

    fn acquire(&self) {
        if self.lacking != Lacking::Acquire(self.acquired.replace(self.acquired.get() + 1)) {
            fence(Acquire);
        }
    }

    fn release(&self) {
        if self.lacking != Lacking::Release(self.released.replace(self.released.get() + 1)) {
            fence(Release);
        }
    }

    fn full(&self) {
        self.modelled.gate.knock();
        match self.lacking {
            Lacking::Full => {}
            Lacking::HalfOfFull => fence(AcqRel),
            _ => fence(SeqCst),
        }
    }
}

/// Tries the orders in which the threads of a model may run, and what each may see. How many there were, or what was
/// wrong in one.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) -> Result<usize, String> {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.max_branches = MAX_STEPS;
    let explored = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            count.fetch_add(1, Relaxed);
            model();
        });
    }));
    explored.map(|()| tried.load(Relaxed)).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => {
            panic.downcast::<&str>().map_or_else(|_| "no message".to_owned(), |message| (*message).to_owned())
        }
    })
}

/// A rule that is kept: no order breaks the model.
#[track_caller]
pub(crate) fn holds(explored: Result<usize, String>) {
    match explored {
        Ok(orders) => println!("{orders} orders"),
        Err(what) => panic!("{what}"),
    }
}

/// A rule that is broken: some order must show it, in these words. Otherwise the model would hold for no reason.
#[track_caller]
pub(crate) fn fails(explored: Result<usize, String>, words: &str) {
    match explored {
        Ok(orders) => panic!("the rule is broken, and none of {orders} orders shows it"),
        Err(what) => assert!(what.contains(words), "it fails, and not because {words}: {what}"),
    }
}
