//! Events that come later than they occurred: what they begin no more, and how old they make what is
//! sent because of them.

use crate::domain::campaign::EventFacts;
use crate::domain::campaign::compile::Campaigns;
use crate::domain::campaign::model::{Campaign, Step};
use crate::domain::campaign::run::{Fragments, Held};
use crate::domain::campaign::state::{FragmentRuns, Moment, Run};
use crate::domain::graph::FragmentIndex;
use crate::domain::time::Timestamp;

impl Campaigns {
    /// When an event occurred, as far as it decides; `now` is when it was received.
    pub(super) fn moment(&self, event: &EventFacts<'_>, now: Timestamp) -> Moment {
        let EventFacts { occurred_at, is_said, sequence, .. } = *event;
        match self.by_arrival {
            true => Moment { at: now, is_said: false, sequence },
            false => Moment { at: occurred_at, is_said, sequence },
        }
    }
}

impl Campaign {
    /// When a step of a run would have its turn, had the trigger come when it occurred.
    pub(super) fn ripe(&self, run: Run, step: u16) -> Timestamp {
        let before = self.steps.iter().take(usize::from(step));
        let waits = before.filter_map(|step| match step {
            Step::Wait { ms } => Some(*ms),
            Step::Webhook(_) => None,
        });
        run.occurred_at.plus_ms(waits.fold(0, i64::saturating_add))
    }

    /// Why a trigger comes too late to begin anything.
    pub(super) fn missed(
        &self,
        trigger: Moment,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Option<Held> {
        let max_ages = self.steps.iter().filter_map(|step| match step {
            Step::Webhook(webhook) => Some(webhook.max_age_ms),
            Step::Wait { .. } => None,
        });
        let longest = max_ages.max().unwrap_or(i64::MAX);
        if now.0.saturating_sub(trigger.at.0) > longest {
            return Some(Held::TooOld);
        }
        let has_exited =
            |(_, runs): &(FragmentIndex, &FragmentRuns)| runs.state(&self.id).exited.ends(trigger);
        fragments.iter().any(has_exited).then_some(Held::Exited)
    }
}
