//! The mark by which a second delivery of the same event is known.

use crate::domain::extract::view::{View, says, seen};
use crate::domain::facts::RequestFacts;
use crate::domain::source::Source;
use std::borrow::Cow;

/// Headers that hold an event id by convention: the HTTP API draft
/// (draft-ietf-httpapi-idempotency-key-header), Standard Webhooks, and Svix.
const ID_HEADERS: [&str; 3] = ["idempotency-key", "webhook-id", "svix-id"];

/// A keyed hash of the source, the event's type and the sender's event id; `None` where the sender
/// gives none. Senders give one id to all events that one action caused, so the type counts.
///
/// An id that says nothing (`undefined`, `0`) is none: two events with it are two.
///
/// Where the type is damaged there is no mark: two that differ there would be one.
///
/// An id that all elements of a batch share counts together with the element's place.
pub(super) fn hash(
    source: &Source,
    facts: &RequestFacts<'_>,
    view: Option<&View<'_>>,
    key: &[u8; 32],
    builtin: bool,
) -> Option<[u8; 16]> {
    if view.is_some_and(View::is_kind_damaged) {
        return None;
    }
    let kind = view.map_or(facts.event_type, View::kind);
    let of = [&*source.id, kind];
    let said = view.zip(source.event_id.as_ref());
    if let Some((place, id)) = said.and_then(|(view, choice)| view.first_id_of(choice)) {
        let is_shared = source.event_id_is_shared.get(place).copied().unwrap_or(false);
        let index = facts.batch_index.filter(|_| is_shared);
        return Some(keyed(key, of, &[&id], index));
    }
    let header = |name| {
        let id = View::header(facts, name).map(Cow::Owned).and_then(seen);
        id.filter(|id| says(id, builtin))
    };
    let named = ID_HEADERS.iter().find_map(|name| header(name));
    if let Some(id) = named {
        return Some(keyed(key, of, &[&id], facts.batch_index));
    }
    // CloudEvents 1.0.2: source and id together are what is unique.
    let (origin, id) = header("ce-source").zip(header("ce-id"))?;
    Some(keyed(key, of, &[&origin, &id], facts.batch_index))
}

/// Every part is preceded by its length, so that no two different lists hash the same text.
fn keyed(key: &[u8; 32], of: [&str; 2], id: &[&str], index: Option<usize>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in of.iter().chain(id) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    if let Some(index) = index {
        // Longer than any text is, so it cannot pass for the length of a part.
        hasher.update(&u64::MAX.to_le_bytes()).update(&(index as u64).to_le_bytes());
    }
    let mut mark = [0; 16];
    mark.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    mark
}
