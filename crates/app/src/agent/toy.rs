//! `skein edge origin`: an origin to try things with, that is well until it is
//! told to be otherwise, and tells who probes it. It serves nothing that anybody
//! needs, and no such thing belongs where strangers can reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Args;
use serde::Serialize;
use skein_edge::Name;
use tokio::sync::{Semaphore, oneshot};

use super::probe::AGENT;
use crate::cli::{Mistake, Verdict, output};
use crate::signals::Stop;

/// So many of those who probe are remembered; more are in no fleet that is tried out. Then the one that was not heard
/// of for longest is forgotten.
const MOST_AGENTS: usize = 1024;

/// So many are left without an answer at once, each with a connection. More are told that it is broken.
const MOST_HANGING: usize = 256;

/// Changes that nobody has looked at are kept up to so many, as somebody may make them in a loop.
const MOST_CHANGES: usize = 1024;

/// Whoever probes and does not say who they are.
const UNNAMED: &str = "?";

const ROUTES: &str = "GET /health, /probes; POST /break, /mend, /hang\n";

#[derive(Args)]
#[command(after_help = "It is well at first: GET /health answers 200. POST /break makes that 503, POST /hang leaves it
without any answer, POST /mend makes it well again. GET /probes tells in JSON which agents have probed it.

Example:
  skein edge origin --listen 127.0.0.1:9001
  curl -X POST http://127.0.0.1:9001/break")]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let stop = Stop::listen().map_err(Mistake)?;
    let toy = serve(arguments.listen).map_err(Mistake)?;
    let address = toy.address;
    output::line(format_args!(
        "an origin is at http://{address}/health and is well: POST to /break, /hang or /mend there (curl -X POST \
         http://{address}/break), and see at /probes who looks"
    ));
    stop.wait(|| {
        toy.changes.try_iter().for_each(|how| output::line(format_args!("it {how}")));
        false
    });
    Ok(true)
}

/// How the origin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Well,
    Broken,
    Hanging,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Well => "is well",
            How::Broken => "is broken",
            How::Hanging => "hangs",
        })
    }
}

