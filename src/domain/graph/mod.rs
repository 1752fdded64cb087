//! The identity graph: identifiers, the evidence between them, and the clusters that follow.
//!
//! Owns every identifier that was ever seen, every distinct edge of evidence, and the partition of
//! the identifiers into clusters. A cluster with a fragment is a profile. Clusters are derived:
//! they are a function of the set of evidence and of the rules, never of the order of arrival
//! (`rebuild`), and the quick path (`link`) is only taken where it gives the same answer.
//!
//! Laid out for millions: nodes, edges and clusters are rows in three tables, joined by 32-bit
//! indexes, and texts lie in one arena.

mod adopt;
mod compare;
mod erase;
mod evidence;
mod explain;
mod hand;
mod heirs;
mod hub;
mod link;
mod names;
mod observe;
mod rebuild;
mod rows;
#[cfg(test)]
mod tests;
mod view;

pub use erase::Erased;
pub use explain::{Apart as Reason, Explanation, Step};
pub use hand::{Link, Pair, Unmerged};
pub use heirs::Ancestry;
pub use names::Names;
pub use observe::{Change, Effects, Move, Observed};
pub use rows::Page;
pub use view::{ClusterView, Shown};

use super::id::Sequence;
use super::rules::Rules;
use super::settings::{Limit, Per};
use super::time::Timestamp;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::sync::Arc;

/// An index that points nowhere.
pub const NONE: u32 = u32::MAX;

/// A row of the node table.
pub type NodeIndex = u32;
/// A row of the edge table.
pub type EdgeIndex = u32;
/// A row of the cluster table.
pub type ClusterIndex = u32;
/// A row of the fragment table, which is what the engine calls a fragment by.
pub type FragmentIndex = u32;

/// The reserved type of sessions; no configured type can have this name.
pub const SESSION: u16 = 0;
/// The reserved type of the origins of anonymous events.
pub const ANONYMOUS: u16 = 1;

/// An identifier, a session, or the origin of an anonymous event.
#[derive(Clone, Debug)]
struct Node {
    /// Where its text lies in the arena: 48 bits of offset, 16 bits of length.
    text: u64,
    /// Its type.
    kind: u16,
    flags: u8,
    cluster: ClusterIndex,
    /// The next member of the cluster; the members form a ring.
    next: NodeIndex,
    /// Head of the list of its edges.
    edges: EdgeIndex,
    /// The fragment whose origin it is.
    fragment: FragmentIndex,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

/// The identifier is shared by too many people: it joins nobody.
const HUB: u8 = 1;
/// The row is free.
const FREE: u8 = 1 << 7;

/// Evidence that two nodes belong together, or were merely seen together.
#[derive(Clone, Debug)]
struct Edge {
    /// The two ends, `a < b`.
    a: NodeIndex,
    b: NodeIndex,
    next_a: EdgeIndex,
    next_b: EdgeIndex,
    /// The earliest event time.
    first_at: Timestamp,
    /// The event of that time (on a tie the first to arrive).
    first_event: Sequence,
    /// The latest event to arrive that showed it.
    last_event: Sequence,
    count: u32,
    /// The identification point and source of the first event.
    point: u16,
    source: u16,
    flags: u16,
}

/// Seen in one event, one of them the origin.
const LINK: u16 = 1;
/// Seen in one event, neither the origin; counts for hubs only.
const SEEN: u16 = 1 << 1;
/// An external ID that appeared in a session; only the earliest one counts ([`CHOSEN`]).
const IN_SESSION: u16 = 1 << 2;
/// The external ID that its session's fragment joins.
const CHOSEN: u16 = 1 << 3;
/// A mail and its SHA-256.
const ALIAS: u16 = 1 << 4;
/// An operator's must-link.
const MUST: u16 = 1 << 5;
/// Left out by the rebuild, because it would violate a rule.
const SUPPRESSED: u16 = 1 << 6;
/// Refused for good, because the raw component is full.
const OVERFLOW: u16 = 1 << 7;
/// Events showed the pair, but an operator withdrew that: no evidence, and yet a trace of whose
/// events spoke of whom, which an erasure must know. One for each lane of edges.
const WITHDRAWN: u16 = 1 << 8;
const WITHDRAWN_IN_SESSION: u16 = 1 << 9;
const WITHDRAWN_SEEN: u16 = 1 << 10;
/// The row is free.
const GONE: u16 = 1 << 15;

/// A connected component of the effective evidence.
#[derive(Clone, Debug)]
struct Cluster {
    /// Any member; the others follow in the ring.
    head: NodeIndex,
    size: u32,
    /// Members that the cap counts: without sessions, mail hashes and anonymous origins.
    counted: u32,
    /// The oldest fragment, which gives the profile its id; [`NONE`] without a fragment.
    lead: FragmentIndex,
    /// Active edges within, while the cluster is clean.
    edges: u32,
    /// Whether a suppressed edge ends here, so that the raw component is larger.
    dirty: bool,
}

/// When and by what a fragment came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its origin.
    pub node: NodeIndex,
    /// The first of its events, which its id names.
    pub sequence: Sequence,
    /// The journal record that made it: that event's, or a re-resolution's.
    pub made_at: Sequence,
    /// 0, or the number of the re-resolution that made it.
    pub generation: u16,
    /// When that event was received.
    pub received_at: Timestamp,
}

