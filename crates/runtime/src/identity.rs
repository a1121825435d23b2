//! [`Identity`]: whose a data directory is, as a small file of text that a
//! person can read too. It checks what it reads and writes nothing itself.

use std::num::ParseIntError;

use skein_machine::{ClusterId, ProcessId};

/// What this build writes, and the only format that it reads.
pub(crate) const FORMAT: u16 = 1;

/// Whose a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose cluster.
    pub cluster: ClusterId,
    /// Which of its processes.
    pub process: ProcessId,
    /// Drawn at random when the directory was created, so that files of two directories never mix.
    pub birth: u64,
    /// Counts the lives that began without memory.
    pub incarnation: u32,
    /// The life that wrote this keeps everything in memory, so the next one will have forgotten it.
    pub forgets: bool,
}

/// Why a file is no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Newer { format: u16 },
    Unreadable { why: String },
}

const HEAD: &str = "skein data directory, format ";

impl Identity {
    pub(crate) fn to_text(self) -> String {
        let Identity { cluster, process, birth, incarnation, forgets } = self;
        let process = process.0;
        let body = format!(
            "{HEAD}{FORMAT}\ncluster {cluster}\nprocess {process}\nbirth {birth:016x}\n\
             incarnation {incarnation}\nforgets {forgets}\n"
        );
        format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    pub(crate) fn from_text(text: &[u8]) -> Result<Identity, Flaw> {
        let unreadable = |why: &str| Flaw::Unreadable { why: why.to_owned() };
        let text = str::from_utf8(text).map_err(|_| unreadable("it is no text"))?;
        let format = text.lines().next().and_then(|line| line.strip_prefix(HEAD));
        let format = format.and_then(|format| format.parse().ok()).ok_or_else(|| unreadable("it does not say so"))?;
        // Looked at before anything else: whatever else a newer format says, this build cannot judge it.
        if format > FORMAT {
            return Err(Flaw::Newer { format });
        }
        let (body, _) = text.rsplit_once("checksum ").ok_or_else(|| unreadable("it has no checksum"))?;
        let identity = Identity::from_body(body).map_err(|why| Flaw::Unreadable { why })?;
        // One text for one identity, so every byte is covered.
        if identity.to_text() == text { Ok(identity) } else { Err(unreadable("its checksum does not match")) }
    }

    fn from_body(body: &str) -> Result<Identity, String> {
        let field = |name: &str| {
            let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or(format!("it has no line `{name}`"))
        };
        let number = |name: &str, error: ParseIntError| format!("its line `{name}` is no number: {error}");
        let hexadecimal = |name| u64::from_str_radix(field(name)?, 16).map_err(|error| number(name, error));
        Ok(Identity {
            cluster: ClusterId(hexadecimal("cluster")?),
            process: ProcessId(field("process")?.parse().map_err(|error| number("process", error))?),
            birth: hexadecimal("birth")?,
            incarnation: field("incarnation")?.parse().map_err(|error| number("incarnation", error))?,
            forgets: field("forgets")? == "true",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { cluster: ClusterId(0xabc), process: ProcessId(3), birth: 77, incarnation: 2, forgets: false }
    }

    #[test]
    fn it_is_text_that_a_person_can_read() {
        assert_eq!(
            identity().to_text(),
            "skein data directory, format 1\ncluster 0000000000000abc\nprocess 3\nbirth 000000000000004d\n\
             incarnation 2\nforgets false\nchecksum 4e0587a6\n"
        );
        assert_eq!(Identity::from_text(identity().to_text().as_bytes()), Ok(identity()));
    }

    #[test]
    fn no_byte_of_it_can_change_unnoticed() {
        let text = identity().to_text();
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert!(Identity::from_text(&bytes).is_err(), "byte {place}, bit {bit}");
            }
            assert!(Identity::from_text(&text.as_bytes()[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let newer = identity().to_text().replace("format 1", "format 2");
        assert_eq!(Identity::from_text(newer.as_bytes()), Err(Flaw::Newer { format: 2 }));
    }
}
