//! [`Watch`]: follows what happens to an agent, keeps its [`History`], and tells
//! those who listen. Before it follows, and whenever it has missed something, it
//! looks through all of the map that it needs, in pieces.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use skein_edge::membership::{self, MAX_MEMBERS, Refusal};
use skein_edge::{MemberId, Name};
use skein_runtime::datagrams::Unheard;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::events::{Events, Topic};
use super::glance::{self, Entry};
use super::history::History;
use super::subject::{self, FINDINGS, LINES, Subject};
use super::text::Text;
use super::view::milliseconds;
use crate::agent::{Door, News, What};

/// News that is taken at once: who wrote it is asked for all of it together.
const MOST_TOGETHER: usize = 256;

/// Of a value so many bytes are told to all who listen. Whoever wants all of it can ask.
const MOST_OF_A_VALUE: usize = 256;

/// Names that are remembered, for people: those of four times the largest fleet, so that the names of those who are gone
/// have room too.
const MOST_NAMES: usize = 4 * MAX_MEMBERS;

/// How far others have got is told so often,
const EVERY: Duration = Duration::from_secs(1);

/// and of so many of them: everybody of some large places.
const MOST_REACHED: usize = 512;

/// Whoever has more to do than he can may have less after this.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known of an agent besides what its machine knows.
pub(super) struct Watch {
    door: Door,
    pub(super) events: Events,
    notes: Mutex<Notes>,
}

/// What it remembers.
pub(super) struct Notes {
    pub(super) history: History,
    names: BTreeMap<MemberId, Name>,
    /// Why the agent is not let in.
    pub(super) refusal: Option<String>,
    pub(super) has_left: bool,
}

impl Notes {
    /// What people call a member, if it was ever heard of.
    pub(super) fn name_of(&self, member: MemberId) -> Option<&Name> {
        self.names.get(&member)
    }

    fn learn(&mut self, name: Name) {
        if self.names.len() < MOST_NAMES {
            self.names.insert(name.id(), name);
        }
    }
}

/// A member changed.
#[derive(Serialize)]
struct MemberChange<'a> {
    at_ms: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    state: &'static str,
    /// Whether the gossip of this place says so, or the map.
    source: &'static str,
}

/// An origin changed, or who found it as it is.
#[derive(Serialize)]
struct OriginChange<'a> {
    at_ms: u64,
    name: &'a str,
    place: &'a str,
    state: &'static str,
    by: Option<&'a str>,
    why: Option<String>,
    is_change: bool,
    /// So many changes had come in by then. It is counted from a number too large for whoever reads numbers as scripts do.
    arrivals: String,
}

/// A value of the map changed.
#[derive(Serialize)]
struct FactChange {
    at_ms: u64,
    key: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    key_is_base64: bool,
    /// The beginning of it; nothing, if it was removed.
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    value_is_base64: bool,
    length: usize,
    by: Option<String>,
    arrivals: String,
}

/// How many changes had come in here when others had seen the same, the highest first.
#[derive(Serialize)]
struct Reach {
    reached: Vec<String>,
}

/// The agent itself changed.
#[derive(Serialize)]
struct AgentChange {
    at_ms: u64,
    what: &'static str,
    why: Option<String>,
}

impl Watch {
    pub(super) fn new(door: Door) -> Watch {
        let notes = Notes { history: History::new(), names: BTreeMap::new(), refusal: None, has_left: false };
        Watch { door, events: Events::new(), notes: Mutex::new(notes) }
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics with it")
    }

