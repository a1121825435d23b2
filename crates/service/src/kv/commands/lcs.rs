//! The longest common subsequence of two strings.

use alloc::vec;
use alloc::vec::Vec;

use crate::kv::answer::Answer;
use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;

/// The most cells of the table that it needs, a product of two lengths: four
/// bytes each and some nanoseconds, in a replica that everybody waits for.
const MAX_CELLS: usize = 1 << 24;

pub(crate) fn lcs(context: &mut Context<'_>) -> Result<(), Failure> {
    let args = context.args;
    let text = |key: &[u8]| match context.store.read::<Blob>(key) {
        Ok(blob) => Ok(blob.map_or_else(Vec::new, |blob| blob.bytes().to_vec())),
        Err(_) => Err(Failure::of("ERR The specified keys must contain string values")),
    };
    let (one, other) = (text(args[1])?, text(args[2])?);
    let (mut indexes, mut length_only, mut lengths, mut shortest) = (false, false, false, 0);
    let mut place = 3;
    while place < args.len() {
        if context.is(place, "IDX") {
            indexes = true;
        } else if context.is(place, "LEN") {
            length_only = true;
        } else if context.is(place, "WITHMATCHLEN") {
            lengths = true;
        } else if context.is(place, "MINMATCHLEN") && place + 1 < args.len() {
            place += 1;
            shortest = context.integer(place)?.max(0);
        } else {
            return Err(Failure::SYNTAX);
        }
        place += 1;
    }
    if indexes && length_only {
        return Err(Failure::of("ERR If you want both the length and indexes, please just use IDX."));
    }
    let table = Table::new(&one, &other)?;
    let total = table.at(one.len(), other.len());
    if length_only {
        context.answer.count(total as usize);
        return Ok(());
    }
    let (common, matches) = table.trace(&one, &other);
    if !indexes {
        context.answer.bulk(&common);
        return Ok(());
    }
    let kept: Vec<&Match> = matches.iter().filter(|found| found.length as i64 >= shortest).collect();
    context.answer.map(2);
    context.answer.bulk(b"matches");
    context.answer.array(kept.len());
    for found in kept {
        found.write(context.answer, lengths);
    }
    context.answer.bulk(b"len");
    context.answer.count(total as usize);
    Ok(())
}

struct Match {
    one: usize,
    other: usize,
    length: usize,
}

impl Match {
    fn write(&self, answer: &mut Answer, lengths: bool) {
        answer.array(if lengths { 3 } else { 2 });
        for start in [self.one, self.other] {
            answer.array(2);
            answer.count(start);
            answer.count(start + self.length - 1);
        }
        if lengths {
            answer.count(self.length);
        }
    }
}

struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(one: &[u8], other: &[u8]) -> Result<Table, Failure> {
        let width = other.len() + 1;
        let size = width.saturating_mul(one.len() + 1);
        if size > MAX_CELLS {
            return Err(Failure::of("ERR Insufficient memory, failed allocating transient memory for LCS"));
        }
        let mut cells = vec![0; size];
        for (row, left) in one.iter().enumerate() {
            for (column, right) in other.iter().enumerate() {
                let here = (row + 1) * width + column + 1;
                cells[here] =
                    if left == right { cells[here - width - 1] + 1 } else { cells[here - width].max(cells[here - 1]) };
            }
        }
        Ok(Table { cells, width })
    }

    fn at(&self, one: usize, other: usize) -> u32 {
        self.cells[one * self.width + other]
    }

    /// Goes back from the end, as Redis does, so that of several answers it is the same.
    fn trace(&self, one: &[u8], other: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut row, mut column) = (one.len(), other.len());
        let mut common = Vec::new();
        let mut matches: Vec<Match> = Vec::new();
        let mut open = false;
        while row > 0 && column > 0 {
            if one[row - 1] == other[column - 1] {
                row -= 1;
                column -= 1;
                common.push(one[row]);
                match matches.last_mut() {
                    Some(last) if open => {
                        last.one = row;
                        last.other = column;
                        last.length += 1;
                    }
                    _ => matches.push(Match { one: row, other: column, length: 1 }),
                }
                open = true;
            } else {
                open = false;
                if self.at(row - 1, column) > self.at(row, column - 1) { row -= 1 } else { column -= 1 }
            }
        }
        common.reverse();
        (common, matches)
    }
}
