//! [`SafeTimes`]: what the replicas of one group have said of its future. Each
//! word means that of all messages of the group, so many lie at or below some
//! timestamp, and no more ever will. It says nothing of their order, so it binds
//! all replicas, and every life of each, also where some messages commute. It
//! will never judge; it only remembers the words that no other implies, of which
//! there are at most as many as deliveries.

use std::collections::BTreeMap;

use skein_machine::{ProcessId, Timestamp};

/// Who said that everything up to which timestamp had been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) timestamp: Timestamp,
    pub(crate) process: ProcessId,
}

/// By how many messages each word allows. Both rise together: of two words, the
/// one that allows fewer messages up to a later timestamp implies the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct SafeTimes {
    words: BTreeMap<u64, Word>,
}

impl SafeTimes {
    /// A replica that has so many messages at or below the timestamp gives its word that there are no others.
    pub(crate) fn add(&mut self, count: u64, word: Word) {
        let strongest = self.words.range(..=count).next_back();
        if strongest.is_some_and(|(_, other)| other.timestamp >= word.timestamp) {
            return;
        }
        let is_implied = |(_, other): &(&u64, &Word)| other.timestamp <= word.timestamp;
        let implied: Vec<u64> = self.words.range(count..).take_while(is_implied).map(|(count, _)| *count).collect();
        for count in implied {
            self.words.remove(&count);
        }
        self.words.insert(count, word);
    }

    /// The words that no other implies, with the number of messages that each allows.
    pub(crate) fn words(&self) -> impl Iterator<Item = (u64, Word)> {
        self.words.iter().map(|(count, word)| (*count, *word))
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
                let (count, timestamp) = (random.below(8), random.below(8));
                kept.add(count, word(timestamp));
                all.push((count, timestamp));
                let words: Vec<(u64, Timestamp)> = kept.words().map(|(count, word)| (count, word.timestamp)).collect();
                assert!(words.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1), "seed {seed}: {words:?}");
                for asked in 0..8 {
                    let said = all.iter().filter(|(count, _)| *count <= asked).map(|(_, timestamp)| *timestamp).max();
                    let strongest = words.iter().rfind(|(count, _)| *count <= asked);
                    assert_eq!(strongest.map(|(_, timestamp)| timestamp.0), said, "seed {seed}");
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
