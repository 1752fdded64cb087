//! What campaigns left behind, as plain state with its snapshot rows: runs by fragment, the timers
//! that follow from them, runs as told to people, disabled endpoints, and the outbox.

use crate::domain::campaign::{Ended, FragmentRuns};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::state::campaigns::outbox::Outbox;
use crate::records::FragmentKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Runs told per campaign; the oldest go first.
const RUNS_TOLD: usize = 1_000;

/// A wait: when it is over, and whose it is.
pub(in crate::engine) type Timer = (Timestamp, FragmentIndex, Box<str>, Sequence);

/// How far a run came. Rows hold the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(in crate::engine) enum RunState {
    /// It is at a step.
    Running,
    /// It waits for a time.
    Waiting,
    /// It took its last step.
    Done,
    /// It ended before.
    Ended,
    /// It never began.
    Declined,
}

/// A name that no state of a run has.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected running, waiting, done, ended or declined as the state of a run, found {found:?}"
)]
pub(in crate::engine) struct UnknownRunState {
    found: String,
}

impl RunState {
    /// All of them.
    const ALL: [Self; 5] = [Self::Running, Self::Waiting, Self::Done, Self::Ended, Self::Declined];

    /// The state of a run that ended so.
    pub(in crate::engine) fn of(how: &Ended) -> Self {
        match how {
            Ended::Done => Self::Done,
            Ended::Exit
            | Ended::Audience
            | Ended::Missing { .. }
            | Ended::TooLarge
            | Ended::Merged
            | Ended::NotLive
            | Ended::Gone
            | Ended::TooOld
            | Ended::Superseded => Self::Ended,
        }
    }

    /// The stable name that rows hold and the API shows.
    pub(in crate::engine) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Ended => "ended",
            Self::Declined => "declined",
        }
    }
}

impl From<RunState> for String {
    fn from(state: RunState) -> Self {
        state.name().to_owned()
    }
}

impl TryFrom<String> for RunState {
    type Error = UnknownRunState;

    fn try_from(found: String) -> Result<Self, UnknownRunState> {
        let named = Self::ALL.into_iter().find(|state| state.name() == found);
        named.ok_or(UnknownRunState { found })
    }
}

/// What became of a trigger that fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct RunRow {
    pub(in crate::engine) fragment: FragmentKey,
    pub(in crate::engine) event_id: u128,
    pub(in crate::engine) began_at: Timestamp,
    pub(in crate::engine) state: RunState,
    pub(in crate::engine) reason: Option<String>,
}

/// Why an endpoint is not called any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Disabled {
    pub(in crate::engine) at: Timestamp,
    pub(in crate::engine) reason: String,
}

/// What campaigns left behind.
#[derive(Debug, Default)]
pub struct CampaignState {
    /// The deliveries.
    pub outbox: Outbox,
    pub(in crate::engine) runs: BTreeMap<FragmentIndex, FragmentRuns>,
    pub(in crate::engine) timers: BTreeSet<Timer>,
    /// The first of those that were added since the last look.
    added_timer: Option<Timer>,
    pub(in crate::engine) told: BTreeMap<(Box<str>, Sequence), RunRow>,
    pub(in crate::engine) disabled: BTreeMap<(Box<str>, u16), Disabled>,
    pub(in crate::engine) fresh_runs: BTreeSet<FragmentIndex>,
    pub(in crate::engine) fresh_told: BTreeSet<(Box<str>, Sequence)>,
    pub(in crate::engine) is_disabled_fresh: bool,
    /// Events of which conditions did not see everything, since it was last asked for.
    pub(in crate::engine) conditions_bounded: u64,
}

impl CampaignState {
    pub(in crate::engine) fn set(
        &mut self,
        fragment: FragmentIndex,
        campaign: &str,
        state: crate::domain::campaign::CampaignState,
    ) {
        let runs = self.runs.entry(fragment).or_default();
        let timer = |run: crate::domain::campaign::Run| {
            (run.due, fragment, Box::from(campaign), run.sequence)
        };
        if let Some(before) = runs.state(campaign).run {
            self.timers.remove(&timer(before));
        }
        if let Some(timer) = state.run.map(timer) {
            if self.added_timer.as_ref().is_none_or(|first| timer < *first) {
                self.added_timer = Some(timer.clone());
            }
            self.timers.insert(timer);
        }
        runs.set(campaign, state);
        self.fresh_runs.insert(fragment);
    }

    pub(in crate::engine) fn set_timers(&mut self) {
        for (fragment, runs) in &self.runs {
            let timers = runs
                .waiting()
                .map(|(campaign, run)| (run.due, *fragment, campaign.into(), run.sequence));
            self.timers.extend(timers);
        }
        self.added_timer = self.timers.first().cloned();
    }

    /// The first of the timers that were added since the last call.
    pub(in crate::engine) fn take_added_timer(&mut self) -> Option<Timer> {
        self.added_timer.take()
    }

    /// The waits that are over by now, behind a timer.
    pub(in crate::engine) fn due_timers(
        &self,
        after: Option<&Timer>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Timer> {
        self.timers_after(after).take_while(move |(due, ..)| *due <= now)
    }

    /// All waits behind a timer, the first to be over first.
    pub(in crate::engine) fn timers_after(
        &self,
        after: Option<&Timer>,
    ) -> impl Iterator<Item = &Timer> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.timers.range((from, Bound::Unbounded))
    }

    pub(in crate::engine) fn tell(&mut self, campaign: &str, run: Sequence, row: RunRow) {
        let key = (Box::from(campaign), run);
        self.fresh_told.insert(key.clone());
        self.told.insert(key, row);
        let of_campaign = (campaign.into(), 0)..=(campaign.into(), Sequence::MAX);
        if self.told.range(of_campaign.clone()).nth(RUNS_TOLD).is_some() {
            let oldest = self.told.range(of_campaign).next().map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.told.remove(&key);
                self.fresh_told.insert(key);
            }
        }
    }

    pub(in crate::engine) fn retell(
        &mut self,
        campaign: &str,
        run: Sequence,
        state: RunState,
        reason: Option<String>,
    ) {
        let key = (Box::from(campaign), run);
        if let Some(row) = self.told.get_mut(&key) {
            (row.state, row.reason) = (state, reason);
            self.fresh_told.insert(key);
        }
    }

    /// A campaign's runs before a sequence, the newest first.
    pub(in crate::engine) fn told(
        &self,
        campaign: &str,
        before: Sequence,
    ) -> impl Iterator<Item = (Sequence, &RunRow)> {
        let range = (Box::from(campaign), 0)..(Box::from(campaign), before);
        self.told.range(range).rev().map(|((_, run), row)| (*run, row))
    }

    /// What became of one of a campaign's triggers, as far as it is still kept.
    pub(in crate::engine) fn told_of(&self, campaign: &str, run: Sequence) -> Option<&RunRow> {
        self.told.get(&(Box::from(campaign), run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{decode, encode};

    #[test]
    fn rows_hold_the_names_of_states_as_texts_and_no_other_text_is_one() {
        for state in RunState::ALL {
            let row = encode("a state", &state).unwrap();
            assert_eq!(row, encode("a state", &state.name().to_owned()).unwrap());
            assert_eq!(decode::<RunState>("a state", &row).unwrap(), state);
        }
        let other = encode("a state", &"runing".to_owned()).unwrap();
        let why = decode::<RunState>("a state", &other).unwrap_err().to_string();
        assert!(why.contains("or declined as the state of a run, found \"runing\""), "{why}");
    }
}
