//! What is asked of a profile on behalf of its campaigns, and what it tells.

use crate::domain::campaign::{EventFacts, FragmentRuns, Person};
use crate::domain::event::{Event, Payload, Standing, Timing};
use crate::domain::graph::{FragmentIndex, Shown};
use crate::domain::id::Sequence;
use crate::domain::profile::Folded;
use crate::domain::time::Timestamp;
use crate::engine::fault::Stage;
use crate::engine::state::campaigns::outbox::EndpointNumber;
use crate::engine::state::{Core, Placement};
use crate::records::FragmentKey;
use uuid::Uuid;

/// What is asked of a profile on behalf of its campaigns.
#[derive(Debug)]
pub struct Question {
    /// The record that asks; 0 before an attempt.
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) now: Timestamp,
    pub(in crate::engine) lead: FragmentIndex,
    pub(in crate::engine) id: String,
    pub(in crate::engine) known: bool,
    pub(in crate::engine) identifiers: Vec<Shown>,
    pub(in crate::engine) fragments: Vec<FragmentIndex>,
    /// Fragments whose recent events have to be told: what is counted has changed.
    pub(in crate::engine) stale: Vec<FragmentIndex>,
    /// The event that triggers, or triggered; none when it is no longer kept.
    pub(in crate::engine) event: Option<Box<Event>>,
    /// That event's sequence, id and fragment.
    pub(in crate::engine) run: Sequence,
    pub(in crate::engine) event_id: Uuid,
    /// When that event was received.
    pub(in crate::engine) began_at: Timestamp,
    pub(in crate::engine) fragment: FragmentIndex,
    pub(in crate::engine) because: Because,
    /// The era of the state that asks; an answer to one of before counts for nothing.
    pub(in crate::engine) era: u64,
}

/// Why a profile is asked.
#[derive(Debug)]
pub(in crate::engine) enum Because {
    Event,
    Timer { campaign: String, key: FragmentKey },
    Attempt { endpoint: EndpointNumber, delivery: u64 },
    Trial,
}

/// The events of a fragment by type and time.
pub(in crate::engine) type Recent = (FragmentIndex, Vec<(Box<str>, Timestamp)>);

/// What a profile answers: its fold, and the events of the stale fragments by type and time.
#[derive(Debug)]
pub(in crate::engine) struct Told {
    pub(in crate::engine) folded: Folded,
    pub(in crate::engine) recent: Vec<Recent>,
}

impl Question {
    /// The delivery that is about to be sent, and where.
    pub(in crate::engine) fn delivery(&self) -> Option<(EndpointNumber, u64)> {
        match self.because {
            Because::Attempt { endpoint, delivery } => Some((endpoint, delivery)),
            _ => None,
        }
    }

    /// Whether its answer may change what campaigns know.
    pub(in crate::engine) fn decides(&self) -> bool {
        matches!(self.because, Because::Event | Because::Timer { .. })
    }

    /// Where a fault may be injected when it is decided, and of what type of event or campaign.
    pub(in crate::engine) fn stage(&self) -> (Stage, &str) {
        match &self.because {
            Because::Timer { campaign, .. } => (Stage::Timer, campaign),
            Because::Attempt { .. } => (Stage::Recheck, ""),
            Because::Event | Because::Trial => {
                (Stage::Campaign, self.event.as_deref().map_or("", |event| &event.kind))
            }
        }
    }

    /// The timer that asks.
    pub(in crate::engine) fn timer(&self) -> Option<TimerKey> {
        match &self.because {
            Because::Timer { campaign, key } => Some((*key, campaign.as_str().into(), self.run)),
            _ => None,
        }
    }

    /// The profile's id.
    pub(in crate::engine) fn profile(&self) -> &str {
        &self.id
    }

    pub(in crate::engine) fn person<'a>(&'a self, folded: &'a Folded) -> Person<'a> {
        let Self { id, known, identifiers, .. } = self;
        Person { id, known: *known, folded, identifiers }
    }

    pub(in crate::engine) fn facts<'a>(&'a self, event_id: &'a str) -> Option<EventFacts<'a>> {
        let event = self.event.as_deref()?;
        Some(facts(event, (self.run, event_id, self.fragment)))
    }
}

