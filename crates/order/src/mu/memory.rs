//! [`Memory`]: what a verb does to the words of a replica's memory.
//!
//! Whoever performs a verb is the hand of one processor: of a leader that
//! writes, or of the memory's own replica that grants. Two rules meet here.
//!
//! * **A write counts if the grant stood after it.** The writer stores, passes a
//!   full fence, and loads the word of the grant. The owner stores that the
//!   grant is over, passes a full fence, and copies what it finds. One of the two
//!   sees the other: if the writer finds that its grant stands, the copy has
//!   what it wrote.
//! * **A place is not granted again while somebody may still write to it**:
//!   whoever was granted it has either asked again since, and so has done with
//!   it, or keeps it.
//!
//! It holds no state but the words, and never waits.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::shape::{MAX_PLACES, MAX_REPLICAS, Shape};
use super::slot::{self, Found, Slot};
use super::words::Words;
use crate::{Mutant, Planted};

/// The words of one replica's memory, and their measures.
pub struct Memory<'a, W: ?Sized> {
    words: &'a W,
    shape: &'a Shape,
    planted: Planted,
}

/// A copy of the log that one replica may write, and who.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Counts the grants of this memory, from 1.
    pub generation: u64,
    /// Where it lies.
    pub place: u8,
    /// Who may write.
    pub to: u8,
    /// Which of its requests this answers.
    pub request: u64,
}

/// How a replica is, as its memory tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Home {
    /// Counts its lives.
    pub life: u64,
    /// Counts up as long as it lives and is well.
    pub beat: u64,
    /// How far its service has applied the log.
    pub applied: u64,
    /// The grant that was published last.
    pub grant: Grant,
    /// The last request of whoever looks: made, and answered.
    pub asked: u64,
    /// The last one that was answered.
    pub served: u64,
}

/// What is asked of a replica, for itself to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The last request of each replica to be granted the log.
    pub requests: [u64; MAX_REPLICAS],
    /// The last piece of the state that each replica wants to be told.
    pub wants: [u64; MAX_REPLICAS],
}

/// What was granted so far: enough to know which place is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survey {
    /// The grant of each place; `generation` is 0 where there was none.
    pub places: [Grant; MAX_PLACES],
    /// The grant that was published last.
    pub current: Grant,
    /// Whether it stands.
    pub stands: bool,
    /// Whether this memory has been told everything that it once knew.
    pub is_whole: bool,
    /// The last request of each replica that was answered.
    pub served: [u64; MAX_REPLICAS],
}

/// What a leader has noted in a copy of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The highest number that a leader has taken here.
    pub proposal: u32,
    /// Below it, all slots are decided, and those that are still there say what was decided.
    pub first_undecided: u64,
    /// The slots below are not needed any more, or were never there.
    pub kept_from: u64,
    /// Whether this memory has been told everything that it once knew: false in one that was lost and made anew.
    pub is_whole: bool,
}

/// A stretch of the log, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The grant whose copy it is.
    pub generation: u64,
    /// Where it begins.
    pub from: u64,
    /// How far the leader had noted that all is decided, before any slot was read.
    pub first_undecided: u64,
    /// One after the other, without a gap.
    pub slots: Vec<Slot>,
    /// What ends it.
    pub end: End,
}

/// Why a stretch is not longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// No more was asked for.
    Asked,
    /// The next slot has not been filled.
    Empty,
    /// The next slot is no longer there.
    Gone,
}

/// A piece of a state on its way to another replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// What was wanted: which transfer, and the number of the piece.
    pub want: u64,
    /// Whether it is the last.
    pub is_last: bool,
    /// What it says.
    pub bytes: Bytes,
}

/// A piece's length, and whether it is the last, share a word.
const LAST: u64 = 1 << 32;

