//! A client of Redis that says things as they stand in its documentation, and
//! nothing more: commands as arrays, replies as whatever comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Line(String),
    Error(String),
    Number(i64),
    Bulk(String),
    Null,
    Array(Vec<Reply>),
}

pub(crate) struct Redis(BufReader<TcpStream>);

impl Redis {
    pub(crate) fn connect(address: &str) -> Redis {
        Redis::try_connect(address).unwrap()
    }

    pub(crate) fn try_connect(address: &str) -> std::io::Result<Redis> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Redis(BufReader::new(stream)))
    }

    /// Says something and waits for nothing.
    pub(crate) fn say<W: AsRef<[u8]>>(&mut self, words: &[W]) -> std::io::Result<()> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes)
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next reply.
    pub(crate) fn hear(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        Ok(match kind {
            "+" => Reply::Line(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(rest.parse().unwrap()),
            "_" => Reply::Null,
            "$" if rest == "-1" => Reply::Null,
            "*" if rest == "-1" => Reply::Null,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                // What is no text is shown byte by byte.
                Reply::Bulk(
                    String::from_utf8(bytes).unwrap_or_else(|bytes| bytes.as_bytes().escape_ascii().to_string()),
                )
            }
            "*" | "~" | ">" => {
                Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.hear()).collect::<Result<_, _>>()?)
            }
            "%" => {
                Reply::Array((0..2 * rest.parse::<usize>().unwrap()).map(|_| self.hear()).collect::<Result<_, _>>()?)
            }
            _ => panic!("{line:?} is no reply"),
        })
    }

    pub(crate) fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.say(words).unwrap();
        self.hear().unwrap()
    }
}

pub(crate) fn ok() -> Reply {
    Reply::Line("OK".to_owned())
}

pub(crate) fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.to_owned())
}

pub(crate) fn array(replies: impl IntoIterator<Item = Reply>) -> Reply {
    Reply::Array(replies.into_iter().collect())
}
