//! The event record.

use super::{EVENT_VERSION, RecordError, encode};
use crate::domain::event::{Event, Found, Payload, Raw, Reason, Standing, Timing, TraitValue};
use crate::domain::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const WHAT: &str = "an event record";

/// As version 1 laid it out; nobody writes it any more.
#[derive(Deserialize)]
struct EventV1<'a> {
    received_at: i64,
    /// `occurred_at` less `received_at`: small numbers pack well.
    occurred_after: i64,
    timing: u8,
    #[serde(borrow)]
    source: &'a str,
    kind: &'a str,
    session: Option<&'a str>,
    dedupe: Option<[u8; 16]>,
    external: Option<FoundV1<'a>>,
    identifiers: Vec<FoundV1<'a>>,
    traits: Vec<TraitV1<'a>>,
    /// 0 open, 1 anonymous, 2 and more: quarantined, by the order of [`Reason::ALL`].
    standing: u8,
    is_json: bool,
    #[serde(with = "raw")]
    payload: &'a [u8],
}

/// With what a lossy event came as.
#[derive(Serialize, Deserialize)]
struct EventV2<'a> {
    received_at: i64,
    /// `occurred_at` less `received_at`: small numbers pack well.
    occurred_after: i64,
    timing: u8,
    #[serde(borrow)]
    source: &'a str,
    kind: &'a str,
    session: Option<&'a str>,
    dedupe: Option<[u8; 16]>,
    external: Option<FoundV1<'a>>,
    identifiers: Vec<FoundV1<'a>>,
    traits: Vec<TraitV1<'a>>,
    /// 0 open, 1 anonymous, 2 and more: quarantined, by the order of [`Reason::ALL`].
    standing: u8,
    is_json: bool,
    raw: Option<RawV2<'a>>,
    #[serde(with = "raw")]
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct RawV2<'a> {
    #[serde(borrow, with = "raw")]
    body: &'a [u8],
    #[serde(with = "raw")]
    query: &'a [u8],
}

impl<'a> From<EventV1<'a>> for EventV2<'a> {
    fn from(v1: EventV1<'a>) -> Self {
        Self {
            received_at: v1.received_at,
            occurred_after: v1.occurred_after,
            timing: v1.timing,
            source: v1.source,
            kind: v1.kind,
            session: v1.session,
            dedupe: v1.dedupe,
            external: v1.external,
            identifiers: v1.identifiers,
            traits: v1.traits,
            standing: v1.standing,
            is_json: v1.is_json,
            raw: None,
            payload: v1.payload,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FoundV1<'a> {
    kind: &'a str,
    value: &'a str,
    raw: Option<&'a str>,
    point: &'a str,
}

#[derive(Serialize, Deserialize)]
struct TraitV1<'a> {
    name: &'a str,
    json: &'a str,
    point: bool,
}

/// Byte slices as one run of bytes rather than a sequence of numbers.
mod raw {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'de [u8], D::Error> {
        <&[u8]>::deserialize(from)
    }
}

/// The bytes of an event's record, in [`EVENT_VERSION`].
///
/// # Errors
/// When the event is larger than a record may be.
pub fn encode_event(event: &Event) -> Result<Vec<u8>, RecordError> {
    let (is_json, payload) = match &event.payload {
        Payload::Json(bytes) => (true, bytes),
        Payload::Opaque(bytes) => (false, bytes),
    };
    encode(
        WHAT,
        &EventV2 {
            received_at: event.received_at.0,
            occurred_after: event.occurred_at.0.wrapping_sub(event.received_at.0),
            timing: match event.timing {
                Timing::Said => 0,
                Timing::Received => 1,
                Timing::Unsaid => 2,
                Timing::Unread => 3,
            },
            source: &event.source,
            kind: &event.kind,
            session: event.session.as_deref(),
            dedupe: event.dedupe,
            external: event.external.as_ref().map(found_v1),
            identifiers: event.identifiers.iter().map(found_v1).collect(),
            traits: event.traits.iter().map(trait_v1).collect(),
            standing: match event.standing {
                Standing::Open => 0,
                Standing::Anonymous => 1,
                Standing::Quarantined(reason) => 2 + reason.number(),
            },
            is_json,
            raw: event.raw.as_ref().map(|raw| RawV2 { body: &raw.body, query: &raw.query }),
            payload,
        },
    )
}

fn found_v1(found: &Found) -> FoundV1<'_> {
    FoundV1 {
        kind: &found.kind,
        value: &found.value,
        raw: found.raw.as_deref(),
        point: &found.point,
    }
}

fn trait_v1(value: &TraitValue) -> TraitV1<'_> {
    TraitV1 { name: &value.name, json: &value.json, point: value.point }
}

/// A number that no event of this program has: never read as another one.
fn unknown(cause: String) -> RecordError {
    RecordError::Encoding { what: WHAT, cause }
}

/// Reads an event's record of any version.
///
/// # Errors
/// When the version is unknown or the bytes do not decode.
pub fn decode_event(version: u8, bytes: &[u8]) -> Result<Event, RecordError> {
    let event: EventV2<'_> = match version {
        1 => borrowed::<EventV1<'_>>(bytes)?.into(),
        2 => borrowed(bytes)?,
        found => {
            return Err(RecordError::Version { what: WHAT, latest: EVENT_VERSION, found });
        }
    };
    let timing = match event.timing {
        0 => Timing::Said,
        1 => Timing::Received,
        2 => Timing::Unsaid,
        3 => Timing::Unread,
        found => return Err(unknown(format!("expected a timing of 0 to 3, found {found}"))),
    };
    let standing = match event.standing {
        0 => Standing::Open,
        1 => Standing::Anonymous,
        number => {
            let reason = Reason::of_number(number - 2);
            Standing::Quarantined(reason.ok_or_else(|| {
                let most = Reason::ALL.len() + 1;
                unknown(format!("expected a standing of 0 to {most}, found {number}"))
            })?)
        }
    };
    let payload = Bytes::copy_from_slice(event.payload);
    Ok(Event {
        received_at: Timestamp(event.received_at),
        occurred_at: Timestamp(event.received_at.wrapping_add(event.occurred_after)),
        timing,
        source: event.source.into(),
        kind: event.kind.into(),
        session: event.session.map(Into::into),
        dedupe: event.dedupe,
        external: event.external.as_ref().map(found),
        identifiers: event.identifiers.iter().map(found).collect(),
        traits: event
            .traits
            .iter()
            .map(|one| TraitValue {
                name: one.name.into(),
                json: one.json.into(),
                point: one.point,
            })
            .collect(),
        standing,
        payload: if event.is_json { Payload::Json(payload) } else { Payload::Opaque(payload) },
        raw: event.raw.map(|raw| {
            let own = Bytes::copy_from_slice;
            Box::new(Raw { body: own(raw.body), query: own(raw.query) })
        }),
    })
}

fn found(v1: &FoundV1<'_>) -> Found {
    Found {
        kind: v1.kind.into(),
        value: v1.value.into(),
        raw: v1.raw.map(Into::into),
        point: v1.point.into(),
    }
}

fn borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    use bincode::Options;
    super::options()
        .reject_trailing_bytes()
        .deserialize(bytes)
        .map_err(|cause| RecordError::Encoding { what: WHAT, cause: cause.to_string() })
}
