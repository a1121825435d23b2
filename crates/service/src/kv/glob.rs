//! Patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]` and `\`. A pattern
//! with many stars takes at most a product of lengths of time, never more.

/// Whether the text matches the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The last star, and how much of the text it has swallowed: only the last
    // one needs to be tried again, for what stands before it has matched.
    let mut retry: Option<(usize, usize)> = None;
    let (mut at, mut place) = (0, 0);
    loop {
        if at < pattern.len() && pattern[at] == b'*' {
            retry = Some((at + 1, place));
            at += 1;
            continue;
        }
        if place == text.len() {
            return at == pattern.len();
        }
        let step = if at < pattern.len() { one(&pattern[at..], text[place]) } else { None };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                place += 1;
            }
            (None, Some((behind, swallowed))) => {
                at = behind;
                place = swallowed + 1;
                retry = Some((behind, place));
            }
            (None, None) => return false,
        }
    }
}

/// How many bytes of the pattern this one byte matches, if it does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        b'\\' if pattern.len() >= 2 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let not = pattern.get(1) == Some(&b'^');
    let mut at = if not { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern.get(at..) {
            // A class that nobody closes ends with the pattern.
            None | Some([]) => break,
            Some([b'\\', escaped, ..]) => {
                found |= *escaped == byte;
                at += 2;
            }
            Some([b']', ..]) => {
                at += 1;
                break;
            }
            Some([low, b'-', high, ..]) => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            Some([literal, ..]) => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != not).then_some(at.min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_redis_does() {
        let cases: [(&str, &str, bool); 20] = [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYbd", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[a", "a", true),
            ("[\\]]", "]", true),
            ("a\\", "a\\", true),
            ("**a", "bbba", true),
            ("a?", "a", false),
            ("*[0-9]", "key7", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_eternity() {
        let text = [b'a'; 10_000];
        assert!(!matches(b"a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", &text));
    }
}
