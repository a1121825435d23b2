//! [`Slice`]: some entries of a tree in order, by rank, from either end. It
//! holds the leaf that it is in at each end and goes down from the root for the
//! next one, so that it needs no way back up.

use super::{Leaf, Tree};

/// Some entries of a tree in order, from either end.
pub struct Slice<'a, K, V> {
    tree: &'a Tree<K, V>,
    low: usize,
    high: usize,
    /// The leaf that `low` was last in, and the rank of its first entry.
    front: Option<(&'a Leaf<K, V>, usize)>,
    /// The same for the entry before `high`.
    back: Option<(&'a Leaf<K, V>, usize)>,
}

impl<'a, K, V> Slice<'a, K, V> {
    pub(super) fn new(tree: &'a Tree<K, V>, low: usize, high: usize) -> Slice<'a, K, V> {
        Slice { tree, low, high, front: None, back: None }
    }

    fn at(tree: &'a Tree<K, V>, held: &mut Option<(&'a Leaf<K, V>, usize)>, rank: usize) -> Option<(&'a K, &'a V)> {
        let (leaf, start) = match *held {
            Some((leaf, start)) if rank >= start && rank - start < leaf.keys.len() => (leaf, start),
            _ => *held.insert(tree.leaf_at(rank)?),
        };
        Some((&leaf.keys[rank - start], &leaf.values[rank - start]))
    }
}

impl<'a, K, V> Iterator for Slice<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        if self.low >= self.high {
            return None;
        }
        let rank = self.low;
        self.low += 1;
        Slice::at(self.tree, &mut self.front, rank)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.high - self.low, Some(self.high - self.low))
    }
}

impl<K, V> DoubleEndedIterator for Slice<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.low >= self.high {
            return None;
        }
        self.high -= 1;
        Slice::at(self.tree, &mut self.back, self.high)
    }
}

impl<K, V> ExactSizeIterator for Slice<'_, K, V> {}
