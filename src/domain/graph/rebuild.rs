//! The rule itself: which evidence of a raw component is effective.
//!
//! Edges are added one by one in the order of a total key, and those that would violate a rule are
//! left out. The result is a function of the set of evidence. The quick path of `link` is an
//! abbreviation of this one, for components in which nothing is violated.

use super::link::Obstacle;
use super::observe::Before;
use super::rows::Touched;
use super::{
    ALIAS, CHOSEN, Cluster, EdgeIndex, Graph, MUST, NONE, NodeIndex, OVERFLOW, SUPPRESSED,
};
use crate::domain::time::Timestamp;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// What edges are ordered by, before their hashes: class, strength, earliest event time.
type Key = (u8, u32, Timestamp);

/// What the constraints need to know of a growing cluster.
#[derive(Clone, Debug, Default)]
struct Summary {
    /// Types of which at most one value is allowed, and which are taken.
    unique: SmallVec<[u16; 2]>,
    /// (type, window, values so far, values allowed)
    limited: SmallVec<[(u16, i32, u32, u32); 1]>,
    /// Local numbers of nodes that a member must stay apart from.
    apart: SmallVec<[u32; 1]>,
    counted: u32,
}

/// A raw component under reconstruction; nodes go by their local numbers.
struct Component {
    nodes: Vec<NodeIndex>,
    local: HashMap<NodeIndex, u32, foldhash::fast::FixedState>,
    edges: Vec<EdgeIndex>,
    parent: Vec<u32>,
    size: Vec<u32>,
    summary: Vec<Summary>,
}

impl Component {
    fn root(&mut self, mut at: u32) -> u32 {
        while self.parent[at as usize] != at {
            let above = self.parent[at as usize];
            self.parent[at as usize] = self.parent[above as usize];
            at = self.parent[at as usize];
        }
        at
    }

    /// Joins two roots unless a rule forbids it.
    fn join(&mut self, x: u32, y: u32, cap: u32) -> Result<(), Obstacle> {
        let (into, from) =
            if self.size[x as usize] >= self.size[y as usize] { (x, y) } else { (y, x) };
        if let Some(obstacle) = self.obstacle(into, from, cap) {
            return Err(obstacle);
        }
        self.parent[from as usize] = into;
        self.size[into as usize] += self.size[from as usize];
        let gone = std::mem::take(&mut self.summary[from as usize]);
        let kept = &mut self.summary[into as usize];
        kept.unique.extend(gone.unique);
        kept.apart.extend(gone.apart);
        kept.counted += gone.counted;
        for (kind, window, values, allowed) in gone.limited {
            match kept.limited.iter_mut().find(|one| (one.0, one.1) == (kind, window)) {
                Some(one) => one.2 += values,
                None => kept.limited.push((kind, window, values, allowed)),
            }
        }
        Ok(())
    }

    fn obstacle(&mut self, into: u32, from: u32, cap: u32) -> Option<Obstacle> {
        let (a, b) = (&self.summary[into as usize], &self.summary[from as usize]);
        if b.unique.iter().any(|kind| a.unique.contains(kind)) {
            return Some(Obstacle::Unique);
        }
        let over = b.limited.iter().any(|(kind, window, values, allowed)| {
            let same = a.limited.iter().find(|one| (one.0, one.1) == (*kind, *window));
            same.is_some_and(|one| one.2 + values > *allowed)
        });
        if over {
            return Some(Obstacle::Limit);
        }
        let is_over_cap = a.counted.saturating_add(b.counted) > cap;
        // Cannot-links are kept on both ends, so the shorter list will do.
        let (list, against) =
            if a.apart.len() <= b.apart.len() { (&a.apart, from) } else { (&b.apart, into) };
        for other in list.clone() {
            if self.root(other) == against {
                return Some(Obstacle::CannotLink);
            }
        }
        is_over_cap.then_some(Obstacle::Cap)
    }
}

