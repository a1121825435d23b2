//! The page behind a node: how it is, for load balancers, for Prometheus, and
//! for `skein status`. It only reads. A thread of its own asks the replicas, so
//! a slow reader makes nobody else wait.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use skein_machine::chronicle::Counts;
use skein_machine::{ProcessId, SessionId, Story};
use skein_runtime::clock::HardwareClock;
use skein_runtime::inspect::{Explained, Inspection};
use skein_runtime::replica::{Handle, Stopped};
use skein_runtime::streams::Caller;
use skein_runtime::tls::Tls;
use tokio::sync::oneshot;

use super::door::{Door, Visitor};
use super::face_metrics;
use super::metrics::exposition;
use super::multicast::Call;
use super::resp;
use super::story::{self, NodeList, NodeStories, ReplicaStory, Told};
use crate::config::Config;

/// A replica that does not answer by then is stuck, as far as anybody can tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) replicas: Vec<ReplicaStatus>,
}

/// What is known of one of its replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaStatus {
    pub(crate) process: String,
    pub(crate) group: String,
    /// It answered.
    pub(crate) is_alive: bool,
    /// What its machine counts and measures.
    pub(crate) gauges: std::collections::BTreeMap<String, u64>,
    pub(crate) links: Vec<LinkStatus>,
    pub(crate) clients: usize,
    pub(crate) incarnation: u32,
    pub(crate) log_appended: u64,
    pub(crate) log_durable: u64,
    pub(crate) log_backlog_bytes: usize,
    pub(crate) held_back: usize,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) writes: u64,
    pub(crate) counts: CountsStatus,
    pub(crate) syncs: SyncStatus,
}

/// What was counted since the replica started, and what messages waited for, as far as they were looked at closely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountsStatus {
    pub(crate) multicasts: u64,
    pub(crate) deliveries: u64,
    pub(crate) epoch_changes: u64,
    pub(crate) weighed: u64,
    pub(crate) proposals_s: f64,
    pub(crate) majorities_s: f64,
    pub(crate) convoy_s: f64,
}

/// How long syncs of the log took: how many in each class, the last one without an end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncStatus {
    pub(crate) counts: Vec<u64>,
    pub(crate) total_s: f64,
}

/// The way to another replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkStatus {
    pub(crate) peer: String,
    pub(crate) is_up: bool,
    pub(crate) backlog_bytes: usize,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    /// Measured by the end that dials.
    pub(crate) round_trip_us: Option<f64>,
}

impl ReplicaStatus {
    pub(crate) fn gauge(&self, name: &str) -> u64 {
        self.gauges.get(name).copied().unwrap_or(0)
    }

    /// Why it is not of use right now, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let silent = self.gauge("silent_peers");
        if !self.is_alive {
            Some("it does not answer".to_owned())
        } else if self.gauge("is_without_memory") == 1 {
            Some("it has lost its memory and waits to be taken in again by its group".to_owned())
        } else if self.gauge("is_settled") == 0 {
            Some("it waits for its group to agree on a primary".to_owned())
        } else if self.gauge("clock_is_fenced") == 1 {
            Some(
                "its group sees that its clock is wrong, so it answers nobody and leads nothing: see to what keeps \
                 the time there (chronyc tracking)"
                    .to_owned(),
            )
        } else if silent > 0 {
            Some(format!("it has not heard from {silent} of its group for a while"))
        } else {
            None
        }
    }

    /// Whether it takes part in its group.
    fn is_ready(&self) -> bool {
        self.is_alive && self.gauge("is_without_memory") == 0 && self.gauge("is_settled") == 1
    }
}

/// The replicas of a node, to be asked.
struct Watched {
    node: String,
    config: Config,
    handles: Vec<(ProcessId, Handle<Call>)>,
    /// What clients of Redis see, if anything.
    face: Option<Caller<resp::Call>>,
    clock: HardwareClock,
}

