//! The rule itself: which evidence of a raw component is effective.
//!
//! Edges are added one by one in the order of a total key, and those that would violate a rule are
//! left out. The result is a function of the set of evidence. The quick path of `link` is an
//! abbreviation of this one, for components in which nothing is violated.

use crate::domain::graph::effects::{Before, Obstacle};
use crate::domain::graph::ids::{ClusterIndex, EdgeIndex, NONE, NodeIndex};
use crate::domain::graph::tables::cuts::{Places, are_apart};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::raws::Key;
use crate::domain::graph::tables::row::{ALIAS, CHOSEN, Cluster, MUST, SUPPRESSED};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// An edge between two nodes of a component, by their local numbers.
#[derive(Clone, Copy, Debug)]
struct Line {
    edge: EdgeIndex,
    x: u32,
    y: u32,
    key: Key,
}

/// What the constraints need to know of a growing cluster.
#[derive(Clone, Debug, Default)]
struct Summary {
    /// Types of which at most one value is allowed, and which are taken.
    unique: SmallVec<[u16; 2]>,
    /// (type, window, values so far, values allowed)
    limited: SmallVec<[(u16, i32, u32, u32); 1]>,
    /// Local numbers of nodes that a member must stay apart from.
    apart: SmallVec<[u32; 1]>,
    /// Cuts that members are in, and in which part.
    places: Places,
    counted: u32,
}

/// A raw component under reconstruction; nodes go by their local numbers.
struct Component {
    nodes: Vec<NodeIndex>,
    local: HashMap<NodeIndex, u32, FixedState>,
    edges: Vec<Line>,
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
        match self.obstacle(into, from, cap) {
            Some(obstacle) => Err(obstacle),
            None => {
                self.unite(into, from);
                Ok(())
            }
        }
    }

    /// Joins two roots, the second of which is not the larger.
    fn unite(&mut self, into: u32, from: u32) {
        self.parent[from as usize] = into;
        self.size[into as usize] += self.size[from as usize];
        let gone = std::mem::take(&mut self.summary[from as usize]);
        let kept = &mut self.summary[into as usize];
        kept.unique.extend(gone.unique);
        kept.apart.extend(gone.apart);
        for place in gone.places {
            if !kept.places.contains(&place) {
                kept.places.push(place);
            }
        }
        kept.counted += gone.counted;
        for (kind, window, values, allowed) in gone.limited {
            match kept.limited.iter_mut().find(|one| (one.0, one.1) == (kind, window)) {
                Some(one) => one.2 += values,
                None => kept.limited.push((kind, window, values, allowed)),
            }
        }
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
        let (a, b) = (&self.summary[into as usize].places, &self.summary[from as usize].places);
        if a.iter().any(|one| b.iter().any(|other| are_apart(*one, *other))) {
            return Some(Obstacle::CannotLink);
        }
        is_over_cap.then_some(Obstacle::Cap)
    }
}

impl Graph {
    /// Rebuilds the raw components around `seeds` from their evidence. Returns what is newly
    /// refused.
    ///
    /// With `from`, all that has changed is that this edge has come, or has come earlier: what was
    /// decided about the edges before it still holds.
    pub(in crate::domain::graph) fn rebuild(
        &mut self,
        seeds: &[NodeIndex],
        from: Option<EdgeIndex>,
        before: &mut Before,
    ) -> Vec<(EdgeIndex, Obstacle)> {
        let mut component = self.gather(seeds);
        for node in &component.nodes {
            if let Some(fragment) = self.fragment_of(*node) {
                before.note(fragment, self.lead(fragment));
            }
        }
        self.summarise(&mut component);
        let mut suppressed = Vec::new();
        let open = match from {
            Some(edge) => self.keep_before(edge, &mut component, &mut suppressed),
            None => 0,
        };
        self.order(&mut component.edges[open..]);
        let mut refused = Vec::new();
        let latest = self.select(&mut component, open, &mut suppressed, &mut refused, before);
        self.replace_clusters(&mut component, &suppressed, latest);
        refused
    }

    /// The nodes and edges of the raw components that the seeds' clusters lie in, or lay in: whole
    /// clusters and raw components as they were, and what evidence there is now adds to them.
    fn gather(&self, seeds: &[NodeIndex]) -> Component {
        let mut found = Found::default();
        for seed in seeds {
            self.gather_around(*seed, &mut found);
        }
        let mut edges = Vec::new();
        let mut at = 0;
        while at < found.nodes.len() {
            let node = found.nodes[at];
            for (edge, other) in self.edges_of(node) {
                if !self.is_active(edge) {
                    continue;
                }
                if !found.clusters.contains(&self.cluster_of(other)) {
                    self.gather_around(other, &mut found);
                }
                if self.edges[edge as usize].a == node {
                    let (x, y, key) = (at as u32, found.local[&other], self.key(edge));
                    edges.push(Line { edge, x, y, key });
                }
            }
            at += 1;
        }
        let count = found.nodes.len();
        Component {
            parent: (0..count as u32).collect(),
            size: vec![1; count],
            summary: Vec::new(),
            nodes: found.nodes,
            local: found.local,
            edges,
        }
    }

