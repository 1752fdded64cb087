//! Why two identifiers are one person, or what keeps them apart.

use crate::domain::graph::ids::{EdgeIndex, NodeIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{IN_SESSION, LINK, LINKS, OVERFLOW, SUPPRESSED};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// One step of a chain of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `type:value` of one end.
    pub from: String,
    /// `type:value` of the other.
    pub to: String,
    /// The first event that showed them together; 0 for an alias, an act's record for a must-link.
    pub first_event: Sequence,
    /// Its event time.
    pub first_at: Timestamp,
    /// The source of that event.
    pub source: String,
    /// The identification point by which it was found; empty for a session or a must-link.
    pub point: String,
    /// How often it was shown.
    pub count: u32,
}

/// Why two identifiers are not joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// `no_evidence`, `unique`, `limit`, `hub`, `cannot_link`, `cap` or `component`.
    pub code: &'static str,
    /// A sentence.
    pub detail: String,
}

/// An explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// The shortest chain that joins them.
    Joined(Vec<Step>),
    /// What keeps them apart.
    Apart(Vec<Apart>),
}

impl Graph {
    /// Explains why `a` and `b` are one person, or are not.
    pub fn explain(&self, a: NodeIndex, b: NodeIndex) -> Explanation {
        if self.cluster_of(a) == self.cluster_of(b) {
            return Explanation::Joined(self.chain(a, b));
        }
        let mut reasons = self.reasons(a, b);
        let is_apart = self.apart.get(&a).is_some_and(|all| all.iter().any(|(node, _)| *node == b));
        if (is_apart || self.are_cut(a, b)) && reasons.iter().all(|one| one.code != "cannot_link") {
            reasons.push(self.apart_detail(a, b));
        }
        Explanation::Apart(reasons)
    }

    fn apart_detail(&self, a: NodeIndex, b: NodeIndex) -> Apart {
        let (a, b) = (self.name_of(a), self.name_of(b));
        let detail = format!("an operator's cannot-link stands between {a} and {b}");
        Apart { code: "cannot_link", detail }
    }

    /// The effective edges of a node, in the order of the other ends' names, and of two to one end that
    /// which joined them first, so that the shortest chain does not depend on the order of arrival.
    fn effective(&self, node: NodeIndex) -> Vec<(EdgeIndex, NodeIndex)> {
        let mut all: Vec<(EdgeIndex, NodeIndex)> = self
            .edges_of(node)
            .filter(|(edge, _)| {
                self.is_active(*edge) && self.edges[*edge as usize].flags & SUPPRESSED == 0
            })
            .collect();
        all.sort_by_cached_key(|(edge, other)| (self.name_of(*other), self.key(*edge)));
        all
    }

    fn chain(&self, a: NodeIndex, b: NodeIndex) -> Vec<Step> {
        let mut came: BTreeMap<NodeIndex, (NodeIndex, EdgeIndex)> = BTreeMap::new();
        let mut open = VecDeque::from([a]);
        while let Some(node) = open.pop_front() {
            if node == b {
                break;
            }
            for (edge, other) in self.effective(node) {
                if other != a && !came.contains_key(&other) {
                    came.insert(other, (node, edge));
                    open.push_back(other);
                }
            }
        }
        let mut steps = Vec::new();
        let mut at = b;
        while let Some((from, edge)) = came.get(&at).copied() {
            steps.push(self.step(from, at, edge));
            at = from;
        }
        steps.reverse();
        steps
    }

    fn step(&self, from: NodeIndex, to: NodeIndex, edge: EdgeIndex) -> Step {
        let row = &self.edges[edge as usize];
        let is_event = row.flags & (LINK | IN_SESSION) != 0;
        let name = |number: u16| match is_event {
            true => self.names.name(number).to_owned(),
            false => String::new(),
        };
        Step {
            from: self.name_of(from),
            to: self.name_of(to),
            first_event: row.first_event.get(),
            first_at: row.first_at.get(),
            source: name(row.source),
            point: if row.flags & LINK != 0 { name(row.point) } else { String::new() },
            count: row.count,
        }
    }

