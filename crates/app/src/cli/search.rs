//! `skein sim search`: every order of events in a small scope, of a protocol or
//! of a service on it. How replicas of a service are made for it stands in
//! `searched.rs`.

use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use skein_machine::{Boot, Cluster, Conflicts, GroupSet, Ordering, ProcessId};
use skein_service::Planted;
use skein_sim::search::{
    Clocks, Counterexample, Kind, MOST_PARTITIONS, Moment, MomentKind, Report, Scope, ServiceScope, Wish, Wishes,
    search,
};

use super::searched::search_service_of;
use super::served::Served;
use super::settings::{self, name_of};
use super::{Mistake, Verdict, output, thousands};
use crate::compose::{Clock, Employer, Mode, Protocol, Variant};
use crate::diagram::Diagram;

/// The renamings of more groups than this are more than the search saves by them.
const MOST_GROUPS: usize = 6;

/// More messages than this have more orders than anybody will wait for.
const MOST_MESSAGES: usize = 8;

/// A path through a small scope is short, but its states are large and each lies on the stack.
const STACK: usize = 1 << 30;

const _: () = assert!(MOST_GROUPS <= MOST_PARTITIONS, "every partition has a letter");

#[derive(Args)]
#[command(after_help = "Examples:
  skein sim search --protocol skeen --groups 2 --replicas 1 --messages 3
  skein sim search --protocol skeen --groups 3 --replicas 1 --messages 3 --json
  skein sim search --protocol primcast --groups 2 --replicas 1 --messages 3 --conflicts
  skein sim search --protocol skeen-extended --groups 3 --replicas 1 --destinations 0,1,0+2,1+2 --svg cycle.svg
  skein sim search --protocol primcast --service lists --groups 2 --replicas 1 --messages 2 --kinds append,read
  skein sim search --protocol primcast --service lists --groups 3 --replicas 1 --operations yz,xy,x,z

Tries all destination sets up to renaming of groups, from one message to N, and all orders in which
links can deliver. Prints the first schedule that breaks a property; the exit code is then 1.

With --service, N operations of clients take the place of messages: each comes from a client of its own, through a
replica of one of its partitions, at any moment, and what all of them saw must be linearizable. Partitions are called
x, y, z, ... `yz` appends to lists in y and z, and the replica of y is asked; `yz@x` asks that of x. `look:yz` looks at
both at one place in the order, `gather:yz` appends to y what it tells of z, `read:y` looks at y without ordering.")]
pub(crate) struct Arguments {
    /// Which protocol.
    #[arg(long)]
    protocol: Protocol,
    /// What is promised about real time.
    #[arg(long, default_value = "ordered")]
    mode: Mode,
    /// Only messages to these sets of groups, under every name that groups can have.
    #[arg(long, conflicts_with_all = ["messages", "service"], value_delimiter = ',', value_name = "SETS")]
    destinations: Vec<String>,
    /// Draw what breaks a property into this file, as a picture of processes and messages.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// How many groups.
    #[arg(long, value_name = "G")]
    groups: usize,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 3, value_name = "R")]
    replicas: usize,
    /// Up to how many messages, or operations of a service.
    #[arg(long, required_unless_present_any = ["operations", "destinations"], value_name = "N")]
    messages: Option<usize>,
    /// Search the replicas of a service on the protocol: the simulator's own lists.
    #[arg(long, value_name = "SERVICE")]
    service: Option<Served>,
    /// Of what kinds the operations of a service are: append, look, gather, read.
    #[arg(
        long,
        requires = "service",
        conflicts_with = "operations",
        value_delimiter = ',',
        default_value = "append",
        value_name = "KINDS"
    )]
    kinds: Vec<KindName>,
    /// No operation of a service concerns more partitions than this; all of them unless told.
    #[arg(long, requires = "service", conflicts_with = "operations", value_name = "W")]
    widest: Option<usize>,
    /// These operations of a service and no others, under every name that partitions can have.
    #[arg(long, requires = "service", conflicts_with = "messages", value_delimiter = ',', value_name = "OPERATIONS")]
    operations: Vec<String>,
    /// How many processes may crash, and restart, on one path.
    #[arg(long, default_value_t = 0, value_name = "C")]
    crashes: u32,
    /// How many timers may fire on one path.
    #[arg(long, default_value_t = 0, value_name = "T")]
    timers: u32,
    /// Only messages that conflict are delivered in one order: the second of them writes what the first and the third
    /// read, and the fourth writes elsewhere.
    #[arg(long)]
    conflicts: bool,
    /// Stop after this many states; the search is then not complete.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
    max_states: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// No progress on the terminal.
    #[arg(long)]
    quiet: bool,
}

