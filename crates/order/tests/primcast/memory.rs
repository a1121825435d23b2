//! Memory stays flat: nothing is kept for ever, however long a calm run is.

use skein_order::primcast::{Holdings, PrimCast, Settings};

use super::room::{OF_A_SESSION, calm_for_long, cluster};

/// So many multicasts in all, one a millisecond.
const MULTICASTS: u64 = 100_000;

/// They expire so far above the newest timestamp that their session knew when it began.
const EXPIRY: u64 = 10_000;

const SETTINGS: Settings = Settings { checkpoint_every: 100, tail: 300, ..Settings::DEFAULT };

/// What may be on the way at once: no message takes a tenth of a second.
const ON_THE_WAY: usize = 100;

/// What a process may hold, by the settings and by what is on the way. Groups settle what they share within
/// three ticks, which is 225 messages to each of them, and so less than the tail.
const MOST: Holdings = {
    let kept = SETTINGS.checkpoint_every + SETTINGS.tail as usize;
    Holdings {
        open: ON_THE_WAY,
        entries: kept + ON_THE_WAY,
        // Payloads are one byte long.
        bytes: kept + ON_THE_WAY,
        tracks: kept + 2 * ON_THE_WAY,
        pending: ON_THE_WAY,
        outcomes: kept,
        // Sessions that have not expired, and those that the log still knows.
        windows: (EXPIRY / OF_A_SESSION) as usize + kept,
    }
};

#[test]
fn what_a_process_holds_does_not_grow() {
    let mut halves = [Holdings::default(); 2];
    // All of its state in words, for whatever the holdings do not count.
    let mut words = [0; 2];
    calm_for_long::<PrimCast>(SETTINGS, MULTICASTS, EXPIRY, |nth, room| {
        let half = (nth / (MULTICASTS / 2)) as usize;
        for process in cluster().processes().filter(|_| nth % 10 == 0) {
            let machine = room.world.machine(process).expect("it is up");
            halves[half] = highest(halves[half], machine.holdings());
            if nth % 1250 == 0 {
                words[half] = words[half].max(format!("{machine:?}").len());
            }
        }
    });
    let [first, second] = halves;
    // A tenth more may come by chance: maxima of a random run.
    let tenth_more = |most: usize| most + most / 10;
    let bounds = [first.open, first.entries, first.bytes, first.tracks, first.pending, first.outcomes, first.windows]
        .map(tenth_more);
    let [open, entries, bytes, tracks, pending, outcomes, windows] = bounds;
    let bound = Holdings { open, entries, bytes, tracks, pending, outcomes, windows };
    assert_eq!(highest(bound, second), bound, "the second half held more than the first: {halves:#?}");
    assert_eq!(highest(MOST, highest(first, second)), MOST, "more was held than the settings allow: {halves:#?}");
    assert!(words[1] <= tenth_more(words[0]), "something grew that no holding counts: {words:?} bytes of words");
}

fn highest(one: Holdings, other: Holdings) -> Holdings {
    Holdings {
        open: one.open.max(other.open),
        entries: one.entries.max(other.entries),
        bytes: one.bytes.max(other.bytes),
        tracks: one.tracks.max(other.tracks),
        pending: one.pending.max(other.pending),
        outcomes: one.outcomes.max(other.outcomes),
        windows: one.windows.max(other.windows),
    }
}
