//! Numbers as Redis reads and writes them: integers without ornament, scores
//! as `%.17g`. A text that Redis would not take as a number is none here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Room for any 64-bit integer in decimal.
const DIGITS: usize = 20;

/// An integer: an optional minus and digits, no leading zero, nothing else.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < DIGITS => {}
        _ => return None,
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Built downwards, for there is one more negative number than there are positive ones.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A cursor, as `strtoul` reads it: nothing is zero, and a minus counts from the end of 64 bits.
pub(super) fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Writes an integer in decimal, in one piece or two.
pub(super) fn write_integer(value: i64, mut write: impl FnMut(&[u8])) {
    if value < 0 {
        write(b"-");
    }
    in_decimal(value.unsigned_abs(), write);
}

/// Appends an unsigned integer in decimal.
pub(super) fn write_unsigned(buffer: &mut Vec<u8>, value: u64) {
    in_decimal(value, |digits| buffer.extend_from_slice(digits));
}

fn in_decimal(mut value: u64, write: impl FnOnce(&[u8])) {
    let mut room = [0; DIGITS];
    let mut start = DIGITS;
    loop {
        start -= 1;
        room[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    write(&room[start..]);
}

/// An integer in decimal.
pub(super) fn decimal(value: i64) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(DIGITS);
    write_integer(value, |digits| buffer.extend_from_slice(digits));
    buffer
}

/// A double, as `strtod` reads it when it must read everything. Not a number,
/// and what is too large or too small for a double, are none.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let value: f64 = core::str::from_utf8(text).ok()?.parse().ok()?;
    let spelled = text.iter().any(|byte| matches!(byte, b'i' | b'I'));
    if value.is_nan() || (value.is_infinite() && !spelled) {
        return None;
    }
    let mantissa = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(text);
    if value == 0.0 && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9')) {
        return None;
    }
    Some(value)
}

/// A double, as `strtod` reads it for those who look only at what follows: blanks
/// may stand before it, nothing at all is zero, and what is too large is infinite.
pub(super) fn lenient_double(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii_start();
    let value: f64 = if text.is_empty() { 0.0 } else { core::str::from_utf8(text).ok()?.parse().ok()? };
    (!value.is_nan()).then_some(value)
}

/// A double as `%.17g` writes it.
pub(super) fn general(value: f64) -> String {
    if value.is_infinite() {
        return String::from(if value > 0.0 { "inf" } else { "-inf" });
    }
    if value.is_nan() {
        return String::from("nan");
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("it was asked for");
    let exponent: i32 = exponent.parse().expect("it was just written");
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).expect("at most 16");
        return trimmed(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Without the zeros at the end of a fraction.
fn trimmed(number: &str) -> String {
    if number.contains('.') {
        String::from(number.trim_end_matches('0').trim_end_matches('.'))
    } else {
        String::from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_have_one_spelling() {
        for good in ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(decimal(integer(good.as_bytes()).unwrap()), good.as_bytes());
        }
        for bad in ["", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn doubles_are_written_with_seventeen_digits() {
        let cases = [
            (0.1, "0.10000000000000001"),
            (3.0, "3"),
            (-0.0, "-0"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e300, "1.0000000000000001e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn what_strtod_takes() {
        for (text, value) in
            [("inf", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY), ("+1.5", 1.5), (".5", 0.5), ("5.", 5.0)]
        {
            assert_eq!(double(text.as_bytes()), Some(value), "{text}");
        }
        for bad in ["", "nan", "1e400", "1e-400", " 1", "1 ", "one", "--1", "1e"] {
            assert_eq!(double(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_double_survives_its_spelling(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite() && (value == 0.0 || value.abs() > 1e-300));
            prop_assert_eq!(double(general(value).as_bytes()).map(f64::to_bits), Some(bits));
        }
    }
}
