//! [`Door`]: how visitors come to the page of a node. Where it speaks TLS they
//! come through a handshake, which nobody else waits for, and may show a
//! certificate: who has none is told whether the node is well, and nothing more.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use skein_runtime::tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// So many handshakes go on at once. Scrapers and probes are few; whoever opens more waits.
const MOST_HANDSHAKES: usize = 64;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What goes wrong with a listener (no more files, say) may be over after so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Who reads the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// Somebody with a certificate of the cluster's authority; or anybody, where the page is served in the clear.
    Known,
    /// Somebody without.
    Stranger,
}

/// A visitor's connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Secret(Box<TlsStream<TcpStream>>),
}

/// Where visitors come in.
pub(crate) enum Door {
    Plain(TcpListener),
    Secret { address: SocketAddr, guests: mpsc::Receiver<(Stream, SocketAddr)> },
}

impl Door {
    /// Opens it. In the clear, unless there are certificates.
    pub(crate) fn open(listener: TcpListener, tls: Option<Tls>) -> io::Result<Door> {
        let Some(tls) = tls else { return Ok(Door::Plain(listener)) };
        let address = listener.local_addr()?;
        let (comes_in, guests) = mpsc::channel(MOST_HANDSHAKES);
        tokio::spawn(greet(listener, tls, comes_in));
        Ok(Door::Secret { address, guests })
    }
}

/// Shakes hands with whoever comes, with several at once.
async fn greet(listener: TcpListener, tls: Tls, comes_in: mpsc::Sender<(Stream, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, address) = accept(&listener).await;
        // Of the certificates that are in force by now.
        let acceptor = TlsAcceptor::from(tls.page());
        let comes_in = comes_in.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(comes_in.send((Stream::Secret(Box::new(stream)), address)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS with a visitor of the page"),
                Err(_) => tracing::debug!(%address, "a visitor of the page is too slow"),
            }
            drop(place);
        });
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot take in a visitor of the page");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self {
            Door::Plain(listener) => {
                let (stream, address) = accept(listener).await;
                (Stream::Plain(stream), address)
            }
            Door::Secret { guests, .. } => match guests.recv().await {
                Some(guest) => guest,
                // Whoever greets does so for as long as the page is there.
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Door::Plain(listener) => listener.local_addr(),
            Door::Secret { address, .. } => Ok(*address),
        }
    }
}

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Visitor {
        match stream.io() {
            Stream::Plain(_) => Visitor::Known,
            // One that was presented has been verified.
            Stream::Secret(stream) => match stream.get_ref().1.peer_certificates() {
                Some(_) => Visitor::Known,
                None => Visitor::Stranger,
            },
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Secret(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Secret(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secret(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secret(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
