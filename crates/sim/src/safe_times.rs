//! [`SafeTimes`]: what the replicas of one group have said of its future. Each
//! word means that from some position on everything lies above some timestamp.
//! All replicas of a group share one order, so a word binds them all, and every
//! life of each. It will never judge; it only remembers the words that no other
//! implies, of which there are at most as many as deliveries.

use std::collections::BTreeMap;

use skein_machine::{Position, ProcessId, Timestamp};

/// Who said that everything up to which timestamp had been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) timestamp: Timestamp,
    pub(crate) process: ProcessId,
}

/// By the first position of which each word speaks. Both rise together: of two
/// words, the one that speaks of fewer positions says more of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SafeTimes {
    words: BTreeMap<Position, Word>,
}

impl SafeTimes {
    /// A replica that has come to this position gives its word.
    pub(crate) fn add(&mut self, position: Position, word: Word) {
        if self.strongest(position).is_some_and(|other| other.timestamp >= word.timestamp) {
            return;
        }
        let is_implied = |(_, other): &(&Position, &Word)| other.timestamp <= word.timestamp;
        let implied: Vec<Position> = self.words.range(position..).take_while(is_implied).map(|(at, _)| *at).collect();
        for at in implied {
            self.words.remove(&at);
        }
        self.words.insert(position, word);
    }

    /// The word that says most of what is delivered at this position.
    pub(crate) fn strongest(&self, position: Position) -> Option<Word> {
        self.words.range(..=position).next_back().map(|(_, word)| *word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::Random;

    fn word(timestamp: u64) -> Word {
        Word { timestamp: Timestamp(timestamp), process: ProcessId(0) }
    }

    /// Compared with all words, on small numbers that meet often.
    #[test]
    fn what_is_forgotten_was_implied() {
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let (mut kept, mut all) = (SafeTimes::default(), Vec::new());
            for _ in 0..20 {
                let (position, timestamp) = (random.below(8), random.below(8));
                kept.add(position, word(timestamp));
                all.push((position, timestamp));
                let words: Vec<Timestamp> = kept.words.values().map(|word| word.timestamp).collect();
                assert!(words.is_sorted_by(|one, next| one < next), "seed {seed}: {words:?}");
                for asked in 0..8 {
                    let said = all.iter().filter(|(from, _)| *from <= asked).map(|(_, timestamp)| *timestamp).max();
                    assert_eq!(kept.strongest(asked).map(|word| word.timestamp.0), said, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_minute_without_deliveries_leaves_one_word() {
        let mut kept = SafeTimes::default();
        (0..10_000).for_each(|timestamp| kept.add(3, word(timestamp)));
        kept.add(7, word(5));
        assert_eq!(kept.words.len(), 1);
    }
}
