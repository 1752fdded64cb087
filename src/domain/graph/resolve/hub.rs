//! Quarantine of shared identifiers: one that is seen in the same events as many values of one
//! unique type belongs to nobody, and what it linked before falls apart again.

use crate::domain::graph::ids::NodeIndex;
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{HUB, LINK, SEEN};
use smallvec::SmallVec;

impl Graph {
    /// Whether `node`'s evidence makes it a hub: it was seen in the same events as `shared_by` or
    /// more values of one unique type.
    pub(in crate::domain::graph) fn should_be_hub(&self, node: NodeIndex) -> bool {
        let Some(shared_by) = self.rule(node).shared_by else { return false };
        let mut met: SmallVec<[(u16, NodeIndex); 8]> = SmallVec::new();
        for (edge, other) in self.edges_of(node) {
            let together = self.edges[edge as usize].flags & (LINK | SEEN) != 0;
            let one = (self.nodes[other as usize].kind, other);
            // Two edges may speak for one pair, but it is one value.
            if !together || !self.rule(other).unique || met.contains(&one) {
                continue;
            }
            met.push(one);
            let of_its_type = met.iter().filter(|(kind, _)| *kind == one.0).count();
            if of_its_type >= shared_by as usize {
                return true;
            }
        }
        false
    }

    /// Brings the mark of a hub in line with the evidence; answers whether it changed.
    pub(in crate::domain::graph) fn refresh_hub(&mut self, node: NodeIndex) -> bool {
        let should = self.should_be_hub(node);
        if should == self.is_hub(node) {
            return false;
        }
        self.will_change(node);
        self.nodes[node as usize].flags ^= HUB;
        self.dirty.mark(Touched::Node(node));
        true
    }
}
