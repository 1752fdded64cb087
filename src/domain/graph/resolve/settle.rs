//! From evidence to clusters, without a rebuild wherever the answer is certain without one.
//!
//! Let `e` be an edge that has come to evidence whose clusters are right, and X and Y the clusters
//! of its ends. What the rules forbid is forbidden to every larger set too, so:
//!
//! * X = Y: nothing else changes. At its place in the order, `e` joins two parts of X, and all that
//!   the others join later still lies within X, which violates nothing.
//! * X and Y together violate nothing: they become one, and nothing else changes. Every cluster of
//!   the new course lies within one of the old course or within the union of X and Y, so what was
//!   joined still is; and what was refused still is, because what it would join has only grown.
//! * They violate something, and so do already the parts that hold the ends of `e` when its turn
//!   comes: `e` is refused, and nothing else changes.
//! * Otherwise `e` is joined when its turn comes and something after it is not: a rebuild from there.
//!
//! An effective edge that comes earlier in the order is the first case, a suppressed one of the last
//! two. None of this depends on what else is suppressed nearby. The rebuild from nothing is the oracle
//! (`tests::oracle`).

use crate::domain::graph::effects::{Before, Change, ChangeKind, Disturbed, Effects, Obstacle};
use crate::domain::graph::ids::{ClusterIndex, EdgeIndex, FragmentIndex, NONE, NodeIndex};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{OVERFLOW, PENDING, SUPPRESSED};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

/// Of more edges than this that an event brings, or that come earlier by it, those that are costly are
/// taken in together.
const TOGETHER: usize = 8;
/// Once an event has had so many edges decided again, those that are left and costly are taken in together
/// too: what one event costs is bounded by about two raw components.
const DECIDED_ANEW: u32 = 2_000;

/// Edges that were refused, and why.
type Refused = Vec<(EdgeIndex, Obstacle)>;

impl Graph {
    /// Brings the clusters in line with the evidence.
    pub(in crate::domain::graph) fn settle(
        &mut self,
        mut disturbed: Disturbed,
        fragment: Option<FragmentIndex>,
        before: &mut Before,
        is_new: bool,
    ) -> Effects {
        let mut refused = Refused::new();
        for edge in &disturbed.fresh {
            self.edges[*edge as usize].flags |= PENDING;
        }
        if !disturbed.seeds.is_empty() {
            refused.extend(self.rebuild(&disturbed.seeds, None, before));
        }
        self.move_ahead(&disturbed.earlier, before, &mut refused);
        let has_many = self.are_many(&disturbed.earlier) || self.are_many(&disturbed.fresh);
        let mut decided = 0;
        for (at, edge) in disturbed.fresh.iter().enumerate() {
            let left = &disturbed.fresh[at..];
            let are_many = self.are_many(left) || (decided > DECIDED_ANEW && left.len() > 1);
            if are_many && self.is_costly(*edge) {
                self.take_in_together(left, before, &mut refused);
                break;
            }
            decided += self.take_in(*edge, before, &mut refused);
        }
        if refused.is_empty() && before.leads.is_empty() {
            return Effects { moves: Vec::new(), changes: disturbed.changes };
        }
        if let (true, Some(fragment)) = (is_new, fragment) {
            before.leads.remove(&fragment);
        }
        let mut effects = self.compare(before, fragment, false);
        self.keep_last(&mut refused, before);
        if has_many || decided > DECIDED_ANEW {
            self.tell_alike(&mut refused);
        }
        for (edge, obstacle) in refused {
            disturbed.changes.push(self.refusal(edge, obstacle));
        }
        effects.changes.append(&mut disturbed.changes);
        effects
    }

    /// Leaves of the refusals those that still stand and did not before, each once.
    fn keep_last(&self, refused: &mut Refused, before: &Before) {
        let mut known: HashSet<EdgeIndex, FixedState> = HashSet::default();
        let is_news = |(edge, _): &(EdgeIndex, Obstacle)| {
            let stands = self.edges[*edge as usize].flags & (SUPPRESSED | OVERFLOW) != 0;
            let did = before.refused.get(edge).is_some_and(|was| *was);
            stands && !did && known.insert(*edge)
        };
        let mut kept: Refused = refused.drain(..).rev().filter(is_news).collect();
        kept.reverse();
        *refused = kept;
    }

