//! Lists, from either end and in the middle; never waiting for one.

use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::value::List;

type Outcome = Result<(), Failure>;

pub(crate) fn lpush(context: &mut Context<'_>) -> Outcome {
    push(context, true)
}

pub(crate) fn rpush(context: &mut Context<'_>) -> Outcome {
    push(context, false)
}

pub(crate) fn lpushx(context: &mut Context<'_>) -> Outcome {
    push_if_there(context, true)
}

pub(crate) fn rpushx(context: &mut Context<'_>) -> Outcome {
    push_if_there(context, false)
}

fn push_if_there(context: &mut Context<'_>, front: bool) -> Outcome {
    if context.store.read::<List>(context.args[1])?.is_none() {
        context.answer.integer(0);
        return Ok(());
    }
    push(context, front)
}

fn push(context: &mut Context<'_>, front: bool) -> Outcome {
    let args = context.args;
    let length = context.store.write::<List, _>(args[1], |list| {
        for item in &args[2..] {
            list.push(front, item);
        }
        (list.len(), true)
    })?;
    context.answer.count(length);
    Ok(())
}

pub(crate) fn lpop(context: &mut Context<'_>) -> Outcome {
    pop(context, true)
}

pub(crate) fn rpop(context: &mut Context<'_>) -> Outcome {
    pop(context, false)
}

/// A count that may be nothing, but not less.
pub(super) fn not_negative(context: &Context<'_>, place: usize) -> Result<usize, Failure> {
    let count = number::integer(context.args[place]).and_then(|count| usize::try_from(count).ok());
    count.ok_or(Failure::NOT_POSITIVE)
}

fn pop(context: &mut Context<'_>, front: bool) -> Outcome {
    let args = context.args;
    if args.len() > 3 {
        return Err(Failure::arity(context.name));
    }
    let count = if args.len() == 3 { Some(not_negative(context, 2)?) } else { None };
    let taken = context.store.edit::<List, _>(args[1], |list| {
        let count = count.unwrap_or(1).min(list.len());
        let taken: Vec<Blob> = (0..count).filter_map(|_| list.pop(front)).collect();
        (taken, count > 0)
    })?;
    match (taken, count) {
        (None, None) => context.answer.null(),
        (None, Some(_)) => context.answer.null_array(),
        (Some(taken), None) => context.answer.bulk(taken[0].bytes()),
        (Some(taken), Some(_)) => write_all(context, &taken),
    }
    Ok(())
}

fn write_all(context: &mut Context<'_>, items: &[Blob]) {
    context.answer.array(items.len());
    for item in items {
        context.answer.bulk(item.bytes());
    }
}

pub(crate) fn llen(context: &mut Context<'_>) -> Outcome {
    let length = context.store.read::<List>(context.args[1])?.map_or(0, List::len);
    context.answer.count(length);
    Ok(())
}

/// First and one past the last place that two indexes mean.
pub(super) fn places(start: i64, stop: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let from = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (start, stop) = (from(start).max(0), from(stop).min(length - 1));
    if start > stop || start >= length { (0, 0) } else { (start as usize, stop as usize + 1) }
}

pub(crate) fn lrange(context: &mut Context<'_>) -> Outcome {
    let (start, stop) = (context.integer(2)?, context.integer(3)?);
    let Some(list) = context.store.read::<List>(context.args[1])? else {
        context.answer.array(0);
        return Ok(());
    };
    let (first, end) = places(start, stop, list.len());
    context.answer.array(end - first);
    for (_, item) in list.items().slice(first, end) {
        context.answer.bulk(item.bytes());
    }
    Ok(())
}

fn place_of(index: i64, length: usize) -> Option<usize> {
    let place = if index < 0 { index.checked_add(length as i64)? } else { index };
    usize::try_from(place).ok().filter(|place| *place < length)
}

pub(crate) fn lindex(context: &mut Context<'_>) -> Outcome {
    let Some(list) = context.store.read::<List>(context.args[1])? else {
        context.answer.null();
        return Ok(());
    };
    let index = context.integer(2)?;
    let item = place_of(index, list.len()).and_then(|place| list.get(place));
    context.answer.bulk_or_null(item.map(Blob::bytes));
    Ok(())
}

