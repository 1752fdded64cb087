//! What campaigns left behind, as rows: runs by fragment, what became of triggers, disabled endpoints.

use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::engine::state::campaigns::outbox::Outbox;
use crate::engine::state::campaigns::runs::{CampaignState, Disabled, RunRow};
use crate::engine::state::row::Row;
use crate::engine::store::rows::error::LoadError;
use crate::records;
use crate::records::{RecordError, keys};
use crate::snapshot::SnapshotStore;

/// The rows that changed since the last call.
pub(in crate::engine) fn take_rows(state: &mut CampaignState) -> Result<Vec<Row>, RecordError> {
    let mut rows: Vec<Row> = Vec::new();
    for fragment in std::mem::take(&mut state.fresh_runs) {
        let mut key = vec![keys::RUNS];
        key.extend_from_slice(&fragment.to_be_bytes());
        let runs = state.runs.get(&fragment).filter(|runs| !runs.is_empty());
        let row = runs.map(records::encode_runs).transpose()?;
        rows.push((key, row));
    }
    for (campaign, run) in std::mem::take(&mut state.fresh_told) {
        let mut key = vec![keys::TOLD_RUN];
        key.extend_from_slice(campaign.as_bytes());
        key.push(0);
        key.extend_from_slice(&run.to_be_bytes());
        let told = state.told.get(&(campaign.clone(), run));
        let row = told.map(|row| records::encode("a run", &(&campaign, run, row))).transpose()?;
        rows.push((key, row));
    }
    rows.append(&mut state.outbox.take_rows()?);
    if std::mem::take(&mut state.is_disabled_fresh) {
        let all: Vec<_> = state.disabled.iter().collect();
        rows.push((vec![keys::DISABLED], Some(records::encode("disabled endpoints", &all)?)));
    }
    Ok(rows)
}

/// Takes a snapshot's rows in.
pub(in crate::engine) fn load(store: &SnapshotStore) -> Result<CampaignState, LoadError> {
    let mut state = CampaignState::default();
    for row in store.scan_prefix(&[keys::RUNS]) {
        let (key, row) = row?;
        let number = key.get(1..5).and_then(|bytes| bytes.try_into().ok());
        let fragment = number.map_or(0, FragmentIndex::from_be_bytes);
        state.runs.insert(fragment, records::decode_runs(&row)?);
    }
    for row in store.scan_prefix(&[keys::TOLD_RUN]) {
        let (campaign, run, row): (Box<str>, Sequence, RunRow) = records::decode("a run", &row?.1)?;
        state.told.insert((campaign, run), row);
    }
    state.outbox = Outbox::load(store.scan_prefix(&[keys::DELIVERIES]))?;
    if let Some(row) = store.get(&[keys::DISABLED])? {
        let all: Vec<((Box<str>, u16), Disabled)> = records::decode("disabled endpoints", &row)?;
        state.disabled = all.into_iter().collect();
    }
    state.set_timers();
    Ok(state)
}
