//! [`Complaints`]: what was dropped or refused lately, for whoever reads the
//! log. Machines count what makes no sense and go on; a line for each would let
//! a stranger fill a disk, so there is one for all of ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_edge::Agent;
use skein_machine::Machine;
use skein_runtime::datagrams::{Handle, Unheard};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// What is worth a line when it grows, and the line. Strangers are told of where they knock.
const WATCHED: [(&str, &str); 9] = [
    ("members_turned_away", "newcomers were not let in: their names are taken, or the fleet is full"),
    ("members_crowded", "words about members were dropped, for there are as many as there can be"),
    ("members_strange", "words about members made no sense and were dropped"),
    (
        "edge_deltas_crowded_total",
        "parts of the map were dropped for want of room: it has as many keys as there can be",
    ),
    ("edge_deltas_impostor_total", "somebody else has written in this member's name: has another one the same name?"),
    ("edge_garbled_total", "words of members could not be read and were dropped: do all run the same version?"),
    ("edge_foreign_total", "words came from more addresses than there is room for"),
    ("edge_too_long_total", "words were too long to be said"),
    ("edge_crowded_total", "words were dropped, for too many wait to be said"),
];

/// What was counted when it was last looked.
#[derive(Debug, Default)]
struct Complaints(BTreeMap<&'static str, u64>);

impl Complaints {
    /// What has grown, and by how much.
    fn hear(&mut self, counted: impl IntoIterator<Item = (&'static str, u64)>) -> Vec<(u64, &'static str)> {
        let mut grown = Vec::new();
        for (name, count) in counted {
            let Some((_, what)) = WATCHED.iter().find(|(watched, _)| *watched == name) else { continue };
            let before = self.0.insert(name, count).unwrap_or(0);
            if count > before {
                grown.push((count - before, *what));
            }
        }
        grown
    }
}

/// Looks now and then, and tells, until the agent has stopped.
pub(super) async fn tell(agent: Handle<Agent>) {
    let mut complaints = Complaints::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let counts = |agent: &Agent, _| {
            let mut counted = Vec::new();
            agent.gauges(&mut |name, count| counted.push((name, count)));
            counted
        };
        let mut counted = match agent.see(counts).await {
            Ok(counted) => counted,
            Err(Unheard::Busy) => continue,
            Err(Unheard::Stopped) => return,
        };
        agent.meters().tell(&mut |name, _, count| counted.push((name, count)));
        for (count, what) in complaints.hear(counted) {
            tracing::warn!(count, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_edge::membership::{self, Pace};
    use skein_edge::{Book, Member, Name, Planted, spread};

    #[test]
    fn what_grows_is_told_once() {
        let mut complaints = Complaints::default();
        let strange = "words about members made no sense and were dropped";
        assert_eq!(complaints.hear([("members_strange", 2), ("members_alive", 9)]), [(2, strange)]);
        assert_eq!(complaints.hear([("members_strange", 2)]), []);
        assert_eq!(complaints.hear([("members_strange", 5)]), [(3, strange)]);
    }

    #[test]
    fn all_that_is_watched_is_counted_by_somebody() {
        let name = |text| Name::new(text).unwrap();
        let me = Member::new(name("a"), name("p"), "127.0.0.1:1".parse().unwrap());
        let members = membership::Settings { me: me.clone(), seeds: vec![], pace: Pace::of(3), planted: Planted::NONE };
        let map = spread::Settings { me, gateways: vec![], tempo: spread::Tempo::default(), planted: Planted::NONE };
        let mut counted = Vec::new();
        Agent::new(members, map, vec![], Book::of_sockets()).gauges(&mut |name, _| counted.push(name));
        skein_runtime::datagrams::Meters::default().tell(&mut |name, _, _| counted.push(name));
        let unknown = WATCHED.iter().filter(|(watched, _)| !counted.contains(watched));
        assert_eq!(unknown.count(), 0, "of {counted:?}");
    }
}
