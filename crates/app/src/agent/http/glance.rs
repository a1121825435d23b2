//! What is copied from an agent's machine so that it can be told at leisure:
//! [`Glance`], [`Crowd`], [`Entry`]. All of this runs on the machine's thread, so
//! it copies little, and makes no text.

use bytes::Bytes;
use skein_edge::map::{Key, Map};
use skein_edge::membership::{Listed, MAX_MEMBERS};
use skein_edge::owners::{Owners, pull};
use skein_edge::spread::Line;
use skein_edge::{Agent, Member, MemberId, Name};
use skein_machine::Time;

/// Lines of members that are told at once: more than twice the largest fleet. What makes more is no fleet.
pub(super) const MOST_LINES: usize = 2 * MAX_MEMBERS + 1;

/// How an agent is, and among whom origins are divided.
pub(super) struct Glance {
    pub(super) is_inside: bool,
    pub(super) is_ready: bool,
    /// Those of its place who live, itself among them.
    living: Vec<(Name, u32)>,
}

impl Glance {
    pub(super) fn of(agent: &Agent) -> Glance {
        let living = agent.membership().living().map(|member| (member.name.clone(), member.weight));
        Glance {
            is_inside: agent.membership().is_inside(),
            is_ready: agent.spread().is_ready(),
            living: living.collect(),
        }
    }

    /// Who looks after what, as all who live here reckon it.
    pub(super) fn duties(&self) -> Duties {
        let owners = Owners::new(self.living.iter().map(|(name, weight)| (name.id(), *weight)));
        let mut names: Vec<_> = self.living.iter().map(|(name, _)| (name.id(), name.clone())).collect();
        names.sort_unstable();
        Duties { owners, names }
    }
}

/// Who looks after which origin in this place.
pub(super) struct Duties {
    owners: Owners,
    names: Vec<(MemberId, Name)>,
}

impl Duties {
    pub(super) fn owner(&self, origin: &Name) -> Option<&Name> {
        let owner = self.owners.owner(origin.as_str().as_bytes())?;
        let place = self.names.binary_search_by_key(&owner, |(id, _)| *id).ok()?;
        Some(&self.names[place].1)
    }
}

/// Everybody of whom the agent knows.
pub(super) struct Crowd {
    pub(super) now: Time,
    pub(super) is_inside: bool,
    pub(super) is_ready: bool,
    pub(super) me: Member,
    /// As all places know them.
    pub(super) lines: Vec<Line>,
    /// The others of this place, as the gossip knows them.
    pub(super) others: Vec<Listed>,
    pub(super) left_off: usize,
}

impl Crowd {
    pub(super) fn of(agent: &Agent, now: Time) -> Crowd {
        let mut all = agent.spread().lines();
        let lines: Vec<_> = all.by_ref().take(MOST_LINES).cloned().collect();
        Crowd {
            now,
            is_inside: agent.membership().is_inside(),
            is_ready: agent.spread().is_ready(),
            me: agent.membership().me().clone(),
            lines,
            others: agent.membership().others().cloned().collect(),
            left_off: all.count(),
        }
    }
}

/// A key, and what is shown under it.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Bytes,
    /// Who has written it.
    pub(super) writer: Option<MemberId>,
}

/// So many keys are read in one look. That takes a millisecond or two; then others have their turn.
pub(super) const PIECE: usize = 1_024;

/// The keys that begin so and come after this one: so many at most, and no more than a [`PIECE`].
pub(super) fn piece(map: &Map, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Vec<Entry> {
    let entry = |(key, value): (&Key, &Bytes)| Entry {
        key: key.clone(),
        value: value.clone(),
        writer: shown(map, key).map(|(writer, _)| writer),
    };
    let most = most.min(PIECE);
    match after {
        Some(after) => map.with_prefix_after(prefix, after).take(most).map(entry).collect(),
        None => map.with_prefix(prefix).take(most).map(entry).collect(),
    }
}

/// Who has written what is shown under a key.
pub(super) fn shown<'a>(map: &'a Map, key: &[u8]) -> Option<(MemberId, &'a Bytes)> {
    let highest = map.values(key).max_by_key(|(dot, _)| (pull(dot.actor.member, key), *dot));
    highest.map(|(dot, value)| (dot.actor.member, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_edge::dots::Actor;

    #[test]
    fn who_has_written_what_is_shown_is_whom_the_map_shows() {
        let map = |member| Map::new(Actor { member: MemberId(member), life: 1 });
        let mut maps: Vec<Map> = (1..=5).map(map).collect();
        for key in (0..50).map(|nth| format!("key-{nth}")) {
            for (nth, map) in (1..).zip(&mut maps) {
                map.put(key.as_bytes(), vec![nth].into()).unwrap();
            }
        }
        let mut all = maps.remove(0);
        for map in &mut maps {
            let seen = all.seen().clone();
            map.beyond(all.actor(), &seen, usize::MAX).into_iter().for_each(|delta| drop(all.merge(delta).unwrap()));
        }
        for (key, value) in all.iter() {
            assert_eq!(shown(&all, key), Some((MemberId(u64::from(value[0])), value)));
        }
        assert_eq!(shown(&all, b"no such key"), None);
        let mut keys = Vec::new();
        while let Some(last) = piece(&all, b"key-", keys.last().map(|key: &Key| &**key), 7).pop() {
            keys.push(last.key);
        }
        assert_eq!(keys.len(), 8, "seven at a time");
    }
}
