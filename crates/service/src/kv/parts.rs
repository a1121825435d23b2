//! [`join`]: the one reply to a request, of what its partitions answered. It
//! needs the request and the placement and nothing else, so the node where the
//! client is can do it.

use alloc::vec::Vec;

use skein_machine::{GroupId, GroupSet, Reply};

use super::answer::Answer;
use super::commands::ranges::Query;
use super::cursors::CursorName;
use super::failure::Failure;
use super::limits::Limits;
use super::number;
use super::placement::Placement;
use super::request::{Body, Protocol, Request, Transaction};
use super::route::{Plan, Step, Way, home, step};
use super::table::Spread;
use super::xxh64::xxh64;

/// Joins what partitions answered; each answered what [`Kv`](super::Kv) answers.
pub fn join(
    request: &Request<'_>,
    parts: &[(GroupId, Reply)],
    placement: &Placement,
    limits: &Limits,
) -> Result<Reply, Failure> {
    let plan = Plan::of(request, placement, limits)?;
    let parts: Vec<(GroupId, &[u8])> = parts
        .iter()
        .filter(|(group, _)| plan.groups.contains(*group))
        .map(|(group, reply)| (*group, reply.0.as_ref()))
        .collect();
    let told: GroupSet = parts.iter().map(|(group, _)| *group).collect();
    assert!(plan.groups.within(told), "{} were asked and {told} answered", plan.groups);
    let mut answer = Answer::new(request.protocol);
    match (&request.body, plan.way) {
        (_, Way::Single | Way::Values) => answer.raw(parts[0].1),
        (Body::Command(args), _) => {
            let step = step(args, placement, limits)?;
            join_command(&mut answer, args, &step, &parts, placement);
        }
        (Body::Transaction(transaction), _) => {
            join_transaction(&mut answer, transaction, &plan, &parts, placement, limits)?;
        }
    }
    Ok(answer.into_reply())
}

