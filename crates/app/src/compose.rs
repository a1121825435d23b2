//! Where protocols meet hosts: the table of protocols, what each of them can
//! do, and how its machines are made. Every other file of this crate works with
//! any of them, and a new protocol adds one row and one arm here.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use clap::ValueEnum;
use skein_machine::{Boot, Cluster, Ordering, ProcessId};
use skein_order::Planted;
use skein_order::skeen::Skeen;
use skein_sim::Nanos;

/// A protocol that this build has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Skeen's: the smallest; survives no fault.
    Skeen,
}

/// What a protocol promises, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Its processes may crash, its links break and its disks fail.
    pub survives_faults: bool,
    /// Its groups decide by majority, so their size must be odd.
    pub needs_majorities: bool,
    /// Only senders and destinations talk, and stop this long after the last delivery.
    pub genuine: Option<Nanos>,
    /// Steps to the last delivery: without conflicts, and at worst.
    pub steps: (u64, u64),
}

/// Something to do with a protocol, whichever it is.
pub trait Employer {
    /// What comes of it.
    type Answer;

    /// Does it, with machines made by `maker`.
    fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Self::Answer
    where
        M: Ordering + Clone + Hash + 'static;
}

impl Protocol {
    /// All of them, in the order in which tables list them.
    pub const ALL: [Protocol; 1] = [Protocol::Skeen];

    /// What it promises and needs.
    pub fn nature(self) -> Nature {
        match self {
            Protocol::Skeen => {
                Nature { survives_faults: false, needs_majorities: false, genuine: Some(0), steps: (2, 4) }
            }
        }
    }

    /// Makes machines for a cluster and hands them over.
    pub fn employ<E: Employer>(self, cluster: &Arc<Cluster>, planted: Planted, employer: E) -> E::Answer {
        let cluster = cluster.clone();
        match self {
            Protocol::Skeen => employer.employ(move |process, _| Skeen::new(process, cluster.clone(), planted)),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no protocol is hidden").get_name())
    }
}
