//! [`Parcel`]: what a message carries for a service. Commands that are ready at
//! the same moment for the same partitions travel in one message, for a message
//! costs far more than a command. Which commands those are is the entry's
//! affair; this file only says how they are written down.

use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::wire::{Reader, VERSION, WireError, Writer, from_bytes};
use skein_machine::{Ask, Command, MAX_PAYLOAD, MessageId, Multicast, ProcessId, Wire};

/// More commands than this do not travel together: they are applied in a row, and who reads has to wait for them.
pub(super) const MAX_COMMANDS: usize = 1 << 12;

/// Commands of one entry for the same partitions, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parcel {
    /// Who wants to hear the answers.
    pub entry: ProcessId,
    /// Of this stream, everything before this number has been answered and need not be kept.
    pub answered: u64,
    /// What is asked.
    pub commands: Vec<Command>,
}

const NAMELESS: u8 = 0;
const NAMED: u8 = 1;

/// What a command takes besides its own bytes, at most.
const OVERHEAD: usize = 21;

/// What a parcel takes besides its commands.
const FRAME: usize = 14;

impl Parcel {
    /// Its bytes, in a room that is large enough from the beginning.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut buffer = Vec::with_capacity(FRAME + self.commands.iter().map(length_of).sum::<usize>());
        self.encode(&mut Writer::new(&mut buffer, VERSION));
        Bytes::from(buffer)
    }
}

/// How long a parcel with this command alone would be.
pub(super) fn length_of(command: &Command) -> usize {
    command.command.len() + OVERHEAD
}

/// Whether a command is so long that no message takes it.
pub(super) fn is_too_long(command: &Command) -> bool {
    FRAME + length_of(command) > MAX_PAYLOAD
}

/// The commands that a message carries, if it carries any: for those who follow what a partition delivers. Whether
/// they had an effect, whoever applies them knows.
pub fn unpack(message: &Multicast) -> Option<Parcel> {
    is_ours(message.id).then(|| from_bytes::<Parcel>(message.payload.clone(), VERSION).ok()).flatten()
}

/// Whether a message is a parcel of some entry.
pub(super) fn is_ours(id: MessageId) -> bool {
    id.session.0 >= Ask::SESSIONS
}

impl Wire for Parcel {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.entry.encode(writer);
        writer.u64(self.answered);
        writer.u32(self.commands.len() as u32);
        for Command { name, command } in &self.commands {
            match name {
                None => writer.u8(NAMELESS),
                Some((session, number)) => {
                    writer.u8(NAMED);
                    writer.words([*session, *number]);
                }
            }
            writer.bytes(command);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Parcel, WireError> {
        let (entry, answered) = (ProcessId::decode(reader)?, reader.u64()?);
        let count = reader.u32()? as usize;
        if count > MAX_COMMANDS {
            return Err(WireError::TooLong { what: "a parcel", length: count, limit: MAX_COMMANDS });
        }
        let mut commands = Vec::with_capacity(count.min(reader.left() / 5));
        for _ in 0..count {
            let name = match reader.u8()? {
                NAMELESS => None,
                NAMED => {
                    let [session, number] = reader.words()?;
                    Some((session, number))
                }
                tag => return Err(WireError::UnknownTag { what: "command", tag }),
            };
            commands.push(Command { name, command: reader.bytes("a command", MAX_PAYLOAD)? });
        }
        Ok(Parcel { entry, answered, commands })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_parcel_survives_the_journey() {
        let plain = Command { name: None, command: Bytes::from_static(b"set x 1") };
        let named = Command { name: Some((7, 3)), command: Bytes::from_static(b"") };
        let parcel = Parcel { entry: ProcessId(4), answered: 9, commands: vec![plain, named] };
        let bytes = parcel.to_bytes();
        assert!(bytes.len() <= FRAME + parcel.commands.iter().map(length_of).sum::<usize>());
        assert_eq!(from_bytes::<Parcel>(bytes.clone(), VERSION).unwrap(), parcel);
        assert!(from_bytes::<Parcel>(bytes.slice(..bytes.len() - 1), VERSION).is_err());
    }

    #[test]
    fn a_crowd_is_refused() {
        let command = Command { name: None, command: Bytes::new() };
        let parcel = Parcel { entry: ProcessId(0), answered: 0, commands: vec![command; MAX_COMMANDS + 1] };
        let refused = from_bytes::<Parcel>(parcel.to_bytes(), VERSION).unwrap_err();
        assert!(refused.to_string().contains("4096"), "{refused}");
    }

    use alloc::string::ToString;
}
