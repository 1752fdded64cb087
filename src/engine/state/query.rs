//! What is asked for: a profile by one of its names, events by a filter, a page.

use crate::domain::event::Event;
use crate::domain::id::Identifier;
use crate::domain::time::Timestamp;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Items at most.
    pub limit: usize,
    /// Only what lies before this position.
    pub before: Option<u64>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last one.
    pub next: Option<u64>,
}

/// How a profile is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileRef {
    /// By an identifier as somebody spelt it.
    Identifier(Identifier),
    /// By any id that it ever had.
    Id(String),
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// On no profile, because nothing identifies anyone.
    pub profile_less: bool,
    /// Set aside.
    pub quarantined: bool,
    /// Set aside for this reason.
    pub reason: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

impl EventFilter {
    pub(in crate::engine) fn fits(&self, event: &Event) -> bool {
        let is_of = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is_of(&self.source, &event.source)
            && is_of(&self.kind, &event.kind)
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
    }
}
