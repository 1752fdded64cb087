//! The graph: all of its tables.

use crate::domain::graph::ids::{ANONYMOUS, ClusterIndex, EdgeIndex, FragmentIndex, NodeIndex};
use crate::domain::graph::tables::chunks::{Table, Texts};
use crate::domain::graph::tables::crowd::Crowd;
use crate::domain::graph::tables::cuts::Cuts;
use crate::domain::graph::tables::dirty::Dirty;
use crate::domain::graph::tables::heirs::Heirs;
use crate::domain::graph::tables::names::Names;
use crate::domain::graph::tables::raws::Raws;
use crate::domain::graph::tables::row::{Cluster, Edge, Fragment, Node, TypeFlags};
use crate::domain::graph::tables::watched::Watch;
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::domain::time::Timestamp;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Two identifiers that must never be one person, and the operator's links that say so.
pub(in crate::domain::graph) type Apart = BTreeMap<NodeIndex, SmallVec<[(NodeIndex, u64); 1]>>;

/// The graph.
pub struct Graph {
    pub(in crate::domain::graph) types: Names,
    pub(in crate::domain::graph) flags: Vec<TypeFlags>,
    /// Names of identification points and sources.
    pub(in crate::domain::graph) names: Names,
    pub(in crate::domain::graph) texts: Texts,
    pub(in crate::domain::graph) index: HashTable<NodeIndex>,
    pub(in crate::domain::graph) nodes: Table<Node>,
    pub(in crate::domain::graph) edges: Table<Edge>,
    pub(in crate::domain::graph) crowd: Crowd,
    pub(in crate::domain::graph) free_edges: Vec<EdgeIndex>,
    pub(in crate::domain::graph) free_nodes: Vec<NodeIndex>,
    pub(in crate::domain::graph) clusters: Table<Cluster>,
    pub(in crate::domain::graph) raws: Raws,
    pub(in crate::domain::graph) free_clusters: Vec<ClusterIndex>,
    pub(in crate::domain::graph) fragments: Table<Fragment>,
    /// Fragments that re-resolutions made, by their first event and generation.
    pub(in crate::domain::graph) later_born: BTreeMap<(Sequence, u16), FragmentIndex>,
    /// Spellings that differ from the canonical value.
    pub(in crate::domain::graph) raw: HashMap<NodeIndex, (Timestamp, Box<str>), FixedState>,
    pub(in crate::domain::graph) apart: Apart,
    pub(in crate::domain::graph) cuts: Cuts,
    /// SHA-256 of clear mails, by its first eight bytes, while some rule yields mail hashes.
    pub(in crate::domain::graph) mail_hashes: BTreeMap<u64, NodeIndex>,
    pub(in crate::domain::graph) mail_aliases: bool,
    pub(in crate::domain::graph) profiles: u64,
    pub(in crate::domain::graph) rules: Arc<Rules>,
    pub(in crate::domain::graph) dirty: Dirty,
    /// While somebody goes over all profiles in parts.
    pub(in crate::domain::graph) watch: Option<Watch>,
    /// While a re-resolution is under way.
    pub(in crate::domain::graph) heirs: Option<Heirs>,
    /// Generation and record of fragments that are made later than their first event came.
    pub(in crate::domain::graph) later: Option<(u16, Sequence)>,
    /// Takes no quick way: the oracle of those that there are.
    #[cfg(test)]
    pub(in crate::domain::graph) always_rebuild: bool,
    /// Takes edges in together as soon as there are two.
    #[cfg(test)]
    pub(in crate::domain::graph) is_hasty: bool,
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
            cuts: Cuts::new(),
            mail_hashes: BTreeMap::new(),
            mail_aliases: rules.yields_mail_hashes(),
            profiles: 0,
            rules,
            dirty: Dirty::default(),
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
