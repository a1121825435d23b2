//! What processors ask of memories, and what comes of it.
//!
//! The verbs that one processor asks of one memory take effect in that order;
//! what comes of them may arrive in any. So every outcome says what it is about:
//! no processor needs to remember what it asked. A verb whose outcome never
//! arrives may have taken effect or not.

use alloc::boxed::Box;
use bytes::BytesMut;

use super::memory::{Asked, Grant, Home, Memory, Piece, Progress, Stretch, Survey};
use super::slot::Slot;
use super::words::Words;

/// What travels between processors and memories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A processor asks.
    Do(Verb),
    /// This came of it.
    Done(Outcome),
}

/// One thing to do to a memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// How its replica is, and what it has granted.
    Look,
    /// Ask its replica to be granted the log.
    Ask {
        /// A number above that of every request before.
        request: u64,
    },
    /// What is noted in a copy of the log.
    Read {
        /// Where, and of which generation.
        grant: (u8, u64),
    },
    /// Take a number.
    Raise {
        /// Where, and of which generation.
        grant: (u8, u64),
        /// Which.
        proposal: u32,
    },
    /// Read slots.
    Slots {
        /// Where, and of which generation.
        grant: (u8, u64),
        /// From which index on.
        from: u64,
        /// How many at most.
        most: u16,
    },
    /// Write a slot.
    Write {
        /// Where, and of which generation.
        grant: (u8, u64),
        /// What.
        slot: Slot,
    },
    /// Note how far all is decided.
    Advance {
        /// Where, and of which generation.
        grant: (u8, u64),
        /// Below this, all is.
        first_undecided: u64,
        /// Below this, nothing is needed.
        kept_from: u64,
    },
    /// Say that a memory which was lost holds everything again.
    Heal {
        /// Where, and of which generation.
        grant: (u8, u64),
    },
    /// Ask its replica for a piece of the state.
    Want {
        /// Which.
        want: u64,
    },
    /// Read the piece.
    Fetch,

    /// Its own replica begins a life.
    Live {
        /// Which.
        life: u64,
    },
    /// Its own replica is well.
    Beat {
        /// A number above the last.
        beat: u64,
    },
    /// Its own replica has applied the log so far.
    Apply {
        /// Below this index.
        applied: u64,
    },
    /// What is asked of its own replica.
    Asked,
    /// What its own replica has granted.
    Survey,
    /// End a grant.
    Revoke {
        /// Where, and of which generation.
        grant: (u8, u64),
    },
    /// Copy the log for a new grant.
    Copy {
        /// From where; from nowhere if nothing was ever granted.
        from: Option<u8>,
        /// For whom, and where to.
        grant: Grant,
    },
    /// Let a new grant be known.
    Publish {
        /// Which.
        grant: Grant,
    },
    /// Answer a request by nothing.
    Refuse {
        /// Whose.
        replica: u8,
        /// Which.
        request: u64,
    },
    /// Tell a replica a piece of the state.
    Tell {
        /// Whom.
        replica: u8,
        /// What.
        piece: Piece,
    },
}

/// What came of a verb.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Of [`Verb::Look`].
    Home(Home),
    /// Of [`Verb::Read`].
    Progress {
        /// Of which generation.
        generation: u64,
        /// What is noted.
        progress: Progress,
    },
    /// Of [`Verb::Raise`].
    Raised {
        /// In which generation.
        generation: u64,
        /// Which number.
        proposal: u32,
        /// Whether it counts.
        stood: bool,
    },
    /// Of [`Verb::Slots`].
    Slots(Box<Stretch>),
    /// Of [`Verb::Write`].
    Wrote {
        /// In which generation.
        generation: u64,
        /// Which slot.
        index: u64,
        /// Whether it counts.
        stood: bool,
    },
    /// Of [`Verb::Heal`].
    Healed {
        /// In which generation.
        generation: u64,
        /// Whether it counts.
        stood: bool,
    },
    /// Of [`Verb::Fetch`].
    Piece(Box<Piece>),
    /// Of [`Verb::Live`].
    Lives {
        /// Which life.
        life: u64,
    },
    /// Of [`Verb::Asked`].
    Asked(Box<Asked>),
    /// Of [`Verb::Survey`].
    Survey(Box<Survey>),
    /// Of [`Verb::Publish`].
    Published {
        /// Which grant.
        generation: u64,
    },
}

