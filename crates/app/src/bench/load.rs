//! One process of the load: sessions that multicast and wait, each with one
//! message on the way. It belongs to a group, whose home replica it speaks to;
//! the other destinations tell it of their deliveries through their home
//! replicas. What it measured goes to standard output as one line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{GroupId, GroupSet, MessageId, Multicast, Random, SessionId, Timestamp, Wire};
use skein_runtime::caller::{Callers, Heard};

use crate::cli::Mistake;
use crate::config::Config;
use crate::processor_time;
use crate::speech::{Reply, Request};

/// What one process of the load does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Its group, by number.
    pub(crate) group: usize,
    /// How many groups a message goes to, this one among them.
    pub(crate) destinations: usize,
    /// How many sessions, each with one message on the way.
    pub(crate) outstanding: usize,
    /// Payload bytes.
    pub(crate) payload: usize,
    /// When to begin to count: nanoseconds since the Unix epoch. The load begins at once.
    pub(crate) begin_nanos: u64,
    /// And for how long.
    pub(crate) seconds: f64,
}

/// What one process of the load saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Messages that were begun and finished while it counted.
    pub(crate) finished: u64,
    /// Its processor time meanwhile.
    pub(crate) processor_nanos: u64,
    /// Latencies to the last destination's answer, in nanoseconds, and how many there were of each.
    pub(crate) latencies: Vec<(u64, u64)>,
}

/// One session: a message on the way, and who has not answered yet.
struct Session {
    sequence: u64,
    floor: Timestamp,
    begun: Instant,
    waits_for: GroupSet,
}

struct Load<'a> {
    job: &'a Job,
    callers: Callers,
    /// The connection to each group's home replica.
    homes: Vec<usize>,
    sessions: BTreeMap<SessionId, Session>,
    random: Random,
    payload: Bytes,
}

/// Runs the load and answers what it saw.
pub(crate) fn run(config: &Config, job: &Job) -> Result<Seen, Mistake> {
    let mut load = Load::connect(config, job)?;
    let ids: Vec<SessionId> = load.sessions.keys().copied().collect();
    for id in ids {
        load.multicast(id);
    }
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are sound");
    let mut heard = Vec::new();
    let begin = at(job.begin_nanos);
    let end = begin + Duration::from_secs_f64(job.seconds);
    let mut processor = None;
    let mut seen = Seen::default();
    loop {
        load.callers.wait(Some(Duration::from_millis(100)), &mut heard).map_err(|error| lost(&error))?;
        let now = Instant::now();
        if now >= begin && processor.is_none() {
            processor = Some(processor_time());
        }
        if now >= end {
            break;
        }
        for word in heard.drain(..) {
            let (connection, message) = match word {
                Heard::Message(connection, message) => (connection, message),
                Heard::Lost(_, why) => return Err(Mistake(format!("a replica is gone: {why}"))),
            };
            if let Some(latency) = load.hear(connection, message, now)?
                && now >= begin
            {
                seen.finished += 1;
                latencies.saturating_record(latency.as_nanos() as u64);
            }
        }
    }
    seen.processor_nanos = (processor_time() - processor.unwrap_or_default()).as_nanos() as u64;
    seen.latencies =
        latencies.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect();
    Ok(seen)
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
    fn connect(config: &Config, job: &'a Job) -> Result<Load<'a>, Mistake> {
        let tls = config.tls_of_client()?;
        let mut callers = Callers::new().map_err(|error| lost(&error))?.with_tls(tls);
        let addresses = config.addresses();
        let mut homes = Vec::new();
        for group in config.cluster.groups().iter() {
            let home = config.cluster.members(group)[0];
            let connection = callers
                .call(addresses[&home], config.cluster.id(), home)
                .map_err(|error| Mistake(format!("cannot reach {home} at {}: {error}", addresses[&home])))?;
            homes.push(connection);
        }
        // Sessions that nobody else has: the process and the moment make them so.
        let mut random = Random::new(job.begin_nanos ^ u64::from(std::process::id()) << 32 ^ job.group as u64);
        let now = Instant::now();
        let session = || Session { sequence: 0, floor: Timestamp::ZERO, begun: now, waits_for: GroupSet::EMPTY };
        let sessions = (0..job.outstanding).map(|_| (SessionId(random.word()), session())).collect();
        let payload = Bytes::from(vec![b'x'; job.payload]);
        let mut load = Load { job, callers, homes, sessions, random, payload };
        for home in load.homes.clone() {
            for session in load.sessions.keys() {
                say(&mut load.callers, home, &Request::Attach(*session));
            }
        }
        Ok(load)
    }

    /// The own group, and others by lot.
    fn draw(&mut self) -> GroupSet {
        let groups = self.homes.len();
        let mut set: GroupSet = GroupId::new(self.job.group).into_iter().collect();
        while set.len() < self.job.destinations {
            set.insert(GroupId::new(self.random.below(groups as u64) as usize).expect("there are few groups"));
        }
        set
    }

    fn multicast(&mut self, id: SessionId) {
        let destinations = self.draw();
        let session = self.sessions.get_mut(&id).expect("it is one of ours");
        session.sequence += 1;
        (session.begun, session.waits_for) = (Instant::now(), destinations);
        let message = Multicast {
            id: MessageId { session: id, sequence: session.sequence },
            destinations,
            floor: session.floor,
            expiry: Timestamp::MAX,
            payload: self.payload.clone(),
        };
        say(&mut self.callers, self.homes[self.job.group], &Request::Multicast(message));
    }

    /// Answers how long a message took, when this was the last that it waited for.
    fn hear(&mut self, connection: usize, message: Bytes, now: Instant) -> Result<Option<Duration>, Mistake> {
        let reply = wire::from_bytes::<Reply>(message, VERSION)
            .map_err(|error| Mistake(format!("a replica answers what this program does not understand: {error}")))?;
        match reply {
            Reply::Delivered { id, timestamp } => {
                let group = self.homes.iter().position(|home| *home == connection).and_then(GroupId::new);
                let group = group.expect("only homes are connected");
                let Some(session) = self.sessions.get_mut(&id.session) else { return Ok(None) };
                if session.sequence != id.sequence || !session.waits_for.contains(group) {
                    return Ok(None);
                }
                session.waits_for.remove(group);
                session.floor = session.floor.max(timestamp);
                if !session.waits_for.is_empty() {
                    return Ok(None);
                }
                let took = now.duration_since(session.begun);
                self.multicast(id.session);
                Ok(Some(took))
            }
            Reply::Busy { id, why } => Err(Mistake(format!("{id} was turned away: {why}; use fewer outstanding"))),
            Reply::Expired(id) => Err(Mistake(format!("{id} expired, which nothing here can"))),
            Reply::Done { .. } | Reply::Next(_) | Reply::Counts(_) => Ok(None),
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
