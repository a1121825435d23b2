//! One process of the load: sessions that multicast and wait, each with one
//! message on the way. It belongs to a group, whose home replica it speaks to;
//! the other destinations tell it of their deliveries through their home
//! replicas. What it measured goes to standard output as one line.
//!
//! Without a rate, a session begins its next message when the last one is
//! delivered. With one, messages are due at moments of their own, and the time
//! that a message takes counts from then, however late a session was free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{Ask, GroupId, GroupSet, MessageId, Multicast, ProcessId, Random, SessionId, Timestamp, Wire};
use skein_runtime::caller::{Callers, Heard};

use super::experiment::times;
use crate::cli::Mistake;
use crate::config::Config;
use crate::processor_time;
use crate::speech::{Reply, Request};

/// Messages that were due and could not begin, above which there is no point in going on.
const MOST_OVERDUE: usize = 1 << 20;

/// A replica that does not answer for so long is none to measure.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one process of the load does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Its group, by number.
    pub(crate) group: usize,
    /// How many groups a message goes to, this one among them.
    pub(crate) destinations: usize,
    /// How many sessions, each with one message on the way.
    pub(crate) outstanding: usize,
    /// How many messages a second.
    pub(crate) rate: Option<f64>,
    /// Payload bytes.
    pub(crate) payload: usize,
    /// When to begin to count: nanoseconds since the Unix epoch. The load begins at once.
    pub(crate) begin_nanos: u64,
    /// And for how long.
    pub(crate) seconds: f64,
    /// Its first session listens to every replica.
    pub(crate) watches_all: bool,
}

/// What one process of the load saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Messages that were finished while it counted.
    pub(crate) finished: u64,
    /// Its processor time meanwhile.
    pub(crate) processor_nanos: u64,
    /// Latencies to the last destination's answer, in nanoseconds, and how many there were of each.
    pub(crate) latencies: Vec<(u64, u64)>,
    /// The same to the last replica's delivery, of the first session's messages.
    pub(crate) last_replica: Vec<(u64, u64)>,
}

/// One session: a message on the way, and who has not answered yet.
struct Session {
    sequence: u64,
    floor: Timestamp,
    begun: Instant,
    waits_for: GroupSet,
}

/// A connection to a replica.
struct Line {
    group: GroupId,
    is_home: bool,
    /// How far away the replica pretends to be.
    distance: Duration,
}

/// A delivery that somebody has told of.
#[derive(Clone, Copy)]
struct Told {
    line: usize,
    id: MessageId,
    timestamp: Timestamp,
}

struct Load<'a> {
    job: &'a Job,
    config: &'a Config,
    callers: Callers,
    /// The connections by their numbers.
    lines: Vec<Line>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions without a message on the way.
    idle: VecDeque<SessionId>,
    /// When messages are due that no session was free for.
    overdue: VecDeque<Instant>,
    next_due: Instant,
    /// Words that travel a distance, by when they arrive.
    on_the_way: VecDeque<(Instant, Told)>,
    /// The session that listens to every replica,
    watched: Option<SessionId>,
    /// and its messages: when each began, and how many replicas have not told of it.
    watch: BTreeMap<u64, (Instant, usize)>,
    random: Random,
    payload: Bytes,
    latencies: Histogram<u64>,
    last_replica: Histogram<u64>,
}

/// Runs the load and answers what it saw.
pub(crate) fn run(config: &Config, job: &Job) -> Result<Seen, Mistake> {
    let mut load = Load::connect(config, job)?;
    let begin = at(job.begin_nanos);
    let end = begin + Duration::from_secs_f64(job.seconds);
    let mut processor = None;
    let mut heard = Vec::new();
    loop {
        load.begin_what_is_due(Instant::now())?;
        load.callers.wait(Some(load.timeout(end)), &mut heard).map_err(|error| lost(&error))?;
        let now = Instant::now();
        if now >= begin && processor.is_none() {
            processor = Some(processor_time());
            load.latencies.reset();
            load.last_replica.reset();
        }
        if now >= end {
            break;
        }
        for word in heard.drain(..) {
            match word {
                Heard::Message(line, message) => load.on_message(line, message, now)?,
                Heard::Lost(_, why) => return Err(Mistake(format!("a replica is gone: {why}"))),
            }
        }
        while let Some((at, told)) = load.on_the_way.front().copied()
            && at <= now
        {
            load.on_the_way.pop_front();
            load.on_delivered(told, now);
        }
    }
    let listed = |times: &Histogram<u64>| {
        times.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    };
    Ok(Seen {
        finished: load.latencies.len(),
        processor_nanos: (processor_time() - processor.unwrap_or_default()).as_nanos() as u64,
        latencies: listed(&load.latencies),
        last_replica: listed(&load.last_replica),
    })
}

