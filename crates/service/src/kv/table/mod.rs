//! [`Command`]: what is known of each command before it runs: its name, how
//! many arguments it takes, which of them are keys, what it may do, and how it
//! is carried out where its keys lie in several partitions. COMMAND, access
//! control and routing all read this table, and so does whoever runs commands.
//!
//! Commands that only the face of a client can answer (HELLO, CLIENT, …) are in
//! it too, without anything to run.

mod absent;
mod bits;
mod connection;
mod hashes;
mod keys;
mod lists;
mod numbers;
mod sets;
mod skein;
mod sorted;
mod strings;
mod synopses;

use smallvec::SmallVec;

use super::execute::Run;
use super::failure::Failure;
use super::number;

pub use numbers::{COUNT, name_of, number_of};
pub(super) use synopses::{arguments, synopsis};

/// What a command may do, as bits.
pub mod flags {
    macro_rules! flags {
        ($($name:ident = $bit:literal, $word:literal;)*) => {
            $(#[doc = concat!("`", $word, "`")] pub const $name: u32 = 1 << $bit;)*
            /// Nothing special.
            pub const NONE: u32 = 0;
            /// The bits and the words for them, in the order in which Redis tells them.
            pub const WORDS: &[(u32, &str)] = &[$(($name, $word)),*];
        };
    }
    flags! {
        WRITE = 0, "write"; READONLY = 1, "readonly"; DENYOOM = 2, "denyoom"; ADMIN = 3, "admin";
        NOSCRIPT = 4, "noscript"; LOADING = 5, "loading"; STALE = 6, "stale"; SKIP_MONITOR = 7, "skip_monitor";
        SKIP_SLOWLOG = 8, "skip_slowlog"; FAST = 9, "fast"; NO_AUTH = 10, "no_auth";
        MOVABLEKEYS = 11, "movablekeys"; ALLOW_BUSY = 12, "allow_busy";
    }
}

/// What access control groups commands by, as bits.
pub mod categories {
    macro_rules! categories {
        ($($name:ident = $bit:literal, $word:literal;)*) => {
            $(#[doc = concat!("`@", $word, "`")] pub const $name: u32 = 1 << $bit;)*
            /// The bits and the words for them, without the `@`.
            pub const WORDS: &[(u32, &str)] = &[$(($name, $word)),*];
        };
    }
    categories! {
        KEYSPACE = 0, "keyspace"; READ = 1, "read"; WRITE = 2, "write"; SET = 3, "set"; SORTEDSET = 4, "sortedset";
        LIST = 5, "list"; HASH = 6, "hash"; STRING = 7, "string"; BITMAP = 8, "bitmap"; ADMIN = 9, "admin";
        FAST = 10, "fast"; SLOW = 11, "slow"; DANGEROUS = 12, "dangerous"; CONNECTION = 13, "connection";
        TRANSACTION = 14, "transaction"; SKEIN = 15, "skein";
    }
}

/// One command, or one subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// In lower case; a subcommand's is `container|name`.
    pub name: &'static str,
    /// How many arguments it takes, its name included; at least so many if negative.
    pub arity: i32,
    /// Of [`flags`].
    pub flags: u32,
    /// Of [`categories`].
    pub categories: u32,
    /// The family in the documentation.
    pub group: &'static str,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// How long it takes.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// First key, last key and step, as old clients expect them.
    pub first_last_step: (i32, i32, i32),
    /// Where its keys are.
    pub specs: &'static [KeySpec],
    /// What its replies are, for clients that spread commands by themselves.
    pub hints: &'static [&'static str],
    /// How it is carried out over several partitions.
    pub spread: Spread,
    /// Whether what its first key held before makes no difference to anything.
    pub overwrites_first: bool,
    /// What runs it; `None` if the client's own face answers it.
    pub(super) run: Option<Run>,
    /// The commands under its name.
    pub subcommands: &'static [Command],
}

/// Where keys are among the arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done to them, in the words of Redis.
    pub flags: &'static str,
    /// Where they are.
    pub place: Place,
}

/// Where keys are.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// From one place to another, counted from the first, or from the end if negative, in steps.
    Range {
        /// The first.
        index: usize,
        /// The last.
        last: i32,
        /// From one to the next.
        step: usize,
    },
    /// As many as the number at this place says, after it.
    Counted(usize),
    /// It depends on words among the arguments.
    Unknown,
}

