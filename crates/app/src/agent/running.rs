//! [`Running`]: an agent that lives in this process. Its machine has a thread
//! with its socket; probes and pages have another, so that neither a slow origin
//! nor a curious reader makes the machine wait; clients of Redis have a third.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use skein_edge::agent::{self, Agent, Command};
use skein_edge::health::Round;
use skein_edge::membership::{self, Refusal};
use skein_edge::{Book, Planted, spread};
use skein_machine::ProcessId;
use skein_runtime::datagrams::{Addresses, Handle, Host, Security, Socket};
use skein_runtime::streams::Server;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::config::{Config, keys};
use super::http::{About, Http};
use super::probe::{Prober, Recipe};
use super::{Door, MOST_NEWS, News, complaints, redis};

/// Probes that are due and have not begun. As many origins as there can be.
const MOST_ROUNDS: usize = skein_edge::health::MAX_ORIGINS;

/// Who leaves waits so long for others to say that they have heard it.
const FAREWELL: Duration = Duration::from_secs(3);

/// The machine names others as its book has them.
struct ByBook;

impl Addresses<Agent> for ByBook {
    fn name(agent: &mut Agent, address: SocketAddr) -> Option<ProcessId> {
        agent.book().handle(address)
    }

    fn address(agent: &mut Agent, process: ProcessId) -> Option<SocketAddr> {
        agent.book().address(process)
    }
}

/// An agent that runs, until it is told to leave or dropped.
pub(crate) struct Running {
    door: Door,
    host: Option<Host>,
    faces: Option<Faces>,
    http: Option<SocketAddr>,
    redis: Option<Server<redis::Call>>,
    address: SocketAddr,
    /// Hears once that it has left.
    gone: Receiver<()>,
}

/// The thread of probes and pages.
struct Faces {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Begins to live as a configuration has it.
    pub(crate) fn start(config: &Config) -> Result<Running, String> {
        let socket = Socket::open(config.listen, &config.security)?;
        let address = socket.address();
        let mut me = config.me.clone();
        if me.address.port() == 0 {
            me.address.set_port(address.port());
        }
        let name = me.name.clone();
        let (reached_at, planted) = (me.address, Planted::NONE);
        let swim = membership::Settings { me: me.clone(), seeds: config.seeds.clone(), pace: config.pace, planted };
        let map = spread::Settings { me, gateways: config.gateways.clone(), tempo: config.tempo, planted };
        let watched = config.origins.iter().map(|(origin, _)| origin.clone()).collect();
        let machine = Agent::new(swim, map, watched, Book::of_sockets());
        let recipes: Arc<[Recipe]> = config.origins.iter().map(|(_, recipe)| recipe.clone()).collect();
        let prober = Prober::new(&name, recipes.iter())?;

        let (news, _) = broadcast::channel(MOST_NEWS);
        let (probe, rounds) = mpsc::channel(MOST_ROUNDS);
        let (leaves, gone) = channel();
        let teller = news.clone();
        let observe = move |agent: &Agent, _, event: agent::Event| {
            if let agent::Event::Probe(round) = event {
                // If so many wait already, this one comes again in a while.
                let _ = probe.try_send(round);
                return;
            }
            write_down(&event);
            if event == agent::Event::Member(membership::Event::Gone) {
                let _ = leaves.send(());
            }
            if let Some(told) = News::of(&event, agent, SystemTime::now()) {
                // Mostly nobody listens.
                let _ = teller.send(Arc::new(told));
            }
        };
        let (agent, host) = Host::start::<_, ByBook>("agent", socket, reached_at, machine, observe)?;
        let door = Door { agent, news };
        let mut running = Running { door, host: Some(host), faces: None, http: None, redis: None, address, gone };
        let redis =
            config.redis.map(|address| redis::open(address, name.as_str(), config.password.as_deref(), &running.door));
        running.redis = redis.transpose()?;
        let page = config.http.map(listen).transpose()?;
        running.http = page.as_ref().map(|(_, address)| *address);
        let listener = page.map(|(listener, _)| listener);
        running.faces = Some(running.open_faces(config, listener, prober, recipes, rounds)?);
        Ok(running)
    }

