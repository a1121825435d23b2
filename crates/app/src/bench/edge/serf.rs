//! HashiCorp's Serf on the same machine, in the same run: as many agents with
//! its usual settings for a local network, each at an address of its own. What
//! they hear is read from what they write down, when they write it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use skein_machine::Random;

use super::town::{name_of, now_ms, processor_time};
use super::{Figure, Row, p99_s, share_s};
use crate::cli::{Mistake, output};

/// Nothing takes longer unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events that are followed.
const EVENTS: usize = 50;

/// A line that somebody has written down.
struct Wrote {
    by: usize,
    at_ms: u64,
    line: String,
}

/// Agents of Serf.
struct Crowd<'a> {
    program: &'a Path,
    agents: Vec<Option<Child>>,
    wrote: Receiver<Wrote>,
    tell: Sender<Wrote>,
}

fn ip(nth: usize) -> String {
    format!("127.0.{}.{}", 1 + nth / 200, 2 + nth % 200)
}

impl Crowd<'_> {
    fn start(&mut self, nth: usize) -> Result<(), Mistake> {
        let mut command = Command::new(self.program);
        command.args(["agent", &format!("-node={}", name_of(nth)), &format!("-bind={}:7946", ip(nth))]);
        command.arg(format!("-rpc-addr={}:7373", ip(nth)));
        if nth > 0 {
            command.arg(format!("-retry-join={}:7946", ip(0))).arg("-retry-interval=1s");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let cannot = |error| Mistake(format!("cannot start {}: {error}", self.program.display()));
        let mut child = command.spawn().map_err(cannot)?;
        let (lines, tell) = (child.stdout.take().expect("it was asked for"), self.tell.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                if tell.send(Wrote { by: nth, at_ms: now_ms(), line }).is_err() {
                    return;
                }
            }
        });
        if self.agents.len() <= nth {
            self.agents.resize_with(nth + 1, || None);
        }
        self.agents[nth] = Some(child);
        Ok(())
    }

    /// Processor time that those who live have used so far.
    fn processor_time(&self) -> Duration {
        self.agents.iter().flatten().map(processor_time).sum()
    }

    fn kill(&mut self, nth: usize) {
        if let Some(mut child) = self.agents[nth].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until each of these has written a line for all that are wanted of it, and answers when each did first.
    fn hear<K: Ord>(
        &self,
        wanted: usize,
        within: Duration,
        what: impl Fn(&Wrote) -> Option<K>,
    ) -> Result<BTreeMap<(usize, K), u64>, Mistake> {
        let until = Instant::now() + within;
        let mut heard = BTreeMap::new();
        while heard.len() < wanted {
            let left = until.saturating_duration_since(Instant::now());
            let wrote = self.wrote.recv_timeout(left);
            let wrote = wrote.map_err(|_| Mistake(format!("only {} of {wanted} agents of serf hear", heard.len())))?;
            if let Some(key) = what(&wrote) {
                heard.entry((wrote.by, key)).or_insert(wrote.at_ms);
            }
        }
        Ok(heard)
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        (0..self.agents.len()).for_each(|nth| self.kill(nth));
    }
}

/// The name of a member in a line about something that has happened to it.
fn subject(line: &str, event: &str) -> Option<String> {
    line.split_once(event)?.1.split_whitespace().next().map(str::to_owned)
}

/// Measures what can be compared, and tells it.
pub(super) fn measure(program: &Path, agents: usize, deaths: usize, is_json: bool) -> Result<(), Mistake> {
    let (tell, wrote) = channel();
    let mut crowd = Crowd { program, agents: Vec::new(), wrote, tell };
    let tell = |figure: Figure, value: f64| {
        let (figure, unit) = (figure.name(), figure.unit());
        if is_json {
            output::json(&Row { figure, value, unit, of: Some("serf") });
        } else {
            let shown = format!("{value:.3} {unit}");
            output::line(format_args!("{figure:<20}{shown:>20}  of serf, {agents} agents in one place"));
        }
    };
    let began = now_ms();
    (0..agents).try_for_each(|nth| crowd.start(nth))?;
    let joined = crowd.hear(agents * (agents - 1), PATIENCE, |wrote| {
        subject(&wrote.line, "EventMemberJoin: ").filter(|name| *name != name_of(wrote.by))
    })?;
    tell(Figure::JoinedS, last(&joined).saturating_sub(began) as f64 / 1e3);
    std::thread::sleep(Duration::from_secs(5));

    let mut random = Random::new(1);
    let mut took = Vec::new();
    let (used, began) = (crowd.processor_time(), Instant::now());
    for nth in 0..EVENTS {
        let (event, at) = (format!("bench-{nth}"), random.below(agents as u64) as usize);
        let sent = now_ms();
        let rpc = format!("-rpc-addr={}:7373", ip(at));
        let said =
            Command::new(program).args(["event", "-coalesce=false", &rpc, &event]).stdout(Stdio::null()).status();
        said.map_err(|error| Mistake(format!("cannot run {}: {error}", program.display())))?;
        let heard =
            crowd.hear(agents, PATIENCE, |wrote| wrote.line.contains(&format!("user-event: {event}")).then_some(()))?;
        took.push(last(&heard).saturating_sub(sent));
    }
    took.sort_unstable();
    let (used, shares) = (crowd.processor_time() - used, began.elapsed().as_secs_f64() * agents as f64);
    tell(Figure::SpreadLocalP50S, share_s(&took, 50));
    tell(Figure::SpreadLocalP99S, p99_s(&took));
    tell(Figure::ProcessorMsS, used.as_secs_f64() * 1e3 / shares);

    let mut known = Vec::new();
    for _ in 0..deaths {
        let victim = 1 + random.below(agents as u64 - 1) as usize;
        let name = name_of(victim);
        crowd.kill(victim);
        let died = now_ms();
        let heard = crowd
            .hear(agents - 1, PATIENCE, |wrote| (subject(&wrote.line, "EventMemberFailed: ")? == name).then_some(()))?;
        known.extend(heard.values().map(|at| at.saturating_sub(died)));
        crowd.start(victim)?;
        let survivors: BTreeSet<usize> = (0..agents).filter(|nth| *nth != victim).collect();
        crowd.hear(survivors.len(), PATIENCE, |wrote| {
            (subject(&wrote.line, "EventMemberJoin: ")? == name && survivors.contains(&wrote.by)).then_some(())
        })?;
    }
    known.sort_unstable();
    tell(Figure::DetectP50S, share_s(&known, 50));
    tell(Figure::DetectP99S, p99_s(&known));
    Ok(())
}

fn last<K>(heard: &BTreeMap<(usize, K), u64>) -> u64 {
    heard.values().copied().max().unwrap_or_default()
}
