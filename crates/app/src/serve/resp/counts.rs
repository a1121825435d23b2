//! [`Counts`]: what a face counts: commands by name and by what became of them,
//! how long those took that went to a replica, and how many went together. It
//! lives on the face's own thread, so a count is an addition and nothing else;
//! whoever wants to know asks the thread, and is handed a copy. It never forgets:
//! what is told "since" is a difference of two copies.

use skein_service::kv::table::{COUNT, Command, name_of, number_of};

/// What becomes of a command: it is done, or the reply is an error of this class, or nobody was there any more to hear
/// a reply. Classes that have no name here are `other`, so there is an end to them.
pub(crate) const OUTCOMES: [&str; 13] = [
    "ok",
    "ERR",
    "WRONGTYPE",
    "TRYAGAIN",
    "UNCERTAIN",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "OOM",
    "EXECABORT",
    "NOPROTO",
    "other",
    "unheard",
];

const OK: usize = 0;
const OTHER: usize = 11;
const UNHEARD: usize = 12;

/// Up to so many microseconds, for each bucket of a histogram but the last, which has no end.
pub(crate) const BUCKETS_US: [u64; 17] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];

/// Up to so many commands that went together.
pub(crate) const LENGTHS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Which way a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Read at a replica of this node.
    Read,
    /// Ordered, in one partition.
    #[default]
    One,
    /// Ordered, in several.
    Several,
}

impl Passage {
    pub(crate) const ALL: [(Passage, &'static str); 3] =
        [(Passage::Read, "read"), (Passage::One, "one"), (Passage::Several, "several")];
}

/// The number of a command, small enough to be kept with each that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(u16);

impl Number {
    /// Of what is no command.
    pub(crate) const NONE: Number = Number(COUNT as u16);

    pub(crate) fn of(command: &Command) -> Number {
        Number(number_of(command) as u16)
    }
}

/// How many there were up to each bound, the last without one, and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram<const N: usize> {
    pub(crate) counts: [u64; N],
    pub(crate) sum: u64,
}

impl<const N: usize> Histogram<N> {
    const EMPTY: Histogram<N> = Histogram { counts: [0; N], sum: 0 };

    /// So many of this size, above these bounds.
    fn add(&mut self, bounds: &[u64], size: u64, times: u64) {
        let place = bounds.partition_point(|bound| *bound < size).min(N - 1);
        self.counts[place] += times;
        self.sum += size * times;
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What is known of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfCommand {
    /// By [`OUTCOMES`].
    pub(crate) outcomes: [u64; OUTCOMES.len()],
    /// How many of the errors were said before anything was tried.
    pub(crate) rejected: u64,
    /// How long clients waited for replicas to answer it, together.
    pub(crate) took_us: u64,
}

impl OfCommand {
    pub(crate) fn errors(&self) -> u64 {
        self.outcomes[OK + 1..UNHEARD].iter().sum()
    }

    /// How often it was tried.
    pub(crate) fn calls(&self) -> u64 {
        self.outcomes.iter().sum::<u64>() - self.rejected
    }

    /// How often it was tried and failed.
    pub(crate) fn failed(&self) -> u64 {
        self.errors() - self.rejected
    }
}

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By number, and last what is no command.
    commands: Vec<OfCommand>,
    /// How long commands were away, by [`Passage`].
    pub(crate) passages: [Histogram<{ BUCKETS_US.len() + 1 }>; 3],
    /// How many commands a run had.
    pub(crate) runs: Histogram<{ LENGTHS.len() }>,
    /// Connections that were made.
    pub(crate) connections: u64,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            commands: vec![OfCommand::default(); COUNT + 1],
            passages: [const { Histogram::EMPTY }; 3],
            runs: Histogram::EMPTY,
            connections: 0,
        }
    }
}

impl Counts {
    /// A command was answered without asking a replica.
    pub(crate) fn answered_here(&mut self, number: Number, reply: &[u8]) {
        let of = &mut self.commands[usize::from(number.0)];
        let outcome = outcome(reply);
        of.outcomes[outcome] += 1;
        of.rejected += u64::from(outcome != OK);
    }

    /// A run has left, with so many commands.
    pub(crate) fn left(&mut self, commands: usize) {
        self.runs.add(&LENGTHS, commands as u64, 1);
    }

    /// A run has come back after so long; with each of its commands comes the reply.
    pub(crate) fn came_back<'a>(
        &mut self,
        passage: Passage,
        took_us: u64,
        replies: impl Iterator<Item = (Number, &'a [u8])>,
    ) {
        let mut commands = 0;
        for (number, reply) in replies {
            let of = &mut self.commands[usize::from(number.0)];
            of.outcomes[outcome(reply)] += 1;
            of.took_us += took_us;
            commands += 1;
        }
        self.passages[passage as usize].add(&BUCKETS_US, took_us, commands);
    }

