//! How a message has got on, as a node tells it and as commands read it: the
//! stories of its replicas in plain names and microseconds, with what was
//! waited for in a sentence.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skein_machine::chronicle::{Chapter, Story, Wait, Want};
use skein_machine::{GroupId, MessageId, ProcessId, SessionId, Time};

use crate::config::Config;

/// What a node knows of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeStories {
    pub(crate) node: String,
    pub(crate) replicas: Vec<ReplicaStory>,
}

/// What one of its replicas knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaStory {
    pub(crate) process: String,
    pub(crate) group: String,
    /// It answered.
    pub(crate) is_alive: bool,
    /// So many deliveries are remembered here,
    pub(crate) remembered: u64,
    /// and for so long, in seconds.
    pub(crate) remembers_s: f64,
    pub(crate) story: Option<Told>,
}

/// The slowest messages that a node remembers, or those that wait there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeList {
    pub(crate) node: String,
    /// The slowest first, each as often as replicas here know of it.
    pub(crate) messages: Vec<Told>,
}

/// How one message has got on, as one replica saw it. Moments are in microseconds since the replica first heard of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) groups: Vec<String>,
    pub(crate) process: String,
    pub(crate) group: String,
    /// When it first heard of it, by its own clock, in seconds since 1970.
    pub(crate) heard_s: f64,
    /// Through whom: the client that asked for it here, or who has proposed it.
    pub(crate) heard_from: Option<String>,
    /// Who has sent it, as far as its primary knows.
    pub(crate) sender: Option<String>,
    pub(crate) steps: Vec<GroupSteps>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) primary_clock_us: Option<f64>,
    pub(crate) majority_clocks_us: Option<f64>,
    pub(crate) delivered_us: Option<f64>,
    /// Since it was heard of, until it was delivered or until now.
    pub(crate) took_us: f64,
    pub(crate) waits: WaitsTold,
    /// What it has waited for longest, in words, and for how long.
    pub(crate) waited_for: Option<String>,
    pub(crate) longest_us: f64,
    /// The message that went first, if it waited for one.
    pub(crate) behind: Option<String>,
    /// Who came to lead the group meanwhile.
    pub(crate) new_primaries: Vec<String>,
    /// What it still waits for, in words.
    pub(crate) waits_for: Vec<String>,
}

/// What one group did about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupSteps {
    pub(crate) group: String,
    /// The local timestamp that it has proposed.
    pub(crate) timestamp: Option<u64>,
    pub(crate) proposed_us: Option<f64>,
    pub(crate) proposed_by: Option<String>,
    /// When a majority of it was known to hold the proposal, and who was the last of it.
    pub(crate) majority_us: Option<f64>,
    pub(crate) majority_with: Option<String>,
    /// When each of its replicas said so.
    pub(crate) held: Vec<Held>,
}

/// A replica that holds a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) process: String,
    pub(crate) us: Option<f64>,
}

/// For how long it waited for what, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WaitsTold {
    pub(crate) proposals_us: f64,
    pub(crate) majorities_us: f64,
    pub(crate) clocks_us: f64,
    pub(crate) turn_us: f64,
}

