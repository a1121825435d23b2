//! [`Name`]: what an operator calls a member or a place, and [`MemberId`], the
//! number that stands for a member's name wherever names would be too long.

use core::fmt;

use bytes::Bytes;
use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};
use xxhash_rust::xxh3::xxh3_64;

/// Longer names tell nobody more, and every datagram carries some.
pub const MAX_NAME: usize = 64;

/// A word of letters, digits, `-`, `_`, `.` and `:`, such as the name of a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Bytes);

/// Stands for a name: no two members of a fleet have the same.
///
/// It is a hash, and part of what members tell each other and of whose a key is,
/// so it means the same in every version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum NameError {
    Empty,
    TooLong { length: usize },
    Letter { letter: char },
}

impl Name {
    /// This text as a name.
    pub fn new(text: &str) -> Result<Name, NameError> {
        check(text)?;
        Ok(Name(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("a name was checked when it was made")
    }

    /// The number that stands for it.
    pub fn id(&self) -> MemberId {
        MemberId(xxh3_64(&self.0))
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong { length: text.len() });
    }
    match text.chars().find(|letter| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.' | ':')) {
        Some(letter) => Err(NameError::Letter { letter }),
        None => Ok(()),
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "a name has one letter at least"),
            NameError::TooLong { length } => write!(f, "a name has at most {MAX_NAME} letters, and this has {length}"),
            NameError::Letter { letter } => {
                write!(f, "{letter:?} has no place in a name: it is made of letters, digits, `-`, `_`, `.` and `:`")
            }
        }
    }
}

impl core::error::Error for NameError {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{:016x}", self.0)
    }
}

impl Wire for Name {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Name, WireError> {
        let bytes = reader.bytes("a name", MAX_NAME)?;
        let is_name = core::str::from_utf8(&bytes).is_ok_and(|text| check(text).is_ok());
        if is_name { Ok(Name(bytes)) } else { Err(WireError::Invalid { what: "a name with such letters" }) }
    }
}

impl Wire for MemberId {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<MemberId, WireError> {
        Ok(MemberId(reader.u64()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_no_name_is_told_why() {
        assert_eq!(Name::new("").unwrap_err().to_string(), "a name has one letter at least");
        assert_eq!(
            Name::new(&"a".repeat(65)).unwrap_err().to_string(),
            "a name has at most 64 letters, and this has 65"
        );
        assert_eq!(
            Name::new("a b").unwrap_err().to_string(),
            "' ' has no place in a name: it is made of letters, digits, `-`, `_`, `.` and `:`"
        );
        assert_eq!(Name::new("cph-1.edge:7000").unwrap().as_str(), "cph-1.edge:7000");
    }

    #[test]
    fn the_number_of_a_name_is_for_ever() {
        assert_eq!(Name::new("a").unwrap().id(), MemberId(xxh3_64(b"a")));
    }
}
