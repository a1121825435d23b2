//! A leader that stands still anywhere on its way through its writes, and goes
//! on when others have led: a thousand times, by seed.

use std::collections::BTreeSet;

use skein_machine::Random;
use skein_order::Planted;

use super::NOTHING;
use super::mu_table::Table;

/// A leader stands still before an access to a memory, anywhere on its way through a few writes; others lead meanwhile,
/// perhaps until the ring has come round. Then it goes on, as if nothing had happened. Answers how many accesses to
/// memories those writes took.
fn stand_still(seed: u64, access: usize, planted: Planted) -> (usize, Table) {
    let mut random = Random::new(seed);
    let mut table = Table::new(3, 8, 4, planted);
    let mut made = 0;
    let mut request = |random: &mut Random| {
        made += 1;
        format!("{made:0length$}", length = 3 + random.below(40) as usize)
    };
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    for _ in 0..random.below(20) {
        table.propose(0, request(&mut random));
        table.pass(1, &[1, 2, 0]);
    }
    table.hold(0, &[0, 1, 2]);
    for _ in 0..=random.below(3) {
        table.propose(0, request(&mut random));
    }
    let accesses = table.stall(0, access, |table| {
        let next = 1 + random.below(2) as u8;
        let mut others = vec![(next, 3 - next), (3 - next, next)];
        others.truncate(1 + random.below(2) as usize);
        for (leader, follower) in others {
            table.suspect(leader, &[0, follower]);
            table.suspect(follower, &[0]);
            // Of the two, the follower shows nobody that it is well, and so it does not lead.
            for _ in 0..6 {
                table.look(follower);
                table.pass(1, &[leader]);
            }
            assert!(table.leads(leader), "seed {seed}: a majority lives");
            for _ in 0..random.below(20) {
                table.propose(leader, request(&mut random));
                table.look(follower);
                table.pass(1, &[leader]);
            }
        }
    });
    (accesses, table)
}

/// The same a thousand times, and so before each access many times over, or until something is wrong.
pub(super) fn a_leader_stands_still(planted: Planted) -> Vec<String> {
    let mut tried = BTreeSet::new();
    for seed in 0..1_000 {
        let (accesses, _) = stand_still(seed, usize::MAX, planted);
        let access = seed as usize % accesses;
        tried.insert(access);
        let (_, mut table) = stand_still(seed, access, planted);
        table.release(0, &[0, 1, 2]);
        for (me, request) in ["one", "two", "three"].into_iter().enumerate() {
            table.propose(me as u8, request);
        }
        let found = table.end();
        if found != NOTHING {
            println!("seed {seed}, before access {access} of {accesses}");
            return found;
        }
    }
    assert!((0..60).all(|access| tried.contains(&access)), "{tried:?}");
    Vec::new()
}

#[test]
fn a_leader_that_stood_still_does_no_harm() {
    assert_eq!(a_leader_stands_still(Planted::NONE), NOTHING);
}
