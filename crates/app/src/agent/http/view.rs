//! What an agent knows, in the shape in which it is told: JSON for programs and
//! for the page. Names of fields are part of what others rely on. Nothing here
//! asks anybody; it is handed what was [seen](super::glance).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use skein_edge::membership::{Listed, Standing};
use skein_edge::spread::Line;
use skein_edge::{Member, Name};

use super::glance::{Crowd, Duties, Entry};
use super::history::{Change, Condition, History, Known, Origin};
use super::query::coded;
use super::subject::{Decoded, word};
use super::text::Text;
use super::watch::Notes;

/// Findings that are told at once: two or three million bytes. What follows is asked for with `after`.
pub(super) const MOST_FINDINGS: usize = 20_000;

/// Since 1970, for programs. What was before has not happened here.
pub(super) fn milliseconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

/// Origins, and what was found of them.
#[derive(Serialize)]
pub(super) struct Origins<'a> {
    agent: &'a str,
    place: &'a str,
    at_ms: u64,
    /// How many there are in each condition, all together.
    counts: BTreeMap<&'static str, usize>,
    /// Every place from which anything was seen.
    places: Vec<&'a str>,
    origins: Vec<OriginView<'a>>,
    /// Where to ask for those that follow.
    next: Option<String>,
}

/// One origin.
#[derive(Serialize)]
pub(super) struct OriginView<'a> {
    name: &'a str,
    url: Option<&'a str>,
    condition: &'static str,
    /// Whether this agent is told to watch it.
    is_watched: bool,
    /// Who looks after it in this agent's place.
    owner: Option<&'a str>,
    places: Vec<FindingView<'a>>,
    /// How it changed in this agent's place, if that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<ChangeView<'a>>>,
}

/// An origin, seen from a place.
#[derive(Serialize)]
struct FindingView<'a> {
    place: &'a str,
    state: &'static str,
    by: Option<&'a str>,
    why: Option<Cow<'a, str>>,
    /// Since when this agent knows that it is so.
    since_ms: Option<u64>,
    /// How often it has changed since this agent began to watch.
    changes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<ChangeView<'a>>>,
}

/// How an origin came to be.
#[derive(Serialize)]
struct ChangeView<'a> {
    at_ms: u64,
    state: &'static str,
    by: Option<&'a str>,
    why: Option<Cow<'a, str>>,
}

/// What somebody wants to see of the origins.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) after: Option<&'a str>,
    pub(super) limit: usize,
    /// Part of a name or of an address.
    pub(super) search: Option<&'a str>,
    /// In these conditions only; in any, if there is none.
    pub(super) conditions: BTreeSet<Condition>,
    pub(super) with_history: bool,
}

/// Who tells, and what it knows of addresses.
pub(super) struct Teller<'a> {
    pub(super) agent: &'a Name,
    pub(super) place: &'a Name,
    pub(super) urls: &'a BTreeMap<Name, String>,
    pub(super) duties: &'a Duties,
}

impl<'a> Teller<'a> {
    pub(super) fn origins(&self, history: &'a History, wanted: &Wanted<'_>, at: SystemTime) -> Origins<'a> {
        let mut counts: BTreeMap<&str, usize> = Condition::ALL.iter().map(|it| (it.word(), 0)).collect();
        for origin in history.origins().values() {
            *counts.entry(origin.condition().word()).or_default() += 1;
        }
        let after = wanted.after.and_then(|after| Name::new(after).ok());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let search = wanted.search.map(str::to_lowercase);
        let is_wanted = |(name, origin): &(&'a Name, &'a Origin)| {
            let holds = |text: &str| search.as_ref().is_none_or(|part| text.to_lowercase().contains(part));
            (holds(name.as_str()) || self.urls.get(*name).is_some_and(|url| holds(url)))
                && (wanted.conditions.is_empty() || wanted.conditions.contains(&origin.condition()))
        };
        let mut found = history.origins().range((from, Bound::Unbounded)).filter(is_wanted).peekable();
        let (mut origins, mut findings) = (Vec::new(), 0);
        while let Some((name, origin)) = found.next_if(|(_, origin)| {
            let has_room = findings + origin.places.len() <= MOST_FINDINGS || findings == 0;
            has_room && origins.len() < wanted.limit
        }) {
            findings += origin.places.len();
            origins.push(self.origin(name, origin, wanted.with_history));
        }
        let next = found.peek().and(origins.last()).map(|last: &OriginView<'_>| wanted.address_after(last.name));
        Origins {
            agent: self.agent.as_str(),
            place: self.place.as_str(),
            at_ms: milliseconds(at),
            counts,
            places: history.places().into_iter().map(Name::as_str).collect(),
            origins,
            next,
        }
    }

