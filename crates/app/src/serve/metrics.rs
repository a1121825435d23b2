//! [`exposition`]: what a node counts and measures, as Prometheus reads it.
//! Families in the order of the table, each with its kind and a sentence, then
//! a line for each replica, and for each of its links. It only writes down what
//! the status says.

use std::collections::BTreeMap;
use std::fmt::Write;

use skein_runtime::wal::CLASSES;

use super::http::{LinkStatus, NodeStatus, ReplicaStatus};

/// A number of one replica.
type OfReplica = fn(&ReplicaStatus) -> f64;

/// A number of one link, if there is one.
type OfLink = fn(&LinkStatus) -> Option<f64>;

/// What is told of each replica: names, kinds, sentences, and where the numbers come from.
const REPLICAS: [(&str, &str, &str, OfReplica); 20] = [
    ("up", "gauge", "Whether the replica answers.", |it| f64::from(u8::from(it.is_alive))),
    ("incarnation", "gauge", "How often the replica has lost its memory.", |it| f64::from(it.incarnation)),
    ("clients", "gauge", "Clients that are connected.", |it| it.clients as f64),
    ("multicasts_total", "counter", "Messages that clients have asked for here.", |it| it.counts.multicasts as f64),
    ("deliveries_total", "counter", "Messages delivered here since the replica started.", |it| {
        it.counts.deliveries as f64
    }),
    (
        "epoch_changes_total",
        "counter",
        "Other epochs that the group has come to hold since the replica started.",
        |it| it.counts.epoch_changes as f64,
    ),
    ("clock_lead", "gauge", "How far the clock is ahead of what is delivered, in values of that clock.", |it| {
        it.gauge("clock").saturating_sub(it.gauge("safe_time")) as f64
    }),
    ("held_back", "gauge", "Things to say that wait for the disk.", |it| it.held_back as f64),
    ("log_records_total", "counter", "Records that the log has taken, in all lives.", |it| it.log_appended as f64),
    ("log_durable_records_total", "counter", "Records of the log that are durable.", |it| it.log_durable as f64),
    ("log_backlog_bytes", "gauge", "Bytes that wait for the disk.", |it| it.log_backlog_bytes as f64),
    ("received_bytes_total", "counter", "Bytes read from sockets.", |it| it.bytes_in as f64),
    ("sent_bytes_total", "counter", "Bytes written to sockets.", |it| it.bytes_out as f64),
    ("socket_writes_total", "counter", "Writes to sockets.", |it| it.writes as f64),
    ("links_up", "gauge", "Links that stand.", |it| it.links.iter().filter(|link| link.is_up).count() as f64),
    ("links_down", "gauge", "Links that do not stand.", |it| it.links.iter().filter(|link| !link.is_up).count() as f64),
    ("weighed_messages_total", "counter", "Messages of which was measured what they wait for.", |it| {
        it.counts.weighed as f64
    }),
    ("proposal_wait_seconds_total", "counter", "What weighed messages waited for groups to propose them.", |it| {
        it.counts.proposals_s
    }),
    (
        "majority_wait_seconds_total",
        "counter",
        "What weighed messages then waited for majorities to hold them.",
        |it| it.counts.majorities_s,
    ),
    (
        "convoy_wait_seconds_total",
        "counter",
        "What weighed messages then waited for clocks and other messages.",
        |it| it.counts.convoy_s,
    ),
];

/// What is told of each link.
const LINKS: [(&str, &str, &str, OfLink); 7] = [
    ("link_up", "gauge", "Whether the link stands.", |link| Some(f64::from(u8::from(link.is_up)))),
    ("link_backlog_bytes", "gauge", "Bytes that the other end was told and has not taken.", |link| {
        Some(link.backlog_bytes as f64)
    }),
    ("link_received_bytes_total", "counter", "Bytes read from the link.", |link| Some(link.bytes_in as f64)),
    ("link_sent_bytes_total", "counter", "Bytes written to the link.", |link| Some(link.bytes_out as f64)),
    ("link_received_frames_total", "counter", "Frames that came by the link.", |link| Some(link.frames_in as f64)),
    ("link_sent_frames_total", "counter", "Frames that went by the link.", |link| Some(link.frames_out as f64)),
    (
        "link_round_trip_seconds",
        "gauge",
        "How long a sign of life and its answer take, smoothed; told by the end that dials.",
        |link| link.round_trip_us.map(|us| us / 1e6),
    ),
];

