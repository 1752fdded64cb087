//! What a snapshot row holds of the runs of a fragment.

use super::{RecordError, decode, encode_versioned, versioned};
use crate::domain::campaign::{CampaignState, FragmentRuns, Moment, RecentCounts, Run};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct RunsV1 {
    states: Vec<(Box<str>, StateV1)>,
    counts: RecentCounts,
}

#[derive(Serialize, Deserialize)]
struct StateV1 {
    run: Option<RunV1>,
    stopped_at: Option<Timestamp>,
    exited: Sequence,
}

#[derive(Serialize, Deserialize)]
struct RunV1 {
    sequence: Sequence,
    began_at: Timestamp,
    step: u16,
    due: Timestamp,
    has_called: bool,
}

/// From version 2 on, triggers and exits have the times at which they occurred.
#[derive(Serialize, Deserialize)]
struct RunsV2 {
    states: Vec<(Box<str>, StateV2)>,
    counts: RecentCounts,
}

#[derive(Serialize, Deserialize)]
struct StateV2 {
    run: Option<RunV2>,
    stopped_at: Option<Timestamp>,
    exited: (i64, bool, Sequence),
}

#[derive(Serialize, Deserialize)]
struct RunV2 {
    run: RunV1,
    occurred_at: Timestamp,
    is_said: bool,
}

impl From<StateV1> for CampaignState {
    fn from(v1: StateV1) -> Self {
        let v2 = |run: RunV1| RunV2 { occurred_at: run.began_at, is_said: false, run };
        let run = v1.run.map(v2).map(Run::from);
        let exited = Moment { sequence: v1.exited, ..Moment::default() };
        Self { run, stopped_at: v1.stopped_at, exited }
    }
}

impl From<StateV2> for CampaignState {
    fn from(v2: StateV2) -> Self {
        let (at, is_said, sequence) = v2.exited;
        let exited = Moment { at: Timestamp(at), is_said, sequence };
        Self { run: v2.run.map(Run::from), stopped_at: v2.stopped_at, exited }
    }
}

impl From<CampaignState> for StateV2 {
    fn from(state: CampaignState) -> Self {
        let Moment { at, is_said, sequence } = state.exited;
        let (run, exited) = (state.run.map(RunV2::from), (at.0, is_said, sequence));
        Self { run, stopped_at: state.stopped_at, exited }
    }
}

impl From<RunV2> for Run {
    fn from(v2: RunV2) -> Self {
        let RunV2 { run, occurred_at, is_said } = v2;
        let RunV1 { sequence, began_at, step, due, has_called } = run;
        Self { sequence, began_at, step, due, has_called, occurred_at, is_said }
    }
}

impl From<Run> for RunV2 {
    fn from(run: Run) -> Self {
        let Run { sequence, began_at, step, due, has_called, occurred_at, is_said } = run;
        Self { run: RunV1 { sequence, began_at, step, due, has_called }, occurred_at, is_said }
    }
}

/// The bytes of what campaigns left on a fragment.
///
/// # Errors
/// When it is larger than a row may be.
pub fn encode_runs(runs: &FragmentRuns) -> Result<Vec<u8>, RecordError> {
    let states = runs.states().map(|(campaign, state)| (campaign.into(), state.into())).collect();
    encode_versioned(WHAT, 2, &RunsV2 { states, counts: runs.counts.clone() })
}

/// Reads what campaigns left on a fragment.
///
/// # Errors
/// When the bytes do not decode.
pub fn decode_runs(bytes: &[u8]) -> Result<FragmentRuns, RecordError> {
    match versioned(WHAT, bytes, 2)? {
        (1, bytes) => {
            let RunsV1 { states, counts } = decode(WHAT, bytes)?;
            Ok(runs_of(states, counts))
        }
        (_, bytes) => {
            let RunsV2 { states, counts } = decode(WHAT, bytes)?;
            Ok(runs_of(states, counts))
        }
    }
}

fn runs_of<S: Into<CampaignState>>(
    states: Vec<(Box<str>, S)>,
    counts: RecentCounts,
) -> FragmentRuns {
    let mut runs = FragmentRuns::default();
    runs.counts = counts;
    for (campaign, state) in states {
        runs.set(&campaign, state.into());
    }
    runs
}

const WHAT: &str = "the runs of a fragment";
