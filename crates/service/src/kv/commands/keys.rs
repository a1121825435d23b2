//! Keys, whatever they hold: whether they are there, names, copies, and the
//! whole keyspace.

use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::execute::Context;
use crate::kv::failure::Failure;
use crate::kv::glob;
use crate::kv::number;
use crate::kv::value::Value;

use super::strings::as_integer;

type Outcome = Result<(), Failure>;

/// Up to this length Redis keeps a string beside its header.
const EMBEDDED: usize = 44;

/// Up to so many elements of so many bytes Redis keeps collections packed.
const PACKED: (usize, usize) = (128, 64);

/// Up to so many integers Redis keeps a set packed.
const PACKED_INTEGERS: usize = 512;

/// Small integers that Redis shares among all keys that hold them.
const SHARED_INTEGERS: core::ops::Range<i64> = 0..10_000;

/// How often random choices hit a key past its deadline before the search becomes a walk.
const RANDOM_TRIES: usize = 100;

pub(crate) fn del(context: &mut Context<'_>) -> Outcome {
    let removed = context.args[1..].iter().filter(|key| context.store.remove(key).is_some()).count();
    context.answer.count(removed);
    Ok(())
}

pub(crate) fn unlink(context: &mut Context<'_>) -> Outcome {
    del(context)
}

pub(crate) fn exists(context: &mut Context<'_>) -> Outcome {
    let there = context.args[1..].iter().filter(|key| context.store.contains(key)).count();
    context.answer.count(there);
    Ok(())
}

pub(crate) fn touch(context: &mut Context<'_>) -> Outcome {
    exists(context)
}

pub(crate) fn kind(context: &mut Context<'_>) -> Outcome {
    context.answer.simple(context.store.get(context.args[1]).map_or("none", Value::kind));
    Ok(())
}

pub(crate) fn version(context: &mut Context<'_>) -> Outcome {
    let keys = &context.args[1..];
    context.answer.array(keys.len());
    for key in keys {
        context.answer.integer(context.store.version_of(key) as i64);
    }
    Ok(())
}

pub(crate) fn rename(context: &mut Context<'_>) -> Outcome {
    let (from, to) = (context.args[1], context.args[2]);
    if !context.store.contains(from) {
        return Err(Failure::NO_SUCH_KEY);
    }
    if from != to {
        let entry = context.store.remove(from).expect("it was just there");
        context.store.put(to, entry.value, entry.deadline_ms);
    }
    context.answer.ok();
    Ok(())
}

pub(crate) fn renamenx(context: &mut Context<'_>) -> Outcome {
    let (from, to) = (context.args[1], context.args[2]);
    if !context.store.contains(from) {
        return Err(Failure::NO_SUCH_KEY);
    }
    let free = !context.store.contains(to);
    if free {
        let entry = context.store.remove(from).expect("it was just there");
        context.store.put(to, entry.value, entry.deadline_ms);
    }
    context.answer.flag(free);
    Ok(())
}

pub(crate) fn copy(context: &mut Context<'_>) -> Outcome {
    let (from, to) = (context.args[1], context.args[2]);
    let mut replace = false;
    let mut place = 3;
    while place < context.args.len() {
        if context.is(place, "REPLACE") {
            replace = true;
        } else if context.is(place, "DB") && place + 1 < context.args.len() {
            place += 1;
            if context.integer(place)? != 0 {
                return Err(Failure::of("ERR DB index is out of range"));
            }
        } else {
            return Err(Failure::SYNTAX);
        }
        place += 1;
    }
    if from == to {
        return Err(Failure::of("ERR source and destination objects are the same"));
    }
    let found = context.store.entry(from).cloned();
    let copied = match found {
        Some(entry) if replace || !context.store.contains(to) => {
            context.store.put(to, entry.value, entry.deadline_ms);
            true
        }
        _ => false,
    };
    context.answer.flag(copied);
    Ok(())
}

pub(crate) fn keys(context: &mut Context<'_>) -> Outcome {
    let pattern = context.args[1];
    let store = &*context.store;
    let found: Vec<&Blob> = (store.keys().iter())
        .filter(|(key, entry)| store.visible(entry) && glob::matches(pattern, key.bytes()))
        .map(|(key, _)| key)
        .collect();
    context.answer.array(found.len());
    for key in found {
        context.answer.bulk(key.bytes());
    }
    Ok(())
}

