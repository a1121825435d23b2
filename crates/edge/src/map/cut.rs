//! [`Cut`]: what everybody has, so that it need not be remembered any more.
//!
//! A removal must be kept until no member can bring back what it removed: until
//! all have it. The same goes for what a change knew of others, and for the
//! numbers of actors that will never act again. A cut names dots that every
//! member has seen that was not expelled. Whoever adopts it forgets. Cuts grow:
//! the next is made from what members report who have adopted the one before,
//! and two that were made at once are adopted both.
//!
//! A member that was expelled, or came while a cut was made, may lack something
//! that the others have forgotten. It cannot be told any more, so it begins anew
//! with an empty map. It knows itself: there is a dot in the cut that it has
//! not seen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use skein_machine::Wire;
use skein_machine::wire::{self, Reader, WireError, Writer};
use xxhash_rust::xxh3::xxh3_64;

use crate::MemberId;
use crate::dots::{Actor, Dot, Dots, MAX_ACTORS};

/// What was seen by everybody, and is forgotten.
#[derive(Clone)]
pub struct Cut {
    /// Counts the cuts that follow on each other: what was found to be over two of them ago is not told any more.
    generation: u64,
    /// Seen by everybody.
    dots: Dots,
    /// Of each member: lives below this one are over, everybody has all that was done in them, and no dot of theirs is
    /// kept.
    below: BTreeMap<MemberId, u64>,
    /// All that was done in lives that are over since this cut or the one before: whoever has not adopted it yet sees
    /// here whether anything is missing.
    retiring: Dots,
    id: CutId,
}

/// Tells one cut from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CutId(pub u64);

/// What a member reports of itself when a cut is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it has adopted.
    pub cut: CutId,
    /// What it has seen beyond that.
    pub beyond: Dots,
}

impl Cut {
    /// Nothing is forgotten.
    pub fn none() -> Cut {
        Cut::new(0, Dots::new(), BTreeMap::new(), Dots::new())
    }

    fn new(generation: u64, mut dots: Dots, below: BTreeMap<MemberId, u64>, retiring: Dots) -> Cut {
        let over: Vec<Actor> = dots.actors().filter(|actor| is_below(&below, *actor)).collect();
        over.into_iter().for_each(|actor| dots.forget(actor));
        let mut cut = Cut { generation, dots, below, retiring, id: CutId(0) };
        let mut bytes = Vec::new();
        cut.write_what_is_forgotten(&mut Writer::new(&mut bytes, wire::VERSION));
        cut.id = CutId(xxh3_64(&bytes));
        cut
    }

    /// Which one it is.
    pub fn id(&self) -> CutId {
        self.id
    }

    /// How many came before it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What everybody has seen, but for lives that are over.
    pub fn dots(&self) -> &Dots {
        &self.dots
    }

    /// All that was done in lives that were found to be over last.
    pub(super) fn retiring(&self) -> &Dots {
        &self.retiring
    }

    /// Whether this life is over, and everybody has all of it.
    pub fn is_over(&self, actor: Actor) -> bool {
        is_below(&self.below, actor)
    }

    /// Whether everybody has this.
    pub fn contains(&self, dot: Dot) -> bool {
        self.is_over(dot.actor) || self.dots.contains(dot)
    }

    /// Whether any life is over.
    pub(super) fn has_ended_lives(&self) -> bool {
        !self.below.is_empty()
    }

    /// Whether nothing of the other is missing here.
    pub(super) fn covers(&self, other: &Cut) -> bool {
        let has_lives = other.below.iter().all(|(member, life)| self.below.get(member).is_some_and(|own| own >= life));
        has_lives && self.is_all_in(&other.dots, &self.dots)
    }

    /// Whether each of these dots is in the set, but for the lives that are over.
    fn is_all_in(&self, dots: &Dots, set: &Dots) -> bool {
        dots.spans().all(|(actor, span)| self.is_over(actor) || set.contains_span(actor, span))
    }

    /// Whether a member that has adopted this one, and has seen so much, has all that the other cut lets everybody
    /// forget.
    pub(super) fn allows(&self, seen: &Dots, other: &Cut) -> bool {
        other.generation <= self.generation + 1
            && self.is_all_in(&other.dots, seen)
            && self.is_all_in(&other.retiring, seen)
    }

    /// Of two members of which each lacks something that the other has forgotten, one must begin anew: the one with
    /// the lower cut.
    pub(super) fn outranks(&self, other: &Cut) -> bool {
        (self.generation, self.id) > (other.generation, other.id)
    }