impl<'a, W: Words + ?Sized> Memory<'a, W> {
    /// These words, as a memory of this shape.
    pub fn new(words: &'a W, shape: &'a Shape, planted: Planted) -> Memory<'a, W> {
        Memory { words, shape, planted }
    }

    /// Says of a memory in which all is zero that nothing was lost: its cluster begins.
    pub fn begin(&self) {
        self.words.store(self.shape.whole(), 1);
        self.words.release();
    }

    // What anybody may do.

    /// How the replica is, and what it has granted. `me` looks.
    #[inline]
    pub fn look(&self, me: usize) -> Home {
        let (words, shape) = (self.words, self.shape);
        // The request first: an answer that is not there yet is no refusal.
        let asked = words.load(shape.asked(me));
        words.acquire();
        let served = words.load(shape.served(me));
        words.acquire();
        Home {
            life: words.load(shape.life()),
            beat: words.load(shape.beat()),
            applied: words.load(shape.applied()),
            grant: self.current(),
            asked,
            served,
        }
    }

    /// The grant that was published last.
    fn current(&self) -> Grant {
        loop {
            let current = self.words.load(self.shape.current());
            if current == 0 {
                return Grant::default();
            }
            self.words.acquire();
            let grant = self.title((current & 0xff) as usize);
            self.words.acquire();
            // A place that was taken for another grant meanwhile is not the current one any more.
            if grant.generation == current >> 8 && self.words.load(self.shape.current()) == current {
                return grant;
            }
        }
    }

    /// Whether this place is not the one that counts. What a replica of this build copies to always is.
    pub fn is_free(&self, place: u8) -> bool {
        let current = self.words.load(self.shape.current());
        current == 0 || current & 0xff != u64::from(place)
    }

    /// Whether a copy was made for this grant.
    pub fn is_copied(&self, grant: &Grant) -> bool {
        self.title(usize::from(grant.place)) == *grant
    }

    fn title(&self, place: usize) -> Grant {
        let at = self.shape.title(place);
        Grant {
            generation: self.words.load(at),
            place: place as u8,
            to: self.words.load(at + 1) as u8,
            request: self.words.load(at + 2),
        }
    }

    /// Asks to be granted the log. Whoever asks has done with all that it was granted before.
    pub fn ask(&self, me: usize, request: u64) {
        self.words.release();
        self.words.store(self.shape.asked(me), request);
    }

    /// Asks for a piece of the state.
    pub fn want(&self, me: usize, want: u64) {
        self.words.release();
        self.words.store(self.shape.wanted(me), want);
    }

    /// The piece that was told last.
    pub fn piece(&self, me: usize) -> Piece {
        let at = self.shape.piece(me);
        let (words, shape) = (self.words, self.shape);
        let want = words.load(at);
        words.acquire();
        let about = words.load(at + 1);
        let length = ((about & (LAST - 1)) as usize).min(shape.piece_bytes);
        let mut room = BytesMut::new();
        slot::load_bytes(words, at + 2, length, &mut room);
        words.acquire();
        // A piece that is being written has no name.
        let want = if words.load(at) == want { want } else { 0 };
        Piece { want, is_last: about & LAST != 0, bytes: room.freeze() }
    }

    // What a leader does in what it was granted.

    /// What was noted in a copy of the log.
    pub fn progress(&self, place: usize) -> Progress {
        let at = self.shape.progress(place);
        let words = self.words;
        let first_undecided = words.load(at + 1);
        // Where the log jumps, what is missing is noted before what comes after it is said to be there.
        words.acquire();
        let kept_from = words.load(at + 2);
        Progress {
            proposal: words.load(at) as u32,
            first_undecided: first_undecided.max(kept_from),
            kept_from,
            is_whole: words.load(at + 3) != 0,
        }
    }

    /// Takes a number. Whether it counts says [`Memory::stood`].
    pub fn raise(&self, place: usize, proposal: u32) {
        self.words.store(self.shape.progress(place), u64::from(proposal));
    }

    /// Notes how far all is decided, and what is still needed. What it says is true whether or not the grant stands.
    pub fn advance(&self, place: usize, first_undecided: u64, kept_from: u64) {
        let at = self.shape.progress(place);
        self.words.store(at + 2, kept_from);
        self.words.release();
        self.words.store(at + 1, first_undecided);
    }

    /// Says that everything is here again. Whether it counts says [`Memory::stood`].
    pub fn heal(&self, place: usize) {
        self.words.release();
        self.words.store(self.shape.progress(place) + 3, 1);
    }

    /// Writes a slot. Whether it counts says [`Memory::stood`].
    #[inline]
    pub fn write(&self, place: usize, slot: &Slot) {
        slot::write(self.words, self.shape, place, slot);
    }

    /// What comes between writes and the question whether their grants stood.
    #[inline]
    pub fn fence(&self) {
        self.words.full();
    }

    /// Whether the grant stands. Asked after a write and a fence, it says whether the write counts.
    #[inline]
    pub fn stood(&self, place: usize, generation: u64) -> bool {
        self.planted.is(Mutant::MuTrustsTheWrite) || self.words.load(self.shape.grant(place)) == generation
    }

    /// Reads slots in a row, so many at most.
    pub fn stretch(&self, grant: (u8, u64), from: u64, most: usize, room: &mut BytesMut) -> Stretch {
        let place = usize::from(grant.0);
        // What is decided is looked at first: of slots below it, what is read afterwards counts.
        let Progress { first_undecided, kept_from, .. } = self.progress(place);
        self.words.acquire();
        let mut stretch = Stretch { generation: grant.1, from, first_undecided, slots: Vec::new(), end: End::Asked };
        if from < kept_from {
            stretch.end = End::Gone;
            return stretch;
        }
        for index in (from..).take(most) {
            match slot::read(self.words, self.shape, place, index, room) {
                Found::Slot(slot) => stretch.slots.push(slot),
                Found::Empty => {
                    stretch.end = End::Empty;
                    break;
                }
                Found::Gone => {
                    stretch.end = End::Gone;
                    break;
                }
            }
        }
        stretch
    }

    // What only the memory's own replica does.

    /// Begins a life, with nothing applied.
    pub fn live(&self, life: u64) {
        self.words.store(self.shape.applied(), 0);
        self.words.store(self.shape.life(), life);
    }

    /// Shows that all is well.
    #[inline]
    pub fn beat(&self, beat: u64) {
        self.words.store(self.shape.beat(), beat);
    }

    /// Tells how far the log was applied: whoever reads it may use those slots again.
    #[inline]
    pub fn apply(&self, applied: u64) {
        self.words.release();
        self.words.store(self.shape.applied(), applied);
    }

    /// What is asked of this replica.
    #[inline]
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for replica in 0..self.shape.replicas {
            asked.requests[replica] = self.words.load(self.shape.asked(replica));
            asked.wants[replica] = self.words.load(self.shape.wanted(replica));
        }
        self.words.acquire();
        asked
    }

    /// What was granted so far.
    pub fn survey(&self) -> Survey {
        let mut survey = Survey { current: self.current(), ..Survey::default() };
        for place in 0..self.shape.places() {
            survey.places[place] = self.title(place);
        }
        for replica in 0..self.shape.replicas {
            survey.served[replica] = self.words.load(self.shape.served(replica));
        }
        let Grant { place, generation, .. } = survey.current;
        let has_any = generation != 0;
        survey.is_whole = match has_any {
            true => self.progress(usize::from(place)).is_whole,
            false => self.words.load(self.shape.whole()) != 0,
        };
        survey.stands = has_any && self.words.load(self.shape.grant(usize::from(place))) == generation;
        survey
    }

    /// The grant of this place is over. What is copied afterwards has every write that found it standing.
    pub fn revoke(&self, place: usize) {
        self.words.store(self.shape.grant(place), 0);
        self.words.full();
    }

    /// Makes a copy of the log in a free place, for a new grant that nobody knows of yet.
    pub fn copy(&self, from: Option<u8>, grant: &Grant) {
        let (words, shape, place) = (self.words, self.shape, usize::from(grant.place));
        // Until it is finished the place belongs to a grant that was never published, so it counts as free.
        words.store(shape.grant(place), 0);
        words.store(shape.title(place), grant.generation);
        words.store(shape.title(place) + 1, u64::from(grant.to));
        words.store(shape.title(place) + 2, grant.request);
        let progress = match from {
            Some(from) => self.progress(usize::from(from)),
            None => Progress { is_whole: words.load(shape.whole()) != 0, ..Progress::default() },
        };
        let at = shape.progress(place);
        words.store(at, u64::from(progress.proposal));
        words.store(at + 1, progress.first_undecided);
        words.store(at + 2, progress.kept_from);
        words.store(at + 3, u64::from(progress.is_whole));
        let (mut room, mut gone) = (BytesMut::new(), 0);
        for nth in 0..shape.slots as u64 {
            slot::clear(words, shape, place, nth);
            let Some(from) = from else { continue };
            // Which index stands there, if any, says the lap.
            let lap = slot::lap(words, shape, usize::from(from), nth);
            let Some(index) = lap.checked_sub(1).map(|laps| laps * shape.slots as u64 + nth) else { continue };
            if index < progress.kept_from {
                continue;
            }
            match slot::read(words, shape, usize::from(from), index, &mut room) {
                Found::Slot(slot) => slot::write(words, shape, place, &slot),
                // Somebody has begun to use it again, and perhaps died over it: what was there, and before, was decided
                // and is not needed. The copy must say so, for a slot that nobody fills looks as if nothing had been there.
                Found::Gone => gone = gone.max(index + 1),
                Found::Empty => {}
            }
        }
        if gone > progress.kept_from {
            self.advance(place, progress.first_undecided.max(gone), gone);
        }
    }

    /// Makes a finished copy the one that counts, and answers the request.
    pub fn publish(&self, grant: &Grant) {
        let (words, shape) = (self.words, self.shape);
        words.store(shape.grant(usize::from(grant.place)), grant.generation);
        words.release();
        words.store(shape.current(), grant.generation << 8 | u64::from(grant.place));
        words.release();
        self.serve(usize::from(grant.to), grant.request);
    }

    /// Notes that a request was answered: by a grant, or by none.
    pub fn serve(&self, replica: usize, request: u64) {
        self.words.store(self.shape.served(replica), request);
    }

    /// Tells a replica a piece of the state.
    pub fn tell(&self, replica: usize, piece: &Piece) {
        let at = self.shape.piece(replica);
        self.words.store(at, 0);
        self.words.release();
        let last = if piece.is_last { LAST } else { 0 };
        self.words.store(at + 1, piece.bytes.len() as u64 | last);
        slot::store_bytes(self.words, at + 2, &piece.bytes);
        self.words.release();
        self.words.store(at, piece.want);
    }
}
