//! An answer: what became of a command.
//!
//! It begins with 32 bytes, and behind them come 16 for each fill:
//!
//! ```text
//!  0 kind   1 why   2 fills   4 client   6 zero   8 sequence
//! 16 the order's id   24 what rests, or was cancelled   28 what was dropped
//! 32 maker   40 price   44 quantity     once for each fill
//! ```
//!
//! The digest of a state has its five numbers from 8 on, and nothing else.
//! Whoever holds the first 32 bytes knows how long the answer is.

use std::fmt;

use super::{Client, MAX_CLIENTS, MAX_INSTRUMENTS, Malformed, OrderId, Price, Quantity, u16_at, u32_at, u64_at};

/// An order trades with at most so many others at once, and what is left of it
/// then is dropped: so an answer, and what the engine keeps of it for a client,
/// has a bound. Orders that sweep more than a few others are rare.
pub const MAX_FILLS: usize = 64;

/// How long an answer is without fills.
pub const HEADER_BYTES: usize = 32;

const FILL_BYTES: usize = 16;
const DIGEST_BYTES: usize = 48;

/// No answer is longer.
pub const MAX_ANSWER_BYTES: usize = HEADER_BYTES + MAX_FILLS * FILL_BYTES;

const ACCEPTED: u8 = 1;
const CANCELLED: u8 = 2;
const REFUSED: u8 = 3;
const DIGEST: u8 = 4;

/// What is told to a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Who asked; client 0 if that could not be read.
    pub client: Client,
    /// Under which number; 0 if that could not be read.
    pub sequence: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An order was taken. What it said is what the fills, the rest and what was dropped add up to.
    Accepted {
        /// Its id from now on.
        order: OrderId,
        /// What waits in the book.
        rests: Quantity,
        /// What would have gone through more than [`MAX_FILLS`] others.
        dropped: Quantity,
        /// Its trades, in order.
        fills: Vec<Fill>,
    },
    /// An order is out of the book.
    Cancelled {
        /// Which one.
        order: OrderId,
        /// What was left of it.
        quantity: Quantity,
    },
    /// Nothing was done.
    Refused(Why),
    /// The answer to [`Command::Digest`](super::Command::Digest).
    Digest(StateDigest),
}

impl Outcome {
    /// Whether the command used up its number, so that this is what it is answered for ever.
    pub fn is_final(&self) -> bool {
        match self {
            Outcome::Accepted { .. } | Outcome::Cancelled { .. } => true,
            Outcome::Refused(why) => *why >= Why::UnknownInstrument,
            Outcome::Digest(_) => false,
        }
    }
}

/// A trade, as whoever came second is told of it. It is made at the price of whoever was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fill {
    /// The order that had waited.
    pub maker: OrderId,
    /// Its price.
    pub price: Price,
    /// How much changed hands.
    pub quantity: Quantity,
}

/// Where two engines stand that should stand at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateDigest {
    /// How many commands used up a number.
    pub taken: u64,
    /// How many orders were accepted.
    pub orders: u64,
    /// How many trades were made.
    pub trades: u64,
    /// Of everything that happened, in order.
    pub history: u64,
    /// Of everything that is held now: of the bytes of a snapshot.
    pub state: u64,
}

/// Why nothing was done. From [`UnknownInstrument`](Why::UnknownInstrument) on the command was looked at and used up
/// its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Why {
    /// The bytes are no command.
    Malformed = 1,
    /// The exchange has no such client.
    UnknownClient = 2,
    /// Commands before this one have not been asked.
    Gap = 3,
    /// It was answered long ago, and only the last answer is kept.
    Past = 4,
    /// Another command had this number.
    NumberUsed = 5,
    /// Nothing is known of the order of commands just now: ask again.
    Unavailable = 6,
    /// The exchange has no such instrument.
    UnknownInstrument = 7,
    /// A price of nothing.
    NoPrice = 8,
    /// A quantity of nothing.
    NoQuantity = 9,
    /// The books are full.
    Full = 10,
    /// The client has as many open orders as one client may have.
    TooManyOpen = 11,
    /// The client has no such open order: it is filled, or cancelled, or somebody else's, or never was.
    NotOpen = 12,
}

