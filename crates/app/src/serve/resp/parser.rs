//! [`Parser`]: commands out of the bytes of one client, as Redis reads them:
//! arrays of bulk strings, or lines of words for people with telnet. It goes on
//! where it stopped when more bytes have come, believes no length before the
//! bytes are there, and says what is wrong in Redis' words. It will never know
//! what a command means.

use std::ops::Range;

use smallvec::SmallVec;

/// Most arguments of a command.
const MAX_ARGUMENTS: usize = 1 << 20;

/// A line of words, or a line with a length, is no longer.
const MAX_LINE: usize = 64 << 10;

/// The same bounds for somebody who has not said who he is.
const STRANGERS_ARGUMENTS: usize = 10;
const STRANGERS_BULK: usize = 16 << 10;

/// Where arguments are; of most commands without any memory of their own.
pub(crate) type Places = SmallVec<[Range<usize>; 6]>;

/// Where in a client's bytes the command stands that is being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parser {
    /// Arguments that are there.
    args: Places,
    /// How many are still to come, once that is known.
    missing: usize,
    /// Everything before this was understood.
    at: usize,
    /// A bulk string of this length comes next.
    bulk: Option<usize>,
}

/// What the parser found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A command: where its arguments are, and how many bytes it takes in all. None if there was nothing in it.
    Command(Places, usize),
    /// More has to come: so many bytes in all, at least.
    Unfinished(usize),
}

/// What a client may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The longest argument.
    pub(crate) bulk: usize,
    /// The longest command.
    pub(crate) command: usize,
    /// Whether it has said who it is, or need not.
    pub(crate) is_known: bool,
}

/// Why bytes are no command, in the words of Redis, without the minus.
pub(crate) type Nonsense = String;

impl Parser {
    /// Reads on. `bytes` begin where the last whole command ended.
    pub(crate) fn next(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Found, Nonsense> {
        if self.at == 0 {
            match bytes.first() {
                None => return Ok(Found::Unfinished(1)),
                Some(b'*') => {}
                Some(_) => return inline(bytes),
            }
            let Some(line) = line(bytes, 1, "too big mbulk count string")? else {
                return Ok(Found::Unfinished(bytes.len() + 1));
            };
            let end = line.end + 2;
            let count = number(&bytes[line]).filter(|count| *count <= MAX_ARGUMENTS as i64);
            let count = count.ok_or_else(|| protocol_error("invalid multibulk length"))?;
            if count <= 0 {
                return Ok(Found::Command(Places::new(), end));
            }
            if !bounds.is_known && count as usize > STRANGERS_ARGUMENTS {
                return Err(protocol_error("unauthenticated multibulk length"));
            }
            (self.missing, self.at) = (count as usize, end);
        }
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_length(bytes, bounds)? {
                    Some(length) => length,
                    None => return Ok(Found::Unfinished(bytes.len().max(self.at) + 1)),
                },
            };
            if bytes.len() < self.at + length + 2 {
                self.bulk = Some(length);
                return Ok(Found::Unfinished(self.at + length + 2));
            }
            self.args.push(self.at..self.at + length);
            self.at += length + 2;
            self.missing -= 1;
            self.bulk = None;
        }
        let whole = std::mem::take(self);
        Ok(Found::Command(whole.args, whole.at))
    }

    fn bulk_length(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Nonsense> {
        match bytes.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(protocol_error(&format!("expected '$', got '{}'", char::from(*other)))),
        }
        let Some(line) = line(bytes, self.at + 1, "too big bulk count string")? else { return Ok(None) };
        let end = line.end + 2;
        let length = number(&bytes[line]).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= bounds.bulk && self.at + *length <= bounds.command);
        let length = length.ok_or_else(|| protocol_error("invalid bulk length"))?;
        if !bounds.is_known && length > STRANGERS_BULK {
            return Err(protocol_error("unauthenticated bulk length"));
        }
        self.at = end;
        Ok(Some(length))
    }
}

