//! [`Judge`]: whether all replicas applied the same log, each request once and
//! in order; whether clients can have seen what they saw; whether all came to
//! the same state in the end, and to an end at all.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::ProcessId;
use skein_sim::check::linear::{self, Element, Key};
use skein_sim::check::{LIVENESS, Violation};

use super::clients::Clients;

/// The lists that a replica holds.
pub(super) type Held = Vec<(Key, Vec<Element>)>;

const LOG: &str = "agreement on the log";

/// What replicas did, as far as it can be wrong.
pub(super) struct Judge {
    /// What was applied in each slot, by whoever applied it first.
    log: BTreeMap<u64, Vec<Bytes>>,
    /// Where each replica is: its life, the slot, and how many requests of that it has applied.
    places: Vec<(u32, u64, usize)>,
    found: Vec<Violation>,
}

impl Judge {
    pub(super) fn new(replicas: usize) -> Judge {
        Judge { log: BTreeMap::new(), places: vec![(0, 0, 0); replicas], found: Vec::new() }
    }

    /// A replica applied a request.
    pub(super) fn applied(&mut self, process: ProcessId, life: u32, index: u64, request: &Bytes) {
        let place = &mut self.places[usize::from(process.0)];
        if place.0 != life {
            *place = (life, 0, 0);
        }
        if index < place.1 {
            let detail = format!("{process} applied slot {index} after slot {}", place.1);
            self.found.push(Violation { property: LOG, detail });
        }
        if index != place.1 {
            (place.1, place.2) = (index, 0);
        }
        let nth = place.2;
        place.2 += 1;
        let slot = self.log.entry(index).or_default();
        match slot.get(nth) {
            Some(first) if first == request => {}
            Some(first) => {
                let detail =
                    format!("{process} applied {request:?} as request {nth} of slot {index}, and another {first:?}");
                self.found.push(Violation { property: LOG, detail });
            }
            None if nth == slot.len() => slot.push(request.clone()),
            None => {}
        }
    }

    /// A replica became a state that another had.
    pub(super) fn installed(&mut self, process: ProcessId, life: u32) {
        let place = &mut self.places[usize::from(process.0)];
        *place = (life, 0, 0);
    }

    /// Something that must not be.
    pub(super) fn odd(&mut self, detail: String) {
        self.found.push(Violation { property: LIVENESS, detail });
    }

    /// Everything that is wrong.
    pub(super) fn verdict(mut self, clients: &Clients, held: &[Held]) -> Vec<Violation> {
        if !clients.is_closed() {
            self.odd(format!("after the weather, {}", clients.missing()));
        }
        self.found.truncate(3);
        let mut found = self.found;
        found.extend(linear::check(&clients.operations));
        if found.is_empty()
            && let Some(other) = held.iter().position(|lists| *lists != held[0])
        {
            let detail = format!("p0 holds {:?} in the end, and p{other} {:?}", held[0], held[other]);
            found.push(Violation { property: LOG, detail });
        }
        found
    }
}
