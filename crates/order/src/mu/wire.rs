//! The bytes of verbs and outcomes, for memories at the other end of a link.
//! Places and replicas are held to their bounds here, so that no stranger's
//! verb reaches beyond a memory; what lies within the bounds of a memory is its
//! leader's to write.

use alloc::boxed::Box;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::bounds::MAX_STRETCH;
use super::memory::{Asked, End, Grant, Home, Piece, Progress, Stretch, Survey};
use super::shape::{MAX_PIECE, MAX_PLACES, MAX_REPLICAS, MAX_VALUE};
use super::slot::Slot;
use super::verb::{Message, Outcome, Verb};

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Do(verb) => {
                writer.u8(0);
                verb.encode(writer);
            }
            Message::Done(outcome) => {
                writer.u8(1);
                outcome.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        match reader.u8()? {
            0 => Ok(Message::Do(Verb::decode(reader)?)),
            1 => Ok(Message::Done(Outcome::decode(reader)?)),
            tag => Err(WireError::UnknownTag { what: "a message of Mu", tag }),
        }
    }
}

/// A place and a generation.
fn encode_grant(grant: (u8, u64), writer: &mut Writer<'_>) {
    writer.u8(grant.0);
    writer.u64(grant.1);
}

fn decode_grant(reader: &mut Reader) -> Result<(u8, u64), WireError> {
    Ok((decode_place(reader)?, reader.u64()?))
}

fn decode_place(reader: &mut Reader) -> Result<u8, WireError> {
    let place = reader.u8()?;
    if usize::from(place) < MAX_PLACES { Ok(place) } else { Err(WireError::UnknownTag { what: "a place", tag: place }) }
}

fn decode_replica(reader: &mut Reader) -> Result<u8, WireError> {
    let replica = reader.u8()?;
    let is_one = usize::from(replica) < MAX_REPLICAS;
    if is_one { Ok(replica) } else { Err(WireError::UnknownTag { what: "a replica", tag: replica }) }
}

