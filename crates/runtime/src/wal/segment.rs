//! A segment of the log: how it is called, how it begins. Its header says
//! whose it is and with which record it begins; batches follow to its end, or
//! to the first zeros. A segment is written in one life only.
//!
//! | offset | | |
//! |---|---|---|
//! | 0 | 8 | `SKEINLOG` |
//! | 8 | 2 | version |
//! | 10 | 2 | process |
//! | 12 | 4 | zero |
//! | 16 | 8 | cluster |
//! | 24 | 8 | birth of the directory |
//! | 32 | 8 | number of the segment |
//! | 40 | 8 | number of its first record |
//! | 48 | 12 | zero |
//! | 60 | 4 | checksum |
//!
//! Checkpoints begin with the same header, under another name. The version is
//! that of the encoding of the records behind it, and of the log around them,
//! whose layout has been the same in all: a log may well have segments of two
//! versions, of a build and of the one before it. This file never reads or
//! writes a file.

use skein_machine::wire::{OLDEST, VERSION, Version};

use crate::data::Identity;

/// How long a header is.
pub(crate) const HEADER: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment,
    Checkpoint,
}

/// The header of a segment or a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// In which version everything behind it is written.
    pub(crate) version: Version,
    /// The number of the segment, or the length of what the checkpoint holds.
    pub(crate) size: u64,
    /// The number of its first record, or of the last record that the checkpoint replaces.
    pub(crate) record: u64,
}

/// Why bytes are not the header that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// They are none, or one with a flaw.
    Unsound,
    /// They are of another directory.
    Foreign,
    /// This build does not know the version.
    Newer { version: Version },
}

impl Header {
    pub(crate) fn to_bytes(self, identity: &Identity) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(self.kind.magic());
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10..12].copy_from_slice(&identity.process.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&identity.cluster.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&identity.birth.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.record.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn read(kind: Kind, bytes: &[u8], identity: &Identity) -> Result<Header, Flaw> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(Flaw::Unsound)?;
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[0..8] != *kind.magic() || crc32c::crc32c(&bytes[..60]).to_le_bytes() != bytes[60..64] {
            return Err(Flaw::Unsound);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Flaw::Newer { version });
        }
        let header = Header { kind, version, size: u64_at(32), record: u64_at(40) };
        // Whatever is not spelled out above must be as it would be written, the directory's names first of all.
        if header.to_bytes(identity) == *bytes { Ok(header) } else { Err(Flaw::Foreign) }
    }
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Kind::Segment => b"SKEINLOG",
            Kind::Checkpoint => b"SKEINCKP",
        }
    }
}

/// Mixed into the checksums of everything in a file, so that bytes of another directory or another file never match.
pub(crate) fn seed(kind: Kind, number: u64, identity: &Identity) -> u32 {
    let mut bytes = [0; 24];
    bytes[0..8].copy_from_slice(kind.magic());
    bytes[8..16].copy_from_slice(&identity.birth.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    crc32c::crc32c(&bytes)
}

const SUFFIX: &str = ".log";
const CHECKPOINT: &str = "checkpoint-";

/// What the name of a file in the folder of the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    Checkpoint(u64),
    /// A checkpoint that was being written.
    Unfinished,
    Note,
    Strange,
}

/// How a segment is called.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

/// How the checkpoint is called that replaces everything up to this record.
pub(crate) fn checkpoint_name(record: u64) -> String {
    format!("{CHECKPOINT}{record}")
}

/// How a checkpoint is called while it is written.
pub(crate) const UNFINISHED: &str = "checkpoint.new";

/// The file that says up to where everything is synced.
pub(crate) const NOTE: &str = "synced";

impl Name {
    pub(crate) fn of(name: &str) -> Name {
        let number = |digits: &str| digits.parse().ok().filter(|number: &u64| *number > 0);
        let segment = name.strip_suffix(SUFFIX).and_then(number).filter(|number| segment_name(*number) == name);
        let checkpoint =
            name.strip_prefix(CHECKPOINT).and_then(number).filter(|record| checkpoint_name(*record) == name);
        match (segment, checkpoint, name) {
            (Some(number), _, _) => Name::Segment(number),
            (_, Some(record), _) => Name::Checkpoint(record),
            (_, _, UNFINISHED) => Name::Unfinished,
            (_, _, NOTE) => Name::Note,
            _ => Name::Strange,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::{ClusterId, ProcessId};

    fn identity(birth: u64) -> Identity {
        Identity { cluster: ClusterId(7), process: ProcessId(3), birth, incarnation: 0, forgets: false }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(segment_name(1), "00000001.log");
        for number in [1, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(Name::of(&segment_name(number)), Name::Segment(number));
            assert_eq!(Name::of(&checkpoint_name(number)), Name::Checkpoint(number));
        }
        for name in ["1.log", "00000000.log", "000000001.log", "+0000001.log", "checkpoint-07", "checkpoint-", "x"] {
            assert_eq!(Name::of(name), Name::Strange, "{name}");
        }
    }

    #[test]
    fn a_header_is_believed_only_as_it_was_written() {
        let header = Header { kind: Kind::Segment, version: VERSION, size: 2, record: 77 };
        let bytes = header.to_bytes(&identity(5));
        let read = |bytes: &[u8], birth| Header::read(Kind::Segment, bytes, &identity(birth));
        assert_eq!(read(&bytes, 5), Ok(header));
        assert_eq!(read(&bytes, 6), Err(Flaw::Foreign));
        assert_eq!(Header::read(Kind::Checkpoint, &bytes, &identity(5)), Err(Flaw::Unsound));
        for place in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[place / 8] ^= 1 << (place % 8);
            assert_eq!(read(&flipped, 5), Err(Flaw::Unsound), "bit {place}");
        }
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        for version in [OLDEST - 1, VERSION + 1] {
            let bytes = Header { kind: Kind::Segment, version, size: 2, record: 77 }.to_bytes(&identity(5));
            assert_eq!(Header::read(Kind::Segment, &bytes, &identity(5)), Err(Flaw::Newer { version }));
        }
    }

    /// The layout of a header, for ever, but for the version in it.
    #[test]
    fn golden_vectors() {
        for version in OLDEST..=VERSION {
            let header = Header { kind: Kind::Segment, version, size: 2, record: 77 };
            let mut golden = [
                &b"SKEINLOG"[..],
                &version.to_le_bytes(),
                &[3, 0, 0, 0, 0, 0],
                &7u64.to_le_bytes(),
                &5u64.to_le_bytes(),
                &2u64.to_le_bytes(),
                &77u64.to_le_bytes(),
                &[0; 12],
            ]
            .concat();
            let checksum = crc32c::crc32c(&golden);
            golden.extend_from_slice(&checksum.to_le_bytes());
            assert_eq!(header.to_bytes(&identity(5))[..], golden);
            assert_eq!(Header::read(Kind::Segment, &golden, &identity(5)), Ok(header));
        }
    }
}
