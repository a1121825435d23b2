//! [`Entry`]: the way to a service from the process of one of its nodes. Each
//! call waits for its answer; threads that call at the same time share messages.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skein_machine::{Ask, Command, Freshness, GroupId, GroupSet, Reply, Timestamp, Told};

use crate::serve::resp::Way;
use crate::serve::store::Teller;

/// How long an answer may take where nobody has said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to a service. Clones share it.
#[derive(Clone)]
pub struct Entry {
    shared: Arc<Shared>,
}

struct Shared {
    ways: Mutex<Vec<Way>>,
    waiting: Mutex<HashMap<u64, SyncSender<Told>>>,
    next_token: AtomicU64,
    /// The timestamp of the newest answer.
    seen: AtomicU64,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nothing was done, and nothing will be.
    Refused(String),
    /// It may have been done, or may yet be.
    Uncertain(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(why) => write!(f, "nothing was done: {why}"),
            CallError::Uncertain(why) => write!(f, "it may have been done: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl Entry {
    pub(crate) fn new(patience: Option<Duration>) -> (Entry, Arc<dyn Fn() -> Teller + Send + Sync>) {
        let shared = Arc::new(Shared {
            ways: Mutex::new(Vec::new()),
            waiting: Mutex::new(HashMap::new()),
            next_token: AtomicU64::new(1),
            seen: AtomicU64::new(0),
            patience: patience.unwrap_or(PATIENCE),
        });
        let heard = shared.clone();
        let tell = move || -> Teller {
            let heard = heard.clone();
            Box::new(move |told| heard.hear(told))
        };
        (Entry { shared }, Arc::new(tell))
    }

    pub(crate) fn may_use(&self, ways: Vec<Way>) {
        *lock(&self.shared.ways) = ways;
    }

    /// Has these partitions apply a command, and waits for what each of them answers.
    pub fn call(&self, groups: GroupSet, command: impl Into<Bytes>) -> Result<Vec<(GroupId, Reply)>, CallError> {
        let floor = Timestamp(self.shared.seen.load(Ordering::Relaxed));
        let commands = vec![Command { name: None, command: command.into() }];
        match self.shared.ask(groups, |token| Ask::Calls { token, groups, floor, commands })? {
            Told::Answers { replies, .. } => Ok(replies
                .into_iter()
                .filter_map(|(group, replies)| Some((group, replies.into_iter().next()?)))
                .collect()),
            _ => Err(CallError::Uncertain("a command was answered as if it were a question".to_owned())),
        }
    }

    /// Asks a partition, which sees everything that was answered before. The partition has to have a replica at this
    /// node.
    pub fn read(&self, group: GroupId, query: impl Into<Bytes>) -> Result<Reply, CallError> {
        let queries = vec![query.into()];
        let groups = [group].into_iter().collect();
        let freshness = Freshness::Linearizable;
        match self.shared.ask(groups, |token| Ask::Read { token, freshness, queries })? {
            Told::Read { replies, .. } => Ok(replies.into_iter().next().unwrap_or_default()),
            _ => Err(CallError::Refused("a question was answered as if it were a command".to_owned())),
        }
    }
}

impl Shared {
    fn ask(&self, groups: GroupSet, ask: impl FnOnce(u64) -> Ask) -> Result<Told, CallError> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (teller, told) = sync_channel(1);
        let ask = ask(token);
        let is_read = matches!(ask, Ask::Read { .. });
        lock(&self.waiting).insert(token, teller);
        let is_sent = {
            let ways = lock(&self.ways);
            let best = ways.iter().find(|way| groups.contains(way.group));
            let way = if is_read { best } else { best.or(ways.first()) };
            way.is_some_and(|way| (way.ask)(vec![ask]))
        };
        let heard = if is_sent { told.recv_timeout(self.patience).ok() } else { None };
        lock(&self.waiting).remove(&token);
        match heard {
            Some(Told::Failed { certain: true, why, .. }) => Err(CallError::Refused(why.to_owned())),
            Some(Told::Failed { why, .. }) => Err(CallError::Uncertain(why.to_owned())),
            Some(told) => {
                if let Told::Answers { timestamp, .. } | Told::Read { timestamp, .. } = &told {
                    self.seen.fetch_max(timestamp.0, Ordering::Relaxed);
                }
                Ok(told)
            }
            None if !is_sent => {
                Err(CallError::Refused(format!("no replica of {groups} is at this node, or it has stopped")))
            }
            None => {
                lock(&self.ways).iter().for_each(|way| {
                    (way.ask)(vec![Ask::Forget(token)]);
                });
                Err(CallError::Uncertain(format!("there was no answer within {:?}", self.patience)))
            }
        }
    }

    fn hear(&self, told: Told) {
        let token = match &told {
            Told::Answers { token, .. } | Told::Read { token, .. } | Told::Failed { token, .. } => *token,
            Told::Up(_) => return,
        };
        // Whoever has lost patience hears nothing.
        if let Some(teller) = lock(&self.waiting).remove(&token) {
            let _ = teller.send(told);
        }
    }
}

/// Nothing is left half done by whoever panics with it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