    /// The obstacles on the way with the fewest of them.
    fn reasons(&self, a: NodeIndex, b: NodeIndex) -> Vec<Apart> {
        let mut cost: BTreeMap<NodeIndex, u32> = BTreeMap::from([(a, 0)]);
        let mut came: BTreeMap<NodeIndex, (NodeIndex, EdgeIndex)> = BTreeMap::new();
        let mut open = BinaryHeap::from([Reverse((0u32, a))]);
        while let Some(Reverse((so_far, node))) = open.pop() {
            if node == b || cost.get(&node).is_some_and(|best| *best < so_far) {
                continue;
            }
            for (edge, other) in self.edges_of(node) {
                let Some(toll) = self.toll(edge) else { continue };
                let reached = so_far + toll;
                // Of two edges to one end, the list of edges must not show which came last.
                let is_ahead = |known: &(NodeIndex, EdgeIndex)| {
                    known.0 == node && self.key(edge) < self.key(known.1)
                };
                let is_better = cost.get(&other).is_none_or(|best| {
                    reached < *best || reached == *best && came.get(&other).is_some_and(is_ahead)
                });
                if is_better {
                    cost.insert(other, reached);
                    came.insert(other, (node, edge));
                    open.push(Reverse((reached, other)));
                }
            }
        }
        let mut reasons: Vec<Apart> = Vec::new();
        let mut at = b;
        while let Some((from, edge)) = came.get(&at).copied() {
            if let Some(reason) = self.obstacle_at(from, at, edge)
                && !reasons.contains(&reason)
            {
                reasons.push(reason);
            }
            if from == a {
                reasons.reverse();
                return reasons;
            }
            at = from;
        }
        let detail = "no event showed them together, nor anything that would join them".to_owned();
        vec![Apart { code: "no_evidence", detail }]
    }

    /// What it costs to go along an edge: nothing where it is effective, 1 where something stands
    /// against it; `None` where it is no evidence that they are one.
    fn toll(&self, edge: EdgeIndex) -> Option<u32> {
        let flags = self.edges[edge as usize].flags;
        if flags & LINKS == 0 {
            return None;
        }
        Some(u32::from(!self.is_active(edge) || flags & SUPPRESSED != 0))
    }

    fn obstacle_at(&self, from: NodeIndex, to: NodeIndex, edge: EdgeIndex) -> Option<Apart> {
        let flags = self.edges[edge as usize].flags;
        let (a, b) = (self.name_of(from), self.name_of(to));
        if let Some(hub) = [from, to].into_iter().find(|node| self.is_hub(*node)) {
            let hub = self.name_of(hub);
            let detail = format!("{hub} is shared by too many people and joins nobody");
            return Some(Apart { code: "hub", detail });
        }
        if flags & OVERFLOW != 0 {
            let detail = format!("{a} and {b}: the raw component has limits.component edges");
            return Some(Apart { code: "component", detail });
        }
        if flags & SUPPRESSED == 0 {
            return None;
        }
        let obstacle = self.obstacle(self.cluster_of(from), self.cluster_of(to))?;
        let why = match obstacle {
            crate::domain::graph::effects::Obstacle::Unique => "both have a value of a unique type",
            crate::domain::graph::effects::Obstacle::Limit => {
                "together they have more values than a type's limit"
            }
            crate::domain::graph::effects::Obstacle::CannotLink => {
                "an operator's cannot-link stands between them"
            }
            crate::domain::graph::effects::Obstacle::Cap => {
                "together they have more than limits.identifiers"
            }
            crate::domain::graph::effects::Obstacle::Component => "the raw component is full",
        };
        Some(Apart { code: obstacle.name(), detail: format!("{a} and {b}: {why}") })
    }
}