    fn origin(&self, name: &'a Name, origin: &'a Origin, with_history: bool) -> OriginView<'a> {
        let here = origin.places.get(self.place);
        let history = with_history.then(|| here.map_or(Vec::new(), |known| changes(&known.changes)));
        OriginView {
            name: name.as_str(),
            url: self.urls.get(name).map(String::as_str),
            condition: origin.condition().word(),
            is_watched: origin.is_watched,
            // What nobody here watches nobody here owns, whatever the reckoning says.
            owner: self.duties.owner(name).filter(|_| origin.is_watched).map(Name::as_str),
            places: origin.places.iter().map(|(place, known)| finding(place, known, false)).collect(),
            history,
        }
    }

    /// One origin, with all its changes from all places.
    pub(super) fn whole(&self, name: &'a Name, origin: &'a Origin) -> OriginView<'a> {
        let places = origin.places.iter().map(|(place, known)| finding(place, known, true)).collect();
        OriginView { places, ..self.origin(name, origin, false) }
    }
}

impl Wanted<'_> {
    /// Where those are that come after this one.
    fn address_after(&self, name: &str) -> String {
        let mut address = format!("/origins?limit={}&after={}", self.limit, coded(name.as_bytes()));
        if let Some(search) = self.search {
            address += &format!("&search={}", coded(search.as_bytes()));
        }
        if !self.conditions.is_empty() {
            let words: Vec<_> = self.conditions.iter().map(|it| it.word()).collect();
            address += &format!("&condition={}", words.join(","));
        }
        if self.with_history {
            address += "&history=1";
        }
        address
    }
}

fn finding<'a>(place: &'a Name, known: &'a Known, with_history: bool) -> FindingView<'a> {
    let found = known.finding.as_ref();
    FindingView {
        place: place.as_str(),
        state: word(known.state()),
        by: found.map(|found| found.by.as_str()),
        why: found.map(|found| String::from_utf8_lossy(&found.why)),
        since_ms: Some(milliseconds(known.since)),
        changes: known.count,
        history: with_history.then(|| changes(&known.changes)),
    }
}

/// The newest first.
fn changes<'a>(changes: impl IntoIterator<Item = &'a Change, IntoIter: DoubleEndedIterator>) -> Vec<ChangeView<'a>> {
    let view = |change: &'a Change| {
        let found = change.finding.as_ref();
        ChangeView {
            at_ms: milliseconds(change.at),
            state: word(found.map(|found| found.state)),
            by: found.map(|found| found.by.as_str()),
            why: found.map(|found| String::from_utf8_lossy(&found.why)),
        }
    };
    changes.into_iter().rev().map(view).collect()
}

/// Everybody, by place and name.
#[derive(Serialize)]
pub(super) struct Members {
    agent: String,
    place: String,
    at_ms: u64,
    /// Whether the agent belongs to a fleet.
    is_inside: bool,
    /// Whether it knows what the others know.
    is_ready: bool,
    members: Vec<MemberView>,
    /// For these there was no room.
    left_off: usize,
}

#[derive(Serialize)]
struct MemberView {
    name: String,
    place: String,
    address: String,
    weight: u32,
    life: u64,
    state: &'static str,
    /// Who says so: the agent of itself, the gossip of its place, or the map of other places.
    source: &'static str,
    /// Since when it is so, as far as this agent knows.
    since_ms: Option<u64>,
}