/// How a command is carried out where its keys lie in several partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Every partition needs the values of the others.
    Values,
    /// Each does its keys, and the numbers are added up.
    Sum,
    /// Each answers for its keys, and the answers go where the keys were.
    Positions,
    /// Each does its keys, which have a value behind each.
    Pairs,
    /// Every partition, numbers added up.
    AllSum,
    /// Every partition, arrays of numbers added up place by place.
    AllSums,
    /// Every partition; they all say the same.
    AllOk,
    /// Every partition, arrays one after the other.
    AllKeys,
    /// Every partition, and one of the answers.
    AllOne,
    /// Every partition that holds keys of the range, merged in order.
    Range,
    /// The partition that the cursor names.
    Cursor,
    /// The partition of a backup that an argument names.
    Backup,
}

const fn command(name: &'static str, arity: i32, flags: u32, categories: u32) -> Command {
    Command {
        name,
        arity,
        flags,
        categories,
        group: "",
        since: "",
        complexity: "",
        summary: "",
        first_last_step: (0, 0, 0),
        specs: &[],
        hints: &[],
        spread: Spread::Values,
        overwrites_first: false,
        run: None,
        subcommands: &[],
    }
}

const fn range(flags: &'static str, index: usize, last: i32, step: usize) -> KeySpec {
    KeySpec { flags, place: Place::Range { index, last, step } }
}

const fn counted(flags: &'static str, index: usize) -> KeySpec {
    KeySpec { flags, place: Place::Counted(index) }
}

const fn unknown(flags: &'static str) -> KeySpec {
    KeySpec { flags, place: Place::Unknown }
}

impl Command {
    const fn documented(
        self,
        group: &'static str,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Command {
        Command { group, since, complexity, summary, ..self }
    }

    const fn keys(self, first: i32, last: i32, step: i32, specs: &'static [KeySpec]) -> Command {
        Command { first_last_step: (first, last, step), specs, ..self }
    }

    const fn hints(self, hints: &'static [&'static str]) -> Command {
        Command { hints, ..self }
    }

    const fn runs(self, run: Run) -> Command {
        Command { run: Some(run), ..self }
    }

    const fn spread(self, spread: Spread) -> Command {
        Command { spread, ..self }
    }

    const fn overwrites(self) -> Command {
        Command { overwrites_first: true, ..self }
    }

    const fn contains(self, subcommands: &'static [Command]) -> Command {
        Command { subcommands, ..self }
    }

    /// Whether the store runs it, and not the client's own face.
    pub fn runs_here(&self) -> bool {
        self.run.is_some() || self.subcommands.iter().any(Command::runs_here)
    }

    /// Whether it has all of these flags.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether it takes so many arguments, its name included.
    pub fn takes(&self, arguments: usize) -> bool {
        let needed = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= needed } else { arguments == needed }
    }

    /// Whether it never changes anything, with these arguments.
    pub fn only_reads(&self, args: &[&[u8]]) -> bool {
        let opens =
            self.spread == Spread::Range && args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"CURSOR"));
        // Backups are opened, kept and closed for all replicas alike, though no key is written.
        let holds = self.has(flags::ADMIN) && !self.has(flags::READONLY);
        !self.has(flags::WRITE) && !opens && !holds
    }

    /// The command of this name under this one's.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        let bare = |command: &Command| command.name.split_once('|').map_or(command.name, |(_, bare)| bare).as_bytes();
        self.subcommands.iter().find(|command| bare(command).eq_ignore_ascii_case(name))
    }

    /// Categories, those that follow from flags included.
    pub fn all_categories(&self) -> u32 {
        let mut all = self.categories;
        for (flag, category) in [
            (flags::WRITE, categories::WRITE),
            (flags::READONLY, categories::READ),
            (flags::ADMIN, categories::ADMIN | categories::DANGEROUS),
        ] {
            if self.has(flag) {
                all |= category;
            }
        }
        all | if self.has(flags::FAST) { categories::FAST } else { categories::SLOW }
    }

    /// The places of the keys among the arguments, whose number was checked.
    pub fn key_places(&self, args: &[&[u8]]) -> Places {
        let mut places = Places::new();
        for spec in self.specs {
            spec.add_places(args, &mut places);
        }
        places
    }
}

