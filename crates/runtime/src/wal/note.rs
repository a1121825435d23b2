//! [`Note`]: a small file that says up to which record everything is synced.
//! It is written behind each sync and not synced itself: it outlives the
//! process, and after the machine died it says too little, never too much.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::segment::NOTE;
use crate::data::Identity;
use crate::files::{Failure, Files, OpenFile, Operation};

const MAGIC: [u8; 8] = *b"SKEINSYN";
const LENGTH: usize = 28;

/// The note of an open log. Threads share it.
#[derive(Debug)]
pub(crate) struct Note {
    files: Arc<dyn Files>,
    path: PathBuf,
    file: Arc<dyn OpenFile>,
    identity: Identity,
    /// What it says. Locked while it is written, so that it never falls.
    said: Mutex<u64>,
}

impl Note {
    /// Opens the note of a log of which everything up to `synced` is, and makes it say so, durably.
    /// The name of a new one is durable once the folder is synced.
    pub(crate) fn open(files: Arc<dyn Files>, folder: &Path, identity: Identity, synced: u64) -> Result<Note, Failure> {
        let path = folder.join(NOTE);
        let file = files.open(&path).or_else(|_| files.create(&path));
        let file = file.map_err(Failure::of(&*files, Operation::Create, &path))?;
        let note = Note { files, path, file, identity, said: Mutex::new(0) };
        note.file.set_length(LENGTH as u64).map_err(note.fails(Operation::Cut))?;
        note.write(synced)?;
        note.sync()?;
        *note.said.lock().expect("nobody panics while writing a note") = synced;
        Ok(note)
    }

    /// Says that everything up to `synced` is.
    pub(crate) fn raise(&self, synced: u64) -> Result<(), Failure> {
        let mut said = self.said.lock().expect("nobody panics while writing a note");
        if synced > *said {
            self.write(synced)?;
            *said = synced;
        }
        Ok(())
    }

    /// Makes it durable too. Needed before something is deleted whose absence it must explain.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.file.sync().map_err(self.fails(Operation::Sync))
    }

    fn write(&self, synced: u64) -> Result<(), Failure> {
        self.file.write_at(&[&to_bytes(synced, &self.identity)], 0).map_err(self.fails(Operation::Write))
    }

    fn fails(&self, operation: Operation) -> impl FnOnce(std::io::Error) -> Failure {
        Failure::of(&*self.files, operation, &self.path)
    }
}

/// How a note is laid out: magic, birth of the directory, number, checksum.
pub(crate) fn to_bytes(synced: u64, identity: &Identity) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&identity.birth.to_le_bytes());
    bytes[16..24].copy_from_slice(&synced.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What a note says, if it can be read and is of this directory.
pub(crate) fn read(bytes: &[u8], identity: &Identity) -> Option<u64> {
    let synced = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    (to_bytes(synced, identity) == *bytes).then_some(synced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;
    use skein_machine::{ClusterId, ProcessId};

    #[test]
    fn it_never_falls_and_no_bit_of_it_changes_unnoticed() {
        let identity =
            Identity { cluster: ClusterId(7), process: ProcessId(3), birth: 5, incarnation: 0, forgets: false };
        let ram = Ram::default();
        let note = Note::open(Arc::new(ram.clone()), Path::new(""), identity, 7).unwrap();
        note.raise(9).unwrap();
        note.raise(8).unwrap();
        let mut bytes = vec![0; 100];
        let length = ram.open(Path::new(NOTE)).unwrap().read_at(&mut bytes, 0).unwrap();
        bytes.truncate(length);
        assert_eq!(read(&bytes, &identity), Some(9));
        assert_eq!(read(&bytes, &Identity { birth: 6, ..identity }), None);
        for place in 0..bytes.len() * 8 {
            bytes[place / 8] ^= 1 << (place % 8);
            assert_eq!(read(&bytes, &identity), None, "bit {place}");
            bytes[place / 8] ^= 1 << (place % 8);
        }
    }
}
