//! Memory stays flat: nothing is kept for ever, however long a calm run is.

use skein_order::fastcast::{FastCast, Holdings, Settings};

use super::room::{OF_A_SESSION, calm_for_long, cluster};

/// So many multicasts in all, one a millisecond.
const MULTICASTS: u64 = 20_000;

/// They expire so far above the newest timestamp that their session knew when it began.
const EXPIRY: u64 = 2_000;

const SETTINGS: Settings = Settings { checkpoint_every: 300, tail: 600, ..Settings::DEFAULT };

/// What may be on the way at once: no message takes a tenth of a second.
const ON_THE_WAY: usize = 100;

/// What a process may hold, by the settings and by what is on the way. Groups tell each other within three ticks
/// what they have learned, which is 300 messages.
const MOST: Holdings = {
    let kept = SETTINGS.checkpoint_every + SETTINGS.tail as usize;
    Holdings {
        open: ON_THE_WAY,
        entries: kept + 3 * ON_THE_WAY,
        tracks: SETTINGS.checkpoint_every + 4 * ON_THE_WAY,
        pending: ON_THE_WAY,
        // Sessions that have not expired, and those of which a message is known.
        windows: (EXPIRY / OF_A_SESSION) as usize + 4 * ON_THE_WAY,
    }
};

#[test]
fn what_a_process_holds_does_not_grow() {
    // All of its state in words, for whatever the holdings do not count.
    let (mut most, mut words) = (Holdings::default(), [0; 2]);
    calm_for_long::<FastCast>(SETTINGS, MULTICASTS, EXPIRY, |nth, room| {
        let half = (nth / (MULTICASTS / 2)) as usize;
        for process in cluster().processes().filter(|_| nth % 10 == 0) {
            let machine = room.world.machine(process).expect("it is up");
            most = highest(most, machine.holdings());
            if nth % 250 == 0 && nth > MULTICASTS / 4 {
                words[half] = words[half].max(format!("{machine:?}").len());
            }
        }
    });
    assert_eq!(highest(MOST, most), MOST, "more was held than the settings allow: {most:?}");
    // A tenth more may come by chance: maxima of a random run.
    assert!(words[1] <= words[0] + words[0] / 10, "something grew that no holding counts: {words:?} bytes of words");
}

fn highest(one: Holdings, other: Holdings) -> Holdings {
    Holdings {
        open: one.open.max(other.open),
        entries: one.entries.max(other.entries),
        tracks: one.tracks.max(other.tracks),
        pending: one.pending.max(other.pending),
        windows: one.windows.max(other.windows),
    }
}