impl KeySpec {
    /// Whether the key at a place is one that this says something of.
    pub(super) fn covers(&self, args: &[&[u8]], place: usize) -> bool {
        let mut places = Places::new();
        self.add_places(args, &mut places);
        places.contains(&place)
    }

    fn add_places(&self, args: &[&[u8]], places: &mut Places) {
        match self.place {
            Place::Range { index, last, step } => {
                let last = if last < 0 { args.len() as i32 + last } else { index as i32 + last };
                places.extend((index..=usize::try_from(last).unwrap_or(0)).step_by(step));
            }
            Place::Counted(index) => {
                let count = args.get(index).and_then(|count| number::integer(count)).unwrap_or(0);
                let count = usize::try_from(count).unwrap_or(0).min(args.len().saturating_sub(index + 1));
                places.extend(index + 1..index + 1 + count);
            }
            Place::Unknown if self.flags.starts_with("OW") => {
                // SORT … STORE key, the last one counts.
                let store = args.iter().rposition(|word| word.eq_ignore_ascii_case(b"STORE"));
                places.extend(store.filter(|place| *place > 1 && place + 1 < args.len()).map(|place| place + 1));
            }
            Place::Unknown => {}
        }
    }
}

/// Places among arguments.
pub type Places = SmallVec<[usize; 6]>;

const FAMILIES: [&[Command]; 9] = [
    strings::ROWS,
    bits::ROWS,
    keys::ROWS,
    hashes::ROWS,
    lists::ROWS,
    sets::ROWS,
    sorted::ROWS,
    connection::ROWS,
    skein::ROWS,
];

/// How many slots the index has: enough that most names have one of their own.
const SLOTS: usize = 1024;

/// Longest name of any command.
const LONGEST: usize = 32;

const EMPTY: (u8, u8) = (u8::MAX, 0);

/// Family and row by the hash of the name, made while this is compiled.
static INDEX: [(u8, u8); SLOTS] = index();

const fn index() -> [(u8, u8); SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let mut slot = slot(FAMILIES[family][row].name.as_bytes());
            while slots[slot].0 != EMPTY.0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = (family as u8, row as u8);
            row += 1;
        }
        family += 1;
    }
    slots
}

const fn slot(name: &[u8]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut place = 0;
    while place < name.len() {
        hash = (hash ^ name[place].to_ascii_lowercase() as u64).wrapping_mul(0x100_0000_01b3);
        place += 1;
    }
    (hash ^ hash >> 32) as usize % SLOTS
}

/// The command of this name, written in any case.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    if name.len() > LONGEST {
        return None;
    }
    let mut slot = slot(name);
    loop {
        let (family, row) = INDEX[slot];
        if family == EMPTY.0 {
            return None;
        }
        let command = &FAMILIES[usize::from(family)][usize::from(row)];
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Every command, family by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The name, if it is a command that Redis has and that is deliberately absent here.
pub fn absent(name: &[u8]) -> Option<&'static str> {
    absent::ABSENT.iter().find(|absent| absent.as_bytes().eq_ignore_ascii_case(name)).copied()
}

/// A command, or one under another's name as `container|name`.
pub fn find_full(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        Some(bar) => find(&name[..bar])?.subcommand(&name[bar + 1..]),
        None => find(name),
    }
}

/// A key of a command, and what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Whether somebody learns what it holds.
    pub reads: bool,
    /// Whether it may be changed.
    pub writes: bool,
}

/// What a command does to each of its keys, with these arguments; nothing if it cannot be run with them.
pub fn touches_of<'a>(args: &[&'a [u8]]) -> SmallVec<[Touch<'a>; 6]> {
    let Ok(command) = super::execute::check(args) else { return SmallVec::new() };
    let says = |from: usize, word: &[u8]| args.iter().skip(from).any(|option| option.eq_ignore_ascii_case(word));
    let mut touches = SmallVec::new();
    for spec in command.specs {
        let reads = spec.flags.contains("access");
        let writes = ["update", "insert", "delete"].into_iter().any(|word| spec.flags.contains(word));
        let (reads, writes) = match command.name {
            "set" => (says(3, b"GET"), writes),
            "bitfield" => (reads, says(2, b"SET") || says(2, b"INCRBY")),
            _ => (reads, writes),
        };
        let mut places = Places::new();
        spec.add_places(args, &mut places);
        touches.extend(places.iter().map(|place| Touch { key: args[*place], reads, writes }));
    }
    touches
}

