//! A campaign played over past events, as if it had been live: with each profile as it was when the
//! event came, in a draft of the state beside the one that serves. Nothing is sent or kept.
//!
//! The draft goes through the same functions as the live state, so runs, waits, exits and restart
//! times come out as they would have. Two things differ: what is enqueued counts as sent at once,
//! and who is who is judged under the rules and links of today.

use crate::domain::campaign::{Decision, Ended, Preview};
use crate::domain::event::Event;
use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::problem::SettingsProblem;
use crate::domain::time::Timestamp;
use crate::domain::view::BacktestView;
use crate::engine::history::basis::Basis;
use crate::engine::history::draft::Draft;
use crate::engine::state::campaigns::outbox::Outbox;
use crate::engine::state::campaigns::question::{Question, Told};
use crate::engine::state::configuration::{Effective, Objects};
use crate::engine::state::{Core, Placement};
use crate::engine::store::events::Events;
use crate::engine::store::fragments::RowError;
use crate::engine::store::told::told;
use crate::journal::JournalReader;
use crate::records::{ActRecord, RecordError};
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The length of a minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// An event of the triggering types and sources, as the campaign saw it.
pub(in crate::engine) struct Judged {
    /// Its place in the journal.
    pub(in crate::engine) sequence: Sequence,
    /// It.
    pub(in crate::engine) event: Event,
    /// Every rule with what it saw.
    pub(in crate::engine) preview: Preview,
}

/// What came of it all.
#[derive(Debug, Default)]
struct Tally {
    events: usize,
    runs: usize,
    calls: usize,
    called: BTreeSet<FragmentIndex>,
    minutes: BTreeMap<i64, usize>,
    turned_away: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
}

/// A campaign under way over past events.
pub(in crate::engine) struct Playing<'a> {
    reader: &'a JournalReader,
    campaign: &'a str,
    /// Runs begin from here on.
    since: Timestamp,
    /// The profile's id, where there is only one.
    profile: Option<&'a str>,
    tally: Tally,
}

impl Effective {
    /// The same configuration with this campaign alone, and that one live.
    ///
    /// # Errors
    /// Every problem found; none where the campaign is in force.
    pub(in crate::engine) fn with_campaign_alone(
        &self,
        id: &str,
    ) -> Result<Self, Vec<SettingsProblem>> {
        let mut settings = self.compiled.settings.clone();
        settings.campaigns.retain(|known, _| known == id);
        for campaign in settings.campaigns.values_mut() {
            campaign["state"] = Value::from("live");
        }
        Self::new(&settings, &Objects::default(), self.hash_key)
    }
}

impl Core {
    /// What a draft starts from in which a campaign is played. Fragments are not taken over, so the
    /// draft has ids of its own.
    pub(in crate::engine) fn stage(&self, effective: Arc<Effective>) -> Basis {
        Basis { effective, ..Basis::without_fragments(self) }
    }
}

impl<'a> Playing<'a> {
    /// A campaign whose runs begin no earlier than `since`.
    pub(in crate::engine) fn new(
        reader: &'a JournalReader,
        campaign: &'a str,
        since: Timestamp,
    ) -> Self {
        Self { reader, campaign, since, profile: None, tally: Tally::default() }
    }

    /// The same for one profile, whose id requests shall name.
    pub(in crate::engine) fn of_profile(self, id: &'a str) -> Self {
        Self { profile: Some(id), ..self }
    }

    /// Lets the campaign see an event that the draft has just taken in. Returns how it judged it,
    /// where the event is of the type and source that trigger it.
    ///
    /// # Errors
    /// When the draft holds a fragment that it cannot read.
    pub(in crate::engine) fn see(
        &mut self,
        draft: &mut Draft,
        sequence: Sequence,
        event: &Event,
        placement: &Placement,
    ) -> Result<Option<Preview>, RowError> {
        if event.received_at < self.since {
            return Ok(None);
        }
        self.fire(draft, event.received_at)?;
        let (core, fragments) = draft.parts();
        let Some(question) = core.question_of_event(sequence, event, placement) else {
            return Ok(None);
        };
        let campaign = core.compiled_campaigns().get(self.campaign);
        let triggers = campaign.is_some_and(|one| one.is_triggered_by(&event.kind, &event.source));
        let set_values = core.graph.rules().limits.set_values;
        let journal = Events::new(self.reader, &core.revised);
        let (question, told) = self.told(question, fragments, set_values, journal)?;
        core.count(&question, told.recent);
        let preview = match triggers {
            true => core.judged(&question, &told.folded, self.campaign),
            false => None,
        };
        let decisions = core.decisions(&question, &told.folded);
        self.tally.take(&question, preview.as_ref(), &decisions);
        carry_out(core, &question, decisions)?;
        Ok(preview)
    }

