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

/// What somebody is told whose partitions answered as if they had been asked different things. A client can bring that
/// about who uses the number of a named command twice.
const AT_ODDS: &str = "ERR the partitions answered different commands: was a number of the session used twice?";

/// Joins what partitions answered; each answered what [`Kv`](super::Kv) answers to this request, or to another that
/// went by the same name.
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
            join_command(&mut answer, args, &step, &parts, placement).ok_or(Failure::of(AT_ODDS))?;
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
    // A verdict is no array of replies.
    let is_verdict = |part: &[u8]| !part.starts_with(b"*") || part == b"*-1\r\n";
    let refused = parts.iter().find(|(_, part)| part.starts_with(b"-"));
    if let Some((_, verdict)) = refused.or_else(|| parts.iter().find(|(_, part)| is_verdict(part))) {
        answer.raw(verdict);
        return Ok(());
    }
    let at_odds = || Failure::of(AT_ODDS);
    let mut left = all_elements(parts).ok_or_else(at_odds)?;
    let home = home(plan.groups, placement);
    answer.array(transaction.commands.len());
    for args in &transaction.commands {
        let step = step(args, placement, limits)?;
        let concerned = if step.groups.is_empty() { [home].into_iter().collect() } else { step.groups };
        let own: Option<Vec<(GroupId, &[u8])>> = left
            .iter_mut()
            .filter(|(group, _)| concerned.contains(*group))
            .map(|(group, elements)| Some((*group, elements.next()?)))
            .collect();
        own.and_then(|own| join_command(answer, args, &step, &own, placement)).ok_or_else(at_odds)?;
    }
    Ok(())
}

/// `None` if these are not all answers to this command.
fn join_command(
    answer: &mut Answer,
    args: &[&[u8]],
    step: &Step,
    parts: &[(GroupId, &[u8])],
    placement: &Placement,
) -> Option<()> {
    let failed = parts.iter().find(|(_, part)| part.starts_with(b"-"));
    let (Some(command), 2.., None) = (step.command, parts.len(), failed) else {
        answer.raw(failed.or(parts.first())?.1);
        return Some(());
    };
    match command.spread {
        Spread::Sum | Spread::AllSum => {
            answer.integer(parts.iter().map(|(_, part)| integer(part)).sum::<Option<i64>>()?);
        }
        Spread::AllSums => {
            let row = |part| Elements::of(part)?.map(integer).collect::<Option<Vec<i64>>>();
            let rows: Vec<Vec<i64>> = parts.iter().map(|(_, part)| row(part)).collect::<Option<_>>()?;
            answer.array(rows[0].len());
            for place in 0..rows[0].len() {
                answer.integer(rows.iter().map(|row| row.get(place)).sum::<Option<i64>>()?);
            }
        }
        Spread::Positions => {
            let mut left = all_elements(parts)?;
            answer.array(args.len() - 1);
            for key in &args[1..] {
                let group = placement.group_of(key);
                let (_, own) = left.iter_mut().find(|(have, _)| *have == group)?;
                answer.raw(own.next()?);
            }
        }
        Spread::AllKeys => {
            let all: Vec<&[u8]> = all_elements(parts)?.into_iter().flat_map(|(_, elements)| elements).collect();
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
        Spread::Range => join_range(answer, args, parts)?,
        Spread::Pairs | Spread::AllOk | Spread::Values | Spread::Cursor | Spread::Backup => answer.raw(parts[0].1),
    }
    Some(())
}

/// The elements of each part; `None` if one is no array.
fn all_elements<'a>(parts: &[(GroupId, &'a [u8])]) -> Option<Vec<(GroupId, Elements<'a>)>> {
    parts.iter().map(|(group, part)| Some((*group, Elements::of(part)?))).collect()
}

