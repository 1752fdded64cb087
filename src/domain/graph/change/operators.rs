//! What operators do to the evidence: must-links, cannot-links, withdrawals, unmerges.
//!
//! None of it touches a fragment. Each act changes the evidence, and the clusters follow. What an act
//! changes is said by names before it is written down (`parting_*`, `shown_within`): it then does the
//! same whatever else is or is not in the journal, as after an erasure.

use crate::domain::graph::effects::{Before, Disturbed, Effects};
use crate::domain::graph::ids::{FragmentIndex, NodeIndex, SESSION};
use crate::domain::graph::resolve::evidence::Showing;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{FREE, IN_SESSION, LINK, MUST, SEEN, SUPPRESSED};
use crate::domain::id::{Identifier, Sequence};
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;

/// An operator's link between two identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub number: u64,
    /// Whether it joins; else it keeps apart.
    pub joins: bool,
    /// One end; of the type `session` for a session.
    pub a: Identifier,
    /// The other end.
    pub b: Identifier,
}

/// The number of cannot-links that are only tried.
const TRIAL: u64 = u64::MAX;

/// What an unmerge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmerged {
    /// The profiles that there are now in the place of the one.
    pub profiles: Vec<FragmentIndex>,
    /// What follows for the profiles.
    pub effects: Effects,
}

/// Two ends that are to be kept apart.
pub type Pair = (Identifier, Identifier);

/// More parts than this are taken apart by one cut; fewer by a cannot-link between each two, which
/// can be lifted one by one.
const PAIRED: usize = 8;

/// How a profile is to be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Who is kept apart.
    pub apart: Separation,
    /// The fragments of each part.
    pub parts: Vec<Vec<FragmentIndex>>,
}

/// Who is kept apart from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Separation {
    /// The two of each pair.
    Pairs(Vec<Pair>),
    /// Each part from every other one.
    Parts(Vec<Vec<Identifier>>),
}

impl Graph {
    /// The node of an end of a link; made if it was never seen.
    pub(in crate::domain::graph) fn end(
        &mut self,
        identifier: &Identifier,
        disturbed: &mut Disturbed,
    ) -> NodeIndex {
        let kind = match &*identifier.kind {
            "session" if self.types.find("session").is_none() => SESSION,
            kind => self.type_number(kind),
        };
        self.identifier_node(kind, &identifier.value, &mut disturbed.fresh)
    }

    /// An end of a link as an operator would write it.
    pub(in crate::domain::graph) fn identifier_of(&self, node: NodeIndex) -> Identifier {
        let kind = match self.nodes[node as usize].kind {
            SESSION => "session",
            kind => self.types.name(kind),
        };
        Identifier { kind: kind.into(), value: self.text(node).into() }
    }

    /// Lays a link.
    pub fn lay(&mut self, link: &Link, sequence: Sequence, at: Timestamp) -> Effects {
        let mut disturbed = Disturbed::default();
        let (a, b) = (self.end(&link.a, &mut disturbed), self.end(&link.b, &mut disturbed));
        if a == b {
            return self.settle(disturbed, None, &mut Before::default(), false);
        }
        if link.joins {
            let by = Showing { at, sequence, point: None, source: None };
            // The pair may have been linked by events before; as a must-link it goes first.
            let shown = self.show(a, b, MUST, by);
            self.note(shown, &mut disturbed);
        } else {
            self.keep_apart(a, b, link.number);
            disturbed.seeds.extend([a, b]);
        }
        self.settle(disturbed, None, &mut Before::default(), false)
    }

    fn keep_apart(&mut self, a: NodeIndex, b: NodeIndex, number: u64) {
        self.apart.entry(a).or_default().push((b, number));
        self.apart.entry(b).or_default().push((a, number));
        self.dirty.apart = true;
    }

    fn let_together(&mut self, a: NodeIndex, b: NodeIndex, number: u64) {
        for (node, other) in [(a, b), (b, a)] {
            if let Some(all) = self.apart.get_mut(&node) {
                all.retain(|known| *known != (other, number));
                if all.is_empty() {
                    self.apart.remove(&node);
                }
            }
        }
        self.dirty.apart = true;
    }

    /// Lifts a link; `others_join` says that another must-link joins the same two.
    pub fn lift(&mut self, link: &Link, others_join: bool) -> Effects {
        let mut disturbed = Disturbed::default();
        let (a, b) = (self.end(&link.a, &mut disturbed), self.end(&link.b, &mut disturbed));
        disturbed.seeds.extend([a, b]);
        if link.joins {
            if let (Some(edge), false) = (self.edge_between(a, b, 0), others_join) {
                self.withdraw(edge, MUST);
            }
        } else {
            self.let_together(a, b, link.number);
        }
        self.settle(disturbed, None, &mut Before::default(), false)
    }

