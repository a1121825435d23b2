//! Whether what clients saw can have happened one after the other, each thing
//! at some moment between question and answer: linearizability, of operations
//! on many keys at once.
//!
//! In general that is hard to decide. Here every key holds a list to which
//! operations append elements that nobody else appends, and whoever reads a key
//! sees all of its list. So what is seen tells who came before whom, and all
//! that is left is to look for a circle among "came before" and "was answered
//! before the other was asked".

use std::collections::BTreeMap;
use std::fmt;

use super::cycle::Graph;
use super::{Violation, limit};
use crate::{Nanos, SECOND};

/// Names the property.
pub const LINEARIZABLE: &str = "linearizability";

/// A list, by number.
pub type Key = u64;

/// What was appended: no two operations append the same.
pub type Element = u64;

/// One operation, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked, in words.
    pub who: String,
    /// When.
    pub asked: Nanos,
    /// When the answer came.
    pub answered: Option<Nanos>,
    /// What the answer said, or its lack.
    pub fate: Fate,
    /// What it appends, all of it or nothing.
    pub appends: Vec<(Key, Element)>,
    /// The lists that it saw, before it appended.
    pub saw: Vec<(Key, Vec<Element>)>,
}

/// Whether an operation has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Yes.
    Done,
    /// No, and it never will.
    Never,
    /// Nobody was told.
    Unknown,
}

/// Where an answer said that something appended stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which operation was told so.
    pub operation: usize,
    /// The list.
    pub key: Key,
    /// What it appended.
    pub element: Element,
    /// How long the list was with it.
    pub nth: u64,
}

/// Everything that is wrong. The last operations should look at every key: what
/// nobody has seen is no evidence.
pub fn check(operations: &[Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    let lists = longest(operations, &mut found);
    let authors = authors(operations);
    judge_elements(operations, &lists, &authors, &mut found);
    if found.is_empty() {
        found.extend(circle(operations, &lists, &authors));
    }
    limit(found)
}

/// What was told that it stands somewhere, and does not. What is not there at all is [`check`]'s affair.
pub fn check_places(operations: &[Operation], places: &[Place]) -> Vec<Violation> {
    let lists = longest(operations, &mut Vec::new());
    let wrong_place = |place: &Place| {
        let Place { operation, key, element, nth } = *place;
        let list = lists.get(&key)?;
        let there = usize::try_from(nth).ok()?.checked_sub(1).and_then(|at| list.get(at));
        let is_known = list.contains(&element);
        (is_known && there != Some(&element)).then(|| {
            let there = there.map_or("nothing".to_owned(), ToString::to_string);
            let who = &operations[operation];
            wrong(format!("{who} was told that {element} is number {nth} of list {key}, and {there} is at the end"))
        })
    };
    limit(places.iter().filter_map(wrong_place).collect())
}

/// Every list as the one saw it who saw most of it. What others saw is a beginning of that.
fn longest(operations: &[Operation], found: &mut Vec<Violation>) -> BTreeMap<Key, Vec<Element>> {
    let mut lists: BTreeMap<Key, &Vec<Element>> = BTreeMap::new();
    for (key, list) in operations.iter().flat_map(|operation| &operation.saw) {
        let longest = lists.entry(*key).or_insert(list);
        if list.len() > longest.len() {
            *longest = list;
        }
    }
    for operation in operations {
        for (key, list) in &operation.saw {
            if !lists[key].starts_with(list) {
                let detail = format!("{operation} saw {list:?} in list {key}, and somebody else saw {:?}", lists[key]);
                found.push(wrong(detail));
            }
        }
    }
    lists.into_iter().map(|(key, list)| (key, list.clone())).collect()
}

fn authors(operations: &[Operation]) -> BTreeMap<(Key, Element), usize> {
    let each = |(nth, operation): (usize, &Operation)| {
        operation.appends.iter().map(move |appended| (*appended, nth)).collect::<Vec<_>>()
    };
    operations.iter().enumerate().flat_map(each).collect()
}

/// Nothing that nobody appended, nothing twice, nothing that did not happen, and everything that did.
fn judge_elements(
    operations: &[Operation],
    lists: &BTreeMap<Key, Vec<Element>>,
    authors: &BTreeMap<(Key, Element), usize>,
    found: &mut Vec<Violation>,
) {
    let mut places: BTreeMap<(Key, Element), usize> = BTreeMap::new();
    for (key, list) in lists {
        for (place, element) in list.iter().enumerate() {
            if places.insert((*key, *element), place).is_some() {
                found.push(wrong(format!("{element} was appended twice to list {key}")));
            }
            match authors.get(&(*key, *element)) {
                None => found.push(wrong(format!("{element} is in list {key}, and nobody appended it"))),
                Some(author) if operations[*author].fate == Fate::Never => {
                    let author = &operations[*author];
                    found.push(wrong(format!(
                        "{author} was told that nothing happened, and {element} is in list {key}"
                    )));
                }
                Some(_) => {}
            }
        }
    }
    for operation in operations {
        let is_there: Vec<bool> = operation.appends.iter().map(|appended| places.contains_key(appended)).collect();
        let expects_all = operation.fate == Fate::Done || is_there.contains(&true);
        for ((key, element), _) in operation.appends.iter().zip(&is_there).filter(|(_, there)| expects_all && !**there)
        {
            // A list that nobody looked at says nothing.
            if lists.contains_key(key) {
                let what = if operation.fate == Fate::Done { "was answered" } else { "happened in part" };
                found.push(wrong(format!("{operation} {what}, and {element} is not in list {key}")));
            }
        }
    }
}

/// Why one operation stands before another.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// It appended to this list before the other did.
    Appended(Key),
    /// The other saw what it appended.
    Seen(Key),
    /// It did not see what the other appended.
    Unseen(Key),
    /// It was answered before the other was asked.
    Answered,
}