impl Graph {
    /// Rebuilds the raw components around `seeds` from their evidence. `fresh` are edges that have
    /// just come; they are refused where the component is full. Answers what is newly refused.
    pub(super) fn rebuild(
        &mut self,
        seeds: &[NodeIndex],
        fresh: &[EdgeIndex],
        before: &mut Before,
    ) -> Vec<(EdgeIndex, Obstacle)> {
        let mut refused = Vec::new();
        let mut component = self.gather(seeds);
        if component.edges.len() > self.rules.limits.component as usize {
            let over: Vec<EdgeIndex> =
                fresh.iter().copied().filter(|edge| component.edges.contains(edge)).collect();
            for edge in over {
                self.edges[edge as usize].flags |= OVERFLOW;
                self.dirty.mark(Touched::Edge(edge));
                refused.push((edge, Obstacle::Component));
            }
            component = self.gather(seeds);
        }
        for node in &component.nodes {
            if let Some(fragment) = self.fragment_of(*node) {
                before.note(fragment, self.lead(fragment));
            }
        }
        self.summarise(&mut component);
        self.order(&mut component.edges);
        let suppressed = self.select(&mut component, &mut refused);
        self.replace_clusters(&mut component, &suppressed);
        refused
    }

    /// The nodes and edges of the raw components that the seeds' clusters lie in.
    fn gather(&self, seeds: &[NodeIndex]) -> Component {
        let mut nodes: Vec<NodeIndex> = Vec::new();
        let mut local = HashMap::with_hasher(foldhash::fast::FixedState::default());
        let mut edges = Vec::new();
        for seed in seeds {
            if local.contains_key(seed) {
                continue;
            }
            for member in self.members(self.cluster_of(*seed)) {
                add(&mut nodes, &mut local, member);
            }
        }
        let mut at = 0;
        while at < nodes.len() {
            let node = nodes[at];
            at += 1;
            for (edge, other) in self.edges_of(node) {
                if !self.is_active(edge) {
                    continue;
                }
                add(&mut nodes, &mut local, other);
                if self.edges[edge as usize].a == node {
                    edges.push(edge);
                }
            }
        }
        let count = nodes.len();
        Component {
            parent: (0..count as u32).collect(),
            size: vec![1; count],
            summary: Vec::new(),
            nodes,
            local,
            edges,
        }
    }

    fn summarise(&self, component: &mut Component) {
        let mut all = Vec::with_capacity(component.nodes.len());
        for node in &component.nodes {
            let (rule, row) = (self.rule(*node), &self.nodes[*node as usize]);
            let mut summary = Summary { counted: u32::from(rule.counted), ..Summary::default() };
            if rule.unique {
                summary.unique.push(row.kind);
            }
            if let Some(limit) = rule.limit {
                let window = Self::window(limit, row.first_seen);
                summary.limited.push((row.kind, window, 1, limit.values));
            }
            for (other, _) in self.apart.get(node).into_iter().flatten() {
                if let Some(other) = component.local.get(other) {
                    summary.apart.push(*other);
                }
            }
            all.push(summary);
        }
        component.summary = all;
    }

    /// What an edge is ordered by.
    pub(super) fn key(&self, edge: EdgeIndex) -> Key {
        let row = &self.edges[edge as usize];
        let class = match row.flags {
            flags if flags & MUST != 0 => 0,
            flags if flags & ALIAS != 0 => 1,
            flags if flags & CHOSEN != 0 => 2,
            _ => 3,
        };
        let strength = match class {
            3 => self.rule(row.a).priority.max(self.rule(row.b).priority),
            _ => 0,
        };
        (class, strength, row.first_at)
    }

    fn order(&self, edges: &mut [EdgeIndex]) {
        edges.sort_by_cached_key(|edge| self.key(*edge));
        // Ties are rare, so hashes are only computed within runs of equal keys.
        let mut from = 0;
        while from < edges.len() {
            let key = self.key(edges[from]);
            let run = edges[from..].iter().take_while(|edge| self.key(**edge) == key).count();
            if run > 1 {
                edges[from..from + run].sort_by_cached_key(|edge| self.edge_hash(*edge));
            }
            from += run;
        }
    }

