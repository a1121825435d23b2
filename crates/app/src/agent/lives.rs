//! The number of a life: higher than those of all lives of the same member
//! before, and never used again. It is the time at which it begins, and a draw:
//! two that are started in the same moment under one name are told apart.

use std::time::{SystemTime, UNIX_EPOCH};

use skein_edge::dots::LAST_LIFE;

/// So many bits are drawn. Beginning anew goes on from a life in steps of one, and so never meets the next.
const DRAWN: u32 = 16;

/// A life that begins now.
pub(super) fn draw() -> Result<u64, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Ok(life(millis, crate::draw()?))
}

fn life(millis: u64, drawn: u64) -> u64 {
    let most = LAST_LIFE >> DRAWN;
    // The lower half is left for those that begin anew.
    (millis.min(most - 1) << DRAWN) | (drawn & ((1 << (DRAWN - 1)) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_is_higher_whatever_is_drawn() {
        assert!(life(1_000, u64::MAX) < life(1_001, 0));
        assert!(life(1_000, 7) != life(1_000, 8));
        assert!(life(u64::MAX, u64::MAX) <= LAST_LIFE && life(u64::MAX, 0) > life(1 << 45, 0));
    }
}
