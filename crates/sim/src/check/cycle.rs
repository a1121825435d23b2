//! Cycles in "comes before": a graph over messages, with an edge and its
//! reason wherever one must come before another.

use std::collections::VecDeque;

/// A directed graph whose edges remember why they are there.
pub(super) struct Graph<R> {
    edges: Vec<Vec<(usize, R)>>,
}

impl<R: Copy> Graph<R> {
    /// So many nodes, no edge.
    pub(super) fn new(nodes: usize) -> Graph<R> {
        Graph { edges: (0..nodes).map(|_| Vec::new()).collect() }
    }

    pub(super) fn add_node(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    pub(super) fn edge(&mut self, from: usize, to: usize, reason: R) {
        self.edges[from].push((to, reason));
    }

    /// The same graph with other reasons.
    pub(super) fn map<S>(self, reason: impl Fn(R) -> S + Copy) -> Graph<S> {
        let edges = self.edges.into_iter().map(|edges| edges.into_iter().map(|(to, why)| (to, reason(why))).collect());
        Graph { edges: edges.collect() }
    }

    /// A cycle as a list of (node, reason to go on), as short as one through its first node can be.
    pub(super) fn cycle(&self) -> Option<Vec<(usize, R)>> {
        let mut waiting_for = vec![0usize; self.edges.len()];
        for (to, _) in self.edges.iter().flatten() {
            waiting_for[*to] += 1;
        }
        let mut free: Vec<usize> = (0..self.edges.len()).filter(|node| waiting_for[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for (to, _) in &self.edges[node] {
                waiting_for[*to] -= 1;
                if waiting_for[*to] == 0 {
                    free.push(*to);
                }
            }
        }
        // What still waits lies on a cycle or behind one: walk until a cycle closes.
        (0..self.edges.len()).filter(|node| waiting_for[*node] > 0).find_map(|node| self.way_back(node))
    }

    /// The shortest way from a node to itself.
    fn way_back(&self, start: usize) -> Option<Vec<(usize, R)>> {
        let mut came_from: Vec<Option<(usize, R)>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (to, reason) in &self.edges[node] {
                if came_from[*to].is_some() {
                    continue;
                }
                came_from[*to] = Some((node, *reason));
                if *to == start {
                    let mut way = Vec::new();
                    let mut at = start;
                    loop {
                        let (previous, reason) = came_from[at].expect("the way was walked");
                        way.push((previous, reason));
                        at = previous;
                        if at == start {
                            way.reverse();
                            return Some(way);
                        }
                    }
                }
                queue.push_back(*to);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_cycle_and_only_a_cycle() {
        let mut graph = Graph::new(5);
        graph.edge(0, 1, 'a');
        graph.edge(1, 2, 'b');
        graph.edge(2, 3, 'c');
        graph.edge(1, 3, 'd');
        assert_eq!(graph.cycle(), None);
        graph.edge(3, 1, 'e');
        graph.edge(3, 4, 'f');
        assert_eq!(graph.cycle(), Some(vec![(1, 'd'), (3, 'e')]), "the shortest of two");
    }
}
