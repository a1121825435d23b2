//! When nothing breaks: what a multicast looks like, and who waits for whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_machine::{Cluster, Down, GroupSet, ProcessId, Timestamp, Up};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Rings, Settings};
use skein_sim::check::Calm;
use skein_sim::steps::measure;
use skein_sim::{DiskHabits, Latency, Occurrence, SECOND, Trace, World};

use super::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_G, TO_H, awake, compare, message};

fn quiet_room() -> Room {
    let mut room = Room::new(awake(Settings::DEFAULT));
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(20);
    room
}

/// START, the value along the ring with the votes behind it, and beside it the rings that have to skip.
#[test]
fn a_message_to_one_group_goes_along_its_ring() {
    let mut room = quiet_room();
    room.world.set_trace(Trace::brief());
    let m = message(1, 1, TO_G, "m");
    room.multicast(CLIENT, m.clone());
    room.run(20);
    assert!(G.iter().all(|process| room.delivery(*process, m.id).is_some()), "a destination has not delivered");
    assert!(H.iter().all(|process| room.delivery(*process, m.id).is_none()), "a bystander has");
    assert!(room.said.contains(&(CLIENT, Up::Done { id: m.id, timestamp: Timestamp(3) })), "{:?}", room.said);
    let is_shown = |line: &str| [" p0 ", " p1 ", " p2 ", "p6"].iter().any(|word| line.contains(word));
    compare("multiring_lone_message.txt", &room.lines(is_shown));
}

/// No link carries a value twice: in a ring of six it crosses five.
#[test]
fn a_value_crosses_each_link_once() {
    let mut room = quiet_room();
    room.world.set_trace(Trace::brief());
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(20);
    let values = room.lines(|line| line.contains("PASS ring 2: APPEND") && line.contains("s1.1"));
    assert_eq!(values.lines().count(), 5, "{values}");
    for process in G.into_iter().chain(H) {
        let (_, delivery) = room.delivery(process, m.id).expect("every destination delivers");
        assert_eq!(delivery.timestamp, room.delivery(G[0], m.id).unwrap().1.timestamp, "at {process}");
    }
}

/// Messages to one group, the other and both, as fast as they come: the merge is the same at all learners of a group.
#[test]
fn learners_merge_the_rings_in_one_way() {
    let mut room = quiet_room();
    for sequence in 1..=20 {
        for (session, groups) in [(1, TO_G), (2, TO_H), (3, TO_BOTH), (4, TO_BOTH)] {
            room.multicast(if session == 4 { H[1] } else { CLIENT }, message(session, sequence, groups, ""));
        }
        room.run(sequence % 4);
    }
    room.run_until(room.world.now() + SECOND);
    for group in [G, H] {
        let order =
            |process| -> Vec<_> { room.deliveries[&process].iter().map(|(_, delivery)| delivery.clone()).collect() };
        assert_eq!(order(group[0]).len(), 60);
        assert!(group.iter().all(|process| order(*process) == order(group[0])), "learners differ");
    }
}

/// A group that has nothing to say does not stop the others, nor whoever waits for it to pass a timestamp.
#[test]
fn a_ring_without_messages_skips() {
    let mut room = quiet_room();
    room.world.command(H[2], Down::RaiseClock(Timestamp(1_000)));
    room.run(40);
    let told = |(process, up): &_| *process == H[2] && matches!(up, Up::SafeTime(safe) if safe.0 >= 1_000);
    assert!(room.said.iter().any(told), "{:?}", room.said);
    let m = message(1, 1, TO_G, "m");
    room.multicast(CLIENT, m.clone());
    room.run(40);
    let (at, _) = room.delivery(G[2], m.id).expect("g0 need not wait for g1");
    assert!(room.world.now() - at >= 20 * DELAY);
}

/// Three groups of three: a lone message takes as many steps as the ring of everybody needs. One that shares rings with
/// others may wait for what these have yet to skip.
#[test]
fn steps_go_by_the_length_of_rings() {
    let cluster = Arc::new(Cluster::regular(3, 3, 2).unwrap());
    let (rings, same) = (Arc::new(Rings::of(&cluster)), cluster.clone());
    let maker =
        move |process, boot| MultiRing::new(process, same.clone(), &rings, boot, Settings::DEFAULT, Planted::NONE);
    let steps = measure(&cluster, (12, 14), Calm::Alone, None, maker);
    assert_eq!((steps.collision_free, steps.worst), (12, 14));
    assert_eq!(steps.violations, []);
}

/// Who is in neither of two groups that have a ring of their own never sees what is sent to both.
#[test]
fn a_ring_of_a_few_groups_leaves_the_others_alone() {
    let cluster = Arc::new(Cluster::regular(3, 3, 1).unwrap());
    let processes: Vec<ProcessId> = cluster.processes().collect();
    let pair = [GroupSet::from_bits(0b110)].into_iter();
    let rings = Arc::new(Rings::of(&cluster).with_others(pair));
    let maker =
        move |process, boot| MultiRing::new(process, cluster.clone(), &rings, boot, Settings::DEFAULT, Planted::NONE);
    let latency = Latency::fixed(&processes, DELAY);
    let mut world = World::new(&processes, latency, DiskHabits::INSTANT, 1, Box::new(maker));
    world.start();
    let mut delivered = BTreeSet::new();
    for sequence in 1..=20 {
        if sequence == 2 {
            world.set_trace(Trace::brief());
        }
        world.command(processes[9], Down::Multicast(message(1, sequence, 0b110, "")));
        while let Some(occurrence) = world.next(sequence * 50 * DELAY) {
            if let Occurrence::Told { process, event: Up::Deliver(delivery), .. } = occurrence {
                delivered.insert((process, delivery.message.id.sequence));
            }
        }
    }
    assert_eq!(delivered.len(), 6 * 20);
    let values: Vec<&str> =
        world.trace().lines().filter(|line| line.contains("APPEND") && line.contains(": s1.")).collect();
    assert!(values.len() >= 5 * 19, "{} values", values.len());
    for value in values {
        let hearer = value.split_whitespace().nth(1).unwrap();
        let is_member = ["p3", "p4", "p5", "p6", "p7", "p8"].contains(&hearer);
        assert!(is_member && value.contains("PASS ring 3:"), "{value}");
    }
}