/// Merges pages of a range in the order of their keys. A page that is full
/// holds as many keys as the whole reply, so nothing behind it can be missing.
fn join_range(answer: &mut Answer, args: &[&[u8]], parts: &[(GroupId, &[u8])]) -> Option<()> {
    let query = Query::parse(args).ok()?;
    let mut rows: Vec<(Vec<u8>, &[u8])> = Vec::new();
    let mut name: Option<CursorName> = None;
    let mut all = true;
    for (_, part) in parts {
        let mut elements = Elements::of(part)?;
        if query.cursor.is_some() {
            let cursor = string(elements.next()?)?;
            let text = cursor.strip_prefix(b"0 ").unwrap_or(cursor);
            all &= cursor.starts_with(b"0 ");
            name = name.or(CursorName::parse(text).map(|(name, _)| name));
            elements = Elements::of(elements.next()?)?;
        }
        while let Some(key) = elements.next() {
            let value = if query.values { elements.next()? } else { b"" };
            let length = key.len() + value.len();
            let row = &elements.taken()[elements.taken().len() - length..];
            rows.push((string(key)?.to_vec(), row));
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
    Some(())
}

/// The elements of an array that was answered.
pub(super) struct Elements<'a> {
    whole: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Elements<'a> {
    /// `None` if this is no array.
    pub(super) fn of(whole: &'a [u8]) -> Option<Elements<'a>> {
        let left = number(whole, 0, b"*~%>")?;
        Some(Elements { whole, at: end_of_line(whole, 0)?, left: usize::try_from(left).unwrap_or(0) })
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
        self.at = end_of_value(self.whole, start)?;
        self.whole.get(start..self.at)
    }
}

fn end_of_line(reply: &[u8], start: usize) -> Option<usize> {
    let end = reply.get(start..)?.windows(2).position(|pair| pair == b"\r\n")?;
    Some(start + end + 2)
}

/// The number behind the first byte of a line, which is one of these.
fn number(reply: &[u8], start: usize, kinds: &[u8]) -> Option<i64> {
    kinds.contains(reply.get(start)?).then_some(())?;
    number::integer(&reply[start + 1..end_of_line(reply, start)? - 2])
}

fn end_of_value(reply: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    // How many values are still to be passed: no recursion, whatever is nested.
    let mut left = 1usize;
    while left > 0 {
        left -= 1;
        let line_end = end_of_line(reply, at)?;
        let length = |kinds| number(reply, at, kinds).map(|length| usize::try_from(length).unwrap_or(0));
        at = match reply[at] {
            b'$' | b'=' if reply[at + 1] != b'-' => line_end.checked_add(length(b"$=")?)? + 2,
            b'*' | b'~' | b'>' => {
                left = left.checked_add(length(b"*~>")?)?;
                line_end
            }
            b'%' => {
                left = length(b"%")?.checked_mul(2)?.checked_add(left)?;
                line_end
            }
            _ => line_end,
        };
    }
    Some(at)
}

fn integer(reply: &[u8]) -> Option<i64> {
    number(reply, 0, b":")
}

/// The bytes of a bulk string.
fn string(reply: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(number(reply, 0, b"$")?).ok()?;
    let start = end_of_line(reply, 0)?;
    reply.get(start..start + length)
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

    /// A client that uses a number of its session twice gets old answers to new questions.
    #[test]
    fn partitions_that_answer_different_commands_are_at_odds_and_no_more() {
        let placement = Placement::new(Vec::new(), GroupSet::first(2)).unwrap();
        let (first, second) = (placement.nth(0).unwrap(), placement.nth(1).unwrap());
        let keys = (0..).map(|nth| alloc::format!("k{nth}").into_bytes());
        let key = |group| keys.clone().find(|key| placement.group_of(key) == group).unwrap();
        let (one, other) = (key(first), key(second));
        let commands: [&[&[u8]]; 8] = [
            &[b"MGET", &one, &other],
            &[b"MSET", &one, b"1", &other, b"2"],
            &[b"DEL", &one, &other],
            &[b"KEYS", b"*"],
            &[b"RANDOMKEY"],
            &[b"SKEIN.STATS"],
            &[b"SKEIN.RANGE", b"", b"", b"VALUES"],
            &[b"SKEIN.RANGE", b"", b"", b"CURSOR", b"0"],
        ];
        let transaction = Body::Transaction(Transaction {
            watched: Vec::new(),
            commands: commands.iter().map(|args| args.iter().copied().collect()).collect(),
        });
        let replies = [
            "",
            "+OK\r\n",
            ":1\r\n",
            "$-1\r\n",
            "$1\r\nx\r\n",
            "$9\r\nx\r\n",
            "_\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*1\r\n:1\r\n",
            "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n",
            "*9223372036854775807\r\n%9223372036854775807\r\n",
            "-ERR no\r\n",
        ];
        let bodies = commands.iter().map(|args| Body::Command(args.iter().copied().collect())).chain([transaction]);
        for body in bodies {
            let request = Request { protocol: Protocol::Two, body };
            for (one, other) in replies.iter().flat_map(|one| replies.iter().map(move |other| (one, other))) {
                let parts = [(first, one), (second, other)];
                let parts = parts.map(|(group, reply)| (group, Reply(reply.as_bytes().to_vec().into())));
                let joined = join(&request, &parts, &placement, &Limits::default());
                if one.starts_with('-') || other.starts_with('-') {
                    assert_eq!(joined.unwrap().0, "-ERR no\r\n", "{request:?}: {one:?} and {other:?}");
                }
            }
        }
        let mget = Request::command(Protocol::Two, commands[0]);
        let parts = [(first, ":1\r\n"), (second, "*1\r\n:1\r\n")];
        let parts = parts.map(|(group, reply)| (group, Reply(reply.as_bytes().to_vec().into())));
        assert_eq!(join(&mget, &parts, &placement, &Limits::default()), Err(Failure::of(AT_ODDS)));
    }

    #[test]
    fn elements_of_anything() {
        let reply = b"*5\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n*-1\r\n%1\r\n+x\r\n~1\r\n_\r\n$-1\r\n-ERR no\r\n";
        let elements: Vec<&[u8]> = Elements::of(reply).unwrap().collect();
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
        assert_eq!((integer(b":-12\r\n"), string(b"$2\r\nab\r\n")), (Some(-12), Some(b"ab".as_slice())));
        assert_eq!(Elements::of(b"*-1\r\n").unwrap().count(), 0);
    }
}