    /// The members of an identifier's profile that events showed it with.
    pub fn shown_within(&self, node: NodeIndex) -> Vec<Identifier> {
        let cluster = self.cluster_of(node);
        let is_shown =
            |edge: u32| self.edges[edge as usize].flags & (LINK | SEEN | IN_SESSION) != 0;
        let own = self.edges_of(node).filter(|(edge, _)| is_shown(*edge));
        let ends: BTreeSet<NodeIndex> = own
            .map(|(_, other)| other)
            .filter(|other| self.cluster_of(*other) == cluster)
            .collect();
        ends.into_iter().map(|end| self.identifier_of(end)).collect()
    }

    /// The node of an identifier as [`Self::shown_within`] and links name it.
    pub fn named(&self, identifier: &Identifier) -> Option<NodeIndex> {
        match &*identifier.kind {
            "session" if self.types.find("session").is_none() => self.session(&identifier.value),
            kind => self.identifier(kind, &identifier.value),
        }
    }

    /// All nodes by the names that [`Self::shown_within`] gives them.
    pub fn names(&self) -> impl Iterator<Item = (NodeIndex, Identifier)> + '_ {
        let all = 0..self.nodes.len() as NodeIndex;
        all.filter(|node| self.nodes[*node as usize].flags & FREE == 0)
            .map(|node| (node, self.identifier_of(node)))
    }

    /// Withdraws what events showed of an identifier together with any of `ends`.
    pub fn withdraw_identifier(&mut self, node: NodeIndex, ends: &BTreeSet<NodeIndex>) -> Effects {
        let mut disturbed = Disturbed::default();
        disturbed.seeds.push(node);
        disturbed.seeds.extend(ends.iter().copied());
        let shown: Vec<(u32, NodeIndex)> =
            self.edges_of(node).filter(|(_, other)| ends.contains(other)).collect();
        for (edge, other) in shown {
            let was_in_session = self.edges[edge as usize].flags & IN_SESSION != 0;
            if !self.is_evidence(edge) {
                continue;
            }
            self.withdraw_shown(edge);
            if was_in_session {
                let session = if self.nodes[node as usize].kind == SESSION { node } else { other };
                self.choose(session, &mut disturbed);
            }
            self.check_hub(other, &mut disturbed);
        }
        self.check_hub(node, &mut disturbed);
        self.settle(disturbed, None, &mut Before::default(), false)
    }

    /// The parts, each with a fragment, into which a profile falls without a node.
    pub(in crate::domain::graph) fn parts_without(
        &self,
        node: NodeIndex,
    ) -> Vec<BTreeSet<NodeIndex>> {
        let cluster = self.cluster_of(node);
        let mut left: BTreeSet<NodeIndex> =
            self.members(cluster).filter(|member| *member != node).collect();
        let mut parts = Vec::new();
        while let Some(start) = left.pop_first() {
            let mut part = BTreeSet::from([start]);
            let mut open = vec![start];
            while let Some(at) = open.pop() {
                for (edge, other) in self.edges_of(at) {
                    let is_effective =
                        self.is_active(edge) && self.edges[edge as usize].flags & SUPPRESSED == 0;
                    if is_effective && left.remove(&other) {
                        part.insert(other);
                        open.push(other);
                    }
                }
            }
            if part.iter().any(|member| self.fragment_of(*member).is_some()) {
                parts.push(part);
            }
        }
        parts
    }

    /// The origin of the oldest fragment of a part.
    pub(in crate::domain::graph) fn eldest(&self, part: &BTreeSet<NodeIndex>) -> Option<NodeIndex> {
        let with_fragment = part.iter().filter_map(|node| Some((*node, self.fragment_of(*node)?)));
        with_fragment.min_by_key(|(_, fragment)| self.age(*fragment)).map(|(node, _)| node)
    }

    /// What has to be kept apart so that nothing holds together by an identifier alone any more;
    /// `None` where nothing does. The graph is left as it was.
    pub fn parting_by_identifier(&mut self, node: NodeIndex) -> Option<Parting> {
        let parts = self.parts_by_showing(node);
        if parts.len() < 2 {
            return None;
        }
        let fragments = parts.iter().map(|part| self.fragments_in(part)).collect();
        let apart = match parts.len() > PAIRED {
            true => Separation::Parts(self.cut_by_identifier(node, &parts)),
            false => Separation::Pairs(self.pairs_by_identifier(node, &parts)),
        };
        Some(Parting { apart, parts: fragments })
    }

    fn fragments_in(&self, part: &BTreeSet<NodeIndex>) -> Vec<FragmentIndex> {
        self.by_age(part.iter().filter_map(|node| self.fragment_of(*node)).collect())
    }

    /// Tries it out. The graph is left as it was.
    fn pairs_by_identifier(&mut self, node: NodeIndex, parts: &[BTreeSet<NodeIndex>]) -> Vec<Pair> {
        let eldest: Vec<NodeIndex> = parts.iter().filter_map(|part| self.eldest(part)).collect();
        let mut apart: Vec<(NodeIndex, NodeIndex)> = Vec::new();
        let mut seeds: Vec<NodeIndex> = parts.iter().flatten().copied().collect();
        seeds.push(node);
        for (at, a) in eldest.iter().enumerate() {
            apart.extend(eldest[at + 1..].iter().map(|b| (*a, *b)));
        }
        apart.iter().for_each(|(a, b)| self.keep_apart(*a, *b, TRIAL));
        self.settle_around(&seeds);
        // The identifier stays with the part that showed it first. Where the order of edges would
        // have it, or what it links, elsewhere, it is kept apart from there too.
        loop {
            let strays = self.strays(node, &parts[1..]);
            if strays.is_empty() {
                break;
            }
            for stray in strays {
                self.keep_apart(node, stray, TRIAL);
                apart.push((node, stray));
            }
            self.settle_around(&seeds);
        }
        apart.iter().for_each(|(a, b)| self.let_together(*a, *b, TRIAL));
        self.settle_around(&seeds);
        let pair = |(a, b): (NodeIndex, NodeIndex)| (self.identifier_of(a), self.identifier_of(b));
        apart.into_iter().map(pair).collect()
    }

    /// Members of parts that are with a node which links them, by name.
    fn strays(&self, node: NodeIndex, parts: &[BTreeSet<NodeIndex>]) -> Vec<NodeIndex> {
        let home = self.cluster_of(node);
        let shown = self.edges_of(node).filter(|(edge, _)| self.is_evidence(*edge));
        let linked: BTreeSet<NodeIndex> = shown.map(|(_, other)| other).collect();
        let within = parts.iter().flatten().copied();
        let mut strays: Vec<NodeIndex> = within
            .filter(|member| linked.contains(member) && self.cluster_of(*member) == home)
            .collect();
        strays.sort_by_cached_key(|stray| self.name_of(*stray));
        strays
    }

    /// What has to be kept apart so that a fragment is alone; `None` where it is.
    pub fn parting_of_fragment(&self, fragment: FragmentIndex) -> Option<Parting> {
        let mut others = self.fragments_of(self.lead(fragment));
        others.retain(|other| *other != fragment);
        if others.is_empty() {
            return None;
        }
        let name = |one: FragmentIndex| self.identifier_of(self.fragments[one as usize].node);
        let own = name(fragment);
        let names = others.iter().map(|other| name(*other));
        let apart = match others.len() > PAIRED {
            true => Separation::Parts(vec![vec![own], names.collect()]),
            false => Separation::Pairs(names.map(|other| (own.clone(), other)).collect()),
        };
        Some(Parting { apart, parts: vec![vec![fragment], others] })
    }

    /// Lays the cannot-links of an unmerge.
    pub fn part(&mut self, links: &[Link]) -> Unmerged {
        let mut disturbed = Disturbed::default();
        for Link { number, a, b, .. } in links {
            let (a, b) = (self.end(a, &mut disturbed), self.end(b, &mut disturbed));
            self.keep_apart(a, b, *number);
            disturbed.seeds.extend([a, b]);
        }
        let ends = disturbed.seeds.clone();
        let effects = self.settle(disturbed, None, &mut Before::default(), false);
        let leads: BTreeSet<FragmentIndex> =
            ends.iter().filter_map(|end| self.lead_of_node(*end)).collect();
        Unmerged { profiles: self.by_age(leads), effects }
    }

    fn settle_around(&mut self, seeds: &[NodeIndex]) {
        let disturbed = Disturbed { seeds: seeds.iter().copied().collect(), ..Default::default() };
        self.settle(disturbed, None, &mut Before::default(), false);
    }

    pub(in crate::domain::graph) fn by_age(
        &self,
        leads: BTreeSet<FragmentIndex>,
    ) -> Vec<FragmentIndex> {
        let mut leads: Vec<FragmentIndex> = leads.into_iter().collect();
        leads.sort_unstable_by_key(|lead| self.age(*lead));
        leads
    }
}