    /// A hash of the two identifiers that an edge joins, whichever way round.
    fn edge_hash(&self, edge: EdgeIndex) -> u64 {
        let row = &self.edges[edge as usize];
        let (a, b) = (self.name_of(row.a), self.name_of(row.b));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(a.as_bytes()).update(&[0]).update(b.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_be_bytes(first)
    }

    /// Adds the edges in order; answers which were left out.
    fn select(
        &mut self,
        component: &mut Component,
        refused: &mut Vec<(EdgeIndex, Obstacle)>,
    ) -> Vec<EdgeIndex> {
        let cap = self.rules.limits.identifiers;
        let mut suppressed = Vec::new();
        for at in 0..component.edges.len() {
            let edge = component.edges[at];
            let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
            let (x, y) = (component.root(component.local[&a]), component.root(component.local[&b]));
            let outcome = if x == y { Ok(()) } else { component.join(x, y, cap) };
            let was = self.edges[edge as usize].flags & SUPPRESSED != 0;
            if outcome.is_err() {
                suppressed.push(edge);
            }
            if outcome.is_err() != was {
                self.edges[edge as usize].flags ^= SUPPRESSED;
                self.dirty.mark(Touched::Edge(edge));
            }
            if let (Err(obstacle), false) = (outcome, was) {
                refused.push((edge, obstacle));
            }
        }
        suppressed
    }

    /// Puts the rebuilt clusters in the place of the old ones.
    fn replace_clusters(&mut self, component: &mut Component, suppressed: &[EdgeIndex]) {
        for node in &component.nodes {
            let cluster = self.nodes[*node as usize].cluster;
            if cluster != NONE && self.clusters[cluster as usize].size > 0 {
                if self.clusters[cluster as usize].lead != NONE {
                    self.profiles -= 1;
                }
                self.clusters[cluster as usize].size = 0;
                self.free_clusters.push(cluster);
            }
        }
        let mut cluster_at: Vec<u32> = vec![NONE; component.nodes.len()];
        for at in 0..component.nodes.len() {
            let (node, root) = (component.nodes[at], component.root(at as u32));
            match cluster_at[root as usize] {
                NONE => {
                    self.make_singleton(node);
                    cluster_at[root as usize] = self.nodes[node as usize].cluster;
                }
                cluster => self.add_member(cluster, node),
            }
        }
        for edge in &component.edges {
            let cluster = self.cluster_of(self.edges[*edge as usize].a);
            self.clusters[cluster as usize].edges += 1;
        }
        for edge in suppressed {
            for end in [self.edges[*edge as usize].a, self.edges[*edge as usize].b] {
                let cluster = self.cluster_of(end);
                self.clusters[cluster as usize].dirty = true;
            }
        }
    }

    fn add_member(&mut self, cluster: super::ClusterIndex, node: NodeIndex) {
        let head = self.clusters[cluster as usize].head;
        let after = self.nodes[head as usize].next;
        self.nodes[head as usize].next = node;
        let fragment = {
            let row = &mut self.nodes[node as usize];
            (row.next, row.cluster) = (after, cluster);
            row.fragment
        };
        let lead = self.older(self.clusters[cluster as usize].lead, fragment);
        let counted = u32::from(self.rule(node).counted);
        let row: &mut Cluster = &mut self.clusters[cluster as usize];
        if row.lead == NONE && lead != NONE {
            self.profiles += 1;
        }
        row.lead = lead;
        row.size += 1;
        row.counted += counted;
    }
}

fn add(
    nodes: &mut Vec<NodeIndex>,
    local: &mut HashMap<NodeIndex, u32, foldhash::fast::FixedState>,
    node: NodeIndex,
) {
    local.entry(node).or_insert_with(|| {
        nodes.push(node);
        (nodes.len() - 1) as u32
    });
}
