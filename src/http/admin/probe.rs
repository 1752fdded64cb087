//! `POST /sources/{id}/test`: what would be read out of a request; nothing is stored.

use crate::decode::{Decoded, Piece, RawRequest, Shape, decode, query_pairs};
use crate::domain::event::{Event, Found, Payload, Standing, Timing};
use crate::domain::facts::RequestFacts;
use crate::domain::id::Identifier;
use crate::domain::names;
use crate::domain::source::Source;
use crate::domain::view::raw_json;
use crate::engine::{Effective, ProfileRef};
use crate::http::admin::{Answer, body};
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// A request as it might come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    event_type: String,
    session_id: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// JSON, or a text that is taken as the raw body.
    body: Option<Box<RawValue>>,
}

/// What would be read out of it.
#[derive(Debug, Serialize)]
struct Reading {
    event_type: String,
    session_id: Option<String>,
    occurred_at: Option<String>,
    external_id: Option<String>,
    identifiers: Vec<String>,
    traits: BTreeMap<String, Box<RawValue>>,
    has_event_id: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Whether something was replaced by U+FFFD in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lossy: bool,
    /// The profiles that own one of the identifiers now.
    profiles: BTreeSet<String>,
    properties: Option<Box<RawValue>>,
}

/// Reads a request without storing anything.
#[utoipa::path(post, path = "/api/v1/sources/{id}/test", tag = "configuration",
    params(("id" = String, Path, description = "The source's id")),
    responses((status = 200, description = "What would be extracted and resolved"),
              (status = 400, description = "Invalid"), (status = 404, description = "None")))]
pub async fn probe(http: Data<Http>, id: Path<String>, bytes: Bytes) -> Answer {
    let sample: Sample = body(&bytes)?;
    let effective = http.engine.effective()?;
    let source = effective.compiled.sources.get(id.as_str());
    let source = source.ok_or_else(|| Problem::not_found("source"))?;
    let mut events = Vec::new();
    for event in sample.events(&http, &effective, source)? {
        events.push(reading(&http, &effective, event).await?);
    }
    Ok(HttpResponse::Ok().json(serde_json::json!({ "events": events })))
}

impl Sample {
    fn events(
        &self,
        http: &Http,
        effective: &Effective,
        source: &Source,
    ) -> Result<Vec<Event>, Problem> {
        let event_type = names::event_type(&self.event_type)
            .ok_or_else(|| Problem::invalid("expected an event_type of 1 to 200 characters"))?;
        let query: String =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let raw = RawRequest {
            content_type: self.header("content-type"),
            content_encoding: None,
            query: &query,
            body: self.raw_body(),
        };
        let shape = Shape { splits: &source.splits, fields: &source.decode };
        let decoded = decode(&raw, shape, &http.decoding)
            .map_err(|refusal| Problem::invalid(refusal.to_string()))?;
        let (pieces, is_batch) = match decoded {
            Decoded::Single(piece) => (vec![piece], false),
            Decoded::Batch(batch) => (batch.pieces().collect(), true),
        };
        let pairs = query_pairs(&query);
        let header = |name: &str| self.header(name).map(str::to_owned);
        let read = |(place, piece): (usize, Piece)| {
            let facts = RequestFacts {
                event_type: &event_type,
                session: self.session_id.as_deref().and_then(names::name),
                header: &header,
                query: &pairs,
                received_at: http.clock.now(),
                batch_index: is_batch.then_some(place),
                is_lossy: piece.raw.is_some(),
                passed_over: &|_| {},
            };
            let (compiled, key) = (&effective.compiled, &effective.hash_key);
            let event = match piece.fault {
                None => compiled.extract(source, &facts, piece.payload, key),
                Some(reason) => compiled.set_aside(source, &facts, piece.payload, reason, key),
            };
            Event { raw: piece.raw, ..event }
        };
        Ok(pieces.into_iter().enumerate().map(read).collect())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn raw_body(&self) -> Bytes {
        let Some(body) = &self.body else { return Bytes::new() };
        match serde_json::from_str::<String>(body.get()) {
            Ok(text) => text.into(),
            Err(_) => body.get().to_owned().into(),
        }
    }
}

async fn reading(http: &Http, effective: &Effective, event: Event) -> Result<Reading, Problem> {
    let written = |found: &Found| format!("{}:{}", found.kind, found.value);
    let mut profiles = BTreeSet::new();
    for found in event.external.iter().chain(&event.identifiers) {
        let identifier = Identifier { kind: found.kind.clone(), value: found.value.clone() };
        let owner = http.engine.profile(ProfileRef::Identifier(identifier), false).await?;
        profiles.extend(owner.map(|profile| profile.id));
    }
    let (status, reason) = status(effective, &event);
    let traits = event.traits.iter().filter_map(|value| {
        let json = RawValue::from_string(value.json.to_string()).ok()?;
        Some((value.name.to_string(), json))
    });
    Ok(Reading {
        event_type: event.kind.to_string(),
        session_id: event.session.as_deref().map(str::to_owned),
        occurred_at: (event.timing == Timing::Said).then(|| event.occurred_at.to_string()),
        external_id: event.external.as_ref().map(written),
        identifiers: event.identifiers.iter().map(written).collect(),
        traits: traits.collect(),
        has_event_id: event.dedupe.is_some(),
        status,
        reason,
        lossy: event.raw.is_some(),
        profiles,
        properties: match &event.payload {
            Payload::Json(bytes) => raw_json(bytes),
            Payload::Opaque(_) => None,
        },
    })
}

fn status(effective: &Effective, event: &Event) -> (&'static str, Option<&'static str>) {
    let is_somebody =
        event.external.is_some() || event.session.is_some() || !event.identifiers.is_empty();
    match event.standing {
        Standing::Quarantined(reason) => ("quarantined", Some(reason.name())),
        _ if effective.compiled.unidentified_drop(event) => ("dropped", None),
        Standing::Anonymous => ("stored", None),
        Standing::Open if is_somebody => ("stored", None),
        Standing::Open => ("profile-less", None),
    }
}
