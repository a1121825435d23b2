//! Where protocols meet hosts: the table of protocols, what each of them can
//! do, and how its machines are made. Every other file of this crate works with
//! any of them, and a new protocol adds one row and one arm here, and a kind to
//! `rival.rs` if services can stand on it.

mod rival;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use skein_machine::{Boot, Cluster, Conflicts, GroupSet, Ordering, ProcessId};
use skein_order::fastcast::FastCast;
use skein_order::multiring::{MultiRing, Rings};
use skein_order::primcast::{ClockKind, PrimCast, Settings};
use skein_order::skeen::{self, Skeen};
use skein_order::whitebox::WhiteBox;
use skein_order::{Planted, parts};
use skein_service::Near;
use skein_service::settling::Settling;
use skein_sim::check::{Calm, Claims, RealTime};
use skein_sim::{Nanos, SECOND, Scenario};

use self::rival::{Of, Rival};

/// A protocol that this build has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Skeen's: the smallest; survives no fault.
    Skeen,
    /// The same, extended as published to keep real time, which it does not: to be looked at.
    SkeenExtended,
    /// PrimCast: three steps to every destination; survives every fault of the swarm.
    #[value(name = "primcast")]
    PrimCast,
    /// FastCast: a consensus in each group; four steps, survives every fault of the swarm.
    #[value(name = "fastcast")]
    FastCast,
    /// Multi-Ring Paxos: logs that learners merge; by ring length, not genuine, survives every fault of the swarm.
    #[value(name = "multiring")]
    MultiRing,
    /// White-Box: four steps, three to the leaders; survives every fault of the swarm.
    #[value(name = "whitebox")]
    WhiteBox,
}

/// What the timestamps of a protocol follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// Only messages.
    #[default]
    Logical,
    /// Hardware clocks too.
    Hybrid,
}

/// What is promised about real time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nothing: the classic properties.
    #[default]
    Ordered,
    /// Answers that clients get respect real time. They may wait for it, and deliveries never do.
    Linearizable,
    /// The same as long as no hardware clock is further from true time than a bound: answers wait for that alone, and
    /// nobody is asked. Timestamps follow hardware clocks then.
    LinearizableClock,
    /// Deliveries respect real time: nothing that was multicast after any delivery of a message comes before it. They
    /// wait for certificates of the other destinations.
    GlobalOrder,
}

/// How far simulated clocks may be from true time in the mode that relies on a bound.
pub const CLOCK_ERROR: Duration = Duration::from_millis(50);

/// Which of its variants a protocol runs as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variant {
    /// What is promised about real time.
    pub mode: Mode,
    /// What timestamps follow.
    pub clock: Clock,
    /// How far hardware clocks may be from true time, in a mode that relies on it.
    pub clock_error: Duration,
    /// Its log is cut at once, and keeps next to nothing for those behind.
    pub is_tight: bool,
    /// Its log is cut as seldom as on a real node, which many messages on the way at once need.
    pub is_roomy: bool,
    /// Groups that are neighbours have a ring that sleeps until it could have carried so many messages, if the protocol
    /// has rings.
    pub patience: Option<u64>,
    /// Which messages must be delivered in one order everywhere; `None`: all of them.
    pub conflicts: Option<Conflicts>,
    /// The bug that it is built with, if any.
    pub planted: Planted,
    /// The same of what says which answers may leave.
    pub unsettled: skein_service::Planted,
}

impl Variant {
    /// Logical clocks, no bug.
    pub const PLAIN: Variant = Variant {
        mode: Mode::Ordered,
        clock: Clock::Logical,
        clock_error: CLOCK_ERROR,
        is_tight: false,
        is_roomy: false,
        patience: None,
        conflicts: None,
        planted: Planted::NONE,
        unsettled: skein_service::Planted::NONE,
    };

    /// As a seed has it: in every other one rings wake, sooner or later.
    #[must_use]
    pub fn of_seed(self, seed: u64) -> Variant {
        // From at once to about half of a run of a minute.
        const SOON: u64 = 5;
        const LATE: u64 = 300;
        let patience = (seed % 2 == 1).then_some(SOON + seed / 2 * 37 % LATE);
        Variant { patience, ..self }
    }

