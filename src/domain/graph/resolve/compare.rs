//! From clusters before and after to what profiles have to do about it.

use crate::domain::graph::effects::{Before, Change, ChangeKind, Effects, Move};
use crate::domain::graph::ids::FragmentIndex;
use crate::domain::graph::tables::graph::Graph;
use std::collections::{BTreeMap, BTreeSet};

impl Graph {
    /// The moves and changes between `before` and now; `fragment` is the one whose event it was,
    /// and the merge of its profile is the one that is told as such.
    /// With `all`, every merge is told as one: it was no event that caused them.
    pub(in crate::domain::graph) fn compare(
        &self,
        before: &Before,
        fragment: Option<FragmentIndex>,
        all: bool,
    ) -> Effects {
        let mut moves: Vec<Move> = before
            .leads
            .iter()
            .map(|(fragment, from)| Move {
                fragment: *fragment,
                from: *from,
                to: self.lead(*fragment),
            })
            .filter(|one| one.from != one.to)
            .collect();
        moves.sort_unstable_by_key(|one| one.fragment);
        if moves.is_empty() {
            return Effects::default();
        }
        let was = |fragment: FragmentIndex| {
            before.leads.get(&fragment).copied().unwrap_or_else(|| self.lead(fragment))
        };
        let mut changes = self.partings(&moves, &was);
        changes.extend(self.merges(&moves, &was, fragment, all));
        Effects { moves, changes }
    }

    /// Profiles of which a part became a profile of its own.
    fn partings(
        &self,
        moves: &[Move],
        was: &dyn Fn(FragmentIndex) -> FragmentIndex,
    ) -> Vec<Change> {
        let mut parts: BTreeMap<FragmentIndex, BTreeSet<FragmentIndex>> = BTreeMap::new();
        for one in moves.iter().filter(|one| was(one.to) == one.from) {
            if Some(one.to) != self.living_lead(one.from) {
                parts.entry(one.from).or_default().insert(one.to);
            }
        }
        parts.into_iter().flat_map(|(from, others)| self.parting(from, others)).collect()
    }

    /// What became of the profile that `from` led. Where a re-resolution has set all events of that
    /// fragment aside, the oldest of the others stands for it.
    fn parting(&self, from: FragmentIndex, mut others: BTreeSet<FragmentIndex>) -> Vec<Change> {
        let change = |kind, profile, others: Vec<FragmentIndex>| Change {
            kind,
            profile: Some(profile),
            others,
            identifier: None,
            reason: None,
        };
        let mut changes = Vec::new();
        let kept = self.living_lead(from).or_else(|| {
            let oldest = others.iter().copied().min_by_key(|one| self.age(*one))?;
            others.remove(&oldest);
            changes.push(change(ChangeKind::Merge, oldest, vec![from]));
            Some(oldest)
        });
        if let Some(kept) = kept.filter(|_| !others.is_empty()) {
            changes.push(change(ChangeKind::Unmerge, kept, others.into_iter().collect()));
        }
        changes
    }

    /// Profiles that others joined. Each joiner is named by its old id, or, where only a part of
    /// it came, by the oldest fragment of that part.
    fn merges(
        &self,
        moves: &[Move],
        was: &dyn Fn(FragmentIndex) -> FragmentIndex,
        fragment: Option<FragmentIndex>,
        all: bool,
    ) -> Vec<Change> {
        let mut joined: BTreeMap<FragmentIndex, BTreeMap<FragmentIndex, FragmentIndex>> =
            BTreeMap::new();
        for one in moves.iter().filter(|one| was(one.to) != one.from) {
            let is_whole = self.living_lead(one.from) == Some(one.to);
            let name = if is_whole { one.from } else { one.fragment };
            joined.entry(one.to).or_default().entry(one.from).or_insert(name);
        }
        let own = fragment.map(|fragment| self.lead(fragment));
        let told = own.filter(|own| joined.contains_key(own)).or(joined.keys().next().copied());
        let change = |(into, from): (FragmentIndex, BTreeMap<FragmentIndex, FragmentIndex>)| {
            // One event makes one merge at most; whatever else joined is told from where it left.
            if all || Some(into) == told {
                let others = from.into_values().collect();
                return vec![Change {
                    kind: ChangeKind::Merge,
                    profile: Some(into),
                    others,
                    identifier: None,
                    reason: None,
                }];
            }
            let leave = |(left, name): (FragmentIndex, FragmentIndex)| Change {
                kind: ChangeKind::Unmerge,
                profile: self.living_lead(left),
                others: vec![name],
                identifier: None,
                reason: None,
            };
            from.into_iter().map(leave).collect()
        };
        joined.into_iter().flat_map(change).collect()
    }
}
