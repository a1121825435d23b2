//! [`Proxy`]: a wire between two replicas that cuts, splits and delays.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use skein_machine::Random;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    is_calm: Arc<AtomicBool>,
}

impl Proxy {
    /// Leads to this address. Until it is calm, every connection ends somewhere, in one direction first.
    pub(crate) fn to(target: SocketAddr, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_calm = Arc::new(AtomicBool::new(false));
        let calm = is_calm.clone();
        std::thread::spawn(move || {
            let mut random = Random::new(seed);
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = TcpStream::connect(target) else { continue };
                for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    let (random, calm) = (Random::new(random.word()), calm.clone());
                    std::thread::spawn(move || pipe(from, to, random, &calm));
                }
            }
        });
        Proxy { address, is_calm }
    }

    pub(crate) fn calm_down(&self) {
        self.is_calm.store(true, Relaxed);
    }
}

fn pipe(mut from: TcpStream, mut to: TcpStream, mut random: Random, is_calm: &AtomicBool) {
    let mut left = 200 + random.below(20_000);
    let mut bytes = [0; 4096];
    loop {
        let room = 1 + random.below(bytes.len() as u64) as usize;
        let Ok(count @ 1..) = from.read(&mut bytes[..room]) else { break };
        let count = if is_calm.load(Relaxed) { count } else { count.min(left as usize) };
        let cut = random.below(count as u64 + 1) as usize;
        let written = to.write_all(&bytes[..cut]).and_then(|()| {
            if random.chance(0.05) {
                std::thread::sleep(Duration::from_millis(random.below(10)));
            }
            to.write_all(&bytes[cut..count])
        });
        left = left.saturating_sub(count as u64);
        if written.is_err() || (left == 0 && !is_calm.load(Relaxed)) {
            break;
        }
    }
    // Sometimes both directions end, sometimes only one.
    let _ = to.shutdown(Shutdown::Write);
    if random.chance(0.5) {
        let _ = from.shutdown(Shutdown::Both);
    }
}