impl Verb {
    /// Does it, unless it is one whose success is a question of its own: those are done too, and what comes of them
    /// says [`Verb::outcome`], after a fence.
    #[inline]
    pub fn perform<W: Words + ?Sized>(
        &self,
        memory: &Memory<'_, W>,
        me: usize,
        room: &mut BytesMut,
    ) -> Option<Outcome> {
        match self {
            Verb::Write { grant, slot } => memory.write(usize::from(grant.0), slot),
            Verb::Raise { grant, proposal } => memory.raise(usize::from(grant.0), *proposal),
            Verb::Heal { grant } => memory.heal(usize::from(grant.0)),
            Verb::Advance { grant, first_undecided, kept_from } => {
                memory.advance(usize::from(grant.0), *first_undecided, *kept_from);
            }
            Verb::Look => return Some(Outcome::Home(memory.look(me))),
            Verb::Ask { request } => memory.ask(me, *request),
            Verb::Read { grant } => {
                let progress = memory.progress(usize::from(grant.0));
                return Some(Outcome::Progress { generation: grant.1, progress });
            }
            Verb::Slots { grant, from, most } => {
                let stretch = memory.stretch(*grant, *from, usize::from(*most), room);
                return Some(Outcome::Slots(Box::new(stretch)));
            }
            Verb::Want { want } => memory.want(me, *want),
            Verb::Fetch => return Some(Outcome::Piece(Box::new(memory.piece(me)))),
            Verb::Live { life } => {
                memory.live(*life);
                return Some(Outcome::Lives { life: *life });
            }
            Verb::Beat { beat } => memory.beat(*beat),
            Verb::Apply { applied } => memory.apply(*applied),
            Verb::Asked => return Some(Outcome::Asked(Box::new(memory.asked()))),
            Verb::Survey => return Some(Outcome::Survey(Box::new(memory.survey()))),
            Verb::Revoke { grant } => memory.revoke(usize::from(grant.0)),
            Verb::Copy { from, grant } => memory.copy(*from, grant),
            Verb::Publish { grant } => {
                memory.publish(grant);
                return Some(Outcome::Published { generation: grant.generation });
            }
            Verb::Refuse { replica, request } => memory.serve(usize::from(*replica), *request),
            Verb::Tell { replica, piece } => memory.tell(usize::from(*replica), piece),
        }
        None
    }

    /// Whether what comes of it depends on its grant having stood, so that a fence must come before
    /// [`Verb::outcome`].
    #[inline]
    pub fn is_write(&self) -> bool {
        matches!(self, Verb::Write { .. } | Verb::Raise { .. } | Verb::Heal { .. })
    }

    /// What came of a write: performed before, with a fence in between.
    #[inline]
    pub fn outcome<W: Words + ?Sized>(&self, memory: &Memory<'_, W>) -> Option<Outcome> {
        let stood = |grant: &(u8, u64)| memory.stood(usize::from(grant.0), grant.1);
        match self {
            Verb::Write { grant, slot } => {
                Some(Outcome::Wrote { generation: grant.1, index: slot.index, stood: stood(grant) })
            }
            Verb::Raise { grant, proposal } => {
                Some(Outcome::Raised { generation: grant.1, proposal: *proposal, stood: stood(grant) })
            }
            Verb::Heal { grant } => Some(Outcome::Healed { generation: grant.1, stood: stood(grant) }),
            _ => None,
        }
    }
}

impl Outcome {
    /// Whether its grant stood; what needs none says yes.
    pub fn stood(&self) -> bool {
        match self {
            Outcome::Wrote { stood, .. } | Outcome::Raised { stood, .. } | Outcome::Healed { stood, .. } => *stood,
            _ => true,
        }
    }
}