/// What the clients of a service ask for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// Append to lists.
    Append,
    /// Look at lists, at one place in the order.
    Look,
    /// Append to one list and tell what others hold.
    Gather,
    /// Look at one list without ordering anything.
    Read,
}

#[derive(Serialize)]
struct Row {
    protocol: String,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    groups: usize,
    replicas: usize,
    messages: usize,
    crashes: u32,
    states: u64,
    complete: bool,
    violations: u64,
    trace: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    step: usize,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest: Option<Vec<String>>,
    words: String,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let told = |states| {
        bar.set_message(format!("{} states", thousands(states)));
        bar.tick();
    };
    let report = match arguments.service {
        None => {
            let scope = arguments.scope()?;
            let variant = variant_of(arguments.mode, scope.conflicts);
            search_of(arguments.protocol, &scope, variant, told)?
        }
        Some(_) => search_service_of(arguments.protocol, &arguments.service_scope()?, Planted::NONE, told)?,
    };
    bar.finish_and_clear();
    if let (Some(path), Some(failure)) = (&arguments.svg, &report.failure) {
        let picture = Diagram::of(failure, &arguments.shown_cluster()?).to_svg();
        std::fs::write(path, picture)
            .map_err(|error| Mistake(format!("cannot write the picture {}: {error}", path.display())))?;
    }
    let is_well = report.failure.is_none();
    if arguments.json {
        output::json(&arguments.row(&report));
    } else {
        arguments.print(&report);
    }
    Ok(is_well)
}

/// So much time passes at once in a search: less than any timer of a protocol takes, so none but those that wait for
/// a clock fire in it.
const UNIT: Duration = Duration::from_micros(50);

/// What hardware clocks show in the mode that relies on them: they err by a unit.
pub(crate) const CLOCKS: Clocks = Clocks { unit: UNIT, error: 1, passes: 3 };

/// What is searched in a mode.
pub(crate) fn variant_of(mode: Mode, conflicts: Option<Conflicts>) -> Variant {
    Variant { mode, conflicts, clock_error: CLOCKS.unit * CLOCKS.error, ..Variant::PLAIN }
}

/// Does the work on a thread with room for long paths.
pub(super) fn on_a_large_stack(work: impl FnOnce() -> Report + Send) -> Result<Report, Mistake> {
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(threads, work);
        let thread = thread.map_err(|error| Mistake(format!("cannot start a thread to search on: {error}")))?;
        thread.join().map_err(|_| Mistake("the search itself failed; what it printed above says where".into()))
    })
}

/// Searches one protocol.
pub(crate) fn search_of(
    protocol: Protocol,
    scope: &Scope,
    variant: Variant,
    told: impl FnMut(u64) + Send,
) -> Result<Report, Mistake> {
    struct Searcher<'a, F>(&'a Scope, &'a Arc<Cluster>, F);
    impl<F: FnMut(u64)> Employer for Searcher<'_, F> {
        type Answer = Report;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Report
        where
            M: Ordering + Clone + Hash + 'static,
        {
            search(self.0, self.1, maker, self.2)
        }
    }
    let cluster = Arc::new(scope.cluster()?);
    on_a_large_stack(|| protocol.employ(&cluster, variant, Searcher(scope, &cluster, told)))
}

