//! A fragment after a panic: its last written state, and its events since then from the journal.

use super::rest::RowError;
use super::shared::Shared;
use crate::domain::event::{Event, Found, Standing};
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::journal::JournalError;
use crate::records::{RecordError, decode_event, kind};

/// Why a fragment could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// What an event's fragment is called by: external ID, session, or strongest identifier.
pub(super) fn origin_key<'a>(event: &'a Event, rules: &Rules) -> Option<(&'a str, &'a str)> {
    let strongest =
        |found: &&Found| (rules.of(&found.kind).priority, found.kind.clone(), found.value.clone());
    let external = event.external.as_ref().map(|found| (&*found.kind, &*found.value));
    let session = event.session.as_deref().map(|id| ("", id));
    let identifier = event.identifiers.iter().min_by_key(strongest);
    external.or(session).or(identifier.map(|found| (&*found.kind, &*found.value)))
}

/// The state of `fragment` before the event `at`, whose origin tells which events are its own.
pub(super) fn fragment(
    shared: &Shared,
    fragment: FragmentIndex,
    at: (Sequence, &Event),
    rules: &Rules,
) -> Result<Fragment, RebuildError> {
    let mut state = match shared.rest.load(fragment) {
        Ok(state) => state,
        Err(RowError::Missing(_)) => Fragment::default(),
        Err(error) => return Err(error.into()),
    };
    let origin = origin_key(at.1, rules);
    for record in shared.reader.scan(state.timeline.last() + 1) {
        let (sequence, record) = record?;
        if sequence >= at.0 {
            break;
        }
        if record.kind != kind::EVENT || shared.is_aside(sequence) {
            continue;
        }
        let event = decode_event(record.version, &record.bytes)?;
        let is_open = !matches!(event.standing, Standing::Quarantined(_));
        if is_open && origin.is_some() && origin_key(&event, rules) == origin {
            state.apply(sequence, &event, content_hash(&event), rules);
        }
    }
    Ok(state)
}
