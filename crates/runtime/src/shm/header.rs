//! [`Header`]: what a memory says of itself in its first page, and [`Plan`],
//! what whoever opens it expects there.
//!
//! Most of it is written once, before anybody else sees the file, and covered
//! by a checksum. It decides what is refused; it opens nothing itself.

use std::path::Path;

use skein_machine::ClusterId;

use super::ShmError;

/// What this build writes, and the only layout that it reads.
pub(super) const LAYOUT: u64 = 2;

/// Every word of it is in the first page, which nobody but this module writes.
pub(super) const HEADER_WORDS: usize = 512;

/// Its bytes.
pub(super) const HEADER_BYTES: usize = HEADER_WORDS * 8;

/// More than any machine gives away, and so few that no sum of bytes overflows.
pub const MAX_WORDS: usize = 1 << 40;

/// Far above what a group that agrees has, far below what files one opens at once.
pub const MAX_REPLICAS: usize = 64;

/// As many as the header has room for.
pub const MAX_MEASURES: usize = 8;

const MAGIC: u64 = u64::from_le_bytes(*b"skeinmem");
const FINISHED: u64 = u64::from_le_bytes(*b"finished");

// Written once.
const AT_MAGIC: usize = 0;
const AT_LAYOUT: usize = 1;
pub(super) const AT_FINISHED: usize = 2;
const AT_CHECKSUM: usize = 3;
const AT_CLUSTER: usize = 4;
const AT_REPLICA: usize = 5;
const AT_REPLICAS: usize = 6;
const AT_WORDS: usize = 7;
const AT_SET: usize = 8;
const AT_START: usize = 9;
const AT_MEASURES: usize = 11;
const WRITTEN_ONCE: usize = AT_MEASURES + 1 + MAX_MEASURES;

// Written later, each on a line of its own.
pub(super) const AT_BLANK: usize = 64;
pub(super) const AT_OWNER: usize = 72;
pub(super) const AT_TIE: usize = 80;

/// One of the numbers by which the user of a memory lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What is counted: `slots`.
    pub name: &'static str,
    /// How many.
    pub value: u64,
}

/// What all memories of a cluster have in common, as whoever opens them expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose memories.
    pub cluster: ClusterId,
    /// How many there are.
    pub replicas: usize,
    /// How many words each has.
    pub words: usize,
    /// How their user lays them out. Memory that was laid out otherwise is refused.
    pub shape: Vec<Measure>,
}

impl Plan {
    /// Whether this can be.
    pub(super) fn check(&self) -> Result<(), ShmError> {
        assert!(self.shape.len() <= MAX_MEASURES, "{} measures, and {MAX_MEASURES} is the most", self.shape.len());
        if !(1..=MAX_WORDS).contains(&self.words) {
            return Err(ShmError::TooLarge { words: self.words, most: MAX_WORDS });
        }
        if !(1..=MAX_REPLICAS).contains(&self.replicas) {
            return Err(ShmError::TooMany { replicas: self.replicas, most: MAX_REPLICAS });
        }
        Ok(())
    }

    pub(super) fn check_replica(&self, replica: usize) -> Result<(), ShmError> {
        if replica < self.replicas { Ok(()) } else { Err(ShmError::NoSuchReplica { replica, replicas: self.replicas }) }
    }

    /// The length of each file.
    pub(super) fn bytes(&self) -> u64 {
        (HEADER_WORDS + self.words) as u64 * 8
    }
}

/// What a memory says of itself, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: u64,
    pub(super) replica: u64,
    pub(super) replicas: u64,
    pub(super) words: u64,
    /// Drawn for all memories that were made together, so that files of two directories never mix.
    pub(super) set: u64,
    /// Which start of this machine it was made after.
    pub(super) start: u128,
    pub(super) measures: Vec<u64>,
}