/// What a type's rule says, by the number of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TypeFlags {
    priority: u32,
    unique: bool,
    limit: Option<Limit>,
    shared_by: Option<u32>,
    known: bool,
    /// Whether the cap of identifiers counts it.
    counted: bool,
    mail: Mail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mail {
    No,
    Clear,
    Hash,
}

/// Two identifiers that must never be one person, and the operator's links that say so.
type Apart = BTreeMap<NodeIndex, SmallVec<[(NodeIndex, u64); 1]>>;

/// The graph.
pub struct Graph {
    types: Names,
    flags: Vec<TypeFlags>,
    /// Names of identification points and sources.
    names: Names,
    text: Vec<u8>,
    index: HashTable<NodeIndex>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    free_edges: Vec<EdgeIndex>,
    free_nodes: Vec<NodeIndex>,
    clusters: Vec<Cluster>,
    free_clusters: Vec<ClusterIndex>,
    fragments: Vec<Birth>,
    /// Fragments that re-resolutions made, by their first event and generation.
    later_born: BTreeMap<(Sequence, u16), FragmentIndex>,
    /// Spellings that differ from the canonical value.
    raw: BTreeMap<NodeIndex, (Timestamp, Box<str>)>,
    apart: Apart,
    /// SHA-256 of clear mails, by its first eight bytes, while some rule yields mail hashes.
    mail_hashes: BTreeMap<u64, NodeIndex>,
    mail_aliases: bool,
    profiles: u64,
    rules: Arc<Rules>,
    dirty: rows::Dirty,
    /// While a re-resolution is under way.
    heirs: Option<heirs::Heirs>,
    /// Generation and record of fragments that are made later than their first event came.
    later: Option<(u16, Sequence)>,
}

impl Graph {
    /// An empty graph under `rules`.
    pub fn new(rules: Arc<Rules>) -> Self {
        let mut types = Names::default();
        types.number("\u{0}session");
        types.number("\u{0}anonymous");
        let mut graph = Self {
            types,
            flags: Vec::new(),
            names: Names::default(),
            text: Vec::new(),
            index: HashTable::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            free_edges: Vec::new(),
            free_nodes: Vec::new(),
            clusters: Vec::new(),
            free_clusters: Vec::new(),
            fragments: Vec::new(),
            later_born: BTreeMap::new(),
            raw: BTreeMap::new(),
            apart: Apart::new(),
            mail_hashes: BTreeMap::new(),
            mail_aliases: rules.yields_mail_hashes(),
            profiles: 0,
            rules,
            dirty: rows::Dirty::default(),
            heirs: None,
            later: None,
        };
        graph.refresh_flags();
        graph
    }

    /// Puts rules in force whose difference to the present ones does not touch identity (a new
    /// source, say). Rules that do touch it need a re-resolution.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.mail_aliases |= rules.yields_mail_hashes();
        self.rules = rules;
        self.flags.clear();
        self.refresh_flags();
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The types of all identifiers that ever came up.
    pub fn type_names(&self) -> Vec<String> {
        self.types.iter().skip(usize::from(ANONYMOUS) + 1).map(str::to_owned).collect()
    }

    /// How many profiles there are: clusters with a fragment.
    pub fn profiles(&self) -> u64 {
        self.profiles
    }

    /// How many fragments there are.
    pub fn fragment_count(&self) -> usize {
        self.fragments.len()
    }

    /// How many identifiers, sessions and origins there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }

    /// How many distinct edges of evidence there are.
    pub fn edge_count(&self) -> usize {
        self.edges.len() - self.free_edges.len()
    }

    /// Bytes that the graph holds, tables and texts together.
    pub fn memory(&self) -> usize {
        self.text.capacity()
            + self.index.capacity() * 5
            + self.nodes.capacity() * size_of::<Node>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.clusters.capacity() * size_of::<Cluster>()
            + self.fragments.capacity() * size_of::<Birth>()
    }