impl Wire for Verb {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Verb::Look => writer.u8(0),
            Verb::Ask { request } => {
                writer.u8(1);
                writer.u64(*request);
            }
            Verb::Read { grant } => {
                writer.u8(2);
                encode_grant(*grant, writer);
            }
            Verb::Raise { grant, proposal } => {
                writer.u8(3);
                encode_grant(*grant, writer);
                writer.u32(*proposal);
            }
            Verb::Slots { grant, from, most } => {
                writer.u8(4);
                encode_grant(*grant, writer);
                writer.u64(*from);
                writer.u16(*most);
            }
            Verb::Write { grant, slot } => {
                writer.u8(5);
                encode_grant(*grant, writer);
                slot.encode(writer);
            }
            Verb::Advance { grant, first_undecided, kept_from } => {
                writer.u8(6);
                encode_grant(*grant, writer);
                writer.words([*first_undecided, *kept_from]);
            }
            Verb::Heal { grant } => {
                writer.u8(7);
                encode_grant(*grant, writer);
            }
            Verb::Want { want } => {
                writer.u8(8);
                writer.u64(*want);
            }
            Verb::Fetch => writer.u8(9),
            Verb::Live { life } => {
                writer.u8(10);
                writer.u64(*life);
            }
            Verb::Beat { beat } => {
                writer.u8(11);
                writer.u64(*beat);
            }
            Verb::Apply { applied } => {
                writer.u8(12);
                writer.u64(*applied);
            }
            Verb::Asked => writer.u8(13),
            Verb::Survey => writer.u8(14),
            Verb::Revoke { grant } => {
                writer.u8(15);
                encode_grant(*grant, writer);
            }
            Verb::Copy { from, grant } => {
                writer.u8(16);
                writer.flag(from.is_some());
                if let Some(from) = from {
                    writer.u8(*from);
                }
                grant.encode(writer);
            }
            Verb::Publish { grant } => {
                writer.u8(17);
                grant.encode(writer);
            }
            Verb::Refuse { replica, request } => {
                writer.u8(18);
                writer.u8(*replica);
                writer.u64(*request);
            }
            Verb::Tell { replica, piece } => {
                writer.u8(19);
                writer.u8(*replica);
                piece.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Verb, WireError> {
        Ok(match reader.u8()? {
            0 => Verb::Look,
            1 => Verb::Ask { request: reader.u64()? },
            2 => Verb::Read { grant: decode_grant(reader)? },
            3 => Verb::Raise { grant: decode_grant(reader)?, proposal: reader.u32()? },
            4 => Verb::Slots { grant: decode_grant(reader)?, from: reader.u64()?, most: reader.u16()? },
            5 => Verb::Write { grant: decode_grant(reader)?, slot: Slot::decode(reader)? },
            6 => {
                let grant = decode_grant(reader)?;
                let [first_undecided, kept_from] = reader.words()?;
                Verb::Advance { grant, first_undecided, kept_from }
            }
            7 => Verb::Heal { grant: decode_grant(reader)? },
            8 => Verb::Want { want: reader.u64()? },
            9 => Verb::Fetch,
            10 => Verb::Live { life: reader.u64()? },
            11 => Verb::Beat { beat: reader.u64()? },
            12 => Verb::Apply { applied: reader.u64()? },
            13 => Verb::Asked,
            14 => Verb::Survey,
            15 => Verb::Revoke { grant: decode_grant(reader)? },
            16 => {
                let from = if reader.flag()? { Some(decode_place(reader)?) } else { None };
                Verb::Copy { from, grant: Grant::decode(reader)? }
            }
            17 => Verb::Publish { grant: Grant::decode(reader)? },
            18 => Verb::Refuse { replica: decode_replica(reader)?, request: reader.u64()? },
            19 => Verb::Tell { replica: decode_replica(reader)?, piece: Piece::decode(reader)? },
            tag => return Err(WireError::UnknownTag { what: "a verb", tag }),
        })
    }
}

impl Wire for Outcome {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Outcome::Home(home) => {
                writer.u8(0);
                home.encode(writer);
            }
            Outcome::Progress { generation, progress } => {
                writer.u8(1);
                writer.u64(*generation);
                progress.encode(writer);
            }
            Outcome::Raised { generation, proposal, stood } => {
                writer.u8(2);
                writer.u64(*generation);
                writer.u32(*proposal);
                writer.flag(*stood);
            }
            Outcome::Slots(stretch) => {
                writer.u8(3);
                stretch.encode(writer);
            }
            Outcome::Wrote { generation, index, stood } => {
                writer.u8(4);
                writer.words([*generation, *index]);
                writer.flag(*stood);
            }
            Outcome::Healed { generation, stood } => {
                writer.u8(5);
                writer.u64(*generation);
                writer.flag(*stood);
            }
            Outcome::Piece(piece) => {
                writer.u8(6);
                piece.encode(writer);
            }
            Outcome::Lives { life } => {
                writer.u8(7);
                writer.u64(*life);
            }
            Outcome::Asked(asked) => {
                writer.u8(8);
                writer.words(asked.requests);
                writer.words(asked.wants);
            }
            Outcome::Survey(survey) => {
                writer.u8(9);
                survey.encode(writer);
            }
            Outcome::Published { generation } => {
                writer.u8(10);
                writer.u64(*generation);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Outcome, WireError> {
        Ok(match reader.u8()? {
            0 => Outcome::Home(Home::decode(reader)?),
            1 => Outcome::Progress { generation: reader.u64()?, progress: Progress::decode(reader)? },
            2 => Outcome::Raised { generation: reader.u64()?, proposal: reader.u32()?, stood: reader.flag()? },
            3 => Outcome::Slots(Box::new(Stretch::decode(reader)?)),
            4 => {
                let [generation, index] = reader.words()?;
                Outcome::Wrote { generation, index, stood: reader.flag()? }
            }
            5 => Outcome::Healed { generation: reader.u64()?, stood: reader.flag()? },
            6 => Outcome::Piece(Box::new(Piece::decode(reader)?)),
            7 => Outcome::Lives { life: reader.u64()? },
            8 => Outcome::Asked(Box::new(Asked { requests: reader.words()?, wants: reader.words()? })),
            9 => Outcome::Survey(Box::new(Survey::decode(reader)?)),
            10 => Outcome::Published { generation: reader.u64()? },
            tag => return Err(WireError::UnknownTag { what: "an outcome", tag }),
        })
    }
}

impl Wire for Slot {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.index, self.decided]);
        writer.u32(self.proposal);
        writer.bytes(&self.value);
    }

    fn decode(reader: &mut Reader) -> Result<Slot, WireError> {
        let [index, decided] = reader.words()?;
        Ok(Slot { index, decided, proposal: reader.u32()?, value: reader.bytes("a value", MAX_VALUE)? })
    }
}

