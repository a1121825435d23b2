//! [`Context`]: what one command sees while it runs, and [`execute`], which
//! runs it. The same commands run here for what is ordered, for reads, and on
//! the values that several partitions told each other: the store that they see
//! may be the partition's own, a clone of it, or a scratch one.

use skein_machine::{GroupId, Random, Stamp};

use super::answer::Answer;
use super::backups::Backups;
use super::cursors::Cursors;
use super::failure::Failure;
use super::limits::Limits;
use super::number;
use super::placement::Placement;
use super::store::Store;
use super::table::{self, Command};

/// What a command sees.
pub(super) struct Context<'a> {
    /// The keys.
    pub store: &'a mut Store,
    /// Where it writes its reply.
    pub answer: &'a mut Answer,
    /// Its arguments, its name first.
    pub args: &'a [&'a [u8]],
    /// What it is called in errors.
    pub name: &'static str,
    /// Choices that look random and are the same at every replica.
    pub random: &'a mut Random,
    /// What must not become larger.
    pub limits: &'a Limits,
    /// Where keys are.
    pub placement: &'a Placement,
    /// The partition.
    pub group: GroupId,
    /// Snapshots that clients read page by page, and backups.
    pub held: Held<'a>,
    /// Whether no other partition is concerned.
    pub alone: bool,
}

/// What a command sees of what clients hold of the partition as it was.
pub(super) enum Held<'a> {
    /// Nothing: it is in a transaction.
    Nothing,
    /// Backups, but nothing that it could change: it is not ordered.
    ToRead(&'a Backups),
    /// Everything: it is ordered, outside a transaction.
    ToChange {
        /// Snapshots for pages of SKEIN.RANGE.
        cursors: &'a mut Cursors,
        /// Backups.
        backups: &'a mut Backups,
        /// Where it stands in the order.
        stamp: Stamp,
        /// Its number among the commands that stand there.
        nth: u32,
    },
}

/// How a command is run.
pub(super) type Run = fn(&mut Context<'_>) -> Result<(), Failure>;

impl<'a> Context<'a> {
    /// An argument as an integer.
    pub(super) fn integer(&self, place: usize) -> Result<i64, Failure> {
        number::integer(self.args[place]).ok_or(Failure::NOT_INTEGER)
    }

    /// An argument as a score.
    pub(super) fn double(&self, place: usize) -> Result<f64, Failure> {
        number::double(self.args[place]).ok_or(Failure::NOT_FLOAT)
    }

    /// Whether an argument is this word; they are written in any case.
    pub(super) fn is(&self, place: usize, word: &str) -> bool {
        self.args[place].eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Which command this is, if it can be run with so many arguments. The error is
/// what Redis says to whoever sends it, or wants to queue it.
pub fn check(args: &[&[u8]]) -> Result<&'static Command, Failure> {
    let command = identify(args)?;
    if command.takes(args.len()) { Ok(command) } else { Err(Failure::arity(command.name)) }
}

/// Which command this is.
pub(super) fn identify(args: &[&[u8]]) -> Result<&'static Command, Failure> {
    let command = table::find(args[0]).ok_or_else(|| match table::absent(args[0]) {
        Some(name) => Failure::with(&[b"ERR command '", name.as_bytes(), b"' is not supported yet"]),
        None => Failure::unknown(args),
    })?;
    match args.get(1) {
        Some(word) if !command.subcommands.is_empty() => command.subcommand(word).ok_or_else(|| {
            let word = &word[..word.len().min(128)];
            if let Some(name) = table::absent(&[command.name.as_bytes(), b"|", word].concat()) {
                return Failure::with(&[b"ERR command '", name.as_bytes(), b"' is not supported yet"]);
            }
            let upper = command.name.to_ascii_uppercase();
            Failure::with(&[b"ERR unknown subcommand '", word, b"'. Try ", upper.as_bytes(), b" HELP."])
        }),
        _ => Ok(command),
    }
}

/// Runs a command and writes its reply, which is one line if it fails.
pub(super) fn execute(context: &mut Context<'_>) {
    let start = context.answer.len();
    let outcome = check(context.args).and_then(|command| {
        context.name = command.name;
        let run = command.run.ok_or_else(|| {
            Failure::with(&[b"ERR command '", command.name.as_bytes(), b"' is answered where the client is"])
        })?;
        run(context)
    });
    if let Err(failure) = outcome {
        context.answer.truncate(start);
        context.answer.failure(&failure);
    }
}