fn circle(
    operations: &[Operation],
    lists: &BTreeMap<Key, Vec<Element>>,
    authors: &BTreeMap<(Key, Element), usize>,
) -> Option<Violation> {
    let mut graph = Graph::new(operations.len());
    let author = |key: Key, place: usize| lists.get(&key).and_then(|list| list.get(place)).map(|e| authors[&(key, *e)]);
    for (key, list) in lists {
        for place in 1..list.len() {
            link(&mut graph, author(*key, place - 1), author(*key, place), Why::Appended(*key));
        }
    }
    for (nth, operation) in operations.iter().enumerate() {
        for (key, list) in &operation.saw {
            if let Some(last) = list.len().checked_sub(1) {
                link(&mut graph, author(*key, last), Some(nth), Why::Seen(*key));
            }
            link(&mut graph, Some(nth), author(*key, list.len()), Why::Unseen(*key));
        }
    }
    // Moments in a row stand for all pairs of an answer and a later question.
    let mut events: Vec<(Nanos, bool, usize)> = Vec::new();
    for (nth, operation) in operations.iter().enumerate() {
        if operation.fate != Fate::Never {
            // What is asked in the very moment of an answer came first: clients may not have waited for each other.
            events.push((operation.asked, false, nth));
            events.extend(operation.answered.filter(|_| operation.fate == Fate::Done).map(|at| (at, true, nth)));
        }
    }
    events.sort_unstable();
    let mut moment: Option<usize> = None;
    for (_, is_answer, nth) in events {
        if is_answer {
            let next = graph.add_node();
            graph.edge(nth, next, Why::Answered);
            if let Some(before) = moment {
                graph.edge(before, next, Why::Answered);
            }
            moment = Some(next);
        } else if let Some(before) = moment {
            graph.edge(before, nth, Why::Answered);
        }
    }
    let cycle = graph.cycle()?;
    let mut words = Vec::new();
    let mut steps = cycle.iter().filter(|(node, _)| *node < operations.len()).peekable();
    while let Some((node, why)) = steps.next() {
        let next = steps.peek().map_or(cycle.iter().find(|(node, _)| *node < operations.len()), |next| Some(*next));
        let next = &operations[next.expect("it goes round").0];
        words.push(match why {
            Why::Appended(key) => format!("{} appended to list {key} before {next}", operations[*node]),
            Why::Seen(key) => format!("{next} saw what {} appended to list {key}", operations[*node]),
            Why::Unseen(key) => format!("{} did not see what {next} appended to list {key}", operations[*node]),
            Why::Answered => format!("{} was answered before {next} was asked", operations[*node]),
        });
    }
    Some(wrong(words.join("; ")))
}

fn link(graph: &mut Graph<Why>, from: Option<usize>, to: Option<usize>, why: Why) {
    if let (Some(from), Some(to)) = (from, to)
        && from != to
    {
        graph.edge(from, to, why);
    }
}

