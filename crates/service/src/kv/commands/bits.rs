//! Strings as arrays of bits: single ones, counts, places, and combinations.

use alloc::vec;
use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::limits::Limits;
use crate::kv::number;
use crate::kv::store::NEVER;

type Outcome = Result<(), Failure>;

/// An offset in bits, which must lie within the longest string.
pub(super) fn offset(text: &[u8], limits: &Limits) -> Result<usize, Failure> {
    let offset = number::integer(text).and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.filter(|offset| offset >> 3 < limits.max_string).ok_or(Failure::BIT_OFFSET)?;
    Ok(offset as usize)
}

fn bit(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

pub(super) fn get_bit(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset >> 3).is_some_and(|byte| byte >> (7 - (offset & 7)) & 1 == 1)
}

pub(crate) fn setbit(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let offset = offset(args[2], context.limits)?;
    let on = bit(args[3]).ok_or(Failure::of("ERR bit is not an integer or out of range"))?;
    context.store.read::<Blob>(args[1])?;
    let old = context.store.write::<Blob, _>(args[1], |blob| {
        let old = get_bit(blob.bytes(), offset);
        let buffer = blob.buffer();
        if buffer.len() <= offset >> 3 {
            buffer.resize((offset >> 3) + 1, 0);
        }
        let mask = 1 << (7 - (offset & 7));
        if on {
            buffer[offset >> 3] |= mask;
        } else {
            buffer[offset >> 3] &= !mask;
        }
        (old, true)
    })?;
    context.answer.flag(old);
    Ok(())
}

pub(crate) fn getbit(context: &mut Context<'_>) -> Outcome {
    let offset = offset(context.args[2], context.limits)?;
    let on = context.store.read::<Blob>(context.args[1])?.is_some_and(|blob| get_bit(blob.bytes(), offset));
    context.answer.flag(on);
    Ok(())
}

/// Whether the word at a place says that indexes count bits.
fn in_bits(context: &Context<'_>, place: usize) -> Result<bool, Failure> {
    if place >= context.args.len() || context.is(place, "BYTE") {
        Ok(false)
    } else if context.is(place, "BIT") {
        Ok(true)
    } else {
        Err(Failure::SYNTAX)
    }
}

/// First and last that two indexes mean among so many; nothing if they cross.
fn span(mut start: i64, mut end: i64, length: i64) -> Option<(usize, usize)> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    if start < 0 {
        start = start.saturating_add(length).max(0);
    }
    if end < 0 {
        end = end.saturating_add(length).max(0);
    }
    end = end.min(length - 1);
    if start > end { None } else { Some((start as usize, end as usize)) }
}

pub(crate) fn bitcount(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    // What is not there has no ones, whatever else is asked.
    if context.store.read::<Blob>(args[1])?.is_none() {
        context.answer.integer(0);
        return Ok(());
    }
    let (mut start, mut end, mut bits) = (0, -1, false);
    match args.len() {
        2 => {}
        4 | 5 => {
            start = context.integer(2)?;
            end = context.integer(3)?;
            bits = in_bits(context, 4)?;
        }
        _ => return Err(Failure::SYNTAX),
    }
    let bytes = context.store.read::<Blob>(args[1])?.map_or(b"".as_slice(), Blob::bytes);
    let length = bytes.len() as i64 * if bits { 8 } else { 1 };
    let Some((first, last)) = span(start, end, length) else {
        context.answer.integer(0);
        return Ok(());
    };
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    let count = if bits {
        let outside = |from: usize, to: usize| (from..to).filter(|offset| get_bit(bytes, *offset)).count() as u64;
        let (low, high) = (first >> 3, last >> 3);
        ones(&bytes[low..=high]) - outside(low << 3, first) - outside(last + 1, (high + 1) << 3)
    } else {
        ones(&bytes[first..=last])
    };
    context.answer.integer(count as i64);
    Ok(())
}

pub(crate) fn bitpos(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let wanted = number::integer(args[2]).ok_or(Failure::NOT_INTEGER)?;
    let wanted = match wanted {
        0 => false,
        1 => true,
        _ => return Err(Failure::of("ERR The bit argument must be 1 or 0.")),
    };
    let Some(blob) = context.store.read::<Blob>(args[1])? else {
        context.answer.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    if args.len() > 6 {
        return Err(Failure::SYNTAX);
    }
    let start = if args.len() > 3 { context.integer(3)? } else { 0 };
    let bits = in_bits(context, 5)?;
    let end = if args.len() > 4 { context.integer(4)? } else { -1 };
    let bytes = blob.bytes();
    let length = bytes.len() as i64 * if bits { 8 } else { 1 };
    // Unlike BITCOUNT, what is before the beginning is the beginning for both.
    let at = |index: i64| if index < 0 { index.saturating_add(length).max(0) } else { index };
    let (start, end) = (at(start), at(end).min(length - 1));
    if start > end {
        context.answer.integer(-1);
        return Ok(());
    }
    let (first, last) =
        if bits { (start as usize, end as usize) } else { ((start as usize) << 3, ((end as usize) << 3) + 7) };
    let boring = if wanted { 0x00 } else { 0xff };
    let mut offset = first;
    let mut place = None;
    while offset <= last {
        if offset & 7 == 0 && bytes[offset >> 3] == boring {
            offset += 8;
            continue;
        }
        if get_bit(bytes, offset) == wanted {
            place = Some(offset as i64);
            break;
        }
        offset += 1;
    }
    // Behind a string without an end that was asked for there are zeros for ever.
    let beyond = if !wanted && args.len() <= 4 { bytes.len() as i64 * 8 } else { -1 };
    context.answer.integer(place.unwrap_or(beyond));
    Ok(())
}

pub(crate) fn bitop(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let operation: Option<fn(u8, u8) -> u8> = if context.is(1, "AND") {
        Some(|one, other| one & other)
    } else if context.is(1, "OR") {
        Some(|one, other| one | other)
    } else if context.is(1, "XOR") {
        Some(|one, other| one ^ other)
    } else if context.is(1, "NOT") {
        None
    } else {
        return Err(Failure::SYNTAX);
    };
    if operation.is_none() && args.len() != 4 {
        return Err(Failure::of("ERR BITOP NOT must be called with a single source key."));
    }
    let sources: Vec<&[u8]> = (args[3..].iter())
        .map(|key| Ok(context.store.read::<Blob>(key)?.map_or(b"".as_slice(), Blob::bytes)))
        .collect::<Result<_, Failure>>()?;
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; length];
    result[..sources[0].len()].copy_from_slice(sources[0]);
    match operation {
        None => result.iter_mut().for_each(|byte| *byte = !*byte),
        Some(operation) => {
            for source in &sources[1..] {
                for (place, byte) in result.iter_mut().enumerate() {
                    *byte = operation(*byte, source.get(place).copied().unwrap_or(0));
                }
            }
        }
    }
    if length == 0 {
        context.store.remove(args[2]);
    } else {
        context.store.put_string(args[2], &result, NEVER);
    }
    context.answer.count(length);
    Ok(())
}
