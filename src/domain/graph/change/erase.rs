//! Erasure: a person's identifiers, evidence and fragments leave the graph.

use crate::domain::graph::effects::{Before, Disturbed, Effects};
use crate::domain::graph::ids::{ANONYMOUS, EdgeIndex, FragmentIndex, NONE, NodeIndex, SESSION};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::FREE;
use crate::domain::id::Identifier;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use std::collections::BTreeSet;

/// What an erasure took out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The fragments that are gone.
    pub fragments: Vec<FragmentIndex>,
    /// The identifiers that are gone, those without another owner included.
    pub identifiers: Vec<Identifier>,
    /// The sessions that are gone.
    pub sessions: Vec<String>,
    /// Whether others had evidence with the person. What their own events say of the person's
    /// identifiers stays theirs, and only reading them again tells it apart.
    pub touched_others: bool,
    /// What follows for others, whose suppressed evidence may be effective now.
    pub effects: Effects,
}

impl Graph {
    /// Takes a profile out, with every identifier that nobody else has.
    pub fn erase(&mut self, lead: FragmentIndex) -> Erased {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        let own: BTreeSet<NodeIndex> = self.members(cluster).collect();
        let fragments = self.fragments_of(lead);
        let mut beside: BTreeSet<NodeIndex> = BTreeSet::new();
        for node in &own {
            let edges: Vec<(EdgeIndex, NodeIndex)> = self.edges_of(*node).collect();
            for (edge, other) in edges {
                self.withdraw(edge, u16::MAX);
                if !own.contains(&other) {
                    beside.insert(other);
                }
            }
        }
        self.note_cluster(cluster);
        self.profiles -= 1;
        self.clusters[cluster as usize].lead = NONE;
        self.clusters[cluster as usize].size = 0;
        self.leave_raw(cluster);
        self.free_clusters.push(cluster);
        let mut erased = Erased { fragments, ..Erased::default() };
        for node in &own {
            self.remove_node(*node, &mut erased);
        }
        self.orphan_fragments(&own.into_iter().collect());
        let mut disturbed = Disturbed::default();
        erased.touched_others = !beside.is_empty();
        for node in beside {
            let is_orphan =
                self.nodes[node as usize].edges == NONE && self.fragment_of(node).is_none();
            if is_orphan && !self.apart.contains_key(&node) && !self.cuts.contains_key(&node) {
                let alone = self.cluster_of(node);
                self.leave_raw(alone);
                self.free_clusters.push(alone);
                self.remove_node(node, &mut erased);
            } else {
                if self.nodes[node as usize].kind == SESSION {
                    self.choose(node, &mut disturbed);
                }
                self.check_hub(node, &mut disturbed);
                disturbed.seeds.push(node);
            }
        }
        erased.effects = self.settle(disturbed, None, &mut Before::default(), false);
        erased
    }

    /// Takes their origins away from all fragments of these nodes: also from those that a re-resolution
    /// let follow an event there, and that hold nothing. Somebody else gets these rows.
    fn orphan_fragments(&mut self, gone: &HashSet<NodeIndex, FixedState>) {
        for (at, row) in self.fragments.iter_mut().enumerate() {
            if gone.contains(&row.node) {
                row.node = NONE;
                self.dirty.mark(Touched::Fragment(at as FragmentIndex));
            }
        }
    }

    fn remove_node(&mut self, node: NodeIndex, erased: &mut Erased) {
        let kind = self.nodes[node as usize].kind;
        let text = self.text(node).to_owned();
        match kind {
            SESSION => erased.sessions.push(text.clone()),
            ANONYMOUS => {}
            kind => {
                let kind = self.types.name(kind).into();
                erased.identifiers.push(Identifier { kind, value: text.clone().into() });
            }
        }
        let hash = Self::key_hash(kind, text.as_bytes());
        if let Ok(entry) = self.index.find_entry(hash, |known| *known == node) {
            entry.remove();
        }
        for (other, _) in self.apart.remove(&node).into_iter().flatten() {
            if let Some(all) = self.apart.get_mut(&other) {
                all.retain(|(known, _)| *known != node);
                if all.is_empty() {
                    self.apart.remove(&other);
                }
            }
            self.dirty.apart = true;
        }
        self.cuts.remove(&node);
        self.raw.remove(&node);
        self.mail_hashes.retain(|_, known| *known != node);
        let (place, len) = self.nodes[node as usize].text();
        self.texts.wipe(place, len);
        let row = &mut self.nodes[node as usize];
        (row.flags, row.cluster, row.next, row.fragment) = (FREE, NONE, NONE, NONE);
        self.crowd_without(node);
        self.free_nodes.push(node);
        self.dirty.mark(Touched::Node(node));
    }
}
