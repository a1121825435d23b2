//! What breaks, and when: each seed has a taste for some kinds of trouble.
//!
//! Of the processors that hold the state a majority stays up, for that is what
//! is promised: memories outlive processes, states do not. Where memories can
//! be lost, the loss counts as the failure of its replica.

use skein_machine::{ProcessId, Random};
use skein_order::mu::Command;
use skein_sim::{MICROSECOND, MILLISECOND, Nanos};

use super::clients::Clients;
use super::run::{Plan, Stage};

/// Trouble in a run.
pub(super) struct Weather {
    random: Random,
    crashes: f64,
    pauses: f64,
    breaks: f64,
    losses: f64,
    slow: f64,
    scares: f64,
    /// How long something stays as it is.
    longest: Nanos,
    paused: Vec<usize>,
    down: Vec<usize>,
    /// The replica that goes without its memory, or is not well again after that.
    lost: Option<usize>,
    /// Nothing has come in place of that memory.
    is_away: bool,
}

impl Weather {
    pub(super) fn new(plan: &Plan, mut random: Random) -> Weather {
        let mut taste = |share: f64| if random.chance(0.6) { share * random.fraction() } else { 0.0 };
        let (crashes, pauses, slow, scares) = (taste(1.0), taste(1.0), taste(0.5), taste(1.0));
        let (breaks, losses) = if plan.is_network { (taste(1.0), taste(0.5)) } else { (0.0, 0.0) };
        let longest = *random.pick(&[2 * MILLISECOND, 10 * MILLISECOND, 60 * MILLISECOND]);
        Weather {
            random,
            crashes,
            pauses,
            breaks,
            losses,
            slow,
            scares,
            longest,
            paused: Vec::new(),
            down: Vec::new(),
            lost: None,
            is_away: false,
        }
    }

    /// Something changes. Answers when it does again.
    pub(super) fn change(&mut self, stage: &mut Stage, clients: &mut Clients) -> Nanos {
        let replicas = stage.plan.replicas as u64;
        let nth = self.random.below(replicas) as usize;
        let process = ProcessId(nth as u16);
        if self.is_away && self.random.chance(0.1) {
            self.replace(stage);
        }
        if self.lost.is_some_and(|lost| self.has_recovered(lost, stage)) {
            self.lost = None;
        }
        if !stage.plan.is_network {
            stage.look_for_what_was_taken();
        }
        if self.random.chance(self.pauses) && !self.down.contains(&nth) {
            if let Some(place) = self.paused.iter().position(|paused| *paused == nth) {
                self.paused.swap_remove(place);
                stage.world.resume(process);
            } else {
                self.paused.push(nth);
                stage.counts.pauses += 1;
                stage.world.pause(process);
            }
        }
        if self.random.chance(self.crashes) {
            self.die_or_live(nth, stage, clients);
        }
        if self.random.chance(self.breaks) {
            let memory = ProcessId((replicas + self.random.below(replicas)) as u16);
            if stage.world.is_up(process) && stage.world.is_up(memory) {
                stage.counts.breaks += 1;
                stage.world.break_link(process, memory);
            }
        }
        if self.random.chance(self.slow) {
            let memory = ProcessId((replicas + self.random.below(replicas)) as u16);
            let factor = *self.random.pick(&[1.0, 1.0, 20.0, 200.0]);
            stage.world.set_slowdown(process, memory, factor);
            stage.world.set_slowdown(memory, process, factor);
        }
        if self.random.chance(self.scares) {
            // Somebody takes somebody else for dead: two that believe to lead must do no harm.
            let other = self.random.below(replicas);
            if other != nth as u64 {
                stage.world.command(ProcessId(other as u16), Command::Died(nth as u8));
            }
        }
        if self.random.chance(self.losses) {
            self.lose(nth, stage, clients);
        }
        self.random.between(100 * MICROSECOND, self.longest)
    }

    fn die_or_live(&mut self, nth: usize, stage: &mut Stage, clients: &mut Clients) {
        let process = ProcessId(nth as u16);
        if let Some(place) = self.down.iter().position(|down| *down == nth) {
            self.down.swap_remove(place);
            stage.world.restart(process);
            return;
        }
        if self.would_leave_a_majority(nth, stage) {
            self.kill(nth, stage, clients);
        }
    }

    /// Whether enough processors that have the state live on without this one.
    fn would_leave_a_majority(&self, nth: usize, stage: &Stage) -> bool {
        let lives = |other: &usize| *other != nth && stage.keeps_state(*other) && self.lost != Some(*other);
        let others = (0..stage.plan.replicas).filter(lives).count();
        others > stage.plan.replicas / 2
    }

    fn kill(&mut self, nth: usize, stage: &mut Stage, clients: &mut Clients) {
        let process = ProcessId(nth as u16);
        self.paused.retain(|paused| *paused != nth);
        stage.world.resume(process);
        if !stage.world.is_up(process) {
            return;
        }
        stage.counts.crashes += 1;
        stage.world.crash(process);
        self.down.push(nth);
        clients.died(stage.world.now(), nth);
        // Sometimes the others see it at once, as they do on one host.
        if self.random.chance(0.5) {
            for other in (0..stage.plan.replicas).filter(|other| *other != nth) {
                stage.world.command(ProcessId(other as u16), Command::Died(nth as u8));
            }
        }
    }

    /// A memory is lost.
    fn lose(&mut self, nth: usize, stage: &mut Stage, clients: &mut Clients) {
        let others_are_well = (0..stage.plan.replicas).all(|other| other == nth || stage.holds_state(other));
        if self.lost.is_some() || !others_are_well || !self.down.iter().all(|down| *down == nth) {
            return;
        }
        self.lost = Some(nth);
        // Mostly the host went, with its processor.
        if !self.down.contains(&nth) && self.random.chance(0.7) {
            self.kill(nth, stage, clients);
        }
        let memory = ProcessId((stage.plan.replicas + nth) as u16);
        stage.counts.losses += 1;
        stage.world.crash(memory);
        self.is_away = true;
        // Or its replica goes without for a while.
        if self.random.chance(0.5) {
            self.replace(stage);
        }
    }

    /// A memory comes in place of the lost one, and knows nothing.
    fn replace(&mut self, stage: &mut Stage) {
        if let Some(lost) = self.lost.filter(|_| self.is_away) {
            self.is_away = false;
            stage.world.restart(ProcessId((stage.plan.replicas + lost) as u16));
        }
    }

    /// Whether what was lost has been told again.
    fn has_recovered(&self, lost: usize, stage: &Stage) -> bool {
        !self.is_away && stage.holds_state(lost) && stage.is_whole(lost)
    }

    /// The weather is over.
    pub(super) fn calm(&mut self, stage: &mut Stage) {
        self.replace(stage);
        for nth in 0..stage.plan.replicas {
            let process = ProcessId(nth as u16);
            if !stage.world.is_up(process) {
                stage.world.restart(process);
            }
            stage.world.resume(process);
            for memory in 0..stage.plan.replicas {
                let memory = ProcessId((stage.plan.replicas + memory) as u16);
                stage.world.set_slowdown(process, memory, 1.0);
                stage.world.set_slowdown(memory, process, 1.0);
            }
        }
        self.down.clear();
        self.paused.clear();
    }
}
