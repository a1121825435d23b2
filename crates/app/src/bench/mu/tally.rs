//! [`Tally`]: the service that is measured. It counts requests and adds them up,
//! so that replicas can be compared, and notes when it was asked to apply one.
//! It does nothing else, since it is not what is measured.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use skein_machine::{Call, Frozen, Reply, Service, Shares, Timestamp};

/// Of so many requests, the time of one is kept: to look at the clock takes as long as a small part of a request.
pub(super) const SAMPLED: u64 = 64;

/// What is noted at most.
const MAX_SAMPLES: usize = 1 << 20;

/// What the service and whoever owns it both see. They live on one thread, but the compiler does not know it.
#[derive(Default)]
pub(super) struct Notes {
    /// When the last request was applied: on a leader, the moment at which it knew it to be decided.
    pub(super) applied_at: AtomicU64,
    /// Whether that is noted of every request.
    pub(super) is_timed: AtomicBool,
    /// Numbers of requests, and when they were applied here.
    pub(super) samples: Mutex<Vec<(u64, u64)>>,
    pub(super) count: AtomicU64,
    pub(super) digest: AtomicU64,
}

/// How many requests it has applied, and which.
pub(super) struct Tally {
    count: u64,
    digest: u64,
    notes: Arc<Notes>,
}

impl Tally {
    pub(super) fn new(notes: Arc<Notes>) -> Tally {
        Tally { count: 0, digest: 0, notes }
    }

    fn publish(&self) {
        self.notes.count.store(self.count, Relaxed);
        self.notes.digest.store(self.digest, Relaxed);
    }
}

/// Nanoseconds of the clock that all processes of a machine share and that never jumps.
#[inline]
pub(super) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The number of a request: its first eight bytes.
fn number_of(request: &[u8]) -> u64 {
    request.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Depends on every byte and on the order.
fn add(digest: u64, request: &[u8]) -> u64 {
    let (whole, rest) = request.as_chunks::<8>();
    let digest = whole.iter().fold(digest, |digest, word| {
        (digest.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    rest.iter().fold(digest, |digest, byte| (digest.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Service for Tally {
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    #[inline]
    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        let number = number_of(call.command);
        let is_sample = number.is_multiple_of(SAMPLED);
        if is_sample || self.notes.is_timed.load(Relaxed) {
            let now = now();
            self.notes.applied_at.store(now, Relaxed);
            if is_sample
                && let Ok(mut samples) = self.notes.samples.lock()
                && samples.len() < MAX_SAMPLES
            {
                samples.push((number, now));
            }
        }
        self.count += 1;
        self.digest = add(self.digest, call.command);
        self.publish();
        Reply::default()
    }

    fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
        Reply(Bytes::copy_from_slice(&self.count.to_le_bytes()))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        let state = [self.count.to_le_bytes(), self.digest.to_le_bytes()].concat();
        Box::new(Some(Bytes::from(state)))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        let (words, rest) = snapshot.as_chunks::<8>();
        let [count, digest] = words else { return Err("a tally is two words".to_owned()) };
        if !rest.is_empty() {
            return Err("a tally is two words".to_owned());
        }
        (self.count, self.digest) = (u64::from_le_bytes(*count), u64::from_le_bytes(*digest));
        self.publish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_every_byte_and_on_the_order() {
        let all = |requests: &[&[u8]]| requests.iter().fold(0, |digest, request| add(digest, request));
        let one = all(&[b"12345678abc", b"x"]);
        for other in [all(&[b"12345678abd", b"x"]), all(&[b"x", b"12345678abc"]), all(&[b"12345679abc", b"x"])] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_clock_of_all_processes_goes_on() {
        let before = now();
        assert!(before > 0 && now() >= before);
    }
}