fn wrong(detail: String) -> Violation {
    Violation::new(LINEARIZABLE, detail)
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Nanos| at as f64 / SECOND as f64;
        write!(f, "{} ({:.6} to ", self.who, seconds(self.asked))?;
        match self.answered {
            Some(at) => write!(f, "{:.6})", seconds(at)),
            None => f.write_str("…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(who: &str, span: (Nanos, Nanos)) -> Operation {
        let (asked, answered) = (span.0, Some(span.1));
        Operation { who: who.into(), asked, answered, fate: Fate::Done, appends: Vec::new(), saw: Vec::new() }
    }

    fn append(who: &str, span: (Nanos, Nanos), appends: &[(Key, Element)]) -> Operation {
        Operation { appends: appends.to_vec(), ..operation(who, span) }
    }

    fn look(who: &str, span: (Nanos, Nanos), saw: &[(Key, &[Element])]) -> Operation {
        let saw = saw.iter().map(|(key, list)| (*key, list.to_vec())).collect();
        Operation { saw, ..operation(who, span) }
    }

    /// The one finding.
    fn finding(operations: &[Operation]) -> String {
        let found = check(operations);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].detail.clone()
    }

    #[test]
    fn what_can_have_happened_passes() {
        let history = [
            append("a", (0, 10), &[(1, 1), (2, 1)]),
            append("b", (5, 20), &[(1, 2)]),
            look("c", (6, 30), &[(1, &[1]), (2, &[1])]),
            look("d", (25, 30), &[(1, &[1, 2]), (2, &[1])]),
        ];
        assert_eq!(check(&history), []);
    }

    #[test]
    fn what_was_answered_must_be_seen() {
        let history =
            [append("a", (0, 10), &[(1, 1)]), look("b", (11, 12), &[(1, &[])]), look("c", (20, 21), &[(1, &[1])])];
        let words = finding(&history);
        assert!(words.contains("b (0.000000 to 0.000000) did not see what a"), "{words}");
        let at_once =
            [append("a", (0, 10), &[(1, 1)]), look("b", (10, 12), &[(1, &[])]), look("c", (20, 21), &[(1, &[1])])];
        assert_eq!(check(&at_once), [], "asked in the moment of the answer");
    }

    #[test]
    fn two_lists_are_seen_in_one_order() {
        let history = [
            append("a", (0, 10), &[(1, 1)]),
            append("b", (0, 10), &[(2, 2)]),
            look("c", (0, 20), &[(1, &[1]), (2, &[])]),
            look("d", (0, 20), &[(1, &[]), (2, &[2])]),
        ];
        assert!(finding(&history).contains("did not see"));
    }

    #[test]
    fn half_of_an_operation_is_none() {
        let half = [
            append("a", (0, 10), &[(1, 1), (2, 1)]),
            look("b", (0, 20), &[(1, &[1]), (2, &[])]),
            look("c", (30, 40), &[(1, &[1]), (2, &[1])]),
        ];
        assert!(finding(&half).contains("saw what a"));
        let never_whole = [
            Operation { fate: Fate::Unknown, answered: None, ..append("a", (0, 10), &[(1, 1), (2, 1)]) },
            look("b", (30, 40), &[(1, &[1]), (2, &[])]),
        ];
        assert!(finding(&never_whole).contains("happened in part"));
    }

    #[test]
    fn nothing_is_lost_invented_or_repeated() {
        let lost = [append("a", (0, 10), &[(1, 1)]), look("b", (30, 40), &[(1, &[])])];
        assert!(finding(&lost).contains("was answered, and 1 is not in list 1"));
        let invented = [look("b", (30, 40), &[(1, &[7])])];
        assert!(finding(&invented).contains("nobody appended it"));
        let repeated = [append("a", (0, 10), &[(1, 1)]), look("b", (30, 40), &[(1, &[1, 1])])];
        assert!(finding(&repeated).contains("appended twice"));
        let denied =
            [Operation { fate: Fate::Never, ..append("a", (0, 10), &[(1, 1)]) }, look("b", (30, 40), &[(1, &[1])])];
        assert!(finding(&denied).contains("was told that nothing happened"));
        let unknown =
            [Operation { fate: Fate::Unknown, ..append("a", (0, 10), &[(1, 1)]) }, look("b", (30, 40), &[(1, &[])])];
        assert_eq!(check(&unknown), [], "it may not have happened");
    }

    #[test]
    fn everybody_sees_beginnings_of_one_list() {
        let history = [
            append("a", (0, 10), &[(1, 1)]),
            append("b", (0, 10), &[(1, 2)]),
            look("c", (0, 20), &[(1, &[2])]),
            look("d", (30, 40), &[(1, &[1, 2])]),
        ];
        assert!(finding(&history).contains("somebody else saw"));
    }

    #[test]
    fn what_was_appended_stands_where_it_was_told() {
        let history = [append("a", (0, 10), &[(1, 7)]), look("b", (30, 40), &[(1, &[7, 8])])];
        let place = |nth| check_places(&history, &[Place { operation: 0, key: 1, element: 7, nth }]);
        assert_eq!(place(1), []);
        assert!(place(2)[0].detail.contains("7 is number 2 of list 1, and 8 is"), "{:?}", place(2));
        assert!(place(3)[0].detail.contains("and nothing is"), "{:?}", place(3));
        assert!(place(0)[0].detail.contains("number 0"), "{:?}", place(0));
    }

    #[test]
    fn the_chain_over_three_partitions_is_a_circle() {
        // As in the published protocol: b is asked after m was answered, and comes before it all the same.
        let history = [
            append("c", (0, 100), &[(2, 1), (3, 1)]),
            append("d", (0, 100), &[(1, 2), (2, 2)]),
            look("m", (10, 20), &[(1, &[2])]),
            append("b", (30, 40), &[(3, 3)]),
            look("end", (200, 210), &[(1, &[2]), (2, &[1, 2]), (3, &[3, 1])]),
        ];
        let words = finding(&history);
        assert!(words.contains("m (0.000000 to 0.000000) was answered before b"), "{words}");
    }
}
