//! The face of an agent for people, Prometheus, load balancers, and whoever
//! reads JSON. It only reads. What it needs is copied on the machine's thread and
//! made into text here, so a visitor makes nobody else wait; how many visitors
//! there may be, how long they may be silent, and how much one is told at once is
//! bounded.

mod events;
mod glance;
mod guard;
mod history;
mod metrics;
mod page;
mod query;
mod subject;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod visitors;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use skein_edge::{Agent, Name};
use skein_machine::{Machine, Time};
use tokio::net::TcpListener;

use super::Door;
use glance::{Crowd, Glance};
use guard::{Guard, only_the_known};
use history::Condition;
use metrics::{Numbers, exposition};
use page::Page;
use query::{Query, coded};
use view::{MapView, Members, Teller, Wanted};
use visitors::Visitors;
use watch::Watch;

/// A machine that does not answer by then is stuck, as far as anybody can tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can be asked for here.
const ROUTES: &str = "/ /origins /origins/NAME /members /map /changes /events /metrics /healthz /livez /version\n";

/// So many origins are told unless somebody says otherwise, and so many at most.
const USUAL_ORIGINS: usize = 1_000;
const MOST_ORIGINS: usize = 10_000;

/// So many keys are told unless somebody says otherwise, and so many at most.
const USUAL_KEYS: usize = 1_000;
const MOST_KEYS: usize = 10_000;

/// Keys and values that are told at once have so many bytes at most, but for the last.
const MOST_BYTES: usize = 4 << 20;

/// Counters of a host: each with its name, what it is, and its value.
pub(crate) type Counters = Box<dyn Fn(&mut dyn FnMut(&'static str, &'static str, u64)) + Send + Sync>;

/// What an agent says of itself, and who may hear the rest.
pub(crate) struct About {
    /// The agent's.
    pub(crate) name: Name,
    /// Where it stands.
    pub(crate) place: Name,
    /// Where origins are, for people to read.
    pub(crate) urls: BTreeMap<Name, String>,
    /// If there is one, whoever knows it may read, and nobody else.
    pub(crate) token: Option<String>,
    /// Names of this host, beside its addresses and localhost.
    pub(crate) hosts: Vec<String>,
    /// What the host of the machine counts, for the page of numbers.
    pub(crate) counters: Counters,
}

/// The face, before it is opened.
pub(crate) struct Http {
    told: Arc<Told>,
    guard: Arc<Guard>,
}

/// What routes share.
struct Told {
    about: About,
    watch: Watch,
    page: Page,
    requests: AtomicU64,
}

impl Http {
    /// A face of this agent.
    pub(crate) fn new(about: About, door: Door) -> Result<Http, String> {
        let guard = Guard::new(about.token.as_deref(), &about.hosts)?;
        let told = Told { about, watch: Watch::new(door), page: Page::new(), requests: AtomicU64::new(0) };
        Ok(Http { told: Arc::new(told), guard: Arc::new(guard) })
    }

    /// Serves whoever comes in here, until it is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let visitors = Visitors::of(listener)?;
        let Http { told, guard } = self;
        let server = axum::serve(visitors, routes(told.clone(), guard));
        tokio::select! {
            ended = async { server.await } => ended,
            () = told.watch.follow() => Ok(()),
            () = told.watch.tell_reach() => Ok(()),
        }
    }
}

fn routes(told: Arc<Told>, guard: Arc<Guard>) -> Router {
    let for_the_known = Router::new()
        .route("/", get(page))
        .route("/origins", get(origins))
        .route("/origins/{name}", get(origin))
        .route("/members", get(members))
        .route("/map", get(map))
        .route("/changes", get(changes))
        .route("/events", get(events))
        .route("/metrics", get(numbers))
        .route_layer(middleware::from_fn_with_state(guard, only_the_known));
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/healthz", get(healthy))
        .route("/version", get(|| async { concat!(env!("CARGO_PKG_VERSION"), "\n") }))
        .merge(for_the_known)
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("there is {ROUTES}")) })
        .layer(middleware::from_fn_with_state(told.clone(), counted))
        .with_state(told)
}

/// Counts a request, and says to every browser that an answer is what it says it is, and of this moment.
async fn counted(State(told): State<Arc<Told>>, request: Request, next: Next) -> Response {
    told.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = next.run(request).await;
    let say = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    response.headers_mut().extend([
        say(X_CONTENT_TYPE_OPTIONS, "nosniff"),
        say(CACHE_CONTROL, "no-store"),
        // The address may have the token in it.
        say(REFERRER_POLICY, "no-referrer"),
        say(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]);
    response
}

/// Why somebody is not told what he asked for.
struct Refused(StatusCode, String);

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused(StatusCode::BAD_REQUEST, why)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl Told {
    /// Looks at the machine.
    async fn see<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Agent, Time) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let unavailable = |why: String| Refused(StatusCode::SERVICE_UNAVAILABLE, why);
        match tokio::time::timeout(PATIENCE, self.watch.door().agent.see(look)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(unheard)) => Err(unavailable(unheard.to_string())),
            Err(_) => Err(unavailable(format!("the agent has not answered within {} s", PATIENCE.as_secs()))),
        }
    }

    fn teller<'a>(&'a self, duties: &'a glance::Duties) -> Teller<'a> {
        Teller { agent: &self.about.name, place: &self.about.place, urls: &self.about.urls, duties }
    }
}

fn json(value: &impl Serialize) -> Response {
    json_text(serde_json::to_string(value).expect("plain data becomes JSON"))
}

fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

async fn page(State(told): State<Arc<Told>>) -> Response {
    told.page.response()
}

