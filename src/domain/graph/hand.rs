//! What operators do to the evidence: must-links, cannot-links, withdrawals, unmerges.
//!
//! None of it touches a fragment. Each act changes the evidence, and the clusters follow.

use super::evidence::Showing;
use super::observe::{Before, Disturbed, Effects};
use super::row::{CHOSEN, IN_SESSION, LINK, MUST, SEEN, SUPPRESSED};
use super::{FragmentIndex, Graph, NONE, NodeIndex, SESSION};
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

/// What an unmerge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmerged {
    /// The cannot-links that were laid, by number.
    pub links: Vec<Link>,
    /// The profiles that there are now in the place of the one.
    pub profiles: Vec<FragmentIndex>,
    /// What follows for the profiles.
    pub effects: Effects,
}

impl Graph {
    /// The node of an end of a link; made if it was never seen.
    fn end(&mut self, identifier: &Identifier, disturbed: &mut Disturbed) -> NodeIndex {
        let kind = match &*identifier.kind {
            "session" if self.types.find("session").is_none() => SESSION,
            kind => self.type_number(kind),
        };
        self.identifier_node(kind, &identifier.value, &mut disturbed.fresh)
    }

    /// An end of a link as an operator would write it.
    fn identifier_of(&self, node: NodeIndex) -> Identifier {
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
            for (node, other) in [(a, b), (b, a)] {
                if let Some(all) = self.apart.get_mut(&node) {
                    all.retain(|known| *known != (other, link.number));
                    if all.is_empty() {
                        self.apart.remove(&node);
                    }
                }
            }
            self.dirty.apart = true;
        }
        self.settle(disturbed, None, &mut Before::default(), false)
    }

    /// Withdraws what events showed of an identifier on its present profile.
    pub fn withdraw_identifier(&mut self, node: NodeIndex) -> Effects {
        let mut disturbed = Disturbed::default();
        let cluster = self.cluster_of(node);
        disturbed.seeds.extend(self.members(cluster));
        let own: Vec<(u32, NodeIndex)> =
            self.edges_of(node).filter(|(_, other)| self.cluster_of(*other) == cluster).collect();
        for (edge, other) in own {
            let was_in_session = self.edges[edge as usize].flags & IN_SESSION != 0;
            self.withdraw(edge, LINK | SEEN | IN_SESSION | CHOSEN);
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
    pub(super) fn parts_without(&self, node: NodeIndex) -> Vec<BTreeSet<NodeIndex>> {
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
    pub(super) fn eldest(&self, part: &BTreeSet<NodeIndex>) -> Option<NodeIndex> {
        let with_fragment = part.iter().filter_map(|node| Some((*node, self.fragment_of(*node)?)));
        with_fragment.min_by_key(|(_, fragment)| self.age(*fragment)).map(|(node, _)| node)
    }

    /// When a part showed a node first, by event time; ties go to the smaller name.
    pub(super) fn first_shown(
        &self,
        node: NodeIndex,
        part: &BTreeSet<NodeIndex>,
    ) -> (Timestamp, String) {
        let edges = self.edges_of(node).filter(|(_, other)| part.contains(other));
        let shown = edges
            .map(|(edge, other)| (self.edges[edge as usize].first_at.get(), self.name_of(other)));
        shown.min().unwrap_or((crate::domain::time::MAX, String::new()))
    }

    /// Takes apart what holds together by an identifier alone. `numbers` gives the links theirs.
    /// `None` where nothing does.
    pub fn unmerge_identifier(
        &mut self,
        node: NodeIndex,
        numbers: &mut dyn FnMut() -> u64,
    ) -> Option<Unmerged> {
        let mut parts = self.parts_without(node);
        if parts.len() < 2 {
            return None;
        }
        parts.sort_by_cached_key(|part| self.first_shown(node, part));
        let eldest: Vec<NodeIndex> = parts.iter().filter_map(|part| self.eldest(part)).collect();
        let mut laid = Vec::new();
        let mut seeds: Vec<NodeIndex> = parts.iter().flatten().copied().collect();
        seeds.push(node);
        for (at, a) in eldest.iter().enumerate() {
            for b in &eldest[at + 1..] {
                laid.push(self.lay_apart(*a, *b, numbers()));
            }
        }
        let mut before = Before::default();
        let mut effects = self.settle_around(&seeds, &mut before);
        // The identifier stays with the part that showed it first. Where the order of edges would
        // have it, or what it links, elsewhere, it is kept apart from there too.
        loop {
            let strays = self.strays(node, &parts[1..]);
            if strays.is_empty() {
                break;
            }
            for stray in strays {
                laid.push(self.lay_apart(node, stray, numbers()));
            }
            effects = self.settle_around(&seeds, &mut before);
        }
        let leads: BTreeSet<FragmentIndex> =
            eldest.iter().filter_map(|one| self.lead_of_node(*one)).collect();
        Some(Unmerged { links: laid, profiles: self.by_age(leads), effects })
    }

    /// Members of parts that are with a node which links them, by name.
    fn strays(&self, node: NodeIndex, parts: &[BTreeSet<NodeIndex>]) -> Vec<NodeIndex> {
        let home = self.cluster_of(node);
        let linked: BTreeSet<NodeIndex> = self.edges_of(node).map(|(_, other)| other).collect();
        let within = parts.iter().flatten().copied();
        let mut strays: Vec<NodeIndex> = within
            .filter(|member| linked.contains(member) && self.cluster_of(*member) == home)
            .collect();
        strays.sort_by_cached_key(|stray| self.name_of(*stray));
        strays
    }

    /// Takes one fragment out of its profile. `None` where it is alone.
    pub fn unmerge_fragment(
        &mut self,
        fragment: FragmentIndex,
        numbers: &mut dyn FnMut() -> u64,
    ) -> Option<Unmerged> {
        let own = self.fragments[fragment as usize].node;
        let others: Vec<NodeIndex> = self
            .fragments_of(self.lead(fragment))
            .into_iter()
            .map(|other| self.fragments[other as usize].node)
            .filter(|node| *node != own)
            .collect();
        if others.is_empty() {
            return None;
        }
        let laid = others.iter().map(|other| self.lay_apart(own, *other, numbers())).collect();
        let mut seeds = others.clone();
        seeds.push(own);
        let effects = self.settle_around(&seeds, &mut Before::default());
        let leads: BTreeSet<FragmentIndex> =
            seeds.iter().filter_map(|one| self.lead_of_node(*one)).collect();
        Some(Unmerged { links: laid, profiles: self.by_age(leads), effects })
    }

    fn lay_apart(&mut self, a: NodeIndex, b: NodeIndex, number: u64) -> Link {
        self.keep_apart(a, b, number);
        Link { number, joins: false, a: self.identifier_of(a), b: self.identifier_of(b) }
    }

    fn settle_around(&mut self, seeds: &[NodeIndex], before: &mut Before) -> Effects {
        let disturbed = Disturbed { seeds: seeds.iter().copied().collect(), ..Default::default() };
        self.settle(disturbed, None, before, false)
    }

    fn by_age(&self, leads: BTreeSet<FragmentIndex>) -> Vec<FragmentIndex> {
        let mut leads: Vec<FragmentIndex> = leads.into_iter().filter(|one| *one != NONE).collect();
        leads.sort_unstable_by_key(|lead| self.age(*lead));
        leads
    }
}
