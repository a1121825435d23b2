//! The map for any program of the host that has a client for Redis: it reads and
//! writes keys, and hears of changes. A thread of its own reads what clients
//! say; what it asks of the agent is done on the agent's thread, one thing of
//! each client at a time. It keeps nothing.
//!
//! There is no atomicity over several keys here, and no order between members:
//! this is the edge map, not the store.

mod asker;
mod client;
mod face;
mod reads;
mod wish;

use std::net::SocketAddr;
use std::sync::Arc;

use skein_runtime::streams::{self, Caller, Server};
use tokio::sync::broadcast;

pub(crate) use face::Call;

use super::{Door, News};
use face::Face;

/// Clients at once, and descriptors for them. They are programs of one host.
const MOST_CLIENTS: usize = 4_096;

/// What a client was told and has not taken: some thousands of values, or the keys of a large map.
const MOST_BACKLOG: usize = 64 << 20;

/// Serves clients of Redis until it is dropped.
pub(crate) fn open(
    address: SocketAddr,
    name: &str,
    password: Option<&str>,
    door: &Door,
) -> Result<Server<Call>, String> {
    let settings = streams::Settings {
        most_streams: MOST_CLIENTS,
        refusal: b"-ERR max number of clients reached\r\n".to_vec(),
        most_expected: face::MOST_COMMAND,
        most_input_all: 256 << 20,
        most_backlog: MOST_BACKLOG,
        ..streams::Settings::default()
    };
    let face = Face::new(name, password, door.agent.clone());
    let server = Server::open(vec![address], None, settings, face)
        .map_err(|error| format!("cannot listen to clients of Redis at {address}: {error}"))?;
    let caller = server.caller();
    let _ = server.caller().call(Call::Begin(caller));
    Ok(server)
}

/// Passes on what happens to those who listen, until the agent or the server is gone.
pub(crate) async fn pass_on(mut news: broadcast::Receiver<Arc<News>>, caller: Caller<Call>) {
    loop {
        let call = match news.recv().await {
            Ok(news) => Call::News(news),
            Err(broadcast::error::RecvError::Lagged(_)) => Call::Missed,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if caller.call(call).is_err() {
            return;
        }
    }
}
