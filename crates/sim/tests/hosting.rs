//! What a host promises to a machine, promise by promise: the order of
//! effects, what a disk keeps, what a link loses, what a life leaves behind.

#[path = "hosting/datagrams.rs"]
mod datagrams;
mod puppet;

use std::collections::BTreeSet;

use puppet::{DELAY, Do, FORGOT, RECOVERED, SYNC, Saw, Stage};
use skein_machine::{Boot, ProcessId};
use skein_sim::{MILLISECOND, Nanos, SECOND};

const P0: ProcessId = ProcessId(0);
const P1: ProcessId = ProcessId(1);

/// Longer than any sync, any way and any reconnection.
const AFTER_ALL: Nanos = SECOND;

#[test]
fn what_is_sent_waits_for_the_disk_and_what_is_sent_early_does_not() {
    let mut stage = Stage::new(2, 1);
    let script =
        [Do::Send(1, 1), Do::Persist(0), Do::SendEarly(1, 2), Do::Send(1, 3), Do::Tell(4), Do::SendEarly(1, 5)];
    stage.ask(0, &script);
    stage.play(AFTER_ALL);
    let early = [1, 2, 5].map(|word| (DELAY, Saw::Heard(0, word)));
    assert_eq!(stage.seen_at(1), [early.as_slice(), &[(SYNC + DELAY, Saw::Heard(0, 3))]].concat());
    assert_eq!(stage.seen_at(0), [(SYNC, Saw::Told(4))]);
}

#[test]
fn what_is_told_early_waits_for_no_disk_but_for_what_was_told_before() {
    let mut stage = Stage::new(1, 1);
    stage.ask(0, &[Do::Persist(0), Do::TellEarly(1), Do::Tell(2), Do::TellEarly(3)]);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen_at(0), [(0, Saw::Told(1)), (SYNC, Saw::Told(2)), (SYNC, Saw::Told(3))]);
}

/// What a machine leaves to the end of a turn happens once for all calls of it, whose own words come first.
#[test]
fn a_turn_may_take_several_calls() {
    let mut lingered = 0;
    for seed in 0..200 {
        let mut stage = Stage::new(1, seed);
        stage.world.let_turns_linger();
        stage.ask(0, &[Do::Tell(1), Do::TellAtTheEnd(8)]);
        stage.ask(0, &[Do::Tell(2), Do::TellAtTheEnd(9)]);
        stage.play(AFTER_ALL);
        let told = stage.seen(0);
        let words = |words: &[u64]| -> Vec<Saw> { words.iter().map(|word| Saw::Told(*word)).collect() };
        let is_one_turn = told == words(&[1, 2, 9]);
        assert!(is_one_turn || told == words(&[1, 8, 2, 9]), "seed {seed}: {told:?}");
        lingered += u32::from(is_one_turn);
    }
    assert!((5..50).contains(&lingered), "{lingered} of 200");
}

#[test]
fn a_turn_that_lingers_dies_with_its_process() {
    let told = (0..200).filter(|seed| {
        let mut stage = Stage::new(1, *seed);
        stage.world.let_turns_linger();
        stage.ask(0, &[Do::Tell(1)]);
        stage.world.crash(P0);
        stage.world.restart(P0);
        stage.play(AFTER_ALL);
        stage.seen(0).contains(&Saw::Told(1))
    });
    let told = told.count();
    assert!((150..200).contains(&told), "{told} of 200 were told at once");
}

/// The second record comes while the first is being synced, so it takes a sync of its own.
#[test]
fn a_message_to_oneself_comes_back_when_all_before_it_is_durable() {
    let mut stage = Stage::new(1, 1);
    stage.ask(0, &[Do::Persist(1), Do::Send(0, 1)]);
    stage.play(SYNC / 2);
    stage.ask(0, &[Do::Persist(2), Do::Send(0, 2)]);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen_at(0), [(2 * SYNC, Saw::Heard(0, 1)), (2 * SYNC, Saw::Heard(0, 2))]);
    stage.ask(0, &[Do::Send(0, 3)]);
    stage.play(0);
    assert_eq!(stage.seen(0), [Saw::Heard(0, 3)], "nothing to wait for");
}

