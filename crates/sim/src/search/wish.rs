//! [`Wish`]: one thing that a client of a searched service asks for, how people
//! write it, and which workloads can be made of such things.

use std::fmt;
use std::ops::ControlFlow;

use skein_machine::{GroupId, GroupSet, ProcessId};

use super::permutations;

/// Partitions are called by these letters, as in every example of partitions.
const LETTERS: &str = "xyzuvw";

/// So many partitions have a letter.
pub const MOST_PARTITIONS: usize = LETTERS.len();

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Append to the list of each partition.
    Append,
    /// Look at all of these lists, at one place in the order.
    Look,
    /// Append to the list of the partition through which it comes, and tell what the others hold.
    Gather,
    /// Look at the list of a single partition where it is, without ordering anything.
    Read,
}

/// One thing that a client asks for, of which replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wish {
    /// What.
    pub kind: Kind,
    /// The partitions that it concerns.
    pub groups: GroupSet,
    /// The partition whose replica is asked.
    pub entry: GroupId,
}

impl Kind {
    const NAMES: [(&'static str, Kind); 4] =
        [("append", Kind::Append), ("look", Kind::Look), ("gather", Kind::Gather), ("read", Kind::Read)];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).expect("every kind has a name").0
    }

    /// Whether it makes sense for so many partitions.
    fn is_for(self, partitions: usize) -> bool {
        match self {
            Kind::Append | Kind::Look => partitions >= 1,
            Kind::Gather => partitions >= 2,
            Kind::Read => partitions == 1,
        }
    }
}

impl Wish {
    /// The replica that is asked. There is one in each partition.
    pub(super) fn entry_process(&self) -> ProcessId {
        ProcessId(self.entry.index() as u16)
    }

    /// Reads what people write: letters of partitions, the one first whose replica is asked, unless another one
    /// follows an `@`; in front of it what is asked for, if it is not an append. A sentence if it makes no sense.
    pub fn parse(text: &str, groups: usize) -> Result<Wish, String> {
        let (kind, rest) = match text.split_once(':') {
            None => (Kind::Append, text),
            Some((name, rest)) => match Kind::NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, kind)) => (*kind, rest),
                None => {
                    return Err(format!(
                        "`{name}` in `{text}` is nothing to ask for; it is append, look, gather or read"
                    ));
                }
            },
        };
        let letters: String = LETTERS.chars().take(groups).collect();
        let group = |letter: char| {
            let place = letters.find(letter).and_then(GroupId::new);
            place.ok_or_else(|| {
                format!("`{letter}` in `{text}` is no partition; with {groups} of them they are called {letters}")
            })
        };
        let (set, entry) = rest.split_once('@').map_or((rest, None), |(set, entry)| (set, Some(entry)));
        let set: Vec<GroupId> = set.chars().map(group).collect::<Result<_, _>>()?;
        let entry = match entry.map(|entry| entry.chars().collect::<Vec<char>>()) {
            None => set.first().copied(),
            Some(letters) if letters.len() == 1 => Some(group(letters[0])?),
            Some(_) => return Err(format!("in `{text}` one partition should follow the `@`")),
        };
        let wish = entry.map(|entry| Wish { kind, groups: set.iter().copied().collect(), entry });
        let wish = wish.filter(|wish| wish.groups.len() == set.len() && wish.is_sensible());
        wish.ok_or_else(|| {
            format!(
                "`{text}` cannot be asked for: name each partition once, one alone to read (at its own replica), and \
                 two or more to gather (through one of them)"
            )
        })
    }

    fn is_sensible(&self) -> bool {
        // Whoever reads is answered from what is there, and whoever gathers appends where it asks.
        let is_inside = self.groups.contains(self.entry) || matches!(self.kind, Kind::Append | Kind::Look);
        is_inside && self.kind.is_for(self.groups.len())
    }

    fn renamed(&self, names: &[usize]) -> Wish {
        let new = |group: GroupId| GroupId::new(names[group.index()]).expect("a renaming stays among the groups");
        Wish { kind: self.kind, groups: self.groups.iter().map(new).collect(), entry: new(self.entry) }
    }
}

/// By [`Wish::parse`], with the entry where it is not the only partition.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |group: GroupId| LETTERS.chars().nth(group.index()).unwrap_or('?');
        write!(f, "{}:{}", self.kind.name(), self.groups.iter().map(letter).collect::<String>())?;
        if self.groups.iter().ne([self.entry]) {
            write!(f, "@{}", letter(self.entry))?;
        }
        Ok(())
    }
}

