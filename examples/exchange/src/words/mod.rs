//! What is said to the exchange and what it says: names, commands, answers,
//! and their bytes. All of it is fixed in width and little endian, so that a
//! command lies in one cache line on its way and nobody has to parse.
//!
//! Nobody outside is trusted: bytes that are not exactly what encoding gives
//! are refused here, and what cannot be judged without the books (whether
//! there is such an instrument, whether an order is open) is refused by the
//! engine. Nothing here knows a book.

mod answer;
mod command;

use std::fmt;

pub use answer::{Answer, Fill, HEADER_BYTES, MAX_ANSWER_BYTES, MAX_FILLS, Outcome, StateDigest, Why, length_of};
pub use command::{Action, COMMAND_BYTES, Command, Request};

/// A price in ticks, from 1. What a tick is worth is the instrument's business.
pub type Price = u32;

/// An amount in lots, from 1. Sums of amounts are `u64`.
pub type Quantity = u32;

/// Members have numbers below this. One that trades costs the engine about a
/// kilobyte, so all of them together cost little.
pub const MAX_CLIENTS: u16 = 1 << 12;

/// Instruments have numbers below this. An engine is one thread: a venue with
/// more to trade has more engines.
pub const MAX_INSTRUMENTS: u16 = 64;

/// Who trades. The exchange gives its members small numbers, so that what it
/// keeps of them lies in a table without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u16);

/// What is traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instrument(pub u16);

/// Which way an order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Pays at most its price.
    Buy,
    /// Takes at least its price.
    Sell,
}

impl Side {
    /// Whom this one trades with.
    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

/// Names an order for ever: its instrument above, and below its number among
/// the orders of that instrument, from 1, in the order in which the engine took
/// them. So an id finds its book by itself, follows from the history alone,
/// and of two orders at one price the lower one was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u64);

impl OrderId {
    /// A million orders a second reach it after nine years.
    pub const MAX_NUMBER: u64 = (1 << 48) - 1;

    /// The order of this number among those of an instrument.
    pub fn new(instrument: Instrument, number: u64) -> OrderId {
        assert!((1..=OrderId::MAX_NUMBER).contains(&number), "{number} is no number of an order");
        OrderId(u64::from(instrument.0) << 48 | number)
    }

    /// Whose book it stands in.
    pub fn instrument(self) -> Instrument {
        Instrument((self.0 >> 48) as u16)
    }

    /// Its number in that book.
    pub fn number(self) -> u64 {
        self.0 & OrderId::MAX_NUMBER
    }

    fn from_bits(bits: u64) -> Option<OrderId> {
        (bits & OrderId::MAX_NUMBER != 0).then_some(OrderId(bits))
    }

    /// As it travels.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instrument {}", self.0)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {}/{}", self.instrument().0, self.number())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        })
    }
}

/// Bytes that are no command or no answer, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// The number at a place of fixed-width bytes whose length was checked.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_its_instrument_and_its_number() {
        let id = OrderId::new(Instrument(63), OrderId::MAX_NUMBER);
        assert_eq!((id.instrument(), id.number()), (Instrument(63), OrderId::MAX_NUMBER));
        assert!(OrderId::new(Instrument(2), 9) < OrderId::new(Instrument(2), 10));
        assert_eq!(OrderId::new(Instrument(2), 9).to_string(), "order 2/9");
        assert_eq!(OrderId::from_bits(OrderId::new(Instrument(2), 9).bits()), Some(OrderId::new(Instrument(2), 9)));
        assert_eq!(OrderId::from_bits(1 << 48), None, "numbers begin at 1");
    }

    #[test]
    #[should_panic(expected = "no number of an order")]
    fn numbers_of_orders_have_an_end() {
        OrderId::new(Instrument(0), OrderId::MAX_NUMBER + 1);
    }
}
