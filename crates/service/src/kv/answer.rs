//! [`Answer`]: a reply on its way into the bytes that a client reads, in RESP2
//! or RESP3. What the older protocol has no word for becomes what Redis makes
//! of it. Lengths are written before their elements, so whoever writes an
//! array counts first.

use alloc::vec::Vec;
use bytes::Bytes;
use skein_machine::Reply;
use smallvec::SmallVec;

use super::failure::Failure;
use super::number;
use super::request::Protocol;

/// Most replies are a short line, or a number: those take no memory until they are done.
const SHORT: usize = 32;

/// What nearly every command that writes answers.
const OK: &[u8] = b"+OK\r\n";

/// A reply that is being written.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    protocol: Protocol,
    buffer: SmallVec<[u8; SHORT]>,
}

impl Answer {
    /// Nothing yet, in this protocol.
    pub fn new(protocol: Protocol) -> Answer {
        Answer { protocol, buffer: SmallVec::new() }
    }

    /// In which protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How much is written.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back what was written since it was this long.
    pub fn truncate(&mut self, length: usize) {
        self.buffer.truncate(length);
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buffer.into_vec()
    }

    /// The same, as services answer.
    pub fn into_reply(self) -> Reply {
        Reply(match &self.buffer[..] {
            OK => Bytes::from_static(OK),
            short if !self.buffer.spilled() => Bytes::copy_from_slice(short),
            _ => Bytes::from(self.buffer.into_vec()),
        })
    }

    /// The same, in place.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Appends a reply that is written already.
    pub fn raw(&mut self, reply: &[u8]) {
        self.buffer.extend_from_slice(reply);
    }

    /// A short line that is no error.
    pub fn simple(&mut self, line: &str) {
        self.buffer.push(b'+');
        self.buffer.extend_from_slice(line.as_bytes());
        self.end();
    }

    /// The usual one.
    pub fn ok(&mut self) {
        self.buffer.extend_from_slice(OK);
    }

    /// An error. Its line may quote what a client said, so line ends in it become blanks.
    pub fn failure(&mut self, failure: &Failure) {
        self.buffer.push(b'-');
        let line = failure.line().iter();
        self.buffer.extend(line.map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.end();
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.head(b':', value);
    }

    /// How many.
    pub fn count(&mut self, count: usize) {
        self.integer(count as i64);
    }

    /// Whether, as a number.
    pub fn flag(&mut self, flag: bool) {
        self.integer(i64::from(flag));
    }

    /// A string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.head(b'$', bytes.len() as i64);
        self.buffer.extend_from_slice(bytes);
        self.end();
    }

    /// Some text for people to read.
    pub fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Two => self.bulk(text.as_bytes()),
            Protocol::Three => {
                self.head(b'=', text.len() as i64 + 4);
                self.buffer.extend_from_slice(b"txt:");
                self.buffer.extend_from_slice(text.as_bytes());
                self.end();
            }
        }
    }

    /// A string, or nothing.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Nothing, where a string could be.
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Two => self.buffer.extend_from_slice(b"$-1\r\n"),
            Protocol::Three => self.buffer.extend_from_slice(b"_\r\n"),
        }
    }

    /// Nothing, where an array could be.
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Two => self.buffer.extend_from_slice(b"*-1\r\n"),
            Protocol::Three => self.buffer.extend_from_slice(b"_\r\n"),
        }
    }

    /// So many elements follow.
    pub fn array(&mut self, length: usize) {
        self.head(b'*', length as i64);
    }

    /// So many pairs follow.
    pub fn map(&mut self, length: usize) {
        match self.protocol {
            Protocol::Two => self.array(2 * length),
            Protocol::Three => self.head(b'%', length as i64),
        }
    }

    /// So many members follow.
    pub fn set(&mut self, length: usize) {
        match self.protocol {
            Protocol::Two => self.array(length),
            Protocol::Three => self.head(b'~', length as i64),
        }
    }

    /// A score.
    pub fn double(&mut self, value: f64) {
        let text = number::general(value);
        match self.protocol {
            Protocol::Two => self.bulk(text.as_bytes()),
            Protocol::Three => {
                self.buffer.push(b',');
                self.buffer.extend_from_slice(text.as_bytes());
                self.end();
            }
        }
    }

    /// Whether this is RESP3.
    pub fn is_three(&self) -> bool {
        self.protocol == Protocol::Three
    }

    fn head(&mut self, kind: u8, value: i64) {
        self.buffer.push(kind);
        number::write_integer(value, |digits| self.buffer.extend_from_slice(digits));
        self.end();
    }

    fn end(&mut self) {
        self.buffer.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_what_was_written() {
        let long = "x".repeat(SHORT);
        for line in ["OK", "PONG", "", &long] {
            let mut answer = Answer::new(Protocol::Two);
            answer.simple(line);
            let written = answer.bytes().to_vec();
            assert_eq!(written, [b"+", line.as_bytes(), b"\r\n"].concat());
            assert_eq!(answer.into_reply().0, written);
        }
        assert_eq!(Answer::new(Protocol::Three).into_reply(), Reply::default());
    }

    #[test]
    fn both_protocols() {
        for (protocol, expected) in [
            (Protocol::Two, "$-1\r\n*-1\r\n*4\r\n*1\r\n$3\r\n1.5\r\n-ERR a b\r\n$1\r\nx\r\n:-7\r\n"),
            (Protocol::Three, "_\r\n_\r\n%2\r\n~1\r\n,1.5\r\n-ERR a b\r\n$1\r\nx\r\n:-7\r\n"),
        ] {
            let mut answer = Answer::new(protocol);
            answer.null();
            answer.null_array();
            answer.map(2);
            answer.set(1);
            answer.double(1.5);
            answer.failure(&Failure::of("ERR a\nb"));
            answer.bulk(b"x");
            answer.integer(-7);
            assert_eq!(answer.into_bytes(), expected.as_bytes());
        }
    }
}
