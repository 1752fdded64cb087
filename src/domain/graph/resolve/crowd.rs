//! Keeps the index of the edges between identifiers with many in line with the table of edges.

use crate::domain::graph::ids::{EdgeIndex, NodeIndex};
use crate::domain::graph::tables::crowd::{MANY, lane_of};
use crate::domain::graph::tables::graph::Graph;

/// Of the edges that come, each so many-th has the lists at its ends looked at.
const LOOK_EVERY: EdgeIndex = if cfg!(test) { 1 } else { 64 };

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
