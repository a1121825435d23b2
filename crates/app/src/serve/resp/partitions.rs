//! [`Partitions`]: what the face knows of the partitions that its node has a
//! replica of, for INFO. It asks them once a second whether anybody wants to
//! know or not, so INFO waits for nobody and is a second old.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use skein_machine::GroupId;
use skein_runtime::inspect::Inspection;

use super::face::Way;

/// So often each is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Those of this node.
#[derive(Default)]
pub(super) struct Partitions {
    known: Vec<Known>,
    asked: Option<Instant>,
}

/// One of them, as it was a moment ago.
pub(super) struct Known {
    pub(super) group: GroupId,
    pub(super) keys: u64,
    pub(super) keys_with_deadline: u64,
    pub(super) memory: u64,
    pub(super) cursors: u64,
    /// An answer that will come.
    answer: Option<Receiver<Inspection>>,
}

impl Partitions {
    pub(super) fn of(ways: &[Way]) -> Partitions {
        let known =
            |way: &Way| Known { group: way.group, keys: 0, keys_with_deadline: 0, memory: 0, cursors: 0, answer: None };
        Partitions { known: ways.iter().map(known).collect(), asked: None }
    }

    /// Takes what was answered, and asks again when it is time to.
    pub(super) fn look(&mut self, now: Instant, ways: &[Way]) {
        let is_due = self.asked.is_none_or(|asked| now.duration_since(asked) >= EVERY);
        for (known, way) in self.known.iter_mut().zip(ways) {
            if let Some(inspection) = known.answer.as_ref().and_then(|answer| answer.try_recv().ok()) {
                known.hear(&inspection);
            }
            if is_due {
                known.answer = (way.inspect)();
            }
        }
        if is_due {
            self.asked = Some(now);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }
}

impl Known {
    fn hear(&mut self, inspection: &Inspection) {
        for (name, value) in &inspection.gauges {
            match *name {
                "keys" => self.keys = *value,
                "keys_with_deadline" => self.keys_with_deadline = *value,
                "memory_bytes" => self.memory = *value,
                "cursors" => self.cursors = *value,
                _ => {}
            }
        }
    }
}
