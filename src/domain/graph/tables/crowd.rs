//! Edges between identifiers that each have many: found by their ends, as walking either list of
//! edges would take as long as the shorter one is.

use crate::domain::graph::ids::{EdgeIndex, NodeIndex};
use crate::domain::graph::tables::row::{IN_SESSION, SEEN, WITHDRAWN_IN_SESSION, WITHDRAWN_SEEN};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

/// Edges of a list that are walked before the index is asked. Few in tests, so that the oracle's worlds
/// have crowds.
pub(in crate::domain::graph) const MANY: usize = if cfg!(test) { 2 } else { 256 };

/// Which of the (at most three) edges between two nodes a kind of evidence is on. Each has times of
/// its own: when a user was first seen in a session says nothing about when an identification point
/// found the same pair, and what was merely seen together must not order what links.
pub(in crate::domain::graph) fn lane_of(flags: u16) -> u16 {
    match flags {
        flags if flags & (IN_SESSION | WITHDRAWN_IN_SESSION) != 0 => IN_SESSION,
        flags if flags & (SEEN | WITHDRAWN_SEEN) != 0 => SEEN,
        _ => 0,
    }
}

/// Identifiers with more than [`MANY`] edges, and the edges between two of them. It follows from the
/// table of edges and is written nowhere.
#[derive(Debug, Default)]
pub(in crate::domain::graph) struct Crowd {
    pub(in crate::domain::graph) nodes: HashSet<NodeIndex, FixedState>,
    pub(in crate::domain::graph) edges: HashMap<(NodeIndex, NodeIndex, u16), EdgeIndex, FixedState>,
}

impl Crowd {
    pub(in crate::domain::graph) fn memory(&self) -> usize {
        self.nodes.allocation_size() + self.edges.allocation_size()
    }

    pub(in crate::domain::graph) fn holds(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.nodes.contains(&a) && self.nodes.contains(&b)
    }

    pub(in crate::domain::graph) fn edge(
        &self,
        a: NodeIndex,
        b: NodeIndex,
        lane: u16,
    ) -> Option<EdgeIndex> {
        self.edges.get(&(a.min(b), a.max(b), lane)).copied()
    }
}
