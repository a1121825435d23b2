//! [`exposition`]: what an agent counts and measures, as Prometheus reads it.
//! The numbers are those of the machine, of its host, and of this face; here they
//! get names, kinds and sentences, and nothing is reckoned.

use skein_edge::Name;
use skein_edge::health::State;

use super::history::{Condition, History};
use crate::serve::metrics::Family;

/// What machine and host call a number, what it is called here, and what it says. What ends in `_total` only grows.
pub(super) const KNOWN: [(&str, &str, &str); 21] = [
    ("members_alive", "members_alive", "Members of this place that live, this one among them."),
    ("members_suspect", "members_suspect", "Members of this place that do not answer and count as living."),
    ("members_down", "members_down", "Members of this place that died and are remembered."),
    ("members_left", "members_left", "Members of this place that left and are remembered."),
    ("members_crowded", "members_crowded_total", "Packets about members for which there was no room."),
    ("members_strange", "members_strange_total", "Packets that no member of this fleet would send."),
    ("members_unreachable", "members_unreachable_total", "Messages to addresses for which there was no handle."),
    ("members_doubts", "members_doubts_total", "How often somebody was told that it is suspected."),
    ("members_rebirths", "members_rebirths_total", "How often this member was declared dead and came back."),
    ("members_turned_away", "members_turned_away_total", "Newcomers that were not let in."),
    ("members_handles", "members_handles", "Addresses for which there is a handle."),
    ("edge_map_keys", "map_keys", "Keys of the map that have a value."),
    ("edge_map_records", "map_records", "Changes that the map keeps, removals among them."),
    ("edge_map_removals", "map_removals", "Removals that not everybody is known to have."),
    ("edge_map_actors", "map_actors", "Lives of members of which the map has seen something that is not forgotten."),
    ("edge_map_cut_generation", "map_cut_generation", "How many cuts were made, one on the other."),
    ("edge_deltas_crowded_total", "deltas_crowded_total", "Deltas that were not merged for want of room."),
    ("edge_deltas_foreign_total", "deltas_foreign_total", "Deltas of maps that had forgotten something else."),
    ("edge_deltas_impostor_total", "deltas_impostor_total", "Deltas that knew more of this member than it has done."),
    ("edge_lives_anew_total", "lives_anew_total", "How often this member began anew, with nothing."),
    ("edge_cuts_made_total", "cuts_made_total", "Cuts that were made here."),
];

/// What is said of a number of the machine of which nothing is said above.
pub(super) const UNNAMED: &str = "A measure of the agent.";

/// What this face adds.
pub(super) const OWN: [(&str, &str); 10] = [
    ("inside", "Whether the agent belongs to a fleet."),
    ("ready", "Whether the agent knows what the others know."),
    ("origins", "Origins by how they are, over all places from which they are seen."),
    ("origins_owned", "Origins that this agent looks after."),
    ("origin_up", "Whether an origin is up, seen from this place. Nothing of those of which nothing is known."),
    ("history_changes", "Changes of origins that are remembered."),
    ("history_left_off_total", "Findings that are not followed for want of room."),
    ("listeners", "Connections to which events are told."),
    ("events_missed_total", "How often events were missed, by a slow listener or by all of them."),
    ("requests_total", "Requests that this face has answered."),
];

/// What the page of numbers is made of.
pub(super) struct Numbers<'a> {
    pub(super) agent: &'a Name,
    pub(super) place: &'a Name,
    pub(super) is_inside: bool,
    pub(super) is_ready: bool,
    pub(super) owned: u64,
    pub(super) listeners: u64,
    pub(super) missed: u64,
    pub(super) requests: u64,
    /// Of the machine, then of its host.
    pub(super) counted: Vec<(&'static str, &'static str, u64)>,
}

