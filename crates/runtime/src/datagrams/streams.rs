//! [`Streams`]: what is too long for a datagram, and where a fleet has
//! certificates, everything. A connection is made when there is something to
//! say, is used in one direction, and is closed when nothing was said for a
//! while. What cannot be said is lost, as datagrams are: machines say what
//! matters again.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use skein_machine::wire::{OLDEST, VERSION, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::frames::{Frames, MOST_FRAME, Wires, within};
use super::ground::{Ground, Security};
use super::seal::{Key, SALT, fill};

/// What waits to be said to all others together. A whole map for each of some who begin at once, or one huge one.
const MOST_WAITING: usize = 1 << 30;

/// Connections of others at once: everybody of a large place, and relays from elsewhere.
const MOST_GUESTS: usize = 4_096;

/// Those among them who have not shown yet that they are members.
const MOST_STRANGERS: usize = 256;

/// Who has not shown it within this is sent away. Two round trips around the world, and some patience.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A connection on which nothing is said for so long is closed by whoever has made it,
const IDLE: Duration = Duration::from_secs(30);

/// and after so long by the other end, which knows then that nobody is there.
const FORGOTTEN: Duration = Duration::from_secs(90);

/// The first piece says who speaks, and is short.
const MOST_HELLO: usize = 256;

/// What does not work with a listener (no more descriptors, say) may be over after so long.
const PAUSE: Duration = Duration::from_millis(100);

const STREAM: &[u8] = b"skein stream";

/// Something that a member has said: from which address, in which version, and what.
pub(super) type Said = (SocketAddr, Version, Bytes);

/// All connections to others.
pub(super) struct Streams {
    ground: Arc<Ground>,
    to: HashMap<SocketAddr, mpsc::UnboundedSender<Bytes>>,
    waiting: Arc<AtomicUsize>,
}

impl Streams {
    pub(super) fn new(ground: Arc<Ground>) -> Streams {
        Streams { ground, to: HashMap::new(), waiting: Arc::default() }
    }

    /// Says something to whoever is at this address, sooner or later or never.
    pub(super) fn say(&mut self, to: SocketAddr, piece: Bytes) {
        if piece.len() > MOST_FRAME {
            tracing::warn!(%to, bytes = piece.len(), "what is to be said is longer than anything may be");
            return self.ground.meters.too_long.add(1);
        }
        let length = piece.len();
        if self.waiting.load(Relaxed) + length > MOST_WAITING {
            return self.ground.meters.crowded.add(1);
        }
        self.waiting.fetch_add(length, Relaxed);
        let Some(piece) = self.offer(to, piece) else { return };
        self.to.retain(|_, way| !way.is_closed());
        let (way, pieces) = mpsc::unbounded_channel();
        let speaks = speak(self.ground.clone(), to, pieces, self.waiting.clone());
        tokio::spawn(speaks);
        self.to.insert(to, way);
        // It waits for its first piece, so it is there.
        let _ = self.offer(to, piece);
    }

    /// Gives it back if nobody takes it.
    fn offer(&self, to: SocketAddr, piece: Bytes) -> Option<Bytes> {
        match self.to.get(&to) {
            Some(way) => way.send(piece).err().map(|unsent| unsent.0),
            None => Some(piece),
        }
    }
}

/// Says one after the other, until nothing is left for a while or the other end is gone.
async fn speak(
    ground: Arc<Ground>,
    to: SocketAddr,
    mut pieces: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
) {
    let spoken = speak_to(&ground, to, &mut pieces, &waiting).await;
    // Nothing is added from now on, and what is there is lost.
    pieces.close();
    while let Ok(piece) = pieces.try_recv() {
        waiting.fetch_sub(piece.len(), Relaxed);
    }
    if let Err(error) = spoken {
        ground.meters.unreachable.add(1);
        tracing::debug!(%to, %error, "no connection to a member");
    }
}

async fn speak_to(
    ground: &Ground,
    to: SocketAddr,
    pieces: &mut mpsc::UnboundedReceiver<Bytes>,
    waiting: &AtomicUsize,
) -> io::Result<()> {
    let mut frames = within(HANDSHAKE, connect(ground, to)).await?;
    ground.meters.streams_out.add(1);
    loop {
        let piece = match pieces.try_recv() {
            Ok(piece) => piece,
            Err(_) => {
                frames.flush().await?;
                let next = async {
                    tokio::select! {
                        piece = pieces.recv() => Ok(piece),
                        () = frames.ended() => Ok(None),
                    }
                };
                match within(IDLE, next).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) | Err(_) => return frames.close().await,
                }
            }
        };
        waiting.fetch_sub(piece.len(), Relaxed);
        frames.say(&piece).await?;
        ground.meters.frames_out.add(1);
        ground.meters.bytes_out.add(piece.len());
    }
}

