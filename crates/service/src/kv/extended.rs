//! [`Extended`]: numbers with a mantissa of 64 bits, as the `long double` of the
//! machines that Redis runs on. INCRBYFLOAT counts in them, and 10.5 and 0.1
//! are 10.6 there and not in a double. Only what INCRBYFLOAT needs: reading,
//! adding and writing, each rounded once and to even, in software, so that the
//! result is the same on every machine.

use core::cmp::Ordering;

use alloc::vec::Vec;

/// Texts from this length on are no numbers to Redis.
const MAX_TEXT: usize = 5 * 1024;

/// Numbers from two to the power of this on are infinite.
const MAX_EXPONENT: i32 = 16384;

/// Numbers below two to the power of this are not told from nothing.
const MIN_EXPONENT: i32 = -16445;

/// Powers of ten past this are out of range whatever stands before them: the
/// longest text that is read has fewer digits.
const MAX_POWER: i64 = 12_000;

/// How many digits are written behind the point.
const DECIMALS: usize = 17;

/// A finite number: mantissa times two to the power of the exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    negative: bool,
    /// Its highest bit is set unless the number is zero.
    mantissa: u64,
    exponent: i32,
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// One to count with.
    Finite(Extended),
    /// Infinity was spelled out.
    Infinite,
}

impl Extended {
    const ZERO: Extended = Extended { negative: false, mantissa: 0, exponent: 0 };

    /// Reads a decimal number; `None` if this is no number, or none in range.
    pub(super) fn parse(text: &[u8]) -> Option<Parsed> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Parsed::Infinite);
        }
        let place = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, mut power) = match place {
            None => (unsigned, 0),
            Some(place) => (&unsigned[..place], power_of_ten(&unsigned[place + 1..])?),
        };
        let mut digits = Vec::new();
        let mut behind_point = false;
        for byte in mantissa {
            match byte {
                b'.' if !behind_point => behind_point = true,
                b'0'..=b'9' => {
                    digits.push(byte - b'0');
                    power -= i64::from(behind_point);
                }
                _ => return None,
            }
        }
        if digits.is_empty() {
            return None;
        }
        if digits.iter().all(|digit| *digit == 0) {
            return Some(Parsed::Finite(Extended { negative, ..Extended::ZERO }));
        }
        if power.abs() > MAX_POWER {
            return None;
        }
        let mut above = Large::default();
        for digit in digits {
            above.multiply_add(10, u32::from(digit));
        }
        let mut below = Large(alloc::vec![1]);
        let scaled = if power < 0 { &mut below } else { &mut above };
        for _ in 0..power.unsigned_abs() {
            scaled.multiply_add(10, 0);
        }
        Some(Parsed::Finite(quotient(negative, above, below)?))
    }

    /// The sum, unless it is infinite.
    pub(super) fn add(self, other: Extended) -> Option<Extended> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(match (self.mantissa, other.mantissa) {
                (0, 0) => Extended { negative: self.negative && other.negative, ..Extended::ZERO },
                (0, _) => other,
                _ => self,
            });
        }
        let (large, small) = match (self.exponent, self.mantissa).cmp(&(other.exponent, other.mantissa)) {
            Ordering::Less => (other, self),
            Ordering::Equal | Ordering::Greater => (self, other),
        };
        let apart = (large.exponent - small.exponent) as u32;
        let high = u128::from(large.mantissa) << 62;
        let whole = u128::from(small.mantissa) << 62;
        let low = whole.checked_shr(apart).unwrap_or(0);
        let lost = apart > 127 || (low << apart) != whole;
        let sum = if large.negative == small.negative {
            high + low
        } else {
            // What was shifted out is taken away too: the rest is a little less than it looks.
            high - low - u128::from(lost)
        };
        if sum == 0 {
            return Some(Extended::ZERO);
        }
        rounded(large.negative, sum, large.exponent - 62, lost)
    }

    /// The number in decimal, with up to seventeen digits behind the point and
    /// no zeros at their end.
    pub(super) fn write(self) -> Vec<u8> {
        let mut scaled = Large::default();
        if self.exponent >= 0 {
            scaled.multiply_add(0, 0);
            scaled.0 = alloc::vec![self.mantissa as u32, (self.mantissa >> 32) as u32];
            for _ in 0..DECIMALS {
                scaled.multiply_add(10, 0);
            }
            scaled.shift_left(self.exponent as u32);
        } else {
            let whole = u128::from(self.mantissa) * 10u128.pow(DECIMALS as u32);
            let by = self.exponent.unsigned_abs();
            let floor = whole.checked_shr(by).unwrap_or(0);
            let half = if (1..=128).contains(&by) { 1u128 << (by - 1) } else { 0 };
            let rest = if by >= 128 { whole } else { whole - (floor << by) };
            let up = by <= 128 && (rest > half || (rest == half && floor & 1 == 1));
            let mut left = floor + u128::from(up);
            while left > 0 {
                scaled.0.push(left as u32);
                left >>= 32;
            }
        }
        let mut digits = scaled.decimal();
        while digits.len() <= DECIMALS {
            digits.insert(0, b'0');
        }
        let point = digits.len() - DECIMALS;
        while digits.len() > point && digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.len() > point {
            digits.insert(point, b'.');
        }
        if self.negative && digits != b"0" {
            digits.insert(0, b'-');
        }
        digits
    }
}

fn power_of_ten(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0i64, |size, digit| (size * 10 + i64::from(digit - b'0')).min(4 * MAX_POWER));
    Some(if text[0] == b'-' { -size } else { size })
}

