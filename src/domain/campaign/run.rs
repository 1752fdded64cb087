//! Runs: how an event or a timer moves them on, and whether what is enqueued may still be sent.
//!
//! A run belongs to the fragment whose event triggered it. Of a profile's fragments at most one
//! begins a run at a time; where a merge brings together two that wait, the one triggered first goes
//! on and the other ends when its time comes, unless the restart rule lets it go on as well. A run
//! that ends without having called leaves no restart time, unless its exit ended it.

use crate::domain::campaign::compile::Campaigns;
use crate::domain::campaign::condition::{Facts, values};
use crate::domain::campaign::ended::Ended;
use crate::domain::campaign::matching::Reach;
use crate::domain::campaign::model::{
    Audience, Campaign, Condition, EventFilter, Restart, Standing, Step,
};
use crate::domain::campaign::request::{Rendered, Unsendable, webhook_id};
use crate::domain::campaign::state::{CampaignState, FragmentRuns, Moment, Run};
use crate::domain::campaign::{EventFacts, Person};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::path::read::Values;
use crate::domain::time::Timestamp;
use std::sync::Arc;

/// How much longer a run waits whose wait is over while its campaign is paused, in milliseconds.
const PAUSED_MS: i64 = 1_000;

/// The fragments of one profile with what campaigns left on them.
pub(super) type Fragments<'a> = [(FragmentIndex, &'a FragmentRuns)];

/// What is to be done because of an event or a timer, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The campaign now leaves this on the fragment; see [`FragmentRuns::set`].
    Set {
        /// The campaign.
        campaign: Arc<str>,
        /// The fragment.
        fragment: FragmentIndex,
        /// What it leaves.
        state: CampaignState,
    },
    /// A run began.
    Started {
        /// The campaign.
        campaign: Arc<str>,
        /// The fragment that it belongs to.
        fragment: FragmentIndex,
        /// The sequence of the event that triggered it.
        run: Sequence,
    },
    /// A run waits; [`Campaigns::on_timer`] is to be asked when it is due.
    Waiting {
        /// The campaign.
        campaign: Arc<str>,
        /// The fragment that it belongs to.
        fragment: FragmentIndex,
        /// The sequence of the event that triggered it.
        run: Sequence,
        /// By journal time.
        due: Timestamp,
    },
    /// A webhook is to be sent.
    Enqueue(Box<Enqueued>),
    /// A run ended.
    Ended {
        /// The campaign.
        campaign: Arc<str>,
        /// The fragment that it belongs to.
        fragment: FragmentIndex,
        /// The sequence of the event that triggered it.
        run: Sequence,
        /// How.
        how: Ended,
    },
    /// What the campaign has enqueued for this profile and is not sent yet is cancelled, where the
    /// exit ends it ([`Moment::ends`]).
    Cancel {
        /// The campaign.
        campaign: Arc<str>,
        /// The exit.
        exit: Moment,
    },
    /// Conditions did not look at everything that they were shown: `limits.condition_elements`.
    Bounded,
    /// The trigger fits, but no run began.
    Declined {
        /// The campaign.
        campaign: Arc<str>,
        /// Why.
        why: Held,
    },
}

/// A wait that is over.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// The campaign.
    pub campaign: &'a str,
    /// The fragment that the run belongs to.
    pub fragment: FragmentIndex,
    /// The sequence of the event that triggered it.
    pub run: Sequence,
    /// That event's id; known also when the event is no longer kept ([`Run::began_at`]).
    pub event_id: &'a str,
}

/// What is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// The campaign.
    pub campaign: &'a str,
    /// The step, from 0.
    pub step: u16,
    /// The event that triggered its run.
    pub trigger: Moment,
    /// From when on its age counts: when the trigger occurred and the waits before this step were
    /// over; or when an operator had it sent once more.
    pub counts_from: Timestamp,
}

/// A webhook to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The campaign.
    pub campaign: Arc<str>,
    /// The step, from 0.
    pub step: u16,
    /// The fragment that its run belongs to.
    pub fragment: FragmentIndex,
    /// The event that triggered its run.
    pub trigger: Moment,
    /// How much longer ago than now its age counts from, in milliseconds.
    pub late_ms: i64,
    /// The id that receivers tell repetitions by.
    pub webhook_id: String,
    /// What is sent.
    pub rendered: Rendered,
}

/// Why a trigger that fits begins no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A run is under way.
    Running,
    /// The run before stopped too lately; the next may begin then.
    Until(Timestamp),
    /// There was one, and there shall never be another.
    Once,
    /// The profile is not in the audience.
    Audience,
    /// The profile had an exit event that occurred at or after the trigger.
    Exited,
    /// The trigger occurred longer ago than every webhook's `max_age`.
    TooOld,
}

