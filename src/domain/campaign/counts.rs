//! How often something happened lately: the newest times per event type, of each fragment.
//!
//! Conditions such as "at most 0 purchases within 30 days" ask whether a count reaches some number
//! n. For that, the n + 1 newest times of the type decide exactly, whatever the window; so only some
//! more are kept ([`Counted`] says how many), and counts over several fragments add up to an exact
//! answer as well. Times are event times, so the order of arrival does not matter. What is more
//! lets a late event ask how it was when it occurred: exactly, unless more than [`LATER`] events of
//! the type have occurred since.

use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Newest times that are kept beside those that decide at present.
const LATER: usize = 64;

/// Which event types conditions count within a time, and how many newest times of each decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    kinds: BTreeMap<Box<str>, usize>,
    revision: u64,
}

impl Counted {
    /// Asks for the `keep` newest times of an event type.
    pub(super) fn want(&mut self, kind: &str, keep: usize) {
        let kept = self.kinds.entry(kind.into()).or_default();
        *kept = keep.saturating_add(LATER).max(*kept);
        let mut hasher = blake3::Hasher::new();
        for (kind, keep) in &self.kinds {
            hasher.update(kind.as_bytes());
            hasher.update(&[0]);
            hasher.update(&(*keep as u64).to_le_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        self.revision = u64::from_le_bytes(first);
    }

    /// Whether events of this type are counted.
    pub fn counts(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }
}

/// The newest event times of the counted types, of one fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentCounts {
    /// Which [`Counted`] they were kept for; 0 is the empty one.
    revision: u64,
    /// Per event type the newest times, ascending.
    times: Vec<(Box<str>, Vec<Timestamp>)>,
}

impl RecentCounts {
    /// Whether they were kept for what is counted now; otherwise [`Self::refill`] them before
    /// conditions are judged.
    pub fn is_current(&self, counted: &Counted) -> bool {
        self.revision == counted.revision
    }

    /// Takes note of one event of the fragment; one that is not counted, or comes while they are
    /// not current, leaves them as they are.
    pub fn feed(&mut self, counted: &Counted, kind: &str, occurred_at: Timestamp) {
        if self.is_current(counted)
            && let Some(keep) = counted.kinds.get(kind)
        {
            self.keep(kind, *keep, occurred_at);
        }
    }

    /// Begins again from all events of the fragment, given as type and event time in any order. A
    /// fragment without events of a counted type needs none.
    pub fn refill<'a>(
        &mut self,
        counted: &Counted,
        events: impl Iterator<Item = (&'a str, Timestamp)>,
    ) {
        *self = Self { revision: counted.revision, times: Vec::new() };
        for (kind, occurred_at) in events {
            self.feed(counted, kind, occurred_at);
        }
    }

    /// How many of the kept events of this type occurred later than `after`, `until` at the latest.
    pub fn within(&self, kind: &str, after: Timestamp, until: Timestamp) -> usize {
        let found = self.times.iter().find(|(known, _)| known.as_ref() == kind);
        let upto = |end, times: &[Timestamp]| times.partition_point(|at| *at <= end);
        found.map_or(0, |(_, times)| upto(until, times).saturating_sub(upto(after, times)))
    }

    fn keep(&mut self, kind: &str, keep: usize, at: Timestamp) {
        let place = match self.times.iter().position(|(known, _)| known.as_ref() == kind) {
            Some(place) => place,
            None => {
                self.times.push((kind.into(), Vec::new()));
                self.times.sort();
                self.times.iter().position(|(known, _)| known.as_ref() == kind).unwrap_or(0)
            }
        };
        let times = &mut self.times[place].1;
        times.insert(times.partition_point(|known| *known <= at), at);
        if times.len() > keep {
            times.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(keep: usize) -> Counted {
        let mut counted = Counted::default();
        counted.want("a", keep);
        counted
    }

    fn filled(counted: &Counted, times: &[i64]) -> RecentCounts {
        let mut counts = RecentCounts::default();
        counts.refill(counted, times.iter().map(|at| ("a", Timestamp(*at))));
        counts
    }

    #[test]
    fn what_is_not_counted_costs_nothing() {
        let mut counts = RecentCounts::default();
        assert!(counts.is_current(&Counted::default()));
        assert!(!counts.is_current(&counted(2)));
        counts.feed(&counted(2), "a", Timestamp(1));
        assert_eq!(counts, RecentCounts::default());
        counts = filled(&counted(2), &[]);
        counts.feed(&counted(2), "b", Timestamp(1));
        assert!(counts.times.is_empty() && counts.is_current(&counted(2)));
    }

    proptest! {
        #[test]
        fn a_bounded_memory_answers_whether_a_count_is_reached(
            left in prop::collection::vec(0i64..50, 0..20),
            right in prop::collection::vec(0i64..50, 0..20),
            after in 0i64..50,
            reached in 0usize..6,
        ) {
            let counted = counted(reached + 1);
            let after = Timestamp(after);
            let exact = left.iter().chain(&right).filter(|at| **at > after.0).count();
            let (a, b) = (filled(&counted, &left), filled(&counted, &right));
            let within = |counts: &RecentCounts| counts.within("a", after, Timestamp(50));
            let seen = within(&a) + within(&b);
            prop_assert_eq!(seen >= reached, exact >= reached);
            prop_assert_eq!(seen <= reached, exact <= reached);
            prop_assert_eq!(seen == reached, exact == reached);
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(mut times in prop::collection::vec(0i64..50, 0..20)) {
            let counted = counted(3);
            let one = filled(&counted, &times);
            times.reverse();
            prop_assert_eq!(one, filled(&counted, &times));
        }
    }
}