/// What protocols measure. Another one may have others, which are told without a sentence of their own.
const MACHINES: [(&str, &str); 33] = [
    ("answers_held", "Answers of the store that wait until nobody can see the world without them."),
    ("answers_kept", "Answers of the store that may be asked for again."),
    ("checkpointed", "The position up to which the newest checkpoint reaches."),
    ("clock", "The clock of the protocol."),
    ("commands_waiting_bytes", "Commands for the store that wait for their turn here."),
    ("cursors", "Cursors of SKEIN.RANGE that are open in the partition."),
    ("delivered", "Deliveries of the group, in all lives."),
    ("epoch", "The epoch of the group: rises with each change of its primary."),
    ("group", "The number of the group."),
    ("is_primary", "Whether the replica leads its group."),
    ("is_settled", "Whether the replica takes part in its group."),
    ("is_without_memory", "Whether the replica waits to be taken in again after its disk was lost."),
    ("keys", "Keys that the partition holds."),
    ("keys_with_deadline", "Keys of the partition that have a deadline."),
    ("leader", "The number of the process that leads the group."),
    ("log_base", "Entries of the group's log up to here are cut."),
    ("log_decided", "Entries of the group's log up to here are decided."),
    ("log_entries", "Entries of the group's log that are kept."),
    ("log_last", "The last entry of the group's log."),
    ("max_memory_bytes", "What the partition may hold, in bytes as `max_memory_mb` counts them; 0 is no limit."),
    ("memory_bytes", "What the partition holds, in bytes as `max_memory_mb` counts them."),
    ("names", "Clients' sessions whose last command the store remembers."),
    ("open", "Messages sent from here that have no outcome yet."),
    ("parcels_open", "Parcels of commands on their way from here that have no answer yet."),
    ("parcels_unapplied", "Messages delivered here and not applied: they wait for what other partitions tell."),
    ("pending", "Messages proposed here and not delivered: the length of the queue."),
    ("reads_waiting", "Questions that wait for a point to read at."),
    ("safe_time", "Everything up to this timestamp is delivered here."),
    ("sessions", "Sessions that are remembered."),
    ("shares_heard", "What other partitions told, of commands that are in no checkpoint."),
    ("shares_told", "What this partition told others, who may ask for it again."),
    ("silent_peers", "Replicas of the group that were not heard for a while."),
    ("streams", "Streams of commands of which the store remembers answers."),
];

/// What a family of numbers says, and its lines.
#[derive(Default)]
pub(crate) struct Family {
    kind: &'static str,
    help: &'static str,
    lines: String,
}

/// Names of groups and nodes were checked when the configuration was read, and need no escaping.
pub(crate) fn exposition(status: &NodeStatus) -> String {
    let mut text = String::new();
    let labels =
        |it: &ReplicaStatus| format!("node=\"{}\",group=\"{}\",process=\"{}\"", status.node, it.group, it.process);
    for (name, kind, help, number) in REPLICAS {
        let mut family = Family { kind, help, lines: String::new() };
        for it in &status.replicas {
            family.line(name, &labels(it), number(it));
        }
        family.write(name, &mut text);
    }
    for (name, kind, help, number) in LINKS {
        let mut family = Family { kind, help, lines: String::new() };
        for it in &status.replicas {
            for link in &it.links {
                if let Some(number) = number(link) {
                    family.line(name, &format!("{},peer=\"{}\"", labels(it), link.peer), number);
                }
            }
        }
        family.write(name, &mut text);
    }
    let mut machines: BTreeMap<&str, Family> = BTreeMap::new();
    for it in &status.replicas {
        for (name, value) in &it.gauges {
            let help = MACHINES.iter().find(|(known, _)| known == name).map_or("A measure of the protocol.", |it| it.1);
            let family = machines.entry(name).or_insert(Family { kind: "gauge", help, lines: String::new() });
            family.line(name, &labels(it), *value as f64);
        }
    }
    machines.iter().for_each(|(name, family)| family.write(name, &mut text));
    syncs(status, labels).write("log_sync_seconds", &mut text);
    text
}

/// How long syncs took, as a histogram: in each class those that took no longer.
fn syncs(status: &NodeStatus, labels: impl Fn(&ReplicaStatus) -> String) -> Family {
    let help = "How long syncs of the log took.";
    let mut family = Family { kind: "histogram", help, lines: String::new() };
    for it in &status.replicas {
        let labels = labels(it);
        let mut so_far = 0;
        for (nth, count) in it.syncs.counts.iter().enumerate() {
            so_far += count;
            let class = CLASSES.get(nth).map_or("+Inf".to_owned(), |class| class.as_secs_f64().to_string());
            family.line("log_sync_seconds_bucket", &format!("{labels},le=\"{class}\""), so_far as f64);
        }
        family.line("log_sync_seconds_sum", &labels, it.syncs.total_s);
        family.line("log_sync_seconds_count", &labels, so_far as f64);
    }
    family
}

