//! [`ask_all`]: asks every node of a cluster for something at its `http`
//! address, in the plainest HTTP there is.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;
use skein_runtime::tls::Tls;

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
    let tls = if config.serves_page_by_tls() { config.tls_of_client()? } else { None };
    for (name, node) in &config.nodes {
        let Some(address) = node.http else {
            let hint = format!("node {name} has no `http` address in the configuration, so nobody can ask it");
            return Err(Mistake(hint));
        };
        match ask(name, address, tls.as_ref(), path) {
            Ok(answer) => answers.nodes.push(answer),
            Err(why) => answers.dead.push((name.clone(), format!("{address}: {why}"))),
        }
    }
    Ok(answers)
}

fn ask<T: DeserializeOwned>(node: &str, address: SocketAddr, tls: Option<&Tls>, path: &str) -> Result<T, String> {
    let body = get(address, tls.map(|tls| (tls, node)), path)?;
    serde_json::from_str(&body).map_err(|error| format!("it answers what this program does not understand: {error}"))
}

/// A page, over TLS with a node of this name where that is spoken.
pub(crate) fn get(address: SocketAddr, tls: Option<(&Tls, &str)>, path: &str) -> Result<String, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let text = match tls {
        Some((tls, node)) => converse(tls.visit(node, stream)?, &request)?,
        None => converse(stream, &request)?,
    };
    let (head, body) = text.split_once("\r\n\r\n").ok_or("it answers no HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.lines().next().unwrap_or("it answers nothing").to_owned());
    }
    Ok(body.to_owned())
}

/// Says one thing, and hears all there is to it.
fn converse(mut stream: impl Read + Write, request: &str) -> Result<String, String> {
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    match stream.take(LONGEST).read_to_end(&mut bytes) {
        // An end without a farewell. Had anything been cut off, it would be no JSON.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        read => drop(read.map_err(|error| error.to_string())?),
    }
    String::from_utf8(bytes).map_err(|_| "it answers no text".to_owned())
}
