//! [`Step`]: one command on lists, how it is said, and what its reply means. It
//! does not know who asks, or what else is asked for.

use skein_machine::Timestamp;
use skein_sim::check::linear::{Element, Fate, Key};
use skein_sim::clients::Meaning;

use super::names::{Kind, Names, count, parse, text};
use super::walk::Walk;
use crate::list_words::{append, element, length, list, look, words};
use crate::redis::{Command, Reply};

/// More than any list has.
const ALL: &str = "1000000";

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// One command.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// RPUSH or APPEND.
    Append(Key, Element),
    /// LRANGE or GET.
    See(Key),
    /// MGET.
    SeeStrings(Vec<Key>),
    /// MSET of strings as they were seen, each with something appended.
    Write(Vec<(Key, Vec<Element>)>),
    /// MSETNX: all of them, or none.
    SetNew(Vec<Key>, Element),
    /// RPUSH to a box that nobody else knows.
    Fill(Element),
    /// The same, and what is in it is moved later.
    Keep(Element),
    /// LMOVE from that box to a list.
    Take(Element, Key),
    /// RENAMENX of that box, if there is no such list.
    Name(Element, Key),
    /// COPY to a name that nobody else knows.
    Copy(Key, Element),
    /// LPOP or GETDEL of the copy, which shows what the one saw who made it.
    Fetch { copy: Element, of: Key, operation: usize },
    /// SKEIN.VERSION, which is what WATCH asks for.
    Versions(Vec<Key>),
    /// SKEIN.RANGE, a page of it.
    Page(Walk),
    /// SET with a deadline, so many milliseconds from now.
    Light(Element, u64),
    /// GET of what has a deadline.
    Glance(Lamp),
    /// COPY of it: the other goes out at the same time.
    Share(Lamp, Element),
}

/// Something with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lamp {
    pub(super) number: Element,
    pub(super) deadline_ms: u64,
}

/// What an answer makes possible.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// To look at these keys, and to change something only if they still have these versions.
    Look(Vec<(Key, u64)>),
    /// To change something if these keys are as they were seen.
    Change(Vec<Bound>),
    /// To move what is in this box.
    Move(Element),
    /// To see what was copied.
    Fetch { copy: Element, of: Key, operation: usize },
    /// To go on.
    Page(Walk),
    /// To look whether it still burns.
    Glance(Lamp),
}

/// A key that must be as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) key: Key,
    pub(super) version: u64,
    pub(super) list: Vec<Element>,
}

/// Where a reply stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) timestamp: Timestamp,
    pub(super) operation: usize,
    /// How many walks were begun by now.
    pub(super) walks: u64,
    /// Whether nothing that was not seen already had to be seen.
    pub(super) is_recalled: bool,
}

impl At {
    /// The time in the order.
    pub(super) fn now_ms(&self) -> u64 {
        self.timestamp.0 / NANOSECONDS_PER_MS
    }
}

fn box_of(element: Element) -> String {
    format!("box:{element}")
}

fn copy_of(element: Element) -> String {
    format!("copy:{element}")
}

