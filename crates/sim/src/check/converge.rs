//! Convergence: in the end everybody sees the same, and it is what is true. For
//! those who agree on nothing on the way, such as members of a fleet on who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use skein_machine::ProcessId;

use super::{Violation, limit};

const CONVERGENCE: &str = "convergence";

/// What is wrong with what these processes see, where this is true. At most a few findings.
pub fn converge<T: Ord + Debug>(truth: &BTreeSet<T>, views: &BTreeMap<ProcessId, BTreeSet<T>>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (process, view) in views {
        if let Some(missing) = truth.difference(view).next() {
            let more = truth.difference(view).count() - 1;
            let detail = format!("{process} does not see {missing:?}, which is there, nor {more} others");
            found.push(Violation::new(CONVERGENCE, detail));
        }
        if let Some(ghost) = view.difference(truth).next() {
            let more = view.difference(truth).count() - 1;
            let detail = format!("{process} sees {ghost:?}, which is not there, and {more} others like that");
            found.push(Violation::new(CONVERGENCE, detail));
        }
    }
    limit(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(seen: &[&[u64]]) -> BTreeMap<ProcessId, BTreeSet<u64>> {
        let view = |(process, seen): (usize, &&[u64])| (ProcessId(process as u16), seen.iter().copied().collect());
        seen.iter().enumerate().map(view).collect()
    }

    #[test]
    fn all_see_what_is_there() {
        assert_eq!(converge(&BTreeSet::from([1, 2]), &views(&[&[1, 2], &[2, 1]])), []);
    }

    #[test]
    fn catches_who_sees_less_and_who_sees_more() {
        let truth = BTreeSet::from([1, 2, 3]);
        let found = converge(&truth, &views(&[&[1, 2, 3], &[1], &[1, 2, 3, 4]]));
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "convergence: p1 does not see 2, which is there, nor 1 others",
                "convergence: p2 sees 4, which is not there, and 0 others like that"
            ]
        );
        assert_eq!(converge(&truth, &views(&[&[], &[], &[], &[], &[]])).len(), 3, "a few are enough");
    }
}
