//! What a process may say to another at all. Whoever comes over a network is
//! known, but may be of another build, or told another shape: nothing that it
//! says reaches beyond a memory, and only its own replica is heard on what is
//! that replica's alone. Whether a verb counts is not asked here.

use alloc::format;
use alloc::string::String;

use skein_machine::ProcessId;

use super::memory::{Grant, Stretch};
use super::registers::Registers;
use super::replica::Replica;
use super::shape::Shape;
use super::slot::Slot;
use super::verb::{Message, Outcome, Verb};

/// The most slots that are read at once.
pub(super) const MAX_STRETCH: usize = 1 << 10;

/// No log comes so far: at a million requests a second it takes nine years.
const MAX_INDEX: u64 = 1 << 48;

/// A generation shares a word with a place.
const MAX_GENERATION: u64 = 1 << 56;

impl Registers {
    /// Whether this process may ask this of it.
    pub(super) fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        let shape = self.shape();
        let is_owner = from.0 == u16::from(self.owner());
        if usize::from(from.0) >= shape.replicas {
            return Err(format!("{from} is no processor, and speaks to a memory"));
        }
        let Message::Do(verb) = message else {
            return Err(format!("{from} answers a memory, which asks nothing"));
        };
        let fits = match verb {
            Verb::Look | Verb::Ask { .. } | Verb::Want { .. } | Verb::Fetch => true,
            Verb::Read { grant } | Verb::Raise { grant, .. } | Verb::Heal { grant } => is_place(shape, grant.0),
            Verb::Slots { grant, from, most } => {
                is_place(shape, grant.0) && *from < MAX_INDEX && usize::from(*most) <= MAX_STRETCH
            }
            Verb::Write { grant, slot } => is_place(shape, grant.0) && is_slot(shape, slot),
            Verb::Advance { grant, first_undecided, kept_from } => {
                is_place(shape, grant.0) && *first_undecided < MAX_INDEX && *kept_from < MAX_INDEX
            }
            _ if !is_owner => return Err(format!("{from} asks of a memory what only its own replica may")),
            Verb::Live { .. } | Verb::Beat { .. } | Verb::Apply { .. } | Verb::Asked | Verb::Survey => true,
            Verb::Revoke { grant } => is_place(shape, grant.0),
            Verb::Copy { from, grant } => {
                is_grant(shape, grant) && from.is_none_or(|from| is_place(shape, from) && from != grant.place)
            }
            Verb::Publish { grant } => is_grant(shape, grant),
            Verb::Refuse { replica, .. } => usize::from(*replica) < shape.replicas,
            Verb::Tell { replica, piece } => {
                usize::from(*replica) < shape.replicas && piece.bytes.len() <= shape.piece_bytes
            }
        };
        fits.then_some(()).ok_or_else(|| format!("{from} reaches beyond a memory: are all told the same slots?"))
    }
}

impl Replica {
    /// Whether this process may say this to it.
    pub(super) fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        let shape = &self.options().shape;
        let is_memory = usize::from(from.0).checked_sub(shape.replicas).is_some_and(|memory| memory < shape.replicas);
        if !is_memory {
            return Err(format!("{from} is no memory, and speaks to a processor"));
        }
        let Message::Done(outcome) = message else {
            return Err(format!("{from} asks a processor, which only answers its user"));
        };
        let fits = match outcome {
            // Nothing was granted before the first grant.
            Outcome::Home(home) => home.grant.generation == 0 || is_grant(shape, &home.grant),
            Outcome::Slots(stretch) => is_stretch(shape, stretch),
            Outcome::Piece(piece) => piece.bytes.len() <= shape.piece_bytes,
            Outcome::Survey(survey) => survey
                .places
                .iter()
                .chain([&survey.current])
                .all(|grant| grant.generation == 0 || is_grant(shape, grant)),
            Outcome::Progress { progress, .. } => {
                progress.first_undecided < MAX_INDEX && progress.kept_from < MAX_INDEX
            }
            Outcome::Raised { .. }
            | Outcome::Wrote { .. }
            | Outcome::Healed { .. }
            | Outcome::Lives { .. }
            | Outcome::Asked(_)
            | Outcome::Published { .. } => true,
        };
        fits.then_some(()).ok_or_else(|| format!("{from} has another shape: are all told the same slots?"))
    }
}

fn is_place(shape: &Shape, place: u8) -> bool {
    usize::from(place) < shape.places()
}

fn is_grant(shape: &Shape, grant: &Grant) -> bool {
    is_place(shape, grant.place)
        && usize::from(grant.to) < shape.replicas
        && (1..MAX_GENERATION).contains(&grant.generation)
}

fn is_slot(shape: &Shape, slot: &Slot) -> bool {
    slot.index < MAX_INDEX && slot.decided < MAX_INDEX && slot.value.len() <= shape.value_bytes
}

