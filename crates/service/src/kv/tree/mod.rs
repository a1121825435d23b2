//! [`Tree`]: an ordered map that is copied by counting a reference. A clone
//! shares every node with its original, and a change copies only the nodes from
//! the root to the place that changes, and only where somebody else holds them:
//! a tree that nobody cloned changes in place. That is what makes snapshots,
//! cursors and checkpoints of a store free.
//!
//! It is a B+tree whose branches count what lies below, so that a rank is found
//! as fast as a key; a tree whose keys are all `()` is a sequence. Keys are
//! sought by a function that compares, never by a borrowed key; the function
//! must follow the order of the keys, or what is found depends on the layout.
//! It will never tell how it is laid out: two trees that hold the same show the
//! same.

mod slice;
#[cfg(test)]
mod tests;

use core::cmp::Ordering;
use core::fmt;

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

pub(super) use slice::Slice;

/// Most entries of a leaf, and most children of a branch. A leaf of small
/// entries is some cache lines, and a million of them are four levels.
const WIDTH: usize = 32;

/// A node with fewer is merged with its neighbour, or takes some from it.
const NARROW: usize = WIDTH / 4;

/// Room for all children of a branch, and for one too many before it is split.
const ROOM: usize = WIDTH + 1;

/// An ordered map, persistent.
pub struct Tree<K, V> {
    root: Node<K, V>,
}

enum Node<K, V> {
    Leaf(Arc<Leaf<K, V>>),
    Branch(Arc<Branch<K, V>>),
}

struct Leaf<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

/// All in one piece of memory: a search has to wait for each other piece that it looks at.
struct Branch<K, V> {
    /// What lies in `children[i]` is below `separators[i]`, and nothing in `children[i + 1]` is.
    separators: ArrayVec<K, WIDTH>,
    children: ArrayVec<Node<K, V>, ROOM>,
    /// How many entries each child holds.
    counts: ArrayVec<usize, ROOM>,
}

/// The right half of a node that became too wide, and a key that is above all
/// of the left and not above any of the right.
type Split<K, V> = Option<(K, Node<K, V>)>;

impl<K, V> Tree<K, V> {
    /// An empty tree.
    pub fn new() -> Tree<K, V> {
        Tree { root: Node::Leaf(Arc::new(Leaf { keys: Vec::new(), values: Vec::new() })) }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.root.count()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry that `compare` finds equal; it says how a key compares to the one that is sought.
    pub fn get(&self, compare: impl Fn(&K) -> Ordering) -> Option<(&K, &V)> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let place = leaf.keys.binary_search_by(&compare).ok()?;
                    return Some((&leaf.keys[place], &leaf.values[place]));
                }
                Node::Branch(branch) => node = &branch.children[branch.child(&compare)],
            }
        }
    }

    /// How many entries lie before the one that is sought: `Ok` if it is there.
    pub fn rank(&self, compare: impl Fn(&K) -> Ordering) -> Result<usize, usize> {
        let mut node = &self.root;
        let mut before = 0;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let place = leaf.keys.binary_search_by(&compare);
                    return place.map(|place| before + place).map_err(|place| before + place);
                }
                Node::Branch(branch) => {
                    let child = branch.child(&compare);
                    before += branch.counts[..child].iter().sum::<usize>();
                    node = &branch.children[child];
                }
            }
        }
    }

    /// The entry with so many others before it.
    pub fn nth(&self, rank: usize) -> Option<(&K, &V)> {
        let (leaf, start) = self.leaf_at(rank)?;
        Some((&leaf.keys[rank - start], &leaf.values[rank - start]))
    }

    /// All entries in order.
    pub fn iter(&self) -> Slice<'_, K, V> {
        self.slice(0, self.len())
    }

    /// The entries with ranks from `low` up to, but not including, `high`, in
    /// order; also from the back.
    pub fn slice(&self, low: usize, high: usize) -> Slice<'_, K, V> {
        let high = high.min(self.len());
        Slice::new(self, low.min(high), high)
    }

    /// The leaf that holds this rank, and the rank of its first entry.
    fn leaf_at(&self, rank: usize) -> Option<(&Leaf<K, V>, usize)> {
        if rank >= self.len() {
            return None;
        }
        let mut node = &self.root;
        let mut start = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return Some((leaf, start)),
                Node::Branch(branch) => {
                    let (child, inside) = branch.child_at(rank - start);
                    start = rank - inside;
                    node = &branch.children[child];
                }
            }
        }
    }
}

impl<K: Clone + Ord, V: Clone> Tree<K, V> {
    /// Puts a value under a key; what was there before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (old, split) = self.root.insert(key, value);
        self.grow(split);
        old
    }

    /// Takes the entry out that `compare` finds equal.
    pub fn remove(&mut self, compare: impl Fn(&K) -> Ordering) -> Option<(K, V)> {
        let rank = self.rank(compare).ok()?;
        Some(self.remove_at(rank))
    }
}

