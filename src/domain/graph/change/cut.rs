//! Cuts: what an unmerge of many takes apart, as one partition instead of a cannot-link between each
//! two. Of the identifiers of a cut, no two of different parts may be one person.

use crate::domain::graph::change::operators::Unmerged;
use crate::domain::graph::effects::{Before, Disturbed, Effects};
use crate::domain::graph::ids::{FragmentIndex, NodeIndex};
use crate::domain::graph::tables::cuts::are_apart;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::id::Identifier;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// A cut by names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its number, among those of links.
    pub number: u64,
    /// Its parts.
    pub parts: Vec<Vec<Identifier>>,
}

impl Graph {
    /// Lays a cut.
    pub fn cut(&mut self, cut: &Cut) -> Unmerged {
        let mut disturbed = Disturbed::default();
        for (part, identifiers) in (0..).zip(&cut.parts) {
            for identifier in identifiers {
                let node = self.end(identifier, &mut disturbed);
                self.put_in_part(node, (cut.number, part));
                disturbed.seeds.push(node);
            }
        }
        let ends = disturbed.seeds.clone();
        let effects = self.settle(disturbed, None, &mut Before::default(), false);
        let leads: BTreeSet<FragmentIndex> =
            ends.iter().filter_map(|end| self.lead_of_node(*end)).collect();
        Unmerged { profiles: self.by_age(leads), effects }
    }

    /// Notes a cut that was laid before the graph was written.
    pub fn restore_cut(&mut self, cut: &Cut) {
        for (part, identifiers) in (0..).zip(&cut.parts) {
            for node in identifiers.iter().filter_map(|one| self.named(one)).collect::<Vec<_>>() {
                self.put_in_part(node, (cut.number, part));
            }
        }
    }

    fn put_in_part(&mut self, node: NodeIndex, place: (u64, u32)) {
        let places = self.cuts.entry(node).or_default();
        // What is in two parts of one cut would be apart from itself.
        if places.iter().all(|known| known.0 != place.0) {
            places.push(place);
        }
    }

    /// Lifts a cut.
    pub fn lift_cut(&mut self, number: u64) -> Effects {
        let mut disturbed = Disturbed::default();
        self.cuts.retain(|node, places| {
            let before = places.len();
            places.retain(|place| place.0 != number);
            if places.len() < before {
                disturbed.seeds.push(*node);
            }
            !places.is_empty()
        });
        self.settle(disturbed, None, &mut Before::default(), false)
    }

    /// The cuts that a node is in.
    pub(in crate::domain::graph) fn places_of(&self, node: NodeIndex) -> &[(u64, u32)] {
        self.cuts.get(&node).map_or(&[], SmallVec::as_slice)
    }

    /// Whether a cut keeps two nodes apart.
    pub(in crate::domain::graph) fn are_cut(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let others = self.places_of(b);
        self.places_of(a).iter().any(|one| others.iter().any(|other| are_apart(*one, *other)))
    }

    /// The parts into which a profile falls without an identifier, that which showed it first ahead:
    /// of each the origin of its oldest fragment, what showed the identifier, and all fragments.
    /// With the first goes the identifier itself.
    pub(in crate::domain::graph) fn parts_by_showing(
        &self,
        node: NodeIndex,
    ) -> Vec<BTreeSet<NodeIndex>> {
        let parts = self.parts_without(node);
        let mut part_of: HashMap<NodeIndex, usize, foldhash::fast::FixedState> = HashMap::default();
        for (at, part) in parts.iter().enumerate() {
            part_of.extend(part.iter().map(|member| (*member, at)));
        }
        // One walk over the identifier's evidence, of which there may be as much as there are parts.
        let never = (crate::domain::time::MAX, String::new());
        let mut shown = vec![never; parts.len()];
        for (edge, other) in self.edges_of(node) {
            let Some(at) = part_of.get(&other).filter(|_| self.is_evidence(edge)) else { continue };
            let showing = (self.edges[edge as usize].first_at.get(), self.name_of(other));
            let first = &mut shown[*at];
            if *first == (crate::domain::time::MAX, String::new()) || showing < *first {
                *first = showing;
            }
        }
        let mut ordered: Vec<_> = shown.into_iter().zip(parts).collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        ordered.into_iter().map(|(_, part)| part).collect()
    }

    /// The cut that keeps apart what holds together by an identifier alone. The identifier goes with
    /// the part that showed it first; with each other part goes all that showed it there, or the
    /// identifier could be joined to that instead.
    pub(in crate::domain::graph) fn cut_by_identifier(
        &self,
        node: NodeIndex,
        parts: &[BTreeSet<NodeIndex>],
    ) -> Vec<Vec<Identifier>> {
        let shown = self.edges_of(node).filter(|(edge, _)| self.is_evidence(*edge));
        let linked: BTreeSet<NodeIndex> = shown.map(|(_, other)| other).collect();
        let mut cut = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let mut own: BTreeSet<NodeIndex> = self.eldest(part).into_iter().collect();
            match at {
                0 => drop(own.insert(node)),
                _ => own.extend(part.intersection(&linked)),
            }
            cut.push(own.into_iter().map(|one| self.identifier_of(one)).collect());
        }
        cut
    }
}