fn lost(error: &std::io::Error) -> Mistake {
    Mistake(format!("the load cannot go on: {error}"))
}

/// A moment of the wall clock as one of the clock that never jumps.
fn at(nanos: u64) -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    Instant::now() + Duration::from_nanos(nanos.saturating_sub(since))
}

impl<'a> Load<'a> {
    fn connect(config: &'a Config, job: &'a Job) -> Result<Load<'a>, Mistake> {
        // Sessions that nobody else has: the process and the moment make them so.
        let mut random = Random::new(job.begin_nanos ^ u64::from(std::process::id()) << 32 ^ job.group as u64);
        let now = Instant::now();
        let session = || Session { sequence: 0, floor: Timestamp::ZERO, begun: now, waits_for: GroupSet::EMPTY };
        let sessions: BTreeMap<SessionId, Session> =
            (0..job.outstanding).map(|_| (SessionId(random.word() % Ask::SESSIONS), session())).collect();
        let mut load = Load {
            job,
            config,
            callers: Callers::new().map_err(|error| lost(&error))?.with_tls(config.tls_of_client()?),
            lines: Vec::new(),
            idle: sessions.keys().copied().collect(),
            watched: sessions.keys().next().copied().filter(|_| job.watches_all),
            sessions,
            overdue: VecDeque::new(),
            next_due: now,
            on_the_way: VecDeque::new(),
            watch: BTreeMap::new(),
            random,
            payload: Bytes::from(vec![b'x'; job.payload]),
            latencies: times(),
            last_replica: times(),
        };
        for group in config.cluster.groups().iter() {
            for (place, process) in config.cluster.members(group).iter().enumerate() {
                if place == 0 || job.watches_all {
                    load.call(group, *process, place == 0)?;
                }
            }
        }
        load.wait_until_attached()?;
        Ok(load)
    }

    /// A replica that delivers a message before it knows who wants to hear of that tells nobody, and this one would
    /// wait for ever. Whoever has answered knows.
    fn wait_until_attached(&mut self) -> Result<(), Mistake> {
        let begin = Instant::now();
        let mut silent: BTreeSet<usize> = (0..self.lines.len()).collect();
        silent.iter().for_each(|line| say(&mut self.callers, *line, &Request::Count));
        let mut heard = Vec::new();
        while !silent.is_empty() {
            if begin.elapsed() > PATIENCE {
                return Err(Mistake(format!("{} replicas do not answer the load", silent.len())));
            }
            self.callers.wait(Some(PATIENCE / 10), &mut heard).map_err(|error| lost(&error))?;
            for word in heard.drain(..) {
                match word {
                    Heard::Message(line, _) => silent.remove(&line),
                    Heard::Lost(_, why) => return Err(Mistake(format!("a replica is gone: {why}"))),
                };
            }
        }
        Ok(())
    }

    /// Connects to a replica, and attaches the sessions that it should tell of.
    fn call(&mut self, group: GroupId, process: ProcessId, is_home: bool) -> Result<(), Mistake> {
        let address = self.config.addresses()[&process];
        let line = self
            .callers
            .call(address, self.config.cluster.id(), process)
            .map_err(|error| Mistake(format!("cannot reach {process} at {address}: {error}")))?;
        assert_eq!(line, self.lines.len(), "connections are numbered as they are made");
        // It stands beside its home replica, and everybody else is as far from it as from that.
        let home = self.config.cluster.members(self.own_group())[0];
        let distance = self.config.distances_from(home).get(&process).map_or(Duration::ZERO, |distance| distance.delay);
        self.lines.push(Line { group, is_home, distance });
        for session in self.sessions.keys().filter(|session| is_home || self.watched == Some(**session)) {
            say(&mut self.callers, line, &Request::Attach(*session));
        }
        Ok(())
    }

    fn own_group(&self) -> GroupId {
        GroupId::new(self.job.group).expect("there are few groups")
    }

    /// The own group, and others by lot.
    fn draw(&mut self) -> GroupSet {
        let groups = self.config.cluster.groups().len();
        let mut set: GroupSet = [self.own_group()].into_iter().collect();
        while set.len() < self.job.destinations {
            set.insert(GroupId::new(self.random.below(groups as u64) as usize).expect("there are few groups"));
        }
        set
    }

    /// Begins what is due, as far as sessions are free for it.
    fn begin_what_is_due(&mut self, now: Instant) -> Result<(), Mistake> {
        let Some(rate) = self.job.rate else {
            for id in std::mem::take(&mut self.idle) {
                self.multicast(id, now);
            }
            return Ok(());
        };
        while self.next_due <= now {
            self.overdue.push_back(self.next_due);
            self.next_due += Duration::from_secs_f64(1.0 / rate);
        }
        if self.overdue.len() > MOST_OVERDUE {
            return Err(Mistake(format!("{} messages wait for their turn: the rate is too high", self.overdue.len())));
        }
        while !self.overdue.is_empty()
            && let Some(id) = self.idle.pop_front()
        {
            let due = self.overdue.pop_front().expect("there is one");
            self.multicast(id, due);
        }
        Ok(())
    }

    fn timeout(&self, end: Instant) -> Duration {
        let due = self.job.rate.is_some().then_some(self.next_due);
        let arrives = self.on_the_way.front().map(|(at, _)| *at);
        let next = [due, arrives].into_iter().flatten().fold(end, Instant::min);
        next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100))
    }

    fn multicast(&mut self, id: SessionId, begun: Instant) {
        let destinations = self.draw();
        let session = self.sessions.get_mut(&id).expect("it is one of ours");
        session.sequence += 1;
        (session.begun, session.waits_for) = (begun, destinations);
        let message = Multicast {
            id: MessageId { session: id, sequence: session.sequence, destinations },
            floor: session.floor,
            expiry: Timestamp::MAX,
            payload: self.payload.clone(),
        };
        if self.watched == Some(id) {
            let replicas = self.config.cluster.replicas(destinations).count();
            self.watch.insert(session.sequence, (begun, replicas));
        }
        let own = self.own_group();
        let home = self.lines.iter().position(|line| line.is_home && line.group == own).expect("it was called");
        say(&mut self.callers, home, &Request::Multicast(message));
    }

    fn on_message(&mut self, line: usize, message: Bytes, now: Instant) -> Result<(), Mistake> {
        let reply = wire::from_bytes::<Reply>(message, VERSION)
            .map_err(|error| Mistake(format!("a replica answers what this program does not understand: {error}")))?;
        match reply {
            Reply::Delivered { id, timestamp } => {
                let told = Told { line, id, timestamp };
                let at = now + self.lines[line].distance;
                if at > now {
                    let place = self.on_the_way.partition_point(|(other, _)| *other <= at);
                    self.on_the_way.insert(place, (at, told));
                } else {
                    self.on_delivered(told, now);
                }
                Ok(())
            }
            Reply::Busy { id, why } => Err(Mistake(format!("{id} was turned away: {why}; use fewer outstanding"))),
            Reply::Expired(id) => Err(Mistake(format!("{id} expired, which nothing here can"))),
            Reply::Done { .. } | Reply::Next(_) | Reply::Counts(_) => Ok(()),
        }
    }

    fn on_delivered(&mut self, Told { line, id, timestamp }: Told, now: Instant) {
        let Line { group, is_home, .. } = self.lines[line];
        if self.watched == Some(id.session)
            && let Some((begun, left)) = self.watch.get_mut(&id.sequence)
        {
            *left -= 1;
            if *left == 0 {
                self.last_replica.saturating_record(now.duration_since(*begun).as_nanos() as u64);
                self.watch.remove(&id.sequence);
            }
        }
        let Some(session) = self.sessions.get_mut(&id.session) else { return };
        if !is_home || session.sequence != id.sequence || !session.waits_for.contains(group) {
            return;
        }
        session.waits_for.remove(group);
        session.floor = session.floor.max(timestamp);
        if session.waits_for.is_empty() {
            self.latencies.saturating_record(now.duration_since(session.begun).as_nanos() as u64);
            self.idle.push_back(id.session);
        }
    }
}

fn say(callers: &mut Callers, connection: usize, request: &Request) {
    callers.say(connection, |buffer| request.encode(&mut Writer::new(buffer, VERSION)));
}

/// The command behind `skein bench`: one process of the load.
pub(crate) fn command(config: &std::path::Path, job: &str) -> Result<bool, Mistake> {
    let config = Config::read(config).map_err(|error| Mistake(error.to_string()))?;
    let job: Job = serde_json::from_str(job).map_err(|error| Mistake(format!("the job makes no sense: {error}")))?;
    let seen = run(&config, &job)?;
    crate::cli::output::json(&seen);
    Ok(true)
}
