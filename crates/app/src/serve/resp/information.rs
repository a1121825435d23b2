//! What a client is told of the server: INFO and CONFIG, in the shape that
//! Redis' clients expect. Where Redis has something to tell that makes no
//! sense here, it is left out rather than made up.

use std::fmt::{Display, Write};
use std::time::{Duration, Instant};

use skein_runtime::streams::Tally;
use skein_service::kv::{Answer, Failure, glob_matches};

use super::counts::{Counts, OUTCOMES};
use super::face::{Face, MAX_COMMAND};
use super::{MOST_CLIENTS, local};

/// The Redis whose words are spoken here.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// So often the pace is measured.
const PACE: Duration = Duration::from_secs(1);

/// What INFO tells beside what is counted: since when, and how fast things go.
pub(super) struct Statistics {
    began: Instant,
    /// What had been counted when somebody asked to begin anew.
    reset: Box<Counts>,
    reset_streams: Tally,
    streams: Tally,
    /// When the pace was last measured, and what had been counted then: commands, and bytes in and out.
    measured: (Instant, [u64; 3]),
    /// The same in a second.
    pace: [f64; 3],
}

impl Statistics {
    pub(super) fn begin() -> Statistics {
        let now = Instant::now();
        let (reset, streams) = (Box::default(), Tally::default());
        Statistics { began: now, reset, reset_streams: streams, streams, measured: (now, [0; 3]), pace: [0.0; 3] }
    }

    /// Time has gone by.
    pub(super) fn tick(&mut self, now: Instant, counts: &Counts, streams: Tally) {
        self.streams = streams;
        let (since, before) = self.measured;
        let took = now.saturating_duration_since(since);
        if took >= PACE {
            let counted = [counts.calls(), streams.heard, streams.told];
            self.pace = std::array::from_fn(|nth| (counted[nth] - before[nth]) as f64 / took.as_secs_f64());
            self.measured = (now, counted);
        }
    }

    /// From now on INFO tells what is counted from now on.
    fn reset(&mut self, counts: &Counts) {
        (self.reset, self.reset_streams) = (Box::new(counts.clone()), self.streams);
    }
}

/// Writes the lines of a section.
type Section = fn(&Face, &mut String);

/// Sections that are told only to those who ask for them, or for everything.
const LONG: [&str; 1] = ["commandstats"];

/// `INFO [section …]`
pub(super) fn info(face: &Face, sections: &[&[u8]], answer: &mut Answer) {
    let named = |name: &str| sections.iter().any(|section| section.eq_ignore_ascii_case(name.as_bytes()));
    let wanted = |name: &str| {
        let is_usual = !LONG.contains(&name) && (sections.is_empty() || named("default"));
        is_usual || named(name) || named("all") || named("everything")
    };
    let parts: [(&str, Section); 11] = [
        ("server", server),
        ("clients", clients),
        ("memory", memory),
        ("persistence", |_, text| *text += "loading:0\r\naof_enabled:1\r\n"),
        ("stats", stats),
        ("replication", |_, text| *text += "role:master\r\nconnected_slaves:0\r\n"),
        ("cpu", processor),
        ("commandstats", command_stats),
        ("errorstats", error_stats),
        ("cluster", |_, text| *text += "cluster_enabled:0\r\n"),
        ("keyspace", keyspace),
    ];
    let mut text = String::new();
    for (name, write) in parts {
        if wanted(name) {
            let mut title = name.to_owned();
            title[..1].make_ascii_uppercase();
            text += &format!("{}# {title}\r\n", if text.is_empty() { "" } else { "\r\n" });
            write(face, &mut text);
        }
    }
    answer.text(&text);
}

/// Processor time of this process, in which every node has a part that lives in it. Nothing where the system does not
/// tell.
fn processor(_: &Face, text: &mut String) {
    /// Linux counts in these, whatever its kernel ticks in.
    const TICKS_A_SECOND: f64 = 100.0;
    let Ok(told) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The second field is a name in parentheses, which may hold anything.
    let fields: Vec<&str> = told.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS_A_SECOND);
    if let (Some(user), Some(system)) = (seconds(11), seconds(12)) {
        line(text, "used_cpu_sys", format_args!("{system:.6}"));
        line(text, "used_cpu_user", format_args!("{user:.6}"));
    }
}

/// A line of INFO.
fn line(text: &mut String, name: impl Display, value: impl Display) {
    let _ = write!(text, "{name}:{value}\r\n");
}

fn server(face: &Face, text: &mut String) {
    let uptime = face.statistics.began.elapsed().as_secs();
    line(text, "redis_version", REDIS_VERSION);
    line(text, "redis_mode", "standalone");
    line(text, "skein_version", env!("CARGO_PKG_VERSION"));
    line(text, "skein_node", &face.directory.node);
    line(text, "os", std::env::consts::OS);
    line(text, "arch_bits", 64);
    line(text, "process_id", std::process::id());
    line(text, "tcp_port", face.directory.port);
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / 86_400);
}

fn clients(face: &Face, text: &mut String) {
    // Whoever asks is not among them while it is listened to.
    line(text, "connected_clients", face.clients.len() + 1);
    line(text, "blocked_clients", 0);
}