    fn open_faces(
        &self,
        config: &Config,
        page: Option<std::net::TcpListener>,
        prober: Prober,
        recipes: Arc<[Recipe]>,
        rounds: mpsc::Receiver<Round>,
    ) -> Result<Faces, String> {
        let no_thread = |error| format!("there is no thread for probes and pages: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let listens = self.redis.as_ref().map(|server| (self.door.news.subscribe(), server.caller()));
        let agent = self.door.agent.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let prober = Arc::new(prober);
        let http = Http::new(about(config, agent.clone(), prober.clone()), self.door.clone())?;
        let live = move || {
            runtime.block_on(async move {
                tokio::spawn(complaints::tell(agent.clone()));
                tokio::spawn(probe_all(prober, recipes, rounds, agent));
                if let Some((news, caller)) = listens {
                    tokio::spawn(redis::pass_on(news, caller));
                }
                let page = async move {
                    let Some(page) = page else { return std::future::pending::<()>().await };
                    let listener = tokio::net::TcpListener::from_std(page).expect("a listener is a listener");
                    if let Err(error) = http.serve(listener).await {
                        tracing::error!(%error, "the page is served no more");
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = page => {}
                    _ = stopped => {}
                }
            });
            // A name that is being looked up may take its time, and nobody waits for it any more.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("faces".to_owned()).spawn(live).map_err(no_thread)?;
        Ok(Faces { stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens to other members.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients of Redis find it.
    pub(crate) fn redis_address(&self) -> Option<SocketAddr> {
        self.redis.as_ref().map(|server| server.addresses()[0])
    }

    /// Where its page is.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Whether it has ended by itself, which is a bug.
    pub(crate) fn has_stopped(&self) -> bool {
        let has_ended = |faces: &Faces| faces.thread.as_ref().is_none_or(JoinHandle::is_finished);
        // Without its faces it would look after origins that nobody probes.
        self.host.as_ref().is_none_or(Host::has_stopped) || self.faces.as_ref().is_none_or(has_ended)
    }

    /// Reads again by what members know each other.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), String> {
        match (&config.security, &config.key_file) {
            (Security::Certificates(tls, _), _) => tls.reload().map_err(|error| error.to_string()),
            (Security::Keys(_), Some(path)) => {
                let security = Security::Keys(keys(path)?);
                self.door.agent.secure(security).map_err(|unheard| unheard.to_string())
            }
            (Security::Keys(_), None) => Ok(()),
        }
    }

    /// Nothing comes from these any more, or goes to them: those that a file lists, one a line.
    pub(crate) fn be_deaf_to(&self, path: &Path) -> Result<(), String> {
        // Where there is no file nobody is parted from anybody.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let others: HashSet<SocketAddr> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        self.door.agent.be_deaf_to(others).map_err(|unheard| unheard.to_string())
    }

    /// Says goodbye, and goes when others have heard it, or nobody answers.
    pub(crate) fn leave(self) {
        if self.door.agent.command(Command::Leave, |_, _, _| {}).is_ok() && self.gone.recv_timeout(FAREWELL).is_err() {
            tracing::info!("nobody has answered the goodbye");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.redis.take());
        drop(self.faces.take());
        self.door.agent.stop();
        if let Some(host) = self.host.take()
            && !host.join()
        {
            tracing::error!("the agent has panicked, which is a bug");
        }
    }
}

impl Drop for Faces {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the page is to be served. It is open before anything is said of it.
fn listen(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), String> {
    let cannot = |error| format!("cannot listen for HTTP at {address}: {error}");
    let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// What the page says besides what the machine knows.
fn about(config: &Config, agent: Handle<Agent>, prober: Arc<Prober>) -> About {
    let urls = config.origins.iter().map(|(origin, recipe)| (origin.name.clone(), recipe.target.to_string())).collect();
    About {
        name: config.me.name.clone(),
        place: config.me.place.clone(),
        urls,
        token: config.password.clone(),
        hosts: config.http_hosts.clone(),
        counters: Box::new(move |tell| {
            agent.meters().tell(tell);
            tell("edge_probes_unmade_total", "Probes that this host could not make.", prober.unmade());
        }),
    }
}

/// Makes the probes that are due, each beside the others.
async fn probe_all(
    prober: Arc<Prober>,
    recipes: Arc<[Recipe]>,
    mut rounds: mpsc::Receiver<Round>,
    agent: Handle<Agent>,
) {
    while let Some(round) = rounds.recv().await {
        let (prober, recipes, agent) = (prober.clone(), recipes.clone(), agent.clone());
        tokio::spawn(async move {
            let Some(outcome) = prober.probe(&recipes[round.origin as usize]).await else { return };
            let (is_well, why) = (outcome.is_well, Bytes::from(outcome.why));
            // If it is too busy to hear of this one it will hear of the next.
            let _ = agent.command(Command::Probed { round, is_well, why }, |_, _, _| {});
        });
    }
}

/// What an operator may want to know, later.
fn write_down(event: &agent::Event) {
    use membership::Event;
    match event {
        agent::Event::Member(event) => match event {
            Event::Joined => tracing::info!("it belongs to the fleet"),
            Event::Refused(Refusal::Taken { holder }) => tracing::error!(
                ?holder,
                "another member has this name: give this one another, or wait until that one is known to be dead"
            ),
            Event::Refused(Refusal::Full) => tracing::error!("the fleet has as many members as there can be"),
            Event::Up(member) => tracing::info!(?member, "a member is there"),
            Event::Suspect(member) => tracing::info!(?member, "a member does not answer"),
            Event::Trusted(member) => tracing::info!(?member, "a member answered after all"),
            Event::Down(member) => tracing::warn!(?member, "a member is down"),
            Event::Left(member) => tracing::info!(?member, "a member has left"),
            Event::Renewed => tracing::warn!("others had taken this one for dead"),
            Event::Gone => tracing::info!("it has left"),
        },
        agent::Event::Map(spread::Event::Ready) => tracing::info!("it knows what the others know"),
        agent::Event::Map(spread::Event::BeginsAnew) => {
            tracing::warn!("it lacked what the others have forgotten, and begins anew with what they know");
        }
        agent::Event::Map(spread::Event::Changed(_)) | agent::Event::Probe(_) => {}
        agent::Event::Unchanged(key, why) => {
            tracing::debug!(key = %String::from_utf8_lossy(key), ?why, "a change was not made");
        }
    }
}
