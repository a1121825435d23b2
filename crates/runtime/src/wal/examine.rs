//! [`examine`]: what reading a log must stand, for fuzzing: any bytes in any of
//! its files are a log, whole or cut off at its end, or are refused as damage;
//! never is a record handed out that nobody wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::wire::VERSION;
use skein_machine::{ClusterId, ProcessId};

use super::batch::Batch;
use super::segment::{Header, Kind, NOTE, checkpoint_name, seed, segment_name};
use super::{Recovered, Settings, Storage, Wal, WalError, check, note};
use crate::data::{Begin, DataDir, Identity, Owner};
use crate::files::{Files, Ram};

const OWNER: Owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };
const IDENTITY: Identity =
    Identity { cluster: OWNER.cluster, process: OWNER.process, birth: 5, incarnation: 0, forgets: false };

/// So many records are in the log that gets edited.
const RECORDS: u64 = 60;

/// One of its checkpoints replaces everything up to here.
const CHECKPOINT: u64 = 20;

/// Reads `bytes` as files of a log, as contents of a batch, or as edits of a good log.
pub fn examine(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => drop(reopen(&folder_with(&segment_name(1), rest))),
        1 => drop(reopen(&folder_with(&checkpoint_name(9), rest))),
        2 => drop(reopen(&folder_with(&segment_name(1), &around_body(rest)))),
        _ => examine_edits(rest),
    }
}

/// Applies edits of five bytes each to a good log: file, what to do, where, with what.
fn examine_edits(edits: &[u8]) {
    let ram = example();
    let files = ["00000002.log", "00000003.log", "00000004.log", "checkpoint-20", NOTE];
    let mut is_note_whole = true;
    for edit in edits.chunks_exact(5) {
        let file = files[usize::from(edit[0]) % files.len()];
        is_note_whole &= file != NOTE;
        let place = usize::from(u16::from_le_bytes([edit[2], edit[3]]));
        ram.edit(&Path::new("d/log").join(file), |bytes| apply(bytes, edit[1], place, usize::from(edit[4])));
    }
    if let Some(recovered) = reopen(&ram) {
        let last = refuse_inventions(&recovered);
        assert!(!is_note_whole || last == RECORDS, "the note says {RECORDS}, and {last} is the last that was found");
        let again = reopen(&ram).expect("what was opened once opens again");
        assert!(again.torn.is_none() && again.records == recovered.records, "what was cut came back");
    }
}

fn apply(bytes: &mut Vec<u8>, what: u8, place: usize, with: usize) {
    if bytes.is_empty() {
        return;
    }
    let place = place % bytes.len();
    let until = (place + with).min(bytes.len());
    match what % 5 {
        0 => bytes[place] ^= with as u8,
        1 => bytes.truncate(place),
        2 => drop(bytes.drain(place..until)),
        3 => bytes[place..until].fill(0),
        _ => {
            let twice = bytes[place..until].to_vec();
            drop(bytes.splice(until..until, twice));
        }
    }
}

/// Every record must be the one of its number; answers the last number.
fn refuse_inventions(recovered: &Recovered) -> u64 {
    let replaced = recovered.checkpoint.as_ref().map_or(0, |(record, contents)| {
        assert_eq!((*record, &contents.bytes), (CHECKPOINT, &contents_of(CHECKPOINT)));
        *record
    });
    for (record, number) in recovered.records.iter().zip(replaced + 1..) {
        assert_eq!(record.bytes, contents_of(number), "record {number}");
    }
    replaced + recovered.records.len() as u64
}

fn contents_of(number: u64) -> Bytes {
    let length = if number == 45 { 1500 } else { number as usize % 7 * 9 };
    Bytes::from(number.to_le_bytes().repeat(length.div_ceil(8) + 1))
}

