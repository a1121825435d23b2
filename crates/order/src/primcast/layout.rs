//! [`Layout`]: bytes written out by hand, for tests that pin an encoding. It
//! shares nothing with the encoders that it is compared with, but for values
//! whose own layout another test has pinned.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Wire;
use skein_machine::wire::to_bytes;

/// Fields one behind the other, little-endian.
#[derive(Clone)]
pub(super) struct Layout(Vec<u8>);

impl Layout {
    /// Begins with the number of a kind.
    pub(super) fn of(tag: u8) -> Layout {
        Layout(vec![tag])
    }

    pub(super) fn u8(mut self, value: u8) -> Layout {
        self.0.push(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Layout {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Layout {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Layout {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn text(mut self, value: &str) -> Layout {
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// A value whose layout is pinned elsewhere.
    pub(super) fn value<T: Wire>(mut self, value: &T) -> Layout {
        self.0.extend_from_slice(&to_bytes(value));
        self
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}
