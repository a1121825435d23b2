//! [`Town`]: real agents on this machine, each a process with an address of its
//! own (127.0.0.x), in two places. What happens to them is heard from their event
//! streams, with the time at which it happened: they all have one clock.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::agent::toy::{self, Toy};
use crate::cli::{Mistake, ask};
use crate::redis::{Connection, Reply};

/// Where each listens, at its own address.
const GOSSIP: u16 = 17_946;
const HTTP: u16 = 18_946;
const REDIS: u16 = 16_946;

/// Whoever does not answer by then is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// From one probe of an origin to the next.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// Something that an agent has told.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) by: usize,
    pub(super) at_ms: u64,
    pub(super) topic: String,
    pub(super) data: Value,
}

/// Agents, and what they watch.
pub(super) struct Town {
    /// One or two.
    places: usize,
    folder: PathBuf,
    agents: Vec<Option<Child>>,
    pub(super) toys: Vec<Toy>,
    heard: Receiver<Heard>,
    tell: Sender<Heard>,
}

/// Who has probed an origin, as it says itself.
#[derive(Deserialize)]
pub(super) struct Seen {
    pub(super) agents: Vec<Prober>,
}

#[derive(Deserialize)]
pub(super) struct Prober {
    pub(super) agent: String,
    pub(super) last_ms_ago: u64,
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// What the nth is called.
pub(super) fn name_of(nth: usize) -> String {
    format!("m{nth:02}")
}

fn mistake(what: impl std::fmt::Display) -> Mistake {
    Mistake(what.to_string())
}

impl Town {
    /// Nobody lives there yet.
    pub(super) fn found(places: usize, origins: usize) -> Result<Town, Mistake> {
        let folder = std::env::temp_dir().join(format!("skein-bench-edge-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| mistake(format!("cannot make {}: {error}", folder.display())))?;
        let toys = (0..origins).map(|_| toy::serve(SocketAddr::from(([127, 0, 0, 1], 0))));
        let toys: Vec<Toy> = toys.collect::<Result<_, String>>().map_err(Mistake)?;
        let (tell, heard) = channel();
        Ok(Town { places, folder, agents: Vec::new(), toys, heard, tell })
    }

    fn ip(nth: usize) -> IpAddr {
        // 127.0.0.1 is everybody's.
        let nth = u32::try_from(nth).expect("there are not so many");
        IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes([127, 0, 0, 2]) + nth))
    }

    pub(super) fn gossip(nth: usize) -> SocketAddr {
        SocketAddr::new(Town::ip(nth), GOSSIP)
    }

    /// In which place the nth stands.
    pub(super) fn place_of(&self, nth: usize) -> &'static str {
        ["east", "west"][nth % self.places]
    }

    /// Whether two stand in one place.
    pub(super) fn are_near(&self, one: usize, other: usize) -> bool {
        self.place_of(one) == self.place_of(other)
    }

