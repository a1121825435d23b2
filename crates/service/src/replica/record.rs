//! [`Record`]: what a replica must not forget, besides what its order writes
//! down: what other partitions have told it, for they will not tell it for ever.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, Position, Wire};

use super::exchange::{MAX_SHARE, Share, Turn};

/// One durable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<R> {
    /// What the order wants kept.
    Order(R),
    /// What another partition told about a command.
    Share(Turn, GroupId, Share),
    /// A state taken over from another replica of the group, when a share was to be had no more.
    State(State),
    /// In place of everything before it.
    Base(Box<Base<R>>),
}

/// A state of the user, and the place up to which it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The first delivery that is not in it.
    pub position: Position,
    /// All of it.
    pub bytes: Bytes,
}

/// Everything that must not be forgotten, in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base<R> {
    /// What the order wants kept.
    pub order: R,
    /// What this partition has told, and somebody may still ask for.
    pub told: Vec<(Turn, Share)>,
    /// What others have told, of commands that are not in the state.
    pub heard: Vec<(Turn, GroupId, Share)>,
    /// The state, where it is ahead of the one that the order holds.
    pub ahead: Option<State>,
}

/// A state is as long as what it holds.
const MAX_STATE: usize = u32::MAX as usize;

/// Far more than are ever on the way.
const MAX_SHARES: usize = 1 << 20;

const ORDER: u8 = 0;
const SHARE: u8 = 1;
const STATE: u8 = 2;
const BASE: u8 = 3;

impl<R: Wire> Wire for Record<R> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Record::Order(record) => {
                writer.u8(ORDER);
                record.encode(writer);
            }
            Record::Share(turn, group, share) => {
                writer.u8(SHARE);
                encode_heard(writer, turn, *group, share);
            }
            Record::State(state) => {
                writer.u8(STATE);
                state.encode(writer);
            }
            Record::Base(base) => {
                writer.u8(BASE);
                writer.u32(base.told.len() as u32);
                for (turn, share) in &base.told {
                    turn.encode(writer);
                    share.encode(writer);
                }
                writer.u32(base.heard.len() as u32);
                base.heard.iter().for_each(|(turn, group, share)| encode_heard(writer, turn, *group, share));
                writer.option(base.ahead.as_ref());
                base.order.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Record<R>, WireError> {
        Ok(match reader.u8()? {
            ORDER => Record::Order(R::decode(reader)?),
            SHARE => {
                let (turn, group, share) = decode_heard(reader)?;
                Record::Share(turn, group, share)
            }
            STATE => Record::State(State::decode(reader)?),
            BASE => {
                let mut told = Vec::new();
                for _ in 0..count(reader)? {
                    told.push((Turn::decode(reader)?, Share::decode(reader)?));
                }
                let mut heard = Vec::new();
                for _ in 0..count(reader)? {
                    heard.push(decode_heard(reader)?);
                }
                let ahead = reader.option()?;
                Record::Base(Box::new(Base { order: R::decode(reader)?, told, heard, ahead }))
            }
            tag => return Err(WireError::UnknownTag { what: "record", tag }),
        })
    }
}

fn encode_heard(writer: &mut Writer<'_>, turn: &Turn, group: GroupId, share: &Share) {
    turn.encode(writer);
    group.encode(writer);
    share.encode(writer);
}

fn decode_heard(reader: &mut Reader) -> Result<(Turn, GroupId, Share), WireError> {
    Ok((Turn::decode(reader)?, GroupId::decode(reader)?, Share::decode(reader)?))
}

fn count(reader: &mut Reader) -> Result<usize, WireError> {
    let length = reader.u32()? as usize;
    if length > MAX_SHARES {
        return Err(WireError::TooLong { what: "shares", length, limit: MAX_SHARES });
    }
    Ok(length)
}

impl Wire for State {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.position);
        writer.bytes(&self.bytes);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        Ok(State { position: reader.u64()?, bytes: reader.bytes("a state", MAX_STATE)? })
    }
}

const _: () = assert!(MAX_SHARE < MAX_STATE);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};
    use skein_machine::{MessageId, ProcessId, Stamp, Timestamp};

    #[test]
    fn every_record_survives_the_journey() {
        let turn = Turn { stamp: Stamp { timestamp: Timestamp(4), id: MessageId::new(1, 2, 3) }, nth: 5 };
        let share = Share { was_applied: true, bytes: Bytes::from_static(b"mine") };
        let state = State { position: 9, bytes: Bytes::from_static(b"all") };
        let group = GroupId::new(1).unwrap();
        let base = Base {
            order: ProcessId(3),
            told: vec![(turn, share.clone())],
            heard: vec![(turn, group, share.clone())],
            ahead: Some(state.clone()),
        };
        let records = [
            Record::Order(ProcessId(7)),
            Record::Share(turn, group, share),
            Record::State(state),
            Record::Base(Box::new(base)),
        ];
        for record in records {
            let bytes = to_bytes(&record);
            assert_eq!(from_bytes::<Record<ProcessId>>(bytes.clone(), VERSION).unwrap(), record);
            assert!(from_bytes::<Record<ProcessId>>(bytes.slice(..bytes.len() - 1), VERSION).is_err());
        }
        assert!(from_bytes::<Record<ProcessId>>(Bytes::from_static(&[9]), VERSION).is_err());
    }
}
