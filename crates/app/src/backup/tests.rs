//! Backups without a store: the format, which a golden one holds, and damage of
//! every kind, which is found wherever it is.

use std::fs;
use std::path::{Path, PathBuf};

use super::Damage;
use super::data::{Title, Writer};
use super::manifest::{DataFile, FILE, FORMAT, Manifest};
use super::verify::verify;

/// A backup of two partitions, as the first build wrote them that had backups.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/backup")
}

/// What a partition tells: a value of each kind, in two pieces that meet within a string.
const PIECES: [&[u8]; 2] = [
    b"\x04hash\0\0\x01\x01\x05field\x05value\x04list\0\0\x02\x02\x03one\x03one\x05other\xe9\x07\0\0\x05he",
    b"llo\x03set\0\0\x03\x01\x03\xff\0\n\x06sorted\0\0\x04\x01\x06member\0\0\0\0\0\0\xf0\xbf",
];
const KEYS: u64 = 5;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("skein-backup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// The golden one anew, but for what is said here.
    fn with(name: &str, pieces: &[&[u8]], promised: u64, change: impl FnOnce(&mut Manifest)) -> Folder {
        let folder = Folder::new(name);
        let mut manifest = Manifest {
            format: FORMAT,
            skein: "0.1.0".to_owned(),
            cluster: Some("00000000000000ae".to_owned()),
            snapshot: "17c9-1-2-0".to_owned(),
            timestamp: 6089,
            time_ms: 1_714_566_600_000,
            keys: 0,
            bytes: 0,
            files: Vec::new(),
            checksum: String::new(),
        };
        for (partition, (pieces, keys)) in [(pieces, promised), (&[], 0)].into_iter().enumerate() {
            let name = DataFile::name_of(partition);
            let mut writer = Writer::create(&folder.0.join(&name), Title::of(&manifest.snapshot, partition)).unwrap();
            pieces.iter().for_each(|piece| writer.piece(piece).unwrap());
            let written = writer.finish(keys).unwrap();
            manifest.keys += keys;
            manifest.bytes += written.bytes;
            manifest.files.push(DataFile { name, keys, bytes: written.bytes, sha256: written.sha256 });
        }
        change(&mut manifest);
        fs::write(folder.0.join(FILE), manifest.to_text()).unwrap();
        folder
    }

    fn damages(&self) -> Vec<Damage> {
        verify(&self.0, |_| (), |_| ()).unwrap().damages
    }

    /// The one thing that is wrong.
    fn damage(&self) -> String {
        let damages = self.damages();
        assert_eq!(damages.len(), 1, "{damages:?}");
        damages[0].to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILES: [&str; 3] = [FILE, "partition-0.data", "partition-1.data"];

/// What was written once must be read for ever. `UPDATE=1` writes it anew, for another format.
#[test]
fn the_golden_backup_is_sound_and_written_again_byte_by_byte() {
    let folder = Folder::with("golden", &PIECES, KEYS, |_| ());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(golden()).unwrap();
        for file in FILES {
            fs::copy(folder.0.join(file), golden().join(file)).unwrap();
        }
    }
    for file in FILES {
        assert_eq!(fs::read(golden().join(file)).unwrap(), fs::read(folder.0.join(file)).unwrap(), "{file}");
    }
    let mut parts = Vec::new();
    let report = verify(&golden(), |part| parts.push(format!("{part:?}")), |_| ()).unwrap();
    assert_eq!((report.damages, report.manifest.unwrap().keys), (Vec::new(), KEYS));
    assert_eq!(parts.len(), 3 * 5 + 2, "{parts:?}");
}

#[test]
fn a_damaged_byte_is_found_wherever_it_is() {
    let folder = Folder::with("bytes", &PIECES, KEYS, |_| ());
    assert_eq!(folder.damages(), []);
    for file in FILES {
        let path = folder.0.join(file);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            for bits in [1, 0x80] {
                let mut bytes = whole.clone();
                bytes[place] ^= bits;
                fs::write(&path, &bytes).unwrap();
                let damages = folder.damages();
                assert_eq!(damages.len(), 1, "byte {place} of {file}: {damages:?}");
                assert_eq!(damages[0].file, file);
                assert!(damages[0].offset <= place as u64, "byte {place} of {file}: {damages:?}");
            }
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(folder.damages().iter().all(|damage| damage.file == file), "{file} cut to {length}");
            assert!(!folder.damages().is_empty(), "{file} cut to {length}");
        }
        fs::write(&path, [&whole[..], b"\n"].concat()).unwrap();
        assert!(!folder.damages().is_empty(), "{file} and something behind it");
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(folder.damages(), []);
}

#[test]
fn damage_says_where_it_is_and_what_it_is() {
    let folder = Folder::with("where", &PIECES, KEYS, |_| ());
    let path = folder.0.join(FILES[1]);
    let mut bytes = fs::read(&path).unwrap();
    let second = 28 + 8 + PIECES[0].len();
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let told = format!("partition-0.data: damaged at byte {second}: a record does not match its checksum");
    assert_eq!(folder.damage(), told);
    // The files of two partitions, one in the place of the other, and one that is gone.
    fs::copy(folder.0.join(FILES[2]), &path).unwrap();
    assert!(folder.damage().ends_with("at byte 0: it is of another backup, or of another partition"));
    fs::remove_file(&path).unwrap();
    assert!(folder.damage().contains("partition-0.data: damaged at byte 0: cannot read it: "));
}

#[test]
fn what_was_written_wrongly_is_found_though_all_checksums_match() {
    let damage = |name: &str, pieces: &[&[u8]], keys, change: fn(&mut Manifest)| {
        Folder::with(name, pieces, keys, change).damage()
    };
    assert!(damage("short", &PIECES[..1], 3, |_| ()).ends_with("at byte 28: the last value is not complete"));
    let second = 28 + 8 + PIECES[0].len();
    let nonsense = damage("nonsense", &[PIECES[0], PIECES[0]], 5, |_| ());
    assert!(nonsense.contains(&format!("at byte {second}: ")), "{nonsense}");
    assert!(damage("count", &PIECES, 4, |_| ()).ends_with("5 keys are there, and 4 were written"));
    assert!(damage("sum", &PIECES, 5, |manifest| manifest.keys = 6).ends_with("to what it says of all of them"));
    let other = damage("other", &PIECES, 5, |manifest| manifest.files[1].sha256 = "00".repeat(32));
    assert!(other.contains("partition-1.data") && other.ends_with("its SHA-256 is another"), "{other}");
    let away = damage("away", &PIECES, 5, |manifest| manifest.files[1].name = "../elsewhere".to_owned());
    assert!(away.contains("it names a file \"../elsewhere\""), "{away}");
    let order = damage("order", &[b"\x01b\0\0\0\0\x01a\0\0\0\0"], 2, |_| ());
    assert!(order.ends_with("at byte 28: a key is not behind the one before it"), "{order}");
}
