//! [`Visitors`]: how many may be there at once, and how long they may be silent.
//! Who neither says nor takes anything for a while is sent away, so that nobody
//! holds a place for nothing. It never reads what is said.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::serve::door::{Door, Stream};

/// Connections at once: every listener's, with the few that a browser opens beside it. Whoever comes then waits.
pub(super) const MOST_VISITORS: usize = 1_024;

/// Whoever listens to events is told something four times as often.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets visitors in.
pub(super) struct Visitors {
    door: Door,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Visitors {
    pub(super) fn of(listener: TcpListener) -> io::Result<Visitors> {
        Visitors::at_most(listener, MOST_VISITORS, PATIENCE)
    }

    fn at_most(listener: TcpListener, most: usize, patience: Duration) -> io::Result<Visitors> {
        Ok(Visitors { door: Door::open(listener, None)?, places: Arc::new(Semaphore::new(most)), patience })
    }
}

impl Listener for Visitors {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.expect("nobody closes it");
        let (stream, address) = self.door.accept().await;
        (Visit { stream, patience: self.patience, until: Box::pin(sleep(self.patience)), _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.door.local_addr()
    }
}

/// A visitor's connection.
pub(super) struct Visit {
    stream: Stream,
    patience: Duration,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// What came of trying to read or write, unless that has come to nothing for too long.
    fn after<T>(&mut self, tried: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.until.as_mut().reset(Instant::now() + self.patience);
            return tried;
        }
        match self.until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the visitor has been silent"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let visit = self.get_mut();
        let tried = Pin::new(&mut visit.stream).poll_read(cx, buffer);
        visit.after(tried, cx)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let visit = self.get_mut();
        let tried = Pin::new(&mut visit.stream).poll_write(cx, bytes);
        visit.after(tried, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // To flush a socket is to do nothing, so it says nothing about the visitor.
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A page with one place, and little patience.
    fn open(patience: Duration) -> SocketAddr {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let visitors = Visitors::at_most(listener, 1, patience).unwrap();
                let routes = axum::Router::new().route("/", axum::routing::get(|| async { "here" }));
                axum::serve(visitors, routes).await
            })
        });
        told.recv().unwrap()
    }

    #[test]
    fn whoever_is_silent_gives_up_the_place() {
        let address = open(Duration::from_millis(300));
        let mut silent = std::net::TcpStream::connect(address).unwrap();
        silent.write_all(b"GET / HT").unwrap();
        // Meanwhile there is no place for another, who is served as soon as there is.
        let mut other = std::net::TcpStream::connect(address).unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        other.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(other.read(&mut [0; 1]).is_err(), "it has to wait");
        other.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "it has asked for nothing");
    }
}
