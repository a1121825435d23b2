//! SKEIN.RANGE: keys in order, from `start` up to but not including `end`, of
//! one snapshot over every partition that the range touches.
//!
//! `SKEIN.RANGE start end [LIMIT n] [REV] [VALUES] [CURSOR c]`. An empty `end`
//! has everything before it. REV tells the same keys from the last to the
//! first. VALUES puts what a string holds behind its key, and nil behind the key
//! of anything else. Without CURSOR the reply is a flat array; with it, a cursor
//! and such an array: `CURSOR 0` begins, the cursor that comes back goes on in
//! the same snapshot with the same words, and `0` says that this was all.

use core::cmp::Ordering;

use alloc::vec::Vec;

use crate::kv::blob::Blob;
use crate::kv::cursors::{CursorName, Opened};
use crate::kv::execute::{Context, Held};
use crate::kv::failure::Failure;
use crate::kv::number;
use crate::kv::store::Entry;
use crate::kv::tree::Tree;
use crate::kv::value::Value;

/// How many keys a page has unless told.
pub(crate) const PAGE: usize = 1000;

/// What the command asks for.
pub(crate) struct Query<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) end: &'a [u8],
    pub(crate) limit: Option<usize>,
    pub(crate) reverse: bool,
    pub(crate) values: bool,
    pub(crate) cursor: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    pub(crate) fn parse(args: &[&'a [u8]]) -> Result<Query<'a>, Failure> {
        let mut query =
            Query { start: args[1], end: args[2], limit: None, reverse: false, values: false, cursor: None };
        let mut place = 3;
        while place < args.len() {
            let is = |word: &str| args[place].eq_ignore_ascii_case(word.as_bytes());
            if is("REV") {
                query.reverse = true;
            } else if is("VALUES") {
                query.values = true;
            } else if is("LIMIT") && place + 1 < args.len() {
                place += 1;
                let limit = number::integer(args[place]).ok_or(Failure::NOT_INTEGER)?;
                query.limit = Some(usize::try_from(limit).map_err(|_| Failure::NOT_POSITIVE)?);
            } else if is("CURSOR") && place + 1 < args.len() {
                place += 1;
                query.cursor = Some(args[place]);
            } else {
                return Err(Failure::SYNTAX);
            }
            place += 1;
        }
        if query.cursor.is_some() && query.limit == Some(0) {
            return Err(Failure::NOT_POSITIVE);
        }
        Ok(query)
    }

    /// How many keys one reply has at most.
    pub(crate) fn most(&self) -> usize {
        self.limit.unwrap_or(if self.cursor.is_some() { PAGE } else { usize::MAX })
    }

    /// The keys of a tree that are in range, behind the last one that was told, and whether that is all.
    fn find<'t>(
        &self,
        keys: &'t Tree<Blob, Entry>,
        now_ms: u64,
        behind: Option<&[u8]>,
    ) -> (Vec<(&'t Blob, &'t Value)>, bool) {
        let rank = |edge: &[u8], over: bool| {
            let found = keys.rank(|key| match key.bytes().cmp(edge) {
                Ordering::Equal if over => Ordering::Less,
                Ordering::Equal => Ordering::Greater,
                order => order,
            });
            found.unwrap_or_else(|rank| rank)
        };
        let mut low = rank(self.start, false);
        let mut high = if self.end.is_empty() { keys.len() } else { rank(self.end, false) };
        match behind {
            Some(last) if self.reverse => high = high.min(rank(last, false)),
            Some(last) => low = low.max(rank(last, true)),
            None => {}
        }
        let mut slice = keys.slice(low, high.max(low));
        let mut found = Vec::new();
        loop {
            let next = if self.reverse { slice.next_back() } else { slice.next() };
            let Some((key, entry)) = next else { return (found, true) };
            if entry.deadline_ms < now_ms {
                continue;
            }
            if found.len() >= self.most() {
                return (found, false);
            }
            found.push((key, &entry.value));
        }
    }
}

pub(crate) fn range(context: &mut Context<'_>) -> Result<(), Failure> {
    let query = Query::parse(context.args)?;
    let Some(text) = query.cursor else {
        let keys = context.store.keys().clone();
        let (found, _) = query.find(&keys, context.store.now_ms(), None);
        write(context, &query, &found);
        return Ok(());
    };
    let alone = context.alone;
    let now_ms = context.store.now_ms();
    let Held::ToChange { cursors, stamp, nth, .. } = &mut context.held else {
        return Err(Failure::of("ERR SKEIN.RANGE with CURSOR is not allowed in transactions"));
    };
    let (name, last, keys, opened_ms) = if text == b"0" {
        let keys = context.store.keys().clone();
        let name = cursors.open(*stamp, *nth, Opened::new(keys.clone(), now_ms));
        (name, None, keys, now_ms)
    } else {
        let (name, last) = CursorName::parse(text).ok_or(Failure::of("ERR invalid cursor"))?;
        let opened = cursors.touch(name, now_ms).ok_or(Failure::of(
            "ERR this cursor is forgotten: it was not used for a minute, or too many were open; \
             begin again with CURSOR 0",
        ))?;
        (name, Some(last), opened.keys().clone(), opened.opened_ms())
    };
    let (found, all) = query.find(&keys, opened_ms, last.as_deref());
    if all && alone {
        // Over several partitions the page may be cut short again, and this one be asked once more.
        cursors.close(name);
    }
    let next = if all { b"0".to_vec() } else { name.write(found.last().expect("a page is not empty").0.bytes()) };
    // What other partitions tell may end the page earlier: then the name is needed to write another cursor.
    let next = if all && !alone { [b"0 ".as_slice(), &name.write(b"")].concat() } else { next };
    context.answer.array(2);
    context.answer.bulk(&next);
    write(context, &query, &found);
    Ok(())
}

fn write(context: &mut Context<'_>, query: &Query<'_>, found: &[(&Blob, &Value)]) {
    context.answer.array(if query.values { 2 * found.len() } else { found.len() });
    for (key, value) in found {
        context.answer.bulk(key.bytes());
        if query.values {
            match value {
                Value::String(blob) => context.answer.bulk(blob.bytes()),
                _ => context.answer.null(),
            }
        }
    }
}
