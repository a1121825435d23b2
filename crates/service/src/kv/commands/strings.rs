//! Strings: setting, reading and changing them, and how long they last.

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::store::NEVER;

type Outcome = Result<(), Failure>;

/// A deadline as it was written: by how much, in which unit, from now or from the epoch.
#[derive(Clone, Copy)]
struct Expiry {
    place: usize,
    unit_ms: i64,
    from_now: bool,
}

impl Expiry {
    fn deadline_ms(self, context: &Context<'_>) -> Result<u64, Failure> {
        let amount = context.integer(self.place)?;
        deadline_ms(amount, self.unit_ms, self.from_now, context)
    }
}

/// The moment that an amount of time means, which must be positive.
fn deadline_ms(amount: i64, unit_ms: i64, from_now: bool, context: &Context<'_>) -> Result<u64, Failure> {
    let now_ms = context.store.now_ms() as i64;
    let moment = match amount.checked_mul(unit_ms) {
        Some(moment) if moment > 0 && from_now => moment.checked_add(now_ms),
        Some(moment) if moment > 0 => Some(moment),
        _ => None,
    };
    moment.map(|moment| moment as u64).ok_or_else(|| Failure::expire_time(context.name))
}

/// What may stand behind SET and GETEX.
#[derive(Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    get: bool,
    keep: bool,
    persist: bool,
    expiry: Option<Expiry>,
}

