//! What maps say to each other, and how it becomes bytes.

use alloc::vec::Vec;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::digest::{Digest, Drawers};
use crate::MemberId;
use crate::dots::{Actor, Dots};
use crate::map::{Cut, CutId, Delta, Report};
use crate::membership::MAX_MEMBERS;

/// What one map says to another. What does not fit a datagram goes by a connection.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum Word {
    /// This is new, in your place too if it comes from another.
    News { delta: Delta, is_from_afar: bool },
    /// This is what I have adopted, and a digest of all that I have seen, when so many changes had come in.
    Compare { cut: CutId, digest: Digest, at: u64 },
    /// Tell me what I lack.
    Ask(Question),
    /// This is what everybody has, as far as I know. Whoever has adopted what I cannot adopt must begin anew.
    Adopt { cut: Cut, refuses: Option<CutId> },
    /// I am making a cut: what does your place report, or you alone?
    Count { round: u64, cut: CutId, is_for_place: bool },
    /// These report so much together, each in this life.
    Counted { round: u64, report: Report, members: Vec<(MemberId, u64)> },
}

/// What one asks who lacks something.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks, in which life: to another the answer would say too much.
    pub(super) by: Actor,
    /// What it has adopted.
    pub(super) cut: CutId,
    /// How many changes had come in when the two compared: at who is asked, and at who asks.
    pub(super) at: [u64; 2],
    /// In which drawers it lacks something.
    pub(super) drawers: Drawers,
    /// What it has seen there, beyond what everybody has.
    pub(super) seen: Dots,
    /// One who has just begun has seen nothing, not even what everybody has.
    pub(super) has_begun: bool,
    /// Who asks because it was asked is not asked again.
    pub(super) is_in_return: bool,
}

const NEWS: u8 = 0;
const COMPARE: u8 = 1;
const ASK: u8 = 2;
const ADOPT: u8 = 3;
const COUNT: u8 = 4;
const COUNTED: u8 = 5;

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Word::News { delta, is_from_afar } => {
                writer.u8(NEWS);
                writer.flag(*is_from_afar);
                delta.encode(writer);
            }
            Word::Compare { cut, digest, at } => {
                writer.u8(COMPARE);
                cut.encode(writer);
                digest.encode(writer);
                writer.u64(*at);
            }
            Word::Ask(question) => {
                writer.u8(ASK);
                question.encode(writer);
            }
            Word::Adopt { cut, refuses } => {
                writer.u8(ADOPT);
                writer.option(refuses.as_ref());
                cut.encode(writer);
            }
            Word::Count { round, cut, is_for_place } => {
                writer.u8(COUNT);
                writer.u64(*round);
                cut.encode(writer);
                writer.flag(*is_for_place);
            }
            Word::Counted { round, report, members } => {
                writer.u8(COUNTED);
                writer.u64(*round);
                report.encode(writer);
                writer.list(members.iter().map(|(member, life)| Counted(*member, *life)));
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        Ok(match reader.u8()? {
            NEWS => Word::News { is_from_afar: reader.flag()?, delta: Delta::decode(reader)? },
            COMPARE => {
                Word::Compare { cut: CutId::decode(reader)?, digest: Digest::decode(reader)?, at: reader.u64()? }
            }
            ASK => Word::Ask(Question::decode(reader)?),
            ADOPT => Word::Adopt { refuses: reader.option()?, cut: Cut::decode(reader)? },
            COUNT => Word::Count { round: reader.u64()?, cut: CutId::decode(reader)?, is_for_place: reader.flag()? },
            COUNTED => {
                let (round, report) = (reader.u64()?, Report::decode(reader)?);
                let members = reader.list::<Counted>("the members of a report", MAX_MEMBERS)?;
                Word::Counted {
                    round,
                    report,
                    members: members.into_iter().map(|Counted(id, life)| (id, life)).collect(),
                }
            }
            tag => return Err(WireError::UnknownTag { what: "word between maps", tag }),
        })
    }
}

impl Wire for Question {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.by.encode(writer);
        self.cut.encode(writer);
        writer.words(self.at);
        self.drawers.encode(writer);
        self.seen.encode(writer);
        writer.flag(self.has_begun);
        writer.flag(self.is_in_return);
    }

    fn decode(reader: &mut Reader) -> Result<Question, WireError> {
        Ok(Question {
            by: Actor::decode(reader)?,
            cut: CutId::decode(reader)?,
            at: reader.words()?,
            drawers: Drawers::decode(reader)?,
            seen: Dots::decode(reader)?,
            has_begun: reader.flag()?,
            is_in_return: reader.flag()?,
        })
    }
}

/// A member and its life, as they travel.
struct Counted(MemberId, u64);

impl Wire for Counted {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
        writer.u64(self.1);
    }

    fn decode(reader: &mut Reader) -> Result<Counted, WireError> {
        Ok(Counted(MemberId::decode(reader)?, reader.u64()?))
    }
}
