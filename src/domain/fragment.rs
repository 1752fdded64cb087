//! A fragment: all that is known under one origin. It only ever grows by its own events, so a
//! merge moves it whole and an unmerge moves it back.

use super::event::Event;
use super::fold::Cell;
use super::id::Sequence;
use super::rules::Rules;
use super::time::Timestamp;
use super::timeline::Timeline;

/// The state of one fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// How many events it holds.
    pub events: u64,
    /// Events by type, in the order of the type's name.
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
    pub fn apply(&mut self, sequence: Sequence, event: &Event, content: u128, rules: &Rules) {
        if self.events == 0 {
            (self.first_seen, self.last_seen) = (event.occurred_at, event.occurred_at);
        }
        self.first_seen = self.first_seen.min(event.occurred_at);
        self.last_seen = self.last_seen.max(event.occurred_at);
        self.events += 1;
        self.content = self.content.wrapping_add(content);
        match self.by_type.binary_search_by(|(kind, _)| kind.as_ref().cmp(&event.kind)) {
            Ok(at) => self.by_type[at].1 += 1,
            Err(at) => self.by_type.insert(at, (event.kind.clone(), 1)),
        }
        for value in &event.traits {
            let fold = rules.fold(&value.name);
            if let Some(cell) = Cell::new(fold, event.occurred_at, event.timing, &value.json) {
                self.join_trait(&value.name, cell, rules.limits.set_values);
            }
        }
        self.timeline.push(sequence);
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
    use super::event::{Payload, Standing};
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
    if let Standing::Quarantined(reason) = event.standing {
        part(reason.name().as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}
