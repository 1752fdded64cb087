//! A fragment: all that is known under one origin. It only ever grows by its own events, so a
//! merge moves it whole and an unmerge moves it back.

use crate::domain::event::Event;
use crate::domain::fold::Cell;
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::domain::time::Timestamp;
use crate::domain::timeline::Timeline;

/// The state of one fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// How many events it holds.
    pub events: u64,
    /// Events by type, in the order of the type's name: the first `limits.event_types` of them.
    ///
    /// A type only ever falls behind as others come, so one that is counted was counted from its
    /// first event on, and what is left out does not depend on the order of arrival.
    pub by_type: Vec<(Box<str>, u64)>,
    /// The earliest event time; meaningless without events.
    pub first_seen: Timestamp,
    /// The latest event time.
    pub last_seen: Timestamp,
    /// The sum of its events' content hashes, for the state digest.
    pub content: u128,
    /// Trait cells, in the order of the trait's name.
    pub traits: Vec<(Box<str>, Cell)>,
    /// Which events, by sequence.
    pub timeline: Timeline,
}

impl Fragment {
    /// Applies one event that belongs to this fragment; `content` is [`content_hash`] of it.
    /// Returns whether its type is counted.
    pub fn apply(
        &mut self,
        sequence: Sequence,
        event: &Event,
        content: u128,
        rules: &Rules,
    ) -> bool {
        if self.events == 0 {
            (self.first_seen, self.last_seen) = (event.occurred_at, event.occurred_at);
        }
        self.first_seen = self.first_seen.min(event.occurred_at);
        self.last_seen = self.last_seen.max(event.occurred_at);
        self.events += 1;
        self.content = self.content.wrapping_add(content);
        let is_counted = self.count(&event.kind, rules.limits.event_types as usize);
        for value in &event.traits {
            let fold = rules.fold(&value.name);
            if let Some(cell) = Cell::new(fold, event.occurred_at, event.timing, &value.json) {
                self.join_trait(&value.name, cell, rules.limits.set_values);
            }
        }
        self.timeline.push(sequence);
        is_counted
    }

    fn count(&mut self, kind: &str, types_max: usize) -> bool {
        match self.by_type.binary_search_by(|(known, _)| known.as_ref().cmp(kind)) {
            Ok(at) => self.by_type[at].1 += 1,
            Err(at) if at >= types_max => return false,
            Err(at) => {
                self.by_type.insert(at, (kind.into(), 1));
                self.by_type.truncate(types_max);
            }
        }
        true
    }

    /// The last type up to which every event is counted by its type; none where all are.
    pub fn counted_up_to(&self) -> Option<&str> {
        let counted: u64 = self.by_type.iter().map(|(_, count)| count).sum();
        let last = || self.by_type.last().map_or("", |(kind, _)| kind);
        (counted < self.events).then(last)
    }

    fn join_trait(&mut self, name: &str, cell: Cell, set_values: u32) {
        match self.traits.binary_search_by(|(known, _)| known.as_ref().cmp(name)) {
            Ok(at) => self.traits[at].1.join(&cell, set_values),
            Err(at) => self.traits.insert(at, (name.into(), cell)),
        }
    }
}

/// A hash of what an event says: type, source, session and payload, but neither ids nor times of
/// ours. Sums of it do not depend on the order of arrival.
pub fn content_hash(event: &Event) -> u128 {
    use crate::domain::event::{Payload, Standing};
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(event.source.as_bytes());
    part(event.kind.as_bytes());
    part(event.session.as_deref().unwrap_or("").as_bytes());
    match &event.payload {
        Payload::Json(bytes) => part(bytes),
        Payload::Opaque(bytes) => part(bytes),
    }
    if let Some(raw) = &event.raw {
        // Two that read the same after their loss are two.
        part(&raw.body);
        part(&raw.query);
    }
    if let Standing::Quarantined(reason) = event.standing {
        part(reason.name().as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Payload, Standing, Timing};
    use crate::domain::profile::Folded;
    use crate::domain::settings::{DecidingLimits, Settings};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn event(kind: u8) -> Event {
        Event {
            received_at: Timestamp(1),
            occurred_at: Timestamp(1),
            timing: Timing::Said,
            source: "s".into(),
            kind: format!("t{kind}").into(),
            session: None,
            dedupe: None,
            external: None,
            identifiers: Default::default(),
            traits: Default::default(),
            standing: Standing::Open,
            payload: Payload::Json("{}".into()),
            raw: None,
        }
    }

    proptest! {
        /// Whatever the order, and however the events lie in fragments: every number is the whole one.
        #[test]
        fn types_beyond_the_limit_are_left_out_whatever_the_order(
            kinds in prop::collection::vec((0u8..9, any::<bool>()), 1..60).prop_shuffle(),
            event_types in 1u32..6,
        ) {
            let limits = DecidingLimits { event_types, ..DecidingLimits::default() };
            let rules = Rules::new(&Settings { limits, ..Settings::default() });
            let grown = |kinds: &[(u8, bool)]| {
                let mut both = [Fragment::default(), Fragment::default()];
                for (at, (kind, second)) in kinds.iter().enumerate() {
                    both[usize::from(*second)].apply(at as u64 + 1, &event(*kind), 0, &rules);
                }
                both
            };
            let mut sorted = kinds.clone();
            sorted.sort_unstable();
            let (one, other) = (grown(&kinds), grown(&sorted));
            let mut all: BTreeMap<Box<str>, u64> = BTreeMap::new();
            for (kind, _) in &kinds {
                *all.entry(format!("t{kind}").into()).or_default() += 1;
            }
            for at in 0..2 {
                prop_assert_eq!(&one[at].by_type, &other[at].by_type);
                prop_assert!(one[at].by_type.len() <= event_types as usize);
            }
            let folded = Folded::new(one.iter(), 10);
            prop_assert_eq!(folded.events, kinds.len() as u64);
            prop_assert!(folded.by_type.len() >= all.len().min(event_types as usize));
            for (kind, count) in &folded.by_type {
                prop_assert_eq!(all[kind], *count);
            }
            prop_assert_eq!(folded.by_type, Folded::new(other.iter().rev(), 10).by_type);
        }
    }
}
