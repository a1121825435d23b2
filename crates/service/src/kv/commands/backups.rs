//! SKEIN.BACKUP: copies the whole store, as it is at one moment, to a place
//! outside of it.
//!
//! `OPEN` goes to all partitions, which from then on hold their keys as they are
//! at that place in the order, under one name; it answers the name, the
//! timestamp of that moment, its time in milliseconds since the epoch, and how
//! many partitions there are. `READ name partition position` answers the next
//! position and the piece between the two (see [`Entries`](crate::kv::Entries));
//! `0` is the first position and the one behind the last piece. It orders
//! nothing and changes nothing, so it may be asked of any node, and again.
//! `KEEP name` says that somebody still needs it, `CLOSE name` that nobody does.

use crate::kv::backups::{BackupName, Position, piece};
use crate::kv::cursors::Opened;
use crate::kv::execute::{Context, Held};
use crate::kv::failure::Failure;
use crate::kv::number;

type Outcome = Result<(), Failure>;

const IN_TRANSACTION: Failure = Failure::of("ERR SKEIN.BACKUP is not allowed in transactions");
const NO_NAME: Failure = Failure::of("ERR a backup is named as SKEIN.BACKUP OPEN named it");
const FORGOTTEN: Failure = Failure::of(
    "ERR this backup is forgotten: it was closed, or nobody kept it for five minutes, or too many were open; open \
     another with SKEIN.BACKUP OPEN",
);

fn name(text: &[u8]) -> Result<BackupName, Failure> {
    BackupName::parse(text).ok_or(NO_NAME)
}

pub(crate) fn open(context: &mut Context<'_>) -> Outcome {
    let now_ms = context.store.now_ms();
    let keys = context.store.keys().clone();
    let Held::ToChange { backups, stamp, nth, .. } = &mut context.held else { return Err(IN_TRANSACTION) };
    let name = BackupName::of(*stamp, *nth);
    backups.open(name, Opened::new(keys, now_ms));
    let timestamp = stamp.timestamp.0;
    context.answer.array(4);
    context.answer.bulk(name.write().as_bytes());
    context.answer.integer(timestamp as i64);
    context.answer.integer(now_ms as i64);
    context.answer.count(context.placement.everything().len());
    Ok(())
}

/// The place of the partition that is to be read, among all.
pub(crate) fn partition_of(args: &[&[u8]]) -> Option<usize> {
    usize::try_from(number::integer(args[3])?).ok()
}

pub(crate) fn read(context: &mut Context<'_>) -> Outcome {
    let name = name(context.args[2])?;
    if partition_of(context.args) != Some(context.placement.place_of(context.group)) {
        return Err(Failure::of("ERR there is no such partition"));
    }
    let position = Position::parse(context.args[4]);
    let position = position.ok_or(Failure::of("ERR a position is 0, or what SKEIN.BACKUP READ answered"))?;
    let backups = match &context.held {
        Held::ToChange { backups, .. } => &**backups,
        Held::ToRead(backups) => backups,
        Held::Nothing => return Err(IN_TRANSACTION),
    };
    let opened = backups.get(name).ok_or(FORGOTTEN)?;
    let (bytes, next) = piece(opened, position).ok_or(Failure::of("ERR there is no such position in this backup"))?;
    context.answer.array(2);
    context.answer.bulk(next.as_bytes());
    context.answer.bulk(&bytes);
    Ok(())
}

pub(crate) fn keep(context: &mut Context<'_>) -> Outcome {
    let name = name(context.args[2])?;
    let now_ms = context.store.now_ms();
    let Held::ToChange { backups, .. } = &mut context.held else { return Err(IN_TRANSACTION) };
    if !backups.keep(name, now_ms) {
        return Err(FORGOTTEN);
    }
    context.answer.ok();
    Ok(())
}

pub(crate) fn close(context: &mut Context<'_>) -> Outcome {
    let name = name(context.args[2])?;
    let Held::ToChange { backups, .. } = &mut context.held else { return Err(IN_TRANSACTION) };
    // Whoever closes it twice, for an answer was lost, is told the same.
    backups.close(name);
    context.answer.ok();
    Ok(())
}
