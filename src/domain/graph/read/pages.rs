//! The graph as rows, for snapshots: which pages changed since the last one, and how a graph is
//! put together again. Clusters and lists are not written: they follow from the effective edges.

use crate::domain::graph::ids::{EdgeIndex, FragmentIndex, NONE, NodeIndex};
use crate::domain::graph::tables::dirty::{Dirty, ROWS};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::names::Names;
use crate::domain::graph::tables::row::{
    Birth, Edge, FREE, GONE, HUB, Mail, Node, SPELT, SUPPRESSED, ShortSequence, ShortTime,
};
use crate::domain::id::Sequence;
use crate::domain::normalise::email_hash;
use crate::domain::rules::Rules;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// A node as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    kind: u16,
    flags: u8,
    value: Box<str>,
    fragment: FragmentIndex,
    first_seen: Timestamp,
    last_seen: Timestamp,
    raw: Option<(Timestamp, Box<str>)>,
}

/// An edge as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRow {
    a: NodeIndex,
    b: NodeIndex,
    first_at: Timestamp,
    first_event: Sequence,
    last_event: Sequence,
    count: u32,
    point: u16,
    source: u16,
    flags: u16,
}

/// A fragment's birth as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BirthRow {
    node: NodeIndex,
    sequence: Sequence,
    made_at: Sequence,
    generation: u16,
    received_at: Timestamp,
}

/// A part of the graph as written; the number is that of its first row divided by `ROWS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Page {
    /// Identifiers, sessions, anonymous origins; `None` for a free row.
    Nodes(u32, Vec<Option<NodeRow>>),
    /// Evidence; `None` for a free row.
    Edges(u32, Vec<Option<EdgeRow>>),
    /// Fragments.
    Fragments(u32, Vec<BirthRow>),
    /// The names of types, and of points and sources, by number.
    Names(Vec<String>, Vec<String>),
    /// Cannot-links: the two nodes and the operator's link.
    Apart(Vec<(NodeIndex, NodeIndex, u64)>),
}

impl From<&Edge> for EdgeRow {
    fn from(row: &Edge) -> Self {
        Self {
            a: row.a,
            b: row.b,
            first_at: row.first_at.get(),
            first_event: row.first_event.get(),
            last_event: row.last_event.get(),
            count: row.count,
            point: row.point,
            source: row.source,
            flags: row.flags,
        }
    }
}

impl From<EdgeRow> for Edge {
    fn from(row: EdgeRow) -> Self {
        Self {
            a: row.a,
            b: row.b,
            next_a: NONE,
            next_b: NONE,
            first_at: ShortTime::of(row.first_at),
            first_event: ShortSequence::of(row.first_event),
            last_event: ShortSequence::of(row.last_event),
            count: row.count,
            point: row.point,
            source: row.source,
            flags: row.flags,
        }
    }
}

impl Graph {
    /// The pages that changed since the last call, in the order of their keys.
    pub fn take_changed_pages(&mut self) -> Vec<Page> {
        let mut pages = Vec::new();
        if self.dirty.names != (self.types.len(), self.names.len()) {
            self.dirty.names = (self.types.len(), self.names.len());
            let list = |names: &Names| names.iter().map(str::to_owned).collect();
            pages.push(Page::Names(list(&self.types), list(&self.names)));
        }
        for page in self.dirty.nodes.take() {
            let rows = range(page, self.nodes.len()).map(|at| self.node_row(at)).collect();
            pages.push(Page::Nodes(page, rows));
        }
        for page in self.dirty.edges.take() {
            let rows = range(page, self.edges.len()).map(|at| self.edge_row(at)).collect();
            pages.push(Page::Edges(page, rows));
        }
        for page in self.dirty.fragments.take() {
            let rows = range(page, self.fragments.len())
                .map(|at| birth_row(&Birth::from(&self.fragments[at])));
            pages.push(Page::Fragments(page, rows.collect()));
        }
        if std::mem::take(&mut self.dirty.apart) {
            let pairs = self.apart.iter().flat_map(|(a, others)| {
                others.iter().map(move |(b, link)| (*a, *b, *link)).filter(|(a, b, _)| a < b)
            });
            pages.push(Page::Apart(pairs.collect()));
        }
        pages
    }

    fn node_row(&self, at: usize) -> Option<NodeRow> {
        let row = &self.nodes[at];
        (row.flags & FREE == 0).then(|| NodeRow {
            kind: row.kind,
            flags: row.flags & HUB,
            value: self.text(at as NodeIndex).into(),
            fragment: row.fragment,
            first_seen: row.first_seen.get(),
            last_seen: row.last_seen.get(),
            raw: self.raw.get(&(at as NodeIndex)).cloned(),
        })
    }

    fn edge_row(&self, at: usize) -> Option<EdgeRow> {
        let row = &self.edges[at];
        (row.flags & GONE == 0).then(|| row.into())
    }

    /// Puts a graph together from its pages, in any order.
    ///
    /// # Errors
    /// A sentence that names the row that does not fit the others.
    pub fn from_pages(
        rules: Arc<Rules>,
        pages: impl Iterator<Item = Page>,
    ) -> Result<Self, String> {
        let mut graph = Self::new(rules);
        let mut apart = Vec::new();
        for page in pages {
            match page {
                Page::Nodes(page, rows) => graph.put_nodes(page, rows),
                Page::Edges(page, rows) => graph.put_edges(page, rows),
                Page::Fragments(page, rows) => graph.load_births(page, &rows),
                Page::Names(types, names) => graph.load_names(&types, &names),
                Page::Apart(pairs) => apart = pairs,
            }
        }
        graph.refresh_flags();
        graph.load_nodes()?;
        graph.load_edges()?;
        for (a, b, link) in apart {
            graph.apart.entry(a).or_default().push((b, link));
            graph.apart.entry(b).or_default().push((a, link));
        }
        graph.dirty = Dirty { names: (graph.types.len(), graph.names.len()), ..Dirty::default() };
        Ok(graph)
    }

