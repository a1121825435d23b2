//! [`check`]: what is in a data directory, for a person to read. It changes
//! nothing, and waits for nobody: a directory in use is refused.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use skein_machine::wire::{VERSION, Version};

use super::scan::{Role, Scan, scan};
use super::segment::{checkpoint_name, segment_name};
use super::{Damage, Torn, WalError};
use crate::data::{Identity, lock, log_folder, read_identity};
use crate::files::{Files, Lock};

/// What is in a data directory.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The directory.
    pub directory: PathBuf,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// The process that it belongs to.
    pub process: u16,
    /// How many lives began without memory.
    pub incarnation: u32,
    /// All segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// All checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointReport>,
    /// How many records are behind the newest whole checkpoint.
    pub records: u64,
    /// The number of the last record that a restart would find.
    pub last_record: u64,
    /// The highest record that is known to have been synced.
    pub synced: u64,
    /// The end that a restart would cut off.
    pub torn: Option<Torn>,
    /// What is wrong.
    pub damage: Option<Damage>,
}

/// A segment of a log.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// The number of its first record; none if its header cannot be read.
    pub first_record: Option<u64>,
    /// The version that it is written in; none if its header cannot be read.
    pub version: Option<Version>,
    /// How many batches were read.
    pub batches: u64,
    /// How many bytes are sound.
    pub sound_bytes: u64,
    /// Whether a checkpoint replaces all of it; then it was not read.
    pub replaced: bool,
}

/// A checkpoint of a log.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointReport {
    /// The file.
    pub file: PathBuf,
    /// The last record that it replaces.
    pub record: u64,
    /// How many bytes it holds; none if it was not read, because it is not whole or a newer one is.
    pub bytes: Option<u64>,
    /// The version that it is written in; none if it was not read.
    pub version: Option<Version>,
    /// What should be where it is not whole.
    pub flaw: Option<String>,
}

impl Report {
    /// Whether everything that was promised is there. A torn end is no harm.
    pub fn is_sound(&self) -> bool {
        self.damage.is_none()
    }
}

/// Looks at a data directory that nobody uses.
pub fn check(files: &dyn Files, directory: &Path) -> Result<Report, WalError> {
    let identity = read_identity(files, directory)?;
    // Held until the end, so that nobody begins to write meanwhile.
    let _lock = lock(files, directory, Lock::ToRead)?;
    let folder = log_folder(directory);
    let scan = scan(files, &folder, &identity, false)?;
    Ok(report(directory, &folder, &identity, scan))
}

fn report(directory: &Path, folder: &Path, identity: &Identity, scan: Scan) -> Report {
    let segment = |segment: &super::scan::Segment| SegmentReport {
        file: folder.join(segment_name(segment.number)),
        first_record: segment.header.ok().map(|header| header.record),
        version: segment.header.ok().map(|header| header.version),
        batches: segment.batches,
        sound_bytes: segment.end,
        replaced: segment.role == Role::Replaced,
    };
    let whole = |record: &u64| scan.checkpoint.as_ref().filter(|(whole, _)| whole == record).map(|(_, whole)| whole);
    let checkpoint = |record: &u64| CheckpointReport {
        file: folder.join(checkpoint_name(*record)),
        record: *record,
        bytes: whole(record).map(|whole| whole.bytes.len() as u64),
        version: whole(record).map(|whole| whole.version),
        flaw: scan
            .flawed
            .iter()
            .find(|(flawed, _)| flawed == record)
            .map(|(_, flaw)| format!("{} at byte {}", flaw.expected, flaw.offset)),
    };
    Report {
        directory: directory.to_owned(),
        cluster: identity.cluster.to_string(),
        process: identity.process.0,
        incarnation: identity.incarnation,
        segments: scan.segments.iter().map(segment).collect(),
        checkpoints: scan.checkpoints.iter().map(checkpoint).collect(),
        records: scan.count,
        last_record: scan.last,
        synced: scan.synced,
        torn: scan.torn,
        damage: scan.damage,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { directory, cluster, process, incarnation, .. } = self;
        writeln!(f, "{}: p{process} of cluster {cluster}", directory.display())?;
        if *incarnation > 0 {
            writeln!(f, "  its memory was lost before; incarnation {incarnation}")?;
        }
        for checkpoint in &self.checkpoints {
            writeln!(f, "  {checkpoint}")?;
        }
        for segment in &self.segments {
            writeln!(f, "  {segment}")?;
        }
        let (records, last) = (self.records, self.last_record);
        writeln!(f, "  {records} records behind the checkpoint, the last is {last}; synced up to {}", self.synced)?;
        if let Some(torn) = &self.torn {
            writeln!(f, "  {torn}; the next start cuts it off")?;
        }
        match &self.damage {
            None => f.write_str("sound"),
            Some(damage) => write!(f, "damaged: {damage}"),
        }
    }
}

impl fmt::Display for CheckpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: replaces the records up to {}", name(&self.file), self.record)?;
        match (self.bytes, &self.flaw) {
            (Some(bytes), _) => {
                write!(f, ", {bytes} bytes")?;
                match self.version.filter(|version| *version != VERSION) {
                    Some(version) => write!(f, " in version {version}"),
                    None => Ok(()),
                }
            }
            (None, Some(flaw)) => write!(f, ", not whole: expected {flaw}"),
            (None, None) => f.write_str(", replaced itself by a newer one"),
        }
    }
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", name(&self.file))?;
        match self.first_record {
            None => return f.write_str("its header cannot be read"),
            Some(first) => write!(f, "from record {first} on, ")?,
        }
        if let Some(version) = self.version.filter(|version| *version != VERSION) {
            write!(f, "in version {version}, ")?;
        }
        if self.replaced {
            return f.write_str("replaced by a checkpoint");
        }
        write!(f, "{} batches in {} sound bytes", self.batches, self.sound_bytes)
    }
}

fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    file.file_name().unwrap_or_default().to_string_lossy()
}
