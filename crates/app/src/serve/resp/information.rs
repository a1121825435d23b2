//! What a client is told of the server: INFO and CONFIG, in the shape that
//! Redis' clients expect. Where Redis has something to tell that makes no
//! sense here, it is left out rather than made up.

use std::time::Instant;

use skein_service::kv::{Answer, Failure, glob_matches};

use super::face::{Face, MAX_COMMAND};

/// The Redis whose words are spoken here.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// What a face has counted.
pub(crate) struct Tally {
    began: Instant,
    /// Connections that were made.
    pub(super) connections: u64,
    /// Commands that were read.
    pub(super) commands: u64,
    /// Commands that are none.
    pub(super) errors: u64,
    /// Runs that no replica answered as they should be.
    pub(super) failures: u64,
    /// Wrong passwords.
    pub(super) refused: u64,
}

impl Tally {
    pub(super) fn begin() -> Tally {
        Tally { began: Instant::now(), connections: 0, commands: 0, errors: 0, failures: 0, refused: 0 }
    }
}

/// `INFO [section …]`
pub(super) fn info(face: &Face, sections: &[&[u8]], answer: &mut Answer) {
    let wanted = |name: &str| {
        sections.is_empty()
            || sections.iter().any(|section| {
                section.eq_ignore_ascii_case(name.as_bytes())
                    || [&b"all"[..], b"default", b"everything"].iter().any(|all| section.eq_ignore_ascii_case(all))
            })
    };
    let tally = &face.tally;
    let uptime = tally.began.elapsed().as_secs();
    let parts = [
        (
            "server",
            format!(
                "redis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nskein_version:{}\r\nskein_node:{}\r\n\
                 os:{}\r\narch_bits:64\r\nprocess_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\n\
                 uptime_in_days:{}\r\n",
                env!("CARGO_PKG_VERSION"),
                face.directory.node,
                std::env::consts::OS,
                std::process::id(),
                face.directory.port,
                uptime / 86_400,
            ),
        ),
        ("clients", format!("connected_clients:{}\r\nblocked_clients:0\r\n", face.clients.len() + 1)),
        ("memory", format!("maxmemory:{}\r\nmaxmemory_policy:noeviction\r\n", face.directory.limits.max_memory)),
        ("persistence", "loading:0\r\naof_enabled:1\r\n".to_owned()),
        (
            "stats",
            format!(
                "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ntotal_error_replies:{}\r\n\
                 skein_unanswered:{}\r\nacl_access_denied_auth:{}\r\n",
                tally.connections, tally.commands, tally.errors, tally.failures, tally.refused
            ),
        ),
        ("replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("cluster", "cluster_enabled:0\r\n".to_owned()),
    ];
    let mut text = String::new();
    for (name, lines) in parts {
        if wanted(name) {
            let mut title = name.to_owned();
            title[..1].make_ascii_uppercase();
            text += &format!("{}# {title}\r\n{lines}", if text.is_empty() { "" } else { "\r\n" });
        }
    }
    answer.bulk(text.as_bytes());
}

/// `CONFIG GET`, and the others that change nothing here.
pub(super) fn config(face: &Face, name: &str, args: &[&[u8]], answer: &mut Answer) -> Result<(), Failure> {
    match name {
        "config|get" => {
            let known: [(&str, String); 9] = [
                ("appendonly", "yes".to_owned()),
                ("bind", String::new()),
                ("databases", "1".to_owned()),
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
        "config|resetstat" => answer.ok(),
        "config|set" => {
            return Err(Failure::of("ERR CONFIG SET is not supported: the configuration is one file for all nodes"));
        }
        _ => {
            let line = format!("ERR '{}' is not supported yet", name.replace('|', " ").to_ascii_uppercase());
            return Err(Failure::with(&[line.as_bytes()]));
        }
    }
    Ok(())
}