    /// Has refusals say the same in the same order, whether their edges were taken in one by one or
    /// together: which of the two is quicker may be another answer after a start.
    fn tell_alike(&self, refused: &mut Refused) {
        let mut between: HashMap<(ClusterIndex, ClusterIndex), Option<Obstacle>, FixedState> =
            HashMap::default();
        for (edge, why) in refused.iter_mut() {
            let row = &self.edges[*edge as usize];
            if row.flags & OVERFLOW == 0 {
                let ends = (self.cluster_of(row.a), self.cluster_of(row.b));
                let now = between.entry(ends).or_insert_with(|| self.obstacle(ends.0, ends.1));
                *why = now.unwrap_or(*why);
            }
        }
        refused.sort_by_cached_key(|(edge, _)| (self.key(*edge), self.edge_hash(*edge)));
    }

    /// Considers suppressed edges again that come earlier in the order than they did.
    fn move_ahead(&mut self, edges: &[EdgeIndex], before: &mut Before, refused: &mut Refused) {
        if self.are_many(edges) && !self.rebuilds_always() {
            // To ask for each what stands against it may cost more than to decide all of them again.
            let is_out = |edge: &&EdgeIndex| {
                self.edges[**edge as usize].flags & SUPPRESSED != 0 && self.is_active(**edge)
            };
            let ends = edges.iter().filter(is_out).map(|edge| self.edges[*edge as usize].a);
            let seeds: Vec<NodeIndex> = ends.collect();
            if !seeds.is_empty() {
                refused.extend(self.rebuild(&seeds, None, before));
            }
            return;
        }
        for edge in edges {
            let is_out = self.edges[*edge as usize].flags & SUPPRESSED != 0;
            if !is_out || !self.is_active(*edge) {
                continue;
            }
            if !self.rebuilds_always() && self.obstacle_in_turn(*edge).is_some() {
                continue;
            }
            // Several may come earlier at once; then where to begin is not known from one of them.
            let from = (edges.len() == 1).then_some(*edge);
            let seed = self.edges[*edge as usize].a;
            refused.extend(self.rebuild(&[seed], from, before));
        }
    }

    /// Whether taking an edge in means to look at more than its two clusters.
    fn is_costly(&self, edge: EdgeIndex) -> bool {
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        let (x, y, key) = (self.cluster_of(a), self.cluster_of(b), self.key(edge));
        let is_last = || self.is_last_in(x, key) && self.is_last_in(y, key);
        !self.rebuilds_always() && x != y && !is_last() && self.obstacle(x, y).is_some()
    }

    /// Takes the edges in that one event brings and of which each may ask for a rebuild: one rebuild
    /// for all comes to the same, as it is a function of the evidence.
    fn take_in_together(
        &mut self,
        edges: &[EdgeIndex],
        before: &mut Before,
        refused: &mut Refused,
    ) {
        let mut seeds = Vec::with_capacity(edges.len());
        let mut joined: HashMap<(bool, u32), (bool, u32), FixedState> = HashMap::default();
        let mut counts: HashMap<(bool, u32), u32, FixedState> = HashMap::default();
        for edge in edges {
            self.edges[*edge as usize].flags &= !PENDING;
            if !self.is_active(*edge) {
                continue;
            }
            // As the raw components would be, were each edge taken in by itself.
            let (a, b) = (self.edges[*edge as usize].a, self.edges[*edge as usize].b);
            let ends = [a, b].map(|node| {
                let mut raw = self.raw_name(self.cluster_of(node));
                counts.entry(raw).or_insert_with(|| {
                    let cluster = self.cluster_of(node);
                    self.raw_edges(cluster, cluster)
                });
                while let Some(into) = joined.get(&raw) {
                    raw = *into;
                }
                raw
            });
            let count = |raw| counts.get(&raw).copied().unwrap_or(0);
            let both = match ends[0] == ends[1] {
                true => count(ends[0]),
                false => count(ends[0]).saturating_add(count(ends[1])),
            };
            if both >= self.rules.limits.component {
                self.edges[*edge as usize].flags |= OVERFLOW;
                refused.push((*edge, Obstacle::Component));
                continue;
            }
            if ends[0] != ends[1] {
                joined.insert(ends[1], ends[0]);
            }
            counts.insert(ends[0], both + 1);
            seeds.push(a);
        }
        if !seeds.is_empty() {
            refused.extend(self.rebuild(&seeds, None, before));
        }
    }

    /// What tells the raw component of a cluster from every other one.
    fn raw_name(&self, cluster: ClusterIndex) -> (bool, u32) {
        let raw = self.clusters[cluster as usize].raw;
        if raw == NONE { (false, cluster) } else { (true, raw) }
    }