pub(crate) fn lset(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let list = context.store.read::<List>(args[1])?.ok_or(Failure::NO_SUCH_KEY)?;
    let place = place_of(context.integer(2)?, list.len()).ok_or(Failure::INDEX_RANGE)?;
    context.store.edit::<List, _>(args[1], |list| (list.replace(place, args[3]), true))?;
    context.answer.ok();
    Ok(())
}

pub(crate) fn linsert(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let behind = if context.is(2, "AFTER") {
        1
    } else if context.is(2, "BEFORE") {
        0
    } else {
        return Err(Failure::SYNTAX);
    };
    let Some(list) = context.store.read::<List>(args[1])? else {
        context.answer.integer(0);
        return Ok(());
    };
    let Some(place) = list.items().iter().position(|(_, item)| item.bytes() == args[3]) else {
        context.answer.integer(-1);
        return Ok(());
    };
    let length = list.len() + 1;
    context.store.edit::<List, _>(args[1], |list| (list.insert(place + behind, args[4]), true))?;
    context.answer.count(length);
    Ok(())
}

pub(crate) fn lrem(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let count = context.integer(2)?;
    let Some(list) = context.store.read::<List>(args[1])? else {
        context.answer.integer(0);
        return Ok(());
    };
    let same = |(_, (_, item)): &(usize, ((), &Blob))| item.bytes() == args[3];
    let items = list.items().iter().map(|(_, item)| ((), item)).enumerate();
    let limit = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut found: Vec<usize> = if count < 0 {
        let length = list.len();
        let back = list.items().iter().rev().map(|(_, item)| ((), item)).enumerate();
        back.filter(same).take(limit).map(|(place, _)| length - 1 - place).collect()
    } else {
        items.filter(same).take(limit).map(|(place, _)| place).collect()
    };
    found.sort_unstable();
    if !found.is_empty() {
        context.store.edit::<List, _>(args[1], |list| {
            for place in found.iter().rev() {
                list.remove(*place);
            }
            ((), true)
        })?;
    }
    context.answer.count(found.len());
    Ok(())
}

pub(crate) fn ltrim(context: &mut Context<'_>) -> Outcome {
    let (start, stop) = (context.integer(2)?, context.integer(3)?);
    let key = context.args[1];
    let keep = context.store.read::<List>(key)?.map(|list| (places(start, stop, list.len()), list.len()));
    match keep {
        Some(((first, end), _)) if first == end => {
            context.store.remove(key);
        }
        Some(((first, end), length)) => {
            context.store.edit::<List, _>(key, |list| {
                for _ in end..length {
                    list.pop(false);
                }
                for _ in 0..first {
                    list.pop(true);
                }
                ((), true)
            })?;
        }
        None => {}
    }
    context.answer.ok();
    Ok(())
}

