//! Raw components: what holds together by suppressed edges too.

use crate::domain::graph::ids::{ClusterIndex, NONE, RawIndex};
use crate::domain::time::Timestamp;

/// What edges are ordered by, before their hashes: class, strength, earliest event time.
pub(in crate::domain::graph) type Key = (u8, u32, Timestamp);

/// A raw component with suppressed edges.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Raw {
    pub(in crate::domain::graph) clusters: Vec<ClusterIndex>,
    /// Its active edges, suppressed ones included.
    pub(in crate::domain::graph) edges: u32,
    /// No effective edge of it comes later in the order.
    pub(in crate::domain::graph) latest: Key,
}

/// The table of raw components.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::graph) struct Raws {
    pub(in crate::domain::graph) rows: Vec<Raw>,
    pub(in crate::domain::graph) free: Vec<RawIndex>,
}

impl Raws {
    pub(in crate::domain::graph) fn add(&mut self, raw: Raw) -> RawIndex {
        match self.free.pop() {
            Some(free) => {
                self.rows[free as usize] = raw;
                free
            }
            None => {
                self.rows.push(raw);
                (self.rows.len() - 1) as RawIndex
            }
        }
    }

    pub(in crate::domain::graph) fn take(&mut self, raw: RawIndex) -> Raw {
        self.free.push(raw);
        let empty = Raw { clusters: Vec::new(), edges: 0, latest: Key::default() };
        std::mem::replace(&mut self.rows[raw as usize], empty)
    }

    /// Empties a row whose clusters are all gone, unless that was done.
    pub(in crate::domain::graph) fn discard(&mut self, raw: RawIndex) {
        if raw != NONE && !self.rows[raw as usize].clusters.is_empty() {
            self.take(raw);
        }
    }

    pub(in crate::domain::graph) fn memory(&self) -> usize {
        let clusters: usize = self.rows.iter().map(|raw| raw.clusters.capacity()).sum();
        self.rows.capacity() * size_of::<Raw>() + clusters * size_of::<ClusterIndex>()
    }
}
