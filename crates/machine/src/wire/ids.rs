//! How names of things are said: processes, sessions, messages, groups, and
//! points in time.

use super::{Reader, Wire, WireError, Writer};
use crate::{GroupId, GroupSet, MessageId, ProcessId, SessionId, Timestamp};

impl Wire for ProcessId {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u16(self.0);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<ProcessId, WireError> {
        Ok(ProcessId(reader.u16()?))
    }
}

impl Wire for SessionId {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<SessionId, WireError> {
        Ok(SessionId(reader.u64()?))
    }
}

impl Wire for MessageId {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.session.0, self.sequence, self.destinations.bits()]);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<MessageId, WireError> {
        MessageId::from_words(reader.words()?)
    }
}

impl MessageId {
    /// What its encoding means, for those that read more words at once.
    #[inline]
    pub fn from_words([session, sequence, destinations]: [u64; 3]) -> Result<MessageId, WireError> {
        if destinations == 0 {
            return Err(WireError::Invalid { what: "a message to no group" });
        }
        Ok(MessageId::new(session, sequence, destinations))
    }
}

impl Wire for GroupId {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.index() as u8);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<GroupId, WireError> {
        GroupId::new(usize::from(reader.u8()?)).ok_or(WireError::Invalid { what: "a group past the last" })
    }
}

impl Wire for GroupSet {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.bits());
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<GroupSet, WireError> {
        Ok(GroupSet::from_bits(reader.u64()?))
    }
}

impl Wire for Timestamp {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Timestamp, WireError> {
        Ok(Timestamp(reader.u64()?))
    }
}
