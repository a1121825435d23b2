//! [`Text`]: bytes of a map as people read them. What is UTF-8 is said as it is,
//! everything else in base64, and which of the two it is stands beside it. It
//! escapes nothing: that is for whoever writes JSON.

/// Bytes, readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) is_base64: bool,
}

impl Text {
    /// These bytes, all of them.
    pub(super) fn of(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text { text: text.to_owned(), is_base64: false },
            Err(_) => Text { text: base64(bytes), is_base64: true },
        }
    }

    /// The first of these bytes, so many at most, and no half of a letter.
    pub(super) fn beginning(bytes: &[u8], most: usize) -> Text {
        let Some(beginning) = bytes.get(..most) else { return Text::of(bytes) };
        match std::str::from_utf8(beginning) {
            // What is cut off in the middle of a letter is a text all the same, if it was one before.
            Err(error) if error.error_len().is_none() => Text::of(&beginning[..error.valid_up_to()]),
            _ => Text::of(beginning),
        }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// In the usual alphabet and with padding, as RFC 4648 has it.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |nth: usize| u32::from(three.get(nth).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for nth in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * nth)) as usize & 63];
            text.push(if nth <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        pairs.iter().for_each(|(plain, coded)| assert_eq!(base64(plain.as_bytes()), *coded));
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn what_is_cut_off_stays_readable() {
        assert_eq!(Text::of("é".as_bytes()), Text { text: "é".into(), is_base64: false });
        assert_eq!(Text::of(&[0xff]), Text { text: "/w==".into(), is_base64: true });
        assert_eq!(Text::beginning("aéb".as_bytes(), 2).text, "a", "half of a letter is none");
        assert_eq!(Text::beginning(&[b'a', 0xff, b'b'], 2), Text { text: "Yf8=".into(), is_base64: true });
        assert_eq!(Text::beginning(b"ab", 2).text, "ab");
    }
}
