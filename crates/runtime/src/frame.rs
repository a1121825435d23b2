//! Frames: how messages stand in a stream of bytes. A frame has a length and a
//! checksum, and carries as many messages as were ready together. A message
//! that is too long for one frame travels in pieces. This file knows no
//! sockets, and nothing of what messages say.
//!
//! ```text
//! frame    length of the body: u32, crc32c of the body: u32, body
//! body     pieces, one behind the other
//! piece    its length, and in the highest bit whether more of the message follows: u32, bytes
//! ```

use std::fmt;

use bytes::{Bytes, BytesMut};

/// No frame's body is longer: what a stranger may make this process hold at once.
pub const MAX_BODY: usize = MAX_PIECE + FULL;

/// No message is longer, in all its pieces: a snapshot with the largest state of a user, and the log beside it.
pub const MAX_MESSAGE: usize = (1 << 30) + (1 << 28);

/// A frame that has grown to this is closed.
const FULL: usize = 256 << 10;

/// A longer message is cut into pieces.
const MAX_PIECE: usize = 1 << 20;

const HEAD: usize = 8;
const PIECE_HEAD: usize = 4;
const MORE: u32 = 1 << 31;

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length at its head says more than may be.
    TooLong {
        /// What it says.
        length: usize,
    },
    /// The checksum is another one.
    Checksum,
    /// A piece ends beyond its frame.
    Torn,
    /// The pieces of one message are longer than a message may be.
    Endless {
        /// How long it may be here.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { length } => write!(f, "a frame of {length} bytes, where {MAX_BODY} are the most"),
            FrameError::Checksum => f.write_str("a frame whose checksum does not match"),
            FrameError::Torn => f.write_str("a message that ends beyond its frame"),
            FrameError::Endless { limit } => write!(f, "a message of more than {limit} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Messages on their way into a stream.
#[derive(Debug, Default)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    /// Where the open frame begins.
    open: Option<usize>,
    count: u64,
}

impl FrameWriter {
    /// Nothing yet.
    pub fn new() -> FrameWriter {
        FrameWriter::default()
    }

    /// Adds one message, encoded straight into the frame.
    pub fn message(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let frame = self.open.unwrap_or_else(|| self.begin());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PIECE_HEAD]);
        encode(&mut self.bytes);
        let length = self.bytes.len() - start - PIECE_HEAD;
        if length > MAX_PIECE {
            let long = self.bytes.split_off(start);
            self.pieces(&long[PIECE_HEAD..]);
            return;
        }
        let head = u32::try_from(length).expect("a piece is short");
        self.bytes[start..start + PIECE_HEAD].copy_from_slice(&head.to_le_bytes());
        if self.bytes.len() - frame >= FULL {
            self.close();
        }
    }

    /// A frame without a message: a sign of life.
    pub fn sign_of_life(&mut self) {
        self.close();
        self.begin();
        self.close();
    }

    /// How many frames were begun since this was asked last.
    pub(crate) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// Everything, ready to be written; empty when there is nothing.
    pub fn finish(&mut self) -> &mut Vec<u8> {
        self.close();
        &mut self.bytes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes wait to be written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn pieces(&mut self, message: &[u8]) {
        let mut pieces = message.chunks(MAX_PIECE).peekable();
        while let Some(piece) = pieces.next() {
            if self.open.is_none() {
                self.begin();
            }
            let more = if pieces.peek().is_some() { MORE } else { 0 };
            let head = u32::try_from(piece.len()).expect("a piece is short") | more;
            self.bytes.extend_from_slice(&head.to_le_bytes());
            self.bytes.extend_from_slice(piece);
            self.close();
        }
    }

    fn begin(&mut self) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        self.open = Some(start);
        self.count += 1;
        start
    }

    /// Ends the open frame: what is said next has one of its own.
    pub(crate) fn close(&mut self) {
        let Some(start) = self.open.take() else { return };
        let body = &self.bytes[start + HEAD..];
        let length = u32::try_from(body.len()).expect("a frame is short");
        let checksum = crc32c::crc32c(body);
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[start + 4..start + HEAD].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Bytes on their way out of a stream.
#[derive(Debug)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// What was read and not taken lies between these.
    start: usize,
    end: usize,
    /// A long frame is read straight to where its messages will lie, and so many bytes of it are there. Then
    /// nothing lies in `bytes`.
    long: Option<(BytesMut, usize)>,
    /// The pieces so far of a message that goes on.
    unfinished: BytesMut,
    /// No message in pieces may be longer.
    limit: usize,
}