/// What becomes of a delivery before an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// It is sent.
    Send,
    /// It is not sent now, and asked again later: the campaign is paused.
    Hold,
    /// It is not sent any more.
    Cancel(Ended),
}

impl Campaigns {
    /// What an event means to the runs of its profile, which is shown as it is after the event.
    ///
    /// `now` is the event's time of receipt; `fragments` are those of the profile, the event's own
    /// among them. Event time decides: an exit ends the runs whose triggers occurred no later, and a
    /// trigger that comes late is judged as of when it occurred.
    pub fn on_event(
        &self,
        person: &Person<'_>,
        event: &EventFacts<'_>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if !self.concern(event.kind) {
            return decisions;
        }
        let values = self.values(Some(event));
        let reach = self.reach();
        let moment = self.moment(event, now);
        let at = moment.at;
        let facts = self.facts((person, &values, fragments), moment.at, &reach);
        for campaign in self.ended_by(event.kind) {
            if campaign.exit.as_ref().is_some_and(|exit| exit.fits(event, &facts)) {
                campaign.leave((event.fragment, moment), fragments, now, &mut decisions);
            }
        }
        // Each campaign is triggered once at most, so only what exits decided can matter to it.
        let exits = decisions.len();
        for campaign in self.triggered_by(event.kind) {
            if !campaign.trigger.fits(event, &facts) {
                continue;
            }
            let own = after(&decisions[..exits], campaign, event.fragment, fragments);
            let others = fragments.iter().filter(|(index, _)| *index != event.fragment);
            let folded = others.fold(own, |state, (index, _)| {
                state.join(after(&decisions[..exits], campaign, *index, fragments))
            });
            let held = campaign.missed(moment, fragments, now).or(campaign.held(folded, at));
            if let Some(why) = held.or((!campaign.audience.holds(&facts)).then_some(Held::Audience))
            {
                decisions.push(Decision::Declined { campaign: Arc::clone(&campaign.id), why });
                continue;
            }
            let run = Run {
                sequence: event.sequence,
                began_at: now,
                step: 0,
                due: now,
                has_called: false,
                occurred_at: at,
                is_said: moment.is_said,
            };
            let (id, fragment) = (Arc::clone(&campaign.id), event.fragment);
            decisions.push(Decision::Started { campaign: id, fragment, run: run.sequence });
            let going =
                Going { campaign, person, event: Some(event), event_id: event.id, now, fragment };
            going.proceed(own, run, &mut decisions);
        }
        decisions.extend(reach.is_cut().then_some(Decision::Bounded));
        decisions
    }

    /// What becomes of a run whose wait is over; nothing, when it is not there any more or its time
    /// has not come.
    ///
    /// `now` is the time in the timer's journal record; `event` is the one that triggered the run,
    /// as far as it is still kept.
    pub fn on_timer(
        &self,
        due: Due<'_>,
        person: &Person<'_>,
        event: Option<&EventFacts<'_>>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Vec<Decision> {
        let Due { campaign: id, fragment, run: sequence, event_id } = due;
        let mut decisions = Vec::new();
        let Some((_, runs)) = fragments.iter().find(|(index, _)| *index == fragment) else {
            return decisions;
        };
        let state = runs.state(id);
        let Some(mut run) = state.run.filter(|run| run.sequence == sequence && run.due <= now)
        else {
            return decisions;
        };
        let Some(campaign) = self.get(id) else {
            end(&mut decisions, id.into(), fragment, (state, run), Ended::Gone, now);
            return decisions;
        };
        let others = fragments.iter().filter(|(index, _)| *index != fragment);
        let others =
            others.fold(CampaignState::default(), |folded, (_, runs)| folded.join(runs.state(id)));
        let values = self.values(event);
        let reach = self.reach();
        let facts =
            Facts { person, values: &values, fragments, now, is_past: false, reach: &reach };
        let yields = others.run.is_some_and(|other| other.sequence < run.sequence)
            || campaign.held(CampaignState { run: None, ..others }, now).is_some();
        let ended = if campaign.standing == Standing::Draft {
            Some(Ended::NotLive)
        } else if others.exited.max(state.exited).ends(run.trigger()) {
            Some(Ended::Exit)
        } else if yields {
            Some(Ended::Merged)
        } else if !campaign.audience.holds_still(event, &facts) {
            Some(Ended::Audience)
        } else {
            None
        };
        let campaign_id = Arc::clone(&campaign.id);
        if ended.is_none() && campaign.standing == Standing::Paused {
            run.due = now.plus_ms(PAUSED_MS);
            decisions.extend(waits(campaign_id, fragment, (state, run)));
            return decisions;
        }
        match ended {
            Some(how) => end(&mut decisions, campaign_id, fragment, (state, run), how, now),
            None => {
                let going = Going { campaign, person, event, event_id, now, fragment };
                going.proceed(state, run, &mut decisions);
            }
        }
        decisions
    }

    /// Whether what a run has enqueued may still be sent; asked before each attempt.
    ///
    /// `event` is the one that triggered the run; it is looked into only where
    /// [`Campaign::audience_reads_event`].
    pub fn recheck(
        &self,
        pending: Pending<'_>,
        person: &Person<'_>,
        event: Option<&EventFacts<'_>>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Recheck {
        let campaign = match self.unless_over(pending, fragments, now) {
            Ok(campaign) => campaign,
            Err(over) => return Recheck::Cancel(over),
        };
        let values = self.values(event);
        let reach = self.reach();
        let facts =
            Facts { person, values: &values, fragments, now, is_past: false, reach: &reach };
        if !campaign.audience.holds_still(event, &facts) {
            return Recheck::Cancel(Ended::Audience);
        }
        campaign.may_send()
    }

    /// As [`Self::recheck`], without the profile; nothing, where its audience has to be looked at.
    pub fn recheck_unasked(
        &self,
        pending: Pending<'_>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Option<Recheck> {
        match self.unless_over(pending, fragments, now) {
            Ok(campaign) => campaign.audience.is_everyone().then(|| campaign.may_send()),
            Err(over) => Some(Recheck::Cancel(over)),
        }
    }

    /// The campaign of what is to be sent, or why it is not to be sent whoever the profile is.
    fn unless_over(
        &self,
        pending: Pending<'_>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Result<&Campaign, Ended> {
        let Pending { campaign: id, step, trigger, counts_from } = pending;
        let found = self.get(id).and_then(|campaign| Some((campaign, campaign.webhook(step)?)));
        let (campaign, webhook) = found.ok_or(Ended::Gone)?;
        if now > counts_from.plus_ms(webhook.max_age_ms) {
            return Err(Ended::TooOld);
        }
        if fragments.iter().any(|(_, runs)| runs.state(id).exited.ends(trigger)) {
            return Err(Ended::Exit);
        }
        Ok(campaign)
    }

    /// What conditions are judged by, as of `now`.
    pub(super) fn facts<'a>(
        &self,
        (person, values, fragments): (&'a Person<'a>, &'a Values<'a>, &'a Fragments<'a>),
        now: Timestamp,
        reach: &'a Reach,
    ) -> Facts<'a> {
        Facts { person, values, fragments, now, is_past: !self.by_arrival, reach }
    }

    /// How far conditions look from here on.
    pub(super) fn reach(&self) -> Reach {
        Reach::new(self.elements.unwrap_or(usize::MAX))
    }

    pub(super) fn values<'a>(&self, event: Option<&EventFacts<'a>>) -> Values<'a> {
        values(&self.paths, event)
    }
}