    /// Follows the news. Of an agent that has stopped there is none, and what is known of it stays.
    pub(super) async fn follow(&self) {
        let mut news = self.door.news.subscribe();
        self.survey().await;
        loop {
            let mut together = Vec::new();
            let mut has_missed = false;
            match news.recv().await {
                Ok(first) => together.push(first),
                Err(RecvError::Lagged(_)) => has_missed = true,
                Err(RecvError::Closed) => return,
            }
            while together.len() < MOST_TOGETHER && !has_missed {
                match news.try_recv() {
                    Ok(next) => together.push(next),
                    Err(TryRecvError::Lagged(_)) => has_missed = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            self.tell(&together).await;
            if has_missed {
                // What is still to come is older than what is found now, and would be told in vain.
                news = news.resubscribe();
                self.survey().await;
                self.events.tell_missed();
            }
        }
    }

    /// Tells those who listen, now and then, how far others are known to have got, until the agent has stopped: a change
    /// is at each of those that has got as far as it or farther.
    pub(super) async fn tell_reach(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if self.events.listeners() == 0 {
                continue;
            }
            let look = |agent: &skein_edge::Agent, _| {
                let mut reached: Vec<u64> = agent.spread().agreed().collect();
                reached.sort_unstable_by(|one, other| other.cmp(one));
                reached.truncate(MOST_REACHED);
                reached
            };
            match self.door.agent.see(look).await {
                Ok(reached) => {
                    let reached = reached.iter().map(u64::to_string).collect();
                    self.events.say("spread", &Reach { reached });
                }
                Err(Unheard::Busy) => {}
                Err(Unheard::Stopped) => std::future::pending().await,
            }
        }
    }

    /// Looks through what the fleet keeps of itself in the map, if the agent lives to be looked at.
    async fn survey(&self) {
        if self.look_through().await.is_err() {
            tracing::debug!("the agent stopped while its map was looked through");
        }
    }

    async fn look_through(&self) -> Result<(), Unheard> {
        let watched = self.patiently(|agent| agent.health().origins().map(|origin| origin.name.clone()).collect());
        let watched: Vec<Name> = watched.await?;
        {
            let mut notes = self.notes();
            notes.history.watch(watched);
            notes.history.begin_survey();
        }
        for prefix in [LINES, FINDINGS] {
            let mut last = None;
            loop {
                let after = last.clone();
                let piece = self.patiently(move |agent| {
                    glance::piece(agent.spread().map(), prefix, after.as_deref(), glance::PIECE)
                });
                let piece: Vec<Entry> = piece.await?;
                let Some(end) = piece.last() else { break };
                last = Some(end.key.clone());
                let (at, mut notes) = (SystemTime::now(), self.notes());
                for Entry { key, value, .. } in piece {
                    note(&mut notes, &key, Some(&value), at);
                }
            }
        }
        self.notes().history.end_survey(SystemTime::now());
        Ok(())
    }

    /// Looks at the machine, however busy it is.
    async fn patiently<T: Send + 'static>(
        &self,
        look: impl FnOnce(&skein_edge::Agent) -> T + Clone + Send + 'static,
    ) -> Result<T, Unheard> {
        loop {
            let look = look.clone();
            match self.door.agent.see(move |agent, _| look(agent)).await {
                Err(Unheard::Busy) => tokio::time::sleep(PAUSE).await,
                seen => return seen,
            }
        }
    }

    /// Tells everybody what happened, and remembers it.
    async fn tell(&self, together: &[std::sync::Arc<News>]) {
        let writers = self.writers(together).await;
        let mut writers = writers.iter();
        let mut notes = self.notes();
        for news in together {
            let at_ms = milliseconds(news.at);
            match &news.what {
                What::Changed { key, value, arrivals } => {
                    let writer = writers.next().and_then(Option::as_ref);
                    let writer = writer.filter(|(_, shown)| Some(shown) == value.as_ref()).map(|(writer, _)| *writer);
                    let is_change = note(&mut notes, key, value.as_ref(), news.at);
                    let by = writer.and_then(|writer| notes.name_of(writer)).map(Name::to_string);
                    self.tell_changed(at_ms, *arrivals, key, value.as_ref(), is_change, by);
                }
                What::Member(event) => self.tell_member(at_ms, event, &mut notes),
                What::Ready => self.events.tell(Topic::Agent, &AgentChange { at_ms, what: "ready", why: None }),
                What::BeginsAnew => {
                    let why = Some("it lacked what the others have forgotten".to_owned());
                    self.events.tell(Topic::Agent, &AgentChange { at_ms, what: "begins_anew", why });
                }
            }
        }
    }

    /// Who has written what is shown under each key that has changed, and what that is: by the time that somebody looks,
    /// it may be something else already.
    async fn writers(&self, together: &[std::sync::Arc<News>]) -> Vec<Option<(MemberId, Bytes)>> {
        let changed = |news: &std::sync::Arc<News>| match &news.what {
            What::Changed { key, .. } => Some(key.clone()),
            _ => None,
        };
        let keys: Vec<_> = together.iter().filter_map(changed).collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let look = move |agent: &skein_edge::Agent, _| {
            let shown = |key| glance::shown(agent.spread().map(), key).map(|(writer, value)| (writer, value.clone()));
            keys.iter().map(|key| shown(key)).collect()
        };
        // If it has no time for this, nobody is told who it was.
        self.door.agent.see(look).await.unwrap_or_default()
    }

