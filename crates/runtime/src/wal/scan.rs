//! [`Scan`]: what the files of a log hold, and what is wrong with them. It
//! changes nothing and believes no length before it is checked.
//!
//! Reading goes from the newest whole checkpoint through the segments behind
//! it, as long as every batch is sound and continues the numbers. What comes
//! after is a torn tail if nothing says that it had been synced: neither the
//! note, nor the header of any batch, nor the name of a checkpoint. Otherwise
//! it is damage.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_machine::wire::{VERSION, Version};

use super::batch;
use super::checkpoint;
use super::segment::{self, Header, Kind, NOTE, Name, checkpoint_name, segment_name};
use super::window::Window;
use super::{Damage, Torn, WalError, Written, note};
use crate::data::Identity;
use crate::files::{Failure, Files, Operation, is_blank};

/// What is done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A checkpoint replaces all of it.
    Replaced,
    /// It is read to its end.
    Sound,
    /// It is read to where the log is torn or damaged, or lies behind that.
    Broken,
}

/// A segment that was found.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) header: Result<Header, segment::Flaw>,
    pub(crate) role: Role,
    pub(crate) length: u64,
    /// What is sound of it ends here.
    pub(crate) end: u64,
    pub(crate) batches: u64,
    /// From here on nobody knows whether it is synced.
    pub(crate) unsure_from: Option<u64>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// All segments, in order.
    pub(crate) segments: Vec<Segment>,
    /// All checkpoints, oldest first.
    pub(crate) checkpoints: Vec<u64>,
    /// Those newer than the newest whole one.
    pub(crate) flawed: Vec<(u64, checkpoint::Flaw)>,
    pub(crate) checkpoint: Option<(u64, Written)>,
    /// The records behind the checkpoint, unless they were not wanted.
    pub(crate) records: Vec<Written>,
    pub(crate) count: u64,
    /// The number of the last sound record, or of the checkpoint.
    pub(crate) last: u64,
    /// What the note says.
    pub(crate) note: Option<u64>,
    /// The highest record that anything says was synced.
    pub(crate) synced: u64,
    pub(crate) torn: Option<Torn>,
    pub(crate) damage: Option<Damage>,
}

/// Where reading had to stop.
struct Break {
    /// Which segment.
    place: usize,
    offset: u64,
    expected: String,
}

struct Scanner<'a> {
    files: &'a dyn Files,
    folder: &'a Path,
    identity: &'a Identity,
    keeps_records: bool,
    found: Scan,
}

/// Looks at all files of the log in `folder`.
pub(crate) fn scan(
    files: &dyn Files,
    folder: &Path,
    identity: &Identity,
    keeps_records: bool,
) -> Result<Scan, WalError> {
    let mut scanner = Scanner { files, folder, identity, keeps_records, found: Scan::default() };
    scanner.look_around()?;
    scanner.read_checkpoint()?;
    let stop = scanner.read_segments()?;
    scanner.judge(stop.as_ref())?;
    Ok(scanner.found)
}

