//! `skein sim steps`: the step table, measured.

use std::hash::Hash;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use skein_machine::{Boot, Cluster, Conflicts, Ordering, ProcessId};
use skein_sim::ALL_COMMUTE;
use skein_sim::check::Calm;
use skein_sim::steps::{Steps, measure};

use super::{Verdict, output};
use crate::compose::{Clock, Employer, Protocol, Variant};

#[derive(Args)]
#[command(after_help = "A step is one message delay, from the multicast to the last delivery anywhere (in brackets: at
the first replicas of the groups). Messages and bytes are those of one multicast of 64 bytes to 2
groups of 3, sent by a replica of one of them. In rows that end in -hybrid, timestamps follow
hardware clocks that show the true time; in rows that end in -commuting, no two messages conflict.
The exit code is 1 when a protocol misses what it promises.

Example:
  skein sim steps --json")]
pub(crate) struct Arguments {
    /// Only this protocol.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One row of the table.
#[derive(Serialize)]
struct Row {
    protocol: String,
    collision_free: u64,
    collision_free_leaders: u64,
    worst: u64,
    worst_leaders: u64,
    messages: u64,
    bytes: u64,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let mut all_well = true;
    if !arguments.json {
        output::line("protocol            collision-free      at worst   messages     bytes");
    }
    let wanted = Protocol::ALL.into_iter().filter(|each| arguments.protocol.is_none_or(|only| only == *each));
    for Subject { name, protocol, variant, promised } in wanted.flat_map(subjects) {
        let steps = steps_of(protocol, variant, promised);
        let row = Row {
            protocol: name.clone(),
            collision_free: steps.collision_free,
            collision_free_leaders: steps.collision_free_leaders,
            worst: steps.worst,
            worst_leaders: steps.worst_leaders,
            messages: steps.messages,
            bytes: steps.bytes,
        };
        if arguments.json {
            output::json(&row);
        } else {
            let pair = |all: u64, leaders: u64| format!("{all} ({leaders})");
            output::line(format_args!(
                "{:<20}{:>14}{:>14}{:>11}{:>10}",
                row.protocol,
                pair(row.collision_free, row.collision_free_leaders),
                pair(row.worst, row.worst_leaders),
                row.messages,
                row.bytes
            ));
        }
        for violation in &steps.violations {
            eprintln!("{name}: {violation}");
        }
        let measured = (steps.collision_free, steps.worst);
        if measured != promised {
            eprintln!("{name} promises {promised:?} steps and takes {measured:?}");
        }
        all_well &= steps.violations.is_empty() && measured == promised;
    }
    Ok(all_well)
}

/// What is measured in one row, and what it promises.
struct Subject {
    name: String,
    protocol: Protocol,
    variant: Variant,
    promised: (u64, u64),
}

/// A protocol with each kind of clock that it can use, and with messages that commute if it knows what to do with them.
fn subjects(protocol: Protocol) -> Vec<Subject> {
    let nature = protocol.nature();
    let subject =
        |ending, promised, variant| Subject { name: format!("{protocol}{ending}"), protocol, variant, promised };
    let hybrid = |promised| subject("-hybrid", promised, Variant { clock: Clock::Hybrid, ..Variant::PLAIN });
    let commuting =
        |promised| subject("-commuting", promised, Variant { conflicts: Some(ALL_COMMUTE), ..Variant::PLAIN });
    let mut subjects = vec![subject("", nature.steps, Variant::PLAIN)];
    subjects.extend(nature.hybrid_steps.map(hybrid));
    subjects.extend(nature.commuting_steps.map(commuting));
    subjects
}

/// Measures one protocol on three groups of three. Their hardware clocks show the true time.
pub(crate) fn steps_of(protocol: Protocol, variant: Variant, promised: (u64, u64)) -> Steps {
    struct Measure<'a>(&'a Arc<Cluster>, (u64, u64), Calm, Option<Conflicts>);
    impl Employer for Measure<'_> {
        type Answer = Steps;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Steps
        where
            M: Ordering + Clone + Hash + 'static,
        {
            measure(self.0, self.1, self.2, self.3, maker)
        }
    }
    let cluster = Arc::new(Cluster::regular(3, 3, 2).expect("three groups of three are a cluster"));
    protocol.employ(&cluster, variant, Measure(&cluster, promised, protocol.nature().calm, variant.conflicts))
}