    /// Takes one more edge in; returns how many edges of its raw component were decided again.
    fn take_in(&mut self, edge: EdgeIndex, before: &mut Before, refused: &mut Refused) -> u32 {
        self.edges[edge as usize].flags &= !PENDING;
        if !self.is_active(edge) {
            return 0;
        }
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        let (x, y) = (self.cluster_of(a), self.cluster_of(b));
        let edges = self.raw_edges(x, y);
        if edges >= self.rules.limits.component {
            self.edges[edge as usize].flags |= OVERFLOW;
            refused.push((edge, Obstacle::Component));
            return 0;
        }
        if self.rebuilds_always() {
            refused.extend(self.rebuild(&[a], None, before));
            return 0;
        }
        if x != y && self.obstacle(x, y).is_some() {
            if let Some(obstacle) = self.obstacle_in_turn(edge) {
                before.note_edge(edge, false);
                self.suppress(edge, obstacle, refused);
                return 0;
            }
            refused.extend(self.rebuild(&[a], Some(edge), before));
            return edges;
        }
        if x != y {
            self.note_losers(x, y, before);
            self.unite(x, y);
        }
        self.count_edge(edge);
        0
    }

    fn are_many(&self, edges: &[EdgeIndex]) -> bool {
        #[cfg(test)]
        if self.is_hasty {
            return edges.len() > 1;
        }
        edges.len() > TOGETHER
    }

    fn rebuilds_always(&self) -> bool {
        #[cfg(test)]
        return self.always_rebuild;
        #[cfg(not(test))]
        false
    }

    fn suppress(&mut self, edge: EdgeIndex, obstacle: Obstacle, refused: &mut Refused) {
        self.edges[edge as usize].flags |= SUPPRESSED;
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        self.bind(self.cluster_of(a), self.cluster_of(b), None);
        self.count_edge(edge);
        self.dirty.mark(Touched::Edge(edge));
        refused.push((edge, obstacle));
    }

    /// What stands against an edge when its turn comes: between what the effective edges before it
    /// join to its ends.
    fn obstacle_in_turn(&self, edge: EdgeIndex) -> Option<Obstacle> {
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        let (x, y) = (self.cluster_of(a), self.cluster_of(b));
        let key = self.key(edge);
        if self.is_last_in(x, key) && self.is_last_in(y, key) {
            return self.obstacle(x, y);
        }
        let (left, right) = (self.joined_before(a, edge), self.joined_before(b, edge));
        let (small, large) = if left.len() <= right.len() { (left, right) } else { (right, left) };
        let all = || large.iter().copied();
        let found = self.conflict(small.iter().copied(), all, |node| large.contains(&node));
        found.or_else(|| {
            let both = small.iter().chain(&large);
            let counted = both.filter(|node| self.rule(**node).counted).count();
            (counted > self.rules.limits.identifiers as usize).then_some(Obstacle::Cap)
        })
    }

    /// The nodes that are joined to `start` by the effective edges before `edge`.
    fn joined_before(&self, start: NodeIndex, edge: EdgeIndex) -> HashSet<NodeIndex, FixedState> {
        let mut reached = HashSet::default();
        reached.insert(start);
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for (link, other) in self.edges_of(node) {
                let is_in = self.edges[link as usize].flags & SUPPRESSED == 0
                    && !reached.contains(&other)
                    && self.is_active(link)
                    && self.precedes(link, edge);
                if is_in {
                    reached.insert(other);
                    open.push(other);
                }
            }
        }
        reached
    }

    /// Notes the fragments that a union moves: those on the side of the younger leader.
    fn note_losers(&self, x: ClusterIndex, y: ClusterIndex, before: &mut Before) {
        let (left, right) = (self.clusters[x as usize].lead, self.clusters[y as usize].lead);
        if left == NONE || right == NONE {
            return;
        }
        let losing = if self.older(left, right) == left { (y, right) } else { (x, left) };
        for node in self.members(losing.0) {
            if let Some(fragment) = self.fragment_of(node) {
                before.note(fragment, losing.1);
            }
        }
    }

    pub(in crate::domain::graph) fn refusal(&self, edge: EdgeIndex, obstacle: Obstacle) -> Change {
        let row = &self.edges[edge as usize];
        let (weaker, other) = match self.rule(row.a).priority > self.rule(row.b).priority {
            true => (row.a, row.b),
            false => (row.b, row.a),
        };
        Change {
            kind: ChangeKind::Refusal,
            profile: self.lead_of_node(other).or_else(|| self.lead_of_node(weaker)),
            others: Vec::new(),
            identifier: Some(self.name_of(weaker)),
            reason: Some(obstacle.name()),
        }
    }
}
