//! [`Events`]: what happens, told to all who listen as server-sent events. Each
//! is written once, whoever reads it. Who is too slow misses some, is told so, and
//! does better to read everything again: nobody is waited for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};

/// Whoever wants to listen beside so many is refused. Every person has a page open, or two.
pub(super) const MOST_LISTENERS: usize = 256;

/// Events that wait for the slowest. Each has some hundred bytes, and some thousand at most.
pub(super) const MOST_WAITING: usize = 1_024;

/// Events that are remembered for whoever comes later.
pub(super) const MOST_RECENT: usize = 64;

/// Something is said so often, so that whoever stands between does not take the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A listener that is cut off comes back after so many milliseconds.
const BEGINNING: &str = "retry: 2000\n: here is told what happens from now on\n\n";
const STILL_HERE: &str = ": still here\n\n";
const MISSED: &str = "event: missed\ndata: {}\n\n";

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    Member,
    Origin,
    Map,
    Agent,
}

impl Topic {
    fn word(self) -> &'static str {
        match self {
            Topic::Member => "member",
            Topic::Origin => "origin",
            Topic::Map => "map",
            Topic::Agent => "agent",
        }
    }
}

/// Who is told what happens.
pub(super) struct Events {
    frames: broadcast::Sender<Bytes>,
    places: Arc<Semaphore>,
    /// What was last told: the topic and the JSON, the newest last.
    recent: std::sync::Mutex<VecDeque<(Topic, String)>>,
    missed: Arc<AtomicU64>,
}

impl Events {
    pub(super) fn new() -> Events {
        Events {
            frames: broadcast::Sender::new(MOST_WAITING),
            places: Arc::new(Semaphore::new(MOST_LISTENERS)),
            recent: std::sync::Mutex::default(),
            missed: Arc::default(),
        }
    }

    /// Tells everybody.
    pub(super) fn tell(&self, topic: Topic, what: &impl Serialize) {
        let json = serde_json::to_string(what).expect("plain data becomes JSON");
        // JSON has no line breaks but those that it escapes, so an event is one line of data.
        let frame = format!("event: {}\ndata: {json}\n\n", topic.word());
        // Nobody may be listening.
        let _ = self.frames.send(frame.into());
        let mut recent = self.recent.lock().expect("nobody panics with it");
        if recent.len() == MOST_RECENT {
            recent.pop_front();
        }
        recent.push_back((topic, json));
    }

    /// Tells those who listen just now, and remembers nothing of it.
    pub(super) fn say(&self, word: &str, what: &impl Serialize) {
        let json = serde_json::to_string(what).expect("plain data becomes JSON");
        let _ = self.frames.send(format!("event: {word}\ndata: {json}\n\n").into());
    }

    /// Tells everybody that something was missed here already.
    pub(super) fn tell_missed(&self) {
        let _ = self.frames.send(Bytes::from_static(MISSED.as_bytes()));
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// What was last told, the newest first, as a list in JSON.
    pub(super) fn recent(&self) -> String {
        let recent = self.recent.lock().expect("nobody panics with it");
        let told =
            recent.iter().rev().map(|(topic, json)| format!("{{\"event\":\"{}\",\"data\":{json}}}", topic.word()));
        format!("{{\"changes\":[{}]}}", told.collect::<Vec<_>>().join(","))
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        MOST_LISTENERS - self.places.available_permits()
    }

    /// How often something was missed.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// What happens from now on, unless too many listen already.
    pub(super) fn listen(&self) -> Option<Listening> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Listening {
            next: Box::pin(hear(self.frames.subscribe())),
            heartbeat,
            has_begun: false,
            missed: self.missed.clone(),
            _place: place,
        })
    }
}

type Heard = (Result<Bytes, RecvError>, Receiver<Bytes>);

async fn hear(mut frames: Receiver<Bytes>) -> Heard {
    (frames.recv().await, frames)
}

