//! What is kept of clients, so that each command is done exactly once: for each
//! the number of the last command, the command, and the answer to it.
//!
//! A client asks one thing at a time, so the last answer is the only one that
//! it can have missed. Nothing here knows what commands do.

use std::cmp::Ordering;

use crate::words::{COMMAND_BYTES, Client, MAX_CLIENTS, Why};

/// One client's.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The number of its last command; 0 before the first.
    pub(super) last: u64,
    /// That command.
    pub(super) command: [u8; COMMAND_BYTES],
    /// And what it was told. The memory is used again for the next answer.
    pub(super) answer: Vec<u8>,
}

static NEW: Record = Record { last: 0, command: [0; COMMAND_BYTES], answer: Vec::new() };

/// All of them: a table that ends with the highest client that ever spoke.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    records: Vec<Record>,
}

/// What is to be done with a command.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// It is the client's next.
    New,
    /// It was done, and this was the answer.
    Done(&'a [u8]),
    /// Neither.
    Refused(Why),
}

impl Clients {
    /// Whether it is the turn of a client's command.
    #[inline]
    pub(super) fn turn(&self, client: Client, sequence: u64, command: &[u8]) -> Turn<'_> {
        if client.0 >= MAX_CLIENTS {
            return Turn::Refused(Why::UnknownClient);
        }
        let record = self.records.get(usize::from(client.0)).unwrap_or(&NEW);
        assert!(sequence > 0, "a command was decoded that has no number");
        match (sequence - 1).cmp(&record.last) {
            Ordering::Equal => Turn::New,
            Ordering::Greater => Turn::Refused(Why::Gap),
            Ordering::Less if sequence < record.last => Turn::Refused(Why::Past),
            // Whoever forgot where it was must not take another command's answer for its own.
            Ordering::Less if record.command != command => Turn::Refused(Why::NumberUsed),
            Ordering::Less => Turn::Done(&record.answer),
        }
    }

    /// The record of a client whose turn it is, to be filled in.
    pub(super) fn record(&mut self, client: Client) -> &mut Record {
        assert!(client.0 < MAX_CLIENTS, "{client} has a turn");
        let at = usize::from(client.0);
        if at >= self.records.len() {
            self.records.resize(at + 1, NEW.clone());
        }
        &mut self.records[at]
    }

    /// Everybody who ever had a turn.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Client, &Record)> {
        let clients = (0..MAX_CLIENTS).map(Client);
        clients.zip(&self.records).filter(|(_, record)| record.last > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: [u8; COMMAND_BYTES] = [1; COMMAND_BYTES];
    const OTHER: [u8; COMMAND_BYTES] = [2; COMMAND_BYTES];

    fn note(clients: &mut Clients, client: Client, last: u64, answer: &[u8]) {
        *clients.record(client) = Record { last, command: FIRST, answer: answer.to_vec() };
    }

    #[test]
    fn numbers_begin_at_one_and_leave_none_out() {
        let mut clients = Clients::default();
        assert!(matches!(clients.turn(Client(3), 1, &FIRST), Turn::New));
        assert!(matches!(clients.turn(Client(3), 2, &FIRST), Turn::Refused(Why::Gap)));
        note(&mut clients, Client(3), 1, b"one");
        assert!(matches!(clients.turn(Client(3), 1, &FIRST), Turn::Done(b"one")));
        assert!(matches!(clients.turn(Client(3), 1, &OTHER), Turn::Refused(Why::NumberUsed)));
        assert!(matches!(clients.turn(Client(3), 2, &OTHER), Turn::New));
        assert!(matches!(clients.turn(Client(3), 3, &OTHER), Turn::Refused(Why::Gap)));
        note(&mut clients, Client(3), 2, b"two");
        assert!(matches!(clients.turn(Client(3), 1, &FIRST), Turn::Refused(Why::Past)));
        assert!(matches!(clients.turn(Client(2), 1, &FIRST), Turn::New), "a neighbour is somebody else");
        assert_eq!(clients.iter().map(|(client, _)| client).collect::<Vec<_>>(), [Client(3)]);
    }

    #[test]
    fn numbers_go_to_the_end() {
        let mut clients = Clients::default();
        note(&mut clients, Client(0), u64::MAX, b"");
        assert!(matches!(clients.turn(Client(0), u64::MAX, &FIRST), Turn::Done(_)));
        assert!(matches!(clients.turn(Client(0), 1, &FIRST), Turn::Refused(Why::Past)));
        assert!(matches!(clients.turn(Client(1), u64::MAX, &FIRST), Turn::Refused(Why::Gap)));
    }

    #[test]
    fn there_are_so_many_clients() {
        let clients = Clients::default();
        assert!(matches!(clients.turn(Client(MAX_CLIENTS - 1), 1, &FIRST), Turn::New));
        assert!(matches!(clients.turn(Client(MAX_CLIENTS), 1, &FIRST), Turn::Refused(Why::UnknownClient)));
        assert!(matches!(clients.turn(Client(u16::MAX), 1, &FIRST), Turn::Refused(Why::UnknownClient)));
    }
}