/// A directory whose log has records in three segments behind a checkpoint. All of it is synced.
fn example() -> Ram {
    let ram = blank();
    let (mut wal, mut hands) = open(&ram).map(|(wal, _, hands)| (wal, hands)).expect("a blank folder opens");
    for number in 1..=RECORDS {
        wal.append(|buffer| buffer.extend_from_slice(&contents_of(number)));
        if number == CHECKPOINT {
            assert!(wal.compact(|buffer| buffer.extend_from_slice(&contents_of(CHECKPOINT))));
        }
        if number % 3 == 0 || number == RECORDS {
            wal.commit();
            hands.writer.as_mut().map(super::hands::Writer::round);
            hands.keeper.round();
        }
    }
    assert_eq!(wal.synced(), RECORDS);
    ram
}

fn open(ram: &Ram) -> Result<(Wal, Recovered, super::Hands), WalError> {
    let mut data = DataDir::open(Arc::new(ram.clone()), Path::new("d"), OWNER, Begin::Usual)?;
    let settings = Settings { segment_bytes: 1000, ..Settings::default() };
    let (wal, recovered, hands) = Wal::assemble(&mut data, Storage::Sync, settings)?;
    Ok((wal, recovered, hands.expect("this storage has hands")))
}

/// Opens a log that may be damaged, and holds `check` to the same answer.
fn reopen(ram: &Ram) -> Option<Recovered> {
    let report = check(ram, Path::new("d"));
    match (open(ram), report) {
        (Ok((_, recovered, _)), Ok(report)) => {
            assert!(report.is_sound() && report.torn == recovered.torn, "{report}");
            assert_eq!(report.records, recovered.records.len() as u64);
            Some(recovered)
        }
        (Err(WalError::Damaged(damage)), Ok(report)) => {
            assert_eq!(report.damage, Some(damage));
            None
        }
        (Err(WalError::Newer { .. }), Err(WalError::Newer { .. })) => None,
        (opened, report) => panic!("opening says {:?}, checking says {report:?}", opened.map(|(_, found, _)| found)),
    }
}

fn blank() -> Ram {
    let ram = Ram::default();
    ram.create_folder(Path::new("d")).and_then(|()| ram.create_folder(Path::new("d/log"))).expect("there is nothing");
    write(&ram, "d/identity", IDENTITY.to_text().as_bytes());
    write(&ram, "d/lock", b"");
    ram
}

fn folder_with(name: &str, bytes: &[u8]) -> Ram {
    let ram = blank();
    write(&ram, &format!("d/log/{name}"), bytes);
    write(&ram, &format!("d/log/{NOTE}"), &note::to_bytes(2, &IDENTITY));
    ram
}

fn write(ram: &Ram, path: &str, bytes: &[u8]) {
    let file = ram.create(&PathBuf::from(path)).expect("there is none");
    file.write_at(&[bytes], 0).expect("memory takes everything");
}

/// A segment with one batch of this body, with every checksum right.
fn around_body(rest: &[u8]) -> Vec<u8> {
    let mut segment = Header { kind: Kind::Segment, version: VERSION, size: 1, record: 1 }.to_bytes(&IDENTITY).to_vec();
    let (count, body) = rest.split_first().map_or((0, rest), |(count, body)| (*count, body));
    let mut batch = Batch::forged(1, u32::from(count), body);
    batch.seal(seed(Kind::Segment, 1, &IDENTITY), 2);
    segment.extend_from_slice(batch.bytes());
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_log_that_nobody_touched_is_whole() {
        let recovered = reopen(&example()).unwrap();
        assert_eq!((refuse_inventions(&recovered), recovered.torn), (RECORDS, None));
        assert_eq!(recovered.checkpoint.unwrap().0, CHECKPOINT);
        examine(&[3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_edit_makes_it_hand_out_a_wrong_record(edits in prop::collection::vec(any::<[u8; 5]>(), 1..4)) {
            examine_edits(&edits.concat());
        }

        #[test]
        fn any_bytes_are_a_log_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            examine(&bytes);
        }
    }
}
