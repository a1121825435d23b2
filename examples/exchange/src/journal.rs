//! A journal: what somebody saw of the exchange, written down as it happened.
//!
//! Two kinds of people keep one, in one format. **Clients** (or whoever speaks
//! for them) note a command before they say it and an answer when they have
//! heard it; asking the same again is not noted. A **replica** notes every
//! command that used up a number, with its place among all such commands and
//! the answer: that is its *tape*. Places make tapes of several lives and of
//! several replicas fit together: where two speak of one place they must agree,
//! and what a replica misses that was killed or began from a snapshot, another
//! one has.
//!
//! Records lie one behind the other and say by themselves how long they are.
//! Whoever is killed leaves a torn end, which is cut off; a file that is broken
//! in the middle is refused. Nothing here judges.

use std::fmt;

use crate::words::{COMMAND_BYTES, HEADER_BYTES, length_of};

const ASKED: u8 = 1;
const TOLD: u8 = 2;
const TOOK: u8 = 3;

/// Something that was noted. Commands and answers are bytes as they travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A client is about to say this for the first time.
    Asked(&'a [u8]),
    /// A client has heard this.
    Told(&'a [u8]),
    /// A replica has applied this.
    Took {
        /// How many commands had used up a number, this one counted.
        place: u64,
        /// The command.
        command: &'a [u8],
        /// The answer.
        answer: &'a [u8],
    },
}

impl Record<'_> {
    /// Appends it to a journal.
    pub fn append(&self, journal: &mut Vec<u8>) {
        match self {
            Record::Asked(command) => {
                assert_eq!(command.len(), COMMAND_BYTES, "something else than a command is asked");
                journal.push(ASKED);
                journal.extend_from_slice(command);
            }
            Record::Told(answer) => {
                assert_eq!(length_of(answer), Ok(answer.len()), "something else than an answer is told");
                journal.push(TOLD);
                journal.extend_from_slice(answer);
            }
            Record::Took { place, command, answer } => {
                assert_eq!(command.len(), COMMAND_BYTES, "something else than a command was taken");
                assert_eq!(length_of(answer), Ok(answer.len()), "something else than an answer was given");
                journal.push(TOOK);
                journal.extend_from_slice(&place.to_le_bytes());
                journal.extend_from_slice(command);
                journal.extend_from_slice(answer);
            }
        }
    }
}

/// The records of a journal, from its beginning.
pub fn records(journal: &[u8]) -> Records<'_> {
    Records { journal, at: 0 }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    journal: &'a [u8],
    at: usize,
}

/// A journal that is broken in the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The byte at which a record should begin.
    pub at: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {} there is no record: {}", self.at, self.why)
    }
}

impl<'a> Records<'a> {
    /// The next record and what is behind it; `None` at the end, be it torn or not.
    fn cut(&self) -> Result<Option<(Record<'a>, usize)>, &'static str> {
        let rest = &self.journal[self.at..];
        let Some(kind) = rest.first() else { return Ok(None) };
        let cut = match *kind {
            ASKED => rest.get(1..1 + COMMAND_BYTES).map(|command| (Record::Asked(command), 1 + COMMAND_BYTES)),
            TOLD => answer_at(rest, 1)?.map(|answer| (Record::Told(answer), 1 + answer.len())),
            TOOK => {
                let answer_begins = 1 + 8 + COMMAND_BYTES;
                answer_at(rest, answer_begins)?.map(|answer| {
                    let place = u64::from_le_bytes(rest[1..9].try_into().expect("eight bytes"));
                    (Record::Took { place, command: &rest[9..answer_begins], answer }, answer_begins + answer.len())
                })
            }
            _ => return Err("it is neither asked, nor told, nor taken"),
        };
        Ok(cut)
    }
}

/// The answer that begins there, if all of it is there.
fn answer_at(bytes: &[u8], begins: usize) -> Result<Option<&[u8]>, &'static str> {
    let Some(header) = bytes.get(begins..begins + HEADER_BYTES) else { return Ok(None) };
    let length = length_of(header).map_err(|malformed| malformed.0)?;
    Ok(bytes.get(begins..begins + length))
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.cut() {
            Ok(Some((record, length))) => {
                self.at += length;
                Some(Ok(record))
            }
            Ok(None) => None,
            Err(why) => {
                let broken = Broken { at: self.at, why };
                // Nobody can say where the next record would begin.
                self.at = self.journal.len();
                Some(Err(broken))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Answer, Client, Command, Fill, Instrument, OrderId, Outcome, Why};

    fn answers() -> Vec<Vec<u8>> {
        let order = OrderId::new(Instrument(1), 1);
        let fills = vec![Fill { maker: order, price: 1, quantity: 1 }; 3];
        let accepted = Outcome::Accepted { order, rests: 0, dropped: 0, fills };
        let outcomes = [accepted, Outcome::Refused(Why::NotOpen)];
        let encode = |outcome| {
            let mut bytes = Vec::new();
            Answer { client: Client(1), sequence: 1, outcome }.encode(&mut bytes);
            bytes
        };
        outcomes.map(encode).to_vec()
    }

    #[test]
    fn a_journal_is_read_as_it_was_written_and_a_torn_end_is_cut_off() {
        let command = Command::Digest.encode();
        let answers = answers();
        let noted = [
            Record::Asked(&command),
            Record::Told(&answers[0]),
            Record::Took { place: 7, command: &command, answer: &answers[0] },
            Record::Told(&answers[1]),
            Record::Took { place: 8, command: &command, answer: &answers[1] },
        ];
        let mut journal = Vec::new();
        let mut ends = vec![0];
        for record in &noted {
            record.append(&mut journal);
            ends.push(journal.len());
        }
        for length in 0..=journal.len() {
            let whole = ends.iter().filter(|end| **end <= length).count() - 1;
            let read: Result<Vec<_>, _> = records(&journal[..length]).collect();
            assert_eq!(read.unwrap(), noted[..whole], "{length} bytes");
        }
    }

    #[test]
    fn a_broken_journal_is_refused() {
        let mut journal = Vec::new();
        Record::Asked(&Command::Digest.encode()).append(&mut journal);
        Record::Told(&answers()[0]).append(&mut journal);
        let mut unknown = journal.clone();
        unknown[25] = 9;
        let read: Vec<_> = records(&unknown).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1], Err(Broken { at: 25, why: "it is neither asked, nor told, nor taken" }));
        journal[26] = 9;
        let why = records(&journal).last().unwrap().unwrap_err().to_string();
        assert_eq!(why, "at byte 25 there is no record: no such kind of answer");
    }
}
