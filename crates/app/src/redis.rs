//! The least that can talk to a store as its clients do: it says commands in
//! Redis' protocol over a blocking connection, and hears replies until it has no
//! patience left. It shares no code with the face that it talks to. For our own
//! commands; programs have clients of their own.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use skein_runtime::tls::{Trust, Visit};

/// A command and its arguments, where they are text. Words may be any bytes: see [`Connection::say`].
pub(crate) type Command = Vec<String>;

/// A longer reply nobody here asks for.
const LONGEST: usize = 64 << 20;

/// What a store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Reply>>),
}

/// A connection. One that has failed once is of no use any more: nobody knows which reply comes next.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Line,
    heard: Vec<u8>,
}

/// What it goes by.
#[derive(Debug)]
enum Line {
    Clear(TcpStream),
    Secret(Box<Visit>),
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> io::Result<Connection> {
        Ok(Connection { stream: Line::Clear(dial(address, patience)?), heard: Vec::new() })
    }

    /// The same over TLS, with this node, or with any where none is named.
    pub(crate) fn open_in_secret(
        address: SocketAddr,
        patience: Duration,
        trust: &Trust,
        node: Option<&str>,
    ) -> io::Result<Connection> {
        let stream = dial(address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let visit = trust.visit(node, stream)?;
        Ok(Connection { stream: Line::Secret(Box::new(visit)), heard: Vec::new() })
    }

    /// Says all of these at once.
    pub(crate) fn say<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) -> io::Result<()> {
        let mut words = Vec::new();
        for command in commands {
            words.extend(format!("*{}\r\n", command.len()).into_bytes());
            for word in command {
                let word = word.as_ref();
                words.extend(format!("${}\r\n", word.len()).into_bytes());
                words.extend_from_slice(word);
                words.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&words)
    }

    /// The next reply.
    pub(crate) fn hear(&mut self, until: Instant) -> io::Result<Reply> {
        loop {
            let nonsense = |why| io::Error::new(ErrorKind::InvalidData, why);
            let mut at = 0;
            if let Some(reply) = parse(&self.heard, &mut at).map_err(nonsense)? {
                self.heard.drain(..at);
                return Ok(reply);
            }
            if self.heard.len() > LONGEST {
                return Err(nonsense(format!("a reply is longer than {LONGEST} bytes")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.socket().set_read_timeout(Some(left))?;
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn dial(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

impl Line {
    fn socket(&self) -> &TcpStream {
        match self {
            Line::Clear(stream) => stream,
            Line::Secret(visit) => visit.socket(),
        }
    }
}

impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Clear(stream) => stream.read(bytes),
            Line::Secret(visit) => visit.read(bytes),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Clear(stream) => stream.write(bytes),
            Line::Secret(visit) => visit.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Clear(stream) => stream.flush(),
            Line::Secret(visit) => visit.flush(),
        }
    }
}

/// A line for each, as people and scripts want it; bytes that are no text are shown as such.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(line) => f.write_str(line),
            Reply::Error(why) => write!(f, "({why})"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Bulk(Some(bytes)) => f.write_str(&String::from_utf8_lossy(bytes)),
            Reply::Bulk(None) | Reply::Array(None) => f.write_str("(nothing)"),
            Reply::Array(Some(replies)) => {
                for (nth, reply) in replies.iter().enumerate() {
                    write!(f, "{}{reply}", if nth == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

/// The reply that begins at `at`, which moves behind it; none while its end is not there.
pub(crate) fn parse(bytes: &[u8], at: &mut usize) -> Result<Option<Reply>, String> {
    let rest = &bytes[*at..];
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    *at += end + 2;
    let mut letters = line.chars();
    let kind = letters.next().ok_or("a reply is an empty line")?;
    let words = letters.as_str();
    let number = || words.parse::<i64>().map_err(|_| format!("{line:?} has no number"));
    Ok(Some(match kind {
        '+' => Reply::Simple(words.to_owned()),
        '-' => Reply::Error(words.to_owned()),
        ':' => Reply::Integer(number()?),
        '$' if number()? < 0 => Reply::Bulk(None),
        '$' => {
            let length = number()? as usize;
            let Some(word) = bytes.get(*at..*at + length + 2) else { return Ok(None) };
            *at += length + 2;
            Reply::Bulk(Some(word[..length].to_vec()))
        }
        '*' if number()? < 0 => Reply::Array(None),
        '*' => {
            let mut replies = Vec::new();
            for _ in 0..number()? {
                let Some(reply) = parse(bytes, at)? else { return Ok(None) };
                replies.push(reply);
            }
            Reply::Array(Some(replies))
        }
        _ => return Err(format!("{line:?} is no reply")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_heard_when_all_of_it_is_there() {
        let text = b"*4\r\n:3\r\n*1\r\n$5\r\na\r\nb\xff\r\n$-1\r\n+OK\r\n-ERR no\r\n";
        let inner = Reply::Array(Some(vec![Reply::Bulk(Some(b"a\r\nb\xff".to_vec()))]));
        let all = vec![Reply::Integer(3), inner, Reply::Bulk(None), Reply::Simple("OK".to_owned())];
        let first = text.len() - "-ERR no\r\n".len();
        for end in 0..first {
            assert_eq!(parse(&text[..end], &mut 0), Ok(None), "{end}");
        }
        let mut at = 0;
        assert_eq!(parse(text, &mut at), Ok(Some(Reply::Array(Some(all)))));
        assert_eq!(at, first);
        assert_eq!(parse(text, &mut at), Ok(Some(Reply::Error("ERR no".to_owned()))));
        assert_eq!(parse(b"*-1\r\n", &mut 0), Ok(Some(Reply::Array(None))));
        assert!(parse(b"hello\r\n", &mut 0).is_err());
    }
}