impl Family {
    pub(crate) fn new(kind: &'static str, help: &'static str) -> Family {
        Family { kind, help, lines: String::new() }
    }

    pub(crate) fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.lines, "skein_{name}{{{labels}}} {value}");
    }

    pub(crate) fn write(&self, name: &str, text: &mut String) {
        if !self.lines.is_empty() {
            let Family { kind, help, lines } = self;
            let _ = write!(text, "# HELP skein_{name} {help}\n# TYPE skein_{name} {kind}\n{lines}");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::serve::http::SyncStatus;

    fn status() -> NodeStatus {
        let link = LinkStatus {
            peer: "p2".into(),
            is_up: true,
            bytes_in: 7,
            round_trip_us: Some(250.0),
            ..Default::default()
        };
        let deaf = LinkStatus { peer: "p3".into(), ..Default::default() };
        let gauges = [("epoch", 3), ("clock", 9), ("safe_time", 4), ("novelty", 1)];
        let gauges = gauges.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut counts = vec![0; CLASSES.len() + 1];
        (counts[1], counts[10]) = (5, 2);
        let syncs = SyncStatus { counts, total_s: 7.5 };
        let replica = ReplicaStatus { process: "p1".into(), group: "g0".into(), is_alive: true, ..Default::default() };
        let replica = ReplicaStatus { gauges, syncs, links: vec![link, deaf], ..replica };
        NodeStatus { node: "a".into(), version: "1".into(), replicas: vec![replica] }
    }

    /// Reads a page as Prometheus does: every line belongs to the family whose kind was said before it.
    pub(crate) fn parse(text: &str) -> BTreeMap<String, f64> {
        let (mut numbers, mut families) = (BTreeMap::new(), Vec::new());
        let mut helped = None;
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').filter(|(_, sentence)| sentence.ends_with('.')).map(|(name, _)| name);
                assert!(helped.is_some(), "{line}");
            } else if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert_eq!(helped, Some(name), "{line}");
                assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
                assert!(!families.contains(&(name, kind)), "{name} comes twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                families.push((name, kind));
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let (family, kind) = *families.last().unwrap();
                let bare = name.split('{').next().unwrap();
                let is_part = bare == family || (kind == "histogram" && bare.starts_with(family));
                assert!(is_part && name.ends_with('}') && bare.starts_with("skein_"), "{line}");
                assert!(numbers.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
            }
        }
        numbers
    }

    #[test]
    fn prometheus_reads_the_page() {
        let numbers = parse(&exposition(&status()));
        let replica = "node=\"a\",group=\"g0\",process=\"p1\"";
        let number = |name: &str, more: &str| numbers.get(&format!("skein_{name}{{{replica}{more}}}")).copied();
        assert_eq!(
            (number("up", ""), number("epoch", ""), number("clock_lead", "")),
            (Some(1.0), Some(3.0), Some(5.0))
        );
        assert_eq!(number("novelty", ""), Some(1.0));
        assert_eq!((number("links_up", ""), number("links_down", "")), (Some(1.0), Some(1.0)));
        let (peer, deaf) = (",peer=\"p2\"", ",peer=\"p3\"");
        assert_eq!((number("link_received_bytes_total", peer), number("link_up", deaf)), (Some(7.0), Some(0.0)));
        assert_eq!(number("link_round_trip_seconds", peer), Some(0.00025));
        assert_eq!(number("link_round_trip_seconds", deaf), None, "it was not measured");
        let bucket = |le: &str| number("log_sync_seconds_bucket", &format!(",le=\"{le}\""));
        assert_eq!([bucket("0.0001"), bucket("0.0003"), bucket("3"), bucket("+Inf")], [0.0, 5.0, 5.0, 7.0].map(Some));
        let sums = (number("log_sync_seconds_sum", ""), number("log_sync_seconds_count", ""));
        assert_eq!(sums, (Some(7.5), Some(7.0)));
    }

    /// The operators' table of metrics and this file say the same.
    #[test]
    fn the_table_of_metrics_is_whole() {
        let page = include_str!("../../../../docs/operators.md");
        let replicas = REPLICAS.iter().map(|(name, ..)| *name);
        let links = LINKS.iter().map(|(name, ..)| *name);
        let machines = MACHINES.iter().map(|(name, _)| *name);
        let face = crate::serve::face_metrics::names();
        for name in replicas.chain(links).chain(machines).chain(face).chain(["log_sync_seconds"]) {
            assert!(page.contains(&format!("| `skein_{name}` |")), "docs/operators.md does not know skein_{name}");
        }
    }
}
