//! Lives that are over: when they are forgotten, what is forgotten with them,
//! and that nobody goes on in one.

use alloc::collections::BTreeMap;
use alloc::format;

use bytes::Bytes;
use skein_machine::wire::{self, VERSION};

use super::super::{Adopted, Cut, Map};
use super::{actor, map, of, tell, value};
use crate::MemberId;
use crate::dots::LAST_LIFE;

#[test]
fn lives_that_are_over_are_forgotten() {
    let mut maps = [map(1), map(2)];
    maps[0].put(b"x", value("one")).unwrap();
    for life in 2..20 {
        let lives = BTreeMap::from([(MemberId(1), life), (MemberId(2), 1)]);
        let cut = maps[0].cut().clone();
        maps[0].begin_anew(actor(1, life), &cut);
        let [one, other] = &mut maps;
        tell(other, one);
        one.put(b"x", Bytes::from(format!("{life}"))).unwrap();
        tell(one, other);
        for _ in 0..2 {
            let Some(cut) = maps[1].next_cut(&of(&[&maps[0], &maps[1]]), &lives) else { break };
            for map in &mut maps {
                assert_eq!(map.adopt(&cut), Adopted::Yes);
                map.check();
            }
        }
        assert!(maps[0].seen().actors().len() <= 3, "{life}: {:?}", maps[0].seen());
        assert_eq!(maps[0], maps[1]);
    }
}

/// Of a key that is rewritten between each report and its cut no change is ever in a cut, so none forgets all it knew.
#[test]
fn a_change_forgets_the_lives_that_are_over() {
    let (mut busy, mut latest) = (map(2), Map::new(actor(1, 1)));
    for life in 1..20 {
        latest = Map::new(actor(1, life));
        latest.adopt(busy.cut());
        tell(&mut busy, &mut latest);
        latest.put(b"k", value("by one of many lives")).unwrap();
        tell(&mut latest, &mut busy);
        busy.put(b"k", value("v")).unwrap();
        tell(&mut busy, &mut latest);
        let report = of(&[&busy, &latest]);
        busy.put(b"k", value("w")).unwrap();
        let cut = busy.next_cut(&report, &BTreeMap::from([(MemberId(1), life), (MemberId(2), 1)])).unwrap();
        assert_eq!((busy.adopt(&cut), latest.adopt(&cut)), (Adopted::Yes, Adopted::Yes));
        let known = busy.records.values().map(|record| record.past.entries().len()).max();
        assert!(known <= Some(3), "{known:?} lives in life {life}: {busy:?}");
    }
    tell(&mut busy, &mut latest);
    assert_eq!(busy, latest);
}

#[test]
fn what_is_replaced_in_one_place_alone_is_not_forgotten_elsewhere() {
    let (mut gone, mut a, mut b) = (map(1), map(2), map(3));
    let lives = BTreeMap::from([(MemberId(2), 1), (MemberId(3), 1)]);
    gone.put(b"k", value("first")).unwrap();
    tell(&mut gone, &mut a);
    tell(&mut gone, &mut b);
    for _ in 0..4 {
        if let Some(cut) = a.next_cut(&of(&[&a, &b]), &lives) {
            assert_eq!((a.adopt(&cut), b.adopt(&cut)), (Adopted::Yes, Adopted::Yes));
        }
    }
    // The first member was expelled. One that lives replaces what that one wrote, and is gone before it tells anybody.
    a.put(b"k", value("second")).unwrap();
    if let Some(cut) = a.next_cut(&of(&[&a, &b]), &lives) {
        assert_eq!(b.adopt(&cut), Adopted::Yes, "neither of two values stands here any more");
    }
    assert_eq!(b.get(b"k"), Some(&value("first")));
    // Once everybody has it, the life is over.
    let actors = a.seen().actors().len();
    for _ in 0..3 {
        tell(&mut a, &mut b);
        if let Some(cut) = a.next_cut(&of(&[&a, &b]), &lives) {
            assert_eq!((a.adopt(&cut), b.adopt(&cut)), (Adopted::Yes, Adopted::Yes));
        }
    }
    assert_eq!((a.seen().actors().len(), b.get(b"k")), (actors - 1, Some(&value("second"))));
}

#[test]
fn nobody_goes_on_in_a_life_that_is_over() {
    let (mut x, mut a) = (Map::new(actor(1, 9)), map(2));
    x.put(b"k", value("v")).unwrap();
    tell(&mut x, &mut a);
    a.remove(b"k").unwrap();
    let lives = BTreeMap::from([(MemberId(2), 1)]);
    for _ in 0..4 {
        if let Some(cut) = a.next_cut(&of(&[&a]), &lives) {
            assert_eq!(a.adopt(&cut), Adopted::Yes);
        }
    }
    // Its host's clock went back.
    let mut x = Map::new(actor(1, 5));
    assert_eq!(x.adopt(a.cut()), Adopted::Outdated);
    x.begin_anew(actor(1, a.cut().first_life(MemberId(1))), a.cut());
    tell(&mut a, &mut x);
    x.put(b"k", value("w")).unwrap();
    x.check();
    tell(&mut x, &mut a);
    assert_eq!(a.get(b"k"), Some(&value("w")));
}

#[test]
fn no_cut_names_a_life_beyond_the_last() {
    let (mut a, mut liar) = (map(1), Map::new(actor(2, LAST_LIFE)));
    liar.put(b"k", value("v")).unwrap();
    tell(&mut liar, &mut a);
    a.remove(b"k").unwrap();
    let lives = BTreeMap::from([(MemberId(1), 1)]);
    for _ in 0..4 {
        if let Some(cut) = a.next_cut(&of(&[&a]), &lives) {
            assert_eq!(a.adopt(&wire::from_bytes(wire::to_bytes(&cut), VERSION).unwrap()), Adopted::Yes);
        }
    }
    let mut bytes = wire::to_bytes(&Cut::none()).to_vec();
    let line = [&[1, 0, 0, 0][..], &[7; 8], &u64::MAX.to_le_bytes(), &[0]].concat();
    let lines = 4 + 8 + 4;
    assert_eq!(bytes[lines..lines + 4], [0; 4], "no life is over yet");
    bytes.splice(lines..lines + 4, line);
    let refused = wire::from_bytes::<Cut>(bytes.into(), VERSION);
    assert_eq!(refused.unwrap_err(), wire::WireError::Invalid { what: "a life of this number" });
}
