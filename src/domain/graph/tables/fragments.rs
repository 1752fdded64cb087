//! Fragments: when each came to be, and which profile holds it.

use crate::domain::graph::ids::{FragmentIndex, NONE, NodeIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::Birth;
use crate::domain::id::Sequence;

impl Graph {
    /// The birth of a fragment.
    pub fn birth(&self, fragment: FragmentIndex) -> Birth {
        (&self.fragments[fragment as usize]).into()
    }

    /// The fragment that was born of that event, if any.
    pub fn born_of(&self, sequence: Sequence, generation: u16) -> Option<FragmentIndex> {
        if generation > 0 {
            return self.later_born.get(&(sequence, generation)).copied();
        }
        // The table is in the order of `made_at`, which an event gives to one fragment at most.
        let found = self.fragments.partition_point(|birth| birth.made_at.get() < sequence);
        let birth = self.fragments.get(found)?;
        (birth.sequence.get() == sequence && birth.generation == 0)
            .then_some(found as FragmentIndex)
    }

    /// The fragment whose origin a node is.
    pub fn fragment_of(&self, node: NodeIndex) -> Option<FragmentIndex> {
        let fragment = self.nodes[node as usize].fragment;
        (fragment != NONE).then_some(fragment)
    }

    /// The leading fragment of the profile that holds a node, if its cluster has a fragment.
    pub fn lead_of_node(&self, node: NodeIndex) -> Option<FragmentIndex> {
        let lead = self.clusters[self.cluster_of(node) as usize].lead;
        (lead != NONE).then_some(lead)
    }

    /// The leading fragment of the profile that holds a fragment.
    pub fn lead(&self, fragment: FragmentIndex) -> FragmentIndex {
        let node = self.fragments[fragment as usize].node;
        self.clusters[self.cluster_of(node) as usize].lead
    }

    /// The same for a fragment that may have been erased.
    pub fn living_lead(&self, fragment: FragmentIndex) -> Option<FragmentIndex> {
        let birth = self.fragments.get(fragment as usize)?;
        if birth.node == NONE { None } else { self.lead_of_node(birth.node) }
    }

    /// The fragments of a profile, the oldest first.
    pub fn fragments_of(&self, lead: FragmentIndex) -> Vec<FragmentIndex> {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        let mut all: Vec<FragmentIndex> =
            self.members(cluster).filter_map(|node| self.fragment_of(node)).collect();
        all.sort_unstable_by_key(|fragment| self.age(*fragment));
        all
    }

    /// What fragments are ordered by: creation sequence, then id.
    pub(in crate::domain::graph) fn age(&self, fragment: FragmentIndex) -> (Sequence, Sequence) {
        let birth = &self.fragments[fragment as usize];
        (birth.made_at.get(), birth.sequence.get())
    }

    /// The older of two fragments, either of which may be [`NONE`].
    pub(in crate::domain::graph) fn older(
        &self,
        a: FragmentIndex,
        b: FragmentIndex,
    ) -> FragmentIndex {
        match (a, b) {
            (NONE, other) | (other, NONE) => other,
            _ if self.age(a) <= self.age(b) => a,
            _ => b,
        }
    }

    /// All clusters that are profiles, by their leading fragment, in no particular order.
    pub fn leads(&self) -> impl Iterator<Item = FragmentIndex> + '_ {
        self.fragments.iter().enumerate().filter_map(|(at, birth)| {
            let fragment = at as FragmentIndex;
            (birth.node != NONE && self.lead(fragment) == fragment).then_some(fragment)
        })
    }
}
