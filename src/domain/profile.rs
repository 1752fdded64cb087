//! A profile's values: the fold of its fragments, and its part in the state digest.

use crate::domain::fold::Cell;
use crate::domain::fragment::Fragment;
use crate::domain::graph::{ClusterView, IdentifierStatus};
use crate::domain::time::{MAX, MIN, Timestamp};
use std::collections::BTreeMap;

/// What the fragments of one profile come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Trait cells by name.
    pub traits: BTreeMap<Box<str>, Cell>,
    /// All events.
    pub events: u64,
    /// Events by type; where a fragment has more types than it counts, only up to the last type that
    /// all of them count, so that each number is the whole one.
    pub by_type: BTreeMap<Box<str>, u64>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// The sum of the content hashes of all events.
    pub content: u128,
    /// The last type that all of its fragments count, where some have more types than they count.
    counted_up_to: Option<Box<str>>,
}

impl Folded {
    /// Folds fragments, in whatever order.
    pub fn new<'a>(fragments: impl Iterator<Item = &'a Fragment>, set_values: u32) -> Self {
        let mut folded = Self {
            traits: BTreeMap::new(),
            events: 0,
            by_type: BTreeMap::new(),
            first_seen: MAX,
            last_seen: MIN,
            content: 0,
            counted_up_to: None,
        };
        for fragment in fragments.filter(|fragment| fragment.events > 0) {
            folded.count_up_to(fragment.counted_up_to());
            folded.events += fragment.events;
            folded.first_seen = folded.first_seen.min(fragment.first_seen);
            folded.last_seen = folded.last_seen.max(fragment.last_seen);
            folded.content = folded.content.wrapping_add(fragment.content);
            let kinds = fragment.by_type.iter().map(|(kind, count)| (kind, *count));
            let traits = fragment.traits.iter().map(|(name, cell)| (name, cell));
            folded.add(kinds, traits, set_values);
        }
        folded.forget_uncounted();
        folded
    }

    fn count_up_to(&mut self, last: Option<&str>) {
        let Some(last) = last else { return };
        if self.counted_up_to.as_deref().is_none_or(|known| last < known) {
            self.counted_up_to = Some(last.into());
        }
    }

    fn forget_uncounted(&mut self) {
        if let Some(last) = &self.counted_up_to {
            self.by_type.retain(|kind, _| kind <= last);
        }
    }

    fn add<'a>(
        &mut self,
        kinds: impl Iterator<Item = (&'a Box<str>, u64)>,
        traits: impl Iterator<Item = (&'a Box<str>, &'a Cell)>,
        set_values: u32,
    ) {
        for (kind, count) in kinds {
            *self.by_type.entry(kind.clone()).or_default() += count;
        }
        for (name, cell) in traits {
            match self.traits.get_mut(name) {
                Some(known) => known.join(cell, set_values),
                None => {
                    self.traits.insert(name.clone(), cell.clone());
                }
            }
        }
    }

    /// Joins what other fragments come to.
    pub fn join(&mut self, other: &Self, set_values: u32) {
        self.events += other.events;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.content = self.content.wrapping_add(other.content);
        let kinds = other.by_type.iter().map(|(kind, count)| (kind, *count));
        self.add(kinds, other.traits.iter(), set_values);
        self.count_up_to(other.counted_up_to.as_deref());
        self.forget_uncounted();
    }

    /// The profile's part in the state digest: origins, effective identifiers, traits, counters and
    /// event contents; neither minted ids, nor times, nor spellings.
    pub fn digest(&self, cluster: &ClusterView) -> u128 {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        let mut origins: Vec<&str> =
            cluster.fragments.iter().map(|(_, origin)| origin.as_str()).collect();
        origins.sort_unstable();
        for origin in origins {
            part(origin);
        }
        part("identifiers");
        for one in
            cluster.identifiers.iter().filter(|one| one.status == IdentifierStatus::Effective)
        {
            part(&one.kind);
            part(&one.value);
        }
        part("traits");
        for (name, cell) in &self.traits {
            part(name);
            part(&cell.json());
        }
        part("events");
        for (kind, count) in &self.by_type {
            part(kind);
            part(&count.to_string());
        }
        hasher.update(&self.content.to_le_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        u128::from_le_bytes(first)
    }
}