    /// In how many places agents stand.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    fn config(&self) -> String {
        let mut text = "fleet = \"bench\"\n\n[tempo]\nmembers = 32\n".to_owned();
        for (nth, toy) in self.toys.iter().enumerate() {
            text += &format!(
                "\n[[origins]]\nname = \"o{nth:02}\"\nurl = \"http://{}/health\"\ninterval_ms = {}\ntimeout_ms = 500\n",
                toy.address,
                INTERVAL.as_millis()
            );
        }
        text
    }

    /// Starts the nth, for the first time or again.
    pub(super) fn start(&mut self, nth: usize) -> Result<(), Mistake> {
        let config = self.folder.join("edge.toml");
        fs::write(&config, self.config()).map_err(mistake)?;
        let program = std::env::current_exe().map_err(mistake)?;
        let file = |suffix: &str| self.folder.join(format!("{}.{suffix}", name_of(nth)));
        let log = fs::File::create(file("log")).map_err(mistake)?;
        let mut command = Command::new(program);
        command.args(["edge", "--config"]).arg(&config).arg("--deaf-to").arg(file("deaf"));
        command.args(["--name", &name_of(nth), "--place", self.place_of(nth)]);
        command.args(["--listen", &Town::gossip(nth).to_string()]);
        command.args(["--http", &self.http(nth).to_string(), "--redis", &Town::redis(nth).to_string()]);
        for known in 0..2 * self.places {
            let flag = if self.are_near(nth, known) { "--seed" } else { "--gateway" };
            command.args([flag, &Town::gossip(known).to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| mistake(format!("cannot start an agent: {error}")))?;
        if self.agents.len() <= nth {
            self.agents.resize_with(nth + 1, || None);
        }
        self.agents[nth] = Some(child);
        self.listen(nth)
    }

    fn http(&self, nth: usize) -> SocketAddr {
        SocketAddr::new(Town::ip(nth), HTTP)
    }

    fn redis(nth: usize) -> SocketAddr {
        SocketAddr::new(Town::ip(nth), REDIS)
    }

    /// Hears what the nth tells, on a thread of its own, until it dies.
    fn listen(&self, nth: usize) -> Result<(), Mistake> {
        let (address, tell) = (self.http(nth), self.tell.clone());
        let began = Instant::now();
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => {
                    let log = self.folder.join(format!("{}.log", name_of(nth)));
                    let log = fs::read_to_string(log).unwrap_or_default();
                    return Err(mistake(format!("{} does not come up: {error}\n{log}", name_of(nth))));
                }
            }
        };
        let mut asked = stream.try_clone().map_err(mistake)?;
        asked.write_all(format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).map_err(mistake)?;
        std::thread::spawn(move || {
            let mut topic = String::new();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(told) = line.strip_prefix("event: ") {
                    topic = told.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ")
                    && let Ok(data) = serde_json::from_str::<Value>(data)
                {
                    let at_ms = data["at_ms"].as_u64().unwrap_or_else(now_ms);
                    if tell.send(Heard { by: nth, at_ms, topic: topic.clone(), data }).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(())
    }

    /// Kills the nth, as a loss of power would.
    pub(super) fn kill(&mut self, nth: usize) {
        if let Some(mut child) = self.agents[nth].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Those who live.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.agents.len()).filter(|nth| self.agents[*nth].is_some()).collect()
    }

    /// Parts these from all others, or lets them meet again.
    pub(super) fn part(&self, side: &[usize], is_cut: bool) -> Result<(), Mistake> {
        for nth in self.living() {
            let others = self.living().into_iter().filter(|other| side.contains(other) != side.contains(&nth));
            let text: String = others.map(|other| format!("{}\n", Town::gossip(other))).collect();
            let file = self.folder.join(format!("{}.deaf", name_of(nth)));
            fs::write(file, if is_cut { text } else { String::new() }).map_err(mistake)?;
        }
        Ok(())
    }

    /// Processor time that those who live have used so far.
    pub(super) fn processor_time(&self) -> Duration {
        self.agents.iter().flatten().map(processor_time).sum()
    }

    /// What is told from now on, until somebody has heard enough or the time is over. Answers whether that came first.
    pub(super) fn hear_until(&self, until: Instant, mut is_enough: impl FnMut(Heard) -> bool) -> bool {
        while let Ok(heard) = self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if is_enough(heard) {
                return true;
            }
        }
        false
    }

    /// Forgets what was told so far.
    pub(super) fn forget(&self) {
        while self.heard.try_recv().is_ok() {}
    }

    /// What a page of the nth says.
    pub(super) fn ask(&self, nth: usize, path: &str) -> Result<String, Mistake> {
        get(self.http(nth), path)
    }

    /// Who has probed the nth origin.
    pub(super) fn seen(&self, nth: usize) -> Result<Seen, Mistake> {
        serde_json::from_str(&get(self.toys[nth].address, "/probes")?).map_err(mistake)
    }

    /// Whom the nth sees in its own place, as its gossip has it.
    pub(super) fn sees(&self, nth: usize) -> Result<BTreeSet<String>, Mistake> {
        let mut found = BTreeSet::new();
        let members: Value = serde_json::from_str(&self.ask(nth, "/members")?).map_err(mistake)?;
        for member in members["members"].as_array().into_iter().flatten() {
            if member["place"] == self.place_of(nth) && matches!(member["state"].as_str(), Some("alive" | "suspect")) {
                found.insert(member["name"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(found)
    }

    /// A count of the nth.
    pub(super) fn meter(&self, nth: usize, name: &str) -> Result<f64, Mistake> {
        let text = self.ask(nth, "/metrics")?;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok());
        value.ok_or_else(|| mistake(format!("{} tells no {name}", name_of(nth))))
    }

    /// Says commands to the nth as a client of Redis does, and hears the answers.
    pub(super) fn say<W: AsRef<[u8]>>(&self, nth: usize, commands: &[Vec<W>]) -> Result<Vec<Reply>, Mistake> {
        let failed = |error: std::io::Error| mistake(format!("{}: {error}", name_of(nth)));
        let mut connection = Connection::open(Town::redis(nth), PATIENCE).map_err(failed)?;
        let mut replies = Vec::with_capacity(commands.len());
        for piece in commands.chunks(512) {
            connection.say(piece).map_err(failed)?;
            for _ in piece {
                replies.push(connection.hear(Instant::now() + PATIENCE).map_err(failed)?);
            }
        }
        match replies.iter().find(|reply| matches!(reply, Reply::Error(_))) {
            Some(Reply::Error(error)) => Err(mistake(format!("{} answers: {error}", name_of(nth)))),
            _ => Ok(replies),
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        (0..self.agents.len()).for_each(|nth| self.kill(nth));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Processor time that a process has used so far.
pub(super) fn processor_time(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // The name of the program may have blanks in it, and nothing behind it has.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

/// The body of a page.
fn get(address: SocketAddr, path: &str) -> Result<String, Mistake> {
    ask::get(address, None, path).map_err(|error| mistake(format!("http://{address}{path}: {error}")))
}
