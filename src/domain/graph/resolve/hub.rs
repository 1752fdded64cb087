//! Quarantine of shared identifiers: one that is seen in the same events as many values of one
//! unique type belongs to nobody, and what it linked before falls apart again.

use crate::domain::graph::ids::NodeIndex;
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{HUB, LINK, SEEN};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

impl Graph {
    /// Whether `node`'s evidence makes it a hub: it was seen in the same events as `shared_by` or
    /// more values of one unique type.
    pub(in crate::domain::graph) fn should_be_hub(&self, node: NodeIndex) -> bool {
        let Some(shared_by) = self.rule(node).shared_by else { return false };
        let mut met: HashSet<NodeIndex, FixedState> = HashSet::default();
        let mut counts: SmallVec<[(u16, u32); 4]> = SmallVec::new();
        for (edge, other) in self.edges_of(node) {
            let together = self.edges[edge as usize].flags & (LINK | SEEN) != 0;
            // Two edges may speak for one pair, but it is one value.
            if !together || !self.rule(other).unique || !met.insert(other) {
                continue;
            }
            let kind = self.nodes[other as usize].kind;
            let known = counts.iter().position(|(known, _)| *known == kind);
            let at = known.unwrap_or_else(|| {
                counts.push((kind, 0));
                counts.len() - 1
            });
            counts[at].1 += 1;
            if counts[at].1 >= shared_by {
                return true;
            }
        }
        false
    }

    /// Brings the mark of a hub in line with the evidence; returns whether it changed.
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
