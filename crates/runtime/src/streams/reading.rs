//! How streams are read: once in a turn, those that are ready and no others.
//! What was read is lent to the protocol, and what it leaves stays with its
//! stream.

use std::net::SocketAddr;

use super::StreamId;
use super::desk::Desk;
use super::input::{Input, READ};
use super::stream::Phase;
use crate::conn::Filled;

/// With so little unconsumed a stream needs no buffer of its own while it is read.
const SHORT: usize = READ / 4;

/// What a look at one stream came to.
pub(super) enum Heard {
    /// Nothing for the protocol.
    Nothing,
    /// A handshake is done, and there may be bytes with its end.
    Client(StreamId, SocketAddr),
    /// Bytes. They have to be given back.
    Bytes(StreamId, Input),
    /// The end.
    End(StreamId),
}

impl Desk {
    /// The poll tells of a stream.
    pub(super) fn on_event(&mut self, slot: u32, event: &mio::event::Event) {
        let Some(stream) = self.slots.get(slot) else { return };
        let is_broken = event.is_error() || event.is_write_closed();
        stream.is_read_closed |= event.is_read_closed() || is_broken;
        if event.is_writable() {
            stream.is_open_for_writing = true;
            if stream.takes_more() {
                self.touch(slot);
            }
        }
        let Some(stream) = self.slots.get(slot) else { return };
        if event.is_readable() || stream.is_read_closed {
            stream.has_more = true;
            self.may_have_ended(slot);
            self.queue(slot);
        }
    }

    /// Looks at a stream that is ready: reads once, if it may have more.
    pub(super) fn hear(&mut self, slot: u32) -> Heard {
        let Some(stream) = self.slots.get(slot) else { return Heard::Nothing };
        stream.is_ready = false;
        if stream.is_doomed {
            return Heard::Nothing;
        }
        match stream.phase {
            Phase::Open if stream.is_held_up() => return Heard::Nothing,
            Phase::Leaves => return Heard::Nothing,
            Phase::Left => {
                match stream.read_away(&mut self.lent) {
                    Ok(Filled::Drained) => {}
                    Ok(Filled::More) => self.queue(slot),
                    Ok(Filled::Closed) | Err(_) => self.doom(slot, "all is said"),
                }
                return Heard::Nothing;
            }
            Phase::Knocks | Phase::Open => {}
        }
        let id = stream.id;
        let before = stream.input.len();
        let is_resumed = std::mem::take(&mut stream.is_resumed);
        let mut input = std::mem::take(&mut stream.input);
        if before < SHORT {
            let short = std::mem::replace(&mut input, std::mem::take(&mut self.scratch));
            input.clear();
            input.push(short.bytes());
        }
        if stream.has_more && !stream.is_over && before < stream.most_input {
            match stream.fill(&mut input, &mut self.lent, &self.settings) {
                Ok(filled) => {
                    stream.has_more = filled == Filled::More;
                    stream.is_over = filled == Filled::Closed;
                }
                Err(error) => {
                    self.keep_room(input);
                    self.doom(slot, &error.to_string());
                    return Heard::Nothing;
                }
            }
        }
        let came = input.len() - before;
        if came > 0 {
            self.tally.heard += came as u64;
            stream.heard_at = self.now;
            let (since, earlier) = stream.begun.unwrap_or((self.now, 0));
            stream.begun = Some((since, earlier + came));
        }
        let has_to_speak = stream.has_to_speak();
        let opens = if stream.phase == Phase::Knocks { stream.opens() } else { Ok(false) };
        let (is_open, peer) = (stream.phase == Phase::Open, stream.peer);
        // The end is told when what came before it has been handed in.
        let is_end = stream.is_over && !stream.is_told && came == 0 && !is_resumed;
        if is_end && is_open {
            (stream.is_told, stream.is_ended, stream.moved_at) = (true, true, self.now);
        }
        if has_to_speak {
            self.touch(slot);
        }
        match opens {
            Ok(false) if is_open && !input.is_empty() && (came > 0 || is_resumed) => return Heard::Bytes(id, input),
            _ => self.give_back_to(slot, input),
        }
        match opens {
            Ok(true) => {
                self.known += 1;
                // What came with the end of the handshake is handed in next.
                self.resume(id);
                Heard::Client(id, peer)
            }
            Ok(false) if is_open && is_end => Heard::End(id),
            Ok(false) if is_open || !is_end => Heard::Nothing,
            Ok(false) => {
                self.doom(slot, "it closed the connection in the middle of the handshake");
                Heard::Nothing
            }
            Err(error) => {
                self.doom(slot, &error.to_string());
                Heard::Nothing
            }
        }
    }

    /// What was not consumed of a stream's input stays with it, unless it is gone by now.
    pub(super) fn give_back(&mut self, id: StreamId, input: Input) {
        self.settle_up();
        if self.listens(id) { self.give_back_to(id.slot, input) } else { self.keep_room(input) }
    }

    fn give_back_to(&mut self, slot: u32, input: Input) {
        let Some(stream) = self.slots.get(slot) else { return };
        if input.is_empty() {
            stream.begun = None;
        } else if stream.begun.is_none() {
            stream.begun = Some((self.now, 0));
        }
        let lent = if input.len() < SHORT {
            stream.input = if input.is_empty() { Input::default() } else { Input::of(input.bytes()) };
            Some(input)
        } else {
            stream.input = input.tidy();
            None
        };
        let may_go_on = stream.has_more && stream.input.len() < stream.most_input;
        if !stream.is_held_up() && (may_go_on || stream.is_resumed || (stream.is_over && !stream.is_told)) {
            self.queue(slot);
        }
        if let Some(input) = lent {
            self.keep_room(input);
        }
        self.sum_up(slot);
        self.watch(slot);
        while self.sums.input > self.settings.most_input_all {
            let heaviest = self.slots.iter().filter(|stream| !stream.is_doomed).max_by_key(|stream| stream.input.len());
            let Some((slot, most)) = heaviest.map(|stream| (stream.id.slot, stream.input.len())) else { break };
            let why = format!("{} bytes are read of all clients, and {most} of them of this one", self.sums.input);
            self.doom(slot, &why);
        }
    }

    fn keep_room(&mut self, mut input: Input) {
        input.clear();
        self.scratch = input;
    }

    /// The end of a stream that is paused is not read, but the poll may have told of it, before or since.
    pub(super) fn may_have_ended(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot).filter(|stream| stream.is_paused && stream.phase == Phase::Open) else {
            return;
        };
        if stream.is_read_closed && !std::mem::replace(&mut stream.is_ended, true) {
            stream.moved_at = self.now;
            self.ended.push(stream.id);
            self.watch(slot);
        }
    }
}