#[test]
fn nothing_that_waited_leaves_after_a_crash() {
    let mut stage = Stage::new(2, 1);
    stage.ask(0, &[Do::Persist(1), Do::Send(1, 1), Do::Send(0, 2), Do::Tell(3)]);
    stage.play(SYNC / 2);
    stage.crash(0);
    stage.play(SYNC / 4);
    stage.restart(0);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen(1), [Saw::Reconnect(0)]);
    let seen = stage.seen(0);
    assert!(matches!(&seen[..], [Saw::Start(Boot::Again, _), Saw::Reconnect(1)]), "{seen:?}");
}

#[test]
fn a_full_disk_stops_the_process() {
    let mut stage = Stage::new(2, 1);
    stage.world.set_disk_full(P0, true);
    stage.ask(0, &[Do::Persist(1), Do::Send(1, 1), Do::Tell(2), Do::SendEarly(1, 3)]);
    stage.play(AFTER_ALL);
    assert_eq!((stage.seen(0), stage.seen(1)), (vec![Saw::Stop], vec![]));
    assert!(!stage.world.is_up(P0));
    stage.world.set_disk_full(P0, false);
    stage.restart(0);
    assert_eq!(stage.seen(0), [Saw::Start(Boot::Again, vec![])]);
}

#[test]
fn a_failed_sync_stops_the_process() {
    let mut stage = Stage::new(2, 1);
    stage.world.fail_next_sync(P0);
    stage.ask(0, &[Do::Persist(1), Do::Send(1, 1), Do::Tell(2)]);
    stage.play(AFTER_ALL);
    assert_eq!((stage.seen(0), stage.seen(1)), (vec![Saw::Stop], vec![]));
    stage.restart(0);
    stage.ask(0, &[Do::Persist(2), Do::Tell(3)]);
    stage.play(AFTER_ALL);
    assert!(stage.seen(0).contains(&Saw::Told(3)), "only one sync fails");
}

#[test]
fn a_checkpoint_replaces_the_log_once_it_is_durable() {
    let mut found = BTreeSet::new();
    for seed in 0..50 {
        let mut stage = Stage::new(1, seed);
        stage.ask(0, &[Do::Persist(1), Do::Persist(2)]);
        stage.play(AFTER_ALL);
        stage.ask(0, &[Do::Checkpoint(7), Do::Persist(8)]);
        stage.play(SYNC / 2);
        stage.crash(0);
        stage.restart(0);
        let seen = stage.seen(0);
        let [Saw::Start(Boot::Again, records)] = &seen[..] else { panic!("{seen:?}") };
        found.insert(records.clone());

        stage.ask(0, &[Do::Checkpoint(9)]);
        stage.play(AFTER_ALL);
        stage.crash(0);
        stage.restart(0);
        assert_eq!(stage.seen(0), [Saw::Start(Boot::Again, vec![9])]);
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [vec![1, 2], vec![7], vec![7, 8]]);
}

#[test]
fn timers_of_an_earlier_life_never_fire() {
    let mut stage = Stage::new(1, 1);
    stage.ask(0, &[Do::Arm(1, 50), Do::Arm(2, 50)]);
    stage.crash(0);
    stage.restart(0);
    stage.ask(0, &[Do::Arm(2, 80)]);
    stage.play(AFTER_ALL);
    let fired: Vec<_> = stage.seen_at(0).into_iter().filter(|(_, saw)| matches!(saw, Saw::Due(_))).collect();
    assert_eq!(fired, [(80, Saw::Due(2))]);
}

#[test]
fn a_timer_that_is_armed_again_or_taken_back_fires_accordingly() {
    let mut stage = Stage::new(1, 1);
    stage.ask(0, &[Do::Arm(1, 50), Do::Arm(1, 70), Do::Arm(2, 60), Do::Disarm(2), Do::Arm(3, 40)]);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen_at(0), [(40, Saw::Due(3)), (70, Saw::Due(1))]);
}

#[test]
fn a_paused_process_gets_everything_later_in_order() {
    let mut stage = Stage::new(2, 1);
    stage.ask(0, &[Do::Persist(1), Do::Tell(1), Do::Arm(2, SYNC + 1)]);
    stage.ask(1, &[Do::Send(0, 4), Do::Send(0, 5)]);
    stage.world.pause(P0);
    stage.play(SYNC / 2);
    stage.ask(0, &[Do::Tell(6)]);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen(0), []);
    stage.world.resume(P0);
    stage.ask(0, &[Do::Tell(7)]);
    stage.play(AFTER_ALL);
    let expected = [Saw::Told(1), Saw::Told(6), Saw::Due(2), Saw::Told(7), Saw::Heard(1, 4), Saw::Heard(1, 5)];
    assert_eq!(stage.seen(0), expected);
}

