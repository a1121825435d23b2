//! [`Torment`]: a cluster under load, to which blow after blow is dealt, and
//! then calm. Whatever a blow does has an end, which is on an agenda. It judges
//! nothing but whether a process died that nobody killed.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde::Serialize;
use skein_machine::{ProcessId, Random};
use skein_runtime::files::Strike;
use skein_sim::check::{LIVENESS, Violation};

use super::leash::Order;
use super::links::{Links, Passage};
use super::load::Tally;
use super::nodes::Nodes;
use super::plan::{Blow, Trouble, span};
use crate::cli::{Mistake, output, thousands};
use crate::config::Storage;
use crate::signals::Stop;

/// The property of a node that lives until somebody or its disk ends it.
const SURVIVAL: &str = "survival";

/// So many findings of it are kept, as of every other.
const SHOWN: usize = 3;

/// A look at everything that goes on, so often.
const LOOK: Duration = Duration::from_millis(20);

/// What goes on is told so often.
const TELL: Duration = Duration::from_secs(5);

/// Nothing new for so long is quiet.
const QUIET: Duration = Duration::from_millis(500);

/// Nothing that a blow does takes longer, and in a short run not more than a quarter of it.
const LONGEST: Duration = Duration::from_secs(8);

/// Further off than any protocol's bound; the simulator goes as far.
const FURTHEST_CLOCK: Duration = Duration::from_secs(30);

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) stops: u64,
    pub(crate) cuts: u64,
    pub(crate) slow: u64,
    pub(crate) disk_faults: u64,
    pub(crate) lost_disks: u64,
    pub(crate) clock_jumps: u64,
}

/// What ends something. A life that is over takes what was done to it along.
#[derive(Clone, Copy, Debug)]
enum End {
    Restart(ProcessId, u32),
    Resume(ProcessId, u32),
    Mend(ProcessId, ProcessId),
}

/// Everything that is going on.
pub(crate) struct Torment {
    pub(crate) nodes: Nodes,
    links: Links,
    tally: Arc<Tally>,
    /// What the load asks for.
    what: &'static str,
    storage: Storage,
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<Violation>,
    is_json: bool,
    begin: Instant,
    longest: Duration,
    agenda: Vec<(Instant, End)>,
    told_at: Instant,
}

#[derive(Serialize)]
struct Told {
    kind: &'static str,
    seconds: f64,
    text: String,
}

