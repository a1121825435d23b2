//! The tree against an ordered map of the standard library, clones included.

use super::*;
use alloc::collections::BTreeMap;
use proptest::prelude::*;

impl<K: Ord, V> Node<K, V> {
    /// Asserts the laws of the layout, and tells the depth.
    fn check(&self, root: bool) -> usize {
        assert!(self.width() <= WIDTH && (root || self.width() >= NARROW), "a width of {}", self.width());
        match self {
            Node::Leaf(leaf) => {
                assert!(leaf.keys.is_sorted() && leaf.keys.len() == leaf.values.len());
                0
            }
            Node::Branch(branch) => {
                assert_eq!(branch.separators.len() + 1, branch.children.len());
                let counts: Vec<usize> = branch.children.iter().map(Node::count).collect();
                assert_eq!(branch.counts[..], counts);
                let depths: Vec<usize> = branch.children.iter().map(|child| child.check(false)).collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u16, u32),
    Remove(u16),
    RemoveRun(u16, u8),
    Alter(u16, u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (0..2000u16, any::<u32>()).prop_map(|(key, value)| Change::Insert(key, value)),
        2 => (0..2000u16).prop_map(Change::Remove),
        1 => (0..2000u16, any::<u8>()).prop_map(|(key, run)| Change::RemoveRun(key, run)),
        2 => (0..2000u16, any::<u32>()).prop_map(|(key, value)| Change::Alter(key, value)),
    ]
}

fn same(tree: &Tree<u16, u32>, model: &BTreeMap<u16, u32>) {
    tree.root.check(true);
    assert!(tree.iter().eq(model.iter()));
    assert!(tree.iter().rev().eq(model.iter().rev()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn does_what_an_ordered_map_does(
        first in prop::collection::vec(change(), 0..1500),
        second in prop::collection::vec(change(), 0..500),
    ) {
        let mut tree = Tree::new();
        let mut model = BTreeMap::new();
        let mut kept = Vec::new();
        for (step, change) in first.into_iter().chain(second).enumerate() {
            if step % 97 == 0 {
                kept.push((tree.clone(), model.clone()));
            }
            match change {
                Change::Insert(key, value) => prop_assert_eq!(tree.insert(key, value), model.insert(key, value)),
                Change::Remove(key) => {
                    prop_assert_eq!(tree.remove(|have| have.cmp(&key)).map(|(_, value)| value), model.remove(&key));
                }
                Change::RemoveRun(key, run) => {
                    for key in key..key.saturating_add(u16::from(run)) {
                        prop_assert_eq!(tree.remove(|have| have.cmp(&key)).is_some(), model.remove(&key).is_some());
                    }
                }
                Change::Alter(key, value) => {
                    let have = tree.get_mut(|have| have.cmp(&key)).map(|old| *old = value);
                    prop_assert_eq!(have, model.get_mut(&key).map(|old| *old = value));
                }
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        same(&tree, &model);
        for key in 0..2000u16 {
            prop_assert_eq!(tree.get(|have| have.cmp(&key)).map(|(_, value)| value), model.get(&key));
        }
        for (rank, (key, value)) in model.iter().enumerate() {
            prop_assert_eq!(tree.rank(|have| have.cmp(key)), Ok(rank));
            prop_assert_eq!(tree.nth(rank), Some((key, value)));
        }
        for (tree, model) in kept {
            same(&tree, &model);
        }
    }

    #[test]
    fn without_keys_it_is_a_sequence(places in prop::collection::vec((any::<u16>(), any::<bool>()), 0..800)) {
        let mut tree = Tree::new();
        let mut model = Vec::new();
        for (value, (place, remove)) in places.into_iter().enumerate() {
            let place = usize::from(place) % (model.len() + 1);
            if remove && place < model.len() {
                prop_assert_eq!(tree.remove_at(place).1, model.remove(place));
            } else {
                tree.insert_at(place, (), value);
                model.insert(place, value);
            }
        }
        prop_assert!(tree.iter().map(|(_, value)| value).eq(model.iter()));
        let middle = model.len() / 2;
        prop_assert!(tree.slice(middle, usize::MAX).map(|(_, value)| value).eq(model[middle..].iter()));
    }
}

#[test]
fn removing_everything_leaves_an_empty_leaf() {
    let mut tree: Tree<u32, ()> = Tree::new();
    for key in 0..5000 {
        tree.insert(key, ());
    }
    assert_eq!(tree.root.check(true), 2);
    for key in 0..5000 {
        tree.remove(|have| have.cmp(&key)).unwrap();
    }
    assert!(tree.is_empty() && tree.root.check(true) == 0 && tree.iter().next().is_none());
}
