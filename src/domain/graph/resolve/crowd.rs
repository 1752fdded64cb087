//! Edges between identifiers that each have many: found by their ends, as walking either list of
//! edges would take as long as the shorter one is.

use crate::domain::graph::resolve::evidence::lane_of;
use crate::domain::graph::{EdgeIndex, Graph, NodeIndex};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

/// Edges of a list that are walked before the index is asked. Few in tests, so that the oracle's worlds
/// have crowds.
pub(in crate::domain::graph) const MANY: usize = if cfg!(test) { 2 } else { 256 };
/// Of the edges that come, each so many-th has the lists at its ends looked at.
const LOOK_EVERY: EdgeIndex = if cfg!(test) { 1 } else { 64 };

/// Identifiers with more than [`MANY`] edges, and the edges between two of them. It follows from the
/// table of edges and is written nowhere.
#[derive(Debug, Default)]
pub(in crate::domain::graph) struct Crowd {
    nodes: HashSet<NodeIndex, FixedState>,
    edges: HashMap<(NodeIndex, NodeIndex, u16), EdgeIndex, FixedState>,
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

impl Graph {
    /// Notes an edge that was attached.
    pub(in crate::domain::graph) fn crowd_in(&mut self, edge: EdgeIndex) {
        let row = &self.edges[edge as usize];
        let (a, b, lane) = (row.a, row.b, lane_of(row.flags));
        if self.crowd.holds(a, b) {
            self.crowd.edges.insert((a, b, lane), edge);
        }
        if edge.is_multiple_of(LOOK_EVERY) {
            self.look_at_crowd(a);
            self.look_at_crowd(b);
        }
    }

    /// Forgets an edge that is to be detached.
    pub(in crate::domain::graph) fn crowd_out(&mut self, edge: EdgeIndex) {
        let row = &self.edges[edge as usize];
        self.crowd.edges.remove(&(row.a, row.b, lane_of(row.flags)));
    }

    /// A row is free, and somebody else may get it.
    pub(in crate::domain::graph) fn crowd_without(&mut self, node: NodeIndex) {
        self.crowd.nodes.remove(&node);
    }

    fn look_at_crowd(&mut self, node: NodeIndex) {
        if self.crowd.nodes.contains(&node) || self.edges_of(node).nth(MANY).is_none() {
            return;
        }
        self.crowd.nodes.insert(node);
        let all: Vec<EdgeIndex> = self.edges_of(node).map(|(edge, _)| edge).collect();
        for edge in all {
            let row = &self.edges[edge as usize];
            if self.crowd.holds(row.a, row.b) {
                self.crowd.edges.insert((row.a, row.b, lane_of(row.flags)), edge);
            }
        }
    }
}
