//! What a machine acknowledges after it is durable survives every crash, and
//! what it acknowledges before is lost sooner or later.

mod keeper;

use std::collections::BTreeSet;

use keeper::{CLIENT, Event, KEEPER, Keeper};
use skein_machine::Random;
use skein_sim::{DiskHabits, Latency, MILLISECOND, Occurrence, World};

/// Two seconds of a keeper that is asked to keep numbers, and dies at random
/// moments. Answers the acknowledged numbers that were missing after a restart.
fn lost(seed: u64, is_hasty: bool) -> BTreeSet<u64> {
    const ASK: u64 = 0;
    const CRASH: u64 = 1;
    const RESTART: u64 = 2;
    let processes = [CLIENT, KEEPER];
    let mut random = Random::new(seed);
    let disks = DiskHabits { fastest_sync: MILLISECOND / 10, slowest_sync: 5 * MILLISECOND };
    let latency = Latency::fixed(&processes, MILLISECOND);
    let mut world = World::new(&processes, latency, disks, seed, Box::new(move |me, _| Keeper::new(me, is_hasty)));
    world.start();
    world.wake_at(0, ASK);
    world.wake_at(random.between(1, 200 * MILLISECOND), CRASH);

    let (mut asked, mut kept, mut lost, mut starts) = (0, BTreeSet::new(), BTreeSet::new(), 0);
    while let Some(occurrence) = world.next(2_000 * MILLISECOND) {
        let later = world.now() + random.between(1, 200 * MILLISECOND);
        match occurrence {
            Occurrence::Wake(ASK) => {
                asked += 1;
                world.command(CLIENT, asked);
                world.wake_at(world.now() + random.between(1, 4 * MILLISECOND), ASK);
            }
            Occurrence::Wake(CRASH) => {
                world.crash(KEEPER);
                world.wake_at(later, RESTART);
            }
            Occurrence::Wake(RESTART) => {
                world.restart(KEEPER);
                world.wake_at(later, CRASH);
            }
            Occurrence::Told { event: Event::Kept(number), .. } => {
                kept.insert(number);
            }
            Occurrence::Told { event: Event::Found(found), .. } => {
                starts += 1;
                lost.extend(kept.difference(&found));
            }
            other => panic!("nothing else can happen: {other:?}"),
        }
    }
    assert!(kept.len() > 10 && starts > 3, "{} numbers were kept over {starts} lives", kept.len());
    lost
}

#[test]
fn what_was_acknowledged_after_it_was_durable_is_never_lost() {
    for seed in 0..300 {
        assert_eq!(lost(seed, false), BTreeSet::new(), "seed {seed}");
    }
}

#[test]
fn what_was_acknowledged_before_it_was_durable_is_lost_sooner_or_later() {
    assert!((0..300).any(|seed| !lost(seed, true).is_empty()));
}
