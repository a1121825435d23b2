//! [`ask_all`]: asks every node of a cluster for something at its `http`
//! address, in the plainest HTTP there is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Mistake;
use crate::config::Config;

/// A node that does not answer by then is taken for dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// No answer is longer.
const LONGEST: u64 = 64 << 20;

/// What the nodes of a cluster have answered, and why others did not, by name.
pub(crate) struct Answers<T> {
    pub(crate) nodes: Vec<T>,
    pub(crate) dead: Vec<(String, String)>,
}

/// Asks every node, one after the other.
pub(crate) fn ask_all<T: DeserializeOwned>(config: &Config, path: &str) -> Result<Answers<T>, Mistake> {
    let mut answers = Answers { nodes: Vec::new(), dead: Vec::new() };
    for (name, node) in &config.nodes {
        let Some(address) = node.http else {
            let hint = format!("node {name} has no `http` address in the configuration, so nobody can ask it");
            return Err(Mistake(hint));
        };
        match ask(address, path) {
            Ok(answer) => answers.nodes.push(answer),
            Err(why) => answers.dead.push((name.clone(), format!("{address}: {why}"))),
        }
    }
    Ok(answers)
}

fn ask<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T, String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.take(LONGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("it answers no HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.lines().next().unwrap_or("it answers nothing").to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("it answers what this program does not understand: {error}"))
}
