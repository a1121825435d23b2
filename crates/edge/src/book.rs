//! [`Book`]: which handle stands for which address. A machine names its peers
//! by [`ProcessId`]s, and members find each other by addresses of sockets.
//!
//! On real sockets the driver asks here whom an incoming datagram is from, drops
//! it when there is no handle for the address, and asks where to send what a
//! machine wants sent.
//!
//! A handle is good for the turn in which it was asked for, and for some
//! thousand others after that; whoever remembers a peer for longer remembers its
//! address.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use skein_machine::ProcessId;

/// Four addresses for every member of the largest fleet.
const MAX_HANDLES: usize = 1 << 14;

/// One that was asked for within so many askings stays what it is. Far more than a turn asks for.
const RECENT: u64 = MAX_HANDLES as u64 / 2;

/// The port of all in a simulated fleet.
const PORT: u16 = 7_000;

/// Addresses and their handles.
#[derive(Clone, Debug)]
pub struct Book(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Ruled,
    Written(Written),
}

#[derive(Clone, Debug)]
struct Written {
    most: usize,
    recent: u64,
    handles: BTreeMap<SocketAddr, u16>,
    /// By handle: the address, and at which asking somebody last asked for it.
    entries: Vec<(SocketAddr, u64)>,
    asked: u64,
}

impl Book {
    /// For a simulated fleet: an address is 10.0.x.y, and x.y is the handle.
    pub const fn of_rule() -> Book {
        Book(Kind::Ruled)
    }

    /// For real sockets: handles are given as addresses come up.
    pub fn of_sockets() -> Book {
        Book::of_at_most(MAX_HANDLES, RECENT)
    }

    fn of_at_most(most: usize, recent: u64) -> Book {
        Book(Kind::Written(Written { most, recent, handles: BTreeMap::new(), entries: Vec::new(), asked: 0 }))
    }

    /// Where a process of a simulated fleet is reached.
    pub fn ruled_address(process: ProcessId) -> SocketAddr {
        let [high, low] = process.0.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), PORT)
    }

    /// The handle of an address. `None` when the book is full of addresses that are in use, and when a rule has none.
    pub fn handle(&mut self, address: SocketAddr) -> Option<ProcessId> {
        match &mut self.0 {
            Kind::Ruled => ruled_handle(address),
            Kind::Written(written) => written.handle(address).map(ProcessId),
        }
    }

    /// What a handle stands for.
    pub fn address(&self, handle: ProcessId) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Ruled => Some(Book::ruled_address(handle)),
            Kind::Written(written) => written.entries.get(usize::from(handle.0)).map(|(address, _)| *address),
        }
    }

    /// How many addresses are written down.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Ruled => 0,
            Kind::Written(written) => written.entries.len(),
        }
    }

    /// Whether nothing is written down.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn ruled_handle(address: SocketAddr) -> Option<ProcessId> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let [_, _, high, low] = ip.octets();
    let process = ProcessId(u16::from_be_bytes([high, low]));
    (Book::ruled_address(process) == address).then_some(process)
}

impl Written {
    fn handle(&mut self, address: SocketAddr) -> Option<u16> {
        self.asked += 1;
        if let Some(handle) = self.handles.get(&address) {
            self.entries[usize::from(*handle)].1 = self.asked;
            return Some(*handle);
        }
        let handle = if self.entries.len() < self.most {
            self.entries.push((address, self.asked));
            self.entries.len() - 1
        } else {
            let oldest = (0..self.entries.len()).min_by_key(|handle| self.entries[*handle].1)?;
            let (former, asked) = self.entries[oldest];
            if asked + self.recent >= self.asked {
                return None;
            }
            self.handles.remove(&former);
            self.entries[oldest] = (address, self.asked);
            oldest
        };
        let handle = u16::try_from(handle).expect("a book has fewer handles than there are");
        self.handles.insert(address, handle);
        Some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn address(n: u16) -> SocketAddr {
        format!("192.0.2.1:{}", 1_000 + n).parse().unwrap()
    }

    #[test]
    fn a_rule_needs_no_book() {
        let mut book = Book::of_rule();
        for process in [0, 255, 256, u16::MAX].map(ProcessId) {
            let address = book.address(process).unwrap();
            assert_eq!(book.handle(address), Some(process));
        }
        for stranger in ["10.1.0.0:7000", "10.0.0.0:7001", "[::1]:7000"] {
            assert_eq!(book.handle(stranger.parse().unwrap()), None);
        }
        assert!(book.is_empty());
    }

    #[test]
    fn an_address_keeps_its_handle_while_it_is_used() {
        let mut book = Book::of_at_most(4, 4);
        let handles: Vec<_> = (0..4).map(|n| book.handle(address(n)).unwrap()).collect();
        assert_eq!(book.handle(address(4)), None, "all are in use");
        assert_eq!(book.handle(address(0)), Some(handles[0]));
        assert_eq!(book.handle(address(4)), Some(handles[1]), "the one that was used least lately");
        assert_eq!((book.address(handles[1]), book.address(handles[0])), (Some(address(4)), Some(address(0))));
        assert_eq!((book.len(), book.address(ProcessId(9))), (4, None));
    }

    #[test]
    fn a_flood_of_strangers_fills_no_memory() {
        let mut book = Book::of_sockets();
        let ours = book.handle(address(0));
        for n in 1..18_000u32 {
            book.handle(SocketAddr::new(Ipv4Addr::from_bits(n).into(), 9));
            if n % 100 == 0 {
                assert_eq!(book.handle(address(0)), ours);
            }
        }
        assert_eq!(book.len(), MAX_HANDLES);
    }
}