impl Wire for Grant {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.place);
        writer.u8(self.to);
        writer.words([self.generation, self.request]);
    }

    fn decode(reader: &mut Reader) -> Result<Grant, WireError> {
        let (place, to) = (decode_place(reader)?, decode_replica(reader)?);
        let [generation, request] = reader.words()?;
        Ok(Grant { generation, place, to, request })
    }
}

impl Wire for Home {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.life, self.beat, self.applied, self.asked, self.served]);
        self.grant.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Home, WireError> {
        let [life, beat, applied, asked, served] = reader.words()?;
        Ok(Home { life, beat, applied, asked, served, grant: Grant::decode(reader)? })
    }
}

impl Wire for Progress {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.proposal);
        writer.words([self.first_undecided, self.kept_from]);
        writer.flag(self.is_whole);
    }

    fn decode(reader: &mut Reader) -> Result<Progress, WireError> {
        let proposal = reader.u32()?;
        let [first_undecided, kept_from] = reader.words()?;
        Ok(Progress { proposal, first_undecided, kept_from, is_whole: reader.flag()? })
    }
}

impl Wire for Stretch {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.generation, self.from, self.first_undecided]);
        writer.each(&self.slots);
        writer.u8(match self.end {
            End::Asked => 0,
            End::Empty => 1,
            End::Gone => 2,
        });
    }

    fn decode(reader: &mut Reader) -> Result<Stretch, WireError> {
        let [generation, from, first_undecided] = reader.words()?;
        let slots = reader.list("the slots of a stretch", MAX_STRETCH)?;
        let end = match reader.u8()? {
            0 => End::Asked,
            1 => End::Empty,
            2 => End::Gone,
            tag => return Err(WireError::UnknownTag { what: "the end of a stretch", tag }),
        };
        Ok(Stretch { generation, from, first_undecided, slots, end })
    }
}

impl Wire for Piece {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.want);
        writer.flag(self.is_last);
        writer.bytes(&self.bytes);
    }

    fn decode(reader: &mut Reader) -> Result<Piece, WireError> {
        Ok(Piece {
            want: reader.u64()?,
            is_last: reader.flag()?,
            bytes: reader.bytes("a piece of a state", MAX_PIECE)?,
        })
    }
}

impl Wire for Survey {
    fn encode(&self, writer: &mut Writer<'_>) {
        for place in &self.places {
            place.encode(writer);
        }
        self.current.encode(writer);
        writer.flag(self.stands);
        writer.flag(self.is_whole);
        writer.words(self.served);
    }

    fn decode(reader: &mut Reader) -> Result<Survey, WireError> {
        let mut places = [Grant::default(); MAX_PLACES];
        for place in &mut places {
            *place = Grant::decode(reader)?;
        }
        let current = Grant::decode(reader)?;
        let (stands, is_whole) = (reader.flag()?, reader.flag()?);
        Ok(Survey { places, current, stands, is_whole, served: reader.words()? })
    }
}
