//! Replies as values, for tests that compare them.

use std::fmt;

/// A reply that was read.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Value {
    /// Anything of one line: the whole line.
    Line(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// Anything with elements, and which kind it is.
    Many(char, Vec<Value>),
}

/// Reads one value; `None` if there is less than one.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, mut rest) = (&bytes[..end], &bytes[end + 2..]);
    let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
    match line[0] {
        b'$' if line != b"$-1" => {
            let length = number()? as usize;
            let bulk = rest.get(..length)?.to_vec();
            Some((Value::Bulk(bulk), rest.get(length + 2..)?))
        }
        kind @ (b'*' | b'~' | b'%') if line != b"*-1" => {
            let count = number()? as usize * if kind == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            for _ in 0..count {
                let (item, behind) = parse(rest)?;
                items.push(item);
                rest = behind;
            }
            Some((Value::Many(kind as char, items), rest))
        }
        _ => Some((Value::Line(String::from_utf8_lossy(line).into_owned()), rest)),
    }
}

/// The one value that these bytes are.
pub(crate) fn whole(bytes: &[u8]) -> Value {
    let (value, rest) = parse(bytes).unwrap_or_else(|| panic!("no reply: {}", bytes.escape_ascii()));
    assert!(rest.is_empty(), "more than one reply: {}", bytes.escape_ascii());
    value
}

impl Value {
    /// Elements sorted, in groups of so many.
    pub(crate) fn sorted(self, width: usize) -> Value {
        match self {
            Value::Many(kind, items) => {
                let mut groups: Vec<Vec<Value>> = items.chunks(width).map(<[Value]>::to_vec).collect();
                groups.sort_by(|one, other| one.partial_cmp(other).expect("replies compare"));
                Value::Many(kind, groups.concat())
            }
            other => other,
        }
    }

    /// Every other element as a number: how one is written may follow from how it is kept.
    pub(crate) fn with_numbers(self) -> Value {
        let Value::Many(kind, mut items) = self else { return self };
        for score in items.iter_mut().skip(1).step_by(2) {
            if let Value::Bulk(text) = score {
                let number: f64 = String::from_utf8_lossy(text).parse().expect("a score");
                *score = Value::Line(format!("{number}"));
            }
        }
        Value::Many(kind, items)
    }

    /// Only of which kind it is and how many elements it has.
    pub(crate) fn shape(self) -> Value {
        match self {
            Value::Many(kind, items) => Value::Line(format!("{kind}{}", items.len())),
            Value::Bulk(_) => Value::Line("$".into()),
            other => other,
        }
    }

    /// The integer that it is.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Line(line) => line.strip_prefix(':')?.parse().ok(),
            _ => None,
        }
    }
}

/// What can be told of two replies to a command: of some the order, and of some
/// the choice, is nobody's business.
pub(crate) fn comparable(args: &[Vec<u8>], value: Value) -> Value {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    let has = |word: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    match name.as_str() {
        // Keys past their deadline take memory until a command of their partition takes them away.
        "SKEIN.STATS" => match value {
            Value::Many(kind, items) => Value::Many(kind, items[..2].to_vec()),
            other => other,
        },
        "COMMAND" if has("LIST") => value.sorted(1),
        "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "KEYS" | "HKEYS" | "HVALS" | "SPOP" => value.sorted(1),
        "HGETALL" => value.sorted(2),
        "SORT" | "SORT_RO" if has("BY") => value.sorted(1),
        "SCAN" | "SSCAN" | "HSCAN" | "ZSCAN" => match value {
            Value::Many(kind, mut items) if items.len() == 2 => {
                let mut elements = items.pop().expect("there are two");
                if name == "ZSCAN" {
                    elements = elements.with_numbers();
                }
                items.push(elements.sorted(if matches!(name.as_str(), "HSCAN" | "ZSCAN") { 2 } else { 1 }));
                Value::Many(kind, items)
            }
            other => other,
        },
        "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER" | "RANDOMKEY" => value.shape(),
        _ => value,
    }
}

/// Arguments and replies as text: printable, without blanks.
pub(crate) fn escape(bytes: &[u8]) -> String {
    if bytes.is_empty() { "\\e".into() } else { bytes.escape_ascii().to_string().replace(' ', "\\x20") }
}

/// The bytes that such a text is of.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match left.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'e') => {}
            Some(b'x') => {
                let digits =
                    [left.next(), left.next()].map(|digit| char::from(digit.expect("two digits")).to_digit(16));
                bytes.push((digits[0].expect("hex") * 16 + digits[1].expect("hex")) as u8);
            }
            Some(other) => bytes.push(other),
            None => panic!("{text} ends in a backslash"),
        }
    }
    bytes
}

/// A command on one line.
pub(crate) struct Line<'a>(pub(crate) &'a [Vec<u8>]);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|arg| escape(arg)).collect();
        f.write_str(&words.join(" "))
    }
}
