//! Raw components of more than one cluster: what hangs together by suppressed edges.
//!
//! Only they have a row; a cluster at which no suppressed edge ends is its own raw component, and
//! says itself how many edges it has.

use crate::domain::graph::ids::{ClusterIndex, EdgeIndex, NONE, RawIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::raws::{Key, Raw};
use crate::domain::graph::tables::row::{LINKS, SUPPRESSED};

impl Graph {
    fn raw_of(&self, cluster: ClusterIndex) -> Option<&Raw> {
        let raw = self.clusters[cluster as usize].raw;
        (raw != NONE).then(|| &self.raws.rows[raw as usize])
    }

    /// The clusters of the raw component that a cluster lies in.
    pub(in crate::domain::graph) fn raw_clusters(&self, cluster: ClusterIndex) -> &[ClusterIndex] {
        self.raw_of(cluster).map_or(&[], |raw| &raw.clusters)
    }

    /// Active edges of the raw component that an edge between two clusters makes one.
    pub(in crate::domain::graph) fn raw_edges(&self, x: ClusterIndex, y: ClusterIndex) -> u32 {
        let edges = |cluster| {
            let own = self.clusters[cluster as usize].edges;
            self.raw_of(cluster).map_or(own, |raw| raw.edges)
        };
        let (left, right) = (self.clusters[x as usize].raw, self.clusters[y as usize].raw);
        let is_one = x == y || (left != NONE && left == right);
        edges(x) + if is_one { 0 } else { edges(y) }
    }

    /// Whether an edge of this key comes after all effective ones of a cluster.
    pub(in crate::domain::graph) fn is_last_in(&self, cluster: ClusterIndex, key: Key) -> bool {
        match self.raw_of(cluster) {
            Some(raw) => raw.latest < key,
            None => self.clusters[cluster as usize].edges == 0,
        }
    }

    /// Counts an edge that became active; one that is effective may be the last of its component.
    pub(in crate::domain::graph) fn count_edge(&mut self, edge: EdgeIndex) {
        let cluster = self.cluster_of(self.edges[edge as usize].a) as usize;
        self.clusters[cluster].edges += 1;
        let raw = self.clusters[cluster].raw;
        if raw != NONE {
            let is_effective = self.edges[edge as usize].flags & SUPPRESSED == 0;
            let key = if is_effective { self.key(edge) } else { Key::default() };
            let raw = &mut self.raws.rows[raw as usize];
            raw.edges += 1;
            raw.latest = raw.latest.max(key);
        }
    }

    /// Makes one raw component of those of two clusters, between which an edge is suppressed.
    /// `latest` is what [`Raw`] says of them, where it is known; else it is looked up.
    pub(in crate::domain::graph) fn bind(
        &mut self,
        x: ClusterIndex,
        y: ClusterIndex,
        latest: Option<Key>,
    ) {
        let (left, right) = (self.raw_row(x, latest), self.raw_row(y, latest));
        if left == right {
            return;
        }
        let size = |raw: RawIndex| self.raws.rows[raw as usize].clusters.len();
        let (into, from) = if size(left) >= size(right) { (left, right) } else { (right, left) };
        let gone = self.raws.take(from);
        for cluster in &gone.clusters {
            self.clusters[*cluster as usize].raw = into;
        }
        let kept = &mut self.raws.rows[into as usize];
        kept.clusters.extend(gone.clusters);
        kept.edges += gone.edges;
        kept.latest = kept.latest.max(gone.latest);
    }

    /// The row of a cluster's raw component, made where there is none.
    fn raw_row(&mut self, cluster: ClusterIndex, latest: Option<Key>) -> RawIndex {
        let known = self.clusters[cluster as usize].raw;
        if known != NONE {
            return known;
        }
        let latest = latest.unwrap_or_else(|| self.latest_of(cluster));
        let edges = self.clusters[cluster as usize].edges;
        let raw = self.raws.add(Raw { clusters: vec![cluster], edges, latest });
        self.clusters[cluster as usize].raw = raw;
        raw
    }

    fn latest_of(&self, cluster: ClusterIndex) -> Key {
        let links = self.members(cluster).flat_map(|node| self.edges_of(node));
        let effective = links.filter(|(edge, _)| {
            let flags = self.edges[*edge as usize].flags;
            flags & LINKS != 0 && flags & SUPPRESSED == 0
        });
        effective.map(|(edge, _)| self.key(edge)).max().unwrap_or_default()
    }

    /// Before `from` becomes part of `into`: leaves the raw component of both without `from`.
    pub(in crate::domain::graph) fn unite_raw(&mut self, into: ClusterIndex, from: ClusterIndex) {
        let is_clean = |cluster: ClusterIndex| self.clusters[cluster as usize].raw == NONE;
        if is_clean(into) && is_clean(from) {
            return;
        }
        self.bind(into, from, None);
        let raw = self.clusters[from as usize].raw;
        self.raws.rows[raw as usize].clusters.retain(|cluster| *cluster != from);
    }

    /// Takes a cluster that is no more out of its raw component, which is rebuilt next.
    pub(in crate::domain::graph) fn leave_raw(&mut self, cluster: ClusterIndex) {
        let raw = std::mem::replace(&mut self.clusters[cluster as usize].raw, NONE);
        if raw == NONE {
            return;
        }
        let row = &mut self.raws.rows[raw as usize];
        row.clusters.retain(|other| *other != cluster);
        if row.clusters.is_empty() {
            self.raws.take(raw);
        }
    }
}
