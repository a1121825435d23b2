//! What a store answers, cut into replies without copying anything: the load
//! reads hundreds of thousands a second and looks into few of them. It knows the
//! second version of Redis' protocol, which is what the load speaks.

/// As long as any value of Redis.
const LONGEST: usize = 512 << 20;

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// Its first byte tells what it is.
    kind: u8,
    /// All of it, the first line included.
    whole: &'a [u8],
}

/// The bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

impl<'a> Reply<'a> {
    /// The reply with which these bytes begin; none while its end is not there.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<Reply<'a>>, Nonsense> {
        let Some(length) = length_of(bytes)? else { return Ok(None) };
        Ok(Some(Reply { kind: bytes[0], whole: &bytes[..length] }))
    }

    /// How many bytes it took.
    pub(super) fn length(self) -> usize {
        self.whole.len()
    }

    /// What went wrong, if it says that.
    pub(super) fn error(self) -> Option<&'a [u8]> {
        (self.kind == b'-').then(|| &self.whole[1..self.whole.len() - 2])
    }

    /// Its text, if it is one.
    pub(super) fn text(self) -> Option<&'a [u8]> {
        let line = self.whole.windows(2).position(|pair| pair == b"\r\n")?;
        match self.kind {
            b'+' => Some(&self.whole[1..line]),
            b'$' if self.whole[1] != b'-' => Some(&self.whole[line + 2..self.whole.len() - 2]),
            _ => None,
        }
    }

    /// What is in it, if it is a list.
    pub(super) fn items(self) -> impl Iterator<Item = Reply<'a>> {
        let line = self.whole.windows(2).position(|pair| pair == b"\r\n").map_or(self.whole.len(), |line| line + 2);
        let mut rest = if self.kind == b'*' { &self.whole[line..] } else { &[] };
        std::iter::from_fn(move || {
            let item = Reply::first(rest).ok()??;
            rest = &rest[item.length()..];
            Some(item)
        })
    }
}

/// How many bytes the first reply takes.
fn length_of(bytes: &[u8]) -> Result<Option<usize>, Nonsense> {
    let mut at = 0;
    // Replies that are still to come before this one is whole.
    let mut left: u64 = 1;
    while left > 0 {
        left -= 1;
        let rest = &bytes[at..];
        let Some(&kind) = rest.first() else { return Ok(None) };
        let Some(line) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        if line < 2 || rest[line - 1] != b'\r' {
            return Err(Nonsense);
        }
        let number = || -> Result<i64, Nonsense> {
            std::str::from_utf8(&rest[1..line - 1]).ok().and_then(|text| text.parse().ok()).ok_or(Nonsense)
        };
        at += line + 1;
        match kind {
            b'+' | b'-' | b':' => {}
            b'$' => {
                if let Ok(length) = usize::try_from(number()?) {
                    if length > LONGEST {
                        return Err(Nonsense);
                    }
                    at += length + 2;
                    if at > bytes.len() {
                        return Ok(None);
                    }
                }
            }
            b'*' => left = left.checked_add(u64::try_from(number()?).unwrap_or(0)).ok_or(Nonsense)?,
            _ => return Err(Nonsense),
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_there_when_its_end_is() {
        let bytes = b"*3\r\n:3\r\n*1\r\n$4\r\na\r\nb\r\n$-1\r\n-ERR no\r\n";
        let first = bytes.len() - b"-ERR no\r\n".len();
        for end in 0..first {
            assert_eq!(Reply::first(&bytes[..end]), Ok(None), "{end}");
        }
        let list = Reply::first(bytes).unwrap().unwrap();
        assert_eq!(list.length(), first);
        let items: Vec<Reply<'_>> = list.items().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].text(), None);
        assert_eq!(items[1].items().next().and_then(Reply::text), Some(&b"a\r\nb"[..]));
        assert_eq!(items[2].text(), None);
        let error = Reply::first(&bytes[first..]).unwrap().unwrap();
        assert_eq!(error.error(), Some(&b"ERR no"[..]));
        assert_eq!(error.items().count(), 0);
        assert_eq!(Reply::first(b"+OK\r\n").unwrap().unwrap().text(), Some(&b"OK"[..]));
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in [&b"hello\r\n"[..], b"\n", b"$x\r\n", b"+OK\n", b"$9223372036854775807\r\n"] {
            assert_eq!(Reply::first(bytes), Err(Nonsense), "{}", bytes.escape_ascii());
        }
    }
}