impl Scanner<'_> {
    fn look_around(&mut self) -> Result<(), WalError> {
        let mut names = match self.files.list(self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(Failure::of(self.files, Operation::List, self.folder))?,
        };
        names.sort();
        for name in names {
            match Name::of(&name) {
                Name::Segment(number) => {
                    let segment = self.find_segment(number)?;
                    self.found.segments.push(segment);
                }
                Name::Checkpoint(record) => self.found.checkpoints.push(record),
                Name::Note => self.read_note()?,
                Name::Unfinished | Name::Strange => {}
            }
        }
        self.found.segments.sort_by_key(|segment| segment.number);
        self.found.checkpoints.sort_unstable();
        Ok(())
    }

    fn find_segment(&self, number: u64) -> Result<Segment, WalError> {
        let mut window = self.open(number)?;
        let length = window.length();
        let header = window.at(0, segment::HEADER).map_err(|error| self.cannot_read(number, error))?;
        let mut header = Header::read(Kind::Segment, header, self.identity);
        if let Err(segment::Flaw::Newer { version }) = header {
            return Err(WalError::Newer { file: self.path(number), version });
        }
        if header.is_ok_and(|header| header.size != number) {
            header = Err(segment::Flaw::Foreign);
        }
        Ok(Segment { number, header, role: Role::Replaced, length, end: 0, batches: 0, unsure_from: None })
    }

    fn read_note(&mut self) -> Result<(), WalError> {
        let path = self.folder.join(NOTE);
        let fails = |operation| Failure::of(self.files, operation, &path);
        let file = self.files.open_to_read(&path).map_err(fails(Operation::Open))?;
        let mut bytes = [0; 64];
        let length = file.read_at(&mut bytes, 0).map_err(fails(Operation::Read))?;
        self.found.note = note::read(&bytes[..length], self.identity);
        self.found.synced = self.found.note.unwrap_or(0);
        Ok(())
    }

    /// Reads the newest checkpoint that is whole.
    fn read_checkpoint(&mut self) -> Result<(), WalError> {
        for record in self.found.checkpoints.clone().into_iter().rev() {
            match checkpoint::read(self.files, self.folder, self.identity, record)? {
                Ok(contents) => {
                    self.found.checkpoint = Some((record, contents));
                    self.found.last = record;
                    break;
                }
                // It has its name, so it had been synced.
                Err(flaw) => {
                    self.found.synced = self.found.synced.max(record);
                    self.found.flawed.push((record, flaw));
                }
            }
        }
        Ok(())
    }

    fn replaced(&self) -> u64 {
        self.found.checkpoint.as_ref().map_or(0, |(record, _)| *record)
    }

    /// Reads all segments that the checkpoint does not replace, as far as they are sound.
    fn read_segments(&mut self) -> Result<Option<Break>, WalError> {
        let replaced = self.replaced();
        let continues = |segment: &Segment| segment.header.is_ok_and(|header| header.record <= replaced + 1);
        let Some(start) = self.found.segments.iter().rposition(continues) else {
            return Ok(self.find_hole_at_the_start(replaced));
        };
        let mut expected = self.found.segments[start].header.map_or(1, |header| header.record);
        for place in start..self.found.segments.len() {
            let stop = match self.misfit(place, start, expected) {
                Some(what) => Some((0, what)),
                None => self.read_segment(place, &mut expected)?,
            };
            self.found.last = self.found.last.max(expected - 1);
            if let Some((offset, expected)) = stop {
                return Ok(Some(Break { place, offset, expected }));
            }
            self.found.segments[place].role = Role::Sound;
        }
        Ok(None)
    }

    /// No segment continues the checkpoint. The first one may have been torn as it was created.
    fn find_hole_at_the_start(&mut self, replaced: u64) -> Option<Break> {
        let segments = &self.found.segments;
        let first = segments.first()?;
        let later = segments.iter().position(|segment| segment.header.is_ok());
        let expected = match replaced {
            0 => "the log's beginning, or a checkpoint that replaces what is missing,".to_owned(),
            _ => format!("record {}, which follows the checkpoint,", replaced + 1),
        };
        // Nothing is ever taken away before the note, durably, says up to where it was synced. So with
        // a note we know what is missing; without one, it may be everything.
        if self.found.note.is_none() && (later.is_some() || (replaced == 0 && first.number != 1)) {
            let file = self.path(segments[later.unwrap_or(0)].number);
            let synced = self.found.synced;
            self.found.damage = Some(Damage { file, offset: 0, expected, sound: replaced, synced });
        }
        Some(Break { place: 0, offset: 0, expected: "the header of a segment of this directory".to_owned() })
    }

    /// What is wrong with a segment from outside.
    fn misfit(&self, place: usize, start: usize, expected: u64) -> Option<String> {
        let segments = &self.found.segments;
        if place > start && segments[place].number != segments[place - 1].number + 1 {
            return Some(format!("{}, which is missing,", segment_name(segments[place - 1].number + 1)));
        }
        match segments[place].header {
            Err(_) => Some("the header of a segment of this directory".to_owned()),
            Ok(header) if header.record != expected => Some(format!("a segment that begins with record {expected}")),
            Ok(_) => None,
        }
    }

    /// Reads one segment; answers where it is not sound, and what should be there.
    fn read_segment(&mut self, place: usize, expected: &mut u64) -> Result<Option<(u64, String)>, WalError> {
        let number = self.found.segments[place].number;
        let seed = segment::seed(Kind::Segment, number, self.identity);
        let version = self.found.segments[place].header.map_or(VERSION, |header| header.version);
        let mut window = self.open(number)?;
        let mut offset = segment::HEADER as u64;
        let flaw = loop {
            self.found.segments[place].end = offset;
            let bytes = window.at(offset, batch::HEADER).map_err(|error| self.cannot_read(number, error))?;
            if is_blank(bytes) {
                break None;
            }
            let Some(header) = batch::Header::read(bytes, seed) else {
                break Some(format!("a batch that begins with record {expected}"));
            };
            if let Some(what) = self.misfit_of_batch(&header, *expected, window.length() - offset) {
                break Some(what);
            }
            let body = window.at(offset + batch::HEADER as u64, header.length as usize);
            let body = Bytes::copy_from_slice(body.map_err(|error| self.cannot_read(number, error))?);
            if let Err(what) = self.take(&header, &body, seed, version) {
                break Some(format!("a batch {what}"));
            }
            *expected += u64::from(header.count);
            let segment = &mut self.found.segments[place];
            segment.batches += 1;
            if *expected - 1 > self.found.note.unwrap_or(0) && segment.unsure_from.is_none() {
                segment.unsure_from = Some(offset);
            }
            self.found.synced = self.found.synced.max(header.synced);
            offset += (batch::HEADER + body.len()) as u64;
        };
        if flaw.is_some() {
            return Ok(flaw.map(|what| (offset, what)));
        }
        // Zeros may be a batch that never arrived; then there is something behind them.
        let remains = self.look_behind(&mut window, number, offset)?;
        Ok(remains.map(|_| (offset, format!("a batch that begins with record {expected}"))))
    }

    /// What is wrong with a batch whose header is sound, before its body is read.
    fn misfit_of_batch(&self, header: &batch::Header, expected: u64, left: u64) -> Option<String> {
        if header.first != expected || header.count == 0 || header.first.checked_add(u64::from(header.count)).is_none()
        {
            return Some(format!("a batch that begins with record {expected}"));
        }
        if u64::from(header.length) > left - batch::HEADER as u64 {
            return Some(format!("a batch of {} bytes", header.length));
        }
        if header.begins_with_checkpoint && header.first > self.replaced() {
            return Some(format!("a record that is not behind the missing {}", checkpoint_name(header.first)));
        }
        None
    }

    fn take(&mut self, header: &batch::Header, body: &Bytes, seed: u32, version: Version) -> Result<(), &'static str> {
        let replaced = self.replaced();
        let (found, keeps_records) = (&mut self.found, self.keeps_records);
        header.records(body, seed, |number, bytes| {
            if number > replaced {
                found.count += 1;
                if keeps_records {
                    found.records.push(Written { version, bytes });
                }
            }
        })
    }

    /// Looks for anything that is not blank from `offset` on, and answers
    /// where it ends. Headers of batches say what had been synced.
    fn look_behind(&mut self, window: &mut Window, number: u64, offset: u64) -> Result<Option<u64>, WalError> {
        const STEP: usize = 1 << 16;
        let seed = segment::seed(Kind::Segment, number, self.identity);
        let (mut at, mut end) = (offset, None);
        while at < window.length() {
            let bytes = window.at(at, STEP + batch::HEADER).map_err(|error| self.cannot_read(number, error))?;
            if bytes.is_empty() {
                break;
            }
            if !is_blank(bytes) {
                end = bytes.iter().rposition(|byte| *byte != 0).map(|last| at + last as u64 + 1);
                let starts = bytes.windows(batch::MAGIC.len()).enumerate().filter(|(_, four)| *four == batch::MAGIC);
                let headers = starts.filter_map(|(start, _)| batch::Header::read(&bytes[start..], seed));
                let synced = headers.map(|header| header.synced).max();
                self.found.synced = self.found.synced.max(synced.unwrap_or(0));
            }
            at += STEP as u64;
        }
        Ok(end)
    }

    /// Torn or damaged, or neither.
    fn judge(&mut self, stop: Option<&Break>) -> Result<(), WalError> {
        let torn = match stop {
            Some(stop) => self.look_behind_all(stop)?,
            None => None,
        };
        let Scan { last, synced, .. } = self.found;
        if self.found.damage.is_none() && synced <= last {
            self.found.torn = torn;
            return Ok(());
        }
        let flawed = self.found.flawed.iter().find(|(record, _)| *record > last);
        let (file, offset, expected) = match (flawed, stop) {
            (Some((record, flaw)), _) => {
                (self.folder.join(checkpoint_name(*record)), flaw.offset, flaw.expected.clone())
            }
            (None, _) if self.found.damage.is_some() => return Ok(()),
            (None, Some(stop)) => {
                (self.path(self.found.segments[stop.place].number), stop.offset, stop.expected.clone())
            }
            (None, None) => {
                let end = self.found.segments.last().map(|segment| (self.path(segment.number), segment.end));
                let (file, offset) = end.unwrap_or((self.folder.to_owned(), 0));
                (file, offset, format!("record {}", last + 1))
            }
        };
        self.found.damage = Some(Damage { file, offset, expected, sound: last, synced });
        Ok(())
    }

    /// Everything behind a break, in all segments. Nothing if it is blank.
    fn look_behind_all(&mut self, stop: &Break) -> Result<Option<Torn>, WalError> {
        let mut bytes = 0;
        for place in stop.place..self.found.segments.len() {
            let segment = &mut self.found.segments[place];
            segment.role = Role::Broken;
            let (number, from) = (segment.number, if place == stop.place { stop.offset } else { 0 });
            let mut window = self.open(number)?;
            let end = self.look_behind(&mut window, number, from)?;
            bytes += end.map_or(0, |end| end - from);
        }
        let file = self.path(self.found.segments[stop.place].number);
        Ok((bytes > 0).then_some(Torn { file, offset: stop.offset, bytes }))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(segment_name(number))
    }

    fn open(&self, number: u64) -> Result<Window, WalError> {
        let path = self.path(number);
        let file = self.files.open_to_read(&path).and_then(Window::new);
        Ok(file.map_err(Failure::of(self.files, Operation::Open, &path))?)
    }

    fn cannot_read(&self, number: u64, error: io::Error) -> Failure {
        Failure::new(self.files, Operation::Read, &self.path(number), error)
    }
}
