//! [`Settings`]: the bounds of a server of streams, each with the reason for
//! its number.

use std::time::Duration;

use crate::tls::Certificates;

/// What a server of streams holds and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// So many streams are open at most, those that are being closed too. Each idle one costs less than a kilobyte
    /// here, and some in the system; the bound is there for descriptors.
    pub most_streams: usize,
    /// What whoever comes beyond that is told, in the clear. Where TLS is spoken, the door is shut without a word.
    pub refusal: Vec<u8>,
    /// What is told whoever speaks in the clear where TLS is spoken.
    pub refusal_in_the_clear: Vec<u8>,
    /// What whoever connects by TLS has to present.
    pub certificates: Certificates,
    /// Bytes that were read of one stream and not consumed, before it is read no further. Far more than any request
    /// that is not a long value.
    pub most_input: usize,
    /// The same for a stream of which the protocol expects a long value: it may expect no more.
    pub most_expected: usize,
    /// The same for all streams together. Above this, whoever has most of them is cut off.
    pub most_input_all: usize,
    /// Bytes that a client was told and does not take, above which it is cut off. The longest that was written at once
    /// does not count, as that it takes its time is no delay.
    pub most_backlog: usize,
    /// The same for all clients together. Above this, whoever has most of them is cut off.
    pub most_backlog_all: usize,
    /// A stream that has not said anything whole within this is closed. A handshake of TLS counts.
    pub first_word: Duration,
    /// A stream that has begun to say something, and of which no good part has come within this, is closed.
    pub unfinished: Duration,
    /// A stream that says nothing for so long is closed, if there is such a bound.
    pub idle: Option<Duration>,
    /// The server's thread pushes nobody off a core when something comes up.
    pub is_patient: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            most_streams: 10_000,
            refusal: Vec::new(),
            refusal_in_the_clear: Vec::new(),
            certificates: Certificates::Required,
            most_input: 1 << 20,
            // The longest value that Redis knows, and its head.
            most_expected: (512 << 20) + (1 << 20),
            most_input_all: 1 << 30,
            most_backlog: 64 << 20,
            most_backlog_all: 1 << 30,
            first_word: Duration::from_secs(30),
            unfinished: Duration::from_secs(30),
            idle: None,
            is_patient: false,
        }
    }
}