/// A run that is being moved on.
struct Going<'a> {
    campaign: &'a Campaign,
    person: &'a Person<'a>,
    event: Option<&'a EventFacts<'a>>,
    event_id: &'a str,
    now: Timestamp,
    fragment: FragmentIndex,
}

impl Going<'_> {
    /// Takes steps until one waits or none is left.
    fn proceed(&self, state: CampaignState, mut run: Run, decisions: &mut Vec<Decision>) {
        let Self { campaign, person, event, event_id, now, fragment } = *self;
        let id = || Arc::clone(&campaign.id);
        while let Some(step) = campaign.steps.get(usize::from(run.step)) {
            let place = run.step;
            run.step += 1;
            match step {
                Step::Wait { ms } => {
                    run.due = now.plus_ms(*ms);
                    decisions.extend(waits(id(), fragment, (state, run)));
                    return;
                }
                Step::Webhook(webhook) => match webhook.render(person, event) {
                    Ok(rendered) => {
                        run.has_called = true;
                        decisions.push(Decision::Enqueue(Box::new(Enqueued {
                            campaign: id(),
                            step: place,
                            fragment,
                            trigger: run.trigger(),
                            late_ms: now.0.saturating_sub(campaign.ripe(run, place).0).max(0),
                            webhook_id: webhook_id(event_id, &campaign.id, place),
                            rendered,
                        })));
                    }
                    Err(unsendable) => {
                        let how = match unsendable {
                            Unsendable::Missing { field, path } => Ended::Missing { field, path },
                            Unsendable::TooLarge => Ended::TooLarge,
                        };
                        return end(decisions, id(), fragment, (state, run), how, now);
                    }
                },
            }
        }
        end(decisions, id(), fragment, (state, run), Ended::Done, now);
    }
}