fn join_transaction(
    answer: &mut Answer,
    transaction: &Transaction<'_>,
    plan: &Plan,
    parts: &[(GroupId, &[u8])],
    placement: &Placement,
    limits: &Limits,
) -> Result<(), Failure> {
    // A verdict is the same everywhere, and it is no array of replies.
    if !parts[0].1.starts_with(b"*") || parts[0].1 == b"*-1\r\n" {
        answer.raw(parts[0].1);
        return Ok(());
    }
    let mut left: Vec<(GroupId, Elements<'_>)> =
        parts.iter().map(|(group, part)| (*group, Elements::of(part))).collect();
    let home = home(plan.groups, placement);
    answer.array(transaction.commands.len());
    for args in &transaction.commands {
        let step = step(args, placement, limits)?;
        let concerned = if step.groups.is_empty() { [home].into_iter().collect() } else { step.groups };
        let own: Vec<(GroupId, &[u8])> = left
            .iter_mut()
            .filter(|(group, _)| concerned.contains(*group))
            .map(|(group, elements)| (*group, elements.next().expect("each partition answers what concerns it")))
            .collect();
        join_command(answer, args, &step, &own, placement);
    }
    Ok(())
}

fn join_command(answer: &mut Answer, args: &[&[u8]], step: &Step, parts: &[(GroupId, &[u8])], placement: &Placement) {
    let failed = parts.iter().find(|(_, part)| part.starts_with(b"-"));
    let (Some(command), 2.., None) = (step.command, parts.len(), failed) else {
        answer.raw(failed.unwrap_or(&parts[0]).1);
        return;
    };
    match command.spread {
        Spread::Sum | Spread::AllSum => {
            answer.integer(parts.iter().map(|(_, part)| integer(part)).sum());
        }
        Spread::AllSums => {
            let rows: Vec<Vec<i64>> = parts.iter().map(|(_, part)| Elements::of(part).map(integer).collect()).collect();
            answer.array(rows[0].len());
            for place in 0..rows[0].len() {
                answer.integer(rows.iter().map(|row| row[place]).sum());
            }
        }
        Spread::Positions => {
            let mut left: Vec<(GroupId, Elements<'_>)> =
                parts.iter().map(|(group, part)| (*group, Elements::of(part))).collect();
            answer.array(args.len() - 1);
            for key in &args[1..] {
                let group = placement.group_of(key);
                let own = left.iter_mut().find(|(have, _)| *have == group).expect("the group of a key is concerned");
                answer.raw(own.1.next().expect("there is an answer for each key"));
            }
        }
        Spread::AllKeys => {
            let all: Vec<&[u8]> = parts.iter().flat_map(|(_, part)| Elements::of(part)).collect();
            answer.array(all.len());
            all.into_iter().for_each(|key| answer.raw(key));
        }
        Spread::AllOne => {
            let mut nothing = Answer::new(answer.protocol());
            nothing.null();
            let some: Vec<&[u8]> =
                parts.iter().map(|(_, part)| *part).filter(|part| *part != nothing.bytes()).collect();
            match some.len() {
                0 => answer.null(),
                count => answer.raw(some[(xxh64(&some.concat()) % count as u64) as usize]),
            }
        }
        Spread::Range => join_range(answer, args, parts),
        Spread::Pairs | Spread::AllOk | Spread::Values | Spread::Cursor | Spread::Backup => answer.raw(parts[0].1),
    }
}

/// Merges pages of a range in the order of their keys. A page that is full
/// holds as many keys as the whole reply, so nothing behind it can be missing.
fn join_range(answer: &mut Answer, args: &[&[u8]], parts: &[(GroupId, &[u8])]) {
    let query = Query::parse(args).expect("a range that cannot be read is not spread");
    let mut rows: Vec<(Vec<u8>, &[u8])> = Vec::new();
    let mut name: Option<CursorName> = None;
    let mut all = true;
    for (_, part) in parts {
        let mut elements = Elements::of(part);
        if query.cursor.is_some() {
            let cursor = string(elements.next().expect("a page has a cursor"));
            let text = cursor.strip_prefix(b"0 ").unwrap_or(cursor);
            all &= cursor.starts_with(b"0 ");
            name = name.or(CursorName::parse(text).map(|(name, _)| name));
            elements = Elements::of(elements.next().expect("a page has keys"));
        }
        while let Some(key) = elements.next() {
            let value = if query.values { elements.next().expect("a value stands behind each key") } else { b"" };
            let length = key.len() + value.len();
            let row = &elements.taken()[elements.taken().len() - length..];
            rows.push((string(key).to_vec(), row));
        }
    }
    rows.sort_by(|one, other| if query.reverse { other.0.cmp(&one.0) } else { one.0.cmp(&other.0) });
    all &= rows.len() <= query.most();
    rows.truncate(query.most());
    if query.cursor.is_some() {
        let next = match (all, name, rows.last()) {
            (false, Some(name), Some((last, _))) => name.write(last),
            _ => b"0".to_vec(),
        };
        answer.array(2);
        answer.bulk(&next);
    }
    answer.array(if query.values { 2 * rows.len() } else { rows.len() });
    rows.iter().for_each(|(_, row)| answer.raw(row));
}

/// The elements of an array that was answered.
pub(super) struct Elements<'a> {
    whole: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn of(whole: &'a [u8]) -> Elements<'a> {
        let at = end_of_line(whole, 0);
        Elements { whole, at, left: usize::try_from(number_at(whole, 0)).unwrap_or(0) }
    }

    /// All up to the end of the last element that was taken.
    fn taken(&self) -> &'a [u8] {
        &self.whole[..self.at]
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let start = self.at;
        self.at = end_of_value(self.whole, start);
        Some(&self.whole[start..self.at])
    }
}

fn end_of_line(reply: &[u8], start: usize) -> usize {
    let end = reply[start..].windows(2).position(|pair| pair == b"\r\n");
    start + end.expect("every line of a reply ends") + 2
}

/// The number behind the first byte of a line.
fn number_at(reply: &[u8], start: usize) -> i64 {
    let line = &reply[start + 1..end_of_line(reply, start) - 2];
    number::integer(line).expect("a length or an integer was written")
}

fn end_of_value(reply: &[u8], start: usize) -> usize {
    let mut at = start;
    // How many values are still to be passed: no recursion, whatever is nested.
    let mut left = 1usize;
    while left > 0 {
        left -= 1;
        let line_end = end_of_line(reply, at);
        let length = || usize::try_from(number_at(reply, at)).ok();
        at = match reply[at] {
            b'$' | b'=' => length().map_or(line_end, |length| line_end + length + 2),
            b'*' | b'~' | b'>' => {
                left += length().unwrap_or(0);
                line_end
            }
            b'%' => {
                left += 2 * length().unwrap_or(0);
                line_end
            }
            _ => line_end,
        };
    }
    at
}

fn integer(reply: &[u8]) -> i64 {
    number_at(reply, 0)
}

/// The bytes of a bulk string.
fn string(reply: &[u8]) -> &[u8] {
    let start = end_of_line(reply, 0);
    &reply[start..reply.len() - 2]
}

/// A reply that is one error line.
pub(super) fn error(protocol: Protocol, failure: &Failure) -> Reply {
    let mut answer = Answer::new(protocol);
    answer.failure(failure);
    answer.into_reply()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_anything() {
        let reply = b"*5\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n*-1\r\n%1\r\n+x\r\n~1\r\n_\r\n$-1\r\n-ERR no\r\n";
        let elements: Vec<&[u8]> = Elements::of(reply).collect();
        assert_eq!(
            elements,
            [
                b"$3\r\na\r\n\r\n".as_slice(),
                b"*2\r\n:1\r\n*-1\r\n",
                b"%1\r\n+x\r\n~1\r\n_\r\n",
                b"$-1\r\n",
                b"-ERR no\r\n"
            ]
        );
        assert_eq!((integer(b":-12\r\n"), string(b"$2\r\nab\r\n")), (-12, b"ab".as_slice()));
        assert_eq!(Elements::of(b"*-1\r\n").count(), 0);
    }
}
