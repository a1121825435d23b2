//! Addresses for nodes that start later, each handed out once. All tests that start nodes include this file.
//!
//! They lie below the ports that the system gives away by itself: between the
//! moment at which one is found free and the start of the node that is to have
//! it, no connection and no other test is given the same.

#![allow(dead_code, reason = "no test needs all of it")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where to look: above what services of the host use, below what the system gives away.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// An address at which nobody listens, and that nobody else in this process is told.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs beside each other begin at different places.
    let begin = (std::process::id() % 100) as u16 * (COUNT / 100);
    for _ in 0..COUNT {
        let nth = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + nth));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("there is no free port from {FIRST} on")
}

/// The first of so many ports in a row.
pub(crate) fn row(count: u16) -> u16 {
    let mut first = free().port();
    let mut last = first;
    while last + 1 - first < count {
        let next = free().port();
        first = if next == last + 1 { first } else { next };
        last = next;
    }
    first
}

/// So many of them.
pub(crate) fn some<const N: usize>() -> [SocketAddr; N] {
    [(); N].map(|()| free())
}
