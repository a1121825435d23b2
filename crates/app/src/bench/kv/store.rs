//! Which store is measured: one of our own that runs as long as the measurement,
//! or any that speaks Redis' protocol. What its servers cost is asked of
//! themselves (INFO), since they may run anywhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::bench::servers::Servers;
use crate::cli::Mistake;
use crate::redis::{Connection, Reply};

/// Servers answer before that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store that the load speaks to.
pub(super) struct Store {
    /// Where clients connect, by turns.
    pub(super) addresses: Vec<SocketAddr>,
    /// Every server whose processor time counts.
    all: Vec<SocketAddr>,
    credentials: Option<(String, String)>,
    /// Ours, as long as this is kept.
    _servers: Option<Servers>,
}

impl Store {
    /// Our own servers. The load speaks to the first so many nodes, or to all of them.
    pub(super) fn own(servers: Servers, first: Option<usize>) -> Result<Store, Mistake> {
        let all: Vec<SocketAddr> = servers.config.nodes.values().filter_map(|node| node.redis).collect();
        let addresses = all.iter().take(first.unwrap_or(all.len())).copied().collect();
        let store = Store { addresses, all, credentials: None, _servers: Some(servers) };
        store.wait_until_it_answers()?;
        Ok(store)
    }

    /// Somebody else's.
    pub(super) fn at(
        addresses: &[SocketAddr],
        others: &[SocketAddr],
        credentials: Option<(String, String)>,
    ) -> Result<Store, Mistake> {
        let all = addresses.iter().chain(others).copied().collect();
        let store = Store { addresses: addresses.to_vec(), all, credentials, _servers: None };
        store.wait_until_it_answers()?;
        Ok(store)
    }

    fn wait_until_it_answers(&self) -> Result<(), Mistake> {
        let begin = Instant::now();
        for address in &self.all {
            loop {
                match self.ask(*address, &["EXISTS", "user"]) {
                    Ok(_) => break,
                    Err(why) if begin.elapsed() > PATIENCE || why.contains("NOAUTH") || why.contains("WRONGPASS") => {
                        return Err(Mistake(format!("the store at {address} does not answer: {why}")));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        }
        Ok(())
    }

    /// Processor time of all its servers, as far as they tell; a process that serves several addresses counts once.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let mut spent = BTreeMap::new();
        for address in &self.all {
            let Ok(Reply::Bulk(Some(text))) = self.ask(*address, &["INFO"]) else { return None };
            let text = String::from_utf8_lossy(&text);
            let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
            let seconds = |name| fields.get(name)?.parse::<f64>().ok();
            let time = seconds("used_cpu_user")? + seconds("used_cpu_sys")?;
            spent.insert((address.ip(), (*fields.get("process_id")?).to_owned()), time);
        }
        Some(Duration::from_secs_f64(spent.values().sum()))
    }

    /// Which partition holds each of these keys; nothing if the store has no partitions to tell of.
    pub(super) fn partitions(&self, keys: impl Iterator<Item = String>) -> Result<Vec<u16>, Mistake> {
        const AT_ONCE: usize = 1000;
        let mistake = |why: String| Mistake(format!("the store does not tell where keys are: {why}"));
        let address = self.addresses[0];
        let mut redis = self.open(address).map_err(mistake)?;
        let mut numbers: BTreeMap<String, u16> = BTreeMap::new();
        let mut partitions = Vec::new();
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let some: Vec<Vec<String>> =
                keys.by_ref().take(AT_ONCE).map(|key| vec!["SKEIN.WHERE".to_owned(), key]).collect();
            redis.say(&some).map_err(|error| mistake(error.to_string()))?;
            for _ in &some {
                match redis.hear(Instant::now() + PATIENCE).map_err(|error| mistake(error.to_string()))? {
                    Reply::Error(why) if why.contains("unknown command") => return Ok(Vec::new()),
                    Reply::Error(why) => return Err(mistake(why)),
                    name => {
                        let next = numbers.len() as u16;
                        partitions.push(*numbers.entry(name.to_string()).or_insert(next));
                    }
                }
            }
        }
        Ok(partitions)
    }

    /// Whether it is one of ours, which scans its keys in order.
    pub(super) fn has_range(&self) -> bool {
        matches!(self.ask(self.addresses[0], &["SKEIN.WHERE", "user"]), Ok(reply) if !matches!(reply, Reply::Error(_)))
    }

    /// What a connection of the load says first.
    pub(super) fn greeting(&self) -> Vec<Vec<String>> {
        let auth =
            self.credentials.iter().map(|(user, password)| vec!["AUTH".to_owned(), user.clone(), password.clone()]);
        auth.collect()
    }

    fn open(&self, address: SocketAddr) -> Result<Connection, String> {
        let mut redis = Connection::open(address, PATIENCE).map_err(|error| error.to_string())?;
        for words in self.greeting() {
            redis.say(&[words]).map_err(|error| error.to_string())?;
            if let Reply::Error(why) = redis.hear(Instant::now() + PATIENCE).map_err(|error| error.to_string())? {
                return Err(why);
            }
        }
        Ok(redis)
    }

    fn ask(&self, address: SocketAddr, words: &[&str]) -> Result<Reply, String> {
        let mut redis = self.open(address)?;
        redis.say(&[words.iter().map(|word| (*word).to_owned()).collect()]).map_err(|error| error.to_string())?;
        match redis.hear(Instant::now() + PATIENCE).map_err(|error| error.to_string())? {
            // It is there, and says so in its way.
            Reply::Error(why) if words[0] != "SKEIN.WHERE" => Err(why),
            reply => Ok(reply),
        }
    }
}