/// What conditions and fields may know of an event.
pub(in crate::engine) fn facts<'a>(
    event: &'a Event,
    (sequence, id, fragment): (Sequence, &'a str, FragmentIndex),
) -> EventFacts<'a> {
    let properties = match &event.payload {
        Payload::Json(bytes) => std::str::from_utf8(bytes).unwrap_or(""),
        Payload::Opaque(_) => "",
    };
    EventFacts {
        sequence,
        id,
        kind: &event.kind,
        source: &event.source,
        session: event.session.as_deref(),
        occurred_at: event.occurred_at,
        is_said: event.timing == Timing::Said,
        properties,
        fragment,
    }
}

impl Core {
    fn question(&self, lead: FragmentIndex, now: Timestamp, because: Because) -> Question {
        let view = self.graph.view(lead, false);
        let fragments: Vec<FragmentIndex> = view.fragments.iter().map(|(one, _)| *one).collect();
        let counted = self.compiled_campaigns().counted();
        let is_stale = |fragment: &FragmentIndex| match self.campaigns.runs.get(fragment) {
            Some(runs) => !runs.counts.is_current(counted),
            None => !FragmentRuns::default().counts.is_current(counted),
        };
        let stale = fragments.iter().copied().filter(is_stale).collect();
        Question {
            sequence: self.applied,
            now,
            lead,
            id: self.fragment_id(lead).to_string(),
            known: view.known,
            identifiers: view.identifiers,
            fragments,
            stale,
            event: None,
            run: 0,
            event_id: Uuid::nil(),
            began_at: now,
            fragment: lead,
            because,
            era: 0,
        }
    }

    /// What an event that was just placed asks of its profile; nothing, where no campaign cares.
    pub(in crate::engine) fn question_of_event(
        &self,
        sequence: Sequence,
        event: &Event,
        placement: &Placement,
    ) -> Option<Question> {
        let campaigns = self.compiled_campaigns();
        let concerns = campaigns.concern(&event.kind) || campaigns.counted().counts(&event.kind);
        let (Some(fragment), Some(lead)) = (placement.fragment, placement.profile) else {
            return None;
        };
        if !concerns || matches!(event.standing, Standing::Quarantined(_)) {
            return None;
        }
        Some(Question {
            sequence,
            event: Some(Box::new(event.clone())),
            run: sequence,
            event_id: self.event_id(sequence, event.received_at),
            began_at: event.received_at,
            fragment,
            ..self.question(lead, event.received_at, Because::Event)
        })
    }

    /// What a profile is asked before a delivery is tried; nothing, where nobody has it any more.
    pub(in crate::engine) fn question_of_attempt(
        &self,
        number: u64,
        now: Timestamp,
    ) -> Option<Question> {
        let delivery = self.campaigns.outbox.get(number)?;
        let lead = self.lead_of_key(delivery.fragment())?;
        let because = Because::Attempt { endpoint: delivery.endpoint, delivery: number };
        Some(Question {
            run: delivery.run,
            event_id: self.event_id(delivery.run, delivery.began_at),
            began_at: delivery.began_at,
            ..self.question(lead, now, because)
        })
    }

    /// What is asked of a profile to try a campaign with it.
    pub(in crate::engine) fn question_of_trial(
        &self,
        lead: FragmentIndex,
        now: Timestamp,
    ) -> Question {
        self.question(lead, now, Because::Trial)
    }

    /// What a timer asks; nothing, where the run waits no more.
    pub(in crate::engine) fn question_of_timer(
        &self,
        at: Timestamp,
        campaign: String,
        key: FragmentKey,
        run: Sequence,
    ) -> Option<Question> {
        let lead = self.lead_of_key(key)?;
        let waits = |fragment: &FragmentIndex| {
            let runs = self.campaigns.runs.get(fragment)?;
            let waiting = runs.state(&campaign).run.filter(|one| one.sequence == run)?;
            Some((*fragment, waiting))
        };
        let (fragment, waiting) = self.graph.fragments_of(lead).iter().find_map(waits)?;
        Some(Question {
            run,
            event_id: self.event_id(run, waiting.began_at),
            began_at: waiting.began_at,
            fragment,
            ..self.question(lead, at, Because::Timer { campaign, key })
        })
    }
}

/// A timer by what its record says.
pub(in crate::engine) type TimerKey = (FragmentKey, Box<str>, Sequence);