async fn connect(ground: &Ground, to: SocketAddr) -> io::Result<Frames> {
    let mut socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let mut frames = match ground.security() {
        Security::Keys(keys) => {
            let mut salts = [0; 2 * SALT];
            socket.read_exact(&mut salts[..SALT]).await?;
            fill(&mut salts[SALT..]).map_err(io::Error::other)?;
            let mut hello = Vec::from(keys.first().name());
            hello.extend_from_slice(&salts[SALT..]);
            socket.write_all(&hello).await?;
            Frames::new(Box::new(socket), Some(keys.first().derive(&salts, STREAM)))
        }
        Security::Certificates(tls, fleet) => {
            let name = ServerName::try_from(fleet).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
            let wires = TlsConnector::from(tls.dialing()).connect(name, socket).await?;
            Frames::new(Box::new(wires), None)
        }
    };
    let mut hello = Vec::from(VERSION.to_le_bytes());
    hello.extend_from_slice(ground.me.to_string().as_bytes());
    frames.say(&hello).await?;
    Ok(frames)
}

/// Takes in whoever comes, and hands on what members say.
pub(super) async fn listen(ground: Arc<Ground>, listener: TcpListener, said: mpsc::Sender<Said>) {
    let (guests, strangers) = (Arc::new(Semaphore::new(MOST_GUESTS)), Arc::new(Semaphore::new(MOST_STRANGERS)));
    loop {
        let Ok(stranger) = strangers.clone().acquire_owned().await else { return };
        let Ok(guest) = guests.clone().acquire_owned().await else { return };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot take in a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (ground, said) = (ground.clone(), said.clone());
        tokio::spawn(async move {
            let heard = within(HANDSHAKE, greet(&ground, socket)).await;
            drop(stranger);
            match heard {
                Ok((from, version, frames)) => {
                    ground.meters.streams_in.add(1);
                    if let Err(error) = hear(&ground, from, version, frames, &said).await {
                        tracing::debug!(%from, %error, "the connection of a member ends");
                    }
                }
                Err(error) => ground.refuse(peer, &error),
            }
            drop(guest);
        });
    }
}

/// Finds out whether somebody is a member, and where it is reached.
async fn greet(ground: &Ground, mut socket: TcpStream) -> io::Result<(SocketAddr, Version, Frames)> {
    socket.set_nodelay(true)?;
    let no_member = |why: &str| io::Error::new(ErrorKind::PermissionDenied, why);
    let mut frames = match ground.security() {
        Security::Keys(keys) => {
            let mut salts = [0; 2 * SALT];
            fill(&mut salts[..SALT]).map_err(io::Error::other)?;
            socket.write_all(&salts[..SALT]).await?;
            let mut name = [0; Key::NAME];
            socket.read_exact(&mut name).await?;
            socket.read_exact(&mut salts[SALT..]).await?;
            let key = keys.iter().find(|key| key.name() == name).ok_or_else(|| no_member("it has another key"))?;
            Frames::new(Box::new(socket), Some(key.derive(&salts, STREAM)))
        }
        Security::Certificates(tls, fleet) => {
            let wires = TlsAcceptor::from(tls.receiving()).accept(socket).await?;
            tls.is_named(wires.get_ref().1.peer_certificates(), &fleet).map_err(|why| no_member(&why))?;
            Frames::new(Box::new(wires) as Box<dyn Wires>, None)
        }
    };
    let hello = frames.hear(MOST_HELLO, HANDSHAKE).await?.ok_or(ErrorKind::UnexpectedEof)?;
    let (version, from) = hello.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
    let version = Version::from_le_bytes(*version);
    let from = std::str::from_utf8(from).ok().and_then(|from| from.parse().ok());
    let from = from.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it does not say where it is reached"))?;
    if !(OLDEST..=VERSION).contains(&version) {
        let why = format!("it speaks version {version}, and this build {OLDEST} to {VERSION}");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok((from, version, frames))
}

async fn hear(
    ground: &Ground,
    from: SocketAddr,
    version: Version,
    mut frames: Frames,
    said: &mpsc::Sender<Said>,
) -> io::Result<()> {
    while let Some(piece) = frames.hear(MOST_FRAME, FORGOTTEN).await? {
        ground.meters.frames_in.add(1);
        ground.meters.bytes_in.add(piece.len());
        // Whoever says more than the machine takes waits here, and with it the one who says it.
        if said.send((from, version, piece)).await.is_err() {
            break;
        }
    }
    Ok(())
}
