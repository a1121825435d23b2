//! [`Reads`]: questions that are answered from what is here, without ordering
//! anything. Those that come together share one point to read at. Where that
//! point lies is found by the order; here they wait for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{Freshness, Timestamp};

/// Askers who wait, for a point to read at or for an answer that may leave, above which no more are taken: far more
/// than one replica answers in the time that anybody waits.
pub(super) const MAX_WAITING: usize = 1 << 16;

/// What their questions may be long together.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// Questions of one asker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Read {
    /// Nobody's: the replica wants to know for itself.
    pub(super) token: Option<u64>,
    pub(super) queries: Vec<Bytes>,
    /// Whether the answer must wait until what it shows is settled.
    pub(super) is_linearizable: bool,
}

/// See above.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    /// The number of the next question to the order.
    round: u64,
    /// Somebody waits for it.
    is_wanted: bool,
    /// Those that wait for a point, by the round that will bring it.
    pointless: VecDeque<(u64, Read)>,
    /// Those that wait until everything up to a timestamp is here.
    waiting: Vec<(Timestamp, Read)>,
    /// No point lies below this.
    least: Timestamp,
    /// How long all of them are.
    bytes: usize,
}

impl Read {
    fn length(&self) -> usize {
        self.queries.iter().map(Bytes::len).sum()
    }
}

impl Reads {
    /// Takes questions in, or says why not. So many others have been answered, and wait until that may leave.
    pub(super) fn ask(
        &mut self,
        token: u64,
        freshness: Freshness,
        queries: Vec<Bytes>,
        answered: usize,
    ) -> Result<(), &'static str> {
        let read = Read { token: Some(token), queries, is_linearizable: freshness == Freshness::Linearizable };
        if self.count() + answered >= MAX_WAITING || self.bytes + read.length() > MAX_WAITING_BYTES {
            return Err("too many questions wait here already: try again later");
        }
        self.bytes += read.length();
        match freshness {
            Freshness::Linearizable => {
                self.is_wanted = true;
                self.pointless.push_back((self.round, read));
            }
            Freshness::Causal(floor) => self.waiting.push((floor, read)),
        }
        Ok(())
    }

    /// The replica itself wants to know when it has everything that its group has by now.
    pub(super) fn ask_for_itself(&mut self) {
        self.is_wanted = true;
        self.pointless.push_back((self.round, Read { token: None, queries: Vec::new(), is_linearizable: true }));
    }

    /// The question to put to the order now, for all who have come since the last.
    pub(super) fn question(&mut self) -> Option<u64> {
        if !core::mem::take(&mut self.is_wanted) {
            return None;
        }
        self.round += 1;
        Some(self.round - 1)
    }

    /// Whatever the order finds, a point lies here at least.
    pub(super) fn not_below(&mut self, timestamp: Timestamp) {
        self.least = self.least.max(timestamp);
    }

    /// See above.
    pub(super) fn least(&self) -> Timestamp {
        self.least
    }

    /// The order has found a point for this round, and for all before it.
    pub(super) fn found(&mut self, round: u64, timestamp: Timestamp) {
        while self.pointless.front().is_some_and(|(waits, _)| *waits <= round) {
            let (_, read) = self.pointless.pop_front().expect("there is a front");
            self.waiting.push((timestamp, read));
        }
    }

    /// The highest timestamp that somebody waits for.
    pub(super) fn highest(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|(timestamp, _)| *timestamp).max()
    }

    /// Takes out those who need to see nothing above this timestamp, each with what it needs to see.
    pub(super) fn ready(&mut self, here: Timestamp) -> Vec<(Timestamp, Read)> {
        if self.waiting.iter().all(|(timestamp, _)| *timestamp > here) {
            return Vec::new();
        }
        let (ready, waiting): (Vec<_>, _) =
            core::mem::take(&mut self.waiting).into_iter().partition(|(timestamp, _)| *timestamp <= here);
        self.waiting = waiting;
        self.bytes -= ready.iter().map(|(_, read)| read.length()).sum::<usize>();
        ready
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, token: u64) {
        let bytes = &mut self.bytes;
        let mut is_kept = |read: &Read| {
            let is_kept = read.token != Some(token);
            *bytes -= if is_kept { 0 } else { read.length() };
            is_kept
        };
        self.pointless.retain(|(_, read)| is_kept(read));
        self.waiting.retain(|(_, read)| is_kept(read));
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.pointless.len() + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn those_that_come_together_share_a_point() {
        let mut reads = Reads::default();
        assert_eq!(reads.question(), None);
        reads.ask(1, Freshness::Linearizable, Vec::new(), 0).unwrap();
        reads.ask(2, Freshness::Linearizable, Vec::new(), 0).unwrap();
        assert_eq!((reads.question(), reads.question()), (Some(0), None));
        reads.ask(3, Freshness::Linearizable, Vec::new(), 0).unwrap();
        reads.found(0, Timestamp(5));
        let tokens =
            |ready: Vec<(Timestamp, Read)>| ready.iter().filter_map(|(_, read)| read.token).collect::<Vec<_>>();
        assert_eq!(tokens(reads.ready(Timestamp(4))), []);
        assert_eq!(tokens(reads.ready(Timestamp(5))), [1, 2], "who came later needs a point of its own");
        assert_eq!(reads.question(), Some(1));
        reads.found(1, Timestamp(5));
        reads.forget(3);
        assert_eq!(reads.count(), 0);
    }

    #[test]
    fn a_causal_question_waits_for_its_floor_only() {
        let mut reads = Reads::default();
        reads.ask(1, Freshness::Causal(Timestamp(7)), Vec::new(), 0).unwrap();
        assert_eq!((reads.question(), reads.highest()), (None, Some(Timestamp(7))));
        assert!(reads.ready(Timestamp(6)).is_empty());
        assert!(!reads.ready(Timestamp(7))[0].1.is_linearizable);
    }

    #[test]
    fn a_crowd_is_turned_away() {
        let mut reads = Reads::default();
        let (any, most) = (Freshness::Linearizable, MAX_WAITING - 5);
        (0..most as u64).for_each(|token| reads.ask(token, any, Vec::new(), 5).unwrap());
        assert!(reads.ask(0, any, Vec::new(), 5).is_err());
        assert!(reads.ask(0, any, Vec::new(), 4).is_ok());
    }

    #[test]
    fn long_questions_are_turned_away_sooner() {
        let mut reads = Reads::default();
        let long = || vec![Bytes::from(vec![0; MAX_WAITING_BYTES / 2])];
        reads.ask(1, Freshness::Linearizable, long(), 0).unwrap();
        reads.ask(2, Freshness::Causal(Timestamp(3)), long(), 0).unwrap();
        assert!(reads.ask(3, Freshness::Linearizable, vec![Bytes::from_static(b"x")], 0).is_err());
        assert_eq!(reads.ready(Timestamp(3)).len(), 1);
        reads.forget(1);
        assert_eq!((reads.count(), reads.bytes), (0, 0));
    }
}
