//! [`ListsTongue`]: what clients of the lists ask for, and what they are told.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::wire::to_bytes;
use skein_machine::{GroupId, GroupSet, Random};

use super::words::{Deed, View, home};
use crate::check::linear::{Element, Key};
use crate::clients::{Asker, Habits, Heard, Meaning, Tongue, Way, Wish};

/// Lists of each partition. Few, so that everybody gets in everybody's way.
const LISTS: u64 = 2;

/// How clients of the lists speak.
#[derive(Clone, Debug)]
pub struct ListsTongue {
    groups: usize,
    next_element: Element,
    /// What the one who appended an element saw, and what stands beside it.
    notes: BTreeMap<Element, u64>,
}

impl ListsTongue {
    /// For lists in so many partitions.
    pub fn new(groups: usize) -> ListsTongue {
        ListsTongue { groups, next_element: 1, notes: BTreeMap::new() }
    }

    fn keys_of(&self, group: GroupId) -> Vec<Key> {
        (0..LISTS).map(|nth| group.index() as u64 + nth * self.groups as u64).collect()
    }

    fn append(&mut self, keys: &[Key]) -> Deed {
        let element = self.element();
        Deed::Append(keys.iter().map(|key| (*key, element)).collect())
    }

    fn element(&mut self) -> Element {
        self.next_element += 1;
        self.next_element
    }

    /// What stands beside an element is the same for everybody.
    fn note(&mut self, element: Element, note: u64, oddities: &mut Vec<String>) {
        let first = *self.notes.entry(element).or_insert(note);
        if first != note {
            oddities.push(format!("{note} stands beside {element}, and somebody saw {first} there"));
        }
    }
}

impl Tongue for ListsTongue {
    type Deed = Deed;

    fn wish(&mut self, asker: Asker, habits: &Habits, random: &mut Random) -> Wish<Deed> {
        let keys = LISTS * self.groups as u64;
        let dice = random.fraction();
        // Who names what it asks for changes something: there is nothing in looking twice.
        if !asker.is_named && dice < 0.3 {
            let deeds = vec![Deed::Look(self.keys_of(asker.group))];
            let recalls = habits.causal > 0.0 && random.chance(habits.causal);
            return Wish { deeds, way: if recalls { Way::Recall } else { Way::Read } };
        }
        let mut some: Vec<Key> = match habits.local {
            None => (0..keys).filter(|_| random.chance(0.4)).collect(),
            Some(local) if random.chance(local) => vec![asker.group.index() as u64],
            Some(_) => {
                let first = random.below(keys);
                vec![first, (first + 1 + random.below(keys - 1)) % keys]
            }
        };
        if some.is_empty() {
            some.push(random.below(keys));
        }
        let first = if dice < 0.6 {
            let one_only = habits.local.is_none() && random.chance(0.5);
            some.truncate(if one_only { 1 } else { some.len() });
            self.append(&some)
        } else if dice < 0.8 {
            Deed::Look(some)
        } else {
            let to = random.below(keys);
            some.retain(|key| *key != to);
            Deed::Gather { from: some, to: (to, self.element()) }
        };
        let mut deeds = vec![first];
        // Of what is asked for under a name only the last is remembered.
        if !asker.is_named && habits.most_at_once > 1 {
            for _ in 1..random.between(1, habits.most_at_once) {
                let keys = deeds[0].keys();
                let next = match random.below(3) {
                    0 => self.append(&keys),
                    1 => Deed::Look(keys),
                    _ => Deed::Gather { from: keys[1..].to_vec(), to: (keys[0], self.element()) },
                };
                deeds.push(next);
            }
        }
        Wish { deeds, way: Way::Order }
    }

    fn look_at_everything(&mut self, group: GroupId) -> Deed {
        let keys = self.keys_of(group);
        assert!(keys.iter().all(|key| home(*key, self.groups) == group), "lists live elsewhere");
        Deed::Look(keys)
    }

    fn groups(&self, deed: &Deed) -> GroupSet {
        deed.groups(self.groups)
    }

    fn bytes(&self, deed: &Deed) -> Bytes {
        to_bytes(deed)
    }

    fn words(&self, deed: &Deed) -> String {
        format!("{deed:?}")
    }

    fn appends(&self, deed: &Deed) -> Vec<(Key, Element)> {
        deed.appends()
    }

    fn understand(&mut self, deed: &Deed, heard: Heard<'_>) -> Meaning {
        let mut meaning = Meaning::done();
        let mut views: Vec<View> = heard.replies.iter().map(|(_, reply)| View::from_reply(reply)).collect();
        if let Deed::Gather { from, to } = deed {
            if views.iter().any(|view| *view != views[0]) {
                meaning.oddities.push("its partitions answered differently".to_owned());
            }
            views.truncate(1);
            let held = views[0].0.iter().map(|(key, _)| *key);
            let mut wanted = from.clone();
            wanted.sort_unstable();
            if !held.eq(wanted.iter().copied()) {
                meaning.oddities.push("it was told of other lists".to_owned());
            }
            self.note(to.1, views[0].length(), &mut meaning.oddities);
        }
        for (key, list) in views.into_iter().flat_map(|view| view.0) {
            for (element, note) in &list {
                self.note(*element, *note, &mut meaning.oddities);
            }
            meaning.saw.push((key, list.into_iter().map(|(element, _)| element).collect()));
        }
        meaning
    }
}
