//! [`Dice`]: our random numbers for the gossip beneath, which knows its own trait for them.

use core::convert::Infallible;

use skein_machine::Random;

/// A generator that the gossip can use.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) Random);

impl rand::TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.word() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.word())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(size_of::<u64>()) {
            chunk.copy_from_slice(&self.0.word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
