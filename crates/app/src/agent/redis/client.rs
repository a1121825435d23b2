//! [`Client`]: one connection, and to what it listens.

use std::collections::BTreeSet;

use skein_service::kv::{Answer, Protocol, glob_matches};

use crate::serve::resp::parser::Parser;

/// A client listens to so many keys at most,
pub(super) const MOST_CHANNELS: usize = 1_024;

/// and to so many patterns, each of which is looked at with every change.
pub(super) const MOST_PATTERNS: usize = 64;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) parser: Parser,
    pub(super) protocol: Protocol,
    /// It has said who it is, or need not.
    pub(super) is_known: bool,
    pub(super) name: Vec<u8>,
    pub(super) channels: BTreeSet<Vec<u8>>,
    pub(super) patterns: BTreeSet<Vec<u8>>,
    /// The agent was asked something for it, and has not answered.
    pub(super) waits: bool,
    pub(super) is_leaving: bool,
}

impl Client {
    pub(super) fn new(number: u64, is_known: bool) -> Client {
        Client {
            number,
            parser: Parser::default(),
            protocol: Protocol::Two,
            is_known,
            name: Vec::new(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            waits: false,
            is_leaving: false,
        }
    }

    /// To how much it listens.
    pub(super) fn listens_to(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Tells it of a change, as often as it has asked for it. Answers whether it did.
    pub(super) fn tell(&self, key: &[u8], value: &[u8], answer: &mut Answer) -> bool {
        let mut was_told = self.channels.contains(key);
        if was_told {
            push(answer, 3);
            [b"message", key, value].into_iter().for_each(|part| answer.bulk(part));
        }
        for pattern in self.patterns.iter().filter(|pattern| glob_matches(pattern, key)) {
            was_told = true;
            push(answer, 4);
            [b"pmessage", &pattern[..], key, value].into_iter().for_each(|part| answer.bulk(part));
        }
        was_told
    }

    /// Confirms that it listens to something, or does not any more.
    pub(super) fn confirm(&self, what: &str, channel: Option<&[u8]>, answer: &mut Answer) {
        push(answer, 3);
        answer.bulk(what.as_bytes());
        answer.bulk_or_null(channel);
        answer.integer(self.listens_to() as i64);
    }
}

/// What comes without having been asked for is marked so, where the protocol can.
fn push(answer: &mut Answer, length: usize) {
    if answer.is_three() {
        answer.raw(format!(">{length}\r\n").as_bytes());
    } else {
        answer.array(length);
    }
}
