//! An engine as bytes, written at once: what happened so far, what clients were
//! told last, and the books as one reads them, the best order first.
//!
//! The bytes follow from the history alone: places in slabs and tables are not
//! in them. They are read with the same suspicion as everything that comes from
//! elsewhere: what no engine can have been is refused with a sentence, so that
//! a replica that begins from a snapshot begins from a book that holds.

use bytes::Bytes;
use skein_machine::wire::{Reader, VERSION, WireError, Writer};

use super::clients::Record;
use super::{Engine, History, MAX_OPEN, MAX_OPEN_OF_CLIENT};
use crate::book::Order;
use crate::digest::Digest;
use crate::words::{
    Answer, COMMAND_BYTES, Client, Command, Instrument, MAX_ANSWER_BYTES, MAX_CLIENTS, MAX_INSTRUMENTS, OrderId, Side,
};

/// The first bytes, the format's version last.
const MAGIC: &[u8; 8] = b"skeinex\x01";

/// What an order takes: its number, client, price and quantity.
const ORDER_BYTES: usize = 8 + 2 + 4 + 4;

pub(super) fn write(engine: &Engine) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(engine.open * ORDER_BYTES + (1 << 16));
    buffer.extend_from_slice(MAGIC);
    let mut writer = Writer::new(&mut buffer, VERSION);
    let History { taken, orders, trades, cancels, digest } = engine.history;
    writer.words([taken, orders, trades, cancels, digest.value()]);

    writer.u16(engine.clients.iter().count() as u16);
    for (client, record) in engine.clients.iter() {
        writer.u16(client.0);
        // Client and number of the command are the record's own.
        writer.bytes(&record.command);
        writer.bytes(&record.answer);
    }

    let markets = || (0..MAX_INSTRUMENTS).zip(&engine.markets).filter(|(_, market)| market.given > 0);
    writer.u16(markets().count() as u16);
    for (instrument, market) in markets() {
        writer.u16(instrument);
        writer.u64(market.given);
        for side in [Side::Buy, Side::Sell] {
            writer.u32(market.book.orders(side).count() as u32);
            for order in market.book.orders(side) {
                writer.u64(order.number);
                writer.u16(order.client.0);
                writer.u32(order.price);
                writer.u32(order.quantity);
            }
        }
    }
    buffer
}

pub(super) fn read(bytes: &Bytes) -> Result<Engine, String> {
    let Some(MAGIC) = bytes.first_chunk() else {
        return Err("these bytes are no snapshot of an exchange: they begin with something else".to_owned());
    };
    let mut reader = Reader::new(bytes.slice(MAGIC.len()..), VERSION).map_err(|error| error.to_string())?;
    let mut engine = Engine::new();
    read_history(&mut reader, &mut engine).map_err(|error| format!("in what happened so far, {error}"))?;
    read_clients(&mut reader, &mut engine)?;
    read_markets(&mut reader, &mut engine)?;
    reader.finish().map_err(|error| format!("behind the last book, {error}"))?;
    check_sums(&engine)?;
    Ok(engine)
}

fn read_history(reader: &mut Reader, engine: &mut Engine) -> Result<(), WireError> {
    let [taken, orders, trades, cancels, digest] = reader.words()?;
    engine.history = History { taken, orders, trades, cancels, digest: Digest::from_value(digest) };
    Ok(())
}

fn read_clients(reader: &mut Reader, engine: &mut Engine) -> Result<(), String> {
    let torn = |error: WireError| format!("among the clients, {error}");
    let mut lowest = 0;
    for _ in 0..reader.u16().map_err(torn)? {
        let client = Client(reader.u16().map_err(torn)?);
        if client.0 < lowest || client.0 >= MAX_CLIENTS {
            return Err(format!("{client} stands where there can only be one from {lowest} to {}", MAX_CLIENTS - 1));
        }
        lowest = client.0 + 1;
        let command = reader.bytes("a command", COMMAND_BYTES).map_err(torn)?;
        let answer = reader.bytes("an answer", MAX_ANSWER_BYTES).map_err(torn)?;
        let last = match (Command::decode(&command), Answer::decode(&answer)) {
            (Ok(Command::Request(asked)), Ok(told)) if told.sequence == asked.sequence && told.client == client => {
                (asked.client == client && told.outcome.is_final()).then_some(asked.sequence)
            }
            _ => None,
        };
        let last = last.ok_or_else(|| format!("the last answer to {client} answers something else"))?;
        let command = command[..].try_into().expect("what was decoded has the length of a command");
        *engine.clients.record(client) = Record { last, command, answer: answer.to_vec() };
    }
    Ok(())
}

fn read_markets(reader: &mut Reader, engine: &mut Engine) -> Result<(), String> {
    let torn = |error: WireError| format!("among the books, {error}");
    let mut lowest = 0;
    for _ in 0..reader.u16().map_err(torn)? {
        let instrument = Instrument(reader.u16().map_err(torn)?);
        if instrument.0 < lowest || instrument.0 >= MAX_INSTRUMENTS {
            let most = MAX_INSTRUMENTS - 1;
            return Err(format!("{instrument} stands where there can only be one from {lowest} to {most}"));
        }
        lowest = instrument.0 + 1;
        let given = reader.u64().map_err(torn)?;
        if !(1..=OrderId::MAX_NUMBER).contains(&given) {
            return Err(format!("{instrument} claims to have had {given} orders"));
        }
        let market = &mut engine.markets[usize::from(instrument.0)];
        market.given = given;
        for side in [Side::Buy, Side::Sell] {
            for _ in 0..reader.u32().map_err(torn)? {
                let order = read_order(reader, side).map_err(torn)?;
                let room = engine.open < MAX_OPEN;
                let open_of = engine.open_of.get_mut(usize::from(order.client.0));
                let Some(open_of) = open_of.filter(|open| room && **open < MAX_OPEN_OF_CLIENT) else {
                    return Err(format!("in the book of {instrument}, order {} is one too many", order.number));
                };
                if order.number > given {
                    return Err(format!("in the book of {instrument}, order {} of {given} waits", order.number));
                }
                market.book.put_back(order).map_err(|why| format!("in the book of {instrument}, {why}"))?;
                *open_of += 1;
                engine.open += 1;
            }
        }
    }
    Ok(())
}

fn read_order(reader: &mut Reader, side: Side) -> Result<Order, WireError> {
    let (number, client) = (reader.u64()?, Client(reader.u16()?));
    Ok(Order { number, client, side, price: reader.u32()?, quantity: reader.u32()? })
}

/// What is told twice must be the same.
fn check_sums(engine: &Engine) -> Result<(), String> {
    let taken = sum(engine.clients.iter().map(|(_, record)| record.last));
    let orders = sum(engine.markets.iter().map(|market| market.given));
    if taken != Some(engine.history.taken) || orders != Some(engine.history.orders) {
        return Err("the clients, the books and the counts tell of different histories".to_owned());
    }
    Ok(())
}

fn sum(mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.try_fold(0u64, u64::checked_add)
}
