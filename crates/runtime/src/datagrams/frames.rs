//! [`Frames`]: what is said on a connection, piece by piece. Where a fleet
//! shares a key each piece is sealed under its number on this connection, so
//! none can be left out, repeated or brought from another; where it has
//! certificates, TLS beneath does that.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{Aad, LessSafeKey, MAX_TAG_LEN};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::seal::nonce;

/// The longest piece. A whole map goes in pieces of a quarter of a megabyte; what has everybody's history in one is
/// longer, and far from this.
pub const MOST_FRAME: usize = 16 << 20;

/// So much room is made for what was announced and has not come.
const AT_ONCE: usize = 256 << 10;

/// Whoever takes or gives nothing for so long, in the middle of something, is given up.
pub(super) const STUCK: Duration = Duration::from_secs(20);

/// What bytes go by.
pub(super) trait Wires: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wires for T {}

/// One direction of a connection.
pub(super) struct Frames {
    wires: Box<dyn Wires>,
    /// The key of this connection, unless TLS has one; and how many pieces it has sealed or opened.
    key: Option<(LessSafeKey, u64)>,
    said: Vec<u8>,
}

impl Frames {
    pub(super) fn new(wires: Box<dyn Wires>, key: Option<LessSafeKey>) -> Frames {
        Frames { wires, key: key.map(|key| (key, 0)), said: Vec::new() }
    }

    /// Says a piece. It may wait here until [`Frames::flush`].
    pub(super) async fn say(&mut self, piece: &[u8]) -> io::Result<()> {
        let sealed = piece.len() + self.key.as_ref().map_or(0, |_| MAX_TAG_LEN);
        let length = u32::try_from(sealed).expect("pieces are shorter than 4 GiB").to_le_bytes();
        self.said.clear();
        self.said.extend_from_slice(&length);
        self.said.extend_from_slice(piece);
        if let Some((key, nth)) = &mut self.key {
            let tag = key.seal_in_place_separate_tag(nonce(*nth), Aad::from(length), &mut self.said[4..]);
            self.said.extend_from_slice(tag.expect("no piece is longer than the cipher takes").as_ref());
            *nth += 1;
        }
        within(STUCK, self.wires.write_all(&self.said)).await?;
        if self.said.capacity() > AT_ONCE {
            self.said = Vec::new();
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        within(STUCK, self.wires.flush()).await
    }

    /// Says that this was the last.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        within(STUCK, self.wires.shutdown()).await
    }

    /// Whether the other end is there: it never says anything on this way, so whatever comes is the end.
    pub(super) async fn ended(&mut self) {
        let mut byte = [0];
        let _ = self.wires.read(&mut byte).await;
    }

    /// The next piece; nothing if that was all. Whoever says nothing for `patience` is given up, and so is whoever
    /// announces more than `most`.
    pub(super) async fn hear(&mut self, most: usize, patience: Duration) -> io::Result<Option<Bytes>> {
        let mut length = [0; 4];
        match within(patience, self.wires.read(&mut length[..1])).await? {
            0 => return Ok(None),
            _ => within(STUCK, self.wires.read_exact(&mut length[1..])).await?,
        };
        let around = self.key.as_ref().map_or(0, |_| MAX_TAG_LEN);
        let sealed = u32::from_le_bytes(length) as usize;
        if sealed > most + around || sealed < around {
            let what = format!("a piece of {sealed} bytes was announced");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        let mut piece = BytesMut::with_capacity(sealed.min(AT_ONCE));
        while piece.len() < sealed {
            let left = sealed - piece.len();
            piece.reserve(left.min(AT_ONCE));
            let mut rest = (&mut piece).limit(left);
            if within(STUCK, self.wires.read_buf(&mut rest)).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if let Some((key, nth)) = &mut self.key {
            let opened = key.open_in_place(nonce(*nth), Aad::from(length), &mut piece);
            let opened = opened.map_err(|_| io::Error::new(ErrorKind::PermissionDenied, "it does not verify"))?.len();
            piece.truncate(opened);
            *nth += 1;
        }
        Ok(Some(piece.freeze()))
    }
}

/// Waits for something, and not longer.
pub(super) async fn within<T>(patience: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(patience, what).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
