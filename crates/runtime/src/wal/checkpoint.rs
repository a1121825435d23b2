//! A checkpoint: one file that replaces every record up to its number. It is
//! written under another name and gets its own once all of it is synced, so a
//! file of that name is whole, or damaged.
//!
//! It begins with the header of `segment.rs`; then come chunks of a mebibyte,
//! the last of which may be shorter, each with four bytes of checksum behind it.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use skein_machine::wire::Version;

use super::segment::{HEADER, Header, Kind, UNFINISHED, checkpoint_name, seed};
use super::{WalError, Written, segment};
use crate::data::Identity;
use crate::files::{Failure, Files, OpenFile, Operation};

const CHUNK: usize = 1 << 20;
const CHECKSUM: usize = 4;

/// So many chunks are synced at once: a log that is synced meanwhile does not wait for all of them.
const CHUNKS_A_SYNC: usize = 16;

/// Writes the checkpoint that replaces everything up to `record`. When this returns, it stands.
pub(crate) fn write(
    files: &dyn Files,
    folder: &Path,
    identity: &Identity,
    version: Version,
    record: u64,
    contents: &[u8],
) -> Result<(), Failure> {
    let (unfinished, path) = (folder.join(UNFINISHED), folder.join(checkpoint_name(record)));
    let fails = |operation| Failure::of(files, operation, &unfinished);
    match files.remove(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fails(Operation::Remove)(error)),
        _ => {}
    }
    let file = files.create(&unfinished).map_err(fails(Operation::Create))?;
    let header = Header { kind: Kind::Checkpoint, version, size: contents.len() as u64, record };
    file.write_at(&[&header.to_bytes(identity)], 0).map_err(fails(Operation::Write))?;
    for (nth, chunk) in contents.chunks(CHUNK).enumerate() {
        let checksum = checksum(seed(Kind::Checkpoint, record, identity), nth, chunk);
        file.write_at(&[chunk, &checksum], offset_of(nth)).map_err(fails(Operation::Write))?;
        if nth % CHUNKS_A_SYNC == CHUNKS_A_SYNC - 1 {
            file.sync().map_err(fails(Operation::Sync))?;
        }
    }
    file.sync().map_err(fails(Operation::Sync))?;
    files.rename(&unfinished, &path).map_err(fails(Operation::Rename))?;
    files.sync_folder(folder).map_err(Failure::of(files, Operation::Sync, folder))
}

/// Where a checkpoint is not as it was written, and what should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) offset: u64,
    pub(crate) expected: String,
}

/// What a checkpoint holds, or what is wrong with it.
pub(crate) fn read(
    files: &dyn Files,
    folder: &Path,
    identity: &Identity,
    record: u64,
) -> Result<Result<Written, Flaw>, WalError> {
    let path = folder.join(checkpoint_name(record));
    let fails = |operation| Failure::of(files, operation, &path);
    let file = files.open_to_read(&path).map_err(fails(Operation::Open))?;
    let length = file.length().map_err(fails(Operation::Read))?;
    let mut header = [0; HEADER];
    file.read_at(&mut header, 0).map_err(fails(Operation::Read))?;
    let header = match Header::read(Kind::Checkpoint, &header, identity) {
        Ok(header) if header.record == record => header,
        Err(segment::Flaw::Newer { version }) => return Err(WalError::Newer { file: path, version }),
        _ => {
            let expected = format!("the header of a checkpoint of record {record} of this directory");
            return Ok(Err(Flaw { offset: 0, expected }));
        }
    };
    if length_of_file(header.size) != Some(length) {
        let expected = format!("the end of a checkpoint that holds {} bytes", header.size);
        return Ok(Err(Flaw { offset: length, expected }));
    }
    let seed = seed(Kind::Checkpoint, record, identity);
    let contents = read_chunks(&*file, header.size as usize, seed).map_err(fails(Operation::Read))?;
    Ok(contents.map(|bytes| Written { version: header.version, bytes }))
}

/// Reads so many bytes, which the file is known to be long enough for.
fn read_chunks(file: &dyn OpenFile, size: usize, seed: u32) -> std::io::Result<Result<Bytes, Flaw>> {
    let mut contents = vec![0; size];
    for (nth, chunk) in contents.chunks_mut(CHUNK).enumerate() {
        let (offset, mut found) = (offset_of(nth), [0; CHECKSUM]);
        file.read_at(chunk, offset)?;
        file.read_at(&mut found, offset + chunk.len() as u64)?;
        if found != checksum(seed, nth, chunk) {
            return Ok(Err(Flaw {
                offset,
                expected: format!("a chunk of {} bytes whose checksum matches", chunk.len()),
            }));
        }
    }
    Ok(Ok(Bytes::from(contents)))
}

/// The place of a chunk goes into its checksum, so that none can stand for another.
fn checksum(seed: u32, nth: usize, chunk: &[u8]) -> [u8; CHECKSUM] {
    let seed = crc32c::crc32c_append(seed, &(nth as u64).to_le_bytes());
    crc32c::crc32c_append(seed, chunk).to_le_bytes()
}

fn offset_of(chunk: usize) -> u64 {
    (HEADER + chunk * (CHUNK + CHECKSUM)) as u64
}

fn length_of_file(size: u64) -> Option<u64> {
    let chunks = size.div_ceil(CHUNK as u64);
    size.checked_add(chunks * CHECKSUM as u64)?.checked_add(HEADER as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;
    use skein_machine::wire::VERSION;
    use skein_machine::{ClusterId, ProcessId};

    const IDENTITY: Identity =
        Identity { cluster: ClusterId(7), process: ProcessId(3), birth: 5, incarnation: 0, forgets: false };

    fn written(size: usize) -> (Ram, Vec<u8>) {
        let (ram, contents) = (Ram::default(), (0..size).map(|place| (place / 3) as u8).collect::<Vec<_>>());
        write(&ram, Path::new(""), &IDENTITY, VERSION, 9, &contents).unwrap();
        (ram, contents)
    }

    #[test]
    fn what_was_written_is_read() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK * 2 + 5] {
            let (ram, contents) = written(size);
            let read = read(&ram, Path::new(""), &IDENTITY, 9).unwrap().unwrap();
            assert!(read.bytes == contents && read.version == VERSION, "{size} bytes");
            assert_eq!(ram.list(Path::new("")).unwrap(), ["checkpoint-9"]);
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let flaw = |edit: &dyn Fn(&mut Vec<u8>)| {
            let (ram, _) = written(CHUNK * 2 + 5);
            ram.edit(Path::new("checkpoint-9"), edit);
            read(&ram, Path::new(""), &IDENTITY, 9).unwrap().unwrap_err().offset
        };
        let second = offset_of(1) as usize;
        assert_eq!(flaw(&|bytes| bytes[3] ^= 1), 0);
        assert_eq!(flaw(&|bytes| bytes[second + 77] ^= 1), second as u64);
        assert_eq!(flaw(&|bytes| bytes[second - 1] ^= 1), HEADER as u64);
        assert_eq!(flaw(&|bytes| bytes.truncate(second)), second as u64);
        assert_eq!(flaw(&|bytes| bytes.push(0)), length_of_file(CHUNK as u64 * 2 + 5).unwrap() + 1);
        assert_eq!(flaw(&|bytes| bytes.clear()), 0);
        let swap = |bytes: &mut Vec<u8>| {
            let (one, two) = bytes[HEADER..].split_at_mut(CHUNK + CHECKSUM);
            one.swap_with_slice(&mut two[..CHUNK + CHECKSUM]);
        };
        assert_eq!(flaw(&swap), HEADER as u64, "chunks that changed places");
    }
}
