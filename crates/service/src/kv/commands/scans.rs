//! SCAN, HSCAN, SSCAN and ZSCAN. All walk in the order of what names hash to,
//! and a cursor is the hash to go on from: it holds nothing anywhere, and what
//! is there from the first call to the last is seen, as with Redis.
//!
//! The cursor of SCAN also says in its lowest bits in which partition the walk
//! is: partition after partition, each asked alone.

use alloc::vec::Vec;

use crate::kv::answer::Answer;
use crate::kv::blob::Member;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::glob;
use crate::kv::number;
use crate::kv::tree::Tree;
use crate::kv::value::{Hash, Set, Sorted};

type Outcome = Result<(), Failure>;

/// So many low bits of a cursor of SCAN name a partition: enough for the most groups there can be.
const PARTITION_BITS: u32 = 6;

/// Collections up to this size are told at once, as Redis does with packed ones.
const SMALL: usize = 128;

/// How many elements a call looks at unless told.
const COUNT: usize = 10;

#[derive(Default)]
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Options<'a> {
    fn parse(context: &Context<'a>, first: usize, whole: bool) -> Result<Options<'a>, Failure> {
        let mut options = Options { count: COUNT, ..Options::default() };
        let mut place = first;
        while place < context.args.len() {
            if place + 1 >= context.args.len() {
                return Err(Failure::SYNTAX);
            }
            let value = context.args[place + 1];
            if context.is(place, "COUNT") {
                let count = number::integer(value).ok_or(Failure::NOT_INTEGER)?;
                options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Failure::SYNTAX)?;
            } else if context.is(place, "MATCH") {
                options.pattern = Some(value);
            } else if whole && context.is(place, "TYPE") {
                options.kind = Some(value);
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 2;
        }
        Ok(options)
    }

    fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn cursor(text: &[u8]) -> Result<u64, Failure> {
    number::cursor(text).ok_or(Failure::of("ERR invalid cursor"))
}

/// Names from a hash on, about so many, with the hash to go on from: names
/// whose hashes share these many high bits are never torn apart.
fn page<V>(tree: &Tree<Member, V>, from: u64, count: usize, low_bits: u32) -> (Vec<(&Member, &V)>, Option<u64>) {
    let start =
        tree.rank(|member| if member.hash < from { core::cmp::Ordering::Less } else { core::cmp::Ordering::Greater });
    let start = start.unwrap_or_else(|rank| rank);
    let mut found: Vec<(&Member, &V)> = Vec::new();
    for (member, value) in tree.slice(start, tree.len()) {
        let position = member.hash >> low_bits;
        if found.len() >= count && found.last().is_some_and(|(last, _)| last.hash >> low_bits != position) {
            return (found, Some(position << low_bits));
        }
        found.push((member, value));
    }
    (found, None)
}

/// The partition, by its place among all, that a cursor of SCAN is in.
pub(crate) fn partition_of(text: &[u8]) -> Result<usize, Failure> {
    Ok((cursor(text)? & ((1 << PARTITION_BITS) - 1)) as usize)
}

pub(crate) fn scan(context: &mut Context<'_>) -> Outcome {
    let from = cursor(context.args[1])? & !((1 << PARTITION_BITS) - 1);
    let options = Options::parse(context, 2, true)?;
    let here = context.placement.place_of(context.group);
    let store = &*context.store;
    let (found, next) = page(store.scan(), from, options.count, PARTITION_BITS);
    let next = match next {
        Some(next) => next | here as u64,
        // The next partition starts from its beginning; behind the last one the walk is over.
        None => (here as u64 + 1) % context.placement.everything().len() as u64,
    };
    let wanted = |member: &&Member| {
        let Some(value) = store.get(member.bytes()) else { return false };
        options.wants(member.bytes())
            && options.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(value.kind().as_bytes()))
    };
    let found: Vec<&Member> = found.into_iter().map(|(member, ())| member).filter(wanted).collect();
    head(context.answer, next, found.len());
    for member in found {
        context.answer.bulk(member.bytes());
    }
    Ok(())
}

fn head(answer: &mut Answer, next: u64, elements: usize) {
    let mut text = Vec::new();
    number::write_unsigned(&mut text, next);
    answer.array(2);
    answer.bulk(&text);
    answer.array(elements);
}

/// Some members of a collection with what belongs to them.
type Page<'t, V> = Vec<(&'t Member, &'t V)>;

/// The elements of one call over a collection, and its cursor.
fn elements<'t, 'a, V>(
    context: &Context<'a>,
    tree: Option<&'t Tree<Member, V>>,
    from: u64,
) -> Result<(Page<'t, V>, u64), Failure> {
    let Some(tree) = tree else { return Ok((Vec::new(), 0)) };
    let options = Options::parse(context, 3, false)?;
    let count = if tree.len() <= SMALL { SMALL } else { options.count };
    let (mut found, next) = page(tree, from, count, 0);
    found.retain(|(member, _)| options.wants(member.bytes()));
    Ok((found, next.unwrap_or(0)))
}

pub(crate) fn hscan(context: &mut Context<'_>) -> Outcome {
    let from = cursor(context.args[2])?;
    let hash = context.store.read::<Hash>(context.args[1])?.cloned();
    let (found, next) = elements(context, hash.as_ref().map(Hash::fields), from)?;
    head(context.answer, next, 2 * found.len());
    for (field, value) in found {
        context.answer.bulk(field.bytes());
        context.answer.bulk(value.bytes());
    }
    Ok(())
}

pub(crate) fn sscan(context: &mut Context<'_>) -> Outcome {
    let from = cursor(context.args[2])?;
    let set = context.store.read::<Set>(context.args[1])?.cloned();
    let (found, next) = elements(context, set.as_ref().map(Set::members), from)?;
    head(context.answer, next, found.len());
    for (member, ()) in found {
        context.answer.bulk(member.bytes());
    }
    Ok(())
}

pub(crate) fn zscan(context: &mut Context<'_>) -> Outcome {
    let from = cursor(context.args[2])?;
    let sorted = context.store.read::<Sorted>(context.args[1])?.cloned();
    let (found, next) = elements(context, sorted.as_ref().map(Sorted::members), from)?;
    head(context.answer, next, 2 * found.len());
    for (member, score) in found {
        context.answer.bulk(member.bytes());
        context.answer.bulk(&score_text(*score, sorted.as_ref().is_some_and(|sorted| sorted.len() <= SMALL)));
    }
    Ok(())
}

/// A score as ZSCAN tells it: Redis keeps whole scores of packed sets as integers.
fn score_text(score: f64, packed: bool) -> Vec<u8> {
    let whole = score as i64;
    if packed && whole as f64 == score && whole.unsigned_abs() < 1 << 62 {
        number::decimal(whole)
    } else {
        number::general(score).into_bytes()
    }
}
