//! A replicated service of one's own: counters, spread over two partitions, each
//! with three replicas. Run it with `cargo run --example counter`.
//!
//! A service is a deterministic state. Everything else is around it: commands
//! are ordered among the partitions that they concern, applied once, and an
//! answer holds for everybody who asks after it.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein::compose::{Clock, Protocol};
use skein::config::{Choices, Config, Ports, Storage};
use skein::machine::{Call, ClusterId, Frozen, GroupId, Reply, Service, Shares, Timestamp};
use skein::node::Node;

/// Counters by name. A command is `name amount`, a question is `name`.
#[derive(Default)]
struct Counters(BTreeMap<String, i64>);

impl Service for Counters {
    /// No command needs what another partition holds.
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        let words = String::from_utf8_lossy(call.command).into_owned();
        let Some((name, amount)) = words.split_once(' ') else { return self.refuse(call.command, "name amount") };
        let Ok(amount) = amount.parse::<i64>() else { return self.refuse(call.command, "no amount") };
        let counter = self.0.entry(name.to_owned()).or_default();
        *counter += amount;
        Reply(counter.to_string().into())
    }

    fn read(&self, _: Timestamp, query: &Bytes) -> Reply {
        let name = String::from_utf8_lossy(query);
        Reply(self.0.get(name.as_ref()).copied().unwrap_or_default().to_string().into())
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        let lines: String = self.0.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        Box::new(Some(Bytes::from(lines)))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        let text = String::from_utf8(snapshot.to_vec()).map_err(|error| error.to_string())?;
        let line = |line: &str| Some((line.split_once(' ')?.0.to_owned(), line.split_once(' ')?.1.parse().ok()?));
        self.0 = text.lines().map(line).collect::<Option<_>>().ok_or("a line is no counter")?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let choices = Choices { protocol: Protocol::PrimCast, clock: Clock::Logical, storage: Storage::Memory, wan: None };
    let folder = std::env::temp_dir().join(format!("skein-counter-{}", std::process::id()));
    let ports = Ports { nodes: 7211, http: 7221, redis: None };
    let config = Config::spread(ClusterId(7), choices, folder.clone(), &["north", "east", "south"], 2, ports);

    // A node in each region. They could as well be processes on three continents.
    let mut nodes = Vec::new();
    for name in config.nodes.keys() {
        nodes.push(Node::start_service(&config, name, |_| Box::new(Counters::default()))?);
    }
    let [apples, pears] = [0, 1].map(|number| GroupId::new(number).expect("there are two groups"));
    let (north, east) = (&nodes[1].1, &nodes[0].1);

    // One partition, through one node; read at another.
    println!("apples: {:?}", north.call([apples].into_iter().collect(), "apples 3")?);
    println!("apples, as the east sees them: {:?}", east.read(apples, "apples")?);

    // Both partitions at once: whoever sees the one sees the other.
    println!("fruit: {:?}", east.call([apples, pears].into_iter().collect(), "fruit 1")?);

    for (node, _) in nodes {
        node.stop()?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