    /// As it is, but for this bug.
    #[cfg(feature = "mutants")]
    pub fn with_bug(mutant: skein_order::Mutant) -> Variant {
        Variant { planted: Planted::bug(mutant), ..Variant::PLAIN }
    }
}

/// What a protocol promises, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Its processes may crash, its links break and its disks fail.
    pub survives_faults: bool,
    /// Its groups decide by majority, so their size must be odd.
    pub needs_majorities: bool,
    /// Only senders and destinations talk, and stop this long after the last delivery unless faults delay them.
    pub genuine: Option<Nanos>,
    /// What it promises about real time on its own.
    pub real_time: Option<RealTime>,
    /// What it can promise about real time.
    pub modes: &'static [Mode],
    /// Its replicas pass any timestamp that they are asked to, and say so.
    pub safe_time: bool,
    /// Steps to the last delivery: without conflicts, and at worst.
    pub steps: (u64, u64),
    /// When a message is no conflict any more.
    pub calm: Calm,
    /// The same with hybrid clocks that show the true time, if it can use such.
    pub hybrid_steps: Option<(u64, u64)>,
    /// The same where no two messages conflict, if it delivers before its turn what commutes.
    pub commuting_steps: Option<(u64, u64)>,
}

impl Nature {
    /// What it promises about real time in a mode.
    pub fn real_time_in(self, mode: Mode) -> Option<RealTime> {
        match mode {
            Mode::Ordered => self.real_time,
            Mode::Linearizable | Mode::LinearizableClock => Some(RealTime::Answers),
            Mode::GlobalOrder => Some(RealTime::Deliveries),
        }
    }

    /// What must hold in a run of this scenario, in which messages conflict as said.
    pub fn claims(self, scenario: Scenario, mode: Mode, conflicts: Option<Conflicts>) -> Claims {
        // What is left to say about a message that all have delivered (that they have) may wait for a cut
        // to end and for a process to come back, so while there are faults no while is long enough. Talk
        // with bystanders, and before the multicast, is as wrong as ever.
        let genuine = self.genuine.map(|while_after| if scenario.has_faults() { Nanos::MAX } else { while_after });
        let genuine = genuine.filter(|_| mode.is_genuine());
        Claims { conflicts, genuine, real_time: self.real_time_in(mode), ..Claims::CLASSIC }
    }
}

impl Mode {
    /// Whether only senders and destinations of a message talk. Whoever waits for an answer asks groups too with which
    /// it shares messages only by way of others.
    fn is_genuine(self) -> bool {
        match self {
            Mode::Ordered | Mode::LinearizableClock | Mode::GlobalOrder => true,
            Mode::Linearizable => false,
        }
    }

    /// Whether it relies on a bound on the errors of hardware clocks.
    pub fn needs_clocks(self) -> bool {
        self == Mode::LinearizableClock
    }
}

/// How long groups speak of a message that all have delivered: until each knows that a quorum of
/// the others has it on disk, which takes two ticks and two message delays at most.
const SETTLING: Nanos = SECOND;

/// A checkpoint of a store writes all of it, and short commands are many: as long as the log is the shorter of the two
/// it may have so many times as many entries as usual. Replaying them takes a fraction of a second.
const STRETCH: usize = 8;

/// What PrimCast is simulated with: a log that is cut often, so that a run of a minute sees it happen. With payloads
/// as long as they usually are it is cut for their bytes, and when it is tight, for its entries.
fn primcast_settings(variant: Variant) -> Settings {
    let Variant { mode, clock, is_tight, is_roomy, conflicts, clock_error, .. } = variant;
    let (checkpoint_every, settle_every, tail) = if is_tight { (3, 2, 2) } else { (100, 40, 50) };
    let (checkpoint_bytes, tail_bytes) = (5 << 10, 2 << 10);
    let small = Settings { checkpoint_every, checkpoint_bytes, settle_every, tail, tail_bytes, ..Settings::DEFAULT };
    Settings {
        clock: clock_kind(if mode.needs_clocks() { Clock::Hybrid } else { clock }),
        clock_error: mode.needs_clocks().then_some(clock_error),
        conflicts,
        waits_for_certificates: mode == Mode::GlobalOrder,
        ..if is_roomy { Settings::DEFAULT } else { small }
    }
}

