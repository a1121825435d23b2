//! [`exposition`]: what the face for clients of Redis counts, as Prometheus
//! reads it. A node has one face, so these have the label `node` and none of a
//! replica. It only writes down what the face tells.

use super::metrics::Family;
use super::resp::Look;
use super::resp::counts::{BUCKETS_US, Histogram, LENGTHS, OUTCOMES, Passage};

/// A number of the face.
type OfFace = fn(&Look) -> u64;

/// Names, kinds, sentences, and where the numbers come from.
const FACE: [(&str, &str, &str, OfFace); 7] = [
    ("store_connections", "gauge", "Connections of clients of Redis that stand.", |it| it.connections as u64),
    ("store_connections_total", "counter", "Connections that clients of Redis have made.", |it| it.counts.connections),
    (
        "store_refused_connections_total",
        "counter",
        "Connections of clients of Redis for which there was no room.",
        |it| it.streams.refused,
    ),
    (
        "store_unopened_connections_total",
        "counter",
        "Connections that never came to the end of the handshake of TLS, or did not speak it.",
        |it| it.streams.unopened,
    ),
    ("store_received_bytes_total", "counter", "Bytes that clients of Redis have said.", |it| it.streams.heard),
    ("store_sent_bytes_total", "counter", "Bytes that clients of Redis were told.", |it| it.streams.told),
    ("store_backlog_bytes", "gauge", "Bytes that clients of Redis were told and have not taken.", |it| {
        it.backlog as u64
    }),
];

const COMMANDS: (&str, &str) =
    ("store_commands_total", "Commands of clients of Redis, by name and by what became of them.");
const SECONDS: (&str, &str) =
    ("store_command_seconds", "How long commands were away at replicas, by the way that they went.");
const TOGETHER: (&str, &str) = ("store_commands_together", "How many commands of a client went together.");

/// What has no name in the table of commands.
const NAMELESS: &str = "(unknown)";

/// Names of nodes were checked when the configuration was read, and those of commands are our own.
pub(super) fn exposition(node: &str, look: &Look) -> String {
    let mut text = String::new();
    let node = format!("node=\"{node}\"");
    for (name, kind, help, number) in FACE {
        let mut family = Family::new(kind, help);
        family.line(name, &node, number(look) as f64);
        family.write(name, &mut text);
    }
    let (name, help) = COMMANDS;
    let mut family = Family::new("counter", help);
    for (command, of) in look.counts.commands() {
        let command = command.unwrap_or(NAMELESS);
        for (outcome, count) in OUTCOMES.iter().zip(of.outcomes).filter(|(_, count)| *count > 0) {
            family.line(name, &format!("{node},command=\"{command}\",outcome=\"{outcome}\""), count as f64);
        }
    }
    family.write(name, &mut text);
    let (name, help) = SECONDS;
    let mut family = Family::new("histogram", help);
    for ((_, way), histogram) in Passage::ALL.iter().zip(&look.counts.passages) {
        buckets(&mut family, name, &format!("{node},way=\"{way}\""), histogram, &BUCKETS_US, 1e-6);
    }
    family.write(name, &mut text);
    let (name, help) = TOGETHER;
    let mut family = Family::new("histogram", help);
    buckets(&mut family, name, &node, &look.counts.runs, &LENGTHS, 1.0);
    family.write(name, &mut text);
    text
}

fn buckets<const N: usize>(
    family: &mut Family,
    name: &str,
    labels: &str,
    histogram: &Histogram<N>,
    bounds: &[u64],
    unit: f64,
) {
    let mut so_far = 0;
    for (bound, count) in bounds.iter().zip(histogram.counts) {
        so_far += count;
        // A millionth is no binary number: told with six places it is the number that people mean.
        let bound = (*bound as f64 * unit * 1e6).round() / 1e6;
        family.line(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), so_far as f64);
    }
    family.line(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), histogram.count() as f64);
    family.line(&format!("{name}_sum"), labels, histogram.sum as f64 * unit);
    family.line(&format!("{name}_count"), labels, histogram.count() as f64);
}

/// The names of all families, for whoever looks whether they are documented.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FACE.iter().map(|(name, ..)| *name).chain([COMMANDS.0, SECONDS.0, TOGETHER.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::metrics::tests::parse;
    use crate::serve::resp::counts::{Counts, Number};
    use skein_service::kv::table::find;

    #[test]
    fn prometheus_reads_what_the_face_tells() {
        let mut counts = Counts::default();
        let get = Number::of(find(b"get").unwrap());
        counts.came_back(Passage::Read, 60, std::iter::repeat_n((get, &b"+OK\r\n"[..]), 3));
        counts.came_back(Passage::Several, 20_000_000, [(get, &b"-TRYAGAIN x\r\n"[..])].into_iter());
        counts.answered_here(Number::NONE, b"-ERR unknown command\r\n");
        counts.left(3);
        let look = Look { counts, connections: 2, ..Look::default() };
        let numbers = parse(&exposition("a", &look));
        let number = |name: &str, more: &str| numbers.get(&format!("skein_{name}{{node=\"a\"{more}}}")).copied();
        let commands = |more: &str| number("store_commands_total", more);
        assert_eq!(commands(",command=\"get\",outcome=\"ok\""), Some(3.0));
        assert_eq!(commands(",command=\"get\",outcome=\"TRYAGAIN\""), Some(1.0));
        assert_eq!(commands(",command=\"(unknown)\",outcome=\"ERR\""), Some(1.0));
        assert_eq!(numbers.keys().filter(|name| name.contains("commands_total")).count(), 3, "others were never said");
        let seconds = |way: &str, le: &str| {
            number("store_command_seconds_bucket", &format!(",way=\"{way}\",le=\"{le}\"")).unwrap()
        };
        assert_eq!([seconds("read", "0.00005"), seconds("read", "0.0001"), seconds("read", "+Inf")], [0.0, 3.0, 3.0]);
        assert_eq!([seconds("several", "10"), seconds("several", "+Inf")], [0.0, 1.0]);
        assert_eq!(number("store_command_seconds_sum", ",way=\"several\""), Some(20.0));
        assert_eq!(number("store_commands_together_bucket", ",le=\"2\""), Some(0.0));
        assert_eq!(number("store_commands_together_bucket", ",le=\"4\""), Some(1.0));
        assert_eq!(number("store_connections", ""), Some(2.0));
    }
}
