//! [`Walk`]: strings read page by page, all as they were when the walk began. It
//! also knows how long the store has to remember it.

use skein_machine::Timestamp;
use skein_service::kv::{MAX_CURSORS, MAX_IDLE_MS};
use skein_sim::check::linear::{Element, Key};
use skein_sim::clients::Meaning;

use super::names::{Names, parse};
use super::step::{At, Next};
use crate::list_words::words;
use crate::redis::{Command, Reply};

/// A walk on its way.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    start: String,
    end: String,
    limit: u64,
    cursor: String,
    /// Those between that were not told yet, by rising name.
    left: Vec<Key>,
    /// The operation that began it, at which time it was last asked for a page, and how many walks were begun by then.
    begun: Option<(usize, Timestamp, u64)>,
    /// Whether one partition has all of it. It forgets the walk with the last page.
    is_alone: bool,
    /// Whether this page was asked for before, and nobody knows what came of it.
    is_again: bool,
}

impl Walk {
    /// Over these strings, which are all that lie between.
    pub(super) fn new(mut keys: Vec<Key>, start: String, end: String, limit: u64, names: &Names) -> Walk {
        let touched = names.placement.touching(start.as_bytes(), end.as_bytes());
        keys.sort_by_key(|key| names.name_of(*key));
        let (cursor, is_alone) = ("0".to_owned(), touched.len() == 1);
        Walk { start, end, limit, cursor, left: keys, begun: None, is_alone, is_again: false }
    }

    pub(super) fn command(&self) -> Command {
        let limit = self.limit.to_string();
        words(&["SKEIN.RANGE", &self.start, &self.end, "LIMIT", &limit, "VALUES", "CURSOR", &self.cursor])
    }

    /// Whether this page is not the first.
    pub(super) fn goes_on(&self) -> bool {
        self.begun.is_some()
    }

    /// The same page once more.
    pub(super) fn again(&self) -> Walk {
        Walk { is_again: true, ..self.clone() }
    }

    pub(super) fn understand(&self, names: &Names, reply: &Reply, at: At, meaning: &mut Meaning) -> Option<Vec<Next>> {
        if let Reply::Error(why) = reply {
            let is_excused = why.starts_with("ERR this cursor is forgotten") && self.may_be_forgotten(at);
            return is_excused.then(Vec::new);
        }
        let Reply::Array(Some(parts)) = reply else { return None };
        let [Reply::Bulk(Some(cursor)), Reply::Array(Some(rows))] = &parts[..] else { return None };
        let cursor = String::from_utf8(cursor.clone()).ok()?;
        let is_over = cursor == "0";
        if rows.len() as u64 > 2 * self.limit || rows.len() % 2 == 1 {
            return None;
        }
        let mut seen: Vec<(Key, Vec<Element>)> = Vec::new();
        let mut left = self.left.iter();
        for row in rows.chunks(2) {
            let [Reply::Bulk(Some(name)), Reply::Bulk(Some(value))] = row else { return None };
            // Those before it are not there. Whoever tells them out of order, or twice, tells something else.
            let key = loop {
                let key = *left.next()?;
                if names.name_of(key).as_bytes() == &name[..] {
                    break key;
                }
                seen.push((key, Vec::new()));
            };
            seen.push((key, parse(value)?));
        }
        if is_over {
            seen.extend(left.by_ref().map(|key| (*key, Vec::new())));
        }
        let first = self.begun.map_or(at.operation, |(first, ..)| first);
        match self.begun {
            None => meaning.saw.extend(seen),
            Some(_) => meaning.earlier.extend(seen.into_iter().map(|(key, list)| (first, key, list))),
        }
        if is_over {
            return Some(Vec::new());
        }
        let begun = Some((first, at.timestamp, self.begun.map_or(at.walks, |(_, _, walks)| walks)));
        Some(vec![Next::Page(Walk { cursor, left: left.copied().collect(), begun, is_again: false, ..self.clone() })])
    }

