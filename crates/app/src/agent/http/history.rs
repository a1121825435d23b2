//! [`History`]: what was found of which origin, and how that changed while this
//! agent watched. It follows the map by what is told of changes, and dates them by
//! this host's clock: a change that came late is as old as when it came.
//!
//! It is bounded in every direction, and forgets the oldest changes first. It
//! decides nothing: what is true now is what the map says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::SystemTime;

use skein_edge::Name;
use skein_edge::health::{Finding, State};
use skein_edge::map::MAX_KEYS;

/// Changes that are remembered of an origin in a place. An origin that has had more is one that flaps, and that is seen
/// by then.
pub(super) const MOST_CHANGES: usize = 32;

/// Changes of all origins together: some twenty million bytes. One in ten thousand origins of fifty places has changed
/// half that often.
const MOST_CHANGES_OF_ALL: usize = 1 << 18;

/// Findings that are followed: as many as a map has keys.
const MOST_FINDINGS: usize = MAX_KEYS;

/// What is known of all origins.
pub(super) struct History {
    origins: BTreeMap<Name, Origin>,
    /// Findings that are kept, those of which nothing is left but their changes among them.
    findings: usize,
    changes: usize,
    most_findings: usize,
    most_changes: usize,
    /// Findings for which there was no room.
    left_off: u64,
    /// Counts surveys of the whole map.
    survey: u64,
}

/// One origin.
#[derive(Default)]
pub(super) struct Origin {
    /// Whether this agent is told to watch it. Others may watch more.
    pub(super) is_watched: bool,
    pub(super) places: BTreeMap<Name, Known>,
}

/// An origin as it is seen from one place.
pub(super) struct Known {
    /// Nothing, if the map says nothing of it any more.
    pub(super) finding: Option<Finding>,
    /// Since when it is known to be as it is.
    pub(super) since: SystemTime,
    /// The newest last, and the first among them when this agent first knew of it.
    pub(super) changes: VecDeque<Change>,
    /// How often it has changed, those that are forgotten included.
    pub(super) count: u64,
    /// The last survey that has seen it, or the one that was last when it was heard of.
    survey: u64,
}

/// That an origin came to be so.
pub(super) struct Change {
    pub(super) at: SystemTime,
    pub(super) finding: Option<Finding>,
}

/// How an origin is, over all places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Condition {
    /// Down wherever anything is known of it.
    Down,
    /// Down in some places and up in others.
    Partly,
    /// Nothing is known of it.
    Unknown,
    /// Up wherever anything is known of it.
    Up,
}

impl Condition {
    pub(super) const ALL: [Condition; 4] = [Condition::Down, Condition::Partly, Condition::Unknown, Condition::Up];

    pub(super) fn word(self) -> &'static str {
        match self {
            Condition::Down => "down",
            Condition::Partly => "partly",
            Condition::Unknown => "unknown",
            Condition::Up => "up",
        }
    }
}

impl Origin {
    pub(super) fn condition(&self) -> Condition {
        let states = || self.places.values().filter_map(Known::state);
        match (states().any(|state| state == State::Up), states().any(|state| state == State::Down)) {
            (false, false) => Condition::Unknown,
            (true, false) => Condition::Up,
            (false, true) => Condition::Down,
            (true, true) => Condition::Partly,
        }
    }
}

impl Known {
    pub(super) fn state(&self) -> Option<State> {
        self.finding.as_ref().map(|finding| finding.state)
    }
}

impl History {
    pub(super) fn new() -> History {
        History::of_at_most(MOST_FINDINGS, MOST_CHANGES_OF_ALL)
    }

    fn of_at_most(most_findings: usize, most_changes: usize) -> History {
        History {
            origins: BTreeMap::new(),
            findings: 0,
            changes: 0,
            most_findings,
            most_changes,
            left_off: 0,
            survey: 0,
        }
    }

    /// Origins of which one wants to see that nothing is known, too.
    pub(super) fn watch(&mut self, origins: impl IntoIterator<Item = Name>) {
        origins.into_iter().for_each(|name| self.origins.entry(name).or_default().is_watched = true);
    }

    pub(super) fn origins(&self) -> &BTreeMap<Name, Origin> {
        &self.origins
    }

    /// Every place from which anything was seen.
    pub(super) fn places(&self) -> BTreeSet<&Name> {
        self.origins.values().flat_map(|origin| origin.places.keys()).collect()
    }

    /// Findings of which nothing is told here, for want of room.
    pub(super) fn left_off(&self) -> u64 {
        self.left_off
    }

    /// Changes that are remembered.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// The map says this of an origin now, or nothing. Answers whether it is another state than before.
    pub(super) fn hear(&mut self, place: &Name, origin: &Name, finding: Option<Finding>, at: SystemTime) -> bool {
        let survey = self.survey;
        let is_known = self.origins.get(origin).is_some_and(|origin| origin.places.contains_key(place));
        if !is_known && (finding.is_none() || !self.has_room()) {
            self.left_off += u64::from(finding.is_some());
            return false;
        }
        let places = &mut self.origins.entry(origin.clone()).or_default().places;
        let known = places.entry(place.clone()).or_insert_with(|| {
            self.findings += 1;
            Known { finding: None, since: at, changes: VecDeque::new(), count: 0, survey }
        });
        known.survey = survey;
        let is_change = known.state() != finding.as_ref().map(|finding| finding.state);
        known.finding = finding;
        if is_change {
            known.since = at;
            known.count += 1;
            if known.changes.len() == MOST_CHANGES {
                known.changes.pop_front();
                self.changes -= 1;
            }
            known.changes.push_back(Change { at, finding: known.finding.clone() });
            self.changes += 1;
            if self.changes > self.most_changes {
                self.forget_half();
            }
        }
        is_change
    }

