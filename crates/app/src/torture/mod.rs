//! `skein torture`: a cluster of processes on this machine, under load, to which
//! everything is done that happens to machines; and the judges of the simulator,
//! who read what clients and replicas wrote down of it.

pub(crate) mod journal;
pub(crate) mod leash;

mod clients;
mod evidence;
mod form;
mod links;
mod lists;
mod load;
mod nodes;
mod plan;
mod torment;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_machine::{ClusterId, Random};
use skein_sim::History;
use skein_sim::check::linear::Key;
use skein_sim::check::{Claims, Violation, judge};

use crate::cli::{Mistake, Verdict, name_of, node, output, thousands};
use crate::compose::{Clock, Protocol};
use crate::config::{Choices, Config, Storage};
use crate::diary;
use crate::signals::Stop;
use clients::{Account, Clients};
use evidence::Evidence;
use links::Links;
use load::{Load, Notes, Tally};
use nodes::Nodes;
use plan::{Trouble, plan};
use torment::{Counts, Torment};

/// Multicasts in a second, over all sessions. More than enough to have some on the way whatever happens.
const A_SECOND: f64 = 800.0;

/// The judges hold the whole history in memory, so a long run asks for less in a second.
const MOST_MULTICASTS: f64 = 1e6;

/// The same of what clients ask of a store, where one asking is a breath of several commands now and then,
const A_SECOND_OF_STORE: f64 = 800.0;

/// and of what they ask in all.
const MOST_OF_STORE: f64 = 4e5;

/// What clients do meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LoadName {
    /// They multicast to sets of groups.
    #[default]
    Multicast,
    /// They use a store, as clients of Redis.
    Kv,
}

/// A load that is under way.
enum Running {
    Messages(Load),
    Lists(Clients),
}

/// What its clients wrote down.
enum Seen {
    Messages(Vec<Notes>),
    /// And how many lists there are.
    Lists(Vec<Account>, Key),
}

#[derive(Args)]
#[command(after_help = "Nodes are processes, with files and sockets of their own. Nothing that was acknowledged may be
lost, whatever happens, and once the trouble ends everything must come alive. A seed decides what happens and when; how
the processes run meanwhile is the system's affair. docs/torture.md says what is done and how to read a failure.

Examples:
  skein torture                                        a minute of everything
  skein torture --minutes 30 --groups 3 --clock logical
  skein torture --seed 7 --faults kill,cut --keep here   only two kinds, and leave all files in ./here")]
pub(crate) struct Arguments {
    /// How long the trouble lasts.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = minutes)]
    minutes: f64,
    /// What decides what happens; drawn anew unless told.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// What clients do meanwhile.
    #[arg(long, value_enum, default_value_t, value_name = "LOAD")]
    load: LoadName,
    /// How many groups.
    #[arg(long, default_value_t = 2, value_name = "G", value_parser = clap::value_parser!(u8).range(1..=16))]
    groups: u8,
    /// How many replicas each group has, a process each.
    #[arg(long, default_value_t = 3, value_name = "R", value_parser = clap::value_parser!(u8).range(1..=9))]
    replicas: u8,
    /// What orders messages.
    #[arg(long, value_enum, default_value_t = Protocol::PrimCast)]
    protocol: Protocol,
    /// What timestamps follow.
    #[arg(long, value_enum, default_value_t = Clock::Hybrid)]
    clock: Clock,
    /// What an acknowledgement is worth.
    #[arg(long, value_enum, default_value_t = Storage::Sync)]
    storage: Storage,
    /// Only these kinds of trouble. All, unless told; in memory, power, disk and lose are left out.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    faults: Option<Vec<Trouble>>,
    /// How long it may take after the trouble until everything is well.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Leave all files in this new folder, whatever comes out.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// One JSON object a line, the summary last.
    #[arg(long)]
    json: bool,
}

/// The end of a run.
#[derive(Serialize)]
struct Summary {
    kind: &'static str,
    load: String,
    protocol: String,
    clock: String,
    storage: String,
    groups: u8,
    replicas: u8,
    seed: u64,
    seconds: f64,
    /// What clients asked for.
    ops: u64,
    /// Messages to groups that were seen of it.
    multicasts: u64,
    acknowledged: u64,
    lost: usize,
    violations: usize,
    deliveries: u64,
    /// The longest that a client had to wait for an answer.
    slowest_seconds: f64,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Found<'a> {
    kind: &'static str,
    property: &'a str,
    detail: &'a str,
}