impl Arguments {
    fn scope(&self) -> Result<Scope, Mistake> {
        let messages = self.check_size()?;
        let nature = self.protocol.nature();
        if self.crashes > 0 && !nature.survives_faults {
            return Err(Mistake(format!("{} survives no crash; leave --crashes at 0", self.protocol)));
        }
        let parse = |text: &String| settings::parse_set(text, self.groups);
        let only: Vec<GroupSet> = self.destinations.iter().map(parse).collect::<Result<_, _>>()?;
        let scope = Scope {
            only: (!only.is_empty()).then_some(only),
            crashes: self.crashes,
            timers: self.timers,
            clocks: self.mode.needs_clocks().then_some(CLOCKS),
            real_time: nature.real_time_in(self.mode),
            conflicts: settings::relation(self.protocol, self.conflicts)?,
            max_states: self.max_states,
            ..Scope::calm(self.groups, self.replicas, messages)
        };
        let cluster = scope.cluster()?;
        if nature.needs_majorities {
            cluster.require_majorities()?;
        }
        Ok(scope)
    }

    /// How many messages or operations there are, if all orders of so many can be tried.
    fn check_size(&self) -> Result<usize, Mistake> {
        settings::check_mode(self.protocol, self.mode, Clock::Logical)?;
        settings::check_company(self.mode, self.service.is_some(), self.conflicts)?;
        let too_many = |what: &str, asked: usize, most: usize| {
            Mistake(format!("{asked} {what} are too many to try all orders; choose at most {most}"))
        };
        let messages = self.count();
        if self.groups > MOST_GROUPS {
            return Err(too_many("groups", self.groups, MOST_GROUPS));
        }
        if messages > MOST_MESSAGES {
            return Err(too_many(
                if self.service.is_some() { "operations" } else { "messages" },
                messages,
                MOST_MESSAGES,
            ));
        }
        if messages == 0 {
            return Err(Mistake("without a message there is nothing to order; choose --messages 1 or more".into()));
        }
        Ok(messages)
    }

    /// The cluster in which a counter-example happened.
    fn shown_cluster(&self) -> Result<Cluster, Mistake> {
        Ok(match self.service {
            None => self.scope()?.cluster()?,
            Some(_) => self.service_scope()?.cluster()?,
        })
    }

    fn count(&self) -> usize {
        self.messages.unwrap_or(self.operations.len() + self.destinations.len())
    }

