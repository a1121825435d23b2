//! Laws of the map, one by one and over arbitrary interleavings.

mod fleet;
mod lives;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use skein_machine::wire::{self, VERSION};

use super::{Adopted, Cut, Delta, Map, Unmerged};
use crate::dots::{Actor, Dot, Dots};
use crate::owners::pull;
use crate::{MemberId, Planted};
use fleet::{Fleet, run};

const ALL: usize = usize::MAX;

fn actor(member: u64, life: u64) -> Actor {
    Actor { member: MemberId(member), life }
}

fn map(member: u64) -> Map {
    Map::new(actor(member, 1))
}

/// Everything that one lacks of the other, by way of bytes.
fn tell(from: &mut Map, to: &mut Map) -> Vec<super::Key> {
    from.beyond(to.actor(), to.seen(), ALL)
        .into_iter()
        .flat_map(|delta| to.merge(crossed(&delta)).unwrap().changed)
        .collect()
}

/// What these report together.
fn of(maps: &[&Map]) -> super::Report {
    let mut reports = maps.iter().map(|map| map.report().unwrap());
    let first = reports.next().unwrap();
    reports.fold(first, |mut all, next| {
        assert!(all.join(&next));
        wire::from_bytes(wire::to_bytes(&all), VERSION).unwrap()
    })
}