impl<K: Clone, V: Clone> Tree<K, V> {
    /// The value under the key that `compare` finds equal, to be changed in place.
    pub fn get_mut(&mut self, compare: impl Fn(&K) -> Ordering) -> Option<&mut V> {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let place = leaf.keys.binary_search_by(&compare).ok()?;
                    return Some(&mut Arc::make_mut(leaf).values[place]);
                }
                Node::Branch(branch) => {
                    let child = branch.child(&compare);
                    node = &mut Arc::make_mut(branch).children[child];
                }
            }
        }
    }

    /// The value at a rank, to be changed in place.
    pub fn nth_mut(&mut self, rank: usize) -> Option<&mut V> {
        if rank >= self.len() {
            return None;
        }
        let mut node = &mut self.root;
        let mut inside = rank;
        loop {
            match node {
                Node::Leaf(leaf) => return Some(&mut Arc::make_mut(leaf).values[inside]),
                Node::Branch(branch) => {
                    let (child, rest) = branch.child_at(inside);
                    inside = rest;
                    node = &mut Arc::make_mut(branch).children[child];
                }
            }
        }
    }

    /// Puts an entry where it has so many before it: for sequences, and for
    /// whoever knows that the order stays right.
    pub fn insert_at(&mut self, rank: usize, key: K, value: V) {
        assert!(rank <= self.len(), "rank {rank} is past the end of {} entries", self.len());
        let split = self.root.insert_at(rank, key, value);
        self.grow(split);
    }

    /// Takes the entry at a rank out.
    pub fn remove_at(&mut self, rank: usize) -> (K, V) {
        assert!(rank < self.len(), "rank {rank} is past the end of {} entries", self.len());
        let taken = self.root.remove_at(rank);
        if let Node::Branch(branch) = &mut self.root
            && branch.children.len() == 1
        {
            let only = Arc::make_mut(branch).children.pop().expect("it was counted");
            self.root = only;
        }
        taken
    }

    fn grow(&mut self, split: Split<K, V>) {
        let Some((separator, right)) = split else { return };
        let left = core::mem::replace(&mut self.root, Tree::new().root);
        let (separators, counts) =
            ([separator].into_iter().collect(), [left.count(), right.count()].into_iter().collect());
        let children = [left, right].into_iter().collect();
        self.root = Node::Branch(Arc::new(Branch { separators, children, counts }));
    }
}

impl<K, V> Node<K, V> {
    fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.counts.iter().sum(),
        }
    }

    /// How many entries or children it has itself.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.children.len(),
        }
    }
}

impl<K: Clone + Ord, V: Clone> Node<K, V> {
    fn insert(&mut self, key: K, value: V) -> (Option<V>, Split<K, V>) {
        match self {
            Node::Leaf(leaf) => {
                let leaf = Arc::make_mut(leaf);
                match leaf.keys.binary_search(&key) {
                    Ok(place) => (Some(core::mem::replace(&mut leaf.values[place], value)), None),
                    Err(place) => (None, leaf.insert_at(place, key, value)),
                }
            }
            Node::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let child = branch.child(&|separator: &K| separator.cmp(&key));
                let (old, split) = branch.children[child].insert(key, value);
                if old.is_none() {
                    branch.counts[child] += 1;
                }
                (old, branch.adopt(child, split))
            }
        }
    }
}

impl<K: Clone, V: Clone> Node<K, V> {
    fn insert_at(&mut self, rank: usize, key: K, value: V) -> Split<K, V> {
        match self {
            Node::Leaf(leaf) => Arc::make_mut(leaf).insert_at(rank, key, value),
            Node::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let (child, inside) = branch.child_at(rank);
                let split = branch.children[child].insert_at(inside, key, value);
                branch.counts[child] += 1;
                branch.adopt(child, split)
            }
        }
    }

    fn remove_at(&mut self, rank: usize) -> (K, V) {
        match self {
            Node::Leaf(leaf) => {
                let leaf = Arc::make_mut(leaf);
                (leaf.keys.remove(rank), leaf.values.remove(rank))
            }
            Node::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let (child, inside) = branch.child_at(rank);
                let taken = branch.children[child].remove_at(inside);
                branch.counts[child] -= 1;
                if branch.children[child].width() < NARROW && branch.children.len() > 1 {
                    branch.mend(child.max(1) - 1);
                }
                taken
            }
        }
    }

    /// Appends a right neighbour; what is too much for one node comes back as two halves.
    fn join(&mut self, separator: K, right: Node<K, V>) -> Split<K, V> {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let left = Arc::make_mut(left);
                let right = Arc::unwrap_or_clone(right);
                left.keys.extend(right.keys);
                left.values.extend(right.values);
                left.split()
            }
            (Node::Branch(left), Node::Branch(right)) => {
                Arc::make_mut(left).join(separator, Arc::unwrap_or_clone(right))
            }
            _ => unreachable!("all leaves of a tree lie equally deep"),
        }
    }
}

