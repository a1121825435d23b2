//! What a tormented replica writes down: everything that its machine tells its
//! user, a line each, with the moment. A line is written before anybody hears of
//! it, and stays when the process is killed, so unlike a client a journal misses
//! nothing. A life has a file of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use skein_machine::{Delivery, MessageId, Multicast, Position, ProcessId, Timestamp, Up};

/// Nanoseconds on a clock that never jumps, and is the same for all processes of this machine: what happens because of
/// something else has a later one.
pub(crate) fn moment() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Where a replica writes its journal, below the folder of a life.
pub(crate) fn file_of(folder: &Path, process: ProcessId) -> PathBuf {
    folder.join(format!("{process}.journal"))
}

/// Something that a replica said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Delivered(Delivery),
    Installed(Position),
    Done(MessageId, Timestamp),
    Expired(MessageId),
    SafeTime(Timestamp),
}

/// The journal of one life, as it is written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    line: String,
}

impl Journal {
    pub(crate) fn begin(folder: &Path, process: ProcessId) -> Result<Journal, String> {
        let path = file_of(folder, process);
        let file = File::create_new(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Journal { file, line: String::new() })
    }

    pub(crate) fn write(&mut self, event: &Up) {
        let said = match event {
            Up::Deliver(delivery) => Said::Delivered(delivery.clone()),
            Up::Install { position, .. } => Said::Installed(*position),
            Up::Done { id, timestamp } => Said::Done(*id, *timestamp),
            Up::Expired(id) => Said::Expired(*id),
            Up::SafeTime(timestamp) => Said::SafeTime(*timestamp),
            Up::Settled(_) | Up::Busy(_) | Up::WantCheckpoint | Up::ReadPoint { .. } => return,
        };
        self.line.clear();
        said.write_line(moment(), &mut self.line);
        // One write for a line: a kill leaves it whole, or at worst without its end.
        self.file.write_all(self.line.as_bytes()).expect("the folder of torture takes what is written");
    }
}

impl Said {
    pub(crate) fn write_line(&self, moment: u64, line: &mut String) {
        let written = match self {
            Said::Delivered(Delivery { position, timestamp, message }) => {
                let Multicast { id, floor, expiry, payload } = message;
                let (session, sequence, groups) = (id.session.0, id.sequence, id.destinations.bits());
                let words = format_args!("{moment} deliver {position} {timestamp} {session} {sequence}");
                let begun = write!(line, "{words} {groups} {floor} {expiry} ");
                begun.and_then(|()| payload.iter().try_for_each(|byte| write!(line, "{byte:02x}")))
            }
            Said::Installed(position) => write!(line, "{moment} install {position}"),
            Said::Done(id, at) => {
                write!(line, "{moment} done {} {} {} {at}", id.session.0, id.sequence, id.destinations.bits())
            }
            Said::Expired(id) => {
                write!(line, "{moment} expired {} {} {}", id.session.0, id.sequence, id.destinations.bits())
            }
            Said::SafeTime(at) => write!(line, "{moment} safe {at}"),
        };
        written.expect("a string takes what is written");
        line.push('\n');
    }

    fn from_line(line: &str) -> Option<(u64, Said)> {
        let mut words = line.split(' ');
        let moment = number(words.next())?;
        let verb = words.next()?;
        let mut next = || number(words.next());
        let said = match verb {
            "deliver" => {
                let (position, timestamp) = (next()?, Timestamp(next()?));
                let id = MessageId::new(next()?, next()?, next()?);
                let (floor, expiry) = (Timestamp(next()?), Timestamp(next()?));
                let payload = from_hex(words.next()?)?;
                let message = Multicast { id, floor, expiry, payload };
                Said::Delivered(Delivery { position, timestamp, message })
            }
            "install" => Said::Installed(next()?),
            "done" => Said::Done(MessageId::new(next()?, next()?, next()?), Timestamp(next()?)),
            "expired" => Said::Expired(MessageId::new(next()?, next()?, next()?)),
            "safe" => Said::SafeTime(Timestamp(next()?)),
            _ => return None,
        };
        Some((moment, said))
    }
}

fn number(word: Option<&str>) -> Option<u64> {
    word?.parse().ok()
}

fn from_hex(word: &str) -> Option<Bytes> {
    let digits = word.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// Reads the journal of one life while it may still be written.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    /// Not yet there is a replica that has not begun.
    file: Option<BufReader<File>>,
    /// A line of which the end is not there yet.
    line: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(path: PathBuf) -> Reader {
        Reader { path, file: None, line: Vec::new() }
    }

    /// The next thing that was said, if it is there already.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Said)>, String> {
        let fails = |error| format!("cannot read {}: {error}", self.path.display());
        if self.file.is_none() {
            match File::open(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => self.file = Some(BufReader::new(opened.map_err(fails)?)),
            }
        }
        let file = self.file.as_mut().expect("it was just opened");
        file.read_until(b'\n', &mut self.line).map_err(fails)?;
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            return Ok(None);
        }
        let said = std::str::from_utf8(&self.line).ok().and_then(Said::from_line);
        let said = said.ok_or_else(|| format!("{} makes no sense at {:?}", self.path.display(), self.line))?;
        self.line.clear();
        Ok(Some(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_and_half_a_line_waits_for_its_end() {
        let message = Multicast {
            id: MessageId::new(1, 2, 0b11),
            floor: Timestamp(3),
            expiry: Timestamp::MAX,
            payload: Bytes::from_static(b"\x00 set x"),
        };
        let delivery = |payload| {
            let message = Multicast { payload, ..message.clone() };
            Said::Delivered(Delivery { position: 4, timestamp: Timestamp(5), message })
        };
        let all = [
            Said::Installed(7),
            delivery(message.payload.clone()),
            delivery(Bytes::new()),
            Said::Done(message.id, Timestamp(8)),
            Said::Expired(message.id),
            Said::SafeTime(Timestamp(9)),
        ];
        let folder = std::env::temp_dir().join(format!("skein-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut reader = Reader::new(folder.join("a"));
        assert_eq!(reader.next().unwrap(), None, "nobody has begun");
        let mut file = File::create(folder.join("a")).unwrap();
        for (said, moment) in all.into_iter().zip(1..) {
            let mut line = String::new();
            said.write_line(moment, &mut line);
            let (half, rest) = line.as_bytes().split_at(line.len() / 2);
            file.write_all(half).unwrap();
            assert_eq!(reader.next().unwrap(), None);
            file.write_all(rest).unwrap();
            assert_eq!(reader.next().unwrap(), Some((moment, said)));
            assert_eq!(reader.next().unwrap(), None);
        }
        file.write_all(b"nonsense\n").unwrap();
        assert!(reader.next().is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