impl Options {
    fn parse(context: &Context<'_>, first: usize, setting: bool) -> Result<Options, Failure> {
        let mut options = Options::default();
        let mut place = first;
        while place < context.args.len() {
            if setting && context.is(place, "NX") && !options.only_old {
                options.only_new = true;
            } else if setting && context.is(place, "XX") && !options.only_new {
                options.only_old = true;
            } else if setting && context.is(place, "GET") {
                options.get = true;
            } else if setting && context.is(place, "KEEPTTL") && options.expiry.is_none() {
                options.keep = true;
            } else if !setting && context.is(place, "PERSIST") && options.expiry.is_none() {
                options.persist = true;
            } else if !options.keep
                && !options.persist
                && place + 1 < context.args.len()
                && let Some((unit_ms, from_now)) = unit(context.args[place])
                && options.expiry.is_none_or(|before| (before.unit_ms, before.from_now) == (unit_ms, from_now))
            {
                // The same unit once more: the last one counts.
                place += 1;
                options.expiry = Some(Expiry { place, unit_ms, from_now });
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 1;
        }
        Ok(options)
    }
}

fn unit(word: &[u8]) -> Option<(i64, bool)> {
    let units = [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];
    let (_, unit_ms, from_now) = units.into_iter().find(|(name, ..)| word.eq_ignore_ascii_case(name.as_bytes()))?;
    Some((unit_ms, from_now))
}

pub(crate) fn set(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let options = Options::parse(context, 3, true)?;
    let mut deadline_ms = match options.expiry {
        Some(expiry) => expiry.deadline_ms(context)?,
        None => NEVER,
    };
    if options.get {
        let old = context.store.read::<Blob>(args[1])?;
        context.answer.bulk_or_null(old.map(Blob::bytes));
    }
    if options.only_new || options.only_old {
        let there = context.store.contains(args[1]);
        if there == options.only_new {
            if !options.get {
                context.answer.null();
            }
            return Ok(());
        }
    }
    if options.keep {
        deadline_ms = context.store.entry(args[1]).map_or(NEVER, |entry| entry.deadline_ms);
    }
    context.store.put_string(args[1], args[2], deadline_ms);
    if !options.get {
        context.answer.ok();
    }
    Ok(())
}

pub(crate) fn setnx(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let there = context.store.contains(args[1]);
    if !there {
        context.store.put_string(args[1], args[2], NEVER);
    }
    context.answer.flag(!there);
    Ok(())
}

pub(crate) fn setex(context: &mut Context<'_>) -> Outcome {
    set_until(context, 1000)
}

pub(crate) fn psetex(context: &mut Context<'_>) -> Outcome {
    set_until(context, 1)
}

fn set_until(context: &mut Context<'_>, unit_ms: i64) -> Outcome {
    let args = context.args;
    let deadline_ms = Expiry { place: 2, unit_ms, from_now: true }.deadline_ms(context)?;
    context.store.put_string(args[1], args[3], deadline_ms);
    context.answer.ok();
    Ok(())
}

pub(crate) fn get(context: &mut Context<'_>) -> Outcome {
    let value = context.store.read::<Blob>(context.args[1])?;
    context.answer.bulk_or_null(value.map(Blob::bytes));
    Ok(())
}

pub(crate) fn getex(context: &mut Context<'_>) -> Outcome {
    let key = context.args[1];
    let options = Options::parse(context, 2, false)?;
    if context.store.read::<Blob>(key)?.is_none() {
        context.answer.null();
        return Ok(());
    }
    let deadline_ms = options.expiry.map(|expiry| expiry.deadline_ms(context)).transpose()?;
    get(context)?;
    match deadline_ms {
        Some(deadline_ms) if deadline_ms <= context.store.now_ms() => {
            context.store.remove(key);
        }
        Some(deadline_ms) => context.store.set_deadline(key, deadline_ms),
        None if options.persist && context.store.entry(key).is_some_and(|entry| entry.deadline_ms != NEVER) => {
            context.store.set_deadline(key, NEVER);
        }
        None => {}
    }
    Ok(())
}

pub(crate) fn getdel(context: &mut Context<'_>) -> Outcome {
    get(context)?;
    context.store.remove(context.args[1]);
    Ok(())
}

pub(crate) fn getset(context: &mut Context<'_>) -> Outcome {
    get(context)?;
    context.store.put_string(context.args[1], context.args[2], NEVER);
    Ok(())
}

/// A string may not become longer than this.
fn check_length(context: &Context<'_>, length: u64) -> Outcome {
    if length > context.limits.max_string { Err(Failure::TOO_LONG) } else { Ok(()) }
}

pub(crate) fn append(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let length = context.store.read::<Blob>(args[1])?.map_or(0, Blob::len);
    check_length(context, length as u64 + args[2].len() as u64)?;
    if length == 0 && !context.store.contains(args[1]) {
        context.store.put_string(args[1], args[2], NEVER);
    } else {
        context.store.edit::<Blob, _>(args[1], |blob| {
            blob.buffer().extend_from_slice(args[2]);
            ((), true)
        })?;
    }
    context.answer.count(length + args[2].len());
    Ok(())
}

pub(crate) fn strlen(context: &mut Context<'_>) -> Outcome {
    let length = context.store.read::<Blob>(context.args[1])?.map_or(0, Blob::len);
    context.answer.count(length);
    Ok(())
}

/// The part of so many bytes that two indexes mean, which count from the end if negative.
pub(super) fn part(start: i64, end: i64, length: usize) -> Option<(usize, usize)> {
    let length = length as i64;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let from = |index: i64| if index < 0 { (length.saturating_add(index)).max(0) } else { index };
    let (start, end) = (from(start), from(end).min(length - 1));
    if start > end || length == 0 { None } else { Some((start as usize, end as usize + 1)) }
}

pub(crate) fn getrange(context: &mut Context<'_>) -> Outcome {
    let (start, end) = (context.integer(2)?, context.integer(3)?);
    let value = context.store.read::<Blob>(context.args[1])?.map_or(b"".as_slice(), Blob::bytes);
    let part = part(start, end, value.len()).map_or(b"".as_slice(), |(start, end)| &value[start..end]);
    context.answer.bulk(part);
    Ok(())
}

pub(crate) fn substr(context: &mut Context<'_>) -> Outcome {
    getrange(context)
}

pub(crate) fn setrange(context: &mut Context<'_>) -> Outcome {
    let args = context.args;
    let offset = context.integer(2)?;
    let offset = u64::try_from(offset).map_err(|_| Failure::of("ERR offset is out of range"))?;
    let length = context.store.read::<Blob>(args[1])?.map_or(0, Blob::len);
    if args[3].is_empty() {
        context.answer.count(length);
        return Ok(());
    }
    check_length(context, offset.saturating_add(args[3].len() as u64))?;
    let (start, end) = (offset as usize, offset as usize + args[3].len());
    context.store.write::<Blob, _>(args[1], |blob| {
        let buffer = blob.buffer();
        if buffer.len() < end {
            buffer.resize(end, 0);
        }
        buffer[start..end].copy_from_slice(args[3]);
        ((), true)
    })?;
    context.answer.count(length.max(end));
    Ok(())
}

pub(crate) fn mget(context: &mut Context<'_>) -> Outcome {
    let keys = &context.args[1..];
    context.answer.array(keys.len());
    for key in keys {
        let value = context.store.read::<Blob>(key).ok().flatten();
        context.answer.bulk_or_null(value.map(Blob::bytes));
    }
    Ok(())
}

pub(crate) fn mset(context: &mut Context<'_>) -> Outcome {
    check_pairs(context)?;
    put_all(context);
    context.answer.ok();
    Ok(())
}

pub(crate) fn msetnx(context: &mut Context<'_>) -> Outcome {
    check_pairs(context)?;
    let free = context.args[1..].chunks(2).all(|pair| !context.store.contains(pair[0]));
    if free {
        put_all(context);
    }
    context.answer.flag(free);
    Ok(())
}

fn check_pairs(context: &Context<'_>) -> Outcome {
    if context.args.len().is_multiple_of(2) { Err(Failure::arity(context.name)) } else { Ok(()) }
}

fn put_all(context: &mut Context<'_>) {
    for pair in context.args[1..].chunks(2) {
        context.store.put_string(pair[0], pair[1], NEVER);
    }
}

/// A string that is an integer, as it would be written.
pub(super) fn as_integer(blob: &Blob) -> Option<i64> {
    number::integer(blob.bytes())
}
