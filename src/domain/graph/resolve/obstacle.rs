//! What stands between two clusters, and how they become one.

use crate::domain::graph::effects::Obstacle;
use crate::domain::graph::ids::{ClusterIndex, FragmentIndex, NodeIndex};
use crate::domain::graph::tables::cuts::{Places, are_apart};
use crate::domain::graph::tables::graph::Graph;
use smallvec::SmallVec;

impl Graph {
    /// Whether two profiles, by their leading fragments, would become one if evidence joined them
    /// now.
    pub fn may_join(&self, a: FragmentIndex, b: FragmentIndex) -> bool {
        let cluster = |lead: FragmentIndex| self.cluster_of(self.fragments[lead as usize].node);
        a != b && self.obstacle(cluster(a), cluster(b)).is_none()
    }

    /// Which rule, if any, forbids two clusters to be one.
    pub(in crate::domain::graph) fn obstacle(
        &self,
        x: ClusterIndex,
        y: ClusterIndex,
    ) -> Option<Obstacle> {
        let (a, b) = (&self.clusters[x as usize], &self.clusters[y as usize]);
        let (small, large) = if a.size <= b.size { (x, y) } else { (y, x) };
        let is_in_large = |node: NodeIndex| self.cluster_of(node) == large;
        let found = self.conflict(self.members(small), || self.members(large), is_in_large);
        found.or_else(|| {
            (a.counted.saturating_add(b.counted) > self.rules.limits.identifiers)
                .then_some(Obstacle::Cap)
        })
    }

    /// Which rule about their members, if any, forbids two sets of nodes to be one.
    pub(in crate::domain::graph) fn conflict<'a, I: Iterator<Item = NodeIndex> + 'a>(
        &'a self,
        small: impl Iterator<Item = NodeIndex>,
        large: impl FnOnce() -> I,
        is_in_large: impl Fn(NodeIndex) -> bool,
    ) -> Option<Obstacle> {
        let constrained: SmallVec<[NodeIndex; 8]> =
            small.filter(|node| self.is_constrained(*node)).collect();
        if constrained.is_empty() {
            return None;
        }
        self.conflict_of(&constrained, large, is_in_large)
    }

    fn is_constrained(&self, node: NodeIndex) -> bool {
        let rule = self.rule(node);
        rule.unique
            || rule.limit.is_some()
            || self.apart.contains_key(&node)
            || self.cuts.contains_key(&node)
    }

    /// The first of the obstacles, in their declared order, so that no table's order shows.
    fn conflict_of<'a, I: Iterator<Item = NodeIndex> + 'a>(
        &'a self,
        nodes: &[NodeIndex],
        large: impl FnOnce() -> I,
        is_in_large: impl Fn(NodeIndex) -> bool,
    ) -> Option<Obstacle> {
        let kind = |node: NodeIndex| self.nodes[node as usize].kind;
        let mut counts: Counts = SmallVec::new();
        let mut unique: SmallVec<[u16; 4]> = SmallVec::new();
        let mut places = Places::new();
        let mut is_apart = false;
        for node in nodes {
            let rule = self.rule(*node);
            if rule.unique {
                unique.push(kind(*node));
            }
            if let Some(limit) = rule.limit {
                let window = Self::window(limit, self.nodes[*node as usize].first_seen.get());
                count(&mut counts, kind(*node), window);
            }
            let mut others = self.apart.get(node).into_iter().flatten();
            is_apart |= others.any(|(other, _)| is_in_large(*other));
            for place in self.places_of(*node) {
                if !places.contains(place) {
                    places.push(*place);
                }
            }
        }
        let mut is_over = false;
        if !unique.is_empty() || !counts.is_empty() || !places.is_empty() {
            for node in large() {
                if unique.contains(&kind(node)) {
                    return Some(Obstacle::Unique);
                }
                if !places.is_empty() {
                    let mut others = self.places_of(node).iter();
                    is_apart |= others.any(|one| places.iter().any(|own| are_apart(*own, *one)));
                }
                let Some(limit) = self.rule(node).limit else { continue };
                let window = Self::window(limit, self.nodes[node as usize].first_seen.get());
                if let Some(one) =
                    counts.iter_mut().find(|one| (one.0, one.1) == (kind(node), window))
                {
                    one.2 += 1;
                    is_over |= one.2 > limit.values;
                }
            }
        }
        is_over.then_some(Obstacle::Limit).or(is_apart.then_some(Obstacle::CannotLink))
    }

    /// Makes two clusters one; the larger takes the smaller one's members in.
    pub(in crate::domain::graph) fn unite(&mut self, x: ClusterIndex, y: ClusterIndex) {
        let larger = self.clusters[x as usize].size >= self.clusters[y as usize].size;
        let (into, from) = if larger { (x, y) } else { (y, x) };
        self.will_change(self.clusters[x as usize].head);
        self.will_change(self.clusters[y as usize].head);
        let moving: SmallVec<[NodeIndex; 8]> = self.members(from).collect();
        for node in &moving {
            self.nodes[*node as usize].cluster = into;
        }
        self.unite_raw(into, from);
        let gone = self.clusters[from as usize].clone();
        let kept = self.clusters[into as usize].head;
        // Two rings become one by exchanging the successors of one member of each.
        let after_kept = self.nodes[kept as usize].next;
        self.nodes[kept as usize].next = self.nodes[gone.head as usize].next;
        self.nodes[gone.head as usize].next = after_kept;
        let kept_lead = self.clusters[into as usize].lead;
        if kept_lead != crate::domain::graph::ids::NONE
            && gone.lead != crate::domain::graph::ids::NONE
        {
            self.profiles -= 1;
        }
        let lead = self.older(kept_lead, gone.lead);
        let cluster = &mut self.clusters[into as usize];
        cluster.size += gone.size;
        cluster.counted += gone.counted;
        cluster.edges += gone.edges;
        cluster.lead = lead;
        self.free_clusters.push(from);
    }
}

/// (type, window, values)
type Counts = SmallVec<[(u16, i32, u32); 8]>;

fn count(counts: &mut Counts, kind: u16, window: i32) {
    match counts.iter_mut().find(|one| (one.0, one.1) == (kind, window)) {
        Some(one) => one.2 += 1,
        None => counts.push((kind, window, 1)),
    }
}