/// Names of agents, places and origins have letters only that need no escaping.
pub(super) fn exposition(numbers: &Numbers<'_>, history: &History) -> String {
    let mut text = String::new();
    let labels = format!("agent=\"{}\",place=\"{}\"", numbers.agent, numbers.place);
    for (name, what, value) in &numbers.counted {
        let known = KNOWN.iter().find(|(counted, ..)| counted == name);
        let bare = name.strip_prefix("edge_").unwrap_or(name);
        let (name, help) = known.map_or((bare, *what), |(_, name, help)| (*name, *help));
        write(&mut text, name, help, |family, name| family.line(name, &labels, *value as f64));
    }
    let simple = [
        u64::from(numbers.is_inside),
        u64::from(numbers.is_ready),
        numbers.owned,
        history.changes() as u64,
        history.left_off(),
        numbers.listeners,
        numbers.missed,
        numbers.requests,
    ];
    let names = ["inside", "ready", "origins_owned", "history_changes", "history_left_off_total", "listeners"];
    for (name, value) in names.into_iter().chain(["events_missed_total", "requests_total"]).zip(simple) {
        write(&mut text, name, sentence(name), |family, name| family.line(name, &labels, value as f64));
    }
    write(&mut text, "origins", sentence("origins"), |family, name| {
        for condition in Condition::ALL {
            let count = history.origins().values().filter(|origin| origin.condition() == condition).count();
            family.line(name, &format!("{labels},state=\"{}\"", condition.word()), count as f64);
        }
    });
    write(&mut text, "origin_up", sentence("origin_up"), |family, name| {
        for (origin, it) in history.origins() {
            if let Some(state) = it.places.get(numbers.place).and_then(super::history::Known::state) {
                let is_up = u8::from(state == State::Up);
                family.line(name, &format!("{labels},origin=\"{origin}\""), f64::from(is_up));
            }
        }
    });
    text
}

fn sentence(name: &str) -> &'static str {
    OWN.iter().find(|(own, _)| *own == name).map_or("", |(_, help)| help)
}

fn write(text: &mut String, name: &str, help: &'static str, lines: impl FnOnce(&mut Family, &str)) {
    let mut family = Family::new(if name.ends_with("_total") { "counter" } else { "gauge" }, help);
    let name = format!("edge_{name}");
    lines(&mut family, &name);
    family.write(&name, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::metrics::tests::parse;
    use bytes::Bytes;
    use skein_edge::health::Finding;
    use std::time::SystemTime;

    #[test]
    fn prometheus_reads_all_of_it() {
        let name = |text: &str| Name::new(text).unwrap();
        let mut history = History::new();
        let mut hear = |place: &str, origin: &str, state| {
            let finding = Finding { state, by: name("a"), why: Bytes::new() };
            history.hear(&name(place), &name(origin), Some(finding), SystemTime::now());
        };
        hear("p", "shop", State::Up);
        hear("p", "mail", State::Down);
        hear("q", "mail", State::Up);
        hear("q", "far", State::Up);
        let counted = [("members_alive", 3), ("members_doubts", 4), ("edge_map_keys", 5), ("datagrams_in_total", 6)];
        let numbers = Numbers {
            agent: &name("a"),
            place: &name("p"),
            is_inside: true,
            is_ready: false,
            owned: 2,
            listeners: 1,
            missed: 0,
            requests: 7,
            counted: counted.map(|(name, value)| (name, UNNAMED, value)).to_vec(),
        };
        let numbers = parse(&exposition(&numbers, &history));
        let number = |name: &str, more: &str| {
            numbers.get(&format!("skein_edge_{name}{{agent=\"a\",place=\"p\"{more}}}")).copied()
        };
        assert_eq!((number("members_alive", ""), number("members_doubts_total", "")), (Some(3.0), Some(4.0)));
        assert_eq!((number("map_keys", ""), number("datagrams_in_total", "")), (Some(5.0), Some(6.0)));
        assert_eq!((number("inside", ""), number("ready", "")), (Some(1.0), Some(0.0)));
        assert_eq!((number("origins_owned", ""), number("requests_total", "")), (Some(2.0), Some(7.0)));
        let condition = |word: &str| number("origins", &format!(",state=\"{word}\""));
        assert_eq!([condition("up"), condition("partly"), condition("down")], [Some(2.0), Some(1.0), Some(0.0)]);
        let up = |origin: &str| number("origin_up", &format!(",origin=\"{origin}\""));
        assert_eq!([up("shop"), up("mail"), up("far")], [Some(1.0), Some(0.0), None]);
    }

    /// Every number that a machine tells has a sentence here.
    #[test]
    fn no_number_of_the_machine_is_without_a_sentence() {
        use skein_machine::Machine;
        super::super::tests::agent().gauges(&mut |name, _| {
            assert!(KNOWN.iter().any(|(known, ..)| *known == name), "nothing says what {name} is");
        });
    }
}