/// An origin, until it is dropped.
pub(crate) struct Toy {
    pub(crate) address: SocketAddr,
    /// What it becomes, in order; some are left out if nobody looks.
    pub(crate) changes: Receiver<How>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to serve one.
pub(crate) fn serve(address: SocketAddr) -> Result<Toy, String> {
    let cannot = |error| format!("an origin cannot listen at {address}: {error}");
    let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let (tell, changes) = sync_channel(MOST_CHANGES);
    let origin = Arc::new(Origin {
        seen: Mutex::new(Seen { how: How::Well, probes: 0, agents: BTreeMap::new() }),
        hanging: Semaphore::new(MOST_HANGING),
        tell,
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener is a listener");
            tokio::select! {
                ended = axum::serve(listener, routes(origin)) => drop(ended),
                _ = stopped => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(serve).map_err(cannot)?;
    Ok(Toy { address, changes, stop: Some(stop), thread: Some(thread) })
}

impl Drop for Toy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Origin {
    seen: Mutex<Seen>,
    hanging: Semaphore,
    tell: SyncSender<How>,
}

/// What it is, and what came in.
struct Seen {
    how: How,
    probes: u64,
    agents: BTreeMap<String, Agent>,
}

#[derive(Clone, Copy)]
struct Agent {
    count: u64,
    last: Instant,
}

/// What `/probes` answers.
#[derive(Serialize)]
struct Probes {
    state: How,
    probes: u64,
    agents: Vec<AgentProbes>,
}

#[derive(Serialize)]
struct AgentProbes {
    agent: String,
    count: u64,
    last_ms_ago: u64,
}

fn routes(origin: Arc<Origin>) -> Router {
    let turns = |how: How| post(move |State(origin): State<Arc<Origin>>| async move { origin.turn(how) });
    Router::new()
        .route("/", get(|| async { ROUTES }))
        .route("/health", get(health))
        .route("/probes", get(probes))
        .route("/break", turns(How::Broken))
        .route("/mend", turns(How::Well))
        .route("/hang", turns(How::Hanging))
        .with_state(origin)
}

async fn health(State(origin): State<Arc<Origin>>, headers: HeaderMap) -> Response {
    let agent = headers.get(AGENT).and_then(|agent| agent.to_str().ok()).and_then(|agent| Name::new(agent).ok());
    let how = origin.seen().note(agent.as_ref().map_or(UNNAMED, Name::as_str), Instant::now());
    let broken = (StatusCode::SERVICE_UNAVAILABLE, "broken\n");
    match how {
        How::Well => "well\n".into_response(),
        How::Broken => broken.into_response(),
        How::Hanging => match origin.hanging.try_acquire() {
            // Until whoever asked gives up. To be mended is of no use to those who hang already.
            Ok(_place) => std::future::pending().await,
            Err(_) => broken.into_response(),
        },
    }
}

async fn probes(State(origin): State<Arc<Origin>>) -> Response {
    let text = serde_json::to_string(&origin.seen().report(Instant::now())).expect("plain data becomes JSON");
    ([(CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

impl Origin {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whoever died while holding the lock had nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, how: How) -> String {
        if std::mem::replace(&mut self.seen().how, how) != how {
            let _ = self.tell.try_send(how);
        }
        format!("it {how}\n")
    }
}

impl Seen {
    /// Somebody probes.
    fn note(&mut self, agent: &str, now: Instant) -> How {
        self.probes += 1;
        if !self.agents.contains_key(agent) && self.agents.len() >= MOST_AGENTS {
            let oldest = self.agents.iter().min_by_key(|(_, agent)| agent.last).map(|(name, _)| name.clone());
            oldest.map(|name| self.agents.remove(&name));
        }
        let agent = self.agents.entry(agent.to_owned()).or_insert(Agent { count: 0, last: now });
        (agent.count, agent.last) = (agent.count + 1, now);
        self.how
    }

    fn report(&self, now: Instant) -> Probes {
        let agents = self.agents.iter().map(|(name, agent)| AgentProbes {
            agent: name.clone(),
            count: agent.count,
            last_ms_ago: now.saturating_duration_since(agent.last).as_millis() as u64,
        });
        Probes { state: self.how, probes: self.probes, agents: agents.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    fn toy() -> Toy {
        serve("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// The answer to one request, or nothing if there is none for a while.
    fn say(toy: &Toy, line: &str, patience: Duration) -> Option<String> {
        let mut stream = TcpStream::connect(toy.address).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nHost: toy\r\nX-Skein-Agent: a1\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    #[test]
    fn it_is_what_it_is_told_to_be() {
        let toy = toy();
        let say = |line: &str| say(&toy, line, Duration::from_secs(20)).unwrap();
        let well = say("GET /health");
        assert!(well.starts_with("HTTP/1.1 200") && well.ends_with("\r\n\r\nwell\n"), "{well}");
        assert!(say("POST /break").ends_with("it is broken\n") && say("POST /break").ends_with("it is broken\n"));
        let broken = say("GET /health");
        assert!(broken.starts_with("HTTP/1.1 503") && broken.ends_with("\r\n\r\nbroken\n"), "{broken}");
        say("POST /hang");
        assert_eq!(super::tests::say(&toy, "GET /health", Duration::from_millis(100)), None);
        say("POST /mend");
        assert!(say("GET /health").starts_with("HTTP/1.1 200"));
        assert_eq!(toy.changes.try_iter().collect::<Vec<_>>(), [How::Broken, How::Hanging, How::Well]);
        let probes = say("GET /probes");
        let told: serde_json::Value = serde_json::from_str(probes.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((told["state"].as_str(), told["probes"].as_u64()), (Some("well"), Some(4)));
        let agent = &told["agents"][0];
        assert_eq!((agent["agent"].as_str(), agent["count"].as_u64()), (Some("a1"), Some(4)));
        assert!(agent["last_ms_ago"].as_u64().is_some_and(|ago| ago < 20_000), "{told}");
    }

    #[test]
    fn what_it_remembers_has_a_bound() {
        let mut seen = Seen { how: How::Well, probes: 0, agents: BTreeMap::new() };
        let begin = Instant::now();
        let at = |nth: u64| begin + Duration::from_millis(nth);
        for nth in 0..MOST_AGENTS as u64 {
            seen.note(&format!("a{nth}"), at(nth));
        }
        seen.note("a0", at(5000));
        seen.note("another", at(5001));
        assert_eq!(seen.agents.len(), MOST_AGENTS);
        assert!(seen.agents.contains_key("a0") && !seen.agents.contains_key("a1"), "it was not heard of for longest");
        let report = seen.report(at(6000));
        assert_eq!((report.probes, report.agents[0].count), (MOST_AGENTS as u64 + 2, 2));
        assert_eq!(report.agents[0].last_ms_ago, 1000);
    }

    /// One that hangs for many at once says so to the rest, and lets go of those who leave.
    #[test]
    fn it_hangs_for_so_many_at_once() {
        let toy = toy();
        say(&toy, "POST /hang", Duration::from_secs(20)).unwrap();
        let ask = |_| {
            let mut stream = TcpStream::connect(toy.address).unwrap();
            write!(stream, "GET /health HTTP/1.1\r\nHost: toy\r\n\r\n").unwrap();
            stream
        };
        let hanging: Vec<TcpStream> = (0..MOST_HANGING).map(ask).collect();
        let probes = format!("\"probes\":{MOST_HANGING},");
        while !say(&toy, "GET /probes", Duration::from_secs(20)).unwrap().contains(&probes) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let health = |patience| say(&toy, "GET /health", patience);
        assert!(health(Duration::from_secs(20)).unwrap().starts_with("HTTP/1.1 503"));
        drop(hanging);
        let begin = Instant::now();
        while health(Duration::from_millis(200)).is_some() {
            assert!(begin.elapsed() < Duration::from_secs(20), "they are gone");
        }
    }
}
