//! Settling a log before it goes on: what is torn is cut off, what may not be
//! synced is made so, what a checkpoint replaces is taken away. It is called
//! for a log without damage only, and begins again from the front if the power
//! goes in the middle.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::note::Note;
use super::scan::{Role, Scan, Segment};
use super::segment::{Name, UNFINISHED, segment_name};
use crate::data::Identity;
use crate::files::{Failure, Files, OpenFile, Operation};

/// A log that can go on.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) note: Note,
    /// Every segment's number and first record, oldest first.
    pub(crate) segments: VecDeque<(u64, u64)>,
    pub(crate) next_number: u64,
}

/// Makes of the files exactly what was read of them, durably.
pub(crate) fn settle(
    files: &Arc<dyn Files>,
    folder: &Path,
    identity: Identity,
    scan: &Scan,
) -> Result<Settled, Failure> {
    create_if_missing(&**files, folder)?;
    let mut segments = VecDeque::new();
    for segment in &scan.segments {
        let path = folder.join(segment_name(segment.number));
        match (segment.role, segment.header) {
            (Role::Replaced, _) => {}
            (_, Ok(header)) if segment.role == Role::Sound || segment.batches > 0 => {
                keep(&**files, &path, segment)?;
                segments.push_back((segment.number, header.record));
            }
            _ => files.remove(&path).map_err(Failure::of(&**files, Operation::Remove, &path))?,
        }
    }
    // Before the note vouches for what is in them, and again for the note's own name.
    let sync_names = || files.sync_folder(folder).map_err(Failure::of(&**files, Operation::Sync, folder));
    sync_names()?;
    let note = Note::open(files.clone(), folder, identity, scan.last)?;
    sync_names()?;
    // Only now that the note explains what is missing.
    clear_away(&**files, folder, scan)?;
    let kept = segments.back().map_or(0, |(number, _)| *number);
    let replaced = scan.segments.iter().filter(|segment| segment.role == Role::Replaced);
    let next_number = replaced.map(|segment| segment.number).fold(kept, u64::max) + 1;
    Ok(Settled { note, segments, next_number })
}

fn create_if_missing(files: &dyn Files, folder: &Path) -> Result<(), Failure> {
    match files.create_folder(folder) {
        Ok(()) => {
            let parent = folder.parent().unwrap_or(Path::new(""));
            files.sync_folder(parent).map_err(Failure::of(files, Operation::Sync, parent))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Failure::new(files, Operation::Create, folder, error)),
    }
}

/// Cuts a segment where its sound part ends, and makes all of that durable.
fn keep(files: &dyn Files, path: &Path, segment: &Segment) -> Result<(), Failure> {
    let fails = |operation| Failure::of(files, operation, path);
    let file = files.open(path).map_err(fails(Operation::Open))?;
    if segment.length > segment.end {
        file.set_length(segment.end).map_err(fails(Operation::Cut))?;
    }
    if let Some(from) = segment.unsure_from {
        write_again(&*file, from, segment.end).map_err(fails(Operation::Write))?;
    }
    file.sync().map_err(fails(Operation::Sync))
}

/// A process whose sync failed may have died of it, and the system then takes
/// for written what never reached the disk. Written again, it has to.
fn write_again(file: &dyn OpenFile, from: u64, end: u64) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let mut buffer = vec![0; STEP.min(end - from) as usize];
    let mut at = from;
    while at < end {
        let step = &mut buffer[..STEP.min(end - at) as usize];
        let read = file.read_at(step, at)?;
        if read < step.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&[step], at)?;
        at += step.len() as u64;
    }
    Ok(())
}

fn clear_away(files: &dyn Files, folder: &Path, scan: &Scan) -> Result<(), Failure> {
    let newest = scan.checkpoint.as_ref().map_or(0, |(record, _)| *record);
    let replaced =
        |number| scan.segments.iter().any(|segment| segment.number == number && segment.role == Role::Replaced);
    for name in files.list(folder).map_err(Failure::of(files, Operation::List, folder))? {
        let is_old = match Name::of(&name) {
            Name::Segment(number) => replaced(number),
            Name::Checkpoint(record) => record < newest,
            Name::Unfinished => name == UNFINISHED,
            Name::Note | Name::Strange => false,
        };
        if is_old {
            let path = folder.join(name);
            files.remove(&path).map_err(Failure::of(files, Operation::Remove, &path))?;
        }
    }
    Ok(())
}