pub(crate) fn randomkey(context: &mut Context<'_>) -> Outcome {
    let store = &*context.store;
    let total = store.keys().len();
    let mut chosen = None;
    if !store.is_empty() {
        for _ in 0..RANDOM_TRIES {
            let (key, entry) = store.keys().nth(context.random.below(total as u64) as usize).expect("it is below");
            if store.visible(entry) {
                chosen = Some(key);
                break;
            }
        }
        chosen = chosen.or_else(|| store.keys().iter().find(|(_, entry)| store.visible(entry)).map(|(key, _)| key));
    }
    context.answer.bulk_or_null(chosen.map(Blob::bytes));
    Ok(())
}

pub(crate) fn dbsize(context: &mut Context<'_>) -> Outcome {
    context.answer.count(context.store.len());
    Ok(())
}

/// What INFO tells of the keyspace and of memory.
pub(crate) fn stats(context: &mut Context<'_>) -> Outcome {
    let store = &*context.store;
    context.answer.array(3);
    context.answer.count(store.len());
    context.answer.count(store.ending());
    context.answer.integer(store.used() as i64);
    Ok(())
}

pub(crate) fn flushdb(context: &mut Context<'_>) -> Outcome {
    flushall(context)
}

pub(crate) fn flushall(context: &mut Context<'_>) -> Outcome {
    if context.args.len() > 2 || (context.args.len() == 2 && !context.is(1, "ASYNC") && !context.is(1, "SYNC")) {
        return Err(Failure::SYNTAX);
    }
    context.store.clear();
    context.answer.ok();
    Ok(())
}

fn encoding(value: &Value) -> &'static str {
    let small = |bytes: &[u8]| bytes.len() <= PACKED.1;
    match value {
        Value::String(blob) if as_integer(blob).is_some() => "int",
        Value::String(blob) if blob.len() <= EMBEDDED => "embstr",
        Value::String(_) => "raw",
        Value::List(_) => "quicklist",
        Value::Hash(hash) => {
            let packed = hash.len() <= PACKED.0
                && hash.fields().iter().all(|(field, value)| small(field.bytes()) && small(value.bytes()));
            if packed { "listpack" } else { "hashtable" }
        }
        Value::Set(set) => {
            let packed = set.len() <= PACKED_INTEGERS
                && set.members().iter().all(|(member, ())| number::integer(member.bytes()).is_some());
            if packed { "intset" } else { "hashtable" }
        }
        Value::Sorted(sorted) => {
            let packed = sorted.len() <= PACKED.0 && sorted.members().iter().all(|(member, _)| small(member.bytes()));
            if packed { "listpack" } else { "skiplist" }
        }
    }
}

pub(crate) fn object_encoding(context: &mut Context<'_>) -> Outcome {
    match context.store.get(context.args[2]) {
        Some(value) => context.answer.bulk(encoding(value).as_bytes()),
        None => context.answer.null(),
    }
    Ok(())
}

pub(crate) fn object_refcount(context: &mut Context<'_>) -> Outcome {
    match context.store.get(context.args[2]) {
        Some(Value::String(blob)) if as_integer(blob).is_some_and(|value| SHARED_INTEGERS.contains(&value)) => {
            context.answer.integer(i64::from(i32::MAX));
        }
        Some(_) => context.answer.integer(1),
        None => context.answer.null(),
    }
    Ok(())
}

pub(crate) fn object_idletime(context: &mut Context<'_>) -> Outcome {
    // Reads leave no trace here, so nobody knows since when a key is idle.
    match context.store.get(context.args[2]) {
        Some(_) => context.answer.integer(0),
        None => context.answer.null(),
    }
    Ok(())
}

pub(crate) fn object_freq(context: &mut Context<'_>) -> Outcome {
    if !context.store.contains(context.args[2]) {
        context.answer.null();
        return Ok(());
    }
    Err(Failure::of(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    ))
}

pub(crate) fn object_help(context: &mut Context<'_>) -> Outcome {
    let lines = [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    ];
    context.answer.array(lines.len());
    for line in lines {
        context.answer.simple(line);
    }
    Ok(())
}