    /// After a minute, when so many others were begun, or when this was the last page already.
    fn may_be_forgotten(&self, at: At) -> bool {
        let was_the_last = self.is_again && self.is_alone;
        was_the_last
            || self.begun.is_some_and(|(_, used, walks)| {
                let used = At { timestamp: used, ..at };
                at.now_ms() > used.now_ms() + MAX_IDLE_MS || at.walks >= walks + MAX_CURSORS as u64
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    fn page(cursor: &str, rows: &[(&str, &str)]) -> Reply {
        let rows = rows.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]);
        Reply::Array(Some(vec![bulk(cursor), Reply::Array(Some(rows.collect()))]))
    }

    const AT: At = At { timestamp: Timestamp(0), operation: 3, walks: 1, is_recalled: false };

    fn hear(walk: &Walk, reply: &Reply, at: At) -> Option<(Meaning, Option<Walk>)> {
        let mut meaning = Meaning::done();
        let next = walk.understand(&Names::new(2), reply, at, &mut meaning)?.pop();
        let next = next.map(|next| if let Next::Page(walk) = next { walk } else { panic!("{next:?}") });
        Some((meaning, next))
    }

    #[test]
    fn pages_are_of_one_moment_and_skip_nothing() {
        let names = Names::new(2);
        let (keys, start, end) = names.strings_of(0);
        let [one, two, three] = keys[..] else { panic!("{keys:?}") };
        let walk = Walk::new(keys.clone(), start, end, 1, &names);
        let (first, next) = hear(&walk, &page("x", &[("str:0000:1", "00000007")]), AT).unwrap();
        assert_eq!(first.saw, [(one, vec![]), (two, vec![7])]);
        let next = next.unwrap();
        assert_eq!(next.command().join(" "), "SKEIN.RANGE str:0000: str:0000; LIMIT 1 VALUES CURSOR x");
        let (last, over) = hear(&next, &page("0", &[]), At { operation: 9, ..AT }).unwrap();
        assert_eq!(last.earlier, [(3, three, vec![])]);
        assert!(over.is_none() && last.saw.is_empty());
        assert!(hear(&next, &page("0", &[("str:0000:1", "00000007")]), AT).is_none(), "it was told already");
        assert!(hear(&walk, &page("0", &[("str:0000:1", ""), ("str:0000:2", "")]), AT).is_none(), "a page is longer");
    }

    #[test]
    fn it_is_remembered_for_a_minute_and_while_few_are_open() {
        let names = Names::new(2);
        let (keys, start, end) = names.strings_of(0);
        let walk = Walk::new(keys, start, end, 1, &names);
        assert!(!walk.is_alone);
        let next = hear(&walk, &page("x", &[]), AT).unwrap().1.unwrap();
        let forgotten = Reply::Error("ERR this cursor is forgotten: …".to_owned());
        let is_fine = |at: At| hear(&next, &forgotten, at).is_some();
        let later = |ms: u64| At { timestamp: Timestamp(ms * 1_000_000), ..AT };
        assert!(!is_fine(later(MAX_IDLE_MS)) && is_fine(later(MAX_IDLE_MS + 1)));
        let more = MAX_CURSORS as u64;
        assert!(!is_fine(At { walks: more, ..AT }) && is_fine(At { walks: more + 1, ..AT }));
        assert!(hear(&walk, &forgotten, AT).is_none(), "it has not begun");
        assert!(hear(&next.again(), &forgotten, AT).is_none(), "no partition knows that it was the last page");
        let (keys, start, end) = names.strings_at(skein_machine::GroupId::new(0).unwrap(), 0);
        let alone = hear(&Walk::new(keys, start, end, 1, &names), &page("x", &[]), AT).unwrap().1.unwrap();
        assert!(hear(&alone, &forgotten, AT).is_none() && hear(&alone.again(), &forgotten, AT).is_some());
    }
}