    /// Adds a node with its cluster and that one's raw component.
    fn gather_around(&self, node: NodeIndex, found: &mut Found) {
        let own = [self.cluster_of(node)];
        for cluster in self.raw_clusters(own[0]).iter().chain(&own) {
            if found.clusters.insert(*cluster) {
                for member in self.members(*cluster) {
                    found.local.insert(member, found.nodes.len() as u32);
                    found.nodes.push(member);
                }
            }
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
                let window = Self::window(limit, row.first_seen.get());
                summary.limited.push((row.kind, window, 1, limit.values));
            }
            for (other, _) in self.apart.get(node).into_iter().flatten() {
                if let Some(other) = component.local.get(other) {
                    summary.apart.push(*other);
                }
            }
            summary.places.extend_from_slice(self.places_of(*node));
            all.push(summary);
        }
        component.summary = all;
    }

    /// What an edge is ordered by.
    pub(in crate::domain::graph) fn key(&self, edge: EdgeIndex) -> Key {
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
        (class, strength, row.first_at.get())
    }

    /// Whether an edge comes before another in the total order.
    pub(in crate::domain::graph) fn precedes(&self, edge: EdgeIndex, other: EdgeIndex) -> bool {
        self.is_ahead(edge, self.key(edge), other, self.key(other))
    }

    fn is_ahead(&self, edge: EdgeIndex, key: Key, other: EdgeIndex, than: Key) -> bool {
        match key.cmp(&than) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => edge != other && self.edge_hash(edge) < self.edge_hash(other),
        }
    }

    /// Joins what was joined before `edge` came in the order, and puts what comes from there on at
    /// the end. Returns where that begins.
    fn keep_before(
        &self,
        edge: EdgeIndex,
        component: &mut Component,
        suppressed: &mut Vec<EdgeIndex>,
    ) -> usize {
        let from = self.key(edge);
        let mut open = 0;
        for at in 0..component.edges.len() {
            let line = component.edges[at];
            if !self.is_ahead(line.edge, line.key, edge, from) {
                continue;
            }
            component.edges.swap(at, open);
            open += 1;
            if self.edges[line.edge as usize].flags & SUPPRESSED != 0 {
                suppressed.push(line.edge);
                continue;
            }
            let (x, y) = (component.root(line.x), component.root(line.y));
            match component.size[x as usize].cmp(&component.size[y as usize]) {
                _ if x == y => {}
                Ordering::Less => component.unite(y, x),
                _ => component.unite(x, y),
            }
        }
        open
    }

    fn order(&self, edges: &mut [Line]) {
        edges.sort_unstable_by_key(|line| line.key);
        // Ties are rare, so hashes are only computed within runs of equal keys.
        for run in edges.chunk_by_mut(|one, next| one.key == next.key) {
            if run.len() > 1 {
                run.sort_by_cached_key(|line| self.edge_hash(line.edge));
            }
        }
    }

    /// A hash of the two identifiers that an edge joins, whichever way round.
    pub(in crate::domain::graph) fn edge_hash(&self, edge: EdgeIndex) -> u64 {
        let row = &self.edges[edge as usize];
        let (a, b) = (self.name_of(row.a), self.name_of(row.b));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let mut text = a;
        text.push('\0');
        text.push_str(&b);
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        u64::from_be_bytes(first)
    }

    /// Adds the edges from number `open` on, which are in order. Returns the key of the last one
    /// that is effective.
    fn select(
        &mut self,
        component: &mut Component,
        open: usize,
        suppressed: &mut Vec<EdgeIndex>,
        refused: &mut Vec<(EdgeIndex, Obstacle)>,
        before: &mut Before,
    ) -> Key {
        let cap = self.rules.limits.identifiers;
        let mut last = Key::default();
        for at in open..component.edges.len() {
            let Line { edge, x, y, key } = component.edges[at];
            let (x, y) = (component.root(x), component.root(y));
            let outcome = if x == y { Ok(()) } else { component.join(x, y, cap) };
            let was = self.edges[edge as usize].flags & SUPPRESSED != 0;
            match outcome {
                Ok(()) => last = key,
                Err(_) => suppressed.push(edge),
            }
            if outcome.is_err() != was {
                before.note_edge(edge, was);
                self.edges[edge as usize].flags ^= SUPPRESSED;
                self.dirty.mark(Touched::Edge(edge));
            }
            if let (Err(obstacle), false) = (outcome, was) {
                refused.push((edge, obstacle));
            }
        }
        last
    }

    /// Puts the rebuilt clusters in the place of the old ones.
    fn replace_clusters(
        &mut self,
        component: &mut Component,
        suppressed: &[EdgeIndex],
        latest: Key,
    ) {
        for node in &component.nodes {
            self.will_change(*node);
            let cluster = self.nodes[*node as usize].cluster;
            if cluster != NONE && self.clusters[cluster as usize].size > 0 {
                if self.clusters[cluster as usize].lead != NONE {
                    self.profiles -= 1;
                }
                self.clusters[cluster as usize].size = 0;
                self.raws.discard(self.clusters[cluster as usize].raw);
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
        for line in &component.edges {
            let cluster = self.cluster_of(component.nodes[line.x as usize]);
            self.clusters[cluster as usize].edges += 1;
        }
        for edge in suppressed {
            let row = &self.edges[*edge as usize];
            let (x, y) = (self.cluster_of(row.a), self.cluster_of(row.b));
            self.bind(x, y, Some(latest));
        }
    }

    fn add_member(&mut self, cluster: ClusterIndex, node: NodeIndex) {
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

/// Nodes of a component as they are found, with their local numbers and the clusters they were in.
#[derive(Default)]
struct Found {
    nodes: Vec<NodeIndex>,
    local: HashMap<NodeIndex, u32, FixedState>,
    clusters: HashSet<ClusterIndex, FixedState>,
}
