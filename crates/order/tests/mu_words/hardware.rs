//! The rule of a grant that is over on the processors of this machine, as it
//! ships: whatever stood is in the copy. Chance decides how near to each other
//! the two sides come, so this can only confirm. With full fences that only the
//! compiler keeps, the first few hundred rounds lose a write on x86.

use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;

use bytes::BytesMut;
use skein_order::Planted;
use skein_order::mu::memory::Memory;

use crate::stage::{FIRST, SECOND, SHAPE, slot};

/// Enough that a missing fence shows as a rule, and over in a fraction of a second.
const ROUNDS: usize = 20_000;

/// Memories that are made at once.
const BATCH: usize = 1_000;

/// Each side is early or late by so many turns at most, so that they meet at every step.
const MOST_TURNS: usize = 40;

fn memory(words: &[AtomicU64]) -> Memory<'_, [AtomicU64]> {
    Memory::new(words, &SHAPE, Planted::NONE)
}

/// Waits until both are here, without going to sleep: the two would wake up too far from each other.
fn meet(gate: &[AtomicU64; 2], me: usize, round: u64, late: usize) {
    gate[me].store(round + 1, Release);
    while gate[1 - me].load(Acquire) <= round {
        // On a machine with one core nobody would come otherwise.
        thread::yield_now();
    }
    (0..late).for_each(|_| std::hint::spin_loop());
}

#[test]
fn what_stood_is_in_the_copy() {
    for _ in 0..ROUNDS / BATCH {
        let memories: Vec<Vec<AtomicU64>> =
            (0..BATCH).map(|_| (0..SHAPE.words()).map(|_| AtomicU64::new(0)).collect()).collect();
        for words in &memories {
            memory(words).copy(None, &FIRST);
            memory(words).publish(&FIRST);
        }
        let (gate, start) = ([AtomicU64::new(0), AtomicU64::new(0)], Barrier::new(2));
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                start.wait();
                let mut stood = Vec::with_capacity(BATCH);
                for (round, words) in memories.iter().enumerate() {
                    let (log, value) = (memory(words), slot(0, 5));
                    meet(&gate, 0, round as u64, round % MOST_TURNS);
                    log.write(0, &value);
                    log.fence();
                    stood.push(log.stood(0, 1));
                }
                stood
            });
            start.wait();
            for (round, words) in memories.iter().enumerate() {
                let owner = memory(words);
                meet(&gate, 1, round as u64, round / MOST_TURNS % MOST_TURNS);
                owner.revoke(0);
                owner.copy(Some(0), &SECOND);
            }
            let stood = writer.join().unwrap();
            for (round, (words, stood)) in memories.iter().zip(stood).enumerate() {
                let copied = memory(words).stretch((1, 2), 0, 1, &mut BytesMut::new()).slots;
                assert!(
                    !stood || copied == [slot(0, 5)],
                    "round {round}: it stood, and is not in the copy: {copied:?}"
                );
                assert!(copied.is_empty() || copied == [slot(0, 5)], "round {round}: half of it: {copied:?}");
            }
        });
    }
}
