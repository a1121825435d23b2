//! [`Meters`]: what has come and gone at a host, and what was thrown away. Each
//! is there from the beginning, so that whoever watches sees zeros first.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One count.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    /// So many so far.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// All counts of a host.
#[derive(Debug, Default)]
#[allow(missing_docs)] // what they are is said where they are told
pub struct Meters {
    pub datagrams_in: Meter,
    pub datagrams_out: Meter,
    pub streams_in: Meter,
    pub streams_out: Meter,
    pub frames_in: Meter,
    pub frames_out: Meter,
    pub bytes_in: Meter,
    pub bytes_out: Meter,
    pub unverified: Meter,
    pub garbled: Meter,
    pub foreign: Meter,
    pub unsent: Meter,
    pub unreachable: Meter,
    pub too_long: Meter,
    pub crowded: Meter,
}

impl Meters {
    /// Tells every count, with its name and what it is.
    pub fn tell(&self, tell: &mut dyn FnMut(&'static str, &'static str, u64)) {
        let meters: [(&'static str, &'static str, &Meter); 15] = [
            ("edge_datagrams_in_total", "Datagrams heard.", &self.datagrams_in),
            ("edge_datagrams_out_total", "Datagrams sent.", &self.datagrams_out),
            ("edge_streams_in_total", "Connections of other members.", &self.streams_in),
            ("edge_streams_out_total", "Connections to other members.", &self.streams_out),
            ("edge_frames_in_total", "Pieces heard over connections.", &self.frames_in),
            ("edge_frames_out_total", "Pieces sent over connections.", &self.frames_out),
            ("edge_bytes_in_total", "Bytes heard, with their seals.", &self.bytes_in),
            ("edge_bytes_out_total", "Bytes sent, with their seals.", &self.bytes_out),
            ("edge_unverified_total", "Datagrams and connections that come from no member.", &self.unverified),
            ("edge_garbled_total", "What members said and no member of this build would say.", &self.garbled),
            ("edge_foreign_total", "What came from addresses for which there was no room.", &self.foreign),
            ("edge_unsent_total", "Datagrams that the system did not take.", &self.unsent),
            ("edge_unreachable_total", "Connections that could not be made, or broke.", &self.unreachable),
            ("edge_too_long_total", "What was longer than anything may be, and was not said.", &self.too_long),
            ("edge_crowded_total", "What was not said because too much waits for its turn.", &self.crowded),
        ];
        for (name, what, meter) in meters {
            tell(name, what, meter.read());
        }
    }
}
