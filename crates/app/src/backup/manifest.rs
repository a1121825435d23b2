//! [`Manifest`]: what a backup is of, and which files it has: `manifest.json`.
//! It is read by people too, so it is JSON, and it ends in the checksum of
//! everything before that checksum, so that no byte of it can be another
//! unnoticed, in whichever format it is.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Damage;
use crate::cli::Mistake;

/// Its name.
pub(crate) const FILE: &str = "manifest.json";

/// The format of backups that this build writes, and the only one that it reads.
pub(crate) const FORMAT: u32 = 1;

/// A longer one nobody writes: there are 64 partitions at most.
const LONGEST: u64 = 1 << 20;

/// What stands behind the digits of the checksum, and how many digits there are.
const TAIL: &str = "\"\n}\n";
const DIGITS: usize = 8;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// See [`FORMAT`].
    pub(crate) format: u32,
    /// The build that wrote it.
    pub(crate) skein: String,
    /// The cluster that it is of, where that was known.
    pub(crate) cluster: Option<String>,
    /// The name that the store gave to the moment.
    pub(crate) snapshot: String,
    /// Where in the order of all commands it is.
    pub(crate) timestamp: u64,
    /// When that was by the clock of the store, in milliseconds since 1970 began.
    pub(crate) time_ms: u64,
    /// How many keys there are in all partitions.
    pub(crate) keys: u64,
    /// How many bytes its data files have.
    pub(crate) bytes: u64,
    /// Its data files, by rising partition.
    pub(crate) files: Vec<DataFile>,
    /// CRC32C of all bytes of the file before this number.
    pub(crate) checksum: String,
}

/// The file of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataFile {
    /// Its name in the folder of the backup.
    pub(crate) name: String,
    /// How many keys it has.
    pub(crate) keys: u64,
    /// How many bytes.
    pub(crate) bytes: u64,
    /// The SHA-256 of all of them.
    pub(crate) sha256: String,
}

impl DataFile {
    /// What the file of a partition is called.
    pub(crate) fn name_of(partition: usize) -> String {
        format!("partition-{partition}.data")
    }
}

/// What is in the place of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One.
    Manifest(Manifest),
    /// One that is not as it was written.
    Damage(Damage),
}

impl Manifest {
    /// The text of its file.
    pub(crate) fn to_text(&self) -> String {
        let blank = Manifest { checksum: "0".repeat(DIGITS), ..self.clone() };
        let mut text = serde_json::to_string_pretty(&blank).expect("plain data becomes JSON");
        text.push('\n');
        let end = text.len() - TAIL.len() - DIGITS;
        let checksum = format!("{:08x}", crc32c::crc32c(&text.as_bytes()[..end]));
        text.replace_range(end..end + DIGITS, &checksum);
        text
    }

    /// Reads that of a backup.
    pub(crate) fn read(folder: &Path) -> Result<Found, Mistake> {
        let path = folder.join(FILE);
        let told = |error: &std::io::Error| Mistake(format!("cannot read {}: {error}", path.display()));
        let length = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(Mistake(format!(
                    "{} is no backup: it has no {FILE}, or was never finished; `skein backup list` shows those of a \
                     directory",
                    folder.display()
                )));
            }
            Err(error) => return Err(told(&error)),
        };
        if length > LONGEST {
            return Ok(Found::Damage(damage(LONGEST, "it is longer than any manifest")));
        }
        let bytes = fs::read(&path).map_err(|error| told(&error))?;
        match parse(&bytes) {
            Err(damage) => Ok(Found::Damage(damage)),
            Ok(value) => {
                if let Some(format) = value.get("format").and_then(Value::as_u64)
                    && format != u64::from(FORMAT)
                {
                    return Err(Mistake(format!(
                        "{} is in format {format}, and this build reads format {FORMAT}: use the build that wrote it, \
                         or a newer one",
                        path.display()
                    )));
                }
                Ok(serde_json::from_value(value).map_or_else(
                    |error| Found::Damage(damage(0, &format!("it says something else than a manifest does: {error}"))),
                    Found::Manifest,
                ))
            }
        }
    }
}

fn damage(offset: u64, why: &str) -> Damage {
    Damage { file: FILE.to_owned(), offset, why: why.to_owned() }
}

/// What a manifest says whose checksum matches.
fn parse(bytes: &[u8]) -> Result<Value, Damage> {
    let too_short = || damage(bytes.len().saturating_sub(TAIL.len()) as u64, "it has no checksum at its end");
    let rest = bytes.strip_suffix(TAIL.as_bytes()).ok_or_else(too_short)?;
    let (said, digits) = rest.split_at_checked(rest.len().saturating_sub(DIGITS)).ok_or_else(too_short)?;
    if digits != format!("{:08x}", crc32c::crc32c(said)).as_bytes() {
        return Err(damage(0, "its checksum does not match what it says"));
    }
    serde_json::from_slice(bytes).map_err(|error| damage(0, &format!("it is no JSON: {error}")))
}

/// Whether a name may be that of a backup: one that is plain in every shell and every file system.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!(is_name("20240501T123000Z") && is_name("before-upgrade_2.1"));
        for bad in ["", ".hidden", "-x", "a/b", "..", "a b", "ä", &"x".repeat(101)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn another_format_is_named_and_not_taken_for_damage() {
        let folder = std::env::temp_dir().join(format!("skein-manifest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let text = "{\n  \"format\": 2,\n  \"checksum\": \"";
        let whole = format!("{text}{:08x}{TAIL}", crc32c::crc32c(text.as_bytes()));
        fs::write(folder.join(FILE), whole).unwrap();
        let Err(Mistake(why)) = Manifest::read(&folder) else { panic!("it is read") };
        assert!(why.contains("is in format 2, and this build reads format 1"), "{why}");
        fs::write(folder.join(FILE), vec![b' '; LONGEST as usize + 1]).unwrap();
        assert!(matches!(Manifest::read(&folder), Ok(Found::Damage(_))));
        fs::remove_dir_all(&folder).unwrap();
        let Err(Mistake(why)) = Manifest::read(&folder) else { panic!("it is read") };
        assert!(why.contains("is no backup: it has no manifest.json"), "{why}");
    }
}