fn crossed(delta: &Delta) -> Delta {
    wire::from_bytes(wire::to_bytes(delta), VERSION).unwrap()
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn a_value_travels_and_is_replaced() {
    let (mut a, mut b) = (map(1), map(2));
    a.put(b"k", value("one")).unwrap();
    assert_eq!(tell(&mut a, &mut b), [b"k"[..].into()]);
    b.put(b"k", value("two")).unwrap();
    assert_eq!(tell(&mut b, &mut a), [b"k"[..].into()]);
    assert_eq!(a.get(b"k"), Some(&value("two")));
    assert_eq!(a.values(b"k").count(), 1);
    assert_eq!(tell(&mut a, &mut b).len(), 0, "nothing is new");
    assert_eq!(a, b);
}

#[test]
fn a_map_is_read_in_pieces() {
    let mut map = map(1);
    for key in ["a", "ba", "bb", "bc", "bd", "c"] {
        map.put(key.as_bytes(), value("x")).unwrap();
    }
    map.remove(b"bb");
    let after = |key: &str| -> Vec<String> {
        let rest = map.with_prefix_after(b"b", key.as_bytes());
        rest.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
    };
    assert_eq!(after(""), ["ba", "bc", "bd"]);
    assert_eq!(after("ab"), ["ba", "bc", "bd"], "what comes before all of them leaves none out");
    assert_eq!(after("ba"), ["bc", "bd"]);
    assert_eq!(after("bb"), ["bc", "bd"], "of what is removed the place is left");
    assert!(after("bd").is_empty() && after("z").is_empty());
}

#[test]
fn values_that_did_not_know_each_other_stay_and_one_is_shown() {
    let (mut a, mut b) = (map(1), map(2));
    a.put(b"k", value("a")).unwrap();
    b.put(b"k", value("b")).unwrap();
    let higher = if pull(MemberId(1), b"k") > pull(MemberId(2), b"k") { value("a") } else { value("b") };
    tell(&mut a, &mut b);
    tell(&mut b, &mut a);
    assert_eq!((a.values(b"k").count(), a.get(b"k")), (2, Some(&higher)));
    assert_eq!(a, b);
    // Whoever writes next knew both.
    b.put(b"k", value("c")).unwrap();
    tell(&mut b, &mut a);
    assert_eq!((a.values(b"k").count(), a.get(b"k")), (1, Some(&value("c"))));
}

#[test]
fn a_removal_travels_takes_what_it_saw_and_nothing_else() {
    let (mut a, mut b) = (map(1), map(2));
    a.put(b"k", value("seen")).unwrap();
    tell(&mut a, &mut b);
    assert!(b.remove(b"k").is_some());
    assert!(b.remove(b"k").is_none(), "it is gone");
    a.put(b"k", value("unseen")).unwrap();
    tell(&mut b, &mut a);
    tell(&mut a, &mut b);
    assert_eq!(a.get(b"k"), Some(&value("unseen")));
    assert_eq!((a.removals(), a.len()), (1, 1));
    assert_eq!(a, b);
}

#[test]
fn a_part_that_was_lost_is_asked_for_again() {
    let (mut a, mut b) = (map(1), map(2));
    for nth in 0..20 {
        a.put(format!("key-{nth}").as_bytes(), value("v")).unwrap();
    }
    let parts = a.beyond(b.actor(), b.seen(), 200);
    assert!(parts.len() > 3, "{} parts", parts.len());
    for part in &parts {
        assert!(wire::to_bytes(part).len() <= 200, "a part of {} bytes", wire::to_bytes(part).len());
    }
    // All but one arrive, the later ones first.
    for part in parts.iter().rev().filter(|part| **part != parts[1]) {
        b.merge(part.clone()).unwrap();
    }
    assert_ne!(a, b);
    tell(&mut a, &mut b);
    assert_eq!(a, b);
}

#[test]
fn what_everybody_has_is_forgotten() {
    let (mut a, mut b) = (map(1), map(2));
    let lives = BTreeMap::from([(MemberId(1), 1), (MemberId(2), 1)]);
    a.put(b"gone", value("v")).unwrap();
    a.put(b"kept", value("v")).unwrap();
    tell(&mut a, &mut b);
    b.remove(b"gone").unwrap();
    b.put(b"kept", value("w")).unwrap();
    assert!(a.next_cut(&of(&[&a]), &lives).is_some(), "alone one forgets alone");
    let cut = a.next_cut(&of(&[&a, &b]), &lives).unwrap();
    assert_eq!(b.adopt(&cut), Adopted::Yes);
    assert_eq!(b.removals(), 1, "not everybody had it");
    let told = a.beyond(b.actor(), &Dots::new(), ALL).remove(0);
    assert_eq!(b.merge(told), Err(Unmerged::OtherCut));
    assert_eq!(a.adopt(&cut), Adopted::Yes);
    tell(&mut b, &mut a);
    let cut = b.next_cut(&of(&[&a, &b]), &lives).unwrap();
    for map in [&mut a, &mut b] {
        assert_eq!(map.adopt(&wire::from_bytes::<Cut>(wire::to_bytes(&cut), VERSION).unwrap()), Adopted::Yes);
        assert_eq!(map.adopt(&cut), Adopted::Known);
        assert_eq!((map.removals(), map.records(), map.get(b"kept")), (0, 1, Some(&value("w"))));
        map.check();
    }
    assert_eq!(a, b);
    assert_eq!(a.next_cut(&of(&[&a, &b]), &lives), None, "nothing would be gained");
}

#[test]
fn whoever_lacks_what_is_forgotten_begins_anew() {
    let (mut a, mut b, mut late) = (map(1), map(2), map(3));
    a.put(b"k", value("v")).unwrap();
    tell(&mut a, &mut b);
    tell(&mut a, &mut late);
    late.put(b"own", value("lost")).unwrap();
    a.remove(b"k").unwrap();
    tell(&mut a, &mut b);
    // The third was expelled.
    let cut = a.next_cut(&of(&[&a, &b]), &BTreeMap::new()).unwrap();
    assert_eq!((a.adopt(&cut), b.adopt(&cut)), (Adopted::Yes, Adopted::Yes));
    assert_eq!(late.adopt(&cut), Adopted::Outdated);
    assert_eq!(a.adopt(late.cut()), Adopted::Known);
    late.begin_anew(actor(3, 2), &cut);
    assert_eq!((late.report(), late.is_catching_up()), (None, true));
    tell(&mut a, &mut late);
    assert!(!late.is_catching_up());
    assert_eq!(late, a);
    assert_eq!(late.get(b"k"), None);
}

#[test]
fn two_cuts_at_once_are_adopted_both() {
    let mut maps = [map(1), map(2)];
    maps[0].put(b"a", value("v")).unwrap();
    let [one, other] = &mut maps;
    tell(one, other);
    let first = maps[0].next_cut(&of(&[&maps[0], &maps[1]]), &BTreeMap::new()).unwrap();
    maps[1].put(b"b", value("v")).unwrap();
    let [one, other] = &mut maps;
    tell(other, one);
    let second = maps[1].next_cut(&of(&[&maps[0], &maps[1]]), &BTreeMap::new()).unwrap();
    maps[1].remove(b"a").unwrap();
    assert_eq!((maps[0].adopt(&first), maps[0].adopt(&second)), (Adopted::Yes, Adopted::Yes));
    assert_eq!((maps[1].adopt(&second), maps[1].adopt(&first)), (Adopted::Yes, Adopted::Known));
    assert_eq!(maps[0].cut().id(), maps[1].cut().id());
}

#[test]
fn of_two_halves_that_expelled_each_other_one_begins_anew() {
    let (mut a, mut b) = (map(1), map(2));
    for (map, key) in [(&mut a, b"a"), (&mut b, b"b")] {
        map.put(key, value("v")).unwrap();
        let cut = map.next_cut(&of(&[map]), &BTreeMap::new()).unwrap();
        assert_eq!(map.adopt(&cut), Adopted::Yes);
    }
    let (to_a, to_b) = (b.cut().clone(), a.cut().clone());
    let outcome = [a.adopt(&to_a), b.adopt(&to_b)];
    assert!(
        outcome == [Adopted::Outdated, Adopted::TheyAreOutdated]
            || outcome == [Adopted::TheyAreOutdated, Adopted::Outdated],
        "{outcome:?}"
    );
}

#[test]
fn of_two_sides_that_were_one_the_larger_stands() {
    let lives = |members: core::ops::Range<u64>| members.map(|member| (MemberId(member), 1)).collect();
    let (mut a, mut b) = (map(1), map(2));
    a.put(b"k", value("v")).unwrap();
    tell(&mut a, &mut b);
    let cut = a.next_cut(&of(&[&a, &b]), &lives(1..6)).unwrap();
    assert_eq!((a.adopt(&cut), b.adopt(&cut)), (Adopted::Yes, Adopted::Yes));
    // Three are on one side; two, on the other, were alone for longer.
    for (map, members, cuts) in [(&mut a, 3, 1), (&mut b, 2, 5)] {
        for _ in 0..cuts {
            map.put(b"k", value("w")).unwrap();
            let next = map.next_cut(&of(&[map]), &lives(1..members + 1)).unwrap();
            assert_eq!(map.adopt(&next), Adopted::Yes);
            // Somebody tells late what all have adopted long since.
            assert_eq!(map.adopt(&cut), Adopted::Known);
        }
    }
    let (to_a, to_b) = (b.cut().clone(), a.cut().clone());
    assert_eq!((a.adopt(&to_a), b.adopt(&to_b)), (Adopted::TheyAreOutdated, Adopted::Outdated));
}

#[test]
fn what_is_too_much_is_refused() {
    let mut map = map(1);
    let error = map.put(&vec![0; super::MAX_KEY + 1], value("v")).unwrap_err();
    assert_eq!(format!("{error}"), "a key has at most 1024 bytes, and this has 1025");
    let error = map.put(b"k", vec![0; super::MAX_VALUE + 1].into()).unwrap_err();
    assert_eq!(format!("{error}"), "a value has at most 65536 bytes, and this has 65537");
    map.put(&[0; super::MAX_KEY], vec![0; super::MAX_VALUE].into()).unwrap();
    let parts = map.beyond(actor(2, 1), &Dots::new(), 100);
    assert_eq!(parts.len(), 1, "what is larger than a part has one for itself");
    // A vector of so many actors is nobody's.
    let mut liar = Map::new(actor(2, 1));
    (0..crate::dots::MAX_ACTORS as u64)
        .for_each(|member| liar.seen.insert(Dot { actor: actor(member + 10, 1), nth: 1 }));
    let delta = Delta { covers: liar.seen().clone(), ..parts[0].clone() };
    assert_eq!(map.merge(delta), Err(Unmerged::TooMuch));
}

#[test]
fn from_a_full_map_something_can_be_removed() {
    let (mut a, mut b) = (map(1), map(2));
    for nth in 0..super::MAX_KEYS as u64 {
        a.put(&nth.to_be_bytes(), Bytes::new()).unwrap();
    }
    for delta in a.beyond(b.actor(), b.seen(), ALL) {
        b.merge(delta).unwrap();
    }
    let removal = a.remove(&7u64.to_be_bytes()).unwrap();
    for delta in a.news(&removal.into(), ALL) {
        b.merge(delta).unwrap();
    }
    assert_eq!(b.len(), super::MAX_KEYS - 1);
}

#[test]
fn a_map_full_of_keys_takes_the_line_of_a_newcomer() {
    let (mut a, mut b) = (map(1), map(2));
    for nth in 0..super::MAX_KEYS as u64 {
        a.put(&nth.to_be_bytes(), Bytes::new()).unwrap();
    }
    assert_eq!(a.put(b"more", Bytes::new()), Err(super::Refused::Full));
    tell(&mut a, &mut b);
    for key in [b"@member/newcomer".as_slice(), b"@origin/place/origin"] {
        let dot = b.put(key, value("v")).unwrap();
        b.news(&dot.into(), ALL).into_iter().for_each(|delta| drop(a.merge(delta).unwrap()));
        assert_eq!(a.get(key), Some(&value("v")));
    }
    a.check();
}

#[test]
fn maps_become_the_same_and_nothing_comes_back() {
    for seed in 0..1500 {
        run(seed, Planted::NONE).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_are_found() {
    use crate::Mutant;
    for (name, mutant) in Mutant::ALL.into_iter().filter(|(name, _)| name.starts_with("map-")) {
        let found = (0..1500).find(|seed| run(*seed, Planted::bug(mutant)).is_err());
        assert!(found.is_some(), "{name} survives");
    }
}

/// What one map may have done: changes, and deltas that it took from two others.
fn some_maps() -> impl Strategy<Value = (u64, usize)> {
    (any::<u64>(), 5usize..80)
}

/// Three maps that have told each other this and that.
fn three(seed: u64, steps: usize) -> [Map; 3] {
    let mut fleet = Fleet::new(seed, Planted::NONE);
    for _ in 0..steps {
        let (one, other) = (fleet.member(), fleet.member());
        match fleet.random.below(3) {
            0 => fleet.tell(one, other),
            1 => fleet.arrive(),
            _ => fleet.change(one),
        }
    }
    [fleet.maps[0].clone(), fleet.maps[1].clone(), fleet.maps[2].clone()]
}

/// Everything of the other into the one, known or not.
fn merged(one: &Map, other: &Map) -> Map {
    let (mut one, mut other) = (one.clone(), other.clone());
    other.beyond(one.actor(), &Dots::new(), ALL).into_iter().for_each(|delta| {
        one.merge(delta).unwrap();
    });
    one
}

proptest! {
    #[test]
    fn merging_is_associative_commutative_and_idempotent((seed, steps) in some_maps()) {
        let [a, b, c] = three(seed, steps);
        prop_assert_eq!(merged(&a, &a), a.clone());
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
    }

    #[test]
    fn a_delta_is_as_good_as_everything((seed, steps) in some_maps(), limit in 60usize..400) {
        let [a, mut b, _] = three(seed, steps);
        let mut by_delta = a.clone();
        for part in b.beyond(a.actor(), a.seen(), limit) {
            prop_assert_eq!(&crossed(&part), &part);
            by_delta.merge(part).unwrap();
        }
        prop_assert_eq!(by_delta, merged(&a, &b));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0u8..5, 0..160)) {
        wire::examine::<Delta>(&bytes);
        wire::examine::<Cut>(&bytes);
        wire::examine::<super::Report>(&bytes);
    }

    #[test]
    fn a_delta_with_a_wrong_byte_decodes_or_is_refused((seed, steps) in some_maps(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let [mut a, ..] = three(seed, steps);
        for part in a.beyond(actor(2, 1), &Dots::new(), 400) {
            let mut bytes = wire::to_bytes(&part).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            wire::examine::<Delta>(&bytes);
        }
    }
}

#[test]
fn nobody_knows_more_of_a_member_than_it_does() {
    let (mut one, mut other) = (map(1), map(1));
    other.put(b"k", value("by somebody of the same name and life")).unwrap();
    let told = other.beyond(one.actor(), one.seen(), ALL).remove(0);
    assert_eq!(one.merge(told), Err(Unmerged::Impostor));
    assert!(wire::from_bytes::<Actor>(wire::to_bytes(&actor(1, u64::MAX)), VERSION).is_err());
}
