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
use crate::dots::{Actor, Dot, Dots, LAST_LIFE, MAX_ACTORS};

/// What was seen by everybody, and is forgotten.
#[derive(Clone)]
pub struct Cut {
    /// How many members reported when it was made.
    members: u32,
    /// Counts the cuts that follow on each other.
    generation: u64,
    /// Seen by everybody.
    dots: Dots,
    /// Of each member: lives below this one are over, everybody has all that was done in them, and no dot of theirs is
    /// kept.
    floors: BTreeMap<MemberId, Floor>,
    /// All that was done in lives that are over since this cut or the one before: whoever has not adopted it yet sees
    /// here whether anything is missing.
    retiring: Dots,
    id: CutId,
}

/// Lives of one member that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Floor {
    /// The first that may not be.
    life: u64,
    /// In the cut of which generation this was found. Who made the one after that had adopted this one.
    since: u64,
}

/// What is not told any more; how old it is makes no difference.
const OLD: u8 = 2;

/// Tells one cut from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CutId(pub u64);

/// What one member reports when a cut is made, or several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What they have adopted.
    pub(super) cut: CutId,
    /// What each of them has seen beyond that.
    pub(super) everybody: Dots,
    /// What any of them has.
    pub(super) anybody: Dots,
}

impl Report {
    /// Of one member.
    pub(super) fn of(cut: CutId, beyond: Dots) -> Report {
        Report { cut, everybody: beyond.clone(), anybody: beyond }
    }

    /// Which cut the members have adopted that it is of.
    pub fn cut(&self) -> CutId {
        self.cut
    }

    /// Adds what others report. `false`, and nothing is added, if they have adopted another cut.
    #[must_use]
    pub fn join(&mut self, other: &Report) -> bool {
        if self.cut == other.cut {
            self.everybody = self.everybody.meet(&other.everybody);
            self.anybody.join(&other.anybody);
        }
        self.cut == other.cut
    }
}

impl Cut {
    /// Nothing is forgotten.
    pub fn none() -> Cut {
        Cut::new((0, 0), Dots::new(), BTreeMap::new(), Dots::new())
    }

    fn new(
        (members, generation): (u32, u64),
        mut dots: Dots,
        floors: BTreeMap<MemberId, Floor>,
        retiring: Dots,
    ) -> Cut {
        let over: Vec<Actor> = dots.actors().filter(|actor| is_below(&floors, *actor)).collect();
        over.into_iter().for_each(|actor| dots.forget(actor));
        let mut cut = Cut { members, generation, dots, floors, retiring, id: CutId(0) };
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

    /// Whether this life is over, and everybody has all of it.
    pub fn is_over(&self, actor: Actor) -> bool {
        is_below(&self.floors, actor)
    }

    /// Whether everybody has this.
    pub fn contains(&self, dot: Dot) -> bool {
        self.is_over(dot.actor) || self.dots.contains(dot)
    }

    /// Whether nothing of the other is missing here.
    pub(super) fn covers(&self, other: &Cut) -> bool {
        other.floors.iter().all(|(member, floor)| floor.life <= self.first_life(*member))
            && self.is_all_in(&other.dots, &self.dots)
    }

    /// The first life of a member that may not be over.
    pub fn first_life(&self, member: MemberId) -> u64 {
        self.floors.get(&member).map_or(0, |floor| floor.life)
    }

    /// Whether it is still told what was done in the lives that this says are over.
    fn tells_all_of(&self, floor: &Floor) -> bool {
        floor.since + 1 >= self.generation
    }

    /// Whether each of these dots is in the set, but for the lives that are over.
    fn is_all_in(&self, dots: &Dots, set: &Dots) -> bool {
        dots.spans().all(|(actor, span)| self.is_over(actor) || set.contains_span(actor, span))
    }

    /// Whether a member that has adopted this one, and has seen so much, has all that the other cut lets everybody
    /// forget.
    pub(super) fn allows(&self, seen: &Dots, other: &Cut) -> bool {
        let mut news = other.floors.iter().filter(|(member, floor)| floor.life > self.first_life(**member));
        news.all(|(_, floor)| other.tells_all_of(floor))
            && self.is_all_in(&other.dots, seen)
            && self.is_all_in(&other.retiring, seen)
    }

    /// Of two members of which each lacks something that the other has forgotten, one must begin anew: the one whose
    /// side is smaller. One that was alone for long has made as many cuts as it liked.
    pub(super) fn outranks(&self, other: &Cut) -> bool {
        (self.members, self.generation, self.id) > (other.members, other.generation, other.id)
    }

    /// Both at once.
    pub(super) fn joined(&self, other: &Cut) -> Cut {
        let mut dots = self.dots.clone();
        dots.join(&other.dots);
        let generation = self.generation.max(other.generation);
        let mut floors = self.floors.clone();
        for (member, floor) in &other.floors {
            let own = floors.entry(*member).or_insert(*floor);
            own.life = own.life.max(floor.life);
        }
        for (member, floor) in &mut floors {
            // What only one of them knew is told by both together for as long as if it had been found just now.
            if self.first_life(*member) != other.first_life(*member) {
                floor.since = generation;
            }
        }
        let mut retiring = self.retiring.clone();
        retiring.join(&other.retiring);
        Cut::new((self.members_with(other), generation), dots, floors, retiring)
    }

    /// How many members stand behind both. A side that others have left is as small as its last cut says, and not as
    /// large as it once was.
    fn members_with(&self, other: &Cut) -> u32 {
        if other.generation > self.generation && other.covers(self) {
            other.members
        } else if self.generation > other.generation && self.covers(other) {
            self.members
        } else {
            self.members.max(other.members)
        }
    }

    /// The next cut, from what **all** members report that were not expelled. `lives` says in which life each of them
    /// is, and `is_kept` of an actor whether somebody may still have a record of it. `None` where the report is of
    /// another cut, and where nothing would be gained.
    pub(super) fn next(
        &self,
        report: &Report,
        lives: &BTreeMap<MemberId, u64>,
        is_kept: impl Fn(Actor) -> bool,
    ) -> Option<Cut> {
        if report.cut != self.id {
            return None;
        }
        let Report { everybody, anybody, .. } = report;
        // Lives that are over: their member is in a later one or was expelled, and nobody has anything of them, or of
        // those before, that was not in this cut already. What is in this cut everybody has seen, and the first that
        // an actor does is to say that it is there: so who is not among the members any more was one.
        let mut floors = self.floors.clone();
        let mut goes_on = None;
        for actor in self.dots.actors() {
            let is_over = lives.get(&actor.member).is_none_or(|life| actor.life < *life);
            let is_spreading = anybody.first_life(actor.member).is_some_and(|life| life <= actor.life);
            // After the last life there is none that a cut could name.
            if !is_over || is_spreading || is_kept(actor) || actor.life == LAST_LIFE {
                goes_on = Some(actor.member);
            }
            if goes_on != Some(actor.member) {
                floors.insert(actor.member, Floor { life: actor.life + 1, since: self.generation + 1 });
            }
        }
        if everybody.is_empty() && floors == self.floors {
            return None;
        }
        let known = self.retiring.spans().filter(|(actor, _)| self.floors[&actor.member].since == self.generation);
        let new = self.dots.spans().filter(|(actor, _)| is_below(&floors, *actor));
        let mut retiring = Dots::new();
        known.chain(new).for_each(|(actor, span)| retiring.insert_span(actor, span));
        let mut dots = self.dots.clone();
        dots.join(everybody);
        Some(Cut::new((lives.len() as u32, self.generation + 1), dots, floors, retiring))
    }

    /// What decides which cut it is. How it came about does not: two ways may lead to the same.
    fn write_what_is_forgotten(&self, writer: &mut Writer<'_>) {
        self.dots.encode(writer);
        writer.list(self.floors.iter().map(|(member, floor)| Line(*member, floor.life)));
    }

    /// Having come about in more than one way, it counts as the later one, and that of more members.
    pub(super) fn raise(&mut self, other: &Cut) {
        self.members = if self.id == other.id { self.members.max(other.members) } else { self.members_with(other) };
        self.generation = self.generation.max(other.generation);
    }
}

fn is_below(floors: &BTreeMap<MemberId, Floor>, actor: Actor) -> bool {
    floors.get(&actor.member).is_some_and(|floor| actor.life < floor.life)
}

/// The first life of a member that may not be over, as it travels.
struct Line(MemberId, u64);

impl Wire for Line {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
        writer.u64(self.1);
    }

