//! What a quorum has reached. One function, because every protocol with
//! majorities asks it, and asking it wrongly is a classic.

/// The highest value that at least `quorum` of these have reached, if so many are there.
pub fn reached_by<T: Copy + Ord>(values: impl Iterator<Item = T> + Clone, quorum: usize) -> Option<T> {
    // They are as many as a group has replicas, or one more: counting is cheaper than sorting.
    let all = values.clone();
    values.filter(|value| all.clone().filter(|other| other >= value).count() >= quorum).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_five_has_reached_the_third() {
        assert_eq!(reached_by([1, 9, 3, 7, 5].into_iter(), 3), Some(5));
        assert_eq!(reached_by([4, 4].into_iter(), 2), Some(4));
        assert_eq!(reached_by([4, 4].into_iter(), 3), None, "two of five are no majority");
        assert_eq!(reached_by([8].into_iter(), 1), Some(8));
    }
}