    fn service_scope(&self) -> Result<ServiceScope, Mistake> {
        let most = self.check_size()?;
        if self.service != Some(Served::Lists) {
            return Err(Mistake("all orders of the store are too many to try; choose --service lists".into()));
        }
        settings::check_service(self.protocol)?;
        if self.replicas != 1 || self.crashes > 0 || self.conflicts {
            return Err(Mistake(
                "a service is searched with one replica in each group, without crashes and conflicts; say \
                 --replicas 1 and leave --crashes and --conflicts out"
                    .into(),
            ));
        }
        if self.widest == Some(0) {
            return Err(Mistake("an operation concerns one partition at least; choose --widest 1 or more".into()));
        }
        let mut kinds: Vec<Kind> = self.kinds.iter().map(|kind| kind.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let wishes = match self.messages {
            Some(_) => Wishes::All { kinds, most, widest: self.widest.unwrap_or(self.groups) },
            None => {
                let wish = |text: &String| Wish::parse(text.trim(), self.groups).map_err(Mistake);
                Wishes::These(self.operations.iter().map(wish).collect::<Result<_, _>>()?)
            }
        };
        let scope = ServiceScope {
            timers: self.timers,
            max_states: self.max_states,
            ..ServiceScope::calm(self.groups, wishes)
        };
        scope.cluster()?;
        Ok(scope)
    }

    fn row(&self, report: &Report) -> Row {
        Row {
            protocol: self.protocol.to_string(),
            mode: name_of(&self.mode),
            service: self.service.as_ref().map(name_of),
            groups: self.groups,
            replicas: self.replicas,
            messages: self.count(),
            crashes: self.crashes,
            states: report.states,
            complete: report.is_complete,
            violations: u64::from(report.failure.is_some()),
            trace: report.failure.iter().flat_map(|failure| failure.events.iter().map(Line::from)).collect(),
        }
    }

    fn print(&self, report: &Report) {
        let (service, what) = match &self.service {
            Some(service) => (format!(" and {}", name_of(service)), "operations"),
            None => (String::new(), "messages"),
        };
        let upto = if self.messages.is_some() { "up to " } else { "" };
        output::line(format_args!(
            "{}{service} with {} groups of {} and {upto}{} {what}: {} states, {} steps between them, {} workloads",
            self.protocol,
            self.groups,
            self.replicas,
            self.count(),
            thousands(report.states),
            thousands(report.transitions),
            thousands(report.workloads)
        ));
        match &report.failure {
            Some(failure) => output::text(&in_words(failure)),
            None if report.is_complete => output::line("complete: every order was tried, every property held"),
            None => output::line("not complete: stopped at --max-states; nothing was wrong so far"),
        }
    }
}

impl KindName {
    fn kind(self) -> Kind {
        match self {
            KindName::Append => Kind::Append,
            KindName::Look => Kind::Look,
            KindName::Gather => Kind::Gather,
            KindName::Read => Kind::Read,
        }
    }
}

/// A counter-example for people.
pub(crate) fn in_words(failure: &Counterexample) -> String {
    let mut text = String::new();
    for violation in &failure.violations {
        text += &format!("broken: {violation}\n");
    }
    for Moment { step, process, words, .. } in &failure.events {
        text += &format!("{step:>4} {:<4} {words}\n", process.to_string());
    }
    text
}

impl From<&Moment> for Line {
    fn from(moment: &Moment) -> Line {
        let (event, message, group, dest) = match moment.kind {
            MomentKind::Multicast(id, set) => ("multicast", Some(id), None, Some(set)),
            MomentKind::Deliver(id, group) => ("deliver", Some(id), Some(group), None),
            MomentKind::Ask(set) => ("ask", None, None, Some(set)),
            MomentKind::Answer => ("answer", None, None, None),
            MomentKind::Hear => ("hear", None, None, None),
            MomentKind::Crash => ("crash", None, None, None),
            MomentKind::Restart => ("restart", None, None, None),
            MomentKind::Lose => ("lose", None, None, None),
            MomentKind::Timer => ("timer", None, None, None),
        };
        Line {
            step: moment.step,
            event,
            message: message.map(|id| id.to_string()),
            at: moment.process.to_string(),
            group: group.map(|group| group.to_string()),
            dest: dest.map(|set| set.iter().map(|group| group.to_string()).collect()),
            words: moment.words.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use skein_sim::check::RealTime;

    /// A change of these numbers means that a protocol does something else, or
    /// that the search sees more or less than before.
    #[test]
    fn state_counts_are_pinned() {
        for (protocol, groups, replicas, messages, states) in [
            (Protocol::Skeen, 2, 1, 2, 198),
            (Protocol::Skeen, 2, 1, 3, 5_225),
            (Protocol::Skeen, 3, 1, 2, 28_066),
            (Protocol::Skeen, 1, 3, 1, 125),
            (Protocol::Skeen, 1, 2, 2, 139),
            (Protocol::PrimCast, 2, 1, 2, 4_247),
            (Protocol::PrimCast, 1, 3, 1, 192),
            (Protocol::FastCast, 2, 1, 2, 1_147),
            (Protocol::FastCast, 1, 3, 1, 364),
            (Protocol::MultiRing, 2, 1, 2, 395),
            (Protocol::MultiRing, 1, 3, 1, 316),
            (Protocol::WhiteBox, 2, 1, 2, 943),
            (Protocol::WhiteBox, 2, 1, 3, 87_131),
            (Protocol::WhiteBox, 1, 3, 1, 37),
        ] {
            let report = search_of(protocol, &Scope::calm(groups, replicas, messages), Variant::PLAIN, |_| {}).unwrap();
            assert!(report.is_complete && report.failure.is_none());
            assert_eq!(report.states, states, "{protocol}: {groups} groups of {replicas}, {messages} messages");
        }
    }

    /// What the search leaves out must be nothing but other ways to the same states.
    #[test]
    fn skipping_equal_orders_misses_no_state() {
        for (groups, replicas, messages) in [(2, 1, 3), (3, 1, 2), (1, 3, 1)] {
            let short =
                search_of(Protocol::Skeen, &Scope::calm(groups, replicas, messages), Variant::PLAIN, |_| {}).unwrap();
            let every = Scope { skips_equal_orders: false, ..Scope::calm(groups, replicas, messages) };
            let long = search_of(Protocol::Skeen, &every, Variant::PLAIN, |_| {}).unwrap();
            assert_eq!(short.states, long.states);
            assert!(short.transitions * 5 < long.transitions * 4, "{} of {}", short.transitions, long.transitions);
        }
    }

    /// There are more workloads in it than fit into any memory.
    #[test]
    fn the_largest_scope_can_be_begun() {
        let scope = Scope { max_states: 1000, ..Scope::calm(MOST_GROUPS, 1, MOST_MESSAGES) };
        let report = search_of(Protocol::Skeen, &scope, Variant::PLAIN, |_| {}).unwrap();
        assert_eq!((report.states, report.is_complete), (1000, false));
    }

    /// Skeen's protocol promises nothing about real time, and the search shows
    /// it: by itself it finds that three messages are enough to break either reading.
    #[test]
    fn skeen_breaks_real_time_order_with_three_messages() {
        for (kind, messages, is_broken) in
            [(RealTime::Deliveries, 2, false), (RealTime::Deliveries, 3, true), (RealTime::Completions, 3, true)]
        {
            let scope = Scope { real_time: Some(kind), ..Scope::calm(3, 1, messages) };
            let report = search_of(Protocol::Skeen, &scope, Variant::PLAIN, |_| {}).unwrap();
            let broken: Vec<&str> = report.failure.iter().map(|failure| failure.violations[0].property).collect();
            assert_eq!(broken, if is_broken { vec!["real-time order"] } else { vec![] }, "{kind:?}");
            assert_eq!(report.is_complete, !is_broken);
        }
    }

    /// The published extension of Skeen's protocol does not keep real time over chains, and the search finds the
    /// shortest there is among all choices of four messages. Here it is given the choice, and drawn for
    /// docs/real-time-order.md.
    #[test]
    fn the_extension_of_skeen_breaks_real_time_order_with_four_messages() {
        let only = [0b001, 0b010, 0b101, 0b110].map(GroupSet::from_bits).to_vec();
        let nature = Protocol::SkeenExtended.nature();
        let scope = Scope { only: Some(only), real_time: nature.real_time, ..Scope::calm(3, 1, 4) };
        let report = search_of(Protocol::SkeenExtended, &scope, Variant::PLAIN, |_| {}).unwrap();
        assert_eq!((report.states, report.workloads), (21_289, 1));
        let failure = report.failure.unwrap();
        assert_eq!(failure.violations[0].property, "real-time order");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        skein_sim::golden(here.join("tests/traces/skeen_extended_breaks_real_time.txt"), &in_words(&failure));
        let picture = Diagram::of(&failure, &scope.cluster().unwrap()).to_svg();
        skein_sim::golden(here.join("../../docs/figures/real-time-order.svg"), &picture);
    }

    /// No choice of three messages breaks it, as far as they have two destinations each.
    #[test]
    fn the_extension_of_skeen_keeps_real_time_with_three_short_messages() {
        for sets in [[0b011, 0b011, 0b011], [0b001, 0b011, 0b110], [0b001, 0b010, 0b011], [0b011, 0b100, 0b110]] {
            let only = Some(sets.map(GroupSet::from_bits).to_vec());
            let scope = Scope { only, real_time: Some(RealTime::Completions), ..Scope::calm(3, 1, 3) };
            let report = search_of(Protocol::SkeenExtended, &scope, Variant::PLAIN, |_| {}).unwrap();
            assert!(report.is_complete && report.failure.is_none(), "{sets:?}: {:?}", report.failure);
        }
    }

    /// With a real-time order to keep, what was over when a message was sent tells states apart.
    #[test]
    fn state_counts_with_a_real_time_order_are_pinned() {
        for (kind, messages, states) in [(RealTime::Deliveries, 2, 333), (RealTime::Completions, 2, 301)] {
            for skips_equal_orders in [true, false] {
                let scope = Scope { real_time: Some(kind), skips_equal_orders, ..Scope::calm(2, 1, messages) };
                let report = search_of(Protocol::Skeen, &scope, Variant::PLAIN, |_| {}).unwrap();
                assert!(report.is_complete);
                assert_eq!(report.states, states, "{kind:?}");
            }
        }
    }

    /// Answers that leave one message early, or that trust what neighbours say of themselves, break what clients see.
    /// Over a bare order, too, the search finds that.
    #[test]
    #[cfg(feature = "mutants")]
    fn answers_that_leave_too_early_are_found() {
        for (mutant, sets) in [
            (skein_service::Mutant::ReplicaSettlesEarly, vec![0b01, 0b10, 0b11]),
            (skein_service::Mutant::ReplicaTrustsItsNeighbours, vec![0b001, 0b010, 0b101, 0b110]),
        ] {
            let only = Some(sets.iter().copied().map(GroupSet::from_bits).collect::<Vec<_>>());
            let (groups, messages) = (sets.len() - 1, sets.len());
            let scope = Scope { only, real_time: Some(RealTime::Answers), ..Scope::calm(groups, 1, messages) };
            let variant = Variant { mode: Mode::Linearizable, unsettled: Planted::bug(mutant), ..Variant::PLAIN };
            let report = search_of(Protocol::PrimCast, &scope, variant, |_| {}).unwrap();
            let failure = report.failure.unwrap_or_else(|| panic!("{mutant:?} survived {} states", report.states));
            assert_eq!(failure.violations[0].property, "real-time order");
        }
    }

    /// An answer that waits for the error of one clock is too early where another clock errs the other way.
    #[test]
    #[cfg(feature = "mutants")]
    fn answers_that_wait_half_as_long_are_found() {
        let only = Some([0b01, 0b10, 0b11].map(GroupSet::from_bits).to_vec());
        let scope = Scope { only, clocks: Some(CLOCKS), real_time: Some(RealTime::Answers), ..Scope::calm(2, 1, 3) };
        let planted = skein_order::Planted::bug(skein_order::Mutant::PrimCastWaitsHalfAsLong);
        let variant = Variant { planted, ..variant_of(Mode::LinearizableClock, None) };
        let report = search_of(Protocol::PrimCast, &scope, variant, |_| {}).unwrap();
        let failure = report.failure.unwrap_or_else(|| panic!("it survived {} states", report.states));
        assert_eq!(failure.violations[0].property, "real-time order");
    }

    /// Where time passes and clocks err, whatever is delivered is answered, and in order.
    #[test]
    fn answers_that_wait_for_clocks_leave_in_the_end() {
        let scope = Scope { clocks: Some(CLOCKS), real_time: Some(RealTime::Answers), ..Scope::calm(2, 1, 1) };
        let report = search_of(Protocol::PrimCast, &scope, variant_of(Mode::LinearizableClock, None), |_| {}).unwrap();
        assert!(report.is_complete && report.failure.is_none(), "{:?}", report.failure);
    }
}
