//! How many records a second one core takes into a map, from the bytes of
//! datagrams and of larger answers.

use std::time::Instant;

use bytes::Bytes;
use skein_edge::MemberId;
use skein_edge::dots::Actor;
use skein_edge::map::{Delta, Map};
use skein_machine::wire::{self, VERSION};

/// Keys of the map, as many as a fleet may have origins.
const KEYS: usize = 20_000;

/// Members that write them.
const WRITERS: usize = 16;

/// How often it is measured.
const TIMES: usize = 9;

/// What fits a datagram, and what does not.
const SIZES: [usize; 2] = [1_300, 1 << 18];

/// Records a second, the median of some tries.
pub(super) fn rate() -> f64 {
    let mut rates: Vec<f64> = (0..TIMES).map(|nth| merge_rate(SIZES[nth % SIZES.len()])).collect();
    rates.sort_by(f64::total_cmp);
    rates[TIMES / 2]
}

/// Records that are taken in a second, of which every second replaces one.
fn merge_rate(size: usize) -> f64 {
    let told = told(size);
    let mut map = Map::new(Actor { member: MemberId(u64::MAX), life: 1 });
    let mut records = 0;
    let began = Instant::now();
    for bytes in told {
        let delta: Delta = wire::from_bytes(bytes, VERSION).expect("what was encoded decodes");
        records += delta.len();
        map.merge(delta).expect("a map of this size has room");
    }
    let took = began.elapsed();
    assert!(map.len() == KEYS && records == 2 * KEYS, "{} keys of {records} records", map.len());
    records as f64 / took.as_secs_f64()
}

/// What some members told: all keys, and then all again with other values.
fn told(size: usize) -> Vec<Bytes> {
    let actor = |nth: usize| Actor { member: MemberId((nth as u64 + 1) << 58), life: 1 };
    let mut writers: Vec<Map> = (0..WRITERS).map(|nth| Map::new(actor(nth))).collect();
    let mut told = Vec::new();
    for round in 0..2 {
        for (nth, writer) in writers.iter_mut().enumerate() {
            let before = writer.seen().clone();
            for key in (nth..KEYS).step_by(WRITERS) {
                let value = format!("up since {round}{key:010} by member-{nth}");
                writer.put(format!("origin-{key}.example").as_bytes(), value.into()).expect("it has room");
            }
            let news = writer.seen().without(&before);
            told.extend(writer.news(&news, size).iter().map(wire::to_bytes));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_told_is_taken() {
        assert!(SIZES.into_iter().all(|size| merge_rate(size) > 0.0));
    }
}