impl Torment {
    pub(crate) fn new(
        nodes: Nodes,
        links: Links,
        (what, tally): (&'static str, Arc<Tally>),
        storage: Storage,
        is_json: bool,
    ) -> Torment {
        let (begin, longest) = (Instant::now(), LONGEST);
        let (counts, violations, agenda) = (Counts::default(), Vec::new(), Vec::new());
        Torment {
            nodes,
            links,
            tally,
            what,
            storage,
            counts,
            violations,
            is_json,
            begin,
            longest,
            agenda,
            told_at: begin,
        }
    }

    /// Deals all blows, until so much time is over or somebody has asked to stop.
    pub(crate) fn rage(&mut self, mut plan: VecDeque<Blow>, duration: Duration, stop: &Stop) -> Result<(), Mistake> {
        self.longest = LONGEST.min(duration / 4);
        // Blows that found nobody whom they could hit.
        let mut waiting: Vec<Blow> = Vec::new();
        while self.begin.elapsed() < duration {
            if stop.is_asked() {
                self.tell("asked to stop: this is the end of the trouble");
                return Ok(());
            }
            while plan.front().is_some_and(|blow| blow.at <= self.begin.elapsed()) {
                waiting.extend(plan.pop_front());
            }
            let due = std::mem::take(&mut waiting);
            for blow in due {
                if !self.strike(&blow)? {
                    waiting.push(blow);
                }
            }
            self.look()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets everything go on for so long.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), Mistake> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.look()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends whatever has to end, and notices what has changed.
    fn look(&mut self) -> Result<(), Mistake> {
        let now = Instant::now();
        let is_due = |(at, _): &(Instant, End)| *at <= now;
        let due: Vec<End> = self.agenda.iter().filter(|end| is_due(end)).map(|(_, end)| *end).collect();
        self.agenda.retain(|end| !is_due(end));
        for end in due {
            match end {
                End::Restart(process, life) if self.nodes.life(process) == life => self.restart(process)?,
                End::Resume(process, life) if self.nodes.life(process) == life => self.nodes.resume(process),
                End::Restart(..) | End::Resume(..) => {}
                End::Mend(from, to) => self.links.set(from, to, Passage::Free),
            }
        }
        self.nodes.listen()?;
        for ended in self.nodes.ended() {
            let (process, why) = (ended.process, ended.why);
            let has_said_why = ["stopped: cannot ", "cannot start: cannot "].iter().any(|words| why.contains(words));
            if ended.was_doomed && has_said_why {
                self.counts.disk_faults += 1;
                self.tell(format_args!("{process} has stopped because of its disk"));
            } else {
                let detail = format!("{process} died by itself: {why}");
                self.tell(&detail);
                // One that dies of what is on its disk does so every time.
                if self.violations.iter().filter(|other| other.property == SURVIVAL).count() < SHOWN {
                    self.violations.push(Violation { property: SURVIVAL, detail });
                }
            }
            // As soon as an operator would have noticed.
            self.agenda.push((now + self.longest / 8, End::Restart(process, self.nodes.life(process))));
        }
        if now.duration_since(self.told_at) >= TELL {
            self.told_at = now;
            let asked = thousands(self.tally.multicasts.load(Relaxed));
            let answered = thousands(self.tally.acknowledged.load(Relaxed));
            let deliveries = thousands(self.nodes.deliveries());
            let what = self.what;
            self.tell(format_args!("{answered} of {asked} {what} acknowledged, {deliveries} deliveries"));
        }
        Ok(())
    }

    fn restart(&mut self, process: ProcessId) -> Result<(), Mistake> {
        if !self.nodes.is_up(process) {
            self.nodes.start(process)?;
            self.tell(format_args!("{process} is started again"));
        }
        Ok(())
    }

    /// Does what a blow says, if there is somebody to be hit.
    fn strike(&mut self, blow: &Blow) -> Result<bool, Mistake> {
        // However often it is tried: what the seed says stays said.
        let random = &mut blow.random.clone();
        let lasts = span(random, Duration::from_millis(50), self.longest);
        let until = Instant::now() + lasts;
        match blow.trouble {
            Trouble::Kill => {
                let Some(victim) = self.victim(random) else { return Ok(false) };
                self.tell(format_args!("{victim} is killed, for {lasts:.1?}"));
                self.nodes.kill(victim);
                self.counts.kills += 1;
                self.agenda.push((until, End::Restart(victim, self.nodes.life(victim))));
            }
            Trouble::Stop => {
                let Some(victim) = self.victim(random) else { return Ok(false) };
                self.tell(format_args!("{victim} is stopped, for {lasts:.1?}"));
                self.nodes.pause(victim);
                self.counts.stops += 1;
                self.agenda.push((until, End::Resume(victim, self.nodes.life(victim))));
            }
            Trouble::Cut => self.cut(random, lasts),
            Trouble::Slow => {
                let [from, to] = self.two(random);
                let delay = span(random, Duration::from_millis(5), Duration::from_millis(300));
                self.tell(format_args!("from {from} to {to} everything takes {delay:.0?}, for {lasts:.1?}"));
                self.links.set(from, to, Passage::Slow(delay));
                self.counts.slow += 1;
                self.agenda.push((until, End::Mend(from, to)));
            }
            Trouble::Disk => {
                let Some(victim) = self.victim(random) else { return Ok(false) };
                let strike = *random.pick(&[Strike::Full, Strike::FailingSync, Strike::TornWrite]);
                let what = match strike {
                    Strike::Full => "the disk is full",
                    Strike::FailingSync => "the next sync fails",
                    Strike::TornWrite => "the next write is torn",
                };
                self.tell(format_args!("at {victim} {what}"));
                // It counts when the process has ended because of it.
                self.nodes.order(victim, Order::Disk(strike));
            }
            Trouble::Clock => {
                let well: Vec<_> = self.nodes.processes().into_iter().filter(|p| self.nodes.is_well(*p)).collect();
                if well.is_empty() {
                    return Ok(false);
                }
                let victim = *random.pick(&well);
                let error = span(random, Duration::from_millis(10), FURTHEST_CLOCK);
                let (sign, word) = if random.chance(0.5) { (1, "ahead") } else { (-1, "behind") };
                self.tell(format_args!("the clock of {victim} is {error:.1?} {word}"));
                self.nodes.order(victim, Order::Clock { error_nanos: sign * error.as_nanos() as i64 });
                self.counts.clock_jumps += 1;
            }
            Trouble::Power => self.cut_power(until),
            Trouble::Lose => {
                let Some(victim) = self.victim(random).filter(|victim| self.may_forget(*victim)) else {
                    return Ok(false);
                };
                self.tell(format_args!("{victim} is killed and its disk is lost, for {lasts:.1?}"));
                self.nodes.lose_disk(victim)?;
                self.counts.lost_disks += 1;
                self.agenda.push((until, End::Restart(victim, self.nodes.life(victim))));
            }
        }
        Ok(true)
    }

    /// All nodes die at once, and come back one after the other or so.
    fn cut_power(&mut self, until: Instant) {
        let count = self.nodes.kill_all();
        self.tell(format_args!("the power goes: {count} processes are killed at once"));
        self.counts.power_cuts += 1;
        for (process, nth) in self.nodes.processes().into_iter().zip(0..) {
            let at = until.min(Instant::now() + self.longest / 4) + LOOK * nth;
            self.agenda.push((at, End::Restart(process, self.nodes.life(process))));
        }
    }

    /// A link, one direction of it, or everything that leads to a process and away from it.
    fn cut(&mut self, random: &mut Random, lasts: Duration) {
        let [one, other] = self.two(random);
        let passage = if random.chance(0.5) { Passage::Held } else { Passage::Broken };
        let ways: Vec<(ProcessId, ProcessId)> = match random.below(3) {
            0 => {
                self.tell(format_args!("nothing gets from {one} to {other}, for {lasts:.1?}"));
                vec![(one, other)]
            }
            1 => {
                self.tell(format_args!("{one} and {other} are cut off from each other, for {lasts:.1?}"));
                vec![(one, other), (other, one)]
            }
            _ => {
                self.tell(format_args!("{one} is cut off from everybody, for {lasts:.1?}"));
                let others = self.nodes.processes().into_iter().filter(|process| *process != one);
                others.flat_map(|process| [(one, process), (process, one)]).collect()
            }
        };
        // A connection that is broken off is so in both directions: one direction alone can only be held.
        let passage = if ways.len() == 1 { Passage::Held } else { passage };
        for (from, to) in ways {
            self.links.set(from, to, passage);
            self.agenda.push((Instant::now() + lasts, End::Mend(from, to)));
        }
        self.counts.cuts += 1;
    }

    fn two(&self, random: &mut Random) -> [ProcessId; 2] {
        let mut processes = self.nodes.processes();
        random.shuffle(&mut processes);
        [processes[0], processes[1 % processes.len()]]
    }

    /// Somebody who can be taken away without its group standing still for it.
    fn victim(&self, random: &mut Random) -> Option<ProcessId> {
        let can_be_spared = |process: &ProcessId| {
            let members = self.nodes.members(*process);
            let others = || members.iter().filter(|other| *other != process);
            let missing = others().filter(|other| !self.nodes.is_well(**other)).count();
            let spare = (members.len() - 1) / 2;
            if self.storage == Storage::Memory {
                // One that has not been told yet what it forgot counts for nothing.
                return missing < spare && others().all(|other| self.nodes.next(*other).is_some());
            }
            // Of what it wrote down nothing is lost: a group of one may stand still for a while.
            missing < spare.max(1)
        };
        let well = self.nodes.processes().into_iter().filter(|process| self.nodes.is_well(*process));
        let candidates: Vec<ProcessId> = well.filter(can_be_spared).collect();
        (!candidates.is_empty()).then(|| *random.pick(&candidates))
    }

    /// Whether a group can bear that one more of its replicas forgets everything.
    fn may_forget(&self, process: ProcessId) -> bool {
        let members = self.nodes.members(process);
        let forgetful = members.iter().filter(|other| **other != process && self.nodes.is_forgetful(**other)).count();
        forgetful + 1 + members.len() / 2 < members.len()
    }

    /// The end of all trouble: links heal, everybody is up and goes on. Then everything that was asked for must be
    /// answered, and the replicas of a group be equally far. Clocks stay as wrong as they are.
    pub(crate) fn calm(&mut self, is_done: impl Fn() -> bool, patience: Duration) -> Result<(), Mistake> {
        self.tell("calm");
        self.agenda.clear();
        self.links.heal();
        for process in self.nodes.processes() {
            if self.nodes.is_doomed(process) {
                // Its disk has not been used since it was told to fail.
                self.nodes.kill(process);
            }
            self.nodes.resume(process);
            self.restart(process)?;
        }
        self.tally.is_closing.store(true, Relaxed);
        let begin = Instant::now();
        let mut quiet_since = Instant::now();
        let mut deliveries = 0;
        loop {
            std::thread::sleep(LOOK);
            self.look()?;
            let now = self.nodes.deliveries();
            if std::mem::replace(&mut deliveries, now) != now || !is_done() || !self.is_level() {
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() > QUIET {
                return Ok(());
            }
            if begin.elapsed() > patience {
                let nobody_answers = || format!("some {} have no answer", self.what);
                let what = if is_done() { "some replicas are behind".to_owned() } else { nobody_answers() };
                self.is_stuck(patience, &what);
                return Ok(());
            }
        }
    }

    /// The power goes once more, now that nothing is asked for. Every replica must come back with all it had.
    pub(crate) fn wake_everybody(&mut self, patience: Duration) -> Result<(), Mistake> {
        let was: Vec<_> =
            self.nodes.processes().into_iter().map(|process| (process, self.nodes.next(process))).collect();
        let begin = Instant::now();
        self.cut_power(begin);
        loop {
            std::thread::sleep(LOOK);
            self.look()?;
            if self.agenda.is_empty() && was.iter().all(|(process, next)| self.nodes.next(*process) >= *next) {
                return Ok(());
            }
            if begin.elapsed() > patience {
                self.is_stuck(patience, "some replicas have not come back with what they had");
                return Ok(());
            }
        }
    }

    fn is_stuck(&mut self, patience: Duration, what: &str) {
        let next = |process: &ProcessId| match self.nodes.next(*process) {
            Some(next) => format!("{process} #{next}"),
            None => format!("{process} nothing"),
        };
        let reached: Vec<String> = self.nodes.processes().iter().map(next).collect();
        let detail = format!("after {patience:?} of calm {what}; they have reached: {}", reached.join(", "));
        self.tell(&detail);
        self.violations.push(Violation { property: LIVENESS, detail });
    }

    fn is_level(&self) -> bool {
        let processes = self.nodes.processes();
        let next = |process: &ProcessId| self.nodes.next(*process).unwrap_or(0);
        processes.iter().all(|process| self.nodes.members(*process).iter().all(|other| next(other) == next(process)))
    }

    /// Says what goes on.
    pub(crate) fn tell(&self, text: impl Display) {
        let seconds = self.begin.elapsed().as_secs_f64();
        if self.is_json {
            let text = text.to_string();
            return output::json(&Told { kind: "event", seconds: (seconds * 100.0).round() / 100.0, text });
        }
        eprintln!("{seconds:7.2} s  {text}");
    }
}
