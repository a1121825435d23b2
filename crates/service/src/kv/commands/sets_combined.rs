//! Sets combined: what is in all, in any, or in the first only.

use alloc::vec::Vec;

use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::store::NEVER;
use crate::kv::value::{Set, Value};

type Outcome = Result<(), Failure>;

#[derive(Clone, Copy)]
enum How {
    All,
    Any,
    First,
}

fn combine(context: &Context<'_>, keys: &[&[u8]], how: How) -> Result<Set, Failure> {
    let sets: Vec<Option<&Set>> = keys.iter().map(|key| context.store.read::<Set>(key)).collect::<Result<_, _>>()?;
    let mut result = Set::default();
    match how {
        How::All => {
            let Some(mut sets) = sets.into_iter().collect::<Option<Vec<&Set>>>() else { return Ok(result) };
            sets.sort_by_key(|set| set.len());
            for (member, ()) in sets[0].members().iter() {
                if sets[1..].iter().all(|set| set.contains(member.bytes())) {
                    result.insert(member.bytes());
                }
            }
        }
        How::Any => {
            for (member, ()) in sets.into_iter().flatten().flat_map(|set| set.members().iter()) {
                result.insert(member.bytes());
            }
        }
        How::First => {
            let Some(first) = sets[0] else { return Ok(result) };
            for (member, ()) in first.members().iter() {
                if !sets[1..].iter().flatten().any(|set| set.contains(member.bytes())) {
                    result.insert(member.bytes());
                }
            }
        }
    }
    Ok(result)
}

fn tell(context: &mut Context<'_>, how: How) -> Outcome {
    let result = combine(context, &context.args[1..], how)?;
    context.answer.set(result.len());
    for (member, ()) in result.members().iter() {
        context.answer.bulk(member.bytes());
    }
    Ok(())
}

fn store(context: &mut Context<'_>, how: How) -> Outcome {
    let result = combine(context, &context.args[2..], how)?;
    let length = result.len();
    let key = context.args[1];
    if length == 0 {
        context.store.remove(key);
    } else {
        context.store.put(key, Value::Set(result), NEVER);
    }
    context.answer.count(length);
    Ok(())
}

pub(crate) fn sinter(context: &mut Context<'_>) -> Outcome {
    tell(context, How::All)
}

pub(crate) fn sinterstore(context: &mut Context<'_>) -> Outcome {
    store(context, How::All)
}

pub(crate) fn sunion(context: &mut Context<'_>) -> Outcome {
    tell(context, How::Any)
}

pub(crate) fn sunionstore(context: &mut Context<'_>) -> Outcome {
    store(context, How::Any)
}

pub(crate) fn sdiff(context: &mut Context<'_>) -> Outcome {
    tell(context, How::First)
}

pub(crate) fn sdiffstore(context: &mut Context<'_>) -> Outcome {
    store(context, How::First)
}

pub(crate) fn sintercard(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let count = number::integer(args[1]).filter(|count| *count > 0);
    let count = count.ok_or(Failure::of("ERR numkeys should be greater than 0"))?;
    if count > args.len() as i64 - 2 {
        return Err(Failure::of("ERR Number of keys can't be greater than number of args"));
    }
    let behind = 2 + count as usize;
    let mut limit = 0;
    let mut place = behind;
    while place < args.len() {
        if !context.is(place, "LIMIT") || place + 1 >= args.len() {
            return Err(Failure::SYNTAX);
        }
        let given = number::integer(args[place + 1]).and_then(|limit| usize::try_from(limit).ok());
        limit = given.ok_or(Failure::of("ERR LIMIT can't be negative"))?;
        place += 2;
    }
    let total = combine(context, &args[2..behind], How::All)?.len();
    context.answer.count(if limit == 0 { total } else { total.min(limit) });
    Ok(())
}