/// Everything that can be asked for of up to so many partitions, through one of them.
pub(super) fn alphabet(groups: usize, kinds: &[Kind], widest: usize) -> Vec<Wish> {
    let mut all = Vec::new();
    for set in (1..1u64 << groups).map(GroupSet::from_bits).filter(|set| set.len() <= widest) {
        for kind in kinds.iter().copied().filter(|kind| kind.is_for(set.len())) {
            all.extend(set.iter().map(|entry| Wish { kind, groups: set, entry }));
        }
    }
    all.sort_by_key(|wish| (wish.groups.len(), *wish));
    all
}

/// Every choice of up to so many wishes, the fewest first. Who of them is first decides nothing, so the order of a
/// choice does not matter; how partitions are called does, for ids break ties and follow from who is asked.
pub(super) fn each_choice(
    alphabet: &[Wish],
    most: usize,
    visit: &mut dyn FnMut(&[Wish]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for count in 1..=most {
        choose(alphabet, count, &mut Vec::new(), visit)?;
    }
    ControlFlow::Continue(())
}

fn choose(
    alphabet: &[Wish],
    missing: usize,
    chosen: &mut Vec<Wish>,
    visit: &mut dyn FnMut(&[Wish]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(missing) = missing.checked_sub(1) else { return visit(chosen) };
    for (nth, wish) in alphabet.iter().enumerate() {
        chosen.push(*wish);
        choose(&alphabet[nth..], missing, chosen, visit)?;
        chosen.pop();
    }
    ControlFlow::Continue(())
}

/// The same wishes under every name that partitions can have, for whose ids are lower is left open. As they were
/// written comes first.
pub(super) fn renamings(wishes: &[Wish], groups: usize) -> Vec<Vec<Wish>> {
    let mut all: Vec<Vec<Wish>> = vec![wishes.to_vec()];
    let sorted = |mut wishes: Vec<Wish>| {
        wishes.sort_unstable();
        wishes
    };
    for names in permutations(groups) {
        let renamed: Vec<Wish> = wishes.iter().map(|wish| wish.renamed(&names)).collect();
        if all.iter().all(|known| sorted(known.clone()) != sorted(renamed.clone())) {
            all.push(renamed);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Wish {
        Wish::parse(text, 3).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn wishes_are_read_as_they_are_written() {
        for (text, full) in [
            ("x", "append:x"),
            ("zy", "append:yz@z"),
            ("xy@z", "append:xy@z"),
            ("look:xy", "look:xy@x"),
            ("gather:yx", "gather:xy@y"),
            ("read:z", "read:z"),
        ] {
            assert_eq!(parse(text).to_string(), full);
            assert_eq!(parse(full), parse(text));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, why) in [
            ("", "cannot be asked for"),
            ("xx", "each partition once"),
            ("u", "called xyz"),
            ("eat:x", "`eat`"),
            ("read:xy", "one alone to read"),
            ("read:x@y", "its own replica"),
            ("gather:x", "two or more"),
            ("gather:xy@z", "through one of them"),
            ("x@yz", "one partition should follow"),
        ] {
            let error = Wish::parse(text, 3).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// Four appends with two partitions, of which three may be chosen again and again; twelve with three.
    #[test]
    fn every_choice_is_made_once() {
        let count = |groups, kinds: &[Kind], most| {
            let mut all = std::collections::BTreeSet::new();
            let mut visited = 0;
            let _ = each_choice(&alphabet(groups, kinds, groups), most, &mut |wishes| {
                let mut wishes = wishes.to_vec();
                wishes.sort_unstable();
                all.insert(wishes);
                visited += 1;
                ControlFlow::Continue(())
            });
            assert_eq!(all.len(), visited);
            visited
        };
        assert_eq!((count(2, &[Kind::Append], 1), count(2, &[Kind::Append], 2)), (4, 4 + 10));
        assert_eq!((count(3, &[Kind::Append], 1), count(3, &[Kind::Append, Kind::Read], 1)), (12, 15));
        assert_eq!(count(3, &[Kind::Gather], 1), 9);
        assert_eq!(alphabet(3, &[Kind::Append], 2).len(), 9, "none concerns all three");
    }

    #[test]
    fn names_are_exchanged_where_that_makes_a_difference() {
        let texts = |wishes: &[&str], groups| {
            let wishes: Vec<Wish> = wishes.iter().map(|text| Wish::parse(text, groups).unwrap()).collect();
            renamings(&wishes, groups).len()
        };
        assert_eq!(texts(&["yz", "xy", "x", "z"], 3), 6);
        assert_eq!((texts(&["x", "y"], 2), texts(&["x", "x"], 2), texts(&["xy", "yx"], 2)), (1, 2, 1));
    }
}