impl Step {
    pub(super) fn command(&self, names: &Names) -> Command {
        let name = |key: &Key| names.name_of(*key);
        let all = |first: &str, keys: &[Key]| {
            let mut command = words(&[first]);
            command.extend(keys.iter().map(name));
            command
        };
        let pairs = |first: &str, pairs: &mut dyn Iterator<Item = (Key, String)>| {
            let mut command = words(&[first]);
            command.extend(pairs.flat_map(|(key, value)| [names.name_of(key), value]));
            command
        };
        match self {
            Step::Append(key, element) if names.kind_of(*key) == Kind::List => append(&name(key), *element),
            Step::Append(key, element) => words(&["APPEND", &name(key), &text(&[*element])]),
            Step::See(key) if names.kind_of(*key) == Kind::List => look(&name(key)),
            Step::See(key) => words(&["GET", &name(key)]),
            Step::SeeStrings(keys) => all("MGET", keys),
            Step::Write(lists) => pairs("MSET", &mut lists.iter().map(|(key, list)| (*key, text(list)))),
            Step::SetNew(keys, element) => pairs("MSETNX", &mut keys.iter().map(|key| (*key, text(&[*element])))),
            Step::Fill(element) | Step::Keep(element) => append(&box_of(*element), *element),
            Step::Take(element, key) => words(&["LMOVE", &box_of(*element), &name(key), "LEFT", "RIGHT"]),
            Step::Name(element, key) => words(&["RENAMENX", &box_of(*element), &name(key)]),
            Step::Copy(key, copy) => words(&["COPY", &name(key), &copy_of(*copy)]),
            Step::Fetch { copy, of, .. } if names.kind_of(*of) == Kind::List => words(&["LPOP", &copy_of(*copy), ALL]),
            Step::Fetch { copy, .. } => words(&["GETDEL", &copy_of(*copy)]),
            Step::Versions(keys) => all("SKEIN.VERSION", keys),
            Step::Page(walk) => walk.command(),
            Step::Light(lamp, after_ms) => words(&["SET", &name(&names.lamp(*lamp)), "1", "PX", &after_ms.to_string()]),
            Step::Glance(lamp) => words(&["GET", &name(&names.lamp(lamp.number))]),
            Step::Share(lamp, other) => words(&["COPY", &name(&names.lamp(lamp.number)), &name(&names.lamp(*other))]),
        }
    }