    /// Ends every wait that is over by then.
    ///
    /// # Errors
    /// When the draft holds a fragment that it cannot read.
    pub(in crate::engine) fn fire(
        &mut self,
        draft: &mut Draft,
        upto: Timestamp,
    ) -> Result<(), RowError> {
        let (core, fragments) = draft.parts();
        let set_values = core.graph.rules().limits.set_values;
        loop {
            let first = core.campaigns.due_timers(None, upto).next().cloned();
            let Some(timer) = first else { return Ok(()) };
            let (at, fragment, campaign, run) = timer.clone();
            let (fragment, campaign) = (core.fragment_key(fragment), campaign.into());
            let act = ActRecord::TimerFired { at, campaign, fragment, run };
            if let Some(mut question) = core.campaign_act(act).asks {
                question.read_event(&mut Events::new(self.reader, &core.revised));
                let journal = Events::new(self.reader, &core.revised);
                let (question, told) = self.told(*question, fragments, set_values, journal)?;
                core.count(&question, told.recent);
                let decisions = core.decisions(&question, &told.folded);
                self.tally.take(&question, None, &decisions);
                carry_out(core, &question, decisions)?;
            }
            core.campaigns.timers.remove(&timer);
        }
    }

    fn told(
        &self,
        mut question: Question,
        fragments: &HashMap<FragmentIndex, Fragment>,
        set_values: u32,
        mut journal: Events,
    ) -> Result<(Question, Told), RowError> {
        if let Some(id) = self.profile {
            id.clone_into(&mut question.id);
        }
        let mine = question.fragments.iter();
        let mine: Vec<(FragmentIndex, &Fragment)> =
            mine.filter_map(|one| Some((*one, fragments.get(one)?))).collect();
        let told = told(&question, &mine, set_values, (None, &mut journal))?;
        Ok((question, told))
    }

    /// What came of it, as told to people.
    pub(in crate::engine) fn view(
        self,
        draft: &mut Draft,
        days: u32,
        is_whole: bool,
    ) -> BacktestView {
        let (core, _) = draft.parts();
        let Tally { events, runs, calls, called, minutes, turned_away, ended } = self.tally;
        let profiles: BTreeSet<FragmentIndex> =
            called.into_iter().filter_map(|one| core.graph.living_lead(one)).collect();
        BacktestView {
            days,
            is_whole,
            events,
            runs,
            profiles: profiles.len(),
            calls,
            peak_a_minute: minutes.into_values().max().unwrap_or(0),
            turned_away,
            ended,
        }
    }
}

impl Tally {
    fn take(&mut self, question: &Question, preview: Option<&Preview>, decisions: &[Decision]) {
        let mut begins = false;
        for decision in decisions {
            match decision {
                Decision::Started { .. } => begins = true,
                Decision::Enqueue(enqueued) => {
                    self.calls += 1;
                    self.called.insert(enqueued.fragment);
                    let minute = question.now.0.div_euclid(MINUTE_MS);
                    *self.minutes.entry(minute).or_default() += 1;
                }
                Decision::Ended { how, .. } if *how != Ended::Done => {
                    *self.ended.entry(how.counted()).or_default() += 1;
                }
                _ => {}
            }
        }
        self.runs += usize::from(begins);
        let Some(preview) = preview else { return };
        self.events += 1;
        let failed = preview.rules.iter().find(|rule| !rule.holds).filter(|_| !begins);
        if let Some(rule) = failed {
            *self.turned_away.entry(rule.rule.clone()).or_default() += 1;
        }
    }
}

/// Makes decisions part of the draft. What is enqueued counts as sent, and what is only told to
/// people is not kept.
fn carry_out(
    core: &mut Core,
    question: &Question,
    decisions: Vec<Decision>,
) -> Result<(), RecordError> {
    core.carry_out(question, decisions)?;
    core.campaigns.outbox = Outbox::default();
    core.campaigns.told.clear();
    core.campaigns.fresh_told.clear();
    core.campaigns.fresh_runs.clear();
    Ok(())
}
