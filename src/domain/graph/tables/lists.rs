//! Clusters and their members, edges and what they lead to.

use crate::domain::graph::ids::{ClusterIndex, EdgeIndex, NONE, NodeIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{Cluster, GONE, HUB, LINKS, OVERFLOW, PENDING};

#[cfg(test)]
use crate::domain::graph::tables::row::FREE;

#[cfg(test)]
use std::collections::{BTreeMap, BTreeSet};

impl Graph {
    pub(in crate::domain::graph) fn make_singleton(&mut self, node: NodeIndex) {
        self.will_change(node);
        let row = &self.nodes[node as usize];
        let lead = row.fragment;
        let cluster = Cluster {
            head: node,
            size: 1,
            counted: u32::from(self.flags[row.kind as usize].counted),
            lead,
            edges: 0,
            raw: NONE,
        };
        if lead != NONE {
            self.profiles += 1;
        }
        let at = match self.free_clusters.pop() {
            Some(free) => {
                self.clusters[free as usize] = cluster;
                free
            }
            None => {
                self.clusters.push(cluster);
                (self.clusters.len() - 1) as ClusterIndex
            }
        };
        let row = &mut self.nodes[node as usize];
        (row.cluster, row.next) = (at, node);
    }

    pub(in crate::domain::graph) fn cluster_of(&self, node: NodeIndex) -> ClusterIndex {
        self.nodes[node as usize].cluster
    }

    /// The members of a cluster.
    pub(in crate::domain::graph) fn members(
        &self,
        cluster: ClusterIndex,
    ) -> impl Iterator<Item = NodeIndex> + '_ {
        let head = self.clusters[cluster as usize].head;
        let mut at = Some(head);
        std::iter::from_fn(move || {
            let here = at?;
            let next = self.nodes[here as usize].next;
            at = (next != head).then_some(next);
            Some(here)
        })
    }

    /// The edges of a node, as (edge, other end).
    pub(in crate::domain::graph) fn edges_of(
        &self,
        node: NodeIndex,
    ) -> impl Iterator<Item = (EdgeIndex, NodeIndex)> + '_ {
        let mut at = self.nodes[node as usize].edges;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let here = at;
            let edge = &self.edges[here as usize];
            let (next, other) =
                if edge.a == node { (edge.next_a, edge.b) } else { (edge.next_b, edge.a) };
            at = next;
            Some((here, other))
        })
    }

    /// Whether an identifier is quarantined, because too many people share it.
    pub fn is_hub(&self, node: NodeIndex) -> bool {
        self.nodes[node as usize].flags & HUB != 0
    }

    /// Whether an edge belongs to the raw graph: it would link if no rule stood against it.
    pub(in crate::domain::graph) fn is_active(&self, edge: EdgeIndex) -> bool {
        let row = &self.edges[edge as usize];
        let links = row.flags & LINKS != 0;
        links
            && row.flags & (OVERFLOW | GONE | PENDING) == 0
            && !self.is_hub(row.a)
            && !self.is_hub(row.b)
    }

    /// Nodes that share a cluster or, with suppressed evidence, a raw component: a set for tests.
    #[cfg(test)]
    pub(crate) fn partition(&self) -> BTreeSet<BTreeSet<String>> {
        let mut all: BTreeMap<ClusterIndex, BTreeSet<String>> = BTreeMap::new();
        for node in 0..self.nodes.len() as NodeIndex {
            if self.nodes[node as usize].flags & FREE == 0 {
                all.entry(self.cluster_of(node)).or_default().insert(self.name_of(node));
            }
        }
        all.into_values().collect()
    }
}