    /// What it appends if it happens.
    pub(super) fn appends(&self) -> Vec<(Key, Element)> {
        match self {
            Step::Append(key, element) | Step::Take(element, key) | Step::Name(element, key) => vec![(*key, *element)],
            Step::SetNew(keys, element) => keys.iter().map(|key| (*key, *element)).collect(),
            Step::Write(lists) => {
                lists.iter().map(|(key, list)| (*key, *list.last().expect("something is appended"))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a reply means, into `meaning`, and what it makes possible. None: it makes no sense.
    pub(super) fn understand(&self, names: &Names, reply: &Reply, at: At, meaning: &mut Meaning) -> Option<Vec<Next>> {
        let done = Some(Vec::new());
        match (self, reply) {
            (Step::Append(key, element), reply) => {
                let length = length(reply)?;
                let nth = if names.kind_of(*key) == Kind::List { length } else { count(length)? };
                meaning.places.push((*key, *element, nth));
                done
            }
            (Step::See(key), reply) => {
                meaning.saw.push((*key, seen(names.kind_of(*key), reply)?));
                done
            }
            (Step::SeeStrings(keys), Reply::Array(Some(replies))) if replies.len() == keys.len() => {
                for (key, reply) in keys.iter().zip(replies) {
                    meaning.saw.push((*key, seen(Kind::String, reply)?));
                }
                done
            }
            (Step::Write(_), Reply::Simple(word)) if word == "OK" => done,
            (Step::SetNew(keys, _), Reply::Integer(1)) => {
                meaning.saw.extend(keys.iter().map(|key| (*key, Vec::new())));
                done
            }
            (Step::Name(_, key), Reply::Integer(1)) => {
                meaning.saw.push((*key, Vec::new()));
                done
            }
            (Step::SetNew(..) | Step::Name(..), Reply::Integer(0)) => {
                meaning.fate = Fate::Never;
                done
            }
            (Step::Fill(_), Reply::Integer(1)) => done,
            (Step::Keep(kept), Reply::Integer(1)) => Some(vec![Next::Move(*kept)]),
            (Step::Take(taken, _), reply) if element(reply) == Some(*taken) => done,
            (Step::Copy(key, _), Reply::Integer(0)) => {
                meaning.saw.push((*key, Vec::new()));
                done
            }
            (Step::Copy(key, copy), Reply::Integer(1)) => {
                Some(vec![Next::Fetch { copy: *copy, of: *key, operation: at.operation }])
            }
            // Only what is there can be copied.
            (Step::Fetch { of, operation, .. }, reply) => {
                let list = seen(names.kind_of(*of), reply).filter(|list| !list.is_empty())?;
                meaning.earlier.push((*operation, *of, list));
                done
            }
            (Step::Versions(keys), Reply::Array(Some(replies))) if replies.len() == keys.len() => {
                let version = |(key, reply): (&Key, &Reply)| match reply {
                    Reply::Integer(version) => Some((*key, u64::try_from(*version).ok()?)),
                    _ => None,
                };
                let versions = keys.iter().zip(replies).map(version).collect::<Option<Vec<_>>>()?;
                Some(vec![Next::Look(versions)])
            }
            (Step::Page(walk), reply) => walk.understand(names, reply, at, meaning),
            (Step::Light(number, after_ms), Reply::Simple(word)) if word == "OK" => {
                Some(vec![lit(names, Lamp { number: *number, deadline_ms: at.now_ms() + after_ms }, meaning)])
            }
            (Step::Glance(lamp), Reply::Bulk(value)) => {
                lamp.see(names, value.is_some(), at, meaning);
                done
            }
            (Step::Share(lamp, number), Reply::Integer(copied @ 0..=1)) => {
                let burns = *copied == 1;
                lamp.see(names, burns, at, meaning);
                let next = burns.then(|| lit(names, Lamp { number: *number, ..*lamp }, meaning));
                Some(next.into_iter().collect())
            }
            _ => None,
        }
    }
}

/// The list that a reply shows.
fn seen(kind: Kind, reply: &Reply) -> Option<Vec<Element>> {
    match (kind, reply) {
        (Kind::List, reply) => list(reply),
        (_, Reply::Bulk(None)) => Some(Vec::new()),
        (_, Reply::Bulk(Some(bytes))) => parse(bytes),
        _ => None,
    }
}

/// A lamp is a list to which its deadline appends the one element there is. So whoever sees it gone is behind that
/// moment, and whoever sees it burn before.
fn lit(names: &Names, lamp: Lamp, meaning: &mut Meaning) -> Next {
    meaning.expected.push((format!("the deadline of lamp {}", lamp.number), names.lamp(lamp.number), lamp.number));
    Next::Glance(lamp)
}

impl Lamp {
    fn see(self, names: &Names, burns: bool, at: At, meaning: &mut Meaning) {
        let Lamp { number, deadline_ms } = self;
        if at.is_recalled && !burns {
            return; // perhaps it has not been lit yet, where this was read
        }
        meaning.saw.push((names.lamp(number), if burns { Vec::new() } else { vec![number] }));
        if burns != (at.now_ms() <= deadline_ms) {
            let word = if burns { "is still there" } else { "is gone" };
            let now_ms = at.now_ms();
            meaning.oddities.push(format!("lamp {number} {word} at {now_ms} ms, and its deadline is {deadline_ms} ms"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: At = At { timestamp: Timestamp(5 * NANOSECONDS_PER_MS), operation: 3, walks: 0, is_recalled: false };

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    fn said(step: &Step) -> String {
        step.command(&Names::new(2)).join(" ")
    }

    /// What a reply means, with how many things follow.
    fn meant(step: &Step, reply: &Reply) -> Option<(Meaning, usize)> {
        let mut meaning = Meaning::done();
        let next = step.understand(&Names::new(2), reply, AT, &mut meaning)?;
        Some((meaning, next.len()))
    }

    #[test]
    fn steps_are_commands() {
        let names = Names::new(2);
        let (slot, new) = (names.first(1, Kind::List), names.first(1, Kind::String));
        let cases = [
            (Step::Append(0, 7), "RPUSH list:0000:0 7"),
            (Step::Append(5, 7), "APPEND str:0000:0 00000007"),
            (Step::See(0), "LRANGE list:0000:0 0 -1"),
            (Step::SeeStrings(vec![5, 8]), "MGET str:0000:0 home00:0000"),
            (Step::Write(vec![(5, vec![1, 2])]), "MSET str:0000:0 0000000100000002"),
            (Step::SetNew(vec![5, new], 3), "MSETNX str:0000:0 00000003 first:3 00000003"),
            (Step::Fill(9), "RPUSH box:9 9"),
            (Step::Take(9, 1), "LMOVE box:9 list:0000:1 LEFT RIGHT"),
            (Step::Name(9, slot), "RENAMENX box:9 first:2"),
            (Step::Copy(0, 4), "COPY list:0000:0 copy:4"),
            (Step::Fetch { copy: 4, of: 0, operation: 1 }, "LPOP copy:4 1000000"),
            (Step::Fetch { copy: 4, of: 5, operation: 1 }, "GETDEL copy:4"),
            (Step::Versions(vec![0, 5]), "SKEIN.VERSION list:0000:0 str:0000:0"),
            (Step::Light(6, 30), "SET lamp:6 1 PX 30"),
            (Step::Share(Lamp { number: 6, deadline_ms: 1 }, 7), "COPY lamp:6 lamp:7"),
        ];
        for (step, expected) in cases {
            assert_eq!(said(&step), expected);
        }
    }

    #[test]
    fn replies_say_what_was_seen_and_done() {
        let (append, _) = meant(&Step::Append(5, 7), &Reply::Integer(24)).unwrap();
        assert_eq!(append.places, [(5, 7, 3)]);
        let (see, _) = meant(&Step::See(5), &bulk("0000000100000002")).unwrap();
        assert_eq!(see.saw, [(5, vec![1, 2])]);
        let (new, _) = meant(&Step::SetNew(vec![5, 6], 3), &Reply::Integer(1)).unwrap();
        assert_eq!((new.fate, new.saw), (Fate::Done, vec![(5, vec![]), (6, vec![])]));
        let (taken, _) = meant(&Step::SetNew(vec![5, 6], 3), &Reply::Integer(0)).unwrap();
        assert_eq!((taken.fate, taken.saw.len()), (Fate::Never, 0));
        let fetch = Step::Fetch { copy: 4, of: 0, operation: 1 };
        let (fetched, _) = meant(&fetch, &Reply::Array(Some(vec![bulk("8")]))).unwrap();
        assert_eq!(fetched.earlier, [(1, 0, vec![8])]);
        assert!(meant(&Step::Copy(0, 4), &Reply::Integer(1)).unwrap().1 == 1);
        assert!(meant(&Step::Versions(vec![0]), &Reply::Array(Some(vec![Reply::Integer(9)]))).unwrap().1 == 1);
    }

    #[test]
    fn what_makes_no_sense_is_noticed() {
        for (step, reply) in [
            (Step::Append(5, 7), Reply::Integer(23)),
            (Step::See(0), Reply::Error("ERR no".to_owned())),
            (Step::Take(9, 1), Reply::Bulk(None)),
            (Step::Fill(9), Reply::Integer(2)),
            (Step::Fetch { copy: 4, of: 5, operation: 1 }, Reply::Bulk(None)),
            (Step::Write(Vec::new()), Reply::Integer(1)),
        ] {
            assert!(meant(&step, &reply).is_none(), "{step:?} {reply:?}");
        }
    }

    #[test]
    fn a_lamp_burns_up_to_its_deadline() {
        for (deadline_ms, burns, is_odd) in [(5, true, false), (4, true, true), (5, false, true), (4, false, false)] {
            let reply = if burns { bulk("1") } else { Reply::Bulk(None) };
            let (meaning, _) = meant(&Step::Glance(Lamp { number: 6, deadline_ms }), &reply).unwrap();
            assert_eq!(!meaning.oddities.is_empty(), is_odd, "{deadline_ms} {burns}");
            assert_eq!(meaning.saw[0].1.is_empty(), burns);
        }
        let recalled = At { is_recalled: true, ..AT };
        let mut meaning = Meaning::done();
        let glance = Step::Glance(Lamp { number: 6, deadline_ms: 5 });
        glance.understand(&Names::new(2), &Reply::Bulk(None), recalled, &mut meaning).unwrap();
        assert!(meaning.oddities.is_empty() && meaning.saw.is_empty(), "it was not lit there yet");
        let (lit, next) = meant(&Step::Light(6, 30), &Reply::Simple("OK".to_owned())).unwrap();
        assert_eq!((lit.expected.len(), next), (1, 1));
    }
}
