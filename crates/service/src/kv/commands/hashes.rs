//! Hashes: fields with a value each under one key.

use alloc::vec::Vec;

use crate::kv::blob::{Blob, Member};
use crate::kv::execute::Context;
use crate::kv::extended::{Extended, Parsed};
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::tree::Tree;
use crate::kv::value::Hash;

use super::counters::sum;
use super::sets::random_ranks;
use super::strings::as_integer;

type Outcome = Result<(), Failure>;

pub(crate) fn hset(context: &mut Context<'_>) -> Outcome {
    let created = set_all(context)?;
    context.answer.count(created);
    Ok(())
}

pub(crate) fn hmset(context: &mut Context<'_>) -> Outcome {
    set_all(context)?;
    context.answer.ok();
    Ok(())
}

fn set_all(context: &mut Context<'_>) -> Result<usize, Failure> {
    let args = context.args;
    if args.len() % 2 == 1 {
        return Err(Failure::arity(context.name));
    }
    context.store.write::<Hash, _>(args[1], |hash| {
        let created = args[2..].chunks(2).filter(|pair| hash.set(pair[0], pair[1])).count();
        (created, true)
    })
}

pub(crate) fn hsetnx(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let free = context.store.read::<Hash>(args[1])?.is_none_or(|hash| hash.get(args[2]).is_none());
    if free {
        context.store.write::<Hash, _>(args[1], |hash| (hash.set(args[2], args[3]), true))?;
    }
    context.answer.flag(free);
    Ok(())
}

pub(crate) fn hget(context: &mut Context<'_>) -> Outcome {
    let value = context.store.read::<Hash>(context.args[1])?.and_then(|hash| hash.get(context.args[2]));
    context.answer.bulk_or_null(value.map(Blob::bytes));
    Ok(())
}

pub(crate) fn hmget(context: &mut Context<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.args[1])?;
    let fields = &context.args[2..];
    context.answer.array(fields.len());
    for field in fields {
        context.answer.bulk_or_null(hash.and_then(|hash| hash.get(field)).map(Blob::bytes));
    }
    Ok(())
}

pub(crate) fn hdel(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let removed = context.store.edit::<Hash, _>(args[1], |hash| {
        let removed = args[2..].iter().filter(|field| hash.remove(field)).count();
        (removed, removed > 0)
    })?;
    context.answer.count(removed.unwrap_or(0));
    Ok(())
}

pub(crate) fn hlen(context: &mut Context<'_>) -> Outcome {
    let length = context.store.read::<Hash>(context.args[1])?.map_or(0, Hash::len);
    context.answer.count(length);
    Ok(())
}

pub(crate) fn hstrlen(context: &mut Context<'_>) -> Outcome {
    let value = context.store.read::<Hash>(context.args[1])?.and_then(|hash| hash.get(context.args[2]));
    context.answer.count(value.map_or(0, Blob::len));
    Ok(())
}

pub(crate) fn hexists(context: &mut Context<'_>) -> Outcome {
    let there = context.store.read::<Hash>(context.args[1])?.is_some_and(|hash| hash.get(context.args[2]).is_some());
    context.answer.flag(there);
    Ok(())
}

pub(crate) fn hgetall(context: &mut Context<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.args[1])?;
    context.answer.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.map(Hash::fields).into_iter().flat_map(Tree::iter) {
        context.answer.bulk(field.bytes());
        context.answer.bulk(value.bytes());
    }
    Ok(())
}

pub(crate) fn hkeys(context: &mut Context<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.args[1])?;
    context.answer.array(hash.map_or(0, Hash::len));
    for (field, _) in hash.map(Hash::fields).into_iter().flat_map(Tree::iter) {
        context.answer.bulk(field.bytes());
    }
    Ok(())
}

pub(crate) fn hvals(context: &mut Context<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.args[1])?;
    context.answer.array(hash.map_or(0, Hash::len));
    for (_, value) in hash.map(Hash::fields).into_iter().flat_map(Tree::iter) {
        context.answer.bulk(value.bytes());
    }
    Ok(())
}

pub(crate) fn hincrby(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let by = context.integer(3)?;
    let old = match context.store.read::<Hash>(args[1])?.and_then(|hash| hash.get(args[2])) {
        Some(value) => as_integer(value).ok_or(Failure::of("ERR hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Failure::OVERFLOW)?;
    context.store.write::<Hash, _>(args[1], |hash| (hash.set(args[2], &number::decimal(new)), true))?;
    context.answer.integer(new);
    Ok(())
}

pub(crate) fn hincrbyfloat(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let by = Extended::parse(args[3]).ok_or(Failure::NOT_FLOAT)?;
    if by == Parsed::Infinite {
        return Err(Failure::of("ERR value is NaN or Infinity"));
    }
    let old = context.store.read::<Hash>(args[1])?.and_then(|hash| hash.get(args[2]));
    let old = Extended::parse(old.map_or(b"0", Blob::bytes)).ok_or(Failure::of("ERR hash value is not a float"))?;
    let new = sum(old, by)?;
    context.store.write::<Hash, _>(args[1], |hash| (hash.set(args[2], &new), true))?;
    context.answer.bulk(&new);
    Ok(())
}

pub(crate) fn hrandfield(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    if args.len() == 2 {
        let chosen = match context.store.read::<Hash>(args[1])? {
            Some(hash) => hash.fields().nth(context.random.below(hash.len() as u64) as usize),
            None => None,
        };
        context.answer.bulk_or_null(chosen.map(|(field, _)| field.bytes()));
        return Ok(());
    }
    let count = random_count(context)?;
    let with_values = args.len() == 4 && context.is(3, "WITHVALUES");
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return Err(Failure::SYNTAX);
    }
    if with_values && !(i64::MIN / 2..=i64::MAX / 2).contains(&count) {
        return Err(Failure::OUT_OF_RANGE);
    }
    let Some(hash) = context.store.read::<Hash>(args[1])? else {
        context.answer.array(0);
        return Ok(());
    };
    let chosen: Vec<(&Member, &Blob)> = random_ranks(context.random, count, hash.len())?
        .into_iter()
        .filter_map(|rank| hash.fields().nth(rank))
        .collect();
    let nested = with_values && context.answer.is_three();
    context.answer.array(if with_values && !nested { 2 * chosen.len() } else { chosen.len() });
    for (field, value) in chosen {
        if nested {
            context.answer.array(2);
        }
        context.answer.bulk(field.bytes());
        if with_values {
            context.answer.bulk(value.bytes());
        }
    }
    Ok(())
}

/// How many random elements are wanted; repeated ones if negative.
pub(super) fn random_count(context: &Context<'_>) -> Result<i64, Failure> {
    let count = number::integer(context.args[2]).ok_or(Failure::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(Failure::of(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}
