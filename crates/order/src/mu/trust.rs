//! [`Trust`]: which of the others seem to live, judged by a word that each
//! counts up in its own memory. A score goes up when the word has moved and down
//! when it has not, and between two bounds opinions do not change, so that one
//! late look changes nothing. The leader is the trusted replica with the lowest
//! number; that two believe to be it is weather, and costs time only.

use alloc::vec::Vec;

use super::memory::Home;

/// The highest score.
const HIGHEST: u8 = 15;

/// Below this a replica is suspected,
const SUSPECTED: u8 = 2;

/// and above this trusted again.
const TRUSTED: u8 = 6;

/// A memory that has not answered for so many ticks speaks against its replica.
pub(super) const UNSEEN_TICKS: u32 = 8;

/// A replica whose word has moved within so many ticks lives, though it may not be trusted to lead: one that shares its
/// core with others moves now and then, and its score may stay low for as long as it does.
const STILL_TICKS: u32 = 64;

/// What one replica makes of the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    me: u8,
    peers: Vec<Peer>,
}

/// What one replica knows of another, or of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    /// What its memory said last.
    pub home: Home,
    /// It has moved since the last tick.
    moved: bool,
    /// Ticks since it was looked at: the memory has not answered.
    unseen: u32,
    /// Ticks since its word has moved, as far as they matter.
    still: u32,
    /// This life of it was seen to end. Its word may move once more, for it was not looked at since.
    has_died: bool,
    score: u8,
    is_trusted: bool,
}

impl Trust {
    /// Nobody has been looked at; all get the benefit of the doubt for a few ticks, but oneself, who must first be well.
    pub(super) fn new(me: u8, replicas: usize) -> Trust {
        let peer = |nth| Peer {
            home: Home::default(),
            moved: false,
            unseen: 0,
            still: STILL_TICKS,
            has_died: false,
            score: TRUSTED,
            is_trusted: nth != usize::from(me),
        };
        Trust { me, peers: (0..replicas).map(peer).collect() }
    }

    /// What is known of a replica.
    pub(super) fn peer(&self, replica: u8) -> &Peer {
        &self.peers[usize::from(replica)]
    }

    /// A memory said how its replica is. It is asked again only when it has answered, so this is news; a life that counts
    /// lower than the one before has lost its memory.
    pub(super) fn saw(&mut self, replica: u8, home: Home) {
        let peer = &mut self.peers[usize::from(replica)];
        peer.moved |= (home.life, home.beat) != (peer.home.life, peer.home.beat);
        peer.has_died &= home.life == peer.home.life;
        peer.unseen = 0;
        peer.home = home;
    }

    /// A replica that was seen to die is suspected at once.
    pub(super) fn died(&mut self, replica: u8) {
        let peer = &mut self.peers[usize::from(replica)];
        (peer.score, peer.is_trusted, peer.moved, peer.has_died) = (0, false, false, true);
    }

    /// Whether oneself is well.
    pub(super) fn set_well(&mut self, is_well: bool) {
        self.peers[usize::from(self.me)].is_trusted = is_well;
    }

    /// Time passes: those whose word has moved since the last tick gain, the others lose.
    pub(super) fn tick(&mut self) {
        for (nth, peer) in self.peers.iter_mut().enumerate() {
            if nth == usize::from(self.me) {
                continue;
            }
            peer.score = match peer.moved {
                true => (peer.score + 1).min(HIGHEST),
                // Nothing is known against it yet: its memory is slow, as memories across a network may be.
                false if (1..UNSEEN_TICKS).contains(&peer.unseen) => peer.score,
                false => peer.score.saturating_sub(1),
            };
            peer.still = if peer.moved { 0 } else { (peer.still + 1).min(STILL_TICKS) };
            peer.moved = false;
            peer.unseen += 1;
            peer.is_trusted = if peer.is_trusted { peer.score >= SUSPECTED } else { peer.score > TRUSTED };
        }
    }

    /// Whether a replica seems to live.
    pub(super) fn is_trusted(&self, replica: u8) -> bool {
        self.peer(replica).is_trusted
    }

    /// Whether a replica lives, so that what it has applied is not lost. It may be too slow to be trusted.
    pub(super) fn lives(&self, replica: u8) -> bool {
        let peer = self.peer(replica);
        peer.is_trusted || !peer.has_died && peer.still < STILL_TICKS
    }

    /// Who should lead.
    pub(super) fn leader(&self) -> Option<u8> {
        self.peers.iter().position(|peer| peer.is_trusted).map(|replica| replica as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(beat: u64) -> Home {
        Home { life: 1, beat, ..Home::default() }
    }

    #[test]
    fn the_silent_are_suspected_and_trusted_again_when_they_have_counted_for_a_while() {
        let mut trust = Trust::new(1, 3);
        trust.set_well(true);
        assert_eq!(trust.leader(), Some(0), "whoever was not looked at yet may live");
        for _ in 0..5 {
            trust.saw(0, Home::default());
            trust.tick();
        }
        assert_eq!(trust.leader(), Some(1));
        for count in 1..=6 {
            trust.saw(0, beat(count));
            trust.tick();
            assert_eq!(trust.leader(), Some(if count < 6 { 1 } else { 0 }), "after {count} ticks");
        }
        for _ in 0..30 {
            trust.saw(0, beat(trust.peer(0).home.beat + 1));
            trust.tick();
        }
        let last = trust.peer(0).home;
        for tick in 1..=14 {
            trust.saw(0, last);
            trust.tick();
            assert_eq!(trust.is_trusted(0), tick < 14, "{tick} ticks of silence");
        }
    }

    #[test]
    fn a_slow_memory_speaks_against_nobody_for_a_while() {
        let mut trust = Trust::new(1, 2);
        trust.saw(0, beat(1));
        for _ in 0..UNSEEN_TICKS {
            trust.tick();
        }
        assert_eq!(trust.peer(0).score, TRUSTED + 1);
        for _ in 0..=TRUSTED {
            trust.tick();
        }
        assert!(!trust.is_trusted(0));
    }

    #[test]
    fn whoever_moves_now_and_then_lives_and_is_not_trusted_for_it() {
        let mut trust = Trust::new(0, 2);
        for tick in 0..200 {
            if tick % 20 == 0 {
                trust.saw(1, beat(tick + 1));
            } else {
                trust.saw(1, trust.peer(1).home);
            }
            trust.tick();
            assert!(trust.lives(1), "{tick}");
        }
        assert!(!trust.is_trusted(1));
        // Nothing is heard of it any more; or it is seen to die.
        let mut silent = trust.clone();
        (0..STILL_TICKS).for_each(|_| silent.tick());
        assert!(!silent.lives(1));
        trust.died(1);
        trust.saw(1, beat(1000));
        trust.tick();
        assert!(!trust.lives(1), "it had moved before it died");
        trust.saw(1, Home { life: 2, ..beat(1) });
        trust.tick();
        assert!(trust.lives(1));
    }

    #[test]
    fn another_life_counts_anew_and_a_death_counts_at_once() {
        let mut trust = Trust::new(0, 2);
        trust.saw(1, beat(5));
        trust.tick();
        trust.saw(1, Home { life: 2, beat: 1, ..Home::default() });
        trust.tick();
        assert!(trust.is_trusted(1));
        trust.died(1);
        assert!(!trust.is_trusted(1));
    }
}
