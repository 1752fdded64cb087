//! From the core's state to what the reading API shows.

use crate::domain::event::{Event, Payload, Raw, Standing};
use crate::domain::graph::{ClusterView, FragmentIndex};
use crate::domain::id::{Identifier, Sequence};
use crate::domain::normalise::canonical;
use crate::domain::profile::Folded;
use crate::domain::time::Timestamp;
use crate::domain::view::{
    ChangeView, EventView, FragmentView, IdentifierView, ProfileView, SessionView, Stats, raw_json,
};
use crate::engine::state::Core;
use crate::engine::state::query::ProfileRef;
use crate::records::ChangeRow;
use base64::Engine as _;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

impl Core {
    /// The profile that somebody asks for.
    pub(in crate::engine) fn lead_of(&self, by: &ProfileRef) -> Option<FragmentIndex> {
        match by {
            ProfileRef::Id(id) => self.profile_of_id(id),
            ProfileRef::Identifier(Identifier { kind, value }) => {
                let rule = self.graph.rules().of(kind);
                let value = canonical(kind, rule, None, value)?;
                self.graph.lead_of_node(self.graph.identifier(kind, &value)?)
            }
        }
    }

    /// The profile that holds an event now, from what is in the event itself.
    pub(in crate::engine) fn locate(
        &self,
        sequence: Sequence,
        event: &Event,
    ) -> Option<FragmentIndex> {
        if self.profile_less.contains(&sequence) || self.quarantined.contains_key(&sequence) {
            return None;
        }
        let graph = &self.graph;
        let rules = graph.rules();
        let node = match crate::engine::state::origin::origin_key(event, rules) {
            Some(("", session)) => graph.session(session),
            Some((kind, value)) => graph.identifier(kind, value),
            None => graph.anonymous(sequence),
        }?;
        graph.fragment_of(node).map(|fragment| graph.lead(fragment))
    }

    /// An event of the journal under the identification points in force.
    pub(in crate::engine) fn as_it_reads_now(
        &self,
        sequence: Sequence,
        event: Box<Event>,
    ) -> Box<Event> {
        if sequence > self.counters.resolved_to {
            return event;
        }
        Box::new(self.effective.compiled.reread_points(&event.source, &event))
    }

    /// An event as shown, on this profile; its payload is shown elsewhere ([`show`]), as that takes
    /// longer the larger it is.
    pub(in crate::engine) fn event_view(
        &self,
        sequence: Sequence,
        event: &Event,
        profile: Option<Uuid>,
    ) -> EventView {
        let reason = self.quarantined.get(&sequence).copied().or(match event.standing {
            Standing::Quarantined(reason) => Some(reason),
            _ => None,
        });
        let status = match (reason, profile) {
            (Some(_), _) => "quarantined",
            (None, Some(_)) => "stored",
            (None, None) => "profile-less",
        };
        let name = |found: &crate::domain::event::Found| format!("{}:{}", found.kind, found.value);
        let identifiers = event.external.iter().chain(&event.identifiers).map(name).collect();
        EventView {
            id: self.event_id(sequence, event.received_at).to_string(),
            sequence,
            kind: event.kind.to_string(),
            source: event.source.to_string(),
            session_id: event.session.as_deref().map(str::to_owned),
            profile_id: profile.map(|id| id.to_string()),
            status,
            reason: reason.map(crate::domain::event::Reason::name),
            occurred_at: event.occurred_at.to_string(),
            occurred_at_from: event.timing.name(),
            received_at: event.received_at.to_string(),
            identifiers,
            properties: None,
            lossy: event.raw.is_some(),
            body_base64: None,
            raw_query: None,
        }
    }

    /// A profile as shown.
    pub(in crate::engine) fn profile_view(&self, viewed: Viewed) -> ProfileView {
        let Viewed { cluster, folded, events } = viewed;
        let id = |fragment: FragmentIndex| self.fragment_id(fragment).to_string();
        let identifier = |one: crate::domain::graph::Shown| IdentifierView {
            kind: one.kind,
            value: one.value,
            raw: one.raw,
            first_seen: one.first_seen.to_string(),
            last_seen: one.last_seen.to_string(),
            status: one.status,
        };
        let traits = folded.traits.iter().filter_map(|(name, cell)| {
            Some((name.to_string(), RawValue::from_string(cell.json()).ok()?))
        });
        let by_type = folded.by_type.iter().map(|(kind, count)| (kind.to_string(), *count));
        ProfileView {
            id: id(cluster.lead),
            merged_ids: cluster.fragments.iter().skip(1).map(|(one, _)| id(*one)).collect(),
            known: cluster.known,
            identifiers: cluster.identifiers.into_iter().map(identifier).collect(),
            traits: traits.collect(),
            stats: Stats { events: folded.events, by_type: by_type.collect() },
            first_seen: folded.first_seen.to_string(),
            last_seen: folded.last_seen.to_string(),
            fragments: cluster
                .fragments
                .iter()
                .map(|(one, origin)| FragmentView {
                    id: id(*one),
                    origin: origin.clone(),
                    events: events.get(one).copied().unwrap_or(0),
                })
                .collect(),
        }
    }

    /// A session as shown.
    pub(in crate::engine) fn session_view(&self, id: &str) -> Option<SessionView> {
        let node = self.graph.session(id)?;
        let (first, last) = self.graph.seen(node);
        let profile = self.graph.lead_of_node(node)?;
        Some(SessionView {
            id: id.to_owned(),
            profile_id: Some(self.fragment_id(profile).to_string()),
            first_seen: first.to_string(),
            last_seen: last.to_string(),
        })
    }
}

/// A change of identity as shown.
pub(in crate::engine) fn change_view(row: &ChangeRow) -> ChangeView {
    let id = |id: u128| Uuid::from_u128(id).to_string();
    let at: Timestamp = row.at;
    ChangeView {
        sequence: row.number,
        kind: row.kind.name(),
        profile_id: row.profile.map(id),
        merged_ids: row.others.iter().map(|one| id(*one)).collect(),
        event_id: row.event.map(id),
        identifier: row.identifier.clone(),
        reason: row.reason.clone(),
        at: at.to_string(),
    }
}

/// What is shown of an event's bytes: its payload, and what it came as where it is lossy.
pub(in crate::engine) type Content = (Payload, Option<Box<Raw>>);

/// Lays an event's bytes beside what else is shown of it.
pub(in crate::engine) fn show(view: EventView, (payload, raw): &Content) -> EventView {
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let raw = raw.as_deref();
    let (properties, opaque) = match payload {
        Payload::Json(bytes) => (raw_json(bytes), None),
        Payload::Opaque(bytes) => (None, Some(bytes)),
    };
    let body_base64 = raw.map(|raw| &raw.body).or(opaque).map(|bytes| base64(bytes));
    let query = raw.map(|raw| &raw.query).filter(|query| !query.is_empty());
    let raw_query = query.map(|query| String::from_utf8_lossy(query).into_owned());
    EventView { properties, body_base64, raw_query, ..view }
}

/// A profile's values and what the graph says of it.
#[derive(Debug)]
pub(in crate::engine) struct Viewed {
    pub(in crate::engine) cluster: ClusterView,
    pub(in crate::engine) folded: Folded,
    /// How many events each fragment holds.
    pub(in crate::engine) events: BTreeMap<FragmentIndex, u64>,
}