    fn load_births(&mut self, page: u32, rows: &[BirthRow]) {
        let from = (page * ROWS) as usize;
        let empty =
            Birth { node: NONE, sequence: 0, made_at: 0, generation: 0, received_at: Timestamp(0) };
        self.fragments.grow(from + rows.len(), empty.into());
        for (at, row) in rows.iter().enumerate() {
            let BirthRow { node, sequence, made_at, generation, received_at } = *row;
            let birth = Birth { node, sequence, made_at, generation, received_at };
            self.fragments[from + at] = birth.into();
            if generation > 0 {
                self.later_born.insert((sequence, generation), (from + at) as FragmentIndex);
            }
        }
    }

    fn load_names(&mut self, types: &[String], names: &[String]) {
        for name in types {
            self.types.number(name);
        }
        for name in names {
            self.names.number(name);
        }
    }

    fn put_nodes(&mut self, page: u32, rows: Vec<Option<NodeRow>>) {
        for (node, row) in numbered(page, rows) {
            self.nodes.grow(node as usize + 1, Node::free());
            let mut kept = self.new_row(row.kind, &row.value);
            kept.flags = row.flags & HUB;
            kept.fragment = row.fragment;
            kept.first_seen = ShortTime::of(row.first_seen);
            kept.last_seen = ShortTime::of(row.last_seen);
            if let Some(raw) = row.raw {
                kept.flags |= SPELT;
                self.raw.insert(node, raw);
            }
            self.nodes[node as usize] = kept;
        }
    }

    fn put_edges(&mut self, page: u32, rows: Vec<Option<EdgeRow>>) {
        for (edge, row) in numbered(page, rows) {
            self.edges.grow(edge as usize + 1, Edge::free());
            self.edges[edge as usize] = row.into();
        }
    }

    /// Makes what follows from the nodes, once all of them are there.
    fn load_nodes(&mut self) -> Result<(), String> {
        let count = self.nodes.len() as NodeIndex;
        self.index.reserve(count as usize, |_| 0);
        for node in 0..count {
            let row = &self.nodes[node as usize];
            let (kind, fragment) = (row.kind, row.fragment);
            if row.flags & FREE != 0 {
                continue;
            }
            if usize::from(kind) >= self.flags.len() {
                return Err(format!("node {node} has the unknown type {kind}"));
            }
            if fragment != NONE && fragment as usize >= self.fragments.len() {
                return Err(format!("node {node} names the unknown fragment {fragment}"));
            }
            self.insert_key(node);
            self.make_singleton(node);
            if self.mail_aliases && self.rule(node).mail == Mail::Clear {
                let hash = email_hash(self.text(node));
                if let Ok(short) = u64::from_str_radix(&hash[..16], 16) {
                    self.mail_hashes.insert(short, node);
                }
            }
        }
        let is_free = |node: &NodeIndex| self.nodes[*node as usize].flags & FREE != 0;
        self.free_nodes = (0..count).rev().filter(is_free).collect();
        Ok(())
    }

    /// Makes what follows from the edges, once all nodes and edges are there.
    fn load_edges(&mut self) -> Result<(), String> {
        let count = self.edges.len() as EdgeIndex;
        for edge in 0..count {
            let row = &self.edges[edge as usize];
            if row.flags & GONE != 0 {
                continue;
            }
            let known = |node: NodeIndex| {
                self.nodes.get(node as usize).is_some_and(|row| row.flags & FREE == 0)
            };
            if row.a >= row.b || !known(row.a) || !known(row.b) {
                return Err(format!("edge {edge} joins unknown nodes {} and {}", row.a, row.b));
            }
            self.attach(edge);
        }
        let is_free = |edge: &EdgeIndex| self.edges[*edge as usize].flags & GONE != 0;
        self.free_edges = (0..count).rev().filter(is_free).collect();
        for edge in 0..count {
            self.join_loaded(edge);
        }
        Ok(())
    }

    /// Joins the ends of a loaded edge as its flags say: the rules were applied when it was written.
    fn join_loaded(&mut self, edge: EdgeIndex) {
        if !self.is_active(edge) {
            return;
        }
        let row = &self.edges[edge as usize];
        let (a, b, left_out) = (row.a, row.b, row.flags & SUPPRESSED != 0);
        let (x, y) = (self.cluster_of(a), self.cluster_of(b));
        if left_out {
            self.bind(x, y, None);
        } else if x != y {
            self.unite(x, y);
        }
        self.count_edge(edge);
    }
}

fn range(page: u32, len: usize) -> std::ops::Range<usize> {
    let from = (page * ROWS) as usize;
    from..(from + ROWS as usize).min(len)
}

fn birth_row(birth: &Birth) -> BirthRow {
    let Birth { node, sequence, made_at, generation, received_at } = *birth;
    BirthRow { node, sequence, made_at, generation, received_at }
}

fn numbered<T>(page: u32, rows: Vec<Option<T>>) -> SmallVec<[(u32, T); 8]> {
    let rows = rows.into_iter().enumerate();
    rows.filter_map(|(at, row)| Some((page * ROWS + at as u32, row?))).collect()
}
