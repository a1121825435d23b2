//! [`Room`]: how many keys of which kind a map has, and whether more fit. What
//! users write takes no room from what the fleet itself writes: a map that is
//! full of their keys still takes what members find, and the line of a newcomer,
//! without which nobody elsewhere would hear of it and nothing be forgotten.

/// Keys of users in one map. Every member has all of them in memory.
pub const MAX_KEYS: usize = 1 << 20;

/// Keys under which members write what they find: twenty thousand origins, each seen from fifty places.
pub const MAX_FINDINGS: usize = 1 << 20;

/// Members of all places that were not expelled, with room for many times the largest fleet.
pub const MAX_LINES: usize = 1 << 16;

/// Keys that begin so are the fleet's own.
pub const RESERVED: &[u8] = b"@";

/// And so those under which it stands who its members are.
pub(crate) const MEMBERS: &[u8] = b"@member/";

/// How many keys of each kind there are: of users, findings, lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room([usize; 3]);

const MOST: [usize; 3] = [MAX_KEYS, MAX_FINDINGS, MAX_LINES];

fn kind(key: &[u8]) -> usize {
    usize::from(key.starts_with(RESERVED)) + usize::from(key.starts_with(MEMBERS))
}

/// So many come in from others: of a map that is all but full each member may fill what is left in its own way.
const fn most_of_others(most: usize) -> usize {
    most + (most >> 3)
}

impl Room {
    pub(super) fn add(&mut self, key: &[u8]) {
        self.0[kind(key)] += 1;
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0[kind(key)] -= 1;
    }

    /// Whether one more fits, if it is written here.
    pub(super) fn has_one_for(&self, key: &[u8]) -> bool {
        self.0[kind(key)] < MOST[kind(key)]
    }

    /// Whether so many more fit, of whatever kind, if others wrote them.
    pub(super) fn has_some(&self, count: usize) -> bool {
        self.0.iter().zip(MOST).all(|(own, most)| own.saturating_add(count) <= most_of_others(most))
    }

    /// Whether these fit, if others wrote them.
    pub(super) fn has_some_for<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut more = [0; 3];
        keys.for_each(|key| more[kind(key)] += 1);
        (0..more.len()).all(|kind| more[kind] == 0 || self.0[kind] + more[kind] <= most_of_others(MOST[kind]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_room_of_its_own() {
        let mut room = Room::default();
        let full = |key: &[u8], most: usize, room: &mut Room| {
            (0..most).for_each(|_| {
                assert!(room.has_one_for(key));
                room.add(key);
            });
            assert!(!room.has_one_for(key));
        };
        full(b"user", MAX_KEYS, &mut room);
        full(b"@origin/p/o", MAX_FINDINGS, &mut room);
        full(b"@member/m", MAX_LINES, &mut room);
        let line = b"@member/m".as_slice();
        assert!(room.has_some(MAX_LINES >> 3) && !room.has_some((MAX_LINES >> 3) + 1) && !room.has_some(usize::MAX));
        (0..MAX_LINES >> 3).for_each(|_| room.add(line));
        assert!(!room.has_some_for([line].into_iter()) && room.has_some_for([b"user".as_slice()].into_iter()));
        room.remove(line);
        assert!(room.has_some_for([line].into_iter()) && !room.has_some_for([line, line].into_iter()));
    }
}
