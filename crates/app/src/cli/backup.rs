//! `skein backup`: copies a store as it is at one moment, shows and judges such
//! copies, and brings one back.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::kv::Store;
use super::{Mistake, Verdict, output, thousands};
use crate::backup::Damage;
use crate::backup::create::{UNFINISHED, create};
use crate::backup::date::Date;
use crate::backup::manifest::{FILE, Found, Manifest};
use crate::backup::restore::{Restored, restore};
use crate::backup::verify::{Report, verify};

/// More than this many names in a directory nobody wants to see.
const MAX_LISTED: usize = 100_000;

#[derive(Args)]
#[command(after_help = "A backup is a folder: all keys of all partitions, as they were at one moment, while writes
went on. It can be brought back into a store of any shape. Exit codes: 0 well, 1 a backup is damaged, 2 a mistake.

Examples:
  skein backup create /backups                     makes /backups/20240501T123000Z, say
  skein backup list /backups
  skein backup verify /backups/20240501T123000Z
  skein backup restore /backups/20240501T123000Z   into a store that is empty")]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: Store,
    /// JSON objects, one a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Backup,
}

#[derive(Subcommand)]
enum Backup {
    /// Copy the store into a new folder of a directory.
    #[command(after_help = "Every byte is synced before the folder gets its name, so what is found under that name is
whole. Needs a user who may run SKEIN.BACKUP (+@admin, or +skein.backup).

Examples:
  skein backup create /backups
  skein backup create /backups --name before-upgrade --address 10.0.0.1:6379")]
    Create {
        /// The directory; it is made if it is not there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The name of the folder; unless told, the moment that it is of.
        #[arg(long)]
        name: Option<String>,
    },
    /// Show the backups in a directory. What they hold is not read: see `verify`.
    #[command(after_help = "Example:
  skein backup list backups")]
    List {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Read all of a backup and say whether it is as it was written. Exit code 1 if not.
    #[command(after_help = "Example:
  skein backup verify backups/before-upgrade")]
    Verify {
        /// The folder of the backup.
        #[arg(value_name = "BACKUP")]
        folder: PathBuf,
    },
    /// Put all keys of a backup into a store.
    #[command(after_help = "The backup is verified first. Keys keep their deadlines, so those that are past theirs by
now are gone at once. Whoever looks meanwhile sees what has been brought back so far.

Examples:
  skein backup restore /backups/20240501T123000Z
  skein backup restore /backups/20240501T123000Z --replace")]
    Restore {
        /// The folder of the backup.
        #[arg(value_name = "BACKUP")]
        folder: PathBuf,
        /// The store may hold keys: those that the backup has too are replaced as a whole, all others stay.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    path: String,
    snapshot: &'a str,
    cluster: &'a Option<String>,
    timestamp: u64,
    time_ms: u64,
    partitions: usize,
    keys: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct DamageRow<'a> {
    kind: &'static str,
    path: String,
    #[serde(flatten)]
    damage: &'a Damage,
}

#[derive(Serialize)]
struct Summary {
    kind: &'static str,
    path: String,
    sound: bool,
    keys: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct RestoredRow {
    kind: &'static str,
    path: String,
    keys: u64,
    store_keys: i64,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let json = arguments.json;
    match &arguments.command {
        Backup::Create { directory, name } => {
            let bar = counting("keys", None);
            let mut bytes = 0;
            let made = create(&arguments.store, directory, name.as_deref(), |keys, more| {
                bytes += more;
                bar.set_message(HumanBytes(bytes).to_string());
                bar.inc(keys);
            });
            bar.finish_and_clear();
            let (folder, manifest) = made?;
            show_made(&folder, &manifest, json);
            Ok(true)
        }
        Backup::List { directory } => list(directory, json),
        Backup::Verify { folder } => {
            let bar = counting("bytes read", None);
            let report = verify(folder, |_| (), |bytes| bar.inc(bytes));
            bar.finish_and_clear();
            Ok(show_report(folder, &report?, json))
        }
        Backup::Restore { folder, replace } => bring_back(&arguments.store, folder, *replace, json),
    }
}

/// How far something is, on standard error where that is a terminal.
fn counting(what: &str, of: Option<u64>) -> ProgressBar {
    let bar = of.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match of {
        Some(_) => format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}"),
        None => format!("{{spinner}} {{human_pos}} {what} {{msg}}"),
    };
    bar.with_style(ProgressStyle::with_template(&template).expect("the template is good"))
}

fn show_made(folder: &Path, manifest: &Manifest, json: bool) {
    if json {
        return output::json(&row("backup", folder, manifest));
    }
    let (keys, bytes) = (thousands(manifest.keys), HumanBytes(manifest.bytes));
    let date = Date::of(manifest.time_ms);
    output::line(format_args!("{}: {keys} keys, {bytes}, as of {date}", folder.display()));
}

fn row<'a>(kind: &'static str, folder: &Path, manifest: &'a Manifest) -> Row<'a> {
    let Manifest { snapshot, cluster, timestamp, time_ms, keys, bytes, files, .. } = manifest;
    let (path, partitions) = (folder.display().to_string(), files.len());
    Row {
        kind,
        path,
        snapshot,
        cluster,
        timestamp: *timestamp,
        time_ms: *time_ms,
        partitions,
        keys: *keys,
        bytes: *bytes,
    }
}

/// Every backup in a directory, by name; whether all of their manifests can be read.
fn list(directory: &Path, json: bool) -> Verdict {
    let cannot = |error: std::io::Error| Mistake(format!("cannot read {}: {error}", directory.display()));
    let (mut names, mut unfinished) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(cannot)?.take(MAX_LISTED) {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(UNFINISHED) {
            unfinished.push(name);
        } else if entry.path().join(FILE).exists() {
            names.push(name);
        }
    }
    names.sort_unstable();
    if !json && !names.is_empty() {
        let width = names.iter().map(String::len).max().unwrap_or(0).max(4);
        output::line(format_args!(
            "{:<width$}  {:<20}  {:>10}  {:>14}  {:>10}",
            "name", "as of", "partitions", "keys", "size"
        ));
    }
    let width = names.iter().map(String::len).max().unwrap_or(0).max(4);
    let mut is_well = true;
    for name in &names {
        let folder = directory.join(name);
        match Manifest::read(&folder) {
            Ok(Found::Manifest(manifest)) if json => output::json(&row("backup", &folder, &manifest)),
            Ok(Found::Manifest(manifest)) => {
                let (date, partitions) = (Date::of(manifest.time_ms).to_string(), manifest.files.len());
                let (keys, bytes) = (thousands(manifest.keys), HumanBytes(manifest.bytes).to_string());
                output::line(format_args!("{name:<width$}  {date:<20}  {partitions:>10}  {keys:>14}  {bytes:>10}"));
            }
            Ok(Found::Damage(damage)) => {
                is_well = false;
                eprintln!("{name}: {damage}");
            }
            Err(mistake) => {
                is_well = false;
                eprintln!("{name}: {mistake}");
            }
        }
    }
    for name in unfinished {
        eprintln!("{name}: not finished, or still being made; if nobody makes it any more, remove it");
    }
    Ok(is_well)
}

/// What was found; whether it is sound.
fn show_report(folder: &Path, report: &Report, json: bool) -> bool {
    let path = || folder.display().to_string();
    let sound = report.damages.is_empty();
    for damage in &report.damages {
        match json {
            true => output::json(&DamageRow { kind: "damage", path: path(), damage }),
            false => output::line(format_args!("{}: {damage}", folder.display())),
        }
    }
    let (keys, bytes) = report.manifest.as_ref().map_or((0, 0), |manifest| (manifest.keys, manifest.bytes));
    if json {
        output::json(&Summary { kind: "summary", path: path(), sound, keys, bytes });
    } else if sound {
        let (keys, bytes) = (thousands(keys), HumanBytes(bytes));
        output::line(format_args!("{}: sound, {keys} keys, {bytes}", folder.display()));
    }
    sound
}

fn bring_back(store: &Store, folder: &Path, replaces: bool, json: bool) -> Verdict {
    let verifying = counting("bytes verified", None);
    let restoring = counting("keys", None);
    let done = restore(store, folder, replaces, |bytes| verifying.inc(bytes), |keys| restoring.inc(keys));
    verifying.finish_and_clear();
    restoring.finish_and_clear();
    match done? {
        Restored::Damaged(report) => {
            show_report(folder, &report, json);
            eprintln!("nothing was restored");
            Ok(false)
        }
        Restored::Whole { keys, size } => {
            if json {
                let path = folder.display().to_string();
                output::json(&RestoredRow { kind: "restored", path, keys, store_keys: size });
            } else {
                let size = thousands(u64::try_from(size).unwrap_or(0));
                output::line(format_args!("{} keys restored; the store has {size} now", thousands(keys)));
                if !replaces && size != thousands(keys) {
                    eprintln!("keys whose deadline has passed since are gone, and others may write meanwhile");
                }
            }
            Ok(true)
        }
    }
}