impl Why {
    const ALL: [Why; 12] = [
        Why::Malformed,
        Why::UnknownClient,
        Why::Gap,
        Why::Past,
        Why::NumberUsed,
        Why::Unavailable,
        Why::UnknownInstrument,
        Why::NoPrice,
        Why::NoQuantity,
        Why::Full,
        Why::TooManyOpen,
        Why::NotOpen,
    ];
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::UnknownClient => {
                return write!(f, "there is no such client: they have the numbers below {MAX_CLIENTS}");
            }
            Why::UnknownInstrument => {
                return write!(f, "there is no such instrument: they have the numbers below {MAX_INSTRUMENTS}");
            }
            Why::Malformed => "these bytes are no command",
            Why::Gap => "commands before this one were not asked: ask them first",
            Why::Past => "this was answered before a later command was: only the last answer is kept",
            Why::NumberUsed => "another command had this number: go on with the next",
            Why::Unavailable => "this was not taken now: ask again",
            Why::NoPrice => "a price is at least one tick",
            Why::NoQuantity => "a quantity is at least one lot",
            Why::Full => "the books are full: cancel orders, or wait for trades",
            Why::TooManyOpen => "this client has too many open orders: cancel some",
            Why::NotOpen => "this client has no such open order: it is filled, cancelled, or was never its own",
        })
    }
}

impl Answer {
    /// A refusal.
    pub fn refused(client: Client, sequence: u64, why: Why) -> Answer {
        Answer { client, sequence, outcome: Outcome::Refused(why) }
    }

    /// Appends it as it travels.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        match &self.outcome {
            Outcome::Accepted { order, rests, dropped, fills } => {
                assert!(fills.len() <= MAX_FILLS, "{order} has {} fills", fills.len());
                self.encode_header(buffer, [ACCEPTED, 0], fills.len() as u16, order.bits(), [*rests, *dropped]);
                for fill in fills {
                    buffer.extend_from_slice(&fill.maker.bits().to_le_bytes());
                    buffer.extend_from_slice(&fill.price.to_le_bytes());
                    buffer.extend_from_slice(&fill.quantity.to_le_bytes());
                }
            }
            Outcome::Cancelled { order, quantity } => {
                self.encode_header(buffer, [CANCELLED, 0], 0, order.bits(), [*quantity, 0]);
            }
            Outcome::Refused(why) => self.encode_header(buffer, [REFUSED, *why as u8], 0, 0, [0, 0]),
            Outcome::Digest(digest) => {
                let StateDigest { taken, orders, trades, history, state } = *digest;
                buffer.extend_from_slice(&u64::from(DIGEST).to_le_bytes());
                buffer.extend_from_slice([taken, orders, trades, history, state].map(u64::to_le_bytes).as_flattened());
            }
        }
    }

    fn encode_header(&self, buffer: &mut Vec<u8>, kind: [u8; 2], fills: u16, order: u64, amounts: [Quantity; 2]) {
        let mut header = [0; HEADER_BYTES];
        header[..2].copy_from_slice(&kind);
        header[2..4].copy_from_slice(&fills.to_le_bytes());
        header[4..6].copy_from_slice(&self.client.0.to_le_bytes());
        header[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        header[16..24].copy_from_slice(&order.to_le_bytes());
        header[24..32].copy_from_slice(amounts.map(u32::to_le_bytes).as_flattened());
        buffer.extend_from_slice(&header);
    }

    /// What the bytes say, if they are what [`encode`](Answer::encode) gives.
    pub fn decode(bytes: &[u8]) -> Result<Answer, Malformed> {
        if length_of(bytes)? != bytes.len() {
            return Err(Malformed("an answer is longer or shorter than it says"));
        }
        if bytes[0] == DIGEST {
            return Answer::decode_digest(bytes);
        }
        let (client, sequence) = (Client(u16_at(bytes, 4)), u64_at(bytes, 8));
        let order = || OrderId::from_bits(u64_at(bytes, 16)).ok_or(Malformed("numbers of orders begin at 1"));
        let (rests, dropped) = (u32_at(bytes, 24), u32_at(bytes, 28));
        let outcome = match bytes[0] {
            ACCEPTED => Outcome::Accepted { order: order()?, rests, dropped, fills: decode_fills(bytes)? },
            CANCELLED => Outcome::Cancelled { order: order()?, quantity: rests },
            _ => Outcome::Refused(
                *Why::ALL.get(usize::from(bytes[1]).wrapping_sub(1)).ok_or(Malformed("an unknown reason"))?,
            ),
        };
        let must_be_zero = match outcome {
            Outcome::Accepted { .. } => bytes[1] != 0,
            Outcome::Cancelled { .. } => bytes[1] != 0 || dropped != 0,
            _ => bytes[16..32] != [0; 16],
        };
        if must_be_zero || bytes[6..8] != [0; 2] {
            return Err(Malformed("an answer says something where nothing belongs"));
        }
        Ok(Answer { client, sequence, outcome })
    }

    fn decode_digest(bytes: &[u8]) -> Result<Answer, Malformed> {
        if bytes[1..8] != [0; 7] {
            return Err(Malformed("an answer says something where nothing belongs"));
        }
        let [taken, orders, trades, history, state] = std::array::from_fn(|nth| u64_at(bytes, 8 + 8 * nth));
        let digest = StateDigest { taken, orders, trades, history, state };
        Ok(Answer { client: Client(0), sequence: 0, outcome: Outcome::Digest(digest) })
    }
}