/// So much is read at once.
const READ: usize = 64 << 10;

impl FrameReader {
    /// Nothing was read yet.
    pub fn new() -> FrameReader {
        FrameReader { bytes: Vec::new(), start: 0, end: 0, long: None, unfinished: BytesMut::new(), limit: MAX_MESSAGE }
    }

    /// From now on no message in pieces may be longer than this.
    pub(crate) fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many bytes are kept of a message that has not come to its end.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// Room to read into. What was read must be told by [`FrameReader::read`].
    pub fn room(&mut self) -> &mut [u8] {
        self.begin_long();
        if let Some((frame, there)) = &mut self.long
            && *there < frame.len()
        {
            return &mut frame[*there..];
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = self.end + READ;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        &mut self.bytes[self.end..wanted]
    }

    /// So many bytes were read into the room.
    pub fn read(&mut self, count: usize) {
        match &mut self.long {
            Some((frame, there)) if *there < frame.len() => *there += count,
            _ => self.end += count,
        }
    }

    /// The frame that has begun is long, and a good part of it is there: whoever only says that it is long gets no
    /// memory for that.
    fn begin_long(&mut self) {
        let there = &self.bytes[self.start..self.end];
        if self.long.is_some() || there.len() < READ {
            return;
        }
        let length = HEAD + number(there, 0) as usize;
        if length > there.len() && length <= HEAD + MAX_BODY {
            let mut frame = BytesMut::zeroed(length);
            frame[..there.len()].copy_from_slice(there);
            self.long = Some((frame, there.len()));
            (self.start, self.end) = (0, 0);
        }
    }

    /// The body of the next frame, if all of it is there. One copy for all its messages, which share it.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some((frame, there)) = &self.long {
            if *there < frame.len() {
                return Ok(None);
            }
            let (frame, _) = self.long.take().expect("it is there");
            if crc32c::crc32c(&frame[HEAD..]) != number(&frame, 4) {
                return Err(FrameError::Checksum);
            }
            return Ok(Some(frame.freeze().slice(HEAD..)));
        }
        let there = &self.bytes[self.start..self.end];
        let Some((head, rest)) = there.split_at_checked(HEAD) else { return Ok(None) };
        let length = number(head, 0) as usize;
        if length > MAX_BODY {
            return Err(FrameError::TooLong { length });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        if crc32c::crc32c(body) != number(head, 4) {
            return Err(FrameError::Checksum);
        }
        let body = Bytes::copy_from_slice(body);
        self.start += HEAD + length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > 4 * READ {
                self.bytes = Vec::new();
            }
        }
        Ok(Some(body))
    }

    /// Takes the next whole message off a frame's body.
    pub fn next_message(&mut self, body: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        while !body.is_empty() {
            if body.len() < PIECE_HEAD {
                return Err(FrameError::Torn);
            }
            let head = body.split_to(PIECE_HEAD);
            let head = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let length = (head & !MORE) as usize;
            if length > body.len() {
                return Err(FrameError::Torn);
            }
            let piece = body.split_to(length);
            if head & MORE == 0 && self.unfinished.is_empty() {
                return Ok(Some(piece));
            }
            if self.unfinished.len() + length > self.limit {
                return Err(FrameError::Endless { limit: self.limit });
            }
            self.unfinished.extend_from_slice(&piece);
            if head & MORE == 0 {
                return Ok(Some(std::mem::take(&mut self.unfinished).freeze()));
            }
        }
        Ok(None)
    }

    /// Takes every message that has come, as far as all is well.
    pub(crate) fn take_all(&mut self, messages: &mut Vec<Bytes>) -> Result<(), FrameError> {
        while let Some(mut body) = self.next_frame()? {
            while let Some(message) = self.next_message(&mut body)? {
                messages.push(message);
            }
        }
        Ok(())
    }

    /// Whether something was read that is no whole frame, or no whole message, yet.
    pub fn is_waiting(&self) -> bool {
        self.start < self.end || self.long.is_some() || !self.unfinished.is_empty()
    }
}