/// The rings of a simulated cluster.
fn simulated_rings(cluster: &Cluster, variant: Variant) -> Arc<Rings> {
    let rings = Rings::of(cluster);
    Arc::new(match variant.patience {
        Some(patience) => {
            let pairs = (1..cluster.groups().len()).map(|second| GroupSet::from_bits(0b11 << (second - 1)));
            rings.with_sleepers(pairs, patience)
        }
        None => rings,
    })
}

/// What an operator has chosen for machines on real ground.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What timestamps follow.
    pub clock: Clock,
    /// How far hardware clocks may be from true time, where answers rely on it.
    pub clock_error: Option<Duration>,
    /// Whether deliveries keep the thesis's atomic global order.
    pub keeps_global_order: bool,
    /// Whether what is persisted can ever be read again. Machines spare themselves what nobody would read.
    pub keeps_records: bool,
    /// How processes are connected, if the protocol has rings.
    pub rings: Arc<Rings>,
    /// The bug that is planted, if any.
    pub planted: Planted,
}

/// Where nothing is written, a checkpoint costs little, and a short log is at hand.
const CHECKPOINT_EVERY_IN_MEMORY: usize = 1024;

/// What PrimCast has on real ground.
fn real_settings(chosen: &Chosen) -> Settings {
    let Chosen { clock, clock_error, keeps_global_order, keeps_records, .. } = *chosen;
    let usual = Settings::DEFAULT.checkpoint_every;
    Settings {
        clock: clock_kind(clock),
        clock_error,
        checkpoint_every: if keeps_records { usual } else { CHECKPOINT_EVERY_IN_MEMORY },
        waits_for_certificates: keeps_global_order,
        checkpoint_stretch: STRETCH,
        keeps_records,
        ..Settings::DEFAULT
    }
}

/// What of it the others have: their clocks are logical, and nothing overtakes.
fn settings_of_rivals(settings: Settings) -> parts::Settings {
    let Settings { checkpoint_every, checkpoint_bytes, checkpoint_stretch, tail, tail_bytes, keeps_records, .. } =
        settings;
    parts::Settings { checkpoint_every, checkpoint_bytes, checkpoint_stretch, tail, tail_bytes, keeps_records }
}

/// The same for FastCast, whose log has about three entries for a message: so many times as long may it be.
fn fastcast_settings(settings: Settings) -> parts::Settings {
    const ENTRIES: usize = 3;
    let settings = settings_of_rivals(settings);
    parts::Settings {
        checkpoint_every: settings.checkpoint_every * ENTRIES,
        tail: settings.tail * ENTRIES as u64,
        ..settings
    }
}

fn clock_kind(clock: Clock) -> ClockKind {
    match clock {
        Clock::Logical => ClockKind::Logical,
        Clock::Hybrid => ClockKind::Hybrid { bound: Duration::from_millis(500) },
    }
}

/// Something to do with a protocol, whichever it is.
pub trait Employer {
    /// What comes of it.
    type Answer;

    /// Does it, with machines made by `maker`.
    fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + Send + 'static) -> Self::Answer
    where
        M: Ordering + Clone + Hash + 'static;
}

impl Protocol {
    /// All of them, in the order in which tables list them.
    pub const ALL: [Protocol; 6] = [
        Protocol::Skeen,
        Protocol::SkeenExtended,
        Protocol::PrimCast,
        Protocol::WhiteBox,
        Protocol::FastCast,
        Protocol::MultiRing,
    ];