    fn tell_changed(
        &self,
        at_ms: u64,
        arrivals: u64,
        key: &[u8],
        value: Option<&Bytes>,
        is_change: bool,
        by: Option<String>,
    ) {
        match Subject::of(key) {
            Subject::Finding { place, origin } => {
                let finding = value.and_then(|value| subject::finding(value));
                let change = OriginChange {
                    at_ms,
                    name: origin.as_str(),
                    place: place.as_str(),
                    state: subject::word(finding.as_ref().map(|finding| finding.state)),
                    by: finding.as_ref().map(|finding| finding.by.as_str()),
                    why: finding.as_ref().map(|finding| String::from_utf8_lossy(&finding.why).into_owned()),
                    is_change,
                    arrivals: arrivals.to_string(),
                };
                self.events.tell(Topic::Origin, &change);
            }
            Subject::Line { member } => {
                let line = value.and_then(subject::line);
                let change = MemberChange {
                    at_ms,
                    name: member.as_str(),
                    place: line.as_ref().map(|line| line.member.place.as_str()),
                    address: line.as_ref().map(|line| line.member.address.to_string()),
                    state: line.as_ref().map_or("gone", |line| if line.is_up { "alive" } else { "dead" }),
                    source: "map",
                };
                self.events.tell(Topic::Member, &change);
            }
            Subject::Fact => {
                let key = Text::of(key);
                let beginning = value.map(|value| Text::beginning(value, MOST_OF_A_VALUE));
                let change = FactChange {
                    at_ms,
                    key: key.text,
                    key_is_base64: key.is_base64,
                    value_is_base64: beginning.as_ref().is_some_and(|value| value.is_base64),
                    value: beginning.map(|value| value.text),
                    length: value.map_or(0, Bytes::len),
                    by,
                    arrivals: arrivals.to_string(),
                };
                self.events.tell(Topic::Map, &change);
            }
        }
    }

    fn tell_member(&self, at_ms: u64, event: &membership::Event, notes: &mut Notes) {
        use membership::Event;
        let (member, state) = match event {
            Event::Up(member) | Event::Trusted(member) => (member, "alive"),
            Event::Suspect(member) => (member, "suspect"),
            Event::Down(member) => (member, "dead"),
            Event::Left(member) => (member, "left"),
            Event::Joined | Event::Renewed | Event::Refused(_) | Event::Gone => {
                let (what, why) = match event {
                    Event::Refused(refusal) => ("refused", Some(sentence(refusal))),
                    Event::Gone => ("gone", None),
                    Event::Renewed => ("renewed", Some("others had declared it dead".to_owned())),
                    _ => ("joined", None),
                };
                notes.has_left |= *event == Event::Gone;
                notes.refusal = why.clone().filter(|_| what == "refused");
                return self.events.tell(Topic::Agent, &AgentChange { at_ms, what, why });
            }
        };
        notes.learn(member.name.clone());
        let change = MemberChange {
            at_ms,
            name: member.name.as_str(),
            place: Some(member.place.as_str()),
            address: Some(member.address.to_string()),
            state,
            source: "gossip",
        };
        self.events.tell(Topic::Member, &change);
    }
}

/// Why somebody is not let in.
fn sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Taken { holder } => {
            format!("its name belongs to another that lives, at {}: give it a name of its own", holder.address)
        }
        Refusal::Full => format!("its fleet has {MAX_MEMBERS} members, and there cannot be more"),
    }
}

/// Remembers what the map says now under a key. Answers whether an origin has changed.
fn note(notes: &mut Notes, key: &[u8], value: Option<&Bytes>, at: SystemTime) -> bool {
    match Subject::of(key) {
        Subject::Finding { place, origin } => {
            notes.history.hear(&place, &origin, value.and_then(|value| subject::finding(value)), at)
        }
        Subject::Line { member } => {
            notes.learn(member);
            false
        }
        Subject::Fact => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_names_are_remembered() {
        let mut notes = Notes { history: History::new(), names: BTreeMap::new(), refusal: None, has_left: false };
        let name = |nth: usize| Name::new(&format!("m{nth}")).unwrap();
        (0..=MOST_NAMES).for_each(|nth| notes.learn(name(nth)));
        assert!(notes.name_of(name(MOST_NAMES - 1).id()).is_some());
        assert!(notes.name_of(name(MOST_NAMES).id()).is_none(), "one too many");
    }
}
