//! A graph that is resolved again takes the fragments of the one before over: who had an id keeps
//! it, wherever its events belong now.

use crate::domain::graph::ids::{ClusterIndex, FragmentIndex, NONE, NodeIndex};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::heirs::{Ancestry, Heirs};
use crate::domain::graph::tables::row::{Birth, ShortSequence};
use crate::domain::id::Sequence;

impl Graph {
    /// The fragments from number `from` on, at most `count`.
    pub fn ancestry(&self, from: usize, count: usize) -> Ancestry {
        let upto = self.fragments.len().min(from.saturating_add(count));
        let mut all = Ancestry::default();
        for at in from..upto {
            let birth = Birth::from(&self.fragments[at]);
            let begin = all.names.len();
            if self.fragment_of_birth(at as FragmentIndex) {
                all.names.push_str(self.types.name(self.nodes[birth.node as usize].kind));
                all.names.push(':');
                all.names.push_str(self.text(birth.node));
            }
            all.origins.push(begin..all.names.len());
            all.births.push(birth);
        }
        all
    }

    /// The node of an origin as an [`Ancestry`] names it.
    fn origin_named(&self, name: &str) -> Option<NodeIndex> {
        let (kind, text) = name.split_once(':')?;
        self.find(self.types.find(kind)?, text)
    }

    /// Takes fragments over, behind those taken before and ahead of those made since.
    ///
    /// New ones are of `generation`; the record that makes them is named at the end.
    pub fn inherit(&mut self, ancestry: Ancestry, generation: u16) {
        let mut heirs = self.heirs.take().unwrap_or_default();
        self.later = Some((generation, Sequence::MAX));
        let (from, more) = (heirs.taken, ancestry.births.len());
        self.make_room(from, more);
        let since = self.fragments.split_off(from);
        for (at, (birth, origin)) in ancestry.births.iter().zip(ancestry.origins()).enumerate() {
            let fragment = (from + at) as FragmentIndex;
            if !origin.is_empty() {
                heirs.by_origin.insert(origin.into(), fragment);
            }
            heirs.by_event.entry(birth.sequence).or_default().push(fragment);
            if birth.generation > 0 {
                self.later_born.insert((birth.sequence, birth.generation), fragment);
            }
            self.fragments.push(Birth { node: NONE, ..*birth }.into());
            self.dirty.mark(Touched::Fragment(fragment));
        }
        self.fragments.extend(since);
        heirs.taken += more;
        self.heirs = Some(heirs);
    }

    /// Whether fragments came too late to be taken over: their origin, or the event that made them,
    /// was met already (events up to `read`), and another fragment was made.
    pub fn is_too_late_for(&self, more: &Ancestry, read: Sequence) -> bool {
        let taken = self.heirs.as_ref().map_or(0, |heirs| heirs.taken);
        let is_made = |origin: &str| {
            let made = self.origin_named(origin).and_then(|node| self.fragment_of(node));
            made.is_some_and(|fragment| fragment as usize >= taken)
        };
        more.births.iter().any(|birth| birth.sequence <= read) || more.origins().any(is_made)
    }

    /// Renumbers the fragments from `from` on by `more` places. Each is the fragment of its origin,
    /// and may lead that one's cluster; from the last to the first, none is met a second time.
    fn make_room(&mut self, from: usize, more: usize) {
        if more == 0 {
            return;
        }
        let more = more as FragmentIndex;
        for fragment in (from as FragmentIndex..self.fragments.len() as FragmentIndex).rev() {
            let node = self.fragments[fragment as usize].node;
            if self.fragment_of_birth(fragment) {
                self.nodes[node as usize].fragment += more;
                let cluster = self.cluster_of(node) as usize;
                if self.clusters[cluster].lead == fragment {
                    self.clusters[cluster].lead += more;
                }
            }
        }
        for fragment in self.later_born.values_mut() {
            if *fragment as usize >= from {
                *fragment += more;
            }
        }
    }

    /// The fragment that an origin had before, which it takes over now.
    pub(in crate::domain::graph) fn heir(&mut self, origin: NodeIndex) -> Option<FragmentIndex> {
        let heirs = self.heirs.as_ref()?;
        let kind = self.types.name(self.nodes[origin as usize].kind);
        let fragment = *heirs.by_origin.get([kind, self.text(origin)].join(":").as_str())?;
        self.fragments[fragment as usize].node = origin;
        Some(fragment)
    }