/// What the partitions hold that have a replica here, against what they may hold.
fn memory(face: &Face, text: &mut String) {
    let (mut used, mut most) = (0, 0);
    for partition in face.partitions.iter() {
        used += partition.memory;
        most += face.directory.limits.max_memory;
    }
    line(text, "used_memory", used);
    line(text, "used_memory_human", human(used));
    line(text, "maxmemory", most);
    line(text, "maxmemory_human", human(most));
    line(text, "maxmemory_policy", "noeviction");
    for partition in face.partitions.iter() {
        let name = &face.directory.groups[partition.group.index()];
        let (memory, cursors) = (partition.memory, partition.cursors);
        line(
            text,
            format_args!("skein_partition_{name}"),
            format_args!("memory={memory},maxmemory={},cursors={cursors}", face.directory.limits.max_memory),
        );
    }
}

fn stats(face: &Face, text: &mut String) {
    let Statistics { reset, reset_streams, streams, pace, .. } = &face.statistics;
    let counts = face.counts.since(reset);
    let outcomes = counts.outcomes();
    let of = |name: &str| OUTCOMES.iter().zip(outcomes).find(|(outcome, _)| **outcome == name).map_or(0, |it| it.1);
    let errors = counts.commands().map(|(_, of)| of.errors()).sum::<u64>();
    line(text, "total_connections_received", counts.connections);
    line(text, "total_commands_processed", counts.calls());
    line(text, "instantaneous_ops_per_sec", pace[0].round());
    line(text, "total_net_input_bytes", streams.heard - reset_streams.heard);
    line(text, "total_net_output_bytes", streams.told - reset_streams.told);
    line(text, "instantaneous_input_kbps", format_args!("{:.2}", pace[1] / 1024.0));
    line(text, "instantaneous_output_kbps", format_args!("{:.2}", pace[2] / 1024.0));
    line(text, "rejected_connections", streams.refused - reset_streams.refused);
    line(text, "total_error_replies", errors);
    line(text, "skein_unanswered", of("TRYAGAIN") + of("UNCERTAIN"));
    line(text, "acl_access_denied_auth", of("WRONGPASS"));
}

/// The time of a command is what its clients waited for replicas, not what a processor worked.
fn command_stats(face: &Face, text: &mut String) {
    for (name, of) in face.counts.since(&face.statistics.reset).commands() {
        let Some(name) = name else { continue };
        let (calls, each) = (of.calls(), of.took_us as f64 / of.calls().max(1) as f64);
        line(
            text,
            format_args!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
                of.took_us,
                of.rejected,
                of.failed()
            ),
        );
    }
}

fn error_stats(face: &Face, text: &mut String) {
    let outcomes = face.counts.since(&face.statistics.reset).outcomes();
    for (name, count) in OUTCOMES.iter().zip(outcomes).filter(|(name, _)| !["ok", "unheard"].contains(name)) {
        if count > 0 {
            line(text, format_args!("errorstat_{name}"), format_args!("count={count}"));
        }
    }
}

fn keyspace(face: &Face, text: &mut String) {
    let keys: u64 = face.partitions.iter().map(|partition| partition.keys).sum();
    let expires: u64 = face.partitions.iter().map(|partition| partition.keys_with_deadline).sum();
    if keys > 0 {
        line(text, "db0", format_args!("keys={keys},expires={expires},avg_ttl=0"));
    }
}

/// Bytes as people read them, and as Redis writes them.
fn human(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..=1023 => format!("{bytes}B"),
        1024..=1_048_575 => format!("{:.2}K", size / 1024.0),
        1_048_576..=1_073_741_823 => format!("{:.2}M", size / 1_048_576.0),
        _ => format!("{:.2}G", size / 1_073_741_824.0),
    }
}

/// `CONFIG GET`, and the others that change nothing here.
pub(super) fn config(face: &mut Face, name: &str, args: &[&[u8]], answer: &mut Answer) -> Result<(), Failure> {
    match name {
        "config|get" => {
            let known: [(&str, String); 10] = [
                ("appendonly", "yes".to_owned()),
                ("bind", String::new()),
                ("databases", "1".to_owned()),
                ("maxclients", MOST_CLIENTS.to_string()),
                ("maxmemory", face.directory.limits.max_memory.to_string()),
                ("maxmemory-policy", "noeviction".to_owned()),
                ("port", face.directory.port.to_string()),
                ("proto-max-bulk-len", MAX_COMMAND.to_string()),
                ("save", String::new()),
                ("timeout", "0".to_owned()),
            ];
            let fits = |name: &str| {
                args[2..].iter().any(|pattern| glob_matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
            };
            let told: Vec<_> = known.iter().filter(|(name, _)| fits(name)).collect();
            answer.map(told.len());
            for (name, value) in told {
                answer.bulk(name.as_bytes());
                answer.bulk(value.as_bytes());
            }
        }
        "config|resetstat" => {
            face.statistics.reset(&face.counts);
            answer.ok();
        }
        "config|set" => {
            return Err(Failure::of("ERR CONFIG SET is not supported: the configuration is one file for all nodes"));
        }
        "config|help" => local::help(
            answer,
            "CONFIG",
            &[
                ("GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."),
                ("RESETSTAT", "Reset statistics reported by the INFO command."),
            ],
        ),
        name => return Err(local::absent(name)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_people_read_them() {
        let written = [0, 1023, 1024, 1_572_864, 5 << 30].map(human);
        assert_eq!(written, ["0B", "1023B", "1.00K", "1.50M", "5.00G"]);
    }
}
