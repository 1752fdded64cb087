//! Which pages of rows changed since the last snapshot.

use crate::domain::graph::ids::{EdgeIndex, FragmentIndex, NodeIndex};

/// Rows per page: small enough that a scattered change rewrites little, large enough that a
/// million profiles load in a few thousand reads.
pub const ROWS: u32 = 64;

/// A row of the graph's tables.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::graph) enum Touched {
    Node(NodeIndex),
    Edge(EdgeIndex),
    Fragment(FragmentIndex),
}

/// Pages that changed since they were last taken.
#[derive(Debug, Default)]
pub(in crate::domain::graph) struct Dirty {
    pub(in crate::domain::graph) nodes: PageSet,
    pub(in crate::domain::graph) edges: PageSet,
    pub(in crate::domain::graph) fragments: PageSet,
    pub(in crate::domain::graph) apart: bool,
    pub(in crate::domain::graph) names: (usize, usize),
}

impl Dirty {
    pub(in crate::domain::graph) fn mark(&mut self, touched: Touched) {
        match touched {
            Touched::Node(row) => self.nodes.add(row / ROWS),
            Touched::Edge(row) => self.edges.add(row / ROWS),
            Touched::Fragment(row) => self.fragments.add(row / ROWS),
        }
    }

    pub(in crate::domain::graph) fn node(&mut self, node: NodeIndex) {
        self.mark(Touched::Node(node));
    }
}

#[derive(Debug, Default)]
pub(in crate::domain::graph) struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    fn add(&mut self, page: u32) {
        let (word, bit) = (page as usize / 64, page % 64);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
    }

    pub(in crate::domain::graph) fn take(&mut self) -> Vec<u32> {
        let words = std::mem::take(&mut self.words);
        let bits = |(at, word): (usize, u64)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at as u32 * 64 + bit)
        };
        words.into_iter().enumerate().flat_map(bits).collect()
    }
}
