//! A cluster of three nodes in this process, and a client that multicasts to
//! two of its groups. What a program of its own would do, but for the cluster,
//! which would run elsewhere.
//!
//! ```sh
//! cargo run --example multicast -p skein
//! ```

use std::net::TcpListener;

use bytes::Bytes;
use skein::client::Client;
use skein::compose::{Clock, Protocol};
use skein::config::{Choices, Config, Ports, Storage};
use skein::machine::{ClusterId, GroupSet};
use skein::node::Node;

fn main() -> Result<(), String> {
    // Who there is. An operator writes this down: `skein config init`.
    let choices = Choices { protocol: Protocol::PrimCast, clock: Clock::Logical, storage: Storage::Memory, wan: None };
    let data = std::env::temp_dir().join(format!("skein-example-{}", std::process::id()));
    let config = Config::spread(ClusterId(1), choices, data.clone(), &["north", "east", "south"], 3, ports()?);

    // The cluster: a node in each region, with a replica of every group.
    let nodes: Result<Vec<Node>, String> =
        config.nodes.keys().map(|name| Node::start(&config, name, false, None)).collect();
    let nodes = nodes?;

    // A client: one session, whose messages are delivered in the order sent.
    let mut client = Client::new(config.clone())?;
    let both: GroupSet = ["g0", "g2"].into_iter().filter_map(|name| config.group(name)).collect();
    for text in ["first", "second", "third"] {
        let delivered = client.multicast(both, Bytes::from(text))?;
        println!("{text}: {} has timestamp {}", delivered.id, delivered.timestamp);
        for (group, took) in delivered.took {
            println!("  {} delivered it after {took:?}", config.groups[group.index()]);
        }
    }

    for node in nodes {
        node.stop()?;
    }
    std::fs::remove_dir_all(data).map_err(|error| error.to_string())
}

/// Ports with two free neighbours each, most likely.
fn ports() -> Result<Ports, String> {
    let free = || -> Result<u16, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        Ok(port.min(65_000))
    };
    Ok(Ports { nodes: free()?, http: free()?, redis: None })
}