    fn type_number(&mut self, kind: &str) -> u16 {
        let number = self.types.number(kind);
        if number as usize >= self.flags.len() {
            self.refresh_flags();
        }
        number
    }

    fn refresh_flags(&mut self) {
        for number in self.flags.len()..self.types.len() {
            let name = self.types.name(number as u16);
            let reserved = number as u16 <= ANONYMOUS;
            let rule = self.rules.of(name);
            self.flags.push(TypeFlags {
                priority: if reserved { 0 } else { rule.priority.saturating_add(1) },
                unique: rule.unique && !reserved,
                limit: rule.limit.filter(|_| !reserved),
                shared_by: rule.shared_by.filter(|_| !reserved),
                known: rule.known && !reserved,
                counted: !reserved && name != "email_sha256",
                mail: match name {
                    "email" => Mail::Clear,
                    "email_sha256" => Mail::Hash,
                    _ => Mail::No,
                },
            });
        }
    }

    fn rule(&self, node: NodeIndex) -> &TypeFlags {
        &self.flags[self.nodes[node as usize].kind as usize]
    }

    fn text(&self, node: NodeIndex) -> &str {
        let packed = self.nodes[node as usize].text;
        let (at, len) = ((packed >> 16) as usize, (packed & 0xFFFF) as usize);
        std::str::from_utf8(&self.text[at..at + len]).unwrap_or("")
    }

