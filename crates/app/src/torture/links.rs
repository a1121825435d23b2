//! The wires between tormented nodes: for every two of them a small proxy, to
//! which the one that dials is sent. What goes through it in either direction can
//! be held back, slowed down, or broken off, and no node knows. Bytes are never
//! changed, lost in the middle, or put out of order: TCP would not do that either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use skein_machine::ProcessId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::cli::Mistake;

/// A piece that is carried at once.
const PIECE: usize = 1 << 16;

/// How it stands with one direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everything passes at once.
    Free,
    /// Every piece waits so long, and the next one behind it.
    Slow(Duration),
    /// Nothing passes. Both ends believe that the connection stands.
    Held,
    /// There is no connection, and none can be made.
    Broken,
}

type Way = (ProcessId, ProcessId);

/// All wires, until this is dropped.
pub(crate) struct Links {
    ways: BTreeMap<Way, watch::Sender<Passage>>,
    /// Where the one with the smaller number finds the other.
    pub(crate) doors: BTreeMap<Way, SocketAddr>,
    /// The sockets that are open now, for every two.
    open: BTreeMap<Way, Open>,
    _stop: oneshot::Sender<()>,
}

type Open = Arc<Mutex<Vec<Arc<TcpStream>>>>;

/// One proxy.
struct Wire {
    door: std::net::TcpListener,
    target: SocketAddr,
    there: watch::Receiver<Passage>,
    back: watch::Receiver<Passage>,
    open: Open,
}

impl Links {
    /// Wires between all these processes.
    pub(crate) fn open(addresses: &BTreeMap<ProcessId, SocketAddr>) -> Result<Links, Mistake> {
        let fails = |error: std::io::Error| Mistake(format!("cannot open proxies between the nodes: {error}"));
        let (mut ways, mut doors, mut open) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut wires = Vec::new();
        for dialler in addresses.keys() {
            for (dialled, target) in addresses.range(dialler..).skip(1) {
                let door = std::net::TcpListener::bind("127.0.0.1:0").map_err(fails)?;
                door.set_nonblocking(true).map_err(fails)?;
                doors.insert((*dialler, *dialled), door.local_addr().map_err(fails)?);
                let (tell_there, there) = watch::channel(Passage::Free);
                let (tell_back, back) = watch::channel(Passage::Free);
                ways.insert((*dialler, *dialled), tell_there);
                ways.insert((*dialled, *dialler), tell_back);
                let sockets = Open::default();
                open.insert((*dialler, *dialled), sockets.clone());
                wires.push(Wire { door, target: *target, there, back, open: sockets });
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fails)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let carry = move || {
            runtime.block_on(async {
                for wire in wires {
                    tokio::spawn(wire.accept());
                }
                // Dropped is told, too.
                let _ = stopped.await;
            });
        };
        std::thread::Builder::new().name("wires".to_owned()).spawn(carry).map_err(fails)?;
        Ok(Links { ways, doors, open, _stop: stop })
    }

    /// How it stands from now on from one to the other.
    pub(crate) fn set(&self, from: ProcessId, to: ProcessId, passage: Passage) {
        self.ways[&(from, to)].send_replace(passage);
        if passage == Passage::Broken {
            let mut open = self.open[&(from.min(to), from.max(to))].lock().expect("nobody panics with the sockets");
            open.drain(..).for_each(|socket| close(&socket));
        }
    }

    /// All is well everywhere.
    pub(crate) fn heal(&self) {
        self.ways.values().for_each(|way| {
            way.send_replace(Passage::Free);
        });
    }
}

/// Both ends notice.
fn close(socket: &TcpStream) {
    // One that is closed already is what is wanted.
    let _ = shutdown(socket, Shutdown::Both);
}

impl Wire {
    async fn accept(self) {
        let door = TcpListener::from_std(self.door).expect("the runtime takes a listener");
        let is_broken = |way: &watch::Receiver<Passage>| *way.borrow() == Passage::Broken;
        loop {
            let Ok((near, _)) = door.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            if is_broken(&self.there) || is_broken(&self.back) {
                continue;
            }
            let (target, open) = (self.target, self.open.clone());
            let (there, back) = (self.there.clone(), self.back.clone());
            tokio::spawn(async move {
                // Nobody is there: the one that dialled sees its connection end.
                let Ok(far) = TcpStream::connect(target).await else { return };
                let (near, far) = (Arc::new(near), Arc::new(far));
                for socket in [&near, &far] {
                    let _ = socket.set_nodelay(true);
                }
                {
                    let mut open = open.lock().expect("nobody panics with the sockets");
                    // Whoever is held here only has ended.
                    open.retain(|socket| Arc::strong_count(socket) > 1);
                    open.extend([near.clone(), far.clone()]);
                }
                // It may have been broken off in between.
                if is_broken(&there) || is_broken(&back) {
                    close(&near);
                    close(&far);
                }
                tokio::spawn(carry(near.clone(), far.clone(), there));
                tokio::spawn(carry(far, near, back));
            });
        }
    }
}

/// Carries bytes in one direction until either end is gone, and then closes both.
async fn carry(from: Arc<TcpStream>, to: Arc<TcpStream>, mut way: watch::Receiver<Passage>) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count) = read(&from, &mut buffer).await
        && count > 0
    {
        if !pass(&mut way).await || write(&to, &buffer[..count]).await.is_err() {
            break;
        }
    }
    close(&from);
    close(&to);
}

/// Waits until a piece may pass, and answers whether it ever may.
async fn pass(way: &mut watch::Receiver<Passage>) -> bool {
    loop {
        let passage = *way.borrow_and_update();
        match passage {
            Passage::Free => return true,
            Passage::Slow(delay) => {
                tokio::time::sleep(delay).await;
                return true;
            }
            Passage::Broken => return false,
            Passage::Held if way.changed().await.is_err() => return false,
            Passage::Held => {}
        }
    }
}

async fn read(from: &TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const A: ProcessId = ProcessId(0);
    const B: ProcessId = ProcessId(1);

    /// Long enough for whatever is to come.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Long enough for what is not to come, were it to.
    const SHORTLY: Duration = Duration::from_millis(100);

    fn dial(links: &Links, target: &TcpListener) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(links.doors[&(A, B)]).unwrap();
        let far = target.accept().unwrap().0;
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        (near, far)
    }

    fn hear(socket: &mut TcpStream) -> u8 {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn each_direction_is_held_slowed_and_broken_by_itself() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap();
        let links = Links::open(&[(A, address), (B, address)].into()).unwrap();
        let (mut near, mut far) = dial(&links, &target);
        near.write_all(b"1").unwrap();
        far.write_all(b"2").unwrap();
        assert_eq!((hear(&mut far), hear(&mut near)), (b'1', b'2'));

        links.set(A, B, Passage::Held);
        near.write_all(b"3").unwrap();
        far.write_all(b"4").unwrap();
        assert_eq!(hear(&mut near), b'4', "the other direction is free");
        far.set_read_timeout(Some(SHORTLY)).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        links.set(A, B, Passage::Slow(Duration::from_millis(1)));
        assert_eq!(hear(&mut far), b'3', "nothing is lost");

        links.set(B, A, Passage::Broken);
        assert_eq!(near.read(&mut [0]).unwrap_or(0), 0, "it is closed");
        let mut refused = TcpStream::connect(links.doors[&(A, B)]).unwrap();
        refused.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0);
        links.heal();
        let (mut near, mut far) = dial(&links, &target);
        near.write_all(b"5").unwrap();
        assert_eq!(hear(&mut far), b'5');
    }
}