    /// From now on the whole map is looked through, and [`History::hear`] told of everything that is there.
    pub(super) fn begin_survey(&mut self) {
        self.survey += 1;
    }

    /// All of the map was seen: of what was not among it nothing is known any more.
    pub(super) fn end_survey(&mut self, at: SystemTime) {
        let mut gone = Vec::new();
        for (name, origin) in &self.origins {
            let unseen =
                origin.places.iter().filter(|(_, known)| known.survey < self.survey && known.finding.is_some());
            gone.extend(unseen.map(|(place, _)| (place.clone(), name.clone())));
        }
        for (place, origin) in gone {
            self.hear(&place, &origin, None, at);
        }
    }

    /// Whether there is room for another finding. Those of which nothing is left give theirs up.
    fn has_room(&mut self) -> bool {
        if self.findings >= self.most_findings {
            let (mut findings, mut changes) = (0, 0);
            self.origins.retain(|_, origin| {
                origin.places.retain(|_, known| known.finding.is_some());
                findings += origin.places.len();
                changes += origin.places.values().map(|known| known.changes.len()).sum::<usize>();
                origin.is_watched || !origin.places.is_empty()
            });
            (self.findings, self.changes) = (findings, changes);
        }
        self.findings < self.most_findings
    }

    /// Every finding gives up the older half of its changes, so that one that flaps does not cost others theirs.
    fn forget_half(&mut self) {
        self.changes = 0;
        for known in self.origins.values_mut().flat_map(|origin| origin.places.values_mut()) {
            known.changes.drain(..known.changes.len().div_ceil(2));
            self.changes += known.changes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn found(state: State) -> Option<Finding> {
        Some(Finding { state, by: name("a"), why: Bytes::from_static(b"said so") })
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn known<'a>(history: &'a History, place: &str, origin: &str) -> &'a Known {
        &history.origins()[&name(origin)].places[&name(place)]
    }

    #[test]
    fn only_a_change_of_state_is_one() {
        let mut history = History::new();
        let mut hear = |finding, second| history.hear(&name("p"), &name("o"), finding, at(second));
        assert!(!hear(None, 0), "of what was never there nothing is kept");
        assert!(hear(found(State::Up), 1) && !hear(found(State::Up), 2) && hear(found(State::Down), 3));
        assert!(hear(None, 4) && !hear(None, 5) && hear(found(State::Down), 6));
        let known = known(&history, "p", "o");
        assert_eq!((known.since, known.count, known.state()), (at(6), 4, Some(State::Down)));
        let states: Vec<_> = known.changes.iter().map(|it| it.finding.as_ref().map(|finding| finding.state)).collect();
        assert_eq!(states, [Some(State::Up), Some(State::Down), None, Some(State::Down)]);
    }

    #[test]
    fn it_remembers_the_newest() {
        let mut history = History::new();
        for second in 0..100 {
            let state = if second % 2 == 0 { State::Up } else { State::Down };
            history.hear(&name("p"), &name("o"), found(state), at(second));
        }
        let known = known(&history, "p", "o");
        assert_eq!((known.changes.len(), known.count, history.changes()), (MOST_CHANGES, 100, MOST_CHANGES));
        assert_eq!((known.changes[0].at, known.changes[31].at), (at(68), at(99)));
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let mut history = History::of_at_most(10, 8);
        for (nth, state) in [State::Up, State::Down, State::Up, State::Down].into_iter().enumerate() {
            for origin in ["o", "q"] {
                history.hear(&name("p"), &name(origin), found(state), at(nth as u64));
            }
        }
        assert_eq!(history.changes(), 8);
        history.hear(&name("p"), &name("o"), found(State::Up), at(9));
        assert_eq!(history.changes(), 4, "each has the newer half");
        assert_eq!(known(&history, "p", "o").changes.back().unwrap().at, at(9));
        assert_eq!(known(&history, "p", "q").changes.len(), 2);
    }

    #[test]
    fn what_has_no_room_is_counted_and_what_is_gone_makes_some() {
        let mut history = History::of_at_most(2, 100);
        history.watch([name("watched")]);
        for origin in ["o", "q", "r"] {
            history.hear(&name("p"), &name(origin), found(State::Up), at(1));
        }
        assert_eq!((history.left_off(), history.origins().len()), (1, 3));
        history.hear(&name("p"), &name("o"), None, at(2));
        assert!(history.hear(&name("p"), &name("r"), found(State::Up), at(3)));
        assert_eq!(history.origins().keys().map(Name::as_str).collect::<Vec<_>>(), ["q", "r", "watched"]);
        assert_eq!(history.changes(), 2);
    }

    #[test]
    fn after_a_survey_nothing_is_known_that_is_not_there() {
        let mut history = History::new();
        for origin in ["o", "q"] {
            history.hear(&name("p"), &name(origin), found(State::Up), at(1));
        }
        history.begin_survey();
        history.hear(&name("p"), &name("o"), found(State::Up), at(5));
        history.end_survey(at(6));
        assert_eq!(known(&history, "p", "o").since, at(1), "it did not change");
        assert_eq!((known(&history, "p", "q").state(), known(&history, "p", "q").since), (None, at(6)));
    }

    #[test]
    fn places_may_disagree() {
        let mut history = History::new();
        let mut condition = |place: &str, finding| {
            history.hear(&name(place), &name("o"), finding, at(1));
            history.origins().get(&name("o")).map(Origin::condition)
        };
        assert_eq!(condition("p", found(State::Down)), Some(Condition::Down));
        assert_eq!(condition("q", found(State::Up)), Some(Condition::Partly));
        assert_eq!(condition("p", None), Some(Condition::Up));
        assert_eq!(condition("q", None), Some(Condition::Unknown));
    }
}
