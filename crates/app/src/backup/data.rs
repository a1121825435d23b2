//! The file of one partition in a backup: what the store told of it, piece by
//! piece, so that nothing of it need be in memory at once.
//!
//! | bytes | of the header |
//! |---|---|
//! | 8 | `skeinbak` |
//! | 4 | the format |
//! | 4 | the partition |
//! | 8 | which backup: the beginning of the SHA-256 of its snapshot's name |
//! | 4 | checksum of these |
//!
//! Then records, each a length (4 bytes), a checksum (4 bytes) and so many bytes
//! of what [`Entries`](skein_service::kv::Entries) reads. A record of length 0
//! is the last one: it has the number of keys (8 bytes) in place of a piece.
//! Numbers are little-endian; checksums are CRC32C and go on from the checksum
//! before them, so that a record that is missing or in the wrong place is found
//! as well as one that is another.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256, digest};

use super::Damage;
use super::manifest::FORMAT;

const MAGIC: &[u8; 8] = b"skeinbak";
const HEADER: usize = 28;
const HEAD: usize = 8;
const END: usize = 8;

/// Which partition of which backup a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Title {
    partition: u32,
    backup: [u8; 8],
}

impl Title {
    /// Of a partition of the backup that was made of this snapshot.
    pub(super) fn of(snapshot: &str, partition: usize) -> Title {
        let hash = digest(&SHA256, snapshot.as_bytes());
        let backup = hash.as_ref()[..8].try_into().expect("a hash is longer");
        Title { partition: u32::try_from(partition).expect("there are 64 at most"), backup }
    }

    fn header(self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..16].copy_from_slice(&self.partition.to_le_bytes());
        header[16..24].copy_from_slice(&self.backup);
        let checksum = crc32c::crc32c(&header[..24]);
        header[24..].copy_from_slice(&checksum.to_le_bytes());
        header
    }
}

/// How long a file is, and the SHA-256 of what is in it.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A file that is being written.
pub(super) struct Writer {
    file: BufWriter<File>,
    hash: Context,
    bytes: u64,
    checksum: u32,
}

impl Writer {
    /// A file that is not there yet.
    pub(super) fn create(path: &Path, title: Title) -> std::io::Result<Writer> {
        let file = BufWriter::new(File::create_new(path)?);
        let header = title.header();
        let mut writer = Writer { file, hash: Context::new(&SHA256), bytes: 0, checksum: checksum_at(&header, 24) };
        writer.write(&header)?;
        Ok(writer)
    }

    /// The next piece, which is not empty.
    pub(super) fn piece(&mut self, piece: &[u8]) -> std::io::Result<()> {
        assert!(!piece.is_empty(), "an empty record is the last one");
        let length = u32::try_from(piece.len()).map_err(|_| std::io::Error::other("a piece is longer than 4 GiB"))?;
        self.record(length, piece)
    }

    /// That was all; so many keys. What is written is durable then.
    pub(super) fn finish(mut self, keys: u64) -> std::io::Result<Written> {
        self.record(0, &keys.to_le_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(Written { bytes: self.bytes, sha256: hexadecimal(self.hash.finish().as_ref()) })
    }

    fn record(&mut self, length: u32, body: &[u8]) -> std::io::Result<()> {
        let length = length.to_le_bytes();
        self.checksum = crc32c::crc32c_append(crc32c::crc32c_append(self.checksum, &length), body);
        let checksum = self.checksum.to_le_bytes();
        self.write(&length)?;
        self.write(&checksum)?;
        self.write(body)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// A file that is being read.
pub(super) struct Reader {
    file: BufReader<File>,
    name: String,
    hash: Context,
    /// Where the next record begins.
    at: u64,
    length: u64,
    checksum: u32,
}

/// What comes next in a file.
pub(super) enum Next {
    /// A piece, and where its record begins.
    Piece(u64, Vec<u8>),
    /// Nothing: so many keys were promised.
    End(u64, Written),
}

impl Reader {
    /// A file that should have this title.
    pub(super) fn open(folder: &Path, name: &str, title: Title) -> Result<Reader, Damage> {
        let damage = |offset, why: String| Damage { file: name.to_owned(), offset, why };
        let opened = File::open(folder.join(name)).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|error| damage(0, format!("cannot read it: {error}")))?;
        let hash = Context::new(&SHA256);
        let mut reader = Reader { file: BufReader::new(file), name: name.to_owned(), hash, at: 0, length, checksum: 0 };
        let mut header = [0; HEADER];
        reader.take(&mut header, 0)?;
        reader.at = HEADER as u64;
        reader.checksum = checksum_at(&header, 24);
        if crc32c::crc32c(&header[..24]) != reader.checksum {
            return Err(damage(0, "its header does not match its checksum".to_owned()));
        }
        if header != title.header() {
            return Err(damage(0, "it is of another backup, or of another partition".to_owned()));
        }
        Ok(reader)
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Result<Next, Damage> {
        let start = self.at;
        let mut head = [0; HEAD];
        self.take(&mut head, start)?;
        let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
        let is_end = length == 0;
        let size = if is_end { END } else { length as usize };
        // No length is believed for which there are no bytes.
        if start + (HEAD + size) as u64 > self.length {
            return Err(self.damage(start, "it ends within a record, or the record has lost its length"));
        }
        let mut body = vec![0; size];
        self.take(&mut body, start)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c_append(self.checksum, &head[..4]), &body);
        if checksum != checksum_at(&head, 4) {
            return Err(self.damage(start, "a record does not match its checksum"));
        }
        self.checksum = checksum;
        self.at = start + (HEAD + size) as u64;
        if !is_end {
            return Ok(Next::Piece(start, body));
        }
        if self.at != self.length {
            return Err(self.damage(self.at, "something follows its last record"));
        }
        let keys = u64::from_le_bytes(body.try_into().expect("eight bytes"));
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256));
        Ok(Next::End(keys, Written { bytes: self.at, sha256: hexadecimal(hash.finish().as_ref()) }))
    }

    /// Damage in this file.
    pub(super) fn damage(&self, offset: u64, why: &str) -> Damage {
        Damage { file: self.name.clone(), offset, why: why.to_owned() }
    }

    fn take(&mut self, bytes: &mut [u8], start: u64) -> Result<(), Damage> {
        let read = self.file.read_exact(bytes);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damage(start, "it ends too early"),
            _ => self.damage(start, &format!("cannot read it: {error}")),
        })?;
        self.hash.update(bytes);
        Ok(())
    }
}

fn checksum_at(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(bytes[place..place + 4].try_into().expect("four bytes"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
