//! [`Word`]: what one replica tells another of how far groups are.

use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, MAX_GROUPS, Timestamp, Wire};

use super::{Settled, Standing};

/// How far groups are, that of whoever says it first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub(crate) Vec<(GroupId, Standing)>);

impl Word {
    /// What a replica says that has delivered everything up to `safe`.
    pub(crate) fn of(group: GroupId, safe: Timestamp, settled: &Settled) -> Word {
        let own = core::iter::once((group, settled.standing(safe)));
        Word(own.chain(settled.others().map(|(group, standing)| (group, standing.clone()))).collect())
    }
}

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.0.len() as u32);
        for (group, standing) in &self.0 {
            group.encode(writer);
            standing.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        let count = reader.u32()? as usize;
        if count > MAX_GROUPS {
            return Err(WireError::TooLong { what: "groups", length: count, limit: MAX_GROUPS });
        }
        let groups = (0..count).map(|_| Ok((GroupId::decode(reader)?, Standing::decode(reader)?)));
        Ok(Word(groups.collect::<Result<_, WireError>>()?))
    }
}