    /// From now on events make fragments at a later record than their own: `(generation, record)`
    /// is theirs then. `None` ends it.
    pub fn make_later(&mut self, later: Option<(u16, Sequence)>) {
        self.later = later;
    }

    /// Lets the fragments that this event made once follow it.
    pub(in crate::domain::graph) fn follow(&mut self, sequence: Sequence, origin: NodeIndex) {
        let Some(heirs) = &self.heirs else { return };
        for fragment in heirs.by_event.get(&sequence).into_iter().flatten() {
            let birth = &mut self.fragments[*fragment as usize];
            if birth.node == NONE {
                birth.node = origin;
            }
        }
    }

    /// Ends the taking over: what was made again was made by the record at `made_at`. Returns what is
    /// needed no more, as dropping it takes long.
    #[must_use = "dropping it takes long"]
    pub fn close_inheritance(&mut self, made_at: Sequence) -> Option<Heirs> {
        let heirs = self.heirs.take();
        let taken = heirs.as_ref().map_or(0, |heirs| heirs.taken);
        self.later = None;
        for birth in self.fragments.iter_mut().skip(taken) {
            birth.made_at = ShortSequence::of(made_at);
        }
        // Ages have changed for the new ones, and so may the leaders of the clusters that hold one.
        let made = taken as FragmentIndex..self.fragments.len() as FragmentIndex;
        let made = made.filter(|fragment| self.fragment_of_birth(*fragment));
        let cluster =
            |fragment: FragmentIndex| self.cluster_of(self.fragments[fragment as usize].node);
        let mut changed: Vec<ClusterIndex> = made.map(cluster).collect();
        changed.sort_unstable();
        changed.dedup();
        for at in changed {
            let fragments = self.members(at).filter_map(|node| self.fragment_of(node));
            let lead = fragments.fold(NONE, |oldest, fragment| self.older(oldest, fragment));
            self.clusters[at as usize].lead = lead;
        }
        heirs
    }

    /// The profile that holds a fragment; [`NONE`] for one that holds no events of its own.
    pub fn holder(&self, fragment: FragmentIndex) -> FragmentIndex {
        if self.fragment_of_birth(fragment) { self.lead(fragment) } else { NONE }
    }

    /// The profile that holds each fragment, as [`Graph::holder`] has it.
    pub fn holders(&self) -> Vec<FragmentIndex> {
        (0..self.fragments.len() as FragmentIndex).map(|fragment| self.holder(fragment)).collect()
    }

    /// How many identifiers the cap counts on a profile.
    pub fn cluster_size(&self, lead: FragmentIndex) -> usize {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        self.clusters[cluster as usize].counted as usize
    }

    /// The fragments that another profile holds now, given who held each [before](Graph::holder), and
    /// those that only follow their first event: who holds them may change without their moving.
    pub fn differing(&self, holders: &[FragmentIndex]) -> Vec<FragmentIndex> {
        let held = (0..).zip(holders).filter(|(_, then)| **then != NONE);
        let differs = held.filter(|(fragment, then)| {
            let now = self.living_lead(*fragment);
            now.is_some_and(|now| now != **then || !self.fragment_of_birth(*fragment))
        });
        differs.map(|(fragment, _)| fragment).collect()
    }

    /// Which profile held each of these fragments in `before`, where it is another one now: for the
    /// change log of a re-resolution.
    pub fn compare_with(
        &self,
        before: &Graph,
        fragments: impl Iterator<Item = FragmentIndex>,
    ) -> crate::domain::graph::effects::Effects {
        let mut noted = crate::domain::graph::effects::Before::default();
        for fragment in fragments {
            if let (Some(then), Some(now)) =
                (before.living_lead(fragment), self.living_lead(fragment))
                && then != now
                && before.fragment_of_birth(fragment)
            {
                noted.note(fragment, then);
            }
        }
        self.compare(&noted, None, true)
    }

    fn fragment_of_birth(&self, fragment: FragmentIndex) -> bool {
        let node = self.fragments[fragment as usize].node;
        node != NONE && self.fragment_of(node) == Some(fragment)
    }
}