    /// Both at once.
    pub(super) fn joined(&self, other: &Cut) -> Cut {
        let mut dots = self.dots.clone();
        dots.join(&other.dots);
        let mut below = self.below.clone();
        for (member, life) in &other.below {
            let own = below.entry(*member).or_default();
            *own = (*own).max(*life);
        }
        let mut retiring = Dots::new();
        for cut in [self, other] {
            if cut.generation + 1 >= self.generation.max(other.generation) {
                retiring.join(&cut.retiring);
            }
        }
        Cut::new(self.generation.max(other.generation), dots, below, retiring)
    }

    /// The next cut, from reports of **all** members that were not expelled. `lives` says in which life each of them
    /// is, and `is_kept` of an actor whether there is still a record of it. `None` where a report is of another cut,
    /// where there is none, or nothing would be gained.
    pub(super) fn next<'a>(
        &self,
        reports: impl IntoIterator<Item = &'a Report>,
        lives: &BTreeMap<MemberId, u64>,
        is_kept: impl Fn(Actor) -> bool,
    ) -> Option<Cut> {
        let mut everybody: Option<Dots> = None;
        let mut anybody = Dots::new();
        for report in reports {
            if report.cut != self.id {
                return None;
            }
            anybody.join(&report.beyond);
            everybody = Some(everybody.map_or_else(|| report.beyond.clone(), |dots| dots.meet(&report.beyond)));
        }
        let everybody = everybody?;
        // Lives that are over: their member is in a later one or was expelled, and nobody has anything of them, or of
        // those before, that was not in this cut already. What is in this cut everybody has seen, and the first that
        // an actor does is to say that it is there: so who is not among the members any more was one.
        let mut below = self.below.clone();
        let mut goes_on = None;
        for actor in self.dots.actors() {
            let is_over = lives.get(&actor.member).is_none_or(|life| actor.life < *life);
            let is_spreading = anybody.first_life(actor.member).is_some_and(|life| life <= actor.life);
            if !is_over || is_spreading || is_kept(actor) {
                goes_on = Some(actor.member);
            }
            if goes_on != Some(actor.member) {
                below.insert(actor.member, actor.life + 1);
            }
        }
        let mut retiring = Dots::new();
        for (actor, span) in self.dots.spans().filter(|(actor, _)| is_below(&below, *actor)) {
            retiring.insert_span(actor, span);
        }
        if everybody.is_empty() && retiring.is_empty() {
            return None;
        }
        let mut dots = self.dots.clone();
        dots.join(&everybody);
        Some(Cut::new(self.generation + 1, dots, below, retiring))
    }

    /// What decides which cut it is. How it came about does not: two ways may lead to the same.
    fn write_what_is_forgotten(&self, writer: &mut Writer<'_>) {
        self.dots.encode(writer);
        writer.list(self.below.iter().map(|(member, life)| Floor { member: *member, life: *life }));
    }

    /// Having come about in more than one way, it counts as the later one.
    pub(super) fn raise_generation(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }
}

fn is_below(below: &BTreeMap<MemberId, u64>, actor: Actor) -> bool {
    below.get(&actor.member).is_some_and(|life| actor.life < *life)
}

/// Lives of one member that are over, as they travel.
struct Floor {
    member: MemberId,
    life: u64,
}

impl Wire for Floor {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.member.encode(writer);
        writer.u64(self.life);
    }

    fn decode(reader: &mut Reader) -> Result<Floor, WireError> {
        Ok(Floor { member: MemberId::decode(reader)?, life: reader.u64()? })
    }
}

impl Wire for Cut {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.generation);
        self.write_what_is_forgotten(writer);
        self.retiring.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Cut, WireError> {
        let (generation, dots) = (reader.u64()?, Dots::decode(reader)?);
        let floors = reader.list::<Floor>("lives that are over", MAX_ACTORS)?;
        let retiring = Dots::decode(reader)?;
        if generation == u64::MAX || !floors.is_sorted_by(|one, next| one.member < next.member) {
            return Err(WireError::Invalid { what: "a cut out of order" });
        }
        let below: BTreeMap<_, _> = floors.into_iter().map(|floor| (floor.member, floor.life)).collect();
        if dots.actors().any(|actor| is_below(&below, actor)) {
            return Err(WireError::Invalid { what: "a cut that keeps what is over" });
        }
        Ok(Cut::new(generation, dots, below, retiring))
    }
}

impl Wire for CutId {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<CutId, WireError> {
        Ok(CutId(reader.u64()?))
    }
}

impl Wire for Report {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.cut.encode(writer);
        self.beyond.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Report, WireError> {
        Ok(Report { cut: CutId::decode(reader)?, beyond: Dots::decode(reader)? })
    }
}

impl PartialEq for Cut {
    /// Whether the same is forgotten.
    fn eq(&self, other: &Cut) -> bool {
        self.id == other.id
    }
}

impl Eq for Cut {}

impl fmt::Debug for CutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut {:016x}", self.0)
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}) of {:?}, below {:?}", self.id, self.generation, self.dots, self.below)
    }
}
