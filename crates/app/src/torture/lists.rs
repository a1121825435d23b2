//! What clients of a store saw, judged: whether all of it can have happened one
//! after the other, each thing between question and answer, and whether every
//! acknowledged append is in its list at the end. What makes no sense at all the
//! clients have noticed themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use skein_sim::check::Violation;
use skein_sim::check::linear::{self, Element, Fate, Key, Operation, Place};

use super::clients::{Account, Asked, name_of};
use crate::cli::Mistake;

/// The verdict.
pub(crate) struct Lists {
    /// Appends that were acknowledged and that somebody lacks at the end, and who.
    pub(crate) lost: Vec<String>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) operations: u64,
    pub(crate) acknowledged: u64,
    pub(crate) slowest_seconds: f64,
}

/// Reads everything that was asked for, and the last look at the end of it all.
pub(crate) fn judge(accounts: &[Account], last: &Account) -> Lists {
    let strange = accounts.iter().chain([last]).flat_map(|account| &account.strange);
    let strange = strange.map(|detail| Violation { property: "answers", detail: detail.clone() });
    let mut violations: Vec<Violation> = strange.collect();
    let mut asked: Vec<&Asked> = accounts.iter().flat_map(|account| &account.asked).collect();
    asked.sort_by_key(|asked| asked.operation.asked);
    let is_done = |asked: &&&Asked| asked.operation.fate == Fate::Done;
    let waited = |asked: &&Asked| asked.operation.answered.map(|at| at - asked.operation.asked);
    let slowest = asked.iter().filter(is_done).filter_map(waited).max().unwrap_or(0);
    let (operations, acknowledged) = (asked.len() as u64, asked.iter().filter(is_done).count() as u64);
    let lost = lost(&asked, last);
    // In the order of time: the judge begins to look for a contradiction at the first.
    let mut all: Vec<Operation> = asked.iter().map(|asked| asked.operation.clone()).collect();
    all.extend(last.asked.iter().map(|asked| asked.operation.clone()));
    let places = asked.iter().enumerate().flat_map(|(operation, asked)| {
        let place = move |(key, element, nth): &(Key, Element, u64)| Place {
            operation,
            key: *key,
            element: *element,
            nth: *nth,
        };
        asked.lengths.iter().map(place)
    });
    violations.extend(linear::check_places(&all, &places.collect::<Vec<Place>>()));
    violations.extend(linear::check(&all));
    let slowest_seconds = (slowest as f64 / 1e8).round() / 10.0;
    Lists { lost, violations, operations, acknowledged, slowest_seconds }
}

/// Acknowledged appends that some last look lacks.
fn lost(asked: &[&Asked], last: &Account) -> Vec<String> {
    let mut looks: BTreeMap<Key, Vec<(&str, BTreeSet<Element>)>> = BTreeMap::new();
    for look in &last.asked {
        for (key, list) in &look.operation.saw {
            looks.entry(*key).or_default().push((&look.operation.who, list.iter().copied().collect()));
        }
    }
    let mut lost = Vec::new();
    for Asked { operation, .. } in asked.iter().filter(|asked| asked.operation.fate == Fate::Done) {
        for (key, element) in &operation.appends {
            let lacks = looks.get(key).into_iter().flatten().find(|(_, list)| !list.contains(element));
            lost.extend(lacks.map(|(who, _)| {
                format!("{operation} was acknowledged, and {who} does not find {element} in list {key}")
            }));
        }
    }
    lost
}

