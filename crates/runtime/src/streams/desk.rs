//! [`Desk`]: all streams, as the protocol sees them. It says to whom what is
//! written and who is read, and what it says is done in the same turn: by
//! `reading` and by `writing`. The desk keeps the sums of what clients make
//! this process hold.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use super::input::Input;
use super::slots::Slots;
use super::stream::{Burden, Phase, Spares, Stream};
use super::writing::EARLY;
use super::{Settings, StreamId};
use crate::tls::Session;

/// What has come and gone since the server was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whoever came when there was no room.
    pub refused: u64,
    /// Whoever was let in and never finished the handshake of TLS, or did not speak it.
    pub unopened: u64,
    /// Bytes that clients said; where TLS is spoken, as they were before it.
    pub heard: u64,
    /// Bytes that clients were told, those included that they did not take.
    pub told: u64,
}

/// What a protocol wants done with its streams.
pub struct Desk {
    pub(super) settings: Settings,
    pub(super) slots: Slots,
    /// Streams of which there is something to hand in, or to read.
    pub(super) ready: VecDeque<u32>,
    /// Streams that were spoken to in this turn, or that take more.
    pub(super) touched: Vec<u32>,
    /// Streams that are gone at the end of this turn,
    pub(super) doomed: Vec<u32>,
    /// and those of which the protocol hears no more.
    pub(super) leaving: Vec<u32>,
    /// Paused ones that have ended.
    pub(super) ended: Vec<StreamId>,
    /// To whom something is being written: its sums are not up to date.
    pub(super) handed: Option<(u32, usize)>,
    /// Where goes what is written to nobody.
    sink: Vec<u8>,
    pub(super) spares: Spares,
    /// Where bytes are read that are consumed at once, as most are,
    pub(super) scratch: Input,
    /// and where those lie before that which have to be decrypted.
    pub(super) lent: Vec<u8>,
    pub(super) sums: Burden,
    pub(super) known: usize,
    pub(super) tally: Tally,
    pub(super) now: Instant,
}