/// The page, until it is dropped.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    pub(crate) fn open(
        address: SocketAddr,
        node: &str,
        config: &Config,
        handles: Vec<(ProcessId, Handle<Call>)>,
        face: Option<Caller<resp::Call>>,
        clock: HardwareClock,
        tls: Option<Tls>,
    ) -> Result<Http, String> {
        let cannot = |error| format!("node {node} cannot listen for HTTP at {address}: {error}");
        let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let watched = Arc::new(Watched { node: node.to_owned(), config: config.clone(), handles, face, clock });
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener is a listener");
                let door = Door::open(listener, tls).expect("it has an address");
                let server = axum::serve(door, routes(watched).into_make_service_with_connect_info::<Visitor>());
                tokio::select! {
                    ended = server => drop(ended),
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(serve).map_err(cannot)?;
        Ok(Http { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn routes(watched: Arc<Watched>) -> Router {
    let for_the_known = Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/explain", get(explain))
        .route("/slow", get(slow))
        .route("/waiting", get(waiting))
        .route_layer(middleware::from_fn(only_the_known));
    Router::new()
        .route("/", get(|| async { "/livez /readyz /healthz /metrics /status /explain /slow /waiting /version\n" }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(healthy))
        .route("/version", get(|| async { concat!(env!("CARGO_PKG_VERSION"), "\n") }))
        .merge(for_the_known)
        .with_state(watched)
}

/// A probe needs to know whether a node is well. What goes on there is for those with a certificate.
async fn only_the_known(ConnectInfo(visitor): ConnectInfo<Visitor>, request: Request, next: Next) -> Response {
    match visitor {
        Visitor::Known => next.run(request).await,
        Visitor::Stranger => {
            let why = "this is for those who present a certificate of the cluster's authority\n";
            (StatusCode::FORBIDDEN, why).into_response()
        }
    }
}

/// Whether every replica takes part in its group.
async fn ready(State(watched): State<Arc<Watched>>) -> Response {
    judge(&watched.status().await, ReplicaStatus::is_ready)
}

/// Whether nothing is wrong at all, as far as this node can see.
async fn healthy(State(watched): State<Arc<Watched>>) -> Response {
    judge(&watched.status().await, |replica| replica.trouble().is_none())
}

fn judge(status: &NodeStatus, is_well: impl Fn(&ReplicaStatus) -> bool) -> Response {
    let mut text = String::new();
    for replica in status.replicas.iter().filter(|replica| !is_well(replica)) {
        let trouble = replica.trouble().unwrap_or_default();
        let _ = writeln!(text, "{} of {}: {trouble}", replica.process, replica.group);
    }
    if text.is_empty() { "ok\n".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, text).into_response() }
}

async fn status(State(watched): State<Arc<Watched>>) -> Response {
    json(&watched.status().await)
}

/// How a message has got on here: `/explain?message=s17.2`.
async fn explain(State(watched): State<Arc<Watched>>, uri: Uri) -> Response {
    let mut parts = uri.query().unwrap_or_default().split('&');
    let message = parts.find_map(|part| part.strip_prefix("message=")).and_then(story::parse);
    match message {
        Some((session, sequence)) => json(&watched.explain(session, sequence).await),
        None => (StatusCode::BAD_REQUEST, "ask for /explain?message=s17.2, as its sender was told\n").into_response(),
    }
}

/// The slowest messages that are remembered here.
async fn slow(State(watched): State<Arc<Watched>>) -> Response {
    json(&watched.list(Handle::slow).await)
}

/// Messages that are known here and not delivered.
async fn waiting(State(watched): State<Arc<Watched>>) -> Response {
    json(&watched.list(Handle::waiting).await)
}

fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("plain data becomes JSON");
    ([(CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

async fn metrics(State(watched): State<Arc<Watched>>) -> Response {
    let mut text = exposition(&watched.status().await);
    if let Some(look) = watched.look().await {
        text += &face_metrics::exposition(&watched.node, &look);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// What somebody answers who was asked at `begin`, if it comes in time.
async fn heard<T>(answer: Receiver<T>, begin: tokio::time::Instant) -> Option<T> {
    // They answer within a turn; meanwhile this thread looks after others.
    while begin.elapsed() < PATIENCE {
        match answer.try_recv() {
            Err(TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(1)).await,
            answered => return answered.ok(),
        }
    }
    None
}

impl Watched {
    /// Asks every replica, all at once. Those that do not answer in time answer nothing.
    async fn ask<T>(&self, ask: impl Fn(&Handle<Call>) -> Result<Receiver<T>, Stopped>) -> Vec<(ProcessId, Option<T>)> {
        let asked: Vec<_> = self.handles.iter().map(|(process, handle)| (*process, ask(handle))).collect();
        let begin = tokio::time::Instant::now();
        let mut answers = Vec::new();
        for (process, answer) in asked {
            let found = match answer {
                Ok(answer) => heard(answer, begin).await,
                Err(Stopped) => None,
            };
            answers.push((process, found));
        }
        answers
    }

    /// Asks the face, if there is one.
    async fn look(&self) -> Option<resp::Look> {
        let (asker, answer) = channel();
        self.face.as_ref()?.call(resp::Call::Look(asker)).ok()?;
        heard(answer, tokio::time::Instant::now()).await
    }

    fn group_of(&self, process: ProcessId) -> String {
        let group = self.config.cluster.group_of(process);
        group.map_or(String::new(), |group| self.config.groups[group.index()].clone())
    }

    async fn status(&self) -> NodeStatus {
        let answers = self.ask(Handle::inspect).await;
        let status = |(process, answer): (ProcessId, Option<Inspection>)| {
            let (process, group) = (process.to_string(), self.group_of(process));
            let mut status = ReplicaStatus { process, group, ..Default::default() };
            if let Some(inspection) = answer {
                status.fill(inspection);
            }
            status
        };
        let replicas = answers.into_iter().map(status).collect();
        NodeStatus { node: self.node.clone(), version: env!("CARGO_PKG_VERSION").to_owned(), replicas }
    }

    async fn explain(&self, session: SessionId, sequence: u64) -> NodeStories {
        let answers = self.ask(|handle| handle.explain(session, sequence)).await;
        let story = |(process, answer): (ProcessId, Option<Explained>)| {
            let (name, group, is_alive) = (process.to_string(), self.group_of(process), answer.is_some());
            let Some(Explained { story, remembered, since }) = answer else {
                return ReplicaStory { process: name, group, ..Default::default() };
            };
            let remembers_s = since.map_or(0.0, |since| self.clock.now().since(since).as_secs_f64());
            let story = story.map(|story| Told::of(&self.config, &story));
            ReplicaStory { process: name, group, is_alive, remembered, remembers_s, story }
        };
        NodeStories { node: self.node.clone(), replicas: answers.into_iter().map(story).collect() }
    }

    async fn list(&self, ask: impl Fn(&Handle<Call>) -> Result<Receiver<Vec<Story>>, Stopped>) -> NodeList {
        let answers = self.ask(ask).await;
        let stories = answers.into_iter().filter_map(|(_, answer)| answer).flatten();
        let mut messages: Vec<Told> = stories.map(|story| Told::of(&self.config, &story)).collect();
        messages.sort_by(|one, other| other.took_us.total_cmp(&one.took_us));
        NodeList { node: self.node.clone(), messages }
    }
}

impl ReplicaStatus {
    fn fill(&mut self, inspection: Inspection) {
        self.is_alive = true;
        self.gauges = inspection.gauges.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let link = |link: &skein_runtime::inspect::LinkState| LinkStatus {
            peer: link.peer.to_string(),
            is_up: link.is_up,
            backlog_bytes: link.backlog,
            bytes_in: link.traffic.bytes_in,
            bytes_out: link.traffic.bytes_out,
            frames_in: link.traffic.frames_in,
            frames_out: link.traffic.frames_out,
            round_trip_us: link.round_trip.map(|took| took.as_secs_f64() * 1e6),
        };
        self.links = inspection.links.iter().map(link).collect();
        self.clients = inspection.clients;
        self.incarnation = inspection.incarnation;
        (self.log_appended, self.log_durable) = (inspection.log_appended, inspection.log_durable);
        (self.log_backlog_bytes, self.held_back) = (inspection.log_backlog, inspection.held_back);
        (self.bytes_in, self.bytes_out) = (inspection.traffic.bytes_in, inspection.traffic.bytes_out);
        self.writes = inspection.traffic.writes;
        self.syncs =
            SyncStatus { counts: inspection.syncs.counts.to_vec(), total_s: inspection.syncs.total.as_secs_f64() };
        let Counts { multicasts, deliveries, epoch_changes, looks, waited } = inspection.counts;
        self.counts = CountsStatus {
            multicasts,
            deliveries,
            epoch_changes,
            weighed: looks,
            proposals_s: waited.proposals.as_secs_f64(),
            majorities_s: waited.majorities.as_secs_f64(),
            convoy_s: (waited.clocks + waited.turn).as_secs_f64(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(gauges: &[(&str, u64)]) -> ReplicaStatus {
        let gauges = gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        ReplicaStatus { process: "p1".into(), group: "g0".into(), is_alive: true, gauges, ..Default::default() }
    }

    #[test]
    fn trouble_is_named() {
        let well = replica(&[("is_settled", 1)]);
        assert_eq!((well.trouble(), well.is_ready()), (None, true));
        let alone = replica(&[("is_settled", 1), ("silent_peers", 2)]);
        assert!(alone.trouble().unwrap().contains("2 of its group") && alone.is_ready());
        let wrong = replica(&[("is_settled", 1), ("clock_is_fenced", 1)]);
        assert!(wrong.trouble().unwrap().contains("clock is wrong"));
        let lost = replica(&[("is_without_memory", 1)]);
        assert!(lost.trouble().unwrap().contains("lost its memory") && !lost.is_ready());
        assert!(ReplicaStatus::default().trouble().unwrap().contains("does not answer"));
    }
}