#[test]
fn a_process_that_dies_while_it_is_paused_gets_nothing_later() {
    let mut stage = Stage::new(2, 1);
    stage.world.pause(P0);
    stage.ask(0, &[Do::Tell(6)]);
    stage.ask(1, &[Do::Send(0, 4)]);
    stage.play(DELAY);
    stage.crash(0);
    stage.restart(0);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen(0), [Saw::Start(Boot::Again, vec![]), Saw::Reconnect(1)]);
}

#[test]
fn a_flipped_bit_is_never_served() {
    for seed in 0..50 {
        let mut stage = Stage::new(1, seed);
        stage.ask(0, &[Do::Persist(1), Do::Persist(2), Do::Persist(3)]);
        stage.play(AFTER_ALL);
        stage.ask(0, &[Do::Persist(4)]);
        stage.crash(0);
        assert!(stage.world.rot_disk(P0));
        assert!(!stage.world.remembers(P0));
        stage.restart(0);
        assert_eq!(stage.seen(0), [Saw::Start(Boot::Amnesiac { incarnation: 1 }, vec![])]);
    }
}

/// Nobody can tell a life that began without memory from one that has just
/// begun, unless the disk says so. Until then every life is one without memory.
#[test]
fn who_has_forgotten_does_not_forget_that() {
    let mut stage = Stage::new(1, 1);
    stage.ask(0, &[Do::Persist(1)]);
    stage.play(AFTER_ALL);
    stage.crash(0);
    stage.world.lose_disk(P0);
    stage.restart(0);
    assert_eq!(stage.seen(0), [Saw::Start(Boot::Amnesiac { incarnation: 1 }, vec![])]);
    stage.crash(0);
    stage.restart(0);
    assert_eq!(stage.seen(0), [Saw::Start(Boot::Amnesiac { incarnation: 2 }, vec![])]);
    stage.ask(0, &[Do::Persist(FORGOT)]);
    stage.play(AFTER_ALL);
    stage.crash(0);
    stage.restart(0);
    assert_eq!(stage.seen(0), [Saw::Start(Boot::Again, vec![FORGOT])]);
}

#[test]
fn who_dies_without_memory_has_none_while_it_is_down() {
    let mut stage = Stage::new(1, 1);
    stage.crash(0);
    assert!(stage.world.remembers(P0));
    stage.world.lose_disk(P0);
    assert!(!stage.world.remembers(P0));
    stage.restart(0);
    stage.ask(0, &[Do::Persist(FORGOT)]);
    stage.play(AFTER_ALL);
    assert!(!stage.world.remembers(P0));
    stage.crash(0);
    assert!(!stage.world.remembers(P0));
    stage.restart(0);
    stage.ask(0, &[Do::Persist(RECOVERED)]);
    stage.play(AFTER_ALL);
    assert!(stage.world.remembers(P0));
    stage.crash(0);
    assert!(stage.world.remembers(P0));
}

/// Sends a word a millisecond, from `first` on, so many of them, over a way of ten.
fn chatter(stage: &mut Stage, first: u64, words: u64) {
    stage.world.set_delay(P0, P1, 10 * MILLISECOND);
    for word in first..first + words {
        stage.ask(0, &[Do::Send(1, word)]);
        stage.play(MILLISECOND);
    }
}

/// The words that `p1` heard before and after it was told that the link stands again.
fn heard_before_and_after(seen: &[Saw]) -> (Vec<u64>, Vec<u64>) {
    let told: Vec<usize> = (0..seen.len()).filter(|nth| seen[*nth] == Saw::Reconnect(0)).collect();
    assert_eq!(told.len(), 1, "{seen:?}");
    let words = |part: &[Saw]| {
        part.iter().filter_map(|saw| if let Saw::Heard(0, word) = saw { Some(*word) } else { None }).collect()
    };
    (words(&seen[..told[0]]), words(&seen[told[0]..]))
}

