//! # Machines on real ground
//!
//! The same machines as in simulation, driven by real time, sockets and
//! files. A [`replica`] lives on one thread with its links, its log and its
//! machine: no lock stands on the way of a message; one that has no thread is
//! [`driven`] by its owner's. [`files`] is the file
//! system behind a small trait, [`data`] the directory that belongs to one
//! replica, [`wal`] the log in which it keeps what it must not forget.
//! [`streams`] serves those who speak a protocol that is not ours. [`shm`] is
//! memory that outlives the processes which share it.
//!
//! No protocol is known here, and no service: a [`Machine`](skein_machine::Machine)
//! is all that this crate drives.

// Two modules may: one shares memory with other processes, one asks the system about threads.
#![deny(unsafe_code)]

pub mod caller;
pub mod clock;
pub mod cores;
pub mod data;
pub mod datagrams;
pub mod distance;
pub mod driven;
pub mod files;
pub mod frame;
pub mod front;
pub mod guest;
pub mod hello;
pub mod inspect;
pub mod listener;
pub mod replica;
pub mod shm;
pub mod streams;
pub mod tls;
pub mod wal;

mod alarms;
mod conn;
mod connections;
mod courtesy;
mod failure;
mod handle;
mod identity;
mod links;
mod stranger;
