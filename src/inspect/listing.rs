//! The journal's records as lines of JSON, for people and for `jq`.
//!
//! Promise: without the payload, nothing that a line says identifies anyone: no session, no
//! identifier, no trait, no property.

use crate::domain::confidential;
use crate::domain::event::{Event, Payload, Standing};
use crate::domain::id::{IdKey, IdKind, IdParts, Sequence};
use crate::domain::settings::Settings;
use crate::domain::time::Timestamp;
use crate::domain::view::raw_json;
use crate::journal::Record;
use crate::records::{ActRecord, Genesis, ObjectKind, RecordError, decode_event, kind};
use base64::Engine as _;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::fmt;

/// Keys of an operator's act that are shown without the payload.
const ACT_KEYS: [&str; 5] = ["at", "kind", "id", "sequence", "number"];

/// One record as JSON; `key` is the folder's, where it is known, and gives events their ids.
///
/// # Errors
/// When the record does not decode.
pub fn line(
    sequence: Sequence,
    record: &Record,
    key: Option<IdKey>,
    with_payload: bool,
) -> Result<Line, RecordError> {
    let mut line = Map::new();
    let mut properties = None;
    line.insert("sequence".to_owned(), sequence.into());
    line.insert("kind".to_owned(), kind::name(record.kind).into());
    line.insert("version".to_owned(), record.version.into());
    line.insert("bytes".to_owned(), record.bytes.len().into());
    let said = match record.kind {
        kind::GENESIS => {
            let genesis = Genesis::decode(record.version, &record.bytes)?;
            json!({ "at": genesis.made_at.to_string() })
        }
        kind::CONFIGURATION => configuration(&record.bytes, with_payload)?,
        kind::EVENT => {
            let event = decode_event(record.version, &record.bytes)?;
            let mint = |key: IdKey| {
                let parts = IdParts { received_at: event.received_at, sequence, generation: 0 };
                key.mint(IdKind::Event, parts).to_string()
            };
            let said = event_value(&event, key.map(mint), with_payload);
            properties = said.1;
            said.0
        }
        kind::ACT => act(&ActRecord::decode(record.version, &record.bytes)?, with_payload),
        _ => Value::Null,
    };
    if let Value::Object(said) = said {
        line.extend(said);
    }
    Ok(Line { said: line, properties })
}

/// What a record says.
#[derive(Clone, Debug)]
pub struct Line {
    said: Map<String, Value>,
    /// The payload as it came: no tree is built of it, however deep it is.
    properties: Option<Box<RawValue>>,
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.said {
            map.serialize_entry(key, value)?;
        }
        if let Some(properties) = &self.properties {
            map.serialize_entry("properties", properties)?;
        }
        map.end()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn configuration(bytes: &[u8], with_payload: bool) -> Result<Value, RecordError> {
    let unread = |cause: serde_json::Error| RecordError::Encoding {
        what: "a configuration record",
        cause: cause.to_string(),
    };
    let settings: Settings = serde_json::from_slice(bytes).map_err(unread)?;
    let sources: Vec<&String> = settings.sources.keys().collect();
    let points: Vec<&String> = settings.points.keys().collect();
    let mut said = json!({ "sources": sources, "identification_points": points });
    if with_payload {
        said["settings"] = shown(serde_json::from_slice(bytes).map_err(unread)?);
    }
    Ok(said)
}

/// Settings as they may be shown: earlier programs journalled secrets that stood in files in clear.
fn shown(mut settings: Value) -> Value {
    for (section, kind) in
        [("sources", confidential::Kind::Source), ("campaigns", confidential::Kind::Campaign)]
    {
        let objects = settings.get_mut(section).and_then(Value::as_object_mut);
        for object in objects.into_iter().flat_map(Map::values_mut) {
            *object = confidential::masked(kind, object.take());
        }
    }
    settings
}

/// An object that was set by API, as it may be shown; earlier programs took secrets in clear.
fn shown_object(kind: ObjectKind, json: &str) -> Option<String> {
    let kind = match kind {
        ObjectKind::Source => confidential::Kind::Source,
        ObjectKind::Campaign => confidential::Kind::Campaign,
        _ => return None,
    };
    let object: Value = serde_json::from_str(json).ok()?;
    Some(confidential::masked(kind, object).to_string())
}

fn event_value(
    event: &Event,
    id: Option<String>,
    with_payload: bool,
) -> (Value, Option<Box<RawValue>>) {
    let mut properties = None;
    let standing = match event.standing {
        Standing::Open => "open",
        Standing::Anonymous => "anonymous",
        Standing::Quarantined(reason) => reason.name(),
    };
    let mut said = json!({
        "id": id,
        "type": event.kind,
        "source": event.source,
        "occurred_at": event.occurred_at.to_string(),
        "received_at": event.received_at.to_string(),
        "standing": standing,
    });
    if with_payload {
        let found: Vec<String> = event
            .external
            .iter()
            .chain(&event.identifiers)
            .map(|one| format!("{}:{}", one.kind, one.value))
            .collect();
        said["session_id"] = event.session.as_deref().into();
        said["identifiers"] = found.into();
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        match &event.payload {
            Payload::Json(bytes) => properties = raw_json(bytes),
            Payload::Opaque(bytes) => said["body_base64"] = base64(bytes).into(),
        }
        if let Some(raw) = &event.raw {
            said["lossy"] = true.into();
            said["body_base64"] = base64(&raw.body).into();
            if !raw.query.is_empty() {
                said["raw_query"] = String::from_utf8_lossy(&raw.query).into();
            }
        }
    }
    (said, properties)
}

/// Acts by their own field names, so that one which is added later is shown as well.
fn act(act: &ActRecord, with_payload: bool) -> Value {
    let Ok(Value::Object(tagged)) = serde_json::to_value(act) else { return Value::Null };
    let Some((name, Value::Object(mut said))) = tagged.into_iter().next() else {
        return Value::Null;
    };
    if let ActRecord::PutObject { kind, json, .. } = act
        && let Some(json) = shown_object(*kind, json)
    {
        said.insert("json".to_owned(), json.into());
    }
    if !with_payload {
        said.retain(|key, _| ACT_KEYS.contains(&key.as_str()));
    }
    if let Some(at) = said.get("at").and_then(Value::as_i64) {
        said["at"] = Timestamp(at).to_string().into();
    }
    // `kind` and `sequence` are the record's own on the line; these are the object's.
    for (own, shown) in [("kind", "object"), ("sequence", "of")] {
        if let Some(value) = said.remove(own) {
            said.insert(shown.to_owned(), value);
        }
    }
    said.insert("act".to_owned(), name.into());
    Value::Object(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{EVENT_VERSION, encode_event};

    #[test]
    fn a_payload_is_shown_as_it_came_however_deep_and_in_valid_unicode() {
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let payload = format!(r#"{{"text":"cut \ud83d","deep":{deep}}}"#);
        let event = Event::imagined("x", "shop", payload.clone(), Timestamp(0));
        let bytes = encode_event(&event).unwrap();
        let record = Record { kind: kind::EVENT, version: EVENT_VERSION, bytes: bytes.into() };
        let shown = line(7, &record, None, true).unwrap().to_string();
        assert!(shown.contains(&payload.replace("\\ud83d", "\\ufffd")), "{shown:.200}");
        let hidden = line(7, &record, None, false).unwrap().to_string();
        assert!(!hidden.contains("properties"));
    }
}
