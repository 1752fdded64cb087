//! What the graph knows of one profile, for reading and for the state digest.

use crate::domain::graph::ids::{ANONYMOUS, FragmentIndex, NodeIndex, SESSION};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{HUB, SUPPRESSED};
use crate::domain::id::Identifier;
use crate::domain::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// How an identifier stands to the profile that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentifierStatus {
    /// It is the profile's.
    Effective,
    /// It was seen with the profile, and a rule keeps it on another one.
    Suppressed,
    /// It was seen with so many profiles that it joins none.
    Quarantined,
}

/// An identifier as shown on a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its type.
    pub kind: String,
    /// The canonical value.
    pub value: String,
    /// As the sender spelt it.
    pub raw: String,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// How it stands to the profile.
    pub status: IdentifierStatus,
}

/// The graph's part of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// The leading fragment.
    pub lead: FragmentIndex,
    /// All fragments with their origins, the oldest first.
    pub fragments: Vec<(FragmentIndex, String)>,
    /// By type, then value.
    pub identifiers: Vec<Shown>,
    /// Whether an identifier of a `known` type is among the effective ones.
    pub known: bool,
}

impl Graph {
    /// The graph's part of the profile that a fragment leads; with `all`, also what is suppressed
    /// or quarantined beside it.
    pub fn view(&self, lead: FragmentIndex, all: bool) -> ClusterView {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        let mut identifiers = Vec::new();
        let mut known = false;
        let mut beside = BTreeSet::new();
        for node in self.members(cluster) {
            let effective = !self.is_hub(node);
            known |= effective && self.rule(node).known;
            if self.is_shown(node) && (effective || all) {
                identifiers.push(self.shown(node));
            }
            if all {
                let edges = self.edges_of(node);
                let others = edges.filter(|(edge, other)| {
                    let left_out = self.edges[*edge as usize].flags & SUPPRESSED != 0;
                    (left_out || self.is_hub(*other) && self.is_evidence(*edge))
                        && self.cluster_of(*other) != cluster
                });
                beside.extend(others.map(|(_, other)| other).filter(|other| self.is_shown(*other)));
            }
        }
        for node in beside {
            let mut shown = self.shown(node);
            if !self.is_hub(node) {
                shown.status = IdentifierStatus::Suppressed;
            }
            identifiers.push(shown);
        }
        identifiers.sort_unstable_by(|a, b| (&a.kind, &a.value).cmp(&(&b.kind, &b.value)));
        let fragments = self.fragments_of(lead);
        let origin = |fragment: FragmentIndex| (fragment, self.origin(fragment));
        ClusterView {
            lead,
            fragments: fragments.into_iter().map(origin).collect(),
            identifiers,
            known,
        }
    }

    /// The identifier of a profile that is wanted.
    pub fn member(
        &self,
        lead: FragmentIndex,
        is_wanted: &dyn Fn(&Identifier) -> bool,
    ) -> Option<NodeIndex> {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        self.members(cluster).filter(|node| self.is_shown(*node)).find(|node| {
            let kind = self.types.name(self.nodes[*node as usize].kind).into();
            is_wanted(&Identifier { kind, value: self.text(*node).into() })
        })
    }

    fn is_shown(&self, node: NodeIndex) -> bool {
        !matches!(self.nodes[node as usize].kind, SESSION | ANONYMOUS)
    }

    fn shown(&self, node: NodeIndex) -> Shown {
        let row = &self.nodes[node as usize];
        let value = self.text(node).to_owned();
        let raw = self.raw.get(&node).map_or_else(|| value.clone(), |(_, raw)| raw.to_string());
        let status = match row.flags & HUB != 0 {
            true => IdentifierStatus::Quarantined,
            false => IdentifierStatus::Effective,
        };
        Shown {
            kind: self.types.name(row.kind).to_owned(),
            value,
            raw,
            first_seen: row.first_seen.get(),
            last_seen: row.last_seen.get(),
            status,
        }
    }

    /// What a fragment was made for, such as `slack:U024BE7LH`, `session:S1`, or `anonymous`.
    pub fn origin(&self, fragment: FragmentIndex) -> String {
        let node = self.fragments[fragment as usize].node;
        match self.nodes[node as usize].kind {
            ANONYMOUS => "anonymous".to_owned(),
            _ => self.name_of(node),
        }
    }

    /// `type:value` of a node.
    pub fn name_of(&self, node: NodeIndex) -> String {
        match self.nodes[node as usize].kind {
            SESSION => format!("session:{}", self.text(node)),
            ANONYMOUS => format!("anonymous:{}", self.text(node)),
            kind => format!("{}:{}", self.types.name(kind), self.text(node)),
        }
    }

    /// When a session or identifier was first and last seen, by event time.
    pub fn seen(&self, node: NodeIndex) -> (Timestamp, Timestamp) {
        let row = &self.nodes[node as usize];
        (row.first_seen.get(), row.last_seen.get())
    }
}