pub(crate) fn lpos(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let (mut rank, mut count, mut most) = (1i64, None, 0);
    let mut place = 3;
    while place < args.len() {
        if place + 1 >= args.len() {
            return Err(Failure::SYNTAX);
        }
        let bounded = |what: &'static str| {
            let value = number::integer(args[place + 1]).and_then(|value| usize::try_from(value).ok());
            value.ok_or(Failure::of(what))
        };
        if context.is(place, "RANK") {
            rank = context.integer(place + 1)?;
            if rank == i64::MIN {
                return Err(Failure::of(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
            if rank == 0 {
                return Err(Failure::of(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                     negative to start from the end of the list",
                ));
            }
        } else if context.is(place, "COUNT") {
            count = Some(bounded("ERR COUNT can't be negative")?);
        } else if context.is(place, "MAXLEN") {
            most = bounded("ERR MAXLEN can't be negative")?;
        } else {
            return Err(Failure::SYNTAX);
        }
        place += 2;
    }
    let mut found = Vec::new();
    if let Some(list) = context.store.read::<List>(args[1])? {
        let length = list.len();
        let look = if most == 0 { length } else { most.min(length) };
        let wanted = match count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let skip = usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let here = |place: usize| list.get(place).is_some_and(|item| item.bytes() == args[2]);
        let places = (0..look).map(|step| if rank > 0 { step } else { length - 1 - step });
        found = places.filter(|place| here(*place)).skip(skip).take(wanted).collect();
    }
    match count {
        None => match found.first() {
            Some(place) => context.answer.count(*place),
            None => context.answer.null(),
        },
        Some(_) => {
            context.answer.array(found.len());
            for place in found {
                context.answer.count(place);
            }
        }
    }
    Ok(())
}

/// Which end a word means: whether it is the front.
fn end(context: &Context<'_>, place: usize) -> Result<bool, Failure> {
    if context.is(place, "LEFT") {
        Ok(true)
    } else if context.is(place, "RIGHT") {
        Ok(false)
    } else {
        Err(Failure::SYNTAX)
    }
}

pub(crate) fn lmove(context: &mut Context<'_>) -> Outcome {
    let (from, to) = (end(context, 3)?, end(context, 4)?);
    move_between(context, from, to)
}

pub(crate) fn rpoplpush(context: &mut Context<'_>) -> Outcome {
    move_between(context, false, true)
}

fn move_between(context: &mut Context<'_>, from_front: bool, to_front: bool) -> Outcome {
    let (from, to) = (context.args[1], context.args[2]);
    if context.store.read::<List>(from)?.is_none() {
        context.answer.null();
        return Ok(());
    }
    context.store.read::<List>(to)?;
    let item = if from == to {
        context.store.edit::<List, _>(from, |list| {
            let item = list.pop(from_front).expect("no list is empty");
            list.push(to_front, item.bytes());
            (item, true)
        })?
    } else {
        let item = context.store.edit::<List, _>(from, |list| (list.pop(from_front), true))?.flatten();
        if let Some(item) = &item {
            context.store.write::<List, _>(to, |list| (list.push(to_front, item.bytes()), true))?;
        }
        item
    };
    context.answer.bulk(item.expect("no list is empty").bytes());
    Ok(())
}

/// How many keys follow, and the place behind them, which must be there.
pub(super) fn counted_keys(context: &Context<'_>, place: usize) -> Result<(usize, usize), Failure> {
    let count = number::integer(context.args[place]).filter(|count| *count > 0);
    let count = count.ok_or(Failure::of("ERR numkeys should be greater than 0"))?;
    let count = usize::try_from(count).map_err(|_| Failure::SYNTAX)?;
    let behind = count.saturating_add(place + 1);
    if behind >= context.args.len() { Err(Failure::SYNTAX) } else { Ok((count, behind)) }
}

/// `COUNT count` at the end of LMPOP and ZMPOP.
pub(super) fn trailing_count(context: &Context<'_>, mut place: usize) -> Result<usize, Failure> {
    let mut count = None;
    while place < context.args.len() {
        if count.is_some() || !context.is(place, "COUNT") || place + 1 >= context.args.len() {
            return Err(Failure::SYNTAX);
        }
        let given = number::integer(context.args[place + 1]).filter(|count| *count > 0);
        count = Some(given.ok_or(Failure::of("ERR count should be greater than 0"))?);
        place += 2;
    }
    Ok(usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX))
}

pub(crate) fn lmpop(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let (_, behind) = counted_keys(context, 1)?;
    let front = end(context, behind)?;
    let count = trailing_count(context, behind + 1)?;
    for key in &args[2..behind] {
        let taken = context.store.edit::<List, _>(key, |list| {
            let count = count.min(list.len());
            let taken: Vec<Blob> = (0..count).filter_map(|_| list.pop(front)).collect();
            (taken, true)
        })?;
        if let Some(taken) = taken {
            context.answer.array(2);
            context.answer.bulk(key);
            write_all(context, &taken);
            return Ok(());
        }
    }
    context.answer.null_array();
    Ok(())
}
