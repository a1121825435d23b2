//! Whether a backup is as it was written: every byte of it is read, every
//! checksum compared, every entry taken apart, and what is there counted against
//! what its manifest promises. It changes nothing and asks no store.

use std::path::Path;

use skein_service::kv::{Entries, Part};

use super::Damage;
use super::data::{Next, Reader, Title};
use super::manifest::{DataFile, FILE, Found, Manifest};
use crate::cli::Mistake;

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// The manifest, if that much can be believed.
    pub(crate) manifest: Option<Manifest>,
    /// What is wrong: of each file the first thing.
    pub(crate) damages: Vec<Damage>,
}

/// Reads all of a backup, and shows each part of it to somebody. `tick` hears how many bytes of data were read.
pub(crate) fn verify(
    folder: &Path,
    mut each: impl FnMut(&Part<'_>),
    mut tick: impl FnMut(u64),
) -> Result<Report, Mistake> {
    let manifest = match Manifest::read(folder)? {
        Found::Manifest(manifest) => manifest,
        Found::Damage(damage) => return Ok(Report { manifest: None, damages: vec![damage] }),
    };
    let mut damages = Vec::new();
    for (partition, file) in manifest.files.iter().enumerate() {
        if file.name != DataFile::name_of(partition) {
            let why = format!("it names a file {:?} where there is none of that name", file.name);
            damages.push(Damage { file: FILE.to_owned(), offset: 0, why });
            continue;
        }
        let title = Title::of(&manifest.snapshot, partition);
        if let Err(damage) = verify_file(folder, file, title, &mut each, &mut tick) {
            damages.push(damage);
        }
    }
    let sum = |count: fn(&DataFile) -> u64| manifest.files.iter().map(count).fold(0, u64::saturating_add);
    if (sum(|file| file.keys), sum(|file| file.bytes)) != (manifest.keys, manifest.bytes) {
        let why = "what it says of its files does not add up to what it says of all of them".to_owned();
        damages.push(Damage { file: FILE.to_owned(), offset: 0, why });
    }
    Ok(Report { manifest: Some(manifest), damages })
}

fn verify_file(
    folder: &Path,
    file: &DataFile,
    title: Title,
    each: &mut impl FnMut(&Part<'_>),
    tick: &mut impl FnMut(u64),
) -> Result<(), Damage> {
    let mut reader = Reader::open(folder, &file.name, title)?;
    let mut entries = Entries::new();
    let (mut keys, mut start) = (0, 0);
    loop {
        match reader.next()? {
            Next::Piece(at, piece) => {
                start = at;
                let read = entries.read(&piece, |part| {
                    keys += u64::from(matches!(part, Part::Key { .. }));
                    each(&part);
                });
                read.map_err(|malformed| reader.damage(at, malformed.0))?;
                tick(piece.len() as u64);
            }
            Next::End(..) if !entries.is_between() => {
                return Err(reader.damage(start, "the last value is not complete"));
            }
            Next::End(promised, written) => {
                let counted = format!("{keys} keys are there, and {promised} were written");
                if keys != promised || keys != file.keys {
                    return Err(reader.damage(start, &counted));
                }
                if written.bytes != file.bytes || written.sha256 != file.sha256 {
                    return Err(reader.damage(0, "it is not the file that the manifest means: its SHA-256 is another"));
                }
                return Ok(());
            }
        }
    }
}
