//! What the fragment of an event is called by.

use crate::domain::event::{Event, Found};
use crate::domain::rules::Rules;

/// What an event's fragment is called by: external ID, session, or strongest identifier.
pub(in crate::engine) fn origin_key<'a>(
    event: &'a Event,
    rules: &Rules,
) -> Option<(&'a str, &'a str)> {
    let strongest =
        |found: &&Found| (rules.of(&found.kind).priority, found.kind.clone(), found.value.clone());
    let external = event.external.as_ref().map(|found| (&*found.kind, &*found.value));
    let session = event.session.as_deref().map(|id| ("", id));
    let identifier = event.identifiers.iter().min_by_key(strongest);
    external.or(session).or(identifier.map(|found| (&*found.kind, &*found.value)))
}
