//! SORT: elements of a list, a set or a sorted set in order, by themselves or by
//! what other keys say of them.

use core::cmp::Ordering;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::store::{NEVER, Store};
use crate::kv::value::{List, Value};

type Outcome = Result<(), Failure>;

#[derive(Default)]
struct Options<'a> {
    descending: bool,
    by_name: bool,
    limit: Option<(i64, i64)>,
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(context: &Context<'a>, only_reads: bool) -> Result<Options<'a>, Failure> {
        let mut options = Options::default();
        let mut place = 2;
        while place < context.args.len() {
            let left = context.args.len() - place - 1;
            if context.is(place, "ASC") {
                options.descending = false;
            } else if context.is(place, "DESC") {
                options.descending = true;
            } else if context.is(place, "ALPHA") {
                options.by_name = true;
            } else if context.is(place, "LIMIT") && left >= 2 {
                options.limit = Some((context.integer(place + 1)?, context.integer(place + 2)?));
                place += 2;
            } else if !only_reads && context.is(place, "STORE") && left >= 1 {
                place += 1;
                options.store = Some(context.args[place]);
            } else if context.is(place, "BY") && left >= 1 {
                place += 1;
                options.by = Some(context.args[place]);
            } else if context.is(place, "GET") && left >= 1 {
                place += 1;
                options.get.push(context.args[place]);
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 1;
        }
        Ok(options)
    }

    fn unsorted(&self) -> bool {
        self.by.is_some_and(|by| !by.contains(&b'*'))
    }
}

/// Whether a command's BY or GET leads to keys that only its elements name.
pub(crate) fn follows_patterns(args: &[&[u8]]) -> bool {
    let mut words = args.iter().skip(2);
    while let Some(word) = words.next() {
        if (word.eq_ignore_ascii_case(b"BY") || word.eq_ignore_ascii_case(b"GET"))
            && words.next().is_some_and(|pattern| pattern.contains(&b'*'))
        {
            return true;
        }
    }
    false
}

/// What a pattern says of an element.
fn follow<'s>(store: &'s Store, pattern: &[u8], element: &'s [u8]) -> Option<&'s [u8]> {
    if pattern == b"#" {
        return Some(element);
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let arrow = pattern[star..].windows(2).position(|pair| pair == b"->").map(|place| place + star);
    // An arrow with nothing behind it belongs to the key.
    let arrow = arrow.filter(|arrow| arrow + 2 < pattern.len());
    let key = [&pattern[..star], element, &pattern[star + 1..arrow.unwrap_or(pattern.len())]].concat();
    match (store.get(&key)?, arrow) {
        (Value::String(blob), None) => Some(blob.bytes()),
        (Value::Hash(hash), Some(arrow)) => hash.get(&pattern[arrow + 2..]).map(Blob::bytes),
        _ => None,
    }
}

pub(crate) fn sort(context: &mut Context<'_>) -> Outcome {
    run(context, false)
}

pub(crate) fn sort_ro(context: &mut Context<'_>) -> Outcome {
    run(context, true)
}

fn run(context: &mut Context<'_>, only_reads: bool) -> Outcome {
    let options = Options::parse(context, only_reads)?;
    let source = context.store.get(context.args[1]).cloned();
    let mut elements: Vec<&[u8]> = match &source {
        None => Vec::new(),
        Some(Value::List(list)) => list.items().iter().map(|(_, item)| item.bytes()).collect(),
        Some(Value::Set(set)) => set.members().iter().map(|(member, ())| member.bytes()).collect(),
        Some(Value::Sorted(sorted)) => {
            let ranking = sorted.ranking().iter().map(|((_, member), ())| member.bytes());
            if options.unsorted() && options.descending { ranking.rev().collect() } else { ranking.collect() }
        }
        Some(Value::String(_) | Value::Hash(_)) => return Err(Failure::WRONG_TYPE),
    };
    let store = &*context.store;
    // What is stored must have an order; a set that nobody orders gets that of its names.
    if !options.unsorted() {
        elements = ordered(store, elements, &options)?;
    } else if options.store.is_some() && matches!(source, Some(Value::Set(_))) {
        elements.sort_unstable();
    }
    let (start, end) = match options.limit {
        None => (0, elements.len()),
        Some((offset, count)) => {
            let start = usize::try_from(offset).unwrap_or(0).min(elements.len());
            let left = elements.len() - start;
            (start, start + usize::try_from(count).map_or(left, |count| count.min(left)))
        }
    };
    let mut told: Vec<Option<Cow<'_, [u8]>>> = Vec::new();
    for element in &elements[start..end] {
        if options.get.is_empty() {
            told.push(Some(Cow::Borrowed(element)));
        }
        told.extend(options.get.iter().map(|pattern| follow(store, pattern, element).map(Cow::Borrowed)));
    }
    let Some(key) = options.store else {
        context.answer.array(told.len());
        for element in told {
            context.answer.bulk_or_null(element.as_deref());
        }
        return Ok(());
    };
    let mut list = List::default();
    for element in told {
        list.push(false, element.as_deref().unwrap_or(b""));
    }
    let length = list.len();
    if length == 0 {
        context.store.remove(key);
    } else {
        context.store.put(key, Value::List(list), NEVER);
    }
    context.answer.count(length);
    Ok(())
}

fn ordered<'s>(store: &'s Store, elements: Vec<&'s [u8]>, options: &Options<'_>) -> Result<Vec<&'s [u8]>, Failure> {
    let weight = |element: &'s [u8]| match options.by {
        Some(pattern) => follow(store, pattern, element).map(<[u8]>::to_vec),
        None => Some(element.to_vec()),
    };
    let turn = |order: Ordering| if options.descending { order.reverse() } else { order };
    if options.by_name {
        let mut keyed: Vec<(Option<Vec<u8>>, &[u8])> =
            elements.into_iter().map(|element| (weight(element), element)).collect();
        keyed.sort_by(|one, other| turn(one.0.cmp(&other.0)));
        return Ok(keyed.into_iter().map(|(_, element)| element).collect());
    }
    let mut keyed = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match weight(element) {
            None => 0.0,
            Some(text) => {
                let spelled = text.iter().any(|byte| matches!(byte, b'i' | b'I'));
                let number = number::lenient_double(&text).filter(|number| number.is_finite() || spelled);
                number.ok_or(Failure::of("ERR One or more scores can't be converted into double"))?
            }
        };
        keyed.push((weight, element));
    }
    keyed.sort_by(|(one, first), (other, second)| turn(one.total_cmp(other).then_with(|| first.cmp(second))));
    Ok(keyed.into_iter().map(|(_, element)| element).collect())
}
