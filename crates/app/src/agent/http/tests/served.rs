//! [`Served`]: a face on a port of its own, and somebody who reads it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use skein_edge::Agent;
use skein_edge::agent::Command;
use skein_edge::map::Key;
use skein_runtime::datagrams::still;
use tokio::sync::broadcast;

use super::super::{About, Http};
use super::town::{Town, name};
use crate::agent::{Door, News, What};

pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) door: Door,
}

pub(super) fn about() -> About {
    let urls = [("shop", "https://shop.example/health"), ("mail", "tcp://mail.example:25")];
    About {
        name: name("cph-1"),
        place: name("cph"),
        urls: urls.into_iter().map(|(origin, url)| (name(origin), url.to_owned())).collect::<BTreeMap<_, _>>(),
        token: None,
        hosts: vec!["edge.example".to_owned()],
        counters: Box::new(|tell| tell("datagrams_received_total", "Datagrams that came.", 17)),
    }
}

/// The way to the first agent of a town, which stands still from then on.
pub(super) fn door(town: impl FnOnce() -> Town + Send + 'static, most_news: usize) -> Door {
    let news = broadcast::Sender::new(most_news);
    let tell = {
        let news = news.clone();
        move |agent: &Agent, event: &skein_edge::agent::Event| {
            if let Some(told) = News::of(event, agent, SystemTime::now()) {
                let _ = news.send(Arc::new(told));
            }
        }
    };
    let now = skein_machine::Time::from_nanos(1_700_000_060_000_000_000);
    Door { agent: still(now, move || town().take(), tell), news }
}

impl Served {
    pub(super) fn open(about: About, door: Door) -> Served {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let http = Http::new(about, door.clone()).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                http.serve(listener).await
            })
        });
        Served { address, door }
    }

    /// Says something in HTTP, and hears all of the answer: status, headers, body.
    pub(super) fn ask(&self, path: &str, headers: &str) -> (u16, String, String) {
        let mut stream = self.connect(path, &format!("Connection: close\r\n{headers}"));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn connect(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let host = if headers.contains("Host: ") { String::new() } else { format!("Host: {}\r\n", self.address) };
        write!(stream, "GET {path} HTTP/1.1\r\n{host}{headers}\r\n").unwrap();
        stream
    }

    pub(super) fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(path, "");
        (status, body)
    }

    pub(super) fn json(&self, path: &str) -> Value {
        let (status, head, body) = self.ask(path, "");
        assert!(status == 200 && head.contains("content-type: application/json"), "{path}: {head}\n{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until something is so.
    pub(super) fn until<T>(&self, mut look: impl FnMut(&Served) -> Option<T>) -> T {
        for _ in 0..1_000 {
            if let Some(seen) = look(self) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it never came to be so");
    }

    /// Follows events, from when it is heard that they are told.
    pub(super) fn listen(&self) -> Listener {
        let mut listener = Listener { stream: self.connect("/events", ""), heard: String::new() };
        listener.until(": here is told");
        listener
    }

    pub(super) fn put(&self, key: &str, value: &[u8]) {
        let command = Command::Put { key: bytes::Bytes::copy_from_slice(key.as_bytes()), value: value.to_vec().into() };
        self.door.agent.command(command, |_, _, _| {}).unwrap();
    }

    /// Something happens under a key.
    pub(super) fn happens(&self, key: Vec<u8>, value: Option<bytes::Bytes>) {
        let what = What::Changed { key: Key::from(key), value, arrivals: 7 };
        self.tell(what);
    }

    pub(super) fn tell(&self, what: What) {
        let _ = self.door.news.send(Arc::new(News { at: SystemTime::now(), what }));
    }
}

/// Somebody who listens to events.
pub(super) struct Listener {
    stream: TcpStream,
    heard: String,
}

impl Listener {
    /// Reads until this was said, and answers all that was heard up to then since the last time. What stands around
    /// the pieces in which it comes is in it too.
    pub(super) fn until(&mut self, text: &str) -> String {
        let mut bytes = [0; 1 << 16];
        loop {
            if let Some(at) = self.heard.find(text) {
                let rest = self.heard.split_off(at + text.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            let count = self.stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the events have ended: {}", self.heard);
            self.heard += std::str::from_utf8(&bytes[..count]).unwrap();
        }
    }

    /// The data of the next event of a kind.
    pub(super) fn event(&mut self, kind: &str) -> Value {
        self.until(&format!("event: {kind}\ndata: "));
        let line = self.until("\n");
        serde_json::from_str(line.trim()).unwrap()
    }
}
