//! A fragment after a panic: its last written state, and its events since then from the journal.

use crate::domain::event::{Event, Standing};
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::engine::context::Shared;
use crate::engine::profile::message::Apply;
use crate::engine::state::origin::origin_key;
use crate::engine::store::events::RebuildError;
use crate::engine::store::fragments::RowError;
use crate::journal::Record;
use crate::records::{ActRecord, RecordError, Revised, decode_event, kind};

/// The state of a fragment before an event, whose origin tells which events are its own.
pub(in crate::engine) fn before(shared: &Shared, apply: &Apply) -> Result<Fragment, RebuildError> {
    let (fragment, rules) = (apply.fragment, &*apply.rules);
    let mut state = match shared.rest.load(fragment) {
        Ok(state) => state,
        Err(RowError::Missing(_)) => Fragment::default(),
        Err(error) => return Err(error.into()),
    };
    let origin = origin_key(&apply.event, rules);
    for record in shared.reader.scan(state.timeline.last() + 1) {
        let (at, record) = record?;
        if at > apply.record {
            break;
        }
        for (sequence, event) in told_by(shared, at, &record)? {
            if (at, sequence) == (apply.record, apply.sequence) {
                return Ok(state);
            }
            let is_open = !matches!(event.standing, Standing::Quarantined(_));
            let is_own = is_open && origin.is_some() && origin_key(&event, rules) == origin;
            if is_own && !shared.is_aside(sequence) && !has(shared, fragment, &state, sequence)? {
                state.apply(sequence, &event, content_hash(&event), rules);
            }
        }
    }
    Ok(state)
}

/// The events of a record: its own, unless another one says how it reads now; or those that it says
/// are read again.
fn told_by(
    shared: &Shared,
    sequence: Sequence,
    record: &Record,
) -> Result<Vec<(Sequence, Event)>, RecordError> {
    if record.kind == kind::EVENT {
        if shared.rereadings.act_of(sequence).is_some() {
            return Ok(Vec::new());
        }
        return Ok(vec![(sequence, decode_event(record.version, &record.bytes)?)]);
    }
    if record.kind != kind::ACT {
        return Ok(Vec::new());
    }
    let ActRecord::Reprocess { events, .. } = ActRecord::decode(record.version, &record.bytes)?
    else {
        return Ok(Vec::new());
    };
    let read = |one: Revised| Ok((one.sequence, decode_event(one.version, &one.bytes)?));
    events.into_iter().map(read).collect()
}

/// Whether a fragment has an event already. One that was read again may be older than its last.
fn has(
    shared: &Shared,
    fragment: FragmentIndex,
    state: &Fragment,
    sequence: Sequence,
) -> Result<bool, RowError> {
    let timeline = &state.timeline;
    if sequence > timeline.last() {
        return Ok(false);
    }
    if timeline.late.contains(&sequence) || timeline.newest_first().any(|one| one == sequence) {
        return Ok(true);
    }
    for number in 0..timeline.saved {
        if shared.rest.chunk(fragment, number)?.iter().any(|one| one == sequence) {
            return Ok(true);
        }
    }
    Ok(false)
}