/// A number in the head of a frame.
fn number(head: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(reader: &mut FrameReader, mut bytes: &[u8], step: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let room = reader.room();
            let count = bytes.len().min(step).min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
            reader.read(count);
            bytes = &bytes[count..];
            reader.take_all(&mut messages)?;
        }
        Ok(messages)
    }

    fn written(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = FrameWriter::new();
        for message in messages {
            writer.message(|buffer| buffer.extend_from_slice(message));
        }
        std::mem::take(writer.finish())
    }

    #[test]
    fn what_is_written_is_read_however_it_arrives() {
        let sizes = [0, 1, 5, 70_000, FULL, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE + 7, 2];
        let messages: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(nth, size)| vec![nth as u8; *size]).collect();
        let bytes = written(&messages);
        for step in [1 << 20, 65_536, 4_099] {
            assert_eq!(feed(&mut FrameReader::new(), &bytes, step).unwrap(), messages);
        }
        let small = written(&messages[..3]);
        assert_eq!(feed(&mut FrameReader::new(), &small, 1).unwrap(), messages[..3]);
    }

    #[test]
    fn messages_of_one_turn_share_a_frame() {
        let bytes = written(&[vec![1; 10], vec![2; 10]]);
        assert_eq!(bytes.len(), HEAD + 2 * (PIECE_HEAD + 10));
    }

    #[test]
    fn a_sign_of_life_says_nothing() {
        let mut writer = FrameWriter::new();
        writer.sign_of_life();
        assert_eq!(writer.finish().len(), HEAD);
        let bytes = std::mem::take(writer.finish());
        assert_eq!(feed(&mut FrameReader::new(), &bytes, 3).unwrap(), Vec::<Bytes>::new());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = written(&[vec![7; 20]]);
        let mut flipped = good.clone();
        flipped[15] ^= 1;
        assert_eq!(feed(&mut FrameReader::new(), &flipped, 99), Err(FrameError::Checksum));
        let mut long = good.clone();
        long[..4].copy_from_slice(&(MAX_BODY as u32 + 1).to_le_bytes());
        assert_eq!(feed(&mut FrameReader::new(), &long, 99), Err(FrameError::TooLong { length: MAX_BODY + 1 }));
        // A piece that claims more than its frame holds, under a sound checksum.
        let body = 100u32.to_le_bytes();
        let torn = [&4u32.to_le_bytes()[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat();
        assert_eq!(feed(&mut FrameReader::new(), &torn, 99), Err(FrameError::Torn));
        assert!(FrameError::Checksum.to_string().contains("checksum"));
    }

    /// Long frames are read another way, to the same end. Who only says that its frame is long gets no memory for it.
    #[test]
    fn a_long_frame_gets_memory_as_it_comes() {
        let mut reader = FrameReader::new();
        let mut bytes = written(&[vec![7; MAX_PIECE]]);
        assert_eq!(feed(&mut reader, &bytes[..READ - 1], 999), Ok(Vec::new()));
        reader.room();
        assert!(reader.long.is_none() && reader.is_waiting());
        assert_eq!(feed(&mut reader, &bytes[READ - 1..bytes.len() - 1], 999), Ok(Vec::new()));
        assert!(reader.long.is_some() && reader.is_waiting());
        assert_eq!(feed(&mut reader, &bytes[bytes.len() - 1..], 999), Ok(vec![Bytes::from(vec![7; MAX_PIECE])]));
        assert!(!reader.is_waiting());
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(feed(&mut reader, &bytes, 1 << 20), Err(FrameError::Checksum));
    }

    /// A message that never ends is cut off before it fills the memory.
    #[test]
    fn pieces_end() {
        let mut reader = FrameReader::new();
        reader.unfinished = BytesMut::zeroed(MAX_MESSAGE - 2);
        let body = [&(3u32 | MORE).to_le_bytes()[..], b"abc"].concat();
        let endless = FrameError::Endless { limit: MAX_MESSAGE };
        assert_eq!(reader.next_message(&mut Bytes::from(body)), Err(endless));
    }
}