/// What one listener is told.
pub(super) struct Listening {
    next: Pin<Box<dyn Future<Output = Heard> + Send>>,
    heartbeat: Interval,
    has_begun: bool,
    missed: Arc<AtomicU64>,
    _place: OwnedSemaphorePermit,
}

impl Stream for Listening {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let say = |text: &'static str| Poll::Ready(Some(Ok(Bytes::from_static(text.as_bytes()))));
        let listening = self.get_mut();
        if !listening.has_begun {
            listening.has_begun = true;
            return say(BEGINNING);
        }
        if let Poll::Ready((heard, frames)) = listening.next.as_mut().poll(cx) {
            listening.next = Box::pin(hear(frames));
            return match heard {
                Ok(frame) => Poll::Ready(Some(Ok(frame))),
                Err(RecvError::Lagged(_)) => {
                    listening.missed.fetch_add(1, Ordering::Relaxed);
                    say(MISSED)
                }
                Err(RecvError::Closed) => Poll::Ready(None),
            };
        }
        if listening.heartbeat.poll_tick(cx).is_ready() {
            return say(STILL_HERE);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a listener is told without waiting.
    fn told(listening: &mut Listening) -> Vec<String> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut told = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *listening).poll_next(&mut cx) {
            told.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        told
    }

    fn in_runtime<T>(run: impl FnOnce() -> T) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async { run() })
    }

    #[test]
    fn everybody_is_told_from_when_he_listens() {
        in_runtime(|| {
            let events = Events::new();
            events.tell(Topic::Map, &"before");
            let mut one = events.listen().unwrap();
            events.tell(Topic::Origin, &"line\nbreak");
            let mut other = events.listen().unwrap();
            events.tell(Topic::Agent, &3);
            let origin = "event: origin\ndata: \"line\\nbreak\"\n\n".to_owned();
            let agent = "event: agent\ndata: 3\n\n".to_owned();
            assert_eq!(told(&mut one), [BEGINNING.to_owned(), origin, agent.clone()]);
            assert_eq!(told(&mut other), [BEGINNING.to_owned(), agent]);
            let recent: serde_json::Value = serde_json::from_str(&events.recent()).unwrap();
            assert_eq!(recent["changes"][0], serde_json::json!({"event": "agent", "data": 3}));
            assert_eq!(recent["changes"][2]["data"], "before");
        });
    }

    #[test]
    fn whoever_is_too_slow_is_told_so_and_goes_on() {
        in_runtime(|| {
            let events = Events::new();
            let mut slow = events.listen().unwrap();
            told(&mut slow);
            (0..=MOST_WAITING).for_each(|nth| events.tell(Topic::Map, &nth));
            let heard = told(&mut slow);
            assert_eq!(heard[0], MISSED);
            assert_eq!(heard[1], "event: map\ndata: 1\n\n", "the oldest that is left");
            assert_eq!((heard[2].as_str(), events.missed()), ("event: map\ndata: 2\n\n", 1));
            let recent: serde_json::Value = serde_json::from_str(&events.recent()).unwrap();
            assert_eq!(recent["changes"].as_array().unwrap().len(), MOST_RECENT);
        });
    }

    #[test]
    fn there_is_room_for_so_many_and_again_when_one_goes() {
        in_runtime(|| {
            let events = Events::new();
            let mut all: Vec<_> = (0..MOST_LISTENERS).map(|_| events.listen().unwrap()).collect();
            assert!(events.listen().is_none());
            all.pop();
            assert_eq!(events.listeners(), MOST_LISTENERS - 1);
            assert!(events.listen().is_some());
        });
    }

    #[test]
    fn somebody_who_hears_nothing_hears_that() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let events = Events::new();
            let mut listening = events.listen().unwrap();
            listening.heartbeat = tokio::time::interval_at(tokio::time::Instant::now(), HEARTBEAT);
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(told(&mut listening), [BEGINNING, STILL_HERE]);
        });
    }
}