    /// Whoever has asked this was gone before it was answered.
    pub(super) fn unheard(&mut self, number: Number) {
        self.commands[usize::from(number.0)].outcomes[UNHEARD] += 1;
    }

    /// What is known of each command that was said at all; without a name, of what is no command.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (Option<&'static str>, &OfCommand)> {
        let said = |(_, of): &(_, &OfCommand)| of.outcomes.iter().any(|count| *count > 0);
        self.commands.iter().enumerate().map(|(number, of)| (name_of(number), of)).filter(said)
    }

    /// Of all commands, by outcome.
    pub(crate) fn outcomes(&self) -> [u64; OUTCOMES.len()] {
        let mut all = [0; OUTCOMES.len()];
        for of in &self.commands {
            all.iter_mut().zip(of.outcomes).for_each(|(sum, count)| *sum += count);
        }
        all
    }

    /// How many commands were tried.
    pub(crate) fn calls(&self) -> u64 {
        self.commands.iter().map(OfCommand::calls).sum()
    }

    /// What was counted since an earlier copy was made.
    pub(super) fn since(&self, earlier: &Counts) -> Counts {
        let mut counts = self.clone();
        for (now, then) in counts.commands.iter_mut().zip(&earlier.commands) {
            now.outcomes.iter_mut().zip(then.outcomes).for_each(|(now, then)| *now -= then);
            now.rejected -= then.rejected;
            now.took_us -= then.took_us;
        }
        counts.connections -= earlier.connections;
        counts
    }
}

/// Which of [`OUTCOMES`] a reply is.
fn outcome(reply: &[u8]) -> usize {
    if reply.first() != Some(&b'-') {
        return OK;
    }
    let class = reply[1..].split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let known = OUTCOMES[OK + 1..OTHER].iter().position(|known| known.as_bytes() == class);
    known.map_or(OTHER, |place| OK + 1 + place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_service::kv::table::find;

    fn number(name: &str) -> Number {
        Number::of(find(name.as_bytes()).unwrap())
    }

    #[test]
    fn replies_have_outcomes_and_there_is_an_end_to_them() {
        let named = |reply: &[u8]| OUTCOMES[outcome(reply)];
        assert_eq!([named(b"+OK\r\n"), named(b"$-1\r\n"), named(b"")], ["ok"; 3]);
        assert_eq!(named(b"-WRONGTYPE Operation against\r\n"), "WRONGTYPE");
        assert_eq!(named(b"-UNCERTAIN no answer\r\n"), "UNCERTAIN");
        assert_eq!([named(b"-NEWS x\r\n"), named(b"-ok x\r\n"), named(b"-unheard\r\n"), named(b"-")], ["other"; 4]);
        assert_eq!((OUTCOMES[OK], OUTCOMES[OTHER], OUTCOMES[UNHEARD]), ("ok", "other", "unheard"));
    }

    #[test]
    fn commands_are_counted_by_what_became_of_them() {
        let mut counts = Counts::default();
        let (get, set) = (number("get"), number("set"));
        counts.answered_here(get, b"-ERR wrong number of arguments\r\n");
        counts.answered_here(Number::NONE, b"-ERR unknown command\r\n");
        let before = counts.clone();
        counts.came_back(Passage::One, 300, [(set, &b"+OK\r\n"[..]), (get, b"-WRONGTYPE x\r\n")].into_iter());
        counts.came_back(Passage::Read, 12_000_000, [(get, &b"$1\r\na\r\n"[..])].into_iter());
        counts.unheard(set);
        let of = |counts: &Counts, name| counts.commands().find(|(other, _)| *other == name).unwrap().1.clone();
        let get = of(&counts, Some("get"));
        assert_eq!((get.calls(), get.rejected, get.failed(), get.took_us), (2, 1, 1, 12_000_300));
        let set = of(&counts, Some("set"));
        assert_eq!((set.calls(), set.failed(), set.outcomes[UNHEARD]), (2, 0, 1));
        assert_eq!((of(&counts, None).errors(), counts.commands().count(), counts.calls()), (1, 3, 4));
        assert_eq!(counts.passages[Passage::One as usize].counts[3], 2, "both took up to 500 us");
        let read = &counts.passages[Passage::Read as usize];
        assert_eq!((read.counts[BUCKETS_US.len()], read.count(), read.sum), (1, 1, 12_000_000));
        let since = counts.since(&before);
        assert_eq!((of(&since, Some("get")).rejected, of(&since, Some("get")).calls(), since.outcomes()[1]), (0, 2, 0));
    }

    #[test]
    fn bounds_of_buckets_belong_to_them() {
        let mut counts = Counts::default();
        [1, 2, 3, 1024, 5000].into_iter().for_each(|length| counts.left(length));
        assert_eq!((counts.runs.counts, counts.runs.sum), ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2], 6030));
        assert!(BUCKETS_US.is_sorted() && LENGTHS.is_sorted());
    }
}