/// One large number by another, rounded to 64 bits.
fn quotient(negative: bool, mut above: Large, mut below: Large) -> Option<Extended> {
    let apart = above.bits() as i32 - below.bits() as i32;
    if apart >= 0 {
        below.shift_left(apart.unsigned_abs());
    } else {
        above.shift_left(apart.unsigned_abs());
    }
    // Both are equally long now, so their quotient lies between a half and two.
    let mut bits = 0u128;
    for _ in 0..67 {
        bits <<= 1;
        if above.subtract_if_not_below(&below) {
            bits |= 1;
        }
        above.shift_left(1);
    }
    rounded(negative, bits, apart - 66, !above.is_zero())
}

/// A mantissa of more than 64 bits becomes one of 64; `lost` if a little was cut off below it already.
fn rounded(negative: bool, bits: u128, exponent: i32, lost: bool) -> Option<Extended> {
    let shift = 64 - bits.leading_zeros() as i32;
    let (mut mantissa, mut exponent) = (bits, exponent + shift);
    if shift > 0 {
        let floor = bits >> shift;
        let rest = bits - (floor << shift);
        let half = 1u128 << (shift - 1);
        let up = rest > half || (rest == half && (lost || floor & 1 == 1));
        mantissa = floor + u128::from(up);
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    } else {
        mantissa <<= -shift;
    }
    if exponent + 64 > MAX_EXPONENT || exponent + 64 < MIN_EXPONENT {
        return None;
    }
    Some(Extended { negative, mantissa: mantissa as u64, exponent })
}

/// A natural number of any size, lowest word first.
#[derive(Clone, Debug, Default)]
struct Large(Vec<u32>);

impl Large {
    fn multiply_add(&mut self, factor: u32, add: u32) {
        let mut carry = u64::from(add);
        for word in &mut self.0 {
            carry += u64::from(*word) * u64::from(factor);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn shift_left(&mut self, bits: u32) {
        let small = bits % 32;
        if small > 0 {
            self.multiply_add(1 << small, 0);
        }
        if bits >= 32 && !self.is_zero() {
            self.0.splice(0..0, core::iter::repeat_n(0, (bits / 32) as usize));
        }
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn bits(&mut self) -> usize {
        self.trim();
        self.0.last().map_or(0, |highest| self.0.len() * 32 - highest.leading_zeros() as usize)
    }

    fn subtract_if_not_below(&mut self, other: &Large) -> bool {
        self.trim();
        let order = self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if order == Ordering::Less {
            return false;
        }
        let mut borrow = 0;
        for (place, word) in self.0.iter_mut().enumerate() {
            let take = i64::from(other.0.get(place).copied().unwrap_or(0)) + borrow;
            let left = i64::from(*word) - take;
            borrow = i64::from(left < 0);
            *word = left as u32;
        }
        true
    }

    fn decimal(mut self) -> Vec<u8> {
        const CHUNK: u64 = 1_000_000_000;
        let mut digits = Vec::new();
        self.trim();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for word in self.0.iter_mut().rev() {
                rest = rest << 32 | u64::from(*word);
                *word = (rest / CHUNK) as u32;
                rest %= CHUNK;
            }
            self.trim();
            for _ in 0..9 {
                digits.push(b'0' + (rest % 10) as u8);
                rest /= 10;
            }
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        digits.reverse();
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn number(text: &str) -> Extended {
        match Extended::parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => number,
            other => panic!("{text} is {other:?}"),
        }
    }

    fn sum(one: &str, other: &str) -> String {
        String::from_utf8(number(one).add(number(other)).unwrap().write()).unwrap()
    }

    /// What a Redis on a machine with 80-bit numbers answers.
    #[test]
    fn adds_as_redis_does() {
        assert_eq!(sum("10.5", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3", "1.1"), "4.1");
        assert_eq!(sum("1.23", "-1.23"), "0");
        assert_eq!(sum("0.1", "-0.3"), "-0.2");
        assert_eq!(sum("-5", "2.5"), "-2.5");
        assert_eq!(sum("1e20", "0"), "100000000000000000000");
        assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
        assert_eq!(sum("1e-20", "0"), "0");
        assert_eq!(sum("-1e-20", "0"), "0");
        assert_eq!(sum("1e30", "1e-30"), "1000000000000000000024696061952");
    }

    #[test]
    fn what_is_no_number() {
        for bad in ["", "-", ".", "1e", "e1", "1 ", " 1", "nan", "1e5000", "1e-5000", "1.2.3", "1e99999999999999999999"]
        {
            assert_eq!(Extended::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Extended::parse(b"-inf"), Some(Parsed::Infinite));
        assert_eq!(Extended::parse(&[b'1'; MAX_TEXT]), None);
        assert!(Extended::parse(&[b'1'; 4000]).is_some());
        assert_eq!(number("1e4932").add(number("1e4932")), None, "a sum out of range");
    }

    proptest! {
        #[test]
        fn integers_are_exact(one in -1i64 << 40..1i64 << 40, other in -1i64 << 40..1i64 << 40) {
            prop_assert_eq!(
                sum(&alloc::format!("{one}"), &alloc::format!("{other}")),
                alloc::format!("{}", one + other)
            );
        }

        #[test]
        fn short_decimals_are_exact(one in -4000i64..4000, other in -4000i64..4000) {
            // Longer ones have more than the nineteen digits that a mantissa holds.
            let text = |thousandths: i64| {
                let (sign, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.abs());
                alloc::format!("{sign}{}.{:03}", size / 1000, size % 1000)
            };
            let expected = text(one + other);
            let expected = expected.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(sum(&text(one), &text(other)), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9.e]{0,12}") {
            if let Some(Parsed::Finite(number)) = Extended::parse(text.as_bytes()) {
                let written = number.write();
                prop_assert!(Extended::parse(&written).is_some());
            }
        }
    }
}
