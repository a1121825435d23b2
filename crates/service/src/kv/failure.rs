//! [`Failure`]: why a command was refused, in the words of Redis, code first.
//! Clients match on them, so they are part of the protocol; a command that
//! fails has changed nothing.

use alloc::borrow::Cow;
use alloc::vec::Vec;

/// The line that an error reply consists of, without the minus before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub Cow<'static, [u8]>);

/// How much of an argument an error repeats.
const MAX_QUOTED: usize = 128;

impl Failure {
    pub(super) const SYNTAX: Failure = Failure::of("ERR syntax error");
    pub(super) const WRONG_TYPE: Failure =
        Failure::of("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(super) const NOT_INTEGER: Failure = Failure::of("ERR value is not an integer or out of range");
    pub(super) const NOT_FLOAT: Failure = Failure::of("ERR value is not a valid float");
    pub(super) const NO_SUCH_KEY: Failure = Failure::of("ERR no such key");
    pub(super) const TOO_LONG: Failure = Failure::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub(super) const OUT_OF_RANGE: Failure = Failure::of("ERR value is out of range");
    pub(super) const NOT_POSITIVE: Failure = Failure::of("ERR value is out of range, must be positive");
    pub(super) const INDEX_RANGE: Failure = Failure::of("ERR index out of range");
    pub(super) const OVERFLOW: Failure = Failure::of("ERR increment or decrement would overflow");
    pub(super) const NOT_A_NUMBER: Failure = Failure::of("ERR increment would produce NaN or Infinity");
    pub(super) const BIT_OFFSET: Failure = Failure::of("ERR bit offset is not an integer or out of range");
    pub(super) const OUT_OF_MEMORY: Failure = Failure::of("OOM command not allowed when used memory > 'maxmemory'.");
    /// The same, of a transaction.
    pub(super) const ABORTED_OUT_OF_MEMORY: Failure = Failure::of(
        "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
    );

    /// An error that is always the same.
    pub const fn of(line: &'static str) -> Failure {
        Failure(Cow::Borrowed(line.as_bytes()))
    }

    /// An error that names something.
    pub fn with(parts: &[&[u8]]) -> Failure {
        Failure(Cow::Owned(parts.concat()))
    }

    /// The wrong number of arguments.
    pub fn arity(command: &str) -> Failure {
        Failure::with(&[b"ERR wrong number of arguments for '", command.as_bytes(), b"' command"])
    }

    /// A deadline that cannot be.
    pub(super) fn expire_time(command: &str) -> Failure {
        Failure::with(&[b"ERR invalid expire time in '", command.as_bytes(), b"' command"])
    }

    /// A command that nobody knows, with what was said to it.
    pub fn unknown(args: &[&[u8]]) -> Failure {
        let quoted = |arg: &[u8]| arg[..arg.len().min(MAX_QUOTED)].to_vec();
        let mut line: Vec<u8> = b"ERR unknown command '".to_vec();
        line.extend(args.first().map(|name| quoted(name)).unwrap_or_default());
        line.extend_from_slice(b"', with args beginning with: ");
        let mut shown = Vec::new();
        for arg in args.iter().skip(1) {
            if shown.len() >= MAX_QUOTED {
                break;
            }
            shown.push(b'\'');
            shown.extend_from_slice(&arg[..arg.len().min(MAX_QUOTED - (shown.len() - 1).min(MAX_QUOTED))]);
            shown.extend_from_slice(b"' ");
        }
        line.extend(shown);
        Failure(Cow::Owned(line))
    }

    /// The error line.
    pub fn line(&self) -> &[u8] {
        &self.0
    }
}