    fn decode(reader: &mut Reader) -> Result<Line, WireError> {
        let line = Line(MemberId::decode(reader)?, reader.u64()?);
        if line.1 > LAST_LIFE { Err(WireError::Invalid { what: "a life of this number" }) } else { Ok(line) }
    }
}

impl Wire for Cut {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.members);
        writer.u64(self.generation);
        self.write_what_is_forgotten(writer);
        // How long ago each was found, as far as it matters.
        for floor in self.floors.values() {
            writer.u8(u8::try_from(self.generation.saturating_sub(floor.since)).unwrap_or(OLD).min(OLD));
        }
        self.retiring.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Cut, WireError> {
        let (members, generation, dots) = (reader.u32()?, reader.u64()?, Dots::decode(reader)?);
        let lines = reader.list::<Line>("lives that are over", MAX_ACTORS)?;
        let mut floors = BTreeMap::new();
        let is_sorted = lines.is_sorted_by(|one, next| one.0 < next.0);
        for Line(member, life) in lines {
            let age = reader.u8()?;
            if age > OLD || u64::from(age) > generation {
                return Err(WireError::Invalid { what: "the age of a life that is over" });
            }
            floors.insert(member, Floor { life, since: generation - u64::from(age) });
        }
        let retiring = Dots::decode(reader)?;
        let is_kept = dots.actors().any(|actor| is_below(&floors, actor));
        if generation > u64::MAX / 2
            || !is_sorted
            || is_kept
            || !retiring.actors().all(|actor| is_below(&floors, actor))
        {
            return Err(WireError::Invalid { what: "a cut out of order" });
        }
        Ok(Cut::new((members, generation), dots, floors, retiring))
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
        self.everybody.encode(writer);
        self.anybody.without(&self.everybody).encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Report, WireError> {
        let (cut, everybody, more) = (CutId::decode(reader)?, Dots::decode(reader)?, Dots::decode(reader)?);
        if !everybody.meet(&more).is_empty() {
            return Err(WireError::Invalid { what: "a report that says something twice" });
        }
        let mut anybody = everybody.clone();
        anybody.join(&more);
        Ok(Report { cut, everybody, anybody })
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
        write!(f, "{:?} ({}) of {:?}, below {:?}", self.id, self.generation, self.dots, self.floors)
    }
}
