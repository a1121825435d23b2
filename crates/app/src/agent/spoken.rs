//! What the map has under the keys that are its own, as words: programs that
//! read it by a client of Redis are not to know how it is encoded.

use bytes::Bytes;
use skein_edge::health::{Finding, State};
use skein_edge::spread::{Line, RESERVED};
use skein_machine::wire::{VERSION, from_bytes};

/// A value as it is told: a finding begins with `up` or `down`, and so does what is known of a member.
pub(crate) fn value(key: &[u8], value: &Bytes) -> Bytes {
    if !key.starts_with(RESERVED) {
        return value.clone();
    }
    if key.starts_with(b"@origin/")
        && let Ok(finding) = from_bytes::<Finding>(value.clone(), VERSION)
    {
        let why = String::from_utf8_lossy(&finding.why);
        return format!("{} by {}: {why}", of_state(finding.state), finding.by).into();
    }
    if key.starts_with(b"@member/")
        && let Ok(line) = from_bytes::<Line>(value.clone(), VERSION)
    {
        let state = if line.is_up { "up" } else { "down" };
        return format!("{state} at {} in {}", line.member.address, line.member.place).into();
    }
    value.clone()
}

/// How a state is called.
pub(crate) fn of_state(state: State) -> &'static str {
    match state {
        State::Up => "up",
        State::Down => "down",
    }
}
