//! Processes that make a set at the same time.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use skein_runtime::shm::MemorySet;

use crate::stage::{Actor, Scratch, listen, names, plan, plan_of, say};

/// Makes the set or opens it, and counts itself in each memory.
pub(crate) fn race(folder: &Path) {
    while let Some(round) = listen() {
        let folder = folder.join(round);
        match MemorySet::open_or_create(&folder, &plan()) {
            Ok(set) => {
                for replica in 0..3 {
                    set.memory(replica).unwrap().words()[0].fetch_add(1, Relaxed);
                }
                say("counted");
            }
            Err(error) => say(error),
        }
    }
}

#[test]
fn of_two_that_create_one_wins_and_the_other_opens() {
    let scratch = Scratch::new();
    let mut actors: Vec<Actor> = (0..4).map(|_| Actor::start("race", scratch.path())).collect();
    for round in 0..50 {
        let folder = scratch.path().join(round.to_string());
        if round % 2 == 1 {
            std::fs::create_dir(&folder).unwrap();
        }
        actors.iter_mut().for_each(|actor| actor.tell(&round.to_string()));
        for actor in &mut actors {
            assert_eq!(actor.hear().unwrap(), "counted", "round {round}");
        }
        let set = MemorySet::open_or_create(&folder, &plan()).unwrap();
        for replica in 0..3 {
            assert_eq!(set.memory(replica).unwrap().words()[0].load(Relaxed), 4, "round {round}, replica {replica}");
        }
    }
    let expected: Vec<String> = (0..50).map(|round| round.to_string()).collect();
    let mut found = names(scratch.path());
    found.sort_by_key(|name| name.parse::<u32>().unwrap_or(u32::MAX));
    assert_eq!(found, expected, "nothing is left behind");
}

/// Makes sets until it is killed.
pub(crate) fn begin(folder: &Path) {
    say("begins");
    loop {
        let set = folder.join("mu");
        MemorySet::open_or_create(&set, &plan_of(200_000)).unwrap();
        std::fs::remove_dir_all(&set).unwrap();
    }
}

#[test]
fn whoever_dies_while_it_makes_a_set_leaves_nothing_for_long() {
    let scratch = Scratch::new();
    let mut left_behind = 0;
    for _ in 0..200 {
        let mut actor = Actor::start("begin", scratch.path());
        assert_eq!(actor.hear().unwrap(), "begins");
        // Killed anywhere, as chance has it; some of these times it is in the middle.
        actor.kill();
        left_behind += names(scratch.path()).iter().filter(|name| name.starts_with(".mu.new-")).count();
        // What is in its place is whole, or it is on its way out; either way a set of another name can be made.
        let _ = std::fs::remove_dir_all(scratch.set());
        drop(MemorySet::open_or_create(&scratch.set(), &plan()).unwrap());
        assert_eq!(names(scratch.path()), ["mu"]);
        std::fs::remove_dir_all(scratch.set()).unwrap();
        if left_behind >= 3 {
            return;
        }
    }
    panic!("of 200 that were killed none left anything behind, so nothing was shown");
}
