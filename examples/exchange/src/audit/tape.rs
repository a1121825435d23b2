//! The log: what all tapes together say was taken, place by place.
//!
//! It puts tapes together and holds them against each other, and looks at
//! nothing that is inside of commands and answers.

use super::Fault;
use crate::journal::{Record, records};

/// One command that was taken, and what was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) command: &'a [u8],
    pub(super) answer: &'a [u8],
}

/// The entry of every place, from place 1.
pub(super) fn merge<'a>(tapes: &[&'a [u8]]) -> Result<Vec<Entry<'a>>, Fault> {
    let mut found = Vec::new();
    for (tape, bytes) in tapes.iter().enumerate() {
        for record in records(bytes) {
            let record = record.map_err(|broken| Fault::BrokenTape { tape, broken })?;
            let Record::Took { place, command, answer } = record else { return Err(Fault::ForeignRecord { tape }) };
            if place == 0 {
                return Err(Fault::NoPlace { tape });
            }
            found.push((place, Entry { command, answer }));
        }
    }
    // Each tape is a few rising runs, and this sort knows how to make use of that.
    found.sort_by_key(|(place, _)| *place);
    let mut entries: Vec<Entry<'_>> = Vec::with_capacity(found.len());
    for (nth, (place, entry)) in found.iter().enumerate() {
        let next = entries.len() as u64 + 1;
        if *place == next {
            entries.push(*entry);
        } else if *place > next {
            return Err(Fault::Missing { place: next, after: found.len() - nth });
        } else {
            let known = entries.last().expect("a place before the next one is there");
            if (known.command, known.answer) != (entry.command, entry.answer) {
                return Err(Fault::Disagree { place: *place });
            }
        }
    }
    Ok(entries)
}