/// Whether the agent is of use: it belongs to a fleet and knows what the others know.
async fn healthy(State(told): State<Arc<Told>>) -> Result<&'static str, Refused> {
    let glance = told.see(|agent, _| Glance::of(agent)).await?;
    let notes = told.watch.notes();
    let why = match &notes.refusal {
        _ if notes.has_left => "it has left its fleet".to_owned(),
        _ if glance.is_inside && glance.is_ready => return Ok("ok\n"),
        _ if glance.is_inside => "it is waiting to be told what the others know".to_owned(),
        Some(refusal) => format!("it is not let in: {refusal}"),
        None => "nobody has let it in yet: it goes on asking where it was told to come in".to_owned(),
    };
    Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// `/origins?search=shop&condition=down,partly&history=1&limit=100&after=mail`
async fn origins(State(told): State<Arc<Told>>, uri: Uri) -> Result<Response, Refused> {
    let query = Query::read(uri.query())?;
    query.expect(&["limit", "after", "search", "condition", "history"])?;
    let condition = |word: &str| {
        let known = Condition::ALL.into_iter().find(|condition| condition.word() == word);
        known.ok_or_else(|| format!("`condition` is some of down, partly, unknown and up, and not {word:?}"))
    };
    let words = query.text("condition")?.into_iter().flat_map(|text| text.split(','));
    let wanted = Wanted {
        after: query.text("after")?,
        limit: query.limit(USUAL_ORIGINS, MOST_ORIGINS)?,
        search: query.text("search")?.filter(|search| !search.is_empty()),
        conditions: words.map(condition).collect::<Result<_, _>>()?,
        with_history: query.text("history")?.is_some_and(|text| text != "0"),
    };
    let duties = told.see(|agent, _| Glance::of(agent)).await?.duties();
    let notes = told.watch.notes();
    Ok(json(&told.teller(&duties).origins(&notes.history, &wanted, SystemTime::now())))
}

async fn origin(State(told): State<Arc<Told>>, Path(name): Path<String>) -> Result<Response, Refused> {
    let duties = told.see(|agent, _| Glance::of(agent)).await?.duties();
    let notes = told.watch.notes();
    let found = Name::new(&name).ok().and_then(|name| notes.history.origins().get_key_value(&name));
    let unknown = || {
        let why = format!(
            "no origin is called {name:?}: nobody in this fleet has found anything of it, and this agent \
                           is not told to watch it"
        );
        Refused(StatusCode::NOT_FOUND, why)
    };
    let (name, origin) = found.ok_or_else(unknown)?;
    Ok(json(&told.teller(&duties).whole(name, origin)))
}

async fn members(State(told): State<Arc<Told>>) -> Result<Response, Refused> {
    let crowd = told.see(Crowd::of).await?;
    Ok(json(&Members::of(&crowd, SystemTime::now())))
}

/// `/map?prefix=feature/&limit=100&after=feature/dark`
async fn map(State(told): State<Arc<Told>>, uri: Uri) -> Result<Response, Refused> {
    let query = Query::read(uri.query())?;
    query.expect(&["prefix", "limit", "after"])?;
    let prefix = query.bytes("prefix").unwrap_or_default().to_vec();
    let limit = query.limit(USUAL_KEYS, MOST_KEYS)?;
    let mut after = query.bytes("after").map(<[u8]>::to_vec);
    let (mut entries, mut bytes, mut has_more) = (Vec::new(), 0, true);
    while has_more && entries.len() < limit && bytes < MOST_BYTES {
        let (from, prefix, most) = (after.clone(), prefix.clone(), limit - entries.len());
        let piece =
            told.see(move |agent, _| glance::piece(agent.spread().map(), &prefix, from.as_deref(), most)).await?;
        has_more = piece.len() == most.min(glance::PIECE);
        for entry in piece {
            if bytes >= MOST_BYTES {
                has_more = true;
                break;
            }
            bytes += entry.key.len() + entry.value.len();
            after = Some(entry.key.to_vec());
            entries.push(entry);
        }
    }
    let address = |after: Vec<u8>| format!("/map?prefix={}&limit={limit}&after={}", coded(&prefix), coded(&after));
    let next = after.filter(|_| has_more).map(address);
    Ok(json(&MapView::of(&entries, next, &told.watch.notes())))
}

/// What was last told to those who listen, for who begins to.
async fn changes(State(told): State<Arc<Told>>) -> Response {
    json_text(told.watch.events.recent())
}

/// What happens from now on.
async fn events(State(told): State<Arc<Told>>) -> Result<Response, Refused> {
    let full = || {
        let why = format!("{} listen already, and that is the most: come again later", events::MOST_LISTENERS);
        Refused(StatusCode::SERVICE_UNAVAILABLE, why)
    };
    let listening = told.watch.events.listen().ok_or_else(full)?;
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(listening)).into_response())
}

async fn numbers(State(told): State<Arc<Told>>) -> Result<Response, Refused> {
    let look = |agent: &Agent, _| {
        let mut counted = Vec::new();
        agent.gauges(&mut |name, value| counted.push((name, value)));
        (Glance::of(agent), agent.health().own().count() as u64, counted)
    };
    let (glance, owned, machine) = told.see(look).await?;
    let mut counted: Vec<_> = machine.into_iter().map(|(name, value)| (name, metrics::UNNAMED, value)).collect();
    (told.about.counters)(&mut |name, what, value| counted.push((name, what, value)));
    let events = &told.watch.events;
    let numbers = Numbers {
        agent: &told.about.name,
        place: &told.about.place,
        is_inside: glance.is_inside,
        is_ready: glance.is_ready,
        owned,
        listeners: events.listeners() as u64,
        missed: events.missed(),
        requests: told.requests.load(Ordering::Relaxed),
        counted,
    };
    let text = exposition(&numbers, &told.watch.notes().history);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