fn decode_fills(bytes: &[u8]) -> Result<Vec<Fill>, Malformed> {
    let fill = |fill: &[u8; FILL_BYTES]| {
        let maker = OrderId::from_bits(u64_at(fill, 0)).ok_or(Malformed("numbers of orders begin at 1"))?;
        Ok(Fill { maker, price: u32_at(fill, 8), quantity: u32_at(fill, 12) })
    };
    bytes[HEADER_BYTES..].as_chunks().0.iter().map(fill).collect()
}

/// How long an answer is that begins like this: for those who read one answer behind the other.
pub fn length_of(bytes: &[u8]) -> Result<usize, Malformed> {
    if bytes.len() < HEADER_BYTES {
        return Err(Malformed("an answer has at least 32 bytes"));
    }
    match (bytes[0], usize::from(u16_at(bytes, 2))) {
        (ACCEPTED, fills) if fills <= MAX_FILLS => Ok(HEADER_BYTES + fills * FILL_BYTES),
        (ACCEPTED, _) => Err(Malformed("an order traded with more than 64 others")),
        (CANCELLED | REFUSED, 0) => Ok(HEADER_BYTES),
        (DIGEST, 0) => Ok(DIGEST_BYTES),
        (CANCELLED | REFUSED | DIGEST, _) => Err(Malformed("trades of what is no new order")),
        _ => Err(Malformed("no such kind of answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Instrument;
    use super::*;
    use proptest::prelude::*;

    fn accepted(fills: usize) -> Answer {
        let order = OrderId::new(Instrument(1), 2);
        let fill = Fill { maker: OrderId::new(Instrument(1), 1), price: 3, quantity: 4 };
        let outcome = Outcome::Accepted { order, rests: 5, dropped: 6, fills: vec![fill; fills] };
        Answer { client: Client(7), sequence: 8, outcome }
    }

    fn encoded(answer: &Answer) -> Vec<u8> {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        bytes
    }

    fn one_of_each() -> Vec<Answer> {
        let answer = |outcome| Answer { client: Client(4095), sequence: u64::MAX, outcome };
        let order = OrderId::new(Instrument(9), 1);
        let digest = StateDigest { taken: 1, orders: 2, trades: 3, history: 4, state: 5 };
        let mut all = vec![accepted(0), accepted(MAX_FILLS), answer(Outcome::Cancelled { order, quantity: 1 })];
        all.extend(Why::ALL.map(|why| answer(Outcome::Refused(why))));
        all.push(Answer { client: Client(0), sequence: 0, outcome: Outcome::Digest(digest) });
        all
    }

    #[test]
    fn golden_bytes() {
        #[rustfmt::skip]
        let golden = [
            1, 0, 1, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 0, 0, 0, 0, 1, 0, 5, 0, 0, 0, 6, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 4, 0, 0, 0,
        ];
        assert_eq!(encoded(&accepted(1)), golden);
    }

    #[test]
    fn answers_survive_the_journey() {
        for answer in one_of_each() {
            let bytes = encoded(&answer);
            assert_eq!(Answer::decode(&bytes), Ok(answer));
            assert_eq!(length_of(&bytes[..HEADER_BYTES]), Ok(bytes.len()));
            assert!(bytes.len() <= MAX_ANSWER_BYTES);
            assert!(Answer::decode(&bytes[..bytes.len() - 1]).is_err(), "a torn answer is none");
        }
        assert_eq!(encoded(&accepted(MAX_FILLS)).len(), MAX_ANSWER_BYTES);
    }

    #[test]
    #[should_panic(expected = "65 fills")]
    fn fills_have_a_bound() {
        encoded(&accepted(MAX_FILLS + 1));
    }

    #[test]
    fn reasons_have_their_numbers() {
        for (nth, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, nth + 1);
        }
        let first_final = Why::ALL.into_iter().position(|why| Outcome::Refused(why).is_final());
        assert_eq!(first_final, Some(6));
    }

    proptest! {
        /// One byte of an answer is another: it is refused, or it says something else and encodes to that.
        #[test]
        fn a_changed_byte_is_refused_or_means_something(which in 0usize..16, at in 0usize..64, byte: u8) {
            let mut bytes = encoded(&one_of_each()[which]);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(encoded(&answer), bytes);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_are_the_encoding(mut bytes: Vec<u8>, kind in 0u8..6) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(encoded(&answer), bytes);
            }
        }
    }
}