#[test]
fn a_link_that_breaks_loses_a_suffix_and_tells_both_ends() {
    let mut kept = BTreeSet::new();
    for seed in 0..100 {
        let mut stage = Stage::new(2, seed);
        chatter(&mut stage, 0, 20);
        stage.world.break_link(P0, P1);
        chatter(&mut stage, 20, 300);
        stage.play(AFTER_ALL);
        assert_eq!(stage.seen(0), [Saw::Reconnect(1)]);
        let (before, after) = heard_before_and_after(&stage.seen(1));
        assert!((10..=20).contains(&before.len()), "{}", before.len());
        assert_eq!(before, (0..before.len() as u64).collect::<Vec<_>>());
        assert!(after[0] >= 20 && after.ends_with(&[318, 319]));
        assert!(after.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{after:?}");
        kept.insert(before.len());
    }
    assert!(kept.len() > 5, "the suffix has a random length: {kept:?}");
}

#[test]
fn nothing_from_a_dead_life_arrives_after_the_link_stands_again() {
    for seed in 0..100 {
        let mut stage = Stage::new(2, seed);
        chatter(&mut stage, 0, 20);
        stage.crash(0);
        stage.restart(0);
        chatter(&mut stage, 20, 300);
        stage.play(AFTER_ALL);
        let (before, after) = heard_before_and_after(&stage.seen(1));
        assert_eq!(before, (0..before.len() as u64).collect::<Vec<_>>());
        assert!(after[0] >= 20 && after.ends_with(&[318, 319]));
    }
}

#[test]
fn a_cut_one_way_holds_back_only_that_way() {
    let mut stage = Stage::new(2, 1);
    stage.world.set_cut(P0, P1, true);
    stage.ask(0, &[Do::Send(1, 1), Do::Send(1, 2)]);
    stage.ask(1, &[Do::Send(0, 3)]);
    stage.play(AFTER_ALL);
    assert_eq!((stage.seen(0), stage.seen(1)), (vec![Saw::Heard(1, 3)], vec![]));
    stage.world.set_cut(P0, P1, false);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen(1), [Saw::Heard(0, 1), Saw::Heard(0, 2)]);
}

#[test]
fn a_link_that_is_cut_does_not_stand_again_before_it_is_mended() {
    let mut stage = Stage::new(2, 1);
    stage.world.set_cut(P0, P1, true);
    stage.world.break_link(P0, P1);
    stage.play(10 * SECOND);
    assert_eq!(stage.seen_by_all(), []);
    stage.world.set_cut(P0, P1, false);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen_by_all(), [(0, Saw::Reconnect(1)), (1, Saw::Reconnect(0))]);
}

/// A word is eight bytes.
#[test]
fn a_thin_link_carries_so_many_bytes_a_second() {
    let mut stage = Stage::new(2, 1);
    stage.world.set_bandwidth(P0, P1, Some(8));
    stage.ask(0, &[Do::Send(1, 1), Do::Send(1, 2)]);
    stage.play(10 * SECOND);
    let expected = [(SECOND + DELAY, Saw::Heard(0, 1)), (2 * SECOND + DELAY, Saw::Heard(0, 2))];
    assert_eq!(stage.seen_at(1), expected);
}

#[test]
fn what_queues_before_a_thin_link_goes_at_once_when_it_is_wide_again() {
    let mut stage = Stage::new(2, 1);
    stage.world.set_bandwidth(P0, P1, Some(8));
    let words: Vec<Do> = (0..100).map(|word| Do::Send(1, word)).collect();
    stage.ask(0, &words);
    stage.play(2 * SECOND);
    assert_eq!(stage.seen(1), [Saw::Heard(0, 0)], "the next is still on its way");
    stage.world.set_bandwidth(P0, P1, None);
    stage.play(DELAY);
    assert_eq!(stage.seen(1).len(), 99);
}

#[test]
fn a_sync_that_was_to_fail_can_be_spared() {
    let mut stage = Stage::new(1, 1);
    stage.world.fail_next_sync(P0);
    stage.world.spare_next_sync(P0);
    stage.ask(0, &[Do::Persist(1), Do::Tell(2)]);
    stage.play(AFTER_ALL);
    assert_eq!(stage.seen(0), [Saw::Told(2)]);
}