/// Where everything lies, and whether it stays there.
struct Place {
    folder: PathBuf,
    stays: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.stays {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    arguments.check()?;
    diary::begin(Some("warn")).map_err(Mistake)?;
    let stop = Stop::listen().map_err(Mistake)?;
    node::allow_descriptors();
    // One that people can type, and any reader of JSON takes as it is.
    let drawn = || crate::draw().map(|word| word >> 32);
    let seed = arguments.seed.map_or_else(drawn, Ok).map_err(Mistake)?;
    let mut place = arguments.place()?;
    let begin = Instant::now();
    let mut random = Random::new(seed);
    let config = arguments.config(seed, &place.folder)?;
    // Whoever is told of a mistake from here on wants to see the logs.
    let keep = std::mem::replace(&mut place.stays, true);

    let links = Links::open(&config.addresses())?;
    let mut nodes = Nodes::prepare(config.clone(), &links, &place.folder)?;
    nodes.processes().into_iter().try_for_each(|process| nodes.start(process))?;
    nodes.wait_until_ready()?;
    let load = arguments.begin_load(&config, &mut random.fork(1))?;
    let mut torment = Torment::new(nodes, links, load.tally(), arguments.storage, arguments.json);
    torment.tell(format_args!("{} nodes are up in {}; seed {seed}", config.nodes.len(), place.folder.display()));

    let blows = plan(&mut random.fork(2), arguments.duration(), &arguments.faults());
    torment.rage(blows, arguments.duration(), &stop)?;
    torment.calm(|| load.is_done(), arguments.patience())?;
    let seen = load.end()?;
    await_the_rest(&mut torment, seen.notes(), arguments.patience())?;
    // One that is stuck is left as it is, for whoever wants to know why.
    if torment.violations.is_empty() && arguments.faults().contains(&Trouble::Power) {
        torment.wake_everybody(arguments.patience())?;
    }
    let last = match (&seen, &config.store) {
        (Seen::Lists(_, lists), Some(store)) => {
            torment.tell("a last look at every list through every node");
            let last = clients::last_look(&config, &store.placement, *lists, arguments.patience());
            // A look that went through the order is a message too, and its answer may be there before all have it.
            if last.strange.is_empty() {
                await_the_rest(&mut torment, None, arguments.patience())?;
            }
            last
        }
        _ => Account::default(),
    };
    torment.nodes.kill_all();

    torment.tell("the judges read what was written down");
    let journals = torment.nodes.journals();
    let evidence = Evidence::gather(&config.cluster, seen.notes(), &journals)?;
    let mut violations = std::mem::take(&mut torment.violations);
    let (ops, acknowledged, lost, slowest_seconds) = match &seen {
        Seen::Messages(notes) => {
            for detail in notes.iter().flat_map(|notes| &notes.strange) {
                violations.push(Violation { property: "answers", detail: detail.clone() });
            }
            let lacks = |(id, process)| format!("{id} was acknowledged, and {process} does not hold it");
            let lost: Vec<String> = evidence.lost.iter().map(lacks).collect();
            let acknowledged = notes.iter().map(|notes| notes.told.len() as u64).sum();
            (evidence.history.casts().len() as u64, acknowledged, lost, slowest(&evidence.history, notes))
        }
        Seen::Lists(accounts, _) => {
            let lists = lists::judge(accounts, &last);
            violations.extend(lists.violations);
            (lists.operations, lists.acknowledged, lists.lost, lists.slowest_seconds)
        }
    };
    violations.extend(judge(&evidence.history, &Claims::CLASSIC));
    let summary = Summary {
        kind: "summary",
        load: name_of(&arguments.load),
        protocol: arguments.protocol.to_string(),
        clock: name_of(&arguments.clock),
        storage: name_of(&arguments.storage),
        groups: arguments.groups,
        replicas: arguments.replicas,
        seed,
        seconds: (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        ops,
        multicasts: evidence.history.casts().len() as u64,
        acknowledged,
        lost: lost.len(),
        violations: violations.len(),
        deliveries: evidence.history.delivery_count(),
        slowest_seconds,
        counts: torment.counts,
    };
    let is_clean = violations.is_empty() && lost.is_empty();
    place.stays = keep || !is_clean;
    if place.stays {
        evidence::write_down(seen.notes().unwrap_or_default(), &journals, &place.folder.join("history"))?;
        if let Seen::Lists(accounts, _) = &seen {
            lists::write_down(accounts, &last, &place.folder.join("operations"))?;
        }
    }
    arguments.report(&lost, &violations, &summary, &place);
    Ok(is_clean)
}

/// Whatever anybody has delivered, or insists on, must get to every replica of its destinations. What its session gave
/// up may take longer than what is asked for again and again.
fn await_the_rest(torment: &mut Torment, notes: Option<&[Notes]>, patience: Duration) -> Result<(), Mistake> {
    let begin = Instant::now();
    loop {
        let cluster = torment.nodes.config.cluster.clone();
        let history = Evidence::gather(&cluster, notes, &torment.nodes.journals())?.history;
        // What is missing then is told by the judges, message by message.
        if history.unfinished() == 0 || begin.elapsed() > patience {
            return Ok(());
        }
        torment.tell(format_args!("{} messages are not at all their destinations yet", history.unfinished()));
        torment.wait(Duration::from_secs(1))?;
    }
}

/// The longest time from the first question to the answer.
fn slowest(history: &History, notes: &[Notes]) -> f64 {
    let told = notes.iter().flat_map(|notes| &notes.told);
    let nanos = told.map(|(moment, _, id, _)| moment - history.casts()[id].at).max().unwrap_or(0);
    (nanos as f64 / 1e8).round() / 10.0
}

impl Running {
    /// What is asked for, and what is counted of it.
    fn tally(&self) -> (&'static str, Arc<Tally>) {
        match self {
            Running::Messages(load) => ("multicasts", load.tally.clone()),
            Running::Lists(clients) => ("operations", clients.tally.clone()),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Running::Messages(load) => load.is_done(),
            Running::Lists(clients) => clients.is_done(),
        }
    }

    fn end(self) -> Result<Seen, Mistake> {
        Ok(match self {
            Running::Messages(load) => Seen::Messages(load.end()?),
            Running::Lists(clients) => {
                let (accounts, lists) = clients.end()?;
                Seen::Lists(accounts, lists)
            }
        })
    }
}

impl Seen {
    /// What clients multicast themselves, if they did.
    fn notes(&self) -> Option<&[Notes]> {
        match self {
            Seen::Messages(notes) => Some(notes),
            Seen::Lists(..) => None,
        }
    }
}

impl Arguments {
    fn begin_load(&self, config: &Config, random: &mut Random) -> Result<Running, Mistake> {
        let pace = |a_second: f64, most| a_second.min(most / self.duration().as_secs_f64());
        Ok(match self.load {
            LoadName::Multicast => Running::Messages(Load::begin(config, random, pace(A_SECOND, MOST_MULTICASTS))?),
            LoadName::Kv => Running::Lists(Clients::begin(config, random, pace(A_SECOND_OF_STORE, MOST_OF_STORE))?),
        })
    }

    fn check(&self) -> Result<(), Mistake> {
        if self.load == LoadName::Kv && self.clock == Clock::Logical {
            let why = "the deadlines of keys follow real time, so the clock of a store is hybrid";
            return Err(Mistake(format!("{why}: leave out --clock logical, or take --load multicast")));
        }
        let nature = self.protocol.nature();
        if !nature.survives_faults {
            return Err(Mistake(format!("{} survives no fault: there is nothing to find out", self.protocol)));
        }
        if self.clock == Clock::Hybrid && nature.hybrid_steps.is_none() {
            return Err(Mistake(format!("{} does not use hardware clocks: take --clock logical", self.protocol)));
        }
        if nature.needs_majorities && self.replicas.is_multiple_of(2) {
            return Err(Mistake(format!(
                "{} decides by majority, so {} replicas bear no more than {}: take an odd number",
                self.protocol,
                self.replicas,
                self.replicas - 1
            )));
        }
        if u32::from(self.groups) * u32::from(self.replicas) < 2 {
            return Err(Mistake("one process alone has no links: take more groups or more replicas".to_owned()));
        }
        Ok(())
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    fn faults(&self) -> Vec<Trouble> {
        let survivable = |trouble: &&Trouble| {
            self.storage != Storage::Memory || !matches!(trouble, Trouble::Power | Trouble::Disk | Trouble::Lose)
        };
        let usual = || Trouble::value_variants().iter().filter(survivable).copied().collect();
        self.faults.clone().unwrap_or_else(usual)
    }

    fn place(&self) -> Result<Place, Mistake> {
        let folder = match &self.keep {
            Some(folder) => folder.clone(),
            None => std::env::temp_dir().join(format!("skein-torture-{}", std::process::id())),
        };
        // Nodes find their data by it, from wherever they are started.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        std::fs::create_dir(&folder).map_err(|error| Mistake(format!("cannot make {}: {error}", folder.display())))?;
        Ok(Place { folder, stays: self.keep.is_some() })
    }

    fn config(&self, seed: u64, folder: &Path) -> Result<Config, Mistake> {
        let choices = Choices { protocol: self.protocol, clock: self.clock, storage: self.storage, wan: None };
        let replicas = usize::from(self.replicas);
        // Not by the seed: two runs of one may be under way at once.
        let mut lot = Random::new(crate::draw().map_err(Mistake)?);
        let count = usize::from(self.groups) * replicas;
        let addresses = nodes::free_addresses(&mut lot, 2 * count)?;
        let (nodes, faces) = addresses.split_at(count);
        let mut config = Config::one_replica_a_node(ClusterId(seed), choices, folder.join("data"), replicas, nodes);
        if self.load == LoadName::Kv {
            config = config.with_store(faces, clients::TIMEOUT).map_err(|error| Mistake(error.to_string()))?;
        }
        nodes::write(folder, "skein.toml", &config.to_text())?;
        Ok(config)
    }

    fn report(&self, lost: &[String], violations: &[Violation], summary: &Summary, place: &Place) {
        const SHOWN: usize = 3;
        lost.iter().take(SHOWN).for_each(|detail| show(self.json, "lost", detail));
        violations.iter().for_each(|violation| show(self.json, violation.property, &violation.detail));
        if place.stays && !self.json {
            let flag = |name, value: &dyn std::fmt::Display| format!(" --{name} {value}");
            let faults: Vec<String> = self.faults.iter().flatten().map(name_of).collect();
            let faults = if faults.is_empty() { String::new() } else { flag("faults", &faults.join(",")) };
            let again: String = [
                flag("load", &summary.load),
                flag("minutes", &self.minutes),
                flag("seed", &summary.seed),
                flag("groups", &self.groups),
                flag("replicas", &self.replicas),
                flag("clock", &summary.clock),
                flag("storage", &summary.storage),
                faults,
            ]
            .concat();
            output::line(format_args!("  logs, journals and configurations are in {}", place.folder.display()));
            output::line(format_args!("  the same trouble again: skein torture{again}"));
        }
        if self.json {
            return output::json(summary);
        }
        summary.print();
    }
}

fn show(is_json: bool, property: &str, detail: &str) {
    if is_json {
        return output::json(&Found { kind: "violation", property, detail });
    }
    output::line(format_args!("  {property}: {detail}"));
}

impl Summary {
    fn print(&self) {
        let Counts { kills, power_cuts, stops, cuts, slow, disk_faults, lost_disks, clock_jumps } = self.counts;
        let Summary { load, protocol, clock, storage, seed, seconds, slowest_seconds, .. } = self;
        let (asked, acknowledged) = (thousands(self.ops), thousands(self.acknowledged));
        let deliveries = thousands(self.deliveries);
        let what = if *load == name_of(&LoadName::Kv) { "operations" } else { "multicasts" };
        output::line(format_args!(
            "skein torture --load {load}: {protocol}, {clock} clock, {storage} storage, seed {seed}"
        ));
        output::line(format_args!(
            "  {asked} {what}, {acknowledged} acknowledged, {deliveries} deliveries in {seconds} s"
        ));
        output::line(format_args!("  {slowest_seconds} s until the slowest acknowledgement"));
        output::line(format_args!(
            "  {kills} kills, {power_cuts} power cuts, {stops} stops, {cuts} cuts, {slow} slow links"
        ));
        output::line(format_args!("  {disk_faults} disk faults, {lost_disks} lost disks, {clock_jumps} clock jumps"));
        match (self.lost, self.violations) {
            (0, 0) => output::line("  nothing was lost, every property held, everything came alive"),
            (lost, violations) => output::line(format_args!("  {lost} LOST, {violations} VIOLATIONS")),
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "it is a number, as in 0.5".to_owned())?;
    if (0.02..=1440.0).contains(&minutes) { Ok(minutes) } else { Err("from 0.02 to 1440".to_owned()) }
}