/// Slots in a row, from where it begins.
fn is_stretch(shape: &Shape, stretch: &Stretch) -> bool {
    let is_next = |(nth, slot): (usize, &Slot)| slot.index == stretch.from + nth as u64 && is_slot(shape, slot);
    let begins = stretch.from < MAX_INDEX && stretch.first_undecided < MAX_INDEX;
    begins && stretch.slots.iter().enumerate().all(is_next)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use bytes::Bytes;
    use skein_machine::{Effect, Machine, Out, Random, Time};

    use super::super::memory::Piece;
    use super::super::options::{Options, Pace};
    use super::super::process::Mu;
    use super::*;
    use crate::Planted;

    const SHAPE: Shape = Shape { replicas: 3, slots: 8, value_bytes: 40, piece_bytes: 1 << 15 };

    fn number(random: &mut Random) -> u64 {
        let bits = random.below(65) as u32;
        random.word().checked_shr(bits).unwrap_or(0)
    }

    fn bytes(random: &mut Random, around: u64) -> Bytes {
        Bytes::from(vec![7; random.below(2 * around) as usize])
    }

    fn any_grant(random: &mut Random) -> Grant {
        let (place, to) = (random.below(6) as u8, random.below(5) as u8);
        Grant { generation: number(random), place, to, request: number(random) }
    }

    /// Any verb, mostly one that is nearly right.
    fn any_verb(random: &mut Random) -> Verb {
        let grant = (random.below(6) as u8, number(random));
        match random.below(20) {
            0 => Verb::Look,
            1 => Verb::Ask { request: number(random) },
            2 => Verb::Read { grant },
            3 => Verb::Raise { grant, proposal: number(random) as u32 },
            4 => Verb::Slots { grant, from: number(random), most: number(random) as u16 },
            5..8 => {
                let (index, decided, proposal) = (number(random), number(random), number(random) as u32);
                Verb::Write { grant, slot: Slot { index, proposal, decided, value: bytes(random, 40) } }
            }
            8 => Verb::Advance { grant, first_undecided: number(random), kept_from: number(random) },
            9 => Verb::Heal { grant },
            10 => Verb::Want { want: number(random) },
            11 => Verb::Fetch,
            12 => Verb::Live { life: number(random) },
            13 => Verb::Asked,
            14 => Verb::Survey,
            15 => Verb::Revoke { grant },
            16 => {
                let from = random.chance(0.8).then(|| random.below(6) as u8);
                Verb::Copy { from, grant: any_grant(random) }
            }
            17 => Verb::Publish { grant: any_grant(random) },
            18 => Verb::Refuse { replica: random.below(5) as u8, request: number(random) },
            _ => {
                let (want, is_last) = (number(random), random.chance(0.5));
                let piece = Piece { want, is_last, bytes: bytes(random, 1 << 15) };
                Verb::Tell { replica: random.below(5) as u8, piece }
            }
        }
    }

    #[test]
    fn whatever_a_memory_lets_itself_be_asked_it_can_do_and_its_answer_may_be_said() {
        let mut random = Random::new(1);
        let (mut asked, mut refused) = (0, 0);
        let mut memory = Mu::Memory(Registers::new(1, SHAPE, true, None, Planted::NONE).into());
        let options = Options { me: 0, shape: SHAPE, window: 4, queue: 8, pace: Pace::NETWORK };
        let replica = Replica::new(options, Planted::NONE);
        let mut out = Out::new();
        let mut answers = 0;
        for _ in 0..20_000 {
            let (from, message) = (ProcessId(random.below(4) as u16), Message::Do(any_verb(&mut random)));
            if memory.may_say(from, &message).is_err() {
                refused += 1;
                continue;
            }
            asked += 1;
            memory.on_message(Time::ZERO, from, message, &mut out);
            for effect in out.drain() {
                let Effect::Send(_, answer) = effect else { panic!("a memory only answers, and wants {effect:?}") };
                assert_eq!(replica.may_say(ProcessId(4), &answer), Ok(()), "{answer:?}");
                answers += 1;
            }
        }
        assert!(asked > 3_000 && refused > 3_000 && answers > 2_000, "{asked}, {refused} and {answers}");
    }

    #[test]
    fn what_is_its_replicas_alone_nobody_else_may_ask() {
        let memory = Registers::new(1, SHAPE, true, None, Planted::NONE);
        let asks = |from, verb| memory.may_say(ProcessId(from), &Message::Do(verb));
        let grant = (0, 1);
        let owners: Vec<Verb> = vec![
            Verb::Live { life: 1 },
            Verb::Beat { beat: 1 },
            Verb::Apply { applied: 1 },
            Verb::Asked,
            Verb::Survey,
            Verb::Revoke { grant },
            Verb::Copy { from: None, grant: Grant { generation: 1, ..Grant::default() } },
            Verb::Publish { grant: Grant { generation: 1, ..Grant::default() } },
            Verb::Refuse { replica: 0, request: 1 },
            Verb::Tell { replica: 0, piece: Piece { want: 1, is_last: true, bytes: Bytes::new() } },
        ];
        for verb in owners {
            assert!(asks(1, verb.clone()).is_ok(), "{verb:?}");
            assert!(asks(0, verb.clone()).unwrap_err().contains("only its own"), "{verb:?}");
        }
        assert!(asks(0, Verb::Look).is_ok() && asks(3, Verb::Look).is_err());
        let place = |place| Verb::Read { grant: (place, 1) };
        assert!(asks(0, place(3)).is_ok() && asks(0, place(4)).is_err());
    }
}
