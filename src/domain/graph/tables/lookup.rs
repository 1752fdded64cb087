//! From an identifier's text to its node.

use crate::domain::graph::ids::{ANONYMOUS, NodeIndex, SESSION};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::Node;
use crate::domain::id::Sequence;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

impl Graph {
    pub(in crate::domain::graph) fn text(&self, node: NodeIndex) -> &str {
        std::str::from_utf8(self.bytes(node)).unwrap_or("")
    }

    fn bytes(&self, node: NodeIndex) -> &[u8] {
        let (place, len) = self.nodes[node as usize].text();
        self.texts.get(place, len)
    }

    pub(in crate::domain::graph) fn key_hash(kind: u16, value: &[u8]) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_u16(kind);
        hasher.write(value);
        hasher.finish()
    }

    pub(in crate::domain::graph) fn find(&self, kind: u16, value: &str) -> Option<NodeIndex> {
        self.find_hashed(Self::key_hash(kind, value.as_bytes()), kind, value)
    }

    fn find_hashed(&self, hash: u64, kind: u16, value: &str) -> Option<NodeIndex> {
        let same = |node: &NodeIndex| {
            let row = &self.nodes[*node as usize];
            let (place, len) = row.text();
            row.kind == kind && len == value.len() && self.texts.get(place, len) == value.as_bytes()
        };
        self.index.find(hash, same).copied()
    }

    /// Finds several identifiers at once. In a graph of millions every step of a look-up waits for
    /// memory: so each step is taken for all of them, and the waits overlap.
    pub(in crate::domain::graph) fn find_all(
        &self,
        sought: &[(u16, &str)],
    ) -> SmallVec<[Option<NodeIndex>; 4]> {
        let hash = |(kind, value): &(u16, &str)| Self::key_hash(*kind, value.as_bytes());
        let hashes: SmallVec<[u64; 4]> = sought.iter().map(hash).collect();
        let guess = |hash: &u64| self.index.iter_hash(*hash).next().copied();
        let guesses: SmallVec<[Option<NodeIndex>; 4]> = hashes.iter().map(guess).collect();
        let guessed = guesses.iter().map(|node| node.map(|node| &self.nodes[node as usize]));
        let rows: SmallVec<[Option<&Node>; 4]> = guessed.collect();
        for row in rows.iter().flatten() {
            self.touch(row);
        }
        let sure = |at: usize| {
            let (kind, value) = sought[at];
            let (found, (place, len)) = (rows[at]?.kind, rows[at]?.text());
            let is_same = found == kind
                && len == value.len()
                && self.texts.get(place, len) == value.as_bytes();
            if is_same { guesses[at] } else { self.find_hashed(hashes[at], kind, value) }
        };
        (0..sought.len()).map(sure).collect()
    }

    /// Reads what an event needs next of a node, so that all of it is on its way at once.
    fn touch(&self, row: &Node) {
        let (place, len) = row.text();
        black_box(self.texts.get(place, len).first());
        black_box(self.clusters.get(row.cluster as usize).map(|cluster| cluster.lead));
        black_box(self.edges.get(row.edges as usize).map(|edge| edge.flags));
    }

    /// The node of an identifier, if it was ever seen or linked.
    pub fn identifier(&self, kind: &str, value: &str) -> Option<NodeIndex> {
        self.find(self.types.find(kind)?, value)
    }

    /// The node of a session.
    pub fn session(&self, id: &str) -> Option<NodeIndex> {
        self.find(SESSION, id)
    }

    /// The node of an anonymous event's origin.
    pub fn anonymous(&self, sequence: Sequence) -> Option<NodeIndex> {
        self.find(ANONYMOUS, &sequence.to_string())
    }

    pub(in crate::domain::graph) fn node(&mut self, kind: u16, value: &str) -> NodeIndex {
        if let Some(node) = self.find(kind, value) {
            return node;
        }
        let row = self.new_row(kind, value);
        let node = match self.free_nodes.pop() {
            Some(free) => {
                self.nodes[free as usize] = row;
                free
            }
            None => {
                self.nodes.push(row);
                (self.nodes.len() - 1) as NodeIndex
            }
        };
        self.insert_key(node);
        self.make_singleton(node);
        self.dirty.node(node);
        node
    }

    /// A row of its own for an identifier, whose text is kept up to 65,535 bytes.
    pub(in crate::domain::graph) fn new_row(&mut self, kind: u16, value: &str) -> Node {
        let text = &value.as_bytes()[..value.len().min(usize::from(u16::MAX))];
        Node::new(kind, self.texts.add(text), text.len() as u16)
    }

    pub(in crate::domain::graph) fn insert_key(&mut self, node: NodeIndex) {
        let hash = Self::key_hash(self.nodes[node as usize].kind, self.bytes(node));
        let (nodes, texts) = (&self.nodes, &self.texts);
        self.index.insert_unique(hash, node, |other| {
            let row = &nodes[*other as usize];
            let (place, len) = row.text();
            Self::key_hash(row.kind, texts.get(place, len))
        });
    }
}
