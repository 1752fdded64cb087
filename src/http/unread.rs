//! What of each source cannot be read: how often, and the shape of the last such value. The values
//! themselves may be anybody's, so none is kept.

use crate::domain::time::Timestamp;
use crate::engine::Effective;
use dashmap::DashMap;
use serde::Serialize;

/// Since the program has started, by source id. There are never more than sources.
#[derive(Debug, Default)]
pub struct Unread(DashMap<Box<str>, SourceUnread>);

/// What of one source cannot be read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceUnread {
    /// Times that stand where the source says.
    pub times_unread: Tally,
    /// Values of consent traits that are no decision.
    pub consents_unread: Tally,
}

/// How many values there were, and what the last one looked like.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_shape: Option<String>,
    /// When it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<String>,
}

impl Tally {
    /// Counts so many values, the last of which has that shape.
    pub fn add(&mut self, values: u64, shape: Option<String>, at: Timestamp) {
        self.count += values;
        self.last_shape = shape;
        self.last_at = Some(at.to_string());
    }
}

impl Unread {
    /// Notes something of a source.
    pub fn note(&self, effective: &Effective, source: &str, note: impl FnOnce(&mut SourceUnread)) {
        if let Some(mut known) = self.0.get_mut(source) {
            return note(&mut known);
        }
        // With each new one, those of sources that are no more are forgotten.
        self.0.retain(|id, _| effective.compiled.sources.contains_key(&**id));
        note(&mut self.0.entry(source.into()).or_default());
    }

    /// What there is of a source.
    pub fn of(&self, source: &str) -> SourceUnread {
        self.0.get(source).map(|known| known.clone()).unwrap_or_default()
    }
}
