//! [`Told`]: what a partition tells the others of a request before any of them
//! carries it out: whether it may happen, and, where they need them, the values
//! of the keys that it owns.

use alloc::vec::Vec;

use bytes::Bytes;

use super::codec::{read_entry, write_entry};
use super::request::{Cut, Malformed};
use super::store::Entry;

/// The most that a partition tells of one request. Above it the request fails
/// at every partition alike: a share is held in memory and on disk by all of them.
pub const MAX_SHARE: usize = 64 << 20;

/// What is counted for an entry beside its bytes: at least what its head takes.
const HEAD: u64 = 40;

const HOLDS: u8 = 1;
const FULL: u8 = 2;
const TOO_LARGE: u8 = 4;

/// What a partition tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told<'a> {
    /// Whether the keys that were watched are as they were.
    pub holds: bool,
    /// Whether it takes nothing that grows.
    pub full: bool,
    /// Whether its values are too large to tell.
    pub too_large: bool,
    /// Its values.
    pub entries: Vec<(&'a [u8], Entry)>,
}

impl<'a> Told<'a> {
    /// What a partition of these values tells: not the values, if they are too large.
    pub(super) fn of(holds: bool, full: bool, mut entries: Vec<(&'a [u8], Entry)>) -> Told<'a> {
        // Logical sizes count more for an element than its encoding takes beside its bytes.
        let size: u64 = entries.iter().map(|(key, entry)| HEAD + key.len() as u64 + entry.value.size()).sum();
        let too_large = size > MAX_SHARE as u64;
        if too_large {
            entries.clear();
        }
        Told { holds, full, too_large, entries }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Bytes {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut buffer = alloc::vec![bit(self.holds, HOLDS) | bit(self.full, FULL) | bit(self.too_large, TOO_LARGE)];
        for (key, entry) in &self.entries {
            write_entry(&mut buffer, key, entry);
        }
        Bytes::from(buffer)
    }

    /// What these bytes tell.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Told<'a>, Malformed> {
        let mut cut = Cut(bytes);
        let head = cut.byte()?;
        if head & !(HOLDS | FULL | TOO_LARGE) != 0 {
            return Err(Malformed("a share says more than there is to say"));
        }
        let mut entries = Vec::new();
        while !cut.0.is_empty() {
            entries.push(read_entry(&mut cut)?);
        }
        Ok(Told { holds: head & HOLDS != 0, full: head & FULL != 0, too_large: head & TOO_LARGE != 0, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::store::NEVER;
    use crate::kv::value::Value;
    use proptest::prelude::*;

    #[test]
    fn a_share_survives_the_journey_unless_it_is_too_large() {
        let entry = Entry { value: Value::string(b"value"), deadline_ms: NEVER, version: 7 };
        let told = Told::of(true, false, alloc::vec![(b"key".as_slice(), entry)]);
        assert_eq!(Told::decode(&told.encode()), Ok(told));
        let half = alloc::vec![0; MAX_SHARE / 2];
        let large = Entry { value: Value::string(&half), deadline_ms: NEVER, version: 7 };
        let told = Told::of(false, true, alloc::vec![(b"a".as_slice(), large.clone()), (b"b", large)]);
        assert!(told.too_large && told.full && !told.holds && told.entries.is_empty());
        assert_eq!(Told::decode(&told.encode()), Ok(told));
        assert!(Told::decode(b"").is_err() && Told::decode(b"\x08").is_err());
    }

    /// A share of the most and the smallest keys is no longer than what was counted for it.
    #[test]
    fn what_is_counted_is_no_less_than_what_is_written() {
        let entry = Entry { value: Value::string(b""), deadline_ms: NEVER - 2, version: u64::MAX };
        let keys: alloc::vec::Vec<[u8; 4]> = (0..1000u32).map(u32::to_be_bytes).collect();
        let entries = keys.iter().map(|key| (key.as_slice(), entry.clone())).collect();
        assert!(Told::of(true, false, entries).encode().len() as u64 <= 1000 * (HEAD + 4));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(mut bytes: alloc::vec::Vec<u8>, kind in 0u8..6, count in 0u8..4) {
            let _ = Told::decode(&bytes);
            bytes.splice(0..0, [HOLDS, 1, b'k', 0, 1, kind, count]);
            if let Ok(told) = Told::decode(&bytes) {
                let again = told.encode();
                prop_assert_eq!(Told::decode(&again).unwrap().entries.len(), told.entries.len());
            }
        }
    }
}
