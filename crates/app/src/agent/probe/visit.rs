//! One visit to an origin: its name is looked up, a connection made, TLS spoken
//! if it is wanted, a page asked for. Only the head of the answer is read. It
//! follows no redirect and keeps no connection: the next visit is a first one again.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::names::{Late, Names};
use super::target::{Scheme, Target};
use super::trouble::{Span, Stage, Trouble};

/// Who probes, as an origin is told.
pub(crate) const AGENT: HeaderName = HeaderName::from_static("x-skein-agent");

/// A head is read up to here. Servers rarely write a twentieth of it.
pub(super) const MAX_HEAD: usize = 64 << 10;

/// And all together up to here, with what is said before the answer ("103 Early Hints") and not listened to.
const MAX_READ: u64 = 2 * MAX_HEAD as u64;

const SELF: HeaderValue = HeaderValue::from_static(concat!("skein/", env!("CARGO_PKG_VERSION")));

/// Whoever sets out.
pub(super) struct Visitor<'a> {
    pub(super) agent: &'a HeaderValue,
    pub(super) names: &'a Names,
    /// For those who are visited by TLS.
    pub(super) tls: Option<&'a TlsConnector>,
    /// What was given it, and the end of it.
    pub(super) timeout: Duration,
    pub(super) until: Instant,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It takes connections, and more was not asked.
    Connected,
    /// It answers with this status.
    Answered(StatusCode),
}

impl Visitor<'_> {
    pub(super) async fn visit(&self, target: &Target) -> Result<Found, Trouble> {
        let addresses = self.addresses(target).await?;
        let stream = self.connect(&addresses).await?;
        match self.tls {
            _ if target.scheme == Scheme::Tcp => Ok(Found::Connected),
            None => self.ask(target, stream).await,
            Some(connector) => {
                // The request follows on the end of the handshake, and must not wait until that is acknowledged.
                let _ = stream.set_nodelay(true);
                let handshake = connector.connect(target.host.clone(), stream);
                let stream = self.in_time(Stage::ShakingHands, self.until, handshake).await?;
                self.ask(target, stream).await
            }
        }
    }

    async fn addresses(&self, target: &Target) -> Result<Arc<[SocketAddr]>, Trouble> {
        let name = match &target.host {
            ServerName::IpAddress(address) => {
                return Ok(Arc::new([SocketAddr::new(IpAddr::from(*address), target.port)]));
            }
            name => name.to_str(),
        };
        let found = match self.names.look_up(&name, self.until).await {
            Ok(found) => found?,
            Err(Late::Silent) => {
                return Err(Trouble::Theirs(format!("name does not resolve within {}", Span(self.timeout))));
            }
            Err(Late::Crowded) => {
                return Err(Trouble::Ours(format!("too many names are looked up already, and {name} has to wait")));
            }
        };
        Ok(found.iter().map(|address| with_port(*address, target.port)).collect())
    }

    /// Tries one address after the other. Each has its share of the time that is left, so one that swallows what is
    /// sent there does not hide the next.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
        let mut least = None;
        for (nth, address) in addresses.iter().enumerate() {
            let left = self.until.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / (addresses.len() - nth) as u32;
            match self.in_time(Stage::Connecting, share, TcpStream::connect(address)).await {
                Ok(stream) => return Ok(stream),
                Err(trouble) => least = least.into_iter().chain([trouble]).min(),
            }
        }
        Err(least.expect("a name that was found has an address"))
    }

    /// Asks for the page. What comes after the head of the answer is not waited for.
    async fn ask<S>(&self, target: &Target, stream: S) -> Result<Found, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = Request::get(target.page.clone())
            .header(HOST, &target.called)
            .header(USER_AGENT, SELF)
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .header(AGENT, self.agent)
            .body(String::new())
            .expect("its parts were checked one by one");
        let (reads, writes) = tokio::io::split(stream);
        let stream = TokioIo::new(tokio::io::join(reads.take(MAX_READ), writes));
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD).title_case_headers(true);
        let (mut sender, connection) = http.handshake(stream).await.map_err(|error| Trouble::of_http(&error))?;
        let answered = async {
            let mut answer = pin!(sender.send_request(request));
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                // Why it ends is told to who waits for the answer.
                _ = connection => answer.await,
            }
        };
        let answer = timeout_at(self.until, answered).await.map_err(|_| Stage::Asking.too_late(self.timeout))?;
        answer.map(|answer| Found::Answered(answer.status())).map_err(|error| Trouble::of_http(&error))
    }

    async fn in_time<T>(
        &self,
        stage: Stage,
        until: Instant,
        what: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Trouble> {
        match timeout_at(until, what).await {
            Ok(done) => done.map_err(|error| Trouble::of_io(&error, stage)),
            Err(_) => Err(stage.too_late(self.timeout)),
        }
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