impl Header {
    pub(super) fn new(plan: &Plan, replica: usize, set: u64, start: u128) -> Header {
        Header {
            cluster: plan.cluster.0,
            replica: replica as u64,
            replicas: plan.replicas as u64,
            words: plan.words as u64,
            set,
            start,
            measures: plan.shape.iter().map(|measure| measure.value).collect(),
        }
    }

    /// The words that are written once, with the one that says that all of it is finished.
    pub(super) fn to_words(&self) -> [u64; WRITTEN_ONCE] {
        let mut words = [0; WRITTEN_ONCE];
        words[AT_MAGIC] = MAGIC;
        words[AT_LAYOUT] = LAYOUT;
        words[AT_CLUSTER] = self.cluster;
        words[AT_REPLICA] = self.replica;
        words[AT_REPLICAS] = self.replicas;
        words[AT_WORDS] = self.words;
        words[AT_SET] = self.set;
        words[AT_START] = self.start as u64;
        words[AT_START + 1] = (self.start >> 64) as u64;
        words[AT_MEASURES] = self.measures.len() as u64;
        words[AT_MEASURES + 1..][..self.measures.len()].copy_from_slice(&self.measures);
        words[AT_CHECKSUM] = checksum(&words);
        words[AT_FINISHED] = FINISHED;
        words
    }

    /// Reads what stands in the file at `path`.
    pub(super) fn of_words(words: &[u64; HEADER_WORDS], path: &Path) -> Result<Header, ShmError> {
        let path = || path.to_owned();
        if words[AT_MAGIC] != MAGIC {
            // A file that somebody has only begun to make is all zeros.
            let is_begun = words[..WRITTEN_ONCE].iter().all(|word| *word == 0);
            return Err(if is_begun {
                ShmError::Unfinished { path: path() }
            } else {
                ShmError::NotOurs { path: path() }
            });
        }
        // Looked at before anything else: whatever else another layout says, this build cannot judge it.
        if words[AT_LAYOUT] != LAYOUT {
            return Err(ShmError::OtherLayout { path: path(), found: words[AT_LAYOUT] });
        }
        if words[AT_FINISHED] != FINISHED {
            return Err(ShmError::Unfinished { path: path() });
        }
        let measures = usize::try_from(words[AT_MEASURES]).ok().filter(|measures| *measures <= MAX_MEASURES);
        let (true, Some(measures)) = (words[AT_CHECKSUM] == checksum(&words[..WRITTEN_ONCE]), measures) else {
            return Err(ShmError::Damaged { path: path() });
        };
        Ok(Header {
            cluster: words[AT_CLUSTER],
            replica: words[AT_REPLICA],
            replicas: words[AT_REPLICAS],
            words: words[AT_WORDS],
            set: words[AT_SET],
            start: u128::from(words[AT_START + 1]) << 64 | u128::from(words[AT_START]),
            measures: words[AT_MEASURES + 1..][..measures].to_vec(),
        })
    }

    /// Refuses what is not the memory of this replica in this plan, made since this machine was started.
    pub(super) fn refuse_others(&self, plan: &Plan, replica: usize, start: u128, path: &Path) -> Result<(), ShmError> {
        let path = || path.to_owned();
        if self.cluster != plan.cluster.0 {
            return Err(ShmError::OtherCluster { path: path(), found: ClusterId(self.cluster), wanted: plan.cluster });
        }
        if self.replica != replica as u64 {
            return Err(ShmError::OtherReplica { path: path(), found: self.replica, wanted: replica });
        }
        // Which measure differs says more than that the sum of all does, so the words come last.
        let measures = plan.shape.iter().zip(&self.measures).map(|(wanted, found)| (wanted.name, *found, wanted.value));
        let sizes = [("replicas", self.replicas, plan.replicas as u64)]
            .into_iter()
            .chain([("measures", self.measures.len() as u64, plan.shape.len() as u64)])
            .chain(measures)
            .chain([("words", self.words, plan.words as u64)]);
        for (what, found, wanted) in sizes {
            if found != wanted {
                return Err(ShmError::OtherSize { path: path(), what, found, wanted });
            }
        }
        if self.start != start {
            return Err(ShmError::OtherStart { path: path() });
        }
        Ok(())
    }
}