impl Members {
    pub(super) fn of(crowd: &Crowd, at: SystemTime) -> Members {
        // A member is told of once: by the gossip of this place if that knows it, which knows better and sooner.
        let mut members = BTreeMap::new();
        for Line { member, is_up } in &crowd.lines {
            let state = if *is_up { "alive" } else { "dead" };
            members.insert(member.name.clone(), MemberView::of(member, state, "map", None));
        }
        for listed in &crowd.others {
            let since_ms = milliseconds(at.checked_sub(crowd.now.since(listed.since())).unwrap_or(UNIX_EPOCH));
            let view = MemberView::of(listed.member(), standing(listed), "gossip", Some(since_ms));
            members.insert(listed.member().name.clone(), view);
        }
        let own = if crowd.is_inside { "alive" } else { "outside" };
        members.insert(crowd.me.name.clone(), MemberView::of(&crowd.me, own, "itself", None));
        let mut members: Vec<_> = members.into_values().collect();
        members.sort_by(|one, other| (&one.place, &one.name).cmp(&(&other.place, &other.name)));
        Members {
            agent: crowd.me.name.to_string(),
            place: crowd.me.place.to_string(),
            at_ms: milliseconds(at),
            is_inside: crowd.is_inside,
            is_ready: crowd.is_ready,
            members,
            left_off: crowd.left_off,
        }
    }
}

impl MemberView {
    fn of(member: &Member, state: &'static str, source: &'static str, since_ms: Option<u64>) -> MemberView {
        MemberView {
            name: member.name.to_string(),
            place: member.place.to_string(),
            address: member.address.to_string(),
            weight: member.weight,
            life: member.life,
            state,
            source,
            since_ms,
        }
    }
}

fn standing(listed: &Listed) -> &'static str {
    match listed.standing() {
        Standing::Alive => "alive",
        Standing::Suspect => "suspect",
        Standing::Down => "dead",
        Standing::Left => "left",
    }
}

/// A part of the map.
#[derive(Serialize)]
pub(super) struct MapView {
    entries: Vec<EntryView>,
    /// Where to ask for those that follow.
    next: Option<String>,
}

#[derive(Serialize)]
struct EntryView {
    key: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    key_is_base64: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    value_is_base64: bool,
    /// In place of the value, where the fleet itself has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<Decoded>,
    /// The value's, in bytes.
    length: usize,
    /// Who has written it, if it was ever heard of.
    by: Option<String>,
}

impl MapView {
    pub(super) fn of(entries: &[Entry], next: Option<String>, notes: &Notes) -> MapView {
        let view = |entry: &Entry| {
            let key = Text::of(&entry.key);
            let decoded = Decoded::of(&entry.key, &entry.value);
            let value = decoded.is_none().then(|| Text::of(&entry.value));
            EntryView {
                key: key.text,
                key_is_base64: key.is_base64,
                value_is_base64: value.as_ref().is_some_and(|value| value.is_base64),
                value: value.map(|value| value.text),
                decoded,
                length: entry.value.len(),
                by: entry.writer.and_then(|writer| notes.name_of(writer)).map(Name::to_string),
            }
        };
        MapView { entries: entries.iter().map(view).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use skein_edge::health::{Finding, State};

    #[test]
    fn so_many_findings_are_told_at_once_but_never_no_origin() {
        let name = |text: String| Name::new(&text).unwrap();
        let mut history = History::new();
        for (origin, places) in [("a", 15_000), ("b", 5_000), ("c", 1), ("d", 25_000)] {
            for place in 0..places {
                let finding = Finding { state: State::Up, by: name("m".into()), why: Bytes::new() };
                history.hear(&name(format!("p{place}")), &name(origin.into()), Some(finding), UNIX_EPOCH);
            }
        }
        let (agent, place, urls) = (name("m".into()), name("p0".into()), BTreeMap::new());
        let duties = super::super::glance::Glance::of(&super::super::tests::agent()).duties();
        let teller = Teller { agent: &agent, place: &place, urls: &urls, duties: &duties };
        let told = |after| {
            let wanted = Wanted { after, limit: 10, ..Wanted::default() };
            let list = teller.origins(&history, &wanted, UNIX_EPOCH);
            (list.origins.iter().map(|it| it.name).collect::<Vec<_>>(), list.next)
        };
        assert_eq!(told(None), (vec!["a", "b"], Some("/origins?limit=10&after=b".to_owned())));
        assert_eq!(told(Some("b")), (vec!["c"], Some("/origins?limit=10&after=c".to_owned())));
        assert_eq!(told(Some("c")), (vec!["d"], None));
    }
}
