//! A command: what a client wants, and under which number.
//!
//! It has 24 bytes, whatever it is:
//!
//! ```text
//!  0 kind   1 side   2 instrument   4 client   6 zero   8 sequence
//! 16 price  20 quantity             of a new order
//! 16 the order's id                 of a cancel
//! ```
//!
//! Whatever a kind does not need is zero, so a command has one encoding.

use super::{Client, Instrument, Malformed, OrderId, Price, Quantity, Side, u16_at, u32_at, u64_at};

/// How long every command is.
pub const COMMAND_BYTES: usize = 24;

const PLACE: u8 = 1;
const CANCEL: u8 = 2;
const DIGEST: u8 = 3;

const BUY: u8 = 0;
const SELL: u8 = 1;

/// What can be said to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// A client wants something done, once.
    Request(Request),
    /// What is the digest of all that was done up to here, and of the whole
    /// state? It changes nothing, so it needs no number. The answer costs a walk
    /// over all that is held: it is for auditors, not for everybody.
    Digest,
}

/// What a client wants, under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Who asks.
    pub client: Client,
    /// The client's commands are numbered 1, 2, 3 and so on, and the next one is
    /// asked when the last one was answered.
    pub sequence: u64,
    /// What is wanted.
    pub action: Action,
}

/// What a client can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Trade at this price or a better one, and wait in the book with the rest.
    Place {
        /// What is traded.
        instrument: Instrument,
        /// Which way.
        side: Side,
        /// The worst price that will do.
        price: Price,
        /// How much.
        quantity: Quantity,
    },
    /// Take what is left of an order out of the book.
    Cancel {
        /// The client's own order.
        order: OrderId,
    },
}

impl Command {
    /// As it travels.
    pub fn encode(&self) -> [u8; COMMAND_BYTES] {
        let mut bytes = [0; COMMAND_BYTES];
        let Command::Request(request) = self else {
            bytes[0] = DIGEST;
            return bytes;
        };
        bytes[4..6].copy_from_slice(&request.client.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&request.sequence.to_le_bytes());
        match request.action {
            Action::Place { instrument, side, price, quantity } => {
                bytes[0] = PLACE;
                bytes[1] = if side == Side::Buy { BUY } else { SELL };
                bytes[2..4].copy_from_slice(&instrument.0.to_le_bytes());
                bytes[16..20].copy_from_slice(&price.to_le_bytes());
                bytes[20..24].copy_from_slice(&quantity.to_le_bytes());
            }
            Action::Cancel { order } => {
                bytes[0] = CANCEL;
                bytes[16..24].copy_from_slice(&order.bits().to_le_bytes());
            }
        }
        bytes
    }

    /// What the bytes say, if they are what [`encode`](Command::encode) gives.
    pub fn decode(bytes: &[u8]) -> Result<Command, Malformed> {
        let bytes: &[u8; COMMAND_BYTES] = bytes.try_into().map_err(|_| Malformed("a command has 24 bytes"))?;
        if bytes[0] == DIGEST {
            let is_bare = bytes[1..].iter().all(|byte| *byte == 0);
            return if is_bare { Ok(Command::Digest) } else { Err(Malformed("a question for a digest says more")) };
        }
        let action = match bytes[0] {
            PLACE => Action::Place {
                instrument: Instrument(u16_at(bytes, 2)),
                side: match bytes[1] {
                    BUY => Side::Buy,
                    SELL => Side::Sell,
                    _ => return Err(Malformed("an order neither buys nor sells")),
                },
                price: u32_at(bytes, 16),
                quantity: u32_at(bytes, 20),
            },
            CANCEL if bytes[1..4] != [0; 3] => return Err(Malformed("a cancel has a side or an instrument")),
            CANCEL => Action::Cancel {
                order: OrderId::from_bits(u64_at(bytes, 16)).ok_or(Malformed("numbers of orders begin at 1"))?,
            },
            _ => return Err(Malformed("no such kind of command")),
        };
        let sequence = u64_at(bytes, 8);
        if sequence == 0 {
            return Err(Malformed("numbers of commands begin at 1"));
        }
        if bytes[6..8] != [0; 2] {
            return Err(Malformed("a command says something where nothing belongs"));
        }
        Ok(Command::Request(Request { client: Client(u16_at(bytes, 4)), sequence, action }))
    }
}

impl Request {
    /// As it travels.
    pub fn encode(self) -> [u8; COMMAND_BYTES] {
        Command::Request(self).encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> Command {
        let action =
            Action::Place { instrument: Instrument(0x0102), side: Side::Sell, price: 0x0304, quantity: 0x0506 };
        Command::Request(Request { client: Client(0x0708), sequence: 0x090a, action })
    }

    fn cancel() -> Command {
        let action = Action::Cancel { order: OrderId::new(Instrument(3), 4) };
        Command::Request(Request { client: Client(1), sequence: 2, action })
    }

    #[test]
    fn golden_bytes() {
        let golden = [1, 1, 2, 1, 8, 7, 0, 0, 10, 9, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 6, 5, 0, 0];
        assert_eq!(place().encode(), golden);
        let golden = [2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 3, 0];
        assert_eq!(cancel().encode(), golden);
        assert_eq!(Command::Digest.encode()[..2], [3, 0]);
        for command in [place(), cancel(), Command::Digest] {
            assert_eq!(Command::decode(&command.encode()), Ok(command));
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let refused = |command: Command, at: usize, byte: u8| {
            let mut bytes = command.encode();
            bytes[at] = byte;
            Command::decode(&bytes).unwrap_err().to_string()
        };
        assert!(refused(place(), 0, 0).contains("no such kind"));
        assert!(refused(place(), 0, 4).contains("no such kind"));
        assert!(refused(place(), 1, 2).contains("neither buys nor sells"));
        assert!(refused(place(), 6, 1).contains("where nothing belongs"));
        assert!(refused(cancel(), 8, 0).contains("commands begin at 1"));
        assert!(refused(cancel(), 16, 0).contains("orders begin at 1"));
        assert!(refused(cancel(), 2, 1).contains("a cancel has"));
        assert!(refused(Command::Digest, 23, 1).contains("says more"));
        for length in [0, COMMAND_BYTES - 1, COMMAND_BYTES + 1] {
            assert!(Command::decode(&vec![1; length]).unwrap_err().0.contains("24 bytes"));
        }
    }

    proptest! {
        /// Nine kinds of bytes in ten are made likely to mean something.
        #[test]
        fn any_bytes_are_refused_or_are_the_encoding(mut bytes: [u8; COMMAND_BYTES], kind in 0u8..5, sides in 0u8..3) {
            bytes[0] = kind;
            bytes[1] = sides;
            let nothing = bytes[6] / 128;
            bytes[6..8].fill(nothing);
            if let Ok(command) = Command::decode(&bytes) {
                prop_assert_eq!(command.encode(), bytes);
            }
        }
    }
}