/// The keys of a command: what COMMAND GETKEYS answers.
pub fn keys_of<'a>(args: &[&'a [u8]]) -> Result<SmallVec<[&'a [u8]; 6]>, Failure> {
    let (_, places) = key_places_of(args)?;
    Ok(places.iter().map(|place| args[*place]).collect())
}

/// A command and where its keys are.
pub(super) fn key_places_of(args: &[&[u8]]) -> Result<(&'static Command, Places), Failure> {
    let command = super::execute::identify(args).map_err(|_| Failure::of("ERR Invalid command specified"))?;
    if command.specs.is_empty() {
        return Err(Failure::of("ERR The command has no key arguments"));
    }
    if !command.takes(args.len()) {
        return Err(Failure::of("ERR Invalid number of arguments specified for command"));
    }
    let places = command.key_places(args);
    Ok((command, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_command_is_found_and_none_is_absent_too() {
        let mut names: Vec<&str> = all().map(|command| command.name).collect();
        for name in &names {
            assert_eq!(find(name.to_ascii_uppercase().as_bytes()).unwrap().name, *name);
            assert!(name.len() <= LONGEST && absent(name.as_bytes()).is_none());
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(find(b"nonsense").is_none() && find(&[b'x'; 100]).is_none());
        assert_eq!(absent(b"BLPOP"), Some("blpop"));
    }

    #[test]
    fn what_is_done_to_a_key_depends_on_words() {
        let cases: [(&str, &[(&str, &str)]); 12] = [
            ("GET a", &[("a", "r")]),
            ("EXISTS a b", &[("a", ""), ("b", "")]),
            ("SET a 1", &[("a", "w")]),
            ("SET a GET", &[("a", "w")]),
            ("SET a 1 EX 5 get", &[("a", "rw")]),
            ("GETDEL a", &[("a", "rw")]),
            ("DEL a", &[("a", "w")]),
            ("COPY a b", &[("a", "r"), ("b", "w")]),
            ("BITFIELD a GET u8 0", &[("a", "r")]),
            ("BITFIELD a GET u8 0 incrby u8 0 1", &[("a", "rw")]),
            ("SORT a STORE d", &[("a", "r"), ("d", "w")]),
            ("NONSENSE a", &[]),
        ];
        for (line, expected) in cases {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let touched = touches_of(&args);
            let told: Vec<(&str, &str)> = touched
                .iter()
                .map(|touch| {
                    let how = ["", "r", "w", "rw"][usize::from(touch.reads) + 2 * usize::from(touch.writes)];
                    (core::str::from_utf8(touch.key).unwrap(), how)
                })
                .collect();
            assert_eq!(told, expected, "{line}");
        }
    }

    #[test]
    fn what_has_keys_runs_here() {
        for command in all() {
            assert!(
                command.run.is_some() || command.specs.is_empty() || matches!(command.name, "watch" | "skein.where"),
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn keys_are_where_they_are() {
        let cases: [(&str, &[&str]); 9] = [
            ("GET a", &["a"]),
            ("MSET a 1 b 2", &["a", "b"]),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &["d", "a", "b"]),
            ("ZUNION 3 a b", &["a", "b"]),
            ("LMPOP 2 a b LEFT", &["a", "b"]),
            ("SORT a BY nosort STORE d", &["a", "d"]),
            ("BITOP AND d a b", &["d", "a", "b"]),
            ("OBJECT ENCODING k", &["k"]),
            ("SINTERCARD 2 a b LIMIT 1", &["a", "b"]),
        ];
        for (line, expected) in cases {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let keys: Vec<&[u8]> = keys_of(&args).unwrap().into_iter().collect();
            assert_eq!(keys, expected.iter().map(|key| key.as_bytes()).collect::<Vec<_>>(), "{line}");
        }
        assert!(keys_of(&[b"DBSIZE"]).is_err() && keys_of(&[b"GET"]).is_err());
    }
}