impl<K: Clone, V> Leaf<K, V> {
    fn insert_at(&mut self, place: usize, key: K, value: V) -> Split<K, V> {
        self.keys.insert(place, key);
        self.values.insert(place, value);
        self.split()
    }

    fn split(&mut self) -> Split<K, V> {
        if self.keys.len() <= WIDTH {
            return None;
        }
        let half = self.keys.len() / 2;
        let right = Leaf { keys: self.keys.split_off(half), values: self.values.split_off(half) };
        Some((right.keys[0].clone(), Node::Leaf(Arc::new(right))))
    }
}

impl<K, V> Branch<K, V> {
    /// The child in which the sought key lies, if it is anywhere.
    fn child(&self, compare: &impl Fn(&K) -> Ordering) -> usize {
        self.separators.partition_point(|separator| compare(separator) != Ordering::Greater)
    }

    /// The child in which a rank lies, and the rank within it; the end belongs to the last.
    fn child_at(&self, mut rank: usize) -> (usize, usize) {
        let last = self.counts.len() - 1;
        for (child, count) in self.counts[..last].iter().enumerate() {
            if rank < *count {
                return (child, rank);
            }
            rank -= count;
        }
        (last, rank)
    }
}

impl<K: Clone, V: Clone> Branch<K, V> {
    /// Takes in the right half of a child that became too wide.
    fn adopt(&mut self, child: usize, split: Split<K, V>) -> Split<K, V> {
        let (separator, right) = split?;
        let moved = right.count();
        self.counts[child] -= moved;
        self.counts.insert(child + 1, moved);
        self.separators.insert(child, separator);
        self.children.insert(child + 1, right);
        self.split()
    }

    fn split(&mut self) -> Split<K, V> {
        if self.children.len() <= WIDTH {
            return None;
        }
        let half = self.children.len() / 2;
        let right = Branch {
            separators: self.separators.drain(half..).collect(),
            children: self.children.drain(half..).collect(),
            counts: self.counts.drain(half..).collect(),
        };
        let separator = self.separators.pop().expect("a separator stands before every child but the first");
        Some((separator, Node::Branch(Arc::new(right))))
    }

    /// Appends a right neighbour; what is too much for one branch comes back as the right one of two.
    fn join(&mut self, separator: K, right: Branch<K, V>) -> Split<K, V> {
        let mut separators: Vec<K> = self.separators.drain(..).chain([separator]).chain(right.separators).collect();
        let mut children: Vec<Node<K, V>> = self.children.drain(..).chain(right.children).collect();
        let mut counts: Vec<usize> = self.counts.drain(..).chain(right.counts).collect();
        let mut split = None;
        if children.len() > WIDTH {
            let half = children.len() / 2;
            let right = Branch {
                separators: separators.drain(half..).collect(),
                children: children.drain(half..).collect(),
                counts: counts.drain(half..).collect(),
            };
            let separator = separators.pop().expect("a separator stands before every child but the first");
            split = Some((separator, Node::Branch(Arc::new(right))));
        }
        self.separators.extend(separators);
        self.children.extend(children);
        self.counts.extend(counts);
        split
    }

    /// Makes one of a child and its right neighbour, or two of about equal width.
    fn mend(&mut self, left: usize) {
        let right = self.children.remove(left + 1);
        let total = self.counts[left] + self.counts.remove(left + 1);
        self.counts[left] = total;
        let split = self.children[left].join(self.separators.remove(left), right);
        let none = self.adopt(left, split);
        assert!(none.is_none(), "a branch that lost a child has room for one");
    }
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Tree<K, V> {
        Tree { root: self.root.clone() }
    }
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Node<K, V> {
        match self {
            Node::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Node::Branch(branch) => Node::Branch(branch.clone()),
        }
    }
}

impl<K: Clone, V: Clone> Clone for Leaf<K, V> {
    fn clone(&self) -> Leaf<K, V> {
        Leaf { keys: self.keys.clone(), values: self.values.clone() }
    }
}

impl<K: Clone, V> Clone for Branch<K, V> {
    fn clone(&self) -> Branch<K, V> {
        Branch { separators: self.separators.clone(), children: self.children.clone(), counts: self.counts.clone() }
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Tree<K, V> {
        Tree::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Tree<K, V> {
    fn eq(&self, other: &Tree<K, V>) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Tree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