    fn key_hash(kind: u16, value: &str) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        hasher.write_u16(kind);
        hasher.write(value.as_bytes());
        hasher.finish()
    }

    fn find(&self, kind: u16, value: &str) -> Option<NodeIndex> {
        let hash = Self::key_hash(kind, value);
        let same =
            |node: &NodeIndex| self.nodes[*node as usize].kind == kind && self.text(*node) == value;
        self.index.find(hash, same).copied()
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

    fn node(&mut self, kind: u16, value: &str) -> NodeIndex {
        if let Some(node) = self.find(kind, value) {
            return node;
        }
        let at = self.text.len() as u64;
        self.text.extend_from_slice(value.as_bytes());
        let text = (at << 16) | value.len().min(0xFFFF) as u64;
        let row = Node {
            text,
            kind,
            flags: 0,
            cluster: NONE,
            next: NONE,
            edges: NONE,
            fragment: NONE,
            first_seen: super::time::MAX,
            last_seen: super::time::MIN,
        };
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

    fn insert_key(&mut self, node: NodeIndex) {
        let hash = Self::key_hash(self.nodes[node as usize].kind, self.text(node));
        let (nodes, text) = (&self.nodes, &self.text);
        self.index.insert_unique(hash, node, |other| {
            let row = &nodes[*other as usize];
            let (at, len) = ((row.text >> 16) as usize, (row.text & 0xFFFF) as usize);
            Self::key_hash(row.kind, std::str::from_utf8(&text[at..at + len]).unwrap_or(""))
        });
    }

    fn make_singleton(&mut self, node: NodeIndex) {
        let row = &self.nodes[node as usize];
        let lead = row.fragment;
        let cluster = Cluster {
            head: node,
            size: 1,
            counted: u32::from(self.flags[row.kind as usize].counted),
            lead,
            edges: 0,
            dirty: false,
        };
        if lead != NONE {
            self.profiles += 1;
        }
        let at = match self.free_clusters.pop() {
            Some(free) => {
                self.clusters[free as usize] = cluster;
                free
            }
            None => {
                self.clusters.push(cluster);
                (self.clusters.len() - 1) as ClusterIndex
            }
        };
        let row = &mut self.nodes[node as usize];
        (row.cluster, row.next) = (at, node);
    }

    fn cluster_of(&self, node: NodeIndex) -> ClusterIndex {
        self.nodes[node as usize].cluster
    }

    /// The members of a cluster.
    fn members(&self, cluster: ClusterIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        let head = self.clusters[cluster as usize].head;
        let mut at = Some(head);
        std::iter::from_fn(move || {
            let here = at?;
            let next = self.nodes[here as usize].next;
            at = (next != head).then_some(next);
            Some(here)
        })
    }

    /// The edges of a node, as (edge, other end).
    fn edges_of(&self, node: NodeIndex) -> impl Iterator<Item = (EdgeIndex, NodeIndex)> + '_ {
        let mut at = self.nodes[node as usize].edges;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let here = at;
            let edge = &self.edges[here as usize];
            let (next, other) =
                if edge.a == node { (edge.next_a, edge.b) } else { (edge.next_b, edge.a) };
            at = next;
            Some((here, other))
        })
    }

    fn is_hub(&self, node: NodeIndex) -> bool {
        self.nodes[node as usize].flags & HUB != 0
    }

    /// Whether an edge belongs to the raw graph: it would link if no rule stood against it.
    fn is_active(&self, edge: EdgeIndex) -> bool {
        let row = &self.edges[edge as usize];
        let links = row.flags & (LINK | ALIAS | MUST | CHOSEN) != 0;
        links && row.flags & (OVERFLOW | GONE) == 0 && !self.is_hub(row.a) && !self.is_hub(row.b)
    }

    /// The window in which an identifier counts for its type's limit.
    fn window(limit: Limit, first_seen: Timestamp) -> i32 {
        let at = first_seen.utc();
        match limit.per {
            Per::Ever => 0,
            Per::Year => at.year(),
            Per::Month => at.year() * 12 + i32::from(u8::from(at.month())),
            Per::Week => {
                let (year, week, _) = at.to_iso_week_date();
                year * 53 + i32::from(week)
            }
        }
    }

    /// The birth of a fragment.
    pub fn birth(&self, fragment: FragmentIndex) -> Birth {
        self.fragments[fragment as usize]
    }

    /// The fragment that was born of that event, if any.
    pub fn born_of(&self, sequence: Sequence, generation: u16) -> Option<FragmentIndex> {
        if generation > 0 {
            return self.later_born.get(&(sequence, generation)).copied();
        }
        // The table is in the order of `made_at`, which an event gives to one fragment at most.
        let found = self.fragments.partition_point(|birth| birth.made_at < sequence);
        let birth = self.fragments.get(found)?;
        (birth.sequence == sequence && birth.generation == 0).then_some(found as FragmentIndex)
    }

    /// The fragment whose origin a node is.
    pub fn fragment_of(&self, node: NodeIndex) -> Option<FragmentIndex> {
        let fragment = self.nodes[node as usize].fragment;
        (fragment != NONE).then_some(fragment)
    }

    /// The leading fragment of the profile that holds a node, if its cluster has a fragment.
    pub fn lead_of_node(&self, node: NodeIndex) -> Option<FragmentIndex> {
        let lead = self.clusters[self.cluster_of(node) as usize].lead;
        (lead != NONE).then_some(lead)
    }

    /// The leading fragment of the profile that holds a fragment.
    pub fn lead(&self, fragment: FragmentIndex) -> FragmentIndex {
        let node = self.fragments[fragment as usize].node;
        self.clusters[self.cluster_of(node) as usize].lead
    }

    /// The same for a fragment that may have been erased.
    pub fn living_lead(&self, fragment: FragmentIndex) -> Option<FragmentIndex> {
        let birth = self.fragments.get(fragment as usize)?;
        if birth.node == NONE { None } else { self.lead_of_node(birth.node) }
    }

    /// The fragments of a profile, the oldest first.
    pub fn fragments_of(&self, lead: FragmentIndex) -> Vec<FragmentIndex> {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        let mut all: Vec<FragmentIndex> =
            self.members(cluster).filter_map(|node| self.fragment_of(node)).collect();
        all.sort_unstable_by_key(|fragment| self.age(*fragment));
        all
    }

    /// What fragments are ordered by: creation sequence, then id.
    fn age(&self, fragment: FragmentIndex) -> (Sequence, Sequence) {
        let birth = &self.fragments[fragment as usize];
        (birth.made_at, birth.sequence)
    }

    /// The older of two fragments, either of which may be [`NONE`].
    fn older(&self, a: FragmentIndex, b: FragmentIndex) -> FragmentIndex {
        match (a, b) {
            (NONE, other) | (other, NONE) => other,
            _ if self.age(a) <= self.age(b) => a,
            _ => b,
        }
    }

    /// All clusters that are profiles, by their leading fragment, in no particular order.
    pub fn leads(&self) -> impl Iterator<Item = FragmentIndex> + '_ {
        self.fragments.iter().enumerate().filter_map(|(at, birth)| {
            let fragment = at as FragmentIndex;
            (birth.node != NONE && self.lead(fragment) == fragment).then_some(fragment)
        })
    }

    /// Nodes that share a cluster or, with suppressed evidence, a raw component: a set for tests.
    #[cfg(test)]
    pub(crate) fn partition(&self) -> BTreeSet<BTreeSet<String>> {
        let mut all: BTreeMap<ClusterIndex, BTreeSet<String>> = BTreeMap::new();
        for node in 0..self.nodes.len() as NodeIndex {
            if self.nodes[node as usize].flags & FREE == 0 {
                all.entry(self.cluster_of(node)).or_default().insert(self.name_of(node));
            }
        }
        all.into_values().collect()
    }
}