/// Of all that is written once, but of itself and of the word that is written last.
fn checksum(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words[AT_CHECKSUM + 1..].iter().flat_map(|word| word.to_le_bytes()).collect();
    u64::from(crc32c::crc32c(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let shape = [("slots", 16), ("bytes of a slot", 64)].map(|(name, value)| Measure { name, value });
        Plan { cluster: ClusterId(0xabc), replicas: 3, words: 700, shape: shape.to_vec() }
    }

    fn page(header: &Header) -> [u64; HEADER_WORDS] {
        let mut page = [0; HEADER_WORDS];
        page[..WRITTEN_ONCE].copy_from_slice(&header.to_words());
        page
    }

    fn read(page: &[u64; HEADER_WORDS]) -> Result<Header, ShmError> {
        Header::of_words(page, Path::new("d/m"))
    }

    #[test]
    fn what_is_written_is_read() {
        let header = Header::new(&plan(), 2, 99, 1 << 100 | 7);
        assert_eq!(read(&page(&header)).unwrap(), header);
        header.refuse_others(&plan(), 2, 1 << 100 | 7, Path::new("d/m")).unwrap();
    }

    #[test]
    fn no_bit_of_it_can_change_unnoticed() {
        let sound = page(&Header::new(&plan(), 2, 99, 7));
        for place in 0..WRITTEN_ONCE {
            for bit in 0..64 {
                let mut other = sound;
                other[place] ^= 1 << bit;
                assert!(read(&other).is_err(), "word {place}, bit {bit}");
            }
        }
        // What changes in a life is not part of it.
        let mut later = sound;
        (later[AT_BLANK], later[AT_OWNER]) = (1, 5);
        assert!(read(&later).is_ok());
    }

    #[test]
    fn whatever_differs_is_told() {
        let refusal = |other: &dyn Fn(&mut Plan)| {
            let mut plan = plan();
            other(&mut plan);
            let header = Header::new(&plan, 2, 99, 7);
            header.refuse_others(&self::plan(), 2, 7, Path::new("d/m")).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(&|plan| plan.cluster = ClusterId(1)),
            "d/m belongs to cluster 0000000000000001, not to 0000000000000abc; check the path and the cluster's \
             description"
        );
        assert!(refusal(&|plan| plan.replicas = 5).contains("made for 5 replicas, and 3 are wanted"));
        assert!(refusal(&|plan| plan.shape[1].value = 32).contains("made for 32 bytes of a slot, and 64 are wanted"));
        assert!(refusal(&|plan| plan.shape.truncate(1)).contains("made for 1 measures, and 2 are wanted"));
        assert!(refusal(&|plan| plan.words = 699).contains("made for 699 words, and 700 are wanted"));
        let header = Header::new(&plan(), 1, 99, 7);
        let refusal = |replica, start| header.refuse_others(&plan(), replica, start, Path::new("d/m")).unwrap_err();
        assert!(refusal(2, 7).to_string().contains("the memory of replica 1, not of 2"));
        assert!(refusal(1, 8).to_string().contains("before this machine was started last"));
    }

    #[test]
    fn plans_have_bounds() {
        let refusal = |other: &dyn Fn(&mut Plan)| {
            let mut plan = plan();
            other(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        assert!(refusal(&|plan| plan.words = 0).contains("a memory of 0 words is asked for; ask for 1 to"));
        assert!(refusal(&|plan| plan.words = MAX_WORDS + 1).contains("ask for 1 to 1099511627776"));
        assert!(refusal(&|plan| plan.replicas = 0).contains("ask for 1 to 64"));
        assert!(refusal(&|plan| plan.replicas = 65).contains("ask for 1 to 64"));
        assert!(plan().check().is_ok() && plan().check_replica(2).is_ok());
        assert!(plan().check_replica(3).unwrap_err().to_string().contains("no replica 3 among 3"));
    }
}