/// Writes down everything for a person to read.
pub(crate) fn write_down(accounts: &[Account], last: &Account, path: &Path) -> Result<(), Mistake> {
    let mut all: Vec<&Asked> = accounts.iter().chain([last]).flat_map(|account| &account.asked).collect();
    all.sort_by_key(|asked| asked.operation.asked);
    let write = || {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let first = all.first().map_or(0, |asked| asked.operation.asked);
        let micros = |at: u64| (at - first) / 1000;
        for Asked { operation, lengths, why } in all {
            let Operation { who, asked, answered, fate, appends, saw } = operation;
            write!(file, "{:>12} us  {who}", micros(*asked))?;
            for (key, list) in saw {
                write!(file, ", saw {} = {list:?}", name_of(*key))?;
            }
            for (key, element) in appends {
                write!(file, ", appends {element} to {}", name_of(*key))?;
                if let Some((.., length)) = lengths.iter().find(|(other, ..)| other == key) {
                    write!(file, " (length {length})")?;
                }
            }
            let fate = match fate {
                Fate::Done => "done".to_owned(),
                Fate::Never => format!("nothing was done ({why})"),
                Fate::Unknown => format!("nobody knows ({why})"),
            };
            match answered {
                Some(at) => writeln!(file, ": {fate} after {} us", (at - asked) / 1000)?,
                None => writeln!(file, ": {fate}")?,
            }
        }
        file.flush()
    };
    write().map_err(|error: std::io::Error| Mistake(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(span: (u64, u64), appends: &[(Key, Element, u64)], saw: &[(Key, &[Element])]) -> Asked {
        let operation = Operation {
            who: "somebody".to_owned(),
            asked: span.0,
            answered: Some(span.1),
            fate: Fate::Done,
            appends: appends.iter().map(|(key, element, _)| (*key, *element)).collect(),
            saw: saw.iter().map(|(key, list)| (*key, list.to_vec())).collect(),
        };
        Asked { operation, lengths: appends.to_vec(), why: String::new() }
    }

    fn account(asked: Vec<Asked>) -> Account {
        Account { asked, strange: Vec::new() }
    }

    #[test]
    fn what_was_acknowledged_is_there_at_the_end() {
        let clients = [account(vec![asked((0, 9), &[(1, 7, 1)], &[]), asked((10, 20), &[(1, 8, 2)], &[(1, &[7])])])];
        let sound = account(vec![asked((30, 40), &[], &[(1, &[7, 8])])]);
        let lists = judge(&clients, &sound);
        assert_eq!((lists.lost, lists.violations, lists.operations, lists.acknowledged), (vec![], vec![], 2, 2));
        let one_lacks = account(vec![asked((30, 40), &[], &[(1, &[7, 8])]), asked((30, 40), &[], &[(1, &[7])])]);
        let lists = judge(&clients, &one_lacks);
        assert!(lists.lost[0].contains("does not find 8 in list 1") && lists.lost.len() == 1, "{:?}", lists.lost);
        assert!(!lists.violations.is_empty(), "it was answered before the last look was asked");
    }

    #[test]
    fn a_length_says_where_an_element_stands() {
        let clients = [account(vec![asked((0, 20), &[(1, 7, 2)], &[]), asked((0, 20), &[(1, 8, 2)], &[])])];
        let lists = judge(&clients, &account(vec![asked((30, 40), &[], &[(1, &[7, 8])])]));
        assert_eq!((lists.lost.len(), lists.violations.len()), (0, 1));
        assert!(lists.violations[0].detail.contains("7 is number 2 of list 1, and 8 is"), "{:?}", lists.violations);
    }

    /// As many as a long run has: the judges must not take longer than the run.
    #[test]
    fn a_hundred_thousand_operations_are_judged_in_seconds() {
        let mut lists: BTreeMap<Key, Vec<Element>> = BTreeMap::new();
        let mut all = Vec::new();
        for nth in 0..100_000 {
            let (key, other) = (nth / 500 * 12 + nth % 12, nth / 500 * 12 + (nth * 7 + 1) % 12);
            let saw = lists.get(&other).cloned().unwrap_or_default();
            let list = lists.entry(key).or_default();
            list.push(nth);
            // Twelve are on the way at once.
            all.push(asked((nth * 10, nth * 10 + 115), &[(key, nth, list.len() as u64)], &[(other, &saw)]));
        }
        let looks = lists.iter().map(|(key, list)| asked((2_000_000, 2_000_001), &[], &[(*key, list)]));
        let last = account(looks.collect());
        let begin = std::time::Instant::now();
        let lists = judge(&[account(all)], &last);
        assert_eq!((lists.lost, lists.violations), (vec![], vec![]));
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
