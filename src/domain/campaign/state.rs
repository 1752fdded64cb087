//! What campaigns leave behind on a profile, kept with the fragment whose event caused it.

use super::counts::RecentCounts;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A run that waits. It is named by the event that triggered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The journal sequence of the event that triggered it.
    pub sequence: Sequence,
    /// When that event was received; with the sequence it says the event's id.
    pub began_at: Timestamp,
    /// The step that it comes to when the wait is over, from 0.
    pub step: u16,
    /// When the wait is over, by journal time.
    pub due: Timestamp,
    /// Whether it has enqueued a webhook already.
    pub has_called: bool,
}

/// What one campaign left behind on one fragment.
///
/// What a profile shows is the [`join`](Self::join) over its fragments: commutative, associative and
/// idempotent, and undone by leaving a fragment out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignState {
    /// The run that waits.
    pub run: Option<Run>,
    /// When the last run stopped, by journal time.
    pub stopped_at: Option<Timestamp>,
    /// The sequence of the last exit event; 0 for none.
    pub exited: Sequence,
}

impl CampaignState {
    /// Both together: the run that was triggered first, the last stop and the last exit.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let run = match (self.run, other.run) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            run,
            stopped_at: self.stopped_at.max(other.stopped_at),
            exited: self.exited.max(other.exited),
        }
    }
}

/// What campaigns know of one fragment; the part of it that they need stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentRuns {
    /// By campaign id, ascending; only those with a trace.
    states: Vec<(Box<str>, CampaignState)>,
    /// Times of counted events.
    pub counts: RecentCounts,
}

impl FragmentRuns {
    /// What a campaign left behind.
    pub fn state(&self, campaign: &str) -> CampaignState {
        self.place(campaign).map_or_else(|_| CampaignState::default(), |at| self.states[at].1)
    }

    /// Takes over what a campaign now leaves behind.
    pub fn set(&mut self, campaign: &str, state: CampaignState) {
        match self.place(campaign) {
            Ok(at) => self.states[at].1 = state,
            Err(at) if state != CampaignState::default() => {
                self.states.insert(at, (campaign.into(), state));
            }
            Err(_) => {}
        }
    }

    /// Takes over all that another fragment has, counts aside.
    pub fn absorb(&mut self, other: &Self) {
        for (campaign, state) in &other.states {
            self.set(campaign, self.state(campaign).join(*state));
        }
    }

    /// The runs that wait, with their campaigns; for timers to be set again after a restart.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, Run)> {
        self.states.iter().filter_map(|(campaign, state)| Some((campaign.as_ref(), state.run?)))
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn place(&self, campaign: &str) -> Result<usize, usize> {
        self.states.binary_search_by(|(known, _)| known.as_ref().cmp(campaign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = CampaignState> {
        let run = (1u64..9, 0u16..3, 0i64..9, any::<bool>()).prop_map(
            |(sequence, step, due, has_called)| {
                let began_at = Timestamp(0);
                Run { sequence, began_at, step, due: Timestamp(due), has_called }
            },
        );
        (prop::option::of(run), prop::option::of((0i64..9).prop_map(Timestamp)), 0u64..9)
            .prop_map(|(run, stopped_at, exited)| CampaignState { run, stopped_at, exited })
    }

    proptest! {
        #[test]
        fn states_join_in_any_order_and_any_number_of_times(a in state(), b in state(), c in state()) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
            prop_assert_eq!(a.join(CampaignState::default()), a);
        }
    }

    #[test]
    fn a_state_is_found_again_and_nothing_is_kept_of_nothing() {
        let mut runs = FragmentRuns::default();
        runs.set("b", CampaignState::default());
        assert!(runs.is_empty());
        let began_at = Timestamp(1);
        let run = Run { sequence: 1, began_at, step: 1, due: Timestamp(5), has_called: false };
        runs.set("b", CampaignState { run: Some(run), ..CampaignState::default() });
        runs.set("a", CampaignState { exited: 7, ..CampaignState::default() });
        assert_eq!(runs.state("a").exited, 7);
        assert_eq!(runs.state("c"), CampaignState::default());
        assert_eq!(runs.waiting().collect::<Vec<_>>(), [("b", run)]);
    }
}