fn protocol_error(what: &str) -> Nonsense {
    format!("ERR Protocol error: {what}")
}

/// The line that begins here, without its end, once that has come.
fn line(bytes: &[u8], from: usize, too_long: &str) -> Result<Option<Range<usize>>, Nonsense> {
    let Some(length) = bytes[from..].iter().take(MAX_LINE).position(|byte| *byte == b'\r') else {
        return match bytes.len() - from >= MAX_LINE {
            true => Err(protocol_error(too_long)),
            false => Ok(None),
        };
    };
    // Whatever stands where the line feed should be is taken for it, as Redis does.
    Ok((bytes.len() > from + length + 1).then_some(from..from + length))
}

fn number(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// A line of words. Quoted words are not where they stand once their quotes and escapes are gone, so they are told
/// apart from the others: see [`unquote`].
fn inline(bytes: &[u8]) -> Result<Found, Nonsense> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return match bytes.len() >= MAX_LINE {
            true => Err(protocol_error("too big inline request")),
            false => Ok(Found::Unfinished(bytes.len() + 1)),
        };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let mut words = Places::new();
    let mut at = 0;
    while let Some(skipped) = line[at..].iter().position(|byte| !byte.is_ascii_whitespace()) {
        at += skipped;
        let length = word(&line[at..]).ok_or_else(|| protocol_error("unbalanced quotes in request"))?;
        words.push(at..at + length);
        at += length;
    }
    Ok(Found::Command(words, end + 1))
}

/// How long the word is that begins here; nothing if a quote is not closed, or something follows one.
fn word(line: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut quote = None;
    while at < line.len() {
        match (quote, line[at]) {
            (None, byte) if byte.is_ascii_whitespace() => return Some(at),
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (Some(open), byte) if open == byte => {
                let is_end = line.get(at + 1).is_none_or(u8::is_ascii_whitespace);
                return is_end.then_some(at + 1);
            }
            (Some(b'"'), b'\\') => at += 1,
            (Some(b'\''), b'\\') if line.get(at + 1) == Some(&b'\'') => at += 1,
            _ => {}
        }
        at += 1;
    }
    quote.is_none().then_some(line.len())
}

/// What a word of a line says, without quotes and escapes.
pub(crate) fn unquote(word: &[u8]) -> Vec<u8> {
    let mut said = Vec::with_capacity(word.len());
    let mut quote = None;
    let mut at = 0;
    while at < word.len() {
        let byte = word[at];
        match quote {
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            Some(open) if byte == open => quote = None,
            Some(b'"') if byte == b'\\' && at + 1 < word.len() => {
                at += 1;
                let hexadecimal = word.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                let hexadecimal = hexadecimal.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match (word[at], hexadecimal) {
                    (b'x', Some(value)) => {
                        said.push(value);
                        at += 2;
                    }
                    (b'n', _) => said.push(b'\n'),
                    (b'r', _) => said.push(b'\r'),
                    (b't', _) => said.push(b'\t'),
                    (b'b', _) => said.push(8),
                    (b'a', _) => said.push(7),
                    (other, _) => said.push(other),
                }
            }
            Some(b'\'') if byte == b'\\' && word.get(at + 1) == Some(&b'\'') => {
                at += 1;
                said.push(b'\'');
            }
            _ => said.push(byte),
        }
        at += 1;
    }
    said
}

/// What the parser must stand, for fuzzing: any bytes in any pieces give the same commands.
pub fn examine(bytes: &[u8]) {
    let bounds = Bounds { bulk: 1 << 16, command: 1 << 17, is_known: true };
    let whole = read_all(bytes, bytes.len().max(1), bounds);
    for size in [1, 7] {
        let pieces = read_all(bytes, size, bounds);
        assert_eq!(whole, pieces, "pieces of {size} bytes are read differently");
    }
}

