//! Memory stays flat: nothing is kept for ever, however long a calm run is.

use skein_machine::{Multicast, ProcessId, Random, Timestamp};
use skein_order::whitebox::{Holdings, Settings};
use skein_sim::{DiskHabits, Latency};

use super::room::{Room, TO_BOTH, TO_G, TO_H, cluster, message};

/// So many multicasts in all, one a millisecond.
const MULTICASTS: u64 = 30_000;

/// Each session sends so many, all to the same groups through the same process, and ends.
const OF_A_SESSION: u64 = 10;

/// They expire so far above the newest timestamp that their session knew when it began.
const EXPIRY: u64 = 5_000;

const SETTINGS: Settings = Settings { checkpoint_every: 100, tail: 300, ..Settings::DEFAULT };

/// What may be on the way at once: no message takes a tenth of a second. Groups settle what they share within a few
/// ticks.
const ON_THE_WAY: usize = 100;
const SETTLING: usize = 500;

/// What a process may hold, by the settings and by what is on the way.
const MOST: Holdings = {
    let kept = SETTINGS.checkpoint_every + SETTINGS.tail as usize;
    Holdings {
        open: ON_THE_WAY,
        tracks: ON_THE_WAY,
        pending: ON_THE_WAY,
        unsettled: SETTLING,
        outcomes: kept + ON_THE_WAY,
        // Payloads are one byte long.
        bytes: kept + 2 * ON_THE_WAY,
        windows: (EXPIRY / OF_A_SESSION) as usize + kept + SETTLING,
    }
};

#[test]
fn what_a_process_holds_does_not_grow() {
    let processes: Vec<ProcessId> = cluster().processes().collect();
    let latency = Latency::varied(&processes, &mut Random::new(7));
    let mut room = Room::with(SETTINGS, latency, DiskHabits::GOOD, 7);
    room.run(1000);
    let (mut newest, mut expiry) = (Timestamp::ZERO, Timestamp::ZERO);
    let mut reached = Holdings::default();
    // All of its state in words, for whatever the holdings do not count.
    let mut words = [0; 2];
    for nth in 0..MULTICASTS {
        let (session, sequence) = (nth / OF_A_SESSION + 1, nth % OF_A_SESSION + 1);
        if sequence == 1 {
            expiry = Timestamp(newest.0 + EXPIRY);
        }
        let groups = [TO_G, TO_BOTH, TO_H, TO_BOTH][(session % 4) as usize];
        let sender = processes[session as usize % processes.len()];
        room.multicast(sender, Multicast { expiry, ..message(session, sequence, groups, "x") });
        room.run(1);
        room.world.take_traffic();
        for (_, delivered) in std::mem::take(&mut room.deliveries) {
            let last = delivered.last().map_or(Timestamp::ZERO, |(_, delivery)| delivery.timestamp);
            newest = newest.max(last);
        }
        room.said.clear();
        if nth % 100 == 99 {
            for process in &processes {
                let machine = room.world.machine(*process).expect("nobody crashes");
                reached = most_of(reached, machine.holdings());
                if nth % 1000 == 999 {
                    let half = (nth / (MULTICASTS / 2)) as usize;
                    words[half] = words[half].max(format!("{machine:?}").len());
                }
            }
        }
    }
    assert_eq!(most_of(reached, MOST), MOST, "{reached:?}");
    assert!(words[1] * 10 < words[0] * 11, "in words it grows from {} to {}", words[0], words[1]);
}

/// The larger of each.
fn most_of(one: Holdings, other: Holdings) -> Holdings {
    Holdings {
        open: one.open.max(other.open),
        tracks: one.tracks.max(other.tracks),
        pending: one.pending.max(other.pending),
        unsettled: one.unsettled.max(other.unsettled),
        outcomes: one.outcomes.max(other.outcomes),
        bytes: one.bytes.max(other.bytes),
        windows: one.windows.max(other.windows),
    }
}
