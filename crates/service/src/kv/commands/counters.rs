//! Strings that are numbers, counted up and down.

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::extended::{Extended, Parsed};
use crate::kv::failure::Failure;
use crate::kv::number;

use super::strings::as_integer;

type Outcome = Result<(), Failure>;

pub(crate) fn incr(context: &mut Context<'_>) -> Outcome {
    add(context, 1)
}

pub(crate) fn decr(context: &mut Context<'_>) -> Outcome {
    add(context, -1)
}

pub(crate) fn incrby(context: &mut Context<'_>) -> Outcome {
    let by = context.integer(2)?;
    add(context, by)
}

pub(crate) fn decrby(context: &mut Context<'_>) -> Outcome {
    let by = context.integer(2)?;
    add(context, by.checked_neg().ok_or(Failure::of("ERR decrement would overflow"))?)
}

fn add(context: &mut Context<'_>, by: i64) -> Outcome {
    let key = context.args[1];
    let old = match context.store.read::<Blob>(key)? {
        Some(blob) => as_integer(blob).ok_or(Failure::NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Failure::OVERFLOW)?;
    context.store.write::<Blob, _>(key, |blob| {
        *blob = Blob::new(&number::decimal(new));
        ((), true)
    })?;
    context.answer.integer(new);
    Ok(())
}

pub(crate) fn incrbyfloat(context: &mut Context<'_>) -> Outcome {
    let (key, by) = (context.args[1], context.args[2]);
    let old = context.store.read::<Blob>(key)?.map_or(b"0".as_slice(), Blob::bytes);
    let old = Extended::parse(old).ok_or(Failure::NOT_FLOAT)?;
    let by = Extended::parse(by).ok_or(Failure::NOT_FLOAT)?;
    let new = sum(old, by)?;
    context.store.write::<Blob, _>(key, |blob| {
        *blob = Blob::new(&new);
        ((), true)
    })?;
    context.answer.bulk(&new);
    Ok(())
}

/// The sum of two numbers as it is written.
pub(super) fn sum(one: Parsed, other: Parsed) -> Result<alloc::vec::Vec<u8>, Failure> {
    match (one, other) {
        (Parsed::Finite(one), Parsed::Finite(other)) => {
            one.add(other).map(Extended::write).ok_or(Failure::NOT_A_NUMBER)
        }
        _ => Err(Failure::NOT_A_NUMBER),
    }
}