    /// What it promises and needs.
    pub fn nature(self) -> Nature {
        match self {
            Protocol::Skeen => Nature {
                survives_faults: false,
                needs_majorities: false,
                genuine: Some(0),
                real_time: None,
                modes: &[Mode::Ordered],
                safe_time: false,
                steps: (2, 4),
                calm: Calm::DeliveredAnywhere,
                hybrid_steps: None,
                commuting_steps: None,
            },
            Protocol::SkeenExtended => {
                Nature { real_time: Some(RealTime::Completions), steps: (3, 4), ..Protocol::Skeen.nature() }
            }
            Protocol::PrimCast => Nature {
                survives_faults: true,
                needs_majorities: true,
                genuine: Some(SETTLING),
                real_time: None,
                modes: &[Mode::Ordered, Mode::Linearizable, Mode::LinearizableClock, Mode::GlobalOrder],
                safe_time: true,
                steps: (3, 5),
                calm: Calm::DeliveredAnywhere,
                // min(5 steps, 4 steps and twice the clock error): thesis 4.4.1.
                hybrid_steps: Some((3, 4)),
                // The convoy effect is gone: thesis 4.4.3.
                commuting_steps: Some((3, 3)),
            },
            Protocol::FastCast => Nature {
                survives_faults: true,
                needs_majorities: true,
                genuine: Some(SETTLING),
                real_time: None,
                modes: &[Mode::Ordered],
                safe_time: true,
                steps: (4, 8),
                // Where it is not delivered yet, the clock that guesses follow may be behind, and they are wrong.
                calm: Calm::DeliveredEverywhere,
                hybrid_steps: None,
                commuting_steps: None,
            },
            Protocol::MultiRing => Nature {
                survives_faults: true,
                needs_majorities: true,
                genuine: None,
                real_time: None,
                modes: &[Mode::Ordered],
                safe_time: true,
                // Two groups of three share a ring with a third: a value and its votes go around nine processes.
                steps: (12, 14),
                // Whatever its destinations are, it goes around the same rings, and those are merged.
                calm: Calm::Alone,
                hybrid_steps: None,
                commuting_steps: None,
            },
            Protocol::WhiteBox => Nature {
                survives_faults: true,
                needs_majorities: true,
                genuine: Some(SETTLING),
                real_time: None,
                modes: &[Mode::Ordered],
                safe_time: true,
                steps: (4, 6),
                calm: Calm::DeliveredAnywhere,
                hybrid_steps: None,
                commuting_steps: None,
            },
        }
    }

    /// Makes machines for a simulated cluster and hands them over.
    pub fn employ<E: Employer>(self, cluster: &Arc<Cluster>, variant: Variant, employer: E) -> E::Answer {
        if variant.mode == Mode::Linearizable {
            return self.employ_settling(cluster, variant, employer);
        }
        self.employ_with(Makings::simulated(cluster, variant), employer)
    }

    /// The same for somebody who puts services on them.
    pub fn employ_to_serve<E: Employer>(self, cluster: &Arc<Cluster>, variant: Variant, employer: E) -> E::Answer {
        assert!(variant.mode != Mode::Linearizable, "a service holds its answers back itself");
        self.serve_with(Makings::simulated(cluster, variant), employer)
    }

    /// Makes machines for a cluster on real ground and hands them over.
    pub fn employ_for_real<E: Employer>(self, cluster: &Arc<Cluster>, chosen: &Chosen, employer: E) -> E::Answer {
        self.employ_with(Makings::real(cluster, chosen), employer)
    }

    /// The same for somebody who puts services on them.
    pub fn employ_to_serve_for_real<E: Employer>(
        self,
        cluster: &Arc<Cluster>,
        chosen: &Chosen,
        employer: E,
    ) -> E::Answer {
        self.serve_with(Makings::real(cluster, chosen), employer)
    }

    /// Whether services can stand on it, and if not, why.
    pub fn may_serve(self) -> Result<(), String> {
        if self.nature().safe_time {
            return Ok(());
        }
        Err(format!("{self} does not say what is safe to answer, and no service can stand on it"))
    }

    /// Machines whose answers wait until they may leave.
    fn employ_settling<E: Employer>(self, cluster: &Arc<Cluster>, variant: Variant, employer: E) -> E::Answer {
        assert!(self == Protocol::PrimCast, "{self} does not offer this mode");
        let makings = Makings::simulated(cluster, variant);
        let (cluster, near) = (cluster.clone(), Arc::new(Near::new(cluster, |_, _| 0)));
        employer.employ(move |process, boot| {
            let order = makings.primcast(process, boot);
            Settling::new(process, &cluster, near.clone(), order, variant.unsettled)
        })
    }

