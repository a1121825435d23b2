//! [`Lists`]: the lists of one partition.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::wire::{VERSION, from_bytes, to_bytes};
use skein_machine::{Call, Frozen, GroupId, Reply, Service, Shares, Timestamp};

use super::words::{Deed, View, home};
use crate::check::linear::{Element, Key};

/// The lists of one partition, each element with the note beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lists {
    groups: usize,
    lists: BTreeMap<Key, Vec<(Element, u64)>>,
}

impl Lists {
    /// One of so many partitions.
    pub fn new(groups: usize) -> Lists {
        Lists { groups, lists: BTreeMap::new() }
    }

    /// Every list that something was appended to.
    pub fn all(&self) -> Vec<(Key, Vec<Element>)> {
        let elements = |list: &[(Element, u64)]| list.iter().map(|(element, _)| *element).collect();
        self.lists.iter().map(|(key, list)| (*key, elements(list))).collect()
    }

    /// Those of these lists that are here.
    fn view(&self, keys: impl IntoIterator<Item = Key>, group: GroupId) -> View {
        let here = keys.into_iter().filter(|key| home(*key, self.groups) == group);
        View(here.map(|key| (key, self.lists.get(&key).cloned().unwrap_or_default())).collect())
    }

    fn append(&mut self, (key, element): (Key, Element), note: u64, group: GroupId) {
        if home(key, self.groups) == group {
            self.lists.entry(key).or_default().push((element, note));
        }
    }
}

fn deed(command: &Bytes) -> Deed {
    from_bytes(command.clone(), VERSION).unwrap_or_else(|error| panic!("lists are asked for what is no deed: {error}"))
}

impl Service for Lists {
    fn share(&self, call: &Call<'_>) -> Option<Bytes> {
        match deed(call.command) {
            Deed::Gather { from, .. } => Some(to_bytes(&self.view(from, call.group))),
            _ => None,
        }
    }

    fn apply(&mut self, call: &Call<'_>, shares: &Shares) -> Reply {
        match deed(call.command) {
            Deed::Append(appends) => {
                appends.into_iter().for_each(|append| self.append(append, 0, call.group));
                View::default().into_reply()
            }
            Deed::Look(keys) => self.view(keys, call.group).into_reply(),
            Deed::Gather { from, to } => {
                let mut all = self.view(from, call.group);
                for (_, share) in shares.iter() {
                    let theirs: View = from_bytes(share.clone(), VERSION).expect("a share is a view");
                    all.0.extend(theirs.0);
                }
                all.0.sort_unstable();
                self.append(to, all.length(), call.group);
                all.into_reply()
            }
        }
    }

    fn read(&self, _: Timestamp, query: &Bytes) -> Reply {
        let Deed::Look(keys) = deed(query) else { panic!("a question changes nothing") };
        let here = keys.into_iter().map(|key| (key, self.lists.get(&key).cloned().unwrap_or_default()));
        View(here.collect()).into_reply()
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        let all = View(self.lists.iter().map(|(key, list)| (*key, list.clone())).collect());
        // Piece by piece, as larger services have to.
        let bytes = to_bytes(&all);
        Box::new(Pieces(bytes))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        let all: View = from_bytes(snapshot, VERSION).map_err(|error| error.to_string())?;
        self.lists = all.0.into_iter().collect();
        Ok(())
    }
}

/// A state, a few bytes at a time.
struct Pieces(Bytes);

impl Frozen for Pieces {
    fn next(&mut self, about: usize) -> Option<Bytes> {
        const LONGEST: usize = 512;
        let length = about.min(LONGEST).min(self.0.len());
        (length > 0).then(|| self.0.split_to(length))
    }
}