/// A message as its sender was told to call it: `s17.2`, with or without the first letter.
pub(crate) fn parse(name: &str) -> Option<(SessionId, u64)> {
    let (session, sequence) = name.trim().trim_start_matches('s').split_once('.')?;
    Some((SessionId(session.parse().ok()?), sequence.parse().ok()?))
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

impl Told {
    pub(crate) fn of(config: &Config, story: &Story) -> Told {
        let heard = story.heard().or(story.delivered).unwrap_or(story.told);
        let at = |time: Time| micros(time.since(heard));
        let moment = |moment: Option<(Time, ProcessId)>| moment.map(|(time, _)| at(time));
        let name = |group: GroupId| config.groups[group.index()].clone();
        let group = config.cluster.group_of(story.at).map_or(String::new(), name);
        let steps = |chapter: &Chapter| GroupSteps {
            group: name(chapter.group),
            timestamp: chapter.place.map(|place| place.timestamp.0),
            proposed_us: moment(chapter.proposed),
            proposed_by: chapter.proposed.map(|(_, process)| process.to_string()),
            majority_us: moment(chapter.decided),
            majority_with: chapter.decided.map(|(_, process)| process.to_string()),
            held: chapter
                .held
                .iter()
                .map(|(process, time)| Held { process: process.to_string(), us: time.map(at) })
                .collect(),
        };
        let first = story.chapters.iter().filter_map(|chapter| chapter.proposed).min();
        let heard_from = match (story.asked, first) {
            (Some(asked), first) if first.is_none_or(|(time, _)| asked <= time) => Some("a client".to_owned()),
            (_, Some((_, process))) if process == story.at => {
                Some(story.sender.map_or_else(|| process.to_string(), |sender| sender.to_string()))
            }
            (_, first) => first.map(|(_, process)| process.to_string()),
        };
        let (wait, longest) = story.longest();
        let waits = story.waits;
        Told {
            message: story.id.to_string(),
            groups: story.id.destinations.iter().map(name).collect(),
            process: story.at.to_string(),
            group,
            heard_s: heard.as_nanos() as f64 / 1e9,
            heard_from,
            sender: story.sender.map(|sender| sender.to_string()),
            steps: story.chapters.iter().map(steps).collect(),
            timestamp: story.timestamp.map(|timestamp| timestamp.0),
            primary_clock_us: moment(story.primary_clock),
            majority_clocks_us: moment(story.clocks),
            delivered_us: story.delivered.map(at),
            took_us: micros(story.took()),
            waits: WaitsTold {
                proposals_us: micros(waits.proposals),
                majorities_us: micros(waits.majorities),
                clocks_us: micros(waits.clocks),
                turn_us: micros(waits.turn),
            },
            waited_for: (story.delivered.is_some() && !longest.is_zero()).then(|| wait_in_words(config, wait)),
            longest_us: micros(longest),
            behind: story.behind.map(|id| id.to_string()),
            new_primaries: story.epochs.iter().map(|epoch| epoch.leader.to_string()).collect(),
            waits_for: story.wants.iter().map(|want| want_in_words(config, story.id, want)).collect(),
        }
    }
}

fn wait_in_words(config: &Config, wait: Wait) -> String {
    let name = |group: GroupId| &config.groups[group.index()];
    match wait {
        Wait::Proposal(group) => format!("{} to propose it", name(group)),
        Wait::Majority(group, last) => {
            format!("a majority of {} to hold it, which was complete with {last}", name(group))
        }
        Wait::PrimaryClock(primary) => format!("the clock of its primary {primary} to pass the timestamp"),
        Wait::Clocks(last) => {
            format!("the clocks of a majority to pass the timestamp, which was complete with {last}")
        }
        Wait::Turn(id) => format!("{id}, which goes first"),
        Wait::Epoch(primary) => format!("{primary} to lead its group"),
        Wait::Unknown => "something that nobody here remembers".to_owned(),
    }
}

fn want_in_words(config: &Config, id: MessageId, want: &Want) -> String {
    let name = |group: &GroupId| &config.groups[group.index()];
    match want {
        Want::Outcome => {
            let groups: Vec<&str> = id.destinations.iter().map(|group| name(&group).as_str()).collect();
            format!("a word from {}, to whom it was sent", groups.join(", "))
        }
        Want::Proposal(group) => format!("{} to propose it", name(group)),
        Want::Majority(group, missing) => {
            format!("a majority of {} to hold it: {} did not say so yet", name(group), list(missing))
        }
        Want::Primary => "its group to agree on a primary".to_owned(),
        Want::PrimaryClock(primary) => format!("the clock of its primary {primary} to pass the timestamp"),
        Want::Clocks(missing) => {
            format!("the clocks of a majority to pass the timestamp: those of {} are behind", list(missing))
        }
        Want::Turn(first) => format!("{first}, which goes first"),
    }
}

fn list(processes: &[ProcessId]) -> String {
    let names: Vec<String> = processes.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_called_as_it_was_printed() {
        let id = MessageId::new(17759537082593190473, 3, 0b1);
        assert_eq!(parse(&id.to_string()), Some((id.session, 3)));
        assert_eq!(parse(" 7.1 "), Some((SessionId(7), 1)));
        for nonsense in ["", "s7", "s7.", "7.x", "g0", "s99999999999999999999999.1"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_is_waited_for_has_names() {
        let text = "cluster = \"00000000000000ab\"\ndata = \"d\"\nnodes.a.address = \"127.0.0.1:7001\"\n\
                    [[groups]]\nname = \"red\"\nreplicas = [\"a\"]\n[[groups]]\nname = \"blue\"\nreplicas = [\"a\"]\n";
        let config = Config::parse(text).unwrap();
        let (id, blue) = (MessageId::new(1, 1, 0b11), GroupId::new(1).unwrap());
        let words = |want: Want| want_in_words(&config, id, &want);
        assert_eq!(words(Want::Proposal(blue)), "blue to propose it");
        assert_eq!(words(Want::Outcome), "a word from red, blue, to whom it was sent");
        let missing = vec![ProcessId(1), ProcessId(2)];
        assert_eq!(words(Want::Majority(blue, missing)), "a majority of blue to hold it: p1, p2 did not say so yet");
        assert_eq!(wait_in_words(&config, Wait::Turn(id)), "s1.1, which goes first");
    }
}