    fn employ_with<E: Employer>(self, makings: Makings, employer: E) -> E::Answer {
        match self {
            Protocol::Skeen | Protocol::SkeenExtended => {
                let is_extended = self == Protocol::SkeenExtended;
                let variant = if is_extended { skeen::Variant::Extended } else { skeen::Variant::Original };
                employer.employ(move |process, _| makings.skeen(process, variant))
            }
            Protocol::PrimCast => employer.employ(move |process, boot| makings.primcast(process, boot)),
            Protocol::WhiteBox => employer.employ(move |process, boot| makings.whitebox(process, boot)),
            Protocol::FastCast => employer.employ(move |process, boot| makings.fastcast(process, boot)),
            Protocol::MultiRing => employer.employ(move |process, boot| makings.multiring(process, boot)),
        }
    }

    /// What is employed to serve is compiled for two machines, and not for each protocol.
    fn serve_with<E: Employer>(self, makings: Makings, employer: E) -> E::Answer {
        let rival: fn(&Makings, ProcessId, Boot) -> Rival = match self {
            Protocol::Skeen | Protocol::SkeenExtended => {
                panic!("{self} does not say what is safe to answer: whoever asks for a service on it is told before")
            }
            Protocol::PrimCast => return employer.employ(move |process, boot| makings.primcast(process, boot)),
            Protocol::WhiteBox => |makings, process, boot| Of::WhiteBox(makings.whitebox(process, boot)),
            Protocol::FastCast => |makings, process, boot| Of::FastCast(makings.fastcast(process, boot)),
            Protocol::MultiRing => |makings, process, boot| Of::MultiRing(makings.multiring(process, boot)),
        };
        employer.employ(move |process, boot| rival(&makings, process, boot))
    }
}

/// What machines of every protocol are made of.
#[derive(Clone)]
struct Makings {
    cluster: Arc<Cluster>,
    rings: Arc<Rings>,
    settings: Settings,
    planted: Planted,
}

impl Makings {
    fn simulated(cluster: &Arc<Cluster>, variant: Variant) -> Makings {
        Makings {
            cluster: cluster.clone(),
            rings: simulated_rings(cluster, variant),
            settings: primcast_settings(variant),
            planted: variant.planted,
        }
    }

    fn real(cluster: &Arc<Cluster>, chosen: &Chosen) -> Makings {
        Makings {
            cluster: cluster.clone(),
            rings: chosen.rings.clone(),
            settings: real_settings(chosen),
            planted: chosen.planted,
        }
    }

    fn skeen(&self, process: ProcessId, variant: skeen::Variant) -> Skeen {
        Skeen::new(process, self.cluster.clone(), variant, self.planted)
    }

    fn primcast(&self, process: ProcessId, boot: Boot) -> PrimCast {
        PrimCast::new(process, self.cluster.clone(), boot, self.settings, self.planted)
    }

    fn whitebox(&self, process: ProcessId, boot: Boot) -> WhiteBox {
        WhiteBox::new(process, self.cluster.clone(), boot, settings_of_rivals(self.settings), self.planted)
    }

    fn fastcast(&self, process: ProcessId, boot: Boot) -> FastCast {
        FastCast::new(process, self.cluster.clone(), boot, fastcast_settings(self.settings), self.planted)
    }

    fn multiring(&self, process: ProcessId, boot: Boot) -> MultiRing {
        let settings = settings_of_rivals(self.settings);
        MultiRing::new(process, self.cluster.clone(), &self.rings, boot, settings, self.planted)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no protocol is hidden").get_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_excuse_talk_about_what_is_over() {
        let claimed = |genuine, scenario| {
            let nature = Nature { genuine, ..Protocol::Skeen.nature() };
            nature.claims(scenario, Mode::Ordered, None).genuine
        };
        assert_eq!(claimed(Some(7), Scenario::Calm), Some(7));
        assert_eq!(claimed(Some(7), Scenario::Swarm), Some(Nanos::MAX));
        assert_eq!(claimed(None, Scenario::Swarm), None, "who does not promise it is not asked");
    }
}
