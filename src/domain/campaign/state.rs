//! What campaigns leave behind on a profile, kept with the fragment whose event caused it.

use crate::domain::campaign::counts::RecentCounts;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use std::cmp::Ordering;

/// When an event occurred, compared with another one.
///
/// Event times decide. Two events of one time that both sender said are at or after each other;
/// otherwise their order of arrival tells which came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When it occurred; [`Moment::UNKNOWN`] for an exit that an earlier program noted.
    pub at: Timestamp,
    /// Whether its sender said so.
    pub is_said: bool,
    /// Its place in the journal; 0 for no event.
    pub sequence: Sequence,
}

impl Default for Moment {
    fn default() -> Self {
        Self { at: Self::UNKNOWN, is_said: false, sequence: 0 }
    }
}

impl Moment {
    /// The time of an event of which only the place in the journal is known.
    pub const UNKNOWN: Timestamp = Timestamp(i64::MIN);

    /// Whether this exit ends what `trigger` began: it occurred at the same time or later. An event
    /// never ends what it began itself.
    pub fn ends(self, trigger: Self) -> bool {
        if self.sequence == 0 || self.sequence == trigger.sequence {
            return false;
        }
        let is_later = self.sequence > trigger.sequence;
        match self.at.cmp(&trigger.at) {
            _ if self.at == Self::UNKNOWN => is_later,
            Ordering::Greater => true,
            Ordering::Equal => is_later || (self.is_said && trigger.is_said),
            Ordering::Less => false,
        }
    }
}

/// A run that waits. It is named by the event that triggered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// When that event occurred.
    pub occurred_at: Timestamp,
    /// Whether its sender said so.
    pub is_said: bool,
}

impl Run {
    /// When the event that triggered it occurred.
    pub fn trigger(self) -> Moment {
        Moment { at: self.occurred_at, is_said: self.is_said, sequence: self.sequence }
    }
}

/// What one campaign left behind on one fragment.
///
/// What a profile shows is the [`join`](Self::join) over its fragments: commutative, associative and
/// idempotent, and undone by leaving a fragment out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CampaignState {
    /// The run that waits.
    pub run: Option<Run>,
    /// When the last run stopped, by journal time.
    pub stopped_at: Option<Timestamp>,
    /// The last exit event, by event time.
    pub exited: Moment,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// What campaigns left behind, by their ids; only those with a trace.
    pub fn states(&self) -> impl Iterator<Item = (&str, CampaignState)> {
        self.states.iter().map(|(campaign, state)| (campaign.as_ref(), *state))
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

    fn run(sequence: Sequence, began_at: Timestamp, step: u16, has_called: bool) -> Run {
        let (due, occurred_at) = (Timestamp(5), began_at);
        Run { sequence, began_at, step, due, has_called, occurred_at, is_said: false }
    }

    fn moment() -> impl Strategy<Value = Moment> {
        (0i64..4, any::<bool>(), 1u64..9).prop_map(|(at, is_said, sequence)| Moment {
            at: Timestamp(at),
            is_said,
            sequence,
        })
    }

    fn state() -> impl Strategy<Value = CampaignState> {
        let run = (1u64..9, 0u16..3, 0i64..9, any::<bool>()).prop_map(
            |(sequence, step, due, has_called)| {
                let began_at = Timestamp(0);
                Run { due: Timestamp(due), ..run(sequence, began_at, step, has_called) }
            },
        );
        (prop::option::of(run), prop::option::of((0i64..9).prop_map(Timestamp)), moment())
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
    fn an_exit_ends_what_occurred_before_it_and_never_itself() {
        let moment = |at, is_said, sequence| Moment { at: Timestamp(at), is_said, sequence };
        let trigger = moment(5, true, 3);
        assert!(moment(6, false, 1).ends(trigger) && moment(6, false, 9).ends(trigger));
        assert!(!moment(4, true, 1).ends(trigger) && !moment(4, true, 9).ends(trigger));
        // Of one time: said by both, or by arrival.
        assert!(moment(5, true, 1).ends(trigger) && moment(5, false, 9).ends(trigger));
        assert!(!moment(5, false, 1).ends(trigger) && !trigger.ends(trigger));
        assert!(!Moment::default().ends(trigger));
        let noted = Moment { sequence: 9, ..Moment::default() };
        assert!(noted.ends(trigger) && !noted.ends(moment(5, true, 10)));
    }

    #[test]
    fn a_state_is_found_again_and_nothing_is_kept_of_nothing() {
        let mut runs = FragmentRuns::default();
        runs.set("b", CampaignState::default());
        assert!(runs.is_empty());
        let began_at = Timestamp(1);
        let run = run(1, began_at, 1, false);
        runs.set("b", CampaignState { run: Some(run), ..CampaignState::default() });
        let exited = Moment { at: Timestamp(3), is_said: true, sequence: 7 };
        runs.set("a", CampaignState { exited, ..CampaignState::default() });
        assert_eq!(runs.state("a").exited, exited);
        assert_eq!(runs.state("c"), CampaignState::default());
        assert_eq!(runs.waiting().collect::<Vec<_>>(), [("b", run)]);
    }
}