impl Desk {
    pub(super) fn new(settings: Settings) -> Desk {
        Desk {
            settings,
            slots: Slots::default(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            doomed: Vec::new(),
            leaving: Vec::new(),
            ended: Vec::new(),
            handed: None,
            sink: Vec::new(),
            spares: Spares::default(),
            scratch: Input::default(),
            lent: vec![0; Session::ASKED],
            sums: Burden::default(),
            known: 0,
            tally: Tally::default(),
            now: Instant::now(),
        }
    }

    // ---- What a protocol may want.

    /// What is appended to this is written to the client at the end of the turn, or earlier if it is long. Whoever is
    /// gone gets a buffer of which nothing becomes.
    pub fn write(&mut self, client: StreamId) -> &mut Vec<u8> {
        self.settle_up();
        let Some(stream) = self.slots.named(client).filter(|stream| stream.listens()) else {
            self.sink.clear();
            self.sink.shrink_to(EARLY);
            return &mut self.sink;
        };
        if stream.said.capacity() == 0 {
            stream.said = self.spares.take();
        }
        self.handed = Some((client.slot, stream.said.len()));
        self.touch(client.slot);
        &mut self.slots.get(client.slot).expect("it was just there").said
    }

    /// Closes a stream after everything that was written so far. It is not read any more.
    pub fn close(&mut self, client: StreamId) {
        self.settle_up();
        let now = self.now;
        let Some(stream) = self.slots.named(client).filter(|stream| stream.listens()) else { return };
        stream.leave(now);
        self.sum_up(client.slot);
        self.touch(client.slot);
        self.watch(client.slot);
    }

    /// Reads a stream no further, and hands in nothing of it. What is unfinished may then stay so, and whoever is
    /// silent.
    pub fn pause(&mut self, client: StreamId) {
        if let Some(stream) = self.slots.named(client) {
            stream.is_paused = true;
            self.may_have_ended(client.slot);
        }
    }

    /// Reads it again. If there is input that was not consumed, it is handed in once more, in this turn or the next,
    /// whether the stream was paused or not.
    pub fn resume(&mut self, client: StreamId) {
        let now = self.now;
        let Some(stream) = self.slots.named(client) else { return };
        if std::mem::take(&mut stream.is_paused) {
            // As long as it was paused, it was not its turn.
            stream.heard_at = now;
            stream.begun = stream.begun.map(|_| (now, 0));
        }
        stream.is_resumed = true;
        self.queue(client.slot);
        self.watch(client.slot);
    }

    /// Of this client so many unconsumed bytes are expected, if that is more than others may have, and no more than
    /// [`Settings::most_expected`]. Less than that means that it is like the others again.
    pub fn expect(&mut self, client: StreamId, bytes: usize) {
        let (least, most) = (self.settings.most_input, self.settings.most_expected);
        if let Some(stream) = self.slots.named(client) {
            stream.most_input = bytes.min(most).max(least);
            self.queue(client.slot);
        }
    }

    /// The client has said something whole. Whoever never does is closed, and so is whoever has input that nobody
    /// consumes, and does not go on: leave what is unfinished unconsumed.
    pub fn settled(&mut self, client: StreamId) {
        if let Some(stream) = self.slots.named(client) {
            stream.is_settled = true;
            stream.begun = None;
        }
    }

    /// Whether a client may say nothing for as long as it likes, because it listens.
    pub fn may_be_silent(&mut self, client: StreamId, may: bool) {
        let now = self.now;
        if let Some(stream) = self.slots.named(client) {
            stream.may_be_silent = may;
            stream.heard_at = now;
        }
        self.watch(client.slot);
    }

    /// Bytes that were written to a client and that it has not taken, as far as is known here.
    pub fn backlog(&self, client: StreamId) -> usize {
        self.slots.look(client).map_or(0, Stream::backlog)
    }

    /// Whether a client has taken enough of what it was told to be told more. Where it has not, it is read no further
    /// until it has, and what was not consumed is handed in then. To ask this between two requests is for whoever
    /// answers at length: many requests may have come together, and who takes their answers must not be cut off.
    pub fn has_room(&mut self, client: StreamId) -> bool {
        self.settle_up();
        let (now, brake) = (self.now, self.settings.most_backlog / 2);
        let Some(stream) = self.slots.named(client) else { return true };
        let has_room = stream.backlog() <= brake;
        if !has_room && !std::mem::replace(&mut stream.waits_for_room, true) {
            stream.moved_at = now;
        }
        has_room
    }

    /// Whether what is written to a client may reach it.
    pub fn listens(&self, client: StreamId) -> bool {
        self.slots.look(client).is_some_and(Stream::listens)
    }

    /// How many clients there are: those that have come and are not gone.
    pub fn count(&self) -> usize {
        self.known
    }

    /// Bytes that were read of all streams and not consumed.
    pub fn input_kept(&self) -> usize {
        self.sums.input
    }

    /// Bytes that were written to all streams and that they have not taken.
    pub fn backlog_kept(&self) -> usize {
        self.sums.backlog
    }

    /// What was counted since the server was opened.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When this turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    // ---- Who comes and goes.

    /// Takes in a stream that is registered under the next name.
    pub(super) fn take_in(&mut self, socket: TcpStream, peer: SocketAddr, session: Option<Session>) -> StreamId {
        let id = self.slots.next_id();
        let stream = Stream::new(id, socket, peer, session, self.settings.most_input, self.now);
        self.known += usize::from(stream.is_known());
        self.slots.insert(stream);
        self.watch(id.slot);
        id
    }

    /// Whoever is due is closed, or has more time.
    pub(super) fn look_after(&mut self) {
        while let Some(slot) = self.slots.due(self.now) {
            let stream = self.slots.get(slot).expect("it is due");
            stream.goes_on(self.now);
            match stream.deadline(&self.settings) {
                Some((at, why)) if at <= self.now => self.doom(slot, why),
                _ => self.watch(slot),
            }
        }
    }

    /// Cuts a stream off at the end of this turn. What it has held is let go at once.
    pub(super) fn doom(&mut self, slot: u32, why: &str) {
        let Some(stream) = self.slots.get(slot).filter(|stream| !stream.is_doomed) else { return };
        tracing::debug!(stream = stream.id.number, from = %stream.peer, why, "a stream is closed");
        stream.is_doomed = true;
        self.tally.unopened += u64::from(stream.phase == Phase::Knocks);
        stream.forget_everything();
        self.doomed.push(slot);
        self.sum_up(slot);
    }

    /// Whether all that a client said was consumed, and all that it was told has been taken.
    pub(super) fn is_idle(&self, client: StreamId) -> bool {
        let is_idle = |stream: &Stream| stream.input.is_empty() && stream.backlog() == 0 && !stream.is_ready;
        self.slots.look(client).is_some_and(is_idle)
    }

    /// Whether there is something to do before the poll tells of more.
    pub(super) fn is_busy(&self) -> bool {
        !(self.ready.is_empty() && self.touched.is_empty() && self.doomed.is_empty() && self.ended.is_empty())
    }

    // ---- Books.

    pub(super) fn queue(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot) else { return };
        if !std::mem::replace(&mut stream.is_ready, true) {
            self.ready.push_back(slot);
        }
    }

    pub(super) fn touch(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot) else { return };
        if !std::mem::replace(&mut stream.is_touched, true) {
            self.touched.push(slot);
        }
    }

    /// Has a stream looked at when something may be too late.
    pub(super) fn watch(&mut self, slot: u32) {
        let at = self.slots.get(slot).and_then(|stream| stream.deadline(&self.settings));
        self.slots.look_at(slot, at.map(|(at, _)| at));
    }

    /// Brings the sums up to date with what one stream holds.
    pub(super) fn sum_up(&mut self, slot: u32) {
        let Some(stream) = self.slots.get(slot) else { return };
        let burden = stream.burden();
        let counted = std::mem::replace(&mut stream.counted, burden);
        self.sums.input = self.sums.input - counted.input + burden.input;
        self.sums.backlog = self.sums.backlog - counted.backlog + burden.backlog;
    }
}
