//! What changes while somebody goes over all profiles in parts: so that they can be looked at again.
//!
//! A profile is its members, which of them are hubs, and its fragments. Whoever changes one of these
//! notes it here first; a test compares with the look at everything at once.

use crate::domain::graph::ids::{ClusterIndex, FragmentIndex, NONE, NodeIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::FREE;
use crate::domain::graph::tables::watched::{Touched, Watch};
use crate::domain::rules::Rules;

impl Graph {
    /// From now on notes which profiles change.
    pub fn watch(&mut self) {
        self.watch = Some(Watch::default());
    }

    /// Notes no more.
    pub fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Whether what changed since [`Graph::watch`] is known: another graph, or other rules, are
    /// another beginning.
    pub fn is_watched(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| !watch.is_void)
    }

    /// Takes up to so many of the changes.
    pub fn take_touched(&mut self, most: usize) -> Touched {
        let Some(watch) = &mut self.watch else { return Touched::default() };
        let mut gone = Vec::new();
        let mut nodes = Vec::new();
        while gone.len() < most
            && let Some(lead) = watch.leads.pop_first()
        {
            gone.push(lead);
        }
        while nodes.len() < most
            && let Some(node) = watch.nodes.pop_first()
        {
            nodes.push(node);
        }
        let is_all = watch.leads.is_empty() && watch.nodes.is_empty();
        let lives = |node: &NodeIndex| self.nodes[*node as usize].flags & FREE == 0;
        let led = nodes.into_iter().filter(lives).filter_map(|node| self.lead_of_node(node));
        // One that still leads is looked at again, whatever else is taken when.
        let still = gone.iter().copied().filter(|lead| self.living_lead(*lead) == Some(*lead));
        Touched { leads: led.chain(still).collect(), gone, is_all }
    }

    /// The leading fragments among `most` fragments from this one on.
    pub fn leads_within(&self, from: usize, most: usize) -> Vec<FragmentIndex> {
        let upto = self.fragments.len().min(from.saturating_add(most));
        let fragments = (from..upto).map(|at| at as FragmentIndex);
        fragments.filter(|one| self.living_lead(*one) == Some(*one)).collect()
    }

    /// A fragment's content changes.
    pub fn note_fragment(&mut self, fragment: FragmentIndex) {
        if self.watch.is_some() {
            self.will_change(self.fragments[fragment as usize].node);
        }
    }

    /// The profile of a node changes, or the node goes to another one.
    #[inline]
    pub(in crate::domain::graph) fn will_change(&mut self, node: NodeIndex) {
        if self.watch.is_some() && node != NONE {
            let cluster = self.nodes[node as usize].cluster;
            self.note_cluster(cluster);
            if let Some(watch) = &mut self.watch {
                watch.nodes.insert(node);
            }
        }
    }

    /// A cluster changes, or goes.
    #[inline]
    pub(in crate::domain::graph) fn note_cluster(&mut self, cluster: ClusterIndex) {
        let Some(watch) = &mut self.watch else { return };
        let row = self.clusters.get(cluster as usize);
        if let Some(row) = row.filter(|row| row.size > 0 && row.lead != NONE) {
            watch.leads.insert(row.lead);
            watch.nodes.insert(row.head);
        }
    }

    /// Rules are about to change: what they say of sets counts for all profiles.
    pub(in crate::domain::graph) fn note_rules(&mut self, rules: &Rules) {
        let is_other = self.rules.limits.set_values != rules.limits.set_values;
        if let Some(watch) = self.watch.as_mut().filter(|_| is_other) {
            watch.is_void = true;
        }
    }
}
