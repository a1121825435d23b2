//! Strings as arrays of integers of any width.

use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;

use super::bits::{get_bit, offset};

type Outcome = Result<(), Failure>;

/// What happens to a number that does not fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// An integer of some width.
#[derive(Clone, Copy)]
struct Width {
    signed: bool,
    bits: usize,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Width, Failure> {
        let signed = matches!(text, [b'i', ..]);
        let bits = match text {
            [b'i' | b'u', bits @ ..] => {
                number::integer(bits).filter(|bits| (1..=if signed { 64 } else { 63 }).contains(bits))
            }
            _ => None,
        };
        let bits = bits.ok_or(Failure::of(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        Ok(Width { signed, bits: bits as usize })
    }

    fn get(self, bytes: &[u8], offset: usize) -> i64 {
        let value = (offset..offset + self.bits).fold(0u64, |value, bit| value << 1 | u64::from(get_bit(bytes, bit)));
        self.wrapped(i128::from(value))
    }

    fn wrapped(self, value: i128) -> i64 {
        let unused = 128 - self.bits as u32;
        let shifted = value << unused;
        (if self.signed { shifted >> unused } else { ((shifted as u128) >> unused) as i128 }) as i64
    }

    /// The value that is kept of this one, and whether it is another.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (low, high) = if self.signed {
            (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1)
        } else {
            (0, (1i128 << self.bits) - 1)
        };
        match overflow {
            _ if (low..=high).contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.wrapped(value)),
            Overflow::Saturate => Some(value.clamp(low, high) as i64),
            Overflow::Fail => None,
        }
    }
}

#[derive(Clone, Copy)]
enum What {
    Get,
    Set(i64),
    Add(i64),
}

struct Operation {
    what: What,
    width: Width,
    offset: usize,
    overflow: Overflow,
}

fn parse(context: &Context<'_>, only_reads: bool) -> Result<Vec<Operation>, Failure> {
    let args = context.args;
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut place = 2;
    while place < args.len() {
        let left = args.len() - place - 1;
        let arguments = if context.is(place, "GET") && left >= 2 {
            2
        } else if (context.is(place, "SET") || context.is(place, "INCRBY")) && left >= 3 {
            3
        } else if context.is(place, "OVERFLOW") && left >= 1 {
            overflow = if context.is(place + 1, "WRAP") {
                Overflow::Wrap
            } else if context.is(place + 1, "SAT") {
                Overflow::Saturate
            } else if context.is(place + 1, "FAIL") {
                Overflow::Fail
            } else {
                return Err(Failure::of("ERR Invalid OVERFLOW type specified"));
            };
            place += 2;
            continue;
        } else {
            return Err(Failure::SYNTAX);
        };
        let width = Width::parse(args[place + 1])?;
        let offset = match args[place + 2] {
            [b'#', index @ ..] => {
                let index = number::integer(index).ok_or(Failure::BIT_OFFSET)?;
                let start = index.checked_mul(width.bits as i64).ok_or(Failure::BIT_OFFSET)?;
                self::offset(&number::decimal(start), context.limits)?
            }
            plain => self::offset(plain, context.limits)?,
        };
        let what = match arguments {
            2 => What::Get,
            _ if context.is(place, "SET") => What::Set(context.integer(place + 3)?),
            _ => What::Add(context.integer(place + 3)?),
        };
        operations.push(Operation { what, width, offset, overflow });
        place += arguments + 1;
    }
    if only_reads && operations.iter().any(|operation| !matches!(operation.what, What::Get)) {
        return Err(Failure::of("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    Ok(operations)
}

pub(crate) fn bitfield(context: &mut Context<'_>) -> Outcome {
    run(context, false)
}

pub(crate) fn bitfield_ro(context: &mut Context<'_>) -> Outcome {
    run(context, true)
}

fn run(context: &mut Context<'_>, only_reads: bool) -> Outcome {
    let key = context.args[1];
    let operations = parse(context, only_reads)?;
    let ends = operations.iter().filter(|operation| !matches!(operation.what, What::Get));
    let end = ends.map(|operation| (operation.offset + operation.width.bits).div_ceil(8)).max();
    if end.is_some_and(|end| end as u64 > context.limits.max_string) {
        return Err(Failure::BIT_OFFSET);
    }
    let found = context.store.read::<Blob>(key)?;
    let mut results = Vec::with_capacity(operations.len());
    if let Some(end) = end {
        context.store.write::<Blob, _>(key, |blob| {
            let buffer = blob.buffer();
            if buffer.len() < end {
                buffer.resize(end, 0);
            }
            results.extend(operations.iter().map(|operation| operation.apply(buffer)));
            ((), true)
        })?;
    } else {
        let bytes = found.map_or(b"".as_slice(), Blob::bytes);
        results.extend(operations.iter().map(|operation| Some(operation.width.get(bytes, operation.offset))));
    }
    context.answer.array(results.len());
    for result in results {
        match result {
            Some(value) => context.answer.integer(value),
            None => context.answer.null(),
        }
    }
    Ok(())
}

impl Operation {
    fn apply(&self, buffer: &mut [u8]) -> Option<i64> {
        let old = self.width.get(buffer, self.offset);
        let (wanted, told_old) = match self.what {
            What::Get => return Some(old),
            // A negative number for an unsigned one is a very large one.
            What::Set(value) if !self.width.signed => (i128::from(value as u64), true),
            What::Set(value) => (i128::from(value), true),
            What::Add(by) => (i128::from(old) + i128::from(by), false),
        };
        let new = self.width.fit(wanted, self.overflow)?;
        for bit in 0..self.width.bits {
            let place = self.offset + bit;
            let mask = 1 << (7 - (place & 7));
            if new >> (self.width.bits - 1 - bit) & 1 == 1 {
                buffer[place >> 3] |= mask;
            } else {
                buffer[place >> 3] &= !mask;
            }
        }
        Some(if told_old { old } else { new })
    }
}