/// Has a run wait until it is due.
fn waits(
    campaign: Arc<str>,
    fragment: FragmentIndex,
    (state, run): (CampaignState, Run),
) -> [Decision; 2] {
    let state = CampaignState { run: Some(run), ..state };
    let (run, due) = (run.sequence, run.due);
    let set = Decision::Set { campaign: Arc::clone(&campaign), fragment, state };
    [set, Decision::Waiting { campaign, fragment, run, due }]
}

/// Ends a run; it leaves a restart time if it has called, or reached its exit.
fn end(
    decisions: &mut Vec<Decision>,
    campaign: Arc<str>,
    fragment: FragmentIndex,
    (state, run): (CampaignState, Run),
    how: Ended,
    now: Timestamp,
) {
    let stops = run.has_called || how == Ended::Exit;
    let stopped_at = if stops { state.stopped_at.max(Some(now)) } else { state.stopped_at };
    let state = CampaignState { run: None, stopped_at, ..state };
    decisions.push(Decision::Set { campaign: Arc::clone(&campaign), fragment, state });
    decisions.push(Decision::Ended { campaign, fragment, run: run.sequence, how });
}

/// A campaign's state on a fragment, with what was decided already.
fn after(
    decisions: &[Decision],
    campaign: &Campaign,
    fragment: FragmentIndex,
    fragments: &Fragments<'_>,
) -> CampaignState {
    let decided = decisions.iter().rev().find_map(|decision| match decision {
        Decision::Set { campaign: of, fragment: on, state }
            if *of == campaign.id && *on == fragment =>
        {
            Some(*state)
        }
        _ => None,
    });
    decided.unwrap_or_else(|| {
        let found = fragments.iter().find(|(index, _)| *index == fragment);
        found.map_or_else(CampaignState::default, |(_, runs)| runs.state(&campaign.id))
    })
}

impl Campaign {
    /// Whether it lets anything out at present.
    fn may_send(&self) -> Recheck {
        match self.standing {
            Standing::Live => Recheck::Send,
            Standing::Paused => Recheck::Hold,
            Standing::Draft => Recheck::Cancel(Ended::NotLive),
        }
    }

    /// Why a new run may not begin beside what the profile's fragments say together.
    pub(super) fn held(&self, state: CampaignState, now: Timestamp) -> Option<Held> {
        if state.run.is_some() {
            return Some(Held::Running);
        }
        let stopped_at = state.stopped_at?;
        match self.restart {
            Restart::AtOnce => None,
            Restart::Never => Some(Held::Once),
            Restart::After(ms) => {
                let again = stopped_at.plus_ms(ms);
                (now < again).then_some(Held::Until(again))
            }
        }
    }

    /// Its exit was reached: ends the profile's runs and notes it on the event's fragment.
    fn leave(
        &self,
        (own, exit): (FragmentIndex, Moment),
        fragments: &Fragments<'_>,
        now: Timestamp,
        decisions: &mut Vec<Decision>,
    ) {
        let id = || Arc::clone(&self.id);
        let mut has_called = false;
        for (fragment, runs) in fragments {
            let mut state = runs.state(&self.id);
            has_called |= state.stopped_at.is_some();
            if *fragment == own {
                state.exited = state.exited.max(exit);
            }
            match state.run {
                Some(run) if exit.ends(run.trigger()) => {
                    has_called |= run.has_called;
                    end(decisions, id(), *fragment, (state, run), Ended::Exit, now);
                }
                _ if *fragment == own => {
                    has_called |= state.run.is_some_and(|run| run.has_called);
                    decisions.push(Decision::Set { campaign: id(), fragment: *fragment, state });
                }
                run => has_called |= run.is_some_and(|run| run.has_called),
            }
        }
        if has_called {
            decisions.push(Decision::Cancel { campaign: id(), exit });
        }
    }
}

impl EventFilter {
    /// Whether an event is meant.
    fn fits(&self, event: &EventFacts<'_>, facts: &Facts<'_>) -> bool {
        self.is_of(event.kind, event.source) && self.conditions.iter().all(|one| one.holds(facts))
    }
}

impl Audience {
    /// Whether the profile is meant.
    fn holds(&self, facts: &Facts<'_>) -> bool {
        self.known.is_none_or(|known| known == facts.person.known)
            && self.conditions.iter().all(|one| one.holds(facts))
    }

    /// Whether it is still meant, some time after the event: an event does not change, so what was
    /// true of one that is no longer at hand still is.
    /// Whether no profile is turned away.
    fn is_everyone(&self) -> bool {
        self.known.is_none() && self.conditions.is_empty()
    }

    fn holds_still(&self, event: Option<&EventFacts<'_>>, facts: &Facts<'_>) -> bool {
        let judged = |one: &&Condition| event.is_some() || !one.reads_event();
        self.known.is_none_or(|known| known == facts.person.known)
            && self.conditions.iter().filter(judged).all(|one| one.holds(facts))
    }
}