/// All commands, and how it ended, when bytes come in pieces.
fn read_all(bytes: &[u8], piece: usize, bounds: Bounds) -> (Vec<Vec<Vec<u8>>>, Option<Nonsense>) {
    let (mut parser, mut commands) = (Parser::default(), Vec::new());
    let (mut begin, mut there) = (0, 0);
    loop {
        match parser.next(&bytes[begin..there], bounds) {
            Ok(Found::Command(args, length)) => {
                let args: Vec<Vec<u8>> = args.into_iter().map(|arg| bytes[begin..][arg].to_vec()).collect();
                assert!(length > 0 && begin + length <= there, "a command is longer than what came");
                begin += length;
                commands.push(args);
            }
            Ok(Found::Unfinished(need)) => {
                assert!(need > there - begin, "it waits for what is there");
                if there == bytes.len() {
                    return (commands, None);
                }
                there = bytes.len().min(there + piece);
            }
            Err(nonsense) => return (commands, Some(nonsense)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: Bounds = Bounds { bulk: 1 << 20, command: 1 << 21, is_known: true };

    fn commands(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let (commands, nonsense) = read_all(bytes, bytes.len(), KNOWN);
        assert_eq!(nonsense, None);
        commands
    }

    fn nonsense(bytes: &[u8], bounds: Bounds) -> String {
        read_all(bytes, bytes.len(), bounds).1.expect("nonsense")
    }

    #[test]
    fn arrays_of_bulks_are_read_in_a_row() {
        let read =
            commands(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n*1\r\n$9\r\nunf");
        let expected: [&[&[u8]]; 5] = [&[b"GET", b"a"], &[b"PING"], &[], &[], &[b""]];
        assert_eq!(read, expected);
    }

    #[test]
    fn lines_are_for_people() {
        let read = commands(b"set  a \"b \\x41\\n\\\"\"\r\n\r\nget 'it\\'s'\n");
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].iter().map(|word| unquote(word)).collect::<Vec<_>>(), [&b"set"[..], b"a", b"b A\n\""]);
        assert!(read[1].is_empty());
        assert_eq!(unquote(&read[2][1]), b"it's");
        for bad in [&b"get \"a\n"[..], b"get 'a'b\n"] {
            assert_eq!(nonsense(bad, KNOWN), "ERR Protocol error: unbalanced quotes in request");
        }
    }

    #[test]
    fn nonsense_is_named_as_redis_names_it() {
        let cases: [(&[u8], &str); 6] = [
            (b"*x\r\n", "invalid multibulk length"),
            (b"*1048577\r\n", "invalid multibulk length"),
            (b"*1\r\n+OK\r\n", "expected '$', got '+'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$536870912\r\n", "invalid bulk length"),
            (b"*2\r\n$1048576\r\n", "invalid bulk length"),
        ];
        for (bytes, what) in &cases[..5] {
            assert_eq!(nonsense(bytes, KNOWN), format!("ERR Protocol error: {what}"));
        }
        let long = vec![b'a'; MAX_LINE];
        assert_eq!(nonsense(&long, KNOWN), "ERR Protocol error: too big inline request");
        let long = [&b"*"[..], &vec![b'1'; MAX_LINE]].concat();
        assert_eq!(nonsense(&long, KNOWN), "ERR Protocol error: too big mbulk count string");
    }

    #[test]
    fn strangers_say_little() {
        let stranger = Bounds { is_known: false, ..KNOWN };
        assert!(nonsense(b"*11\r\n", stranger).contains("unauthenticated multibulk length"));
        assert!(nonsense(b"*1\r\n$16385\r\n", stranger).contains("unauthenticated bulk length"));
    }

    #[test]
    fn a_command_as_a_whole_has_a_bound_too() {
        let half = [&b"*3\r\n$1048576\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n$1048576\r\n"].concat();
        let more = [&half[..], &vec![b'x'; 1 << 20], b"\r\n$9\r\n"].concat();
        assert_eq!(nonsense(&more, KNOWN), "ERR Protocol error: invalid bulk length");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in prop::collection::vec(prop::sample::select(b"*$12\r\nabc\"' \\x".to_vec()), 0..60)) {
            examine(&bytes);
        }
    }
}
