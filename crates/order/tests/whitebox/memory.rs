//! Memory stays flat: nothing is kept for ever, however long a calm run is.

use skein_order::whitebox::{Holdings, Settings, WhiteBox};

use super::room::{OF_A_SESSION, calm_for_long, cluster};

/// So many multicasts in all, one a millisecond.
const MULTICASTS: u64 = 30_000;

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
    let mut reached = Holdings::default();
    // All of its state in words, for whatever the holdings do not count.
    let mut words = [0; 2];
    calm_for_long::<WhiteBox>(SETTINGS, MULTICASTS, EXPIRY, |nth, room| {
        for process in cluster().processes().filter(|_| nth % 100 == 99) {
            let machine = room.world.machine(process).expect("nobody crashes");
            reached = most_of(reached, machine.holdings());
            if nth % 1000 == 999 {
                let half = (nth / (MULTICASTS / 2)) as usize;
                words[half] = words[half].max(format!("{machine:?}").len());
            }
        }
    });
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
