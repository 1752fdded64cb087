//! The identity graph: identifiers, the evidence between them, and the clusters that follow.
//!
//! Owns every identifier that was ever seen, every distinct edge of evidence, and the partition of
//! the identifiers into clusters. A cluster with a fragment is a profile. Clusters are derived:
//! they are a function of the set of evidence and of the rules, never of the order of arrival
//! (`rebuild`), and the quick path (`link`) is only taken where it gives the same answer.
//!
//! Laid out for millions: nodes, edges and clusters are rows in three tables, joined by 32-bit
//! indexes, and texts lie in one arena (`table`, `row`).

mod change;
mod read;
mod resolve;
mod tables;
#[cfg(test)]
mod tests;

pub use change::cut::Cut;
pub use change::erase::Erased;
pub use change::inherit::{Ancestry, Heirs};
pub use change::observe::{Change, Effects, Move, Observed};
pub use change::operators::{Link, Pair, Parting, Separation, Unmerged};
pub use read::explain::{Apart as Reason, Explanation, Step};
pub use read::pages::Page;
pub use read::view::{ClusterView, Shown};
pub use resolve::obstacle::Obstacle;
pub use tables::fragments::Birth;
pub use tables::names::Names;
pub use tables::watch::Touched;

use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::domain::time::Timestamp;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use resolve::component::Raws;
use resolve::crowd::Crowd;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use tables::chunks::{Table, Texts};
use tables::row::{Cluster, Edge, Fragment, Node};
use tables::type_flags::TypeFlags;

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

/// Two identifiers that must never be one person, and the operator's links that say so.
type Apart = BTreeMap<NodeIndex, SmallVec<[(NodeIndex, u64); 1]>>;

/// The graph.
pub struct Graph {
    types: Names,
    flags: Vec<TypeFlags>,
    /// Names of identification points and sources.
    names: Names,
    texts: Texts,
    index: HashTable<NodeIndex>,
    nodes: Table<Node>,
    edges: Table<Edge>,
    crowd: Crowd,
    free_edges: Vec<EdgeIndex>,
    free_nodes: Vec<NodeIndex>,
    clusters: Table<Cluster>,
    raws: Raws,
    free_clusters: Vec<ClusterIndex>,
    fragments: Table<Fragment>,
    /// Fragments that re-resolutions made, by their first event and generation.
    later_born: BTreeMap<(Sequence, u16), FragmentIndex>,
    /// Spellings that differ from the canonical value.
    raw: HashMap<NodeIndex, (Timestamp, Box<str>), FixedState>,
    apart: Apart,
    cuts: change::cut::Cuts,
    /// SHA-256 of clear mails, by its first eight bytes, while some rule yields mail hashes.
    mail_hashes: BTreeMap<u64, NodeIndex>,
    mail_aliases: bool,
    profiles: u64,
    rules: Arc<Rules>,
    dirty: read::pages::Dirty,
    /// While somebody goes over all profiles in parts.
    watch: Option<tables::watch::Watch>,
    /// While a re-resolution is under way.
    heirs: Option<Heirs>,
    /// Generation and record of fragments that are made later than their first event came.
    later: Option<(u16, Sequence)>,
    /// Takes no quick way: the oracle of those that there are.
    #[cfg(test)]
    always_rebuild: bool,
    /// Takes edges in together as soon as any was decided anew.
    #[cfg(test)]
    is_hasty: bool,
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
            texts: Texts::default(),
            index: HashTable::new(),
            nodes: Table::default(),
            edges: Table::default(),
            crowd: Crowd::default(),
            free_edges: Vec::new(),
            free_nodes: Vec::new(),
            clusters: Table::default(),
            raws: Raws::default(),
            free_clusters: Vec::new(),
            fragments: Table::default(),
            later_born: BTreeMap::new(),
            raw: HashMap::default(),
            apart: Apart::new(),
            cuts: change::cut::Cuts::new(),
            mail_hashes: BTreeMap::new(),
            mail_aliases: rules.yields_mail_hashes(),
            profiles: 0,
            rules,
            dirty: read::pages::Dirty::default(),
            watch: None,
            heirs: None,
            later: None,
            #[cfg(test)]
            always_rebuild: false,
            #[cfg(test)]
            is_hasty: false,
        };
        graph.refresh_flags();
        graph
    }

    /// Puts rules in force whose difference to the present ones does not touch identity (a new
    /// source, say). Rules that do touch it need a re-resolution.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.mail_aliases |= rules.yields_mail_hashes();
        self.note_rules(&rules);
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
        self.texts.memory()
            + self.index.allocation_size()
            + self.nodes.memory()
            + self.edges.memory()
            + self.clusters.memory()
            + self.fragments.memory()
            + self.raws.memory()
            + self.raw.allocation_size()
            + self.crowd.memory()
    }
}
