//! What a sender is answered, written by hand: it is the same few fields for every event.

use crate::domain::settings::Durability;
use crate::engine::{Receipt, Status};

/// The name of a status, as replies carry it.
pub fn name(status: Status) -> &'static str {
    match status {
        Status::Stored => "stored",
        Status::ProfileLess => "profile-less",
        Status::Duplicate => "duplicate",
        Status::Dropped => "dropped",
        Status::Quarantined(_) => "quarantined",
    }
}

/// Writes one event's answer; with `session`, profile and session too.
pub fn write(
    out: &mut Vec<u8>,
    receipt: &Receipt,
    durability: Durability,
    session: Option<Option<&str>>,
) {
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.push(b'{');
    if let Some(event_id) = receipt.event_id {
        field(out, "event_id", event_id.hyphenated().encode_lower(&mut id));
        out.push(b',');
    }
    field(out, "status", name(receipt.status));
    out.push(b',');
    field(out, "durability", durability.name());
    if let Status::Quarantined(reason) = receipt.status {
        out.push(b',');
        field(out, "reason", reason.name());
    }
    if let Some(session) = session {
        if let Some(profile_id) = receipt.profile_id {
            out.push(b',');
            field(out, "profile_id", profile_id.hyphenated().encode_lower(&mut id));
        }
        if let Some(session) = session {
            out.extend_from_slice(b",\"session_id\":");
            // Writing a text to memory cannot fail.
            let _written = serde_json::to_writer(&mut *out, session);
        }
    }
    out.push(b'}');
}

/// A field whose value needs no escaping.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["\"", name, "\":\"", value, "\""] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Reason;
    use uuid::Uuid;

    fn text(receipt: &Receipt, session: Option<Option<&str>>) -> String {
        let mut out = Vec::new();
        write(&mut out, receipt, Durability::Fsynced, session);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_sender_learns_nothing_about_profiles_unless_the_source_says_so() {
        let id = Uuid::from_u128(1);
        let receipt = Receipt { event_id: Some(id), status: Status::Stored, profile_id: Some(id) };
        assert_eq!(
            text(&receipt, None),
            "{\"event_id\":\"00000000-0000-0000-0000-000000000001\",\"status\":\"stored\",\
             \"durability\":\"fsynced\"}"
        );
        let told: serde_json::Value =
            serde_json::from_str(&text(&receipt, Some(Some("s\"1")))).unwrap();
        assert_eq!(told["profile_id"], id.to_string());
        assert_eq!(told["session_id"], "s\"1");
    }

    #[test]
    fn what_is_set_aside_says_why_and_what_is_dropped_has_no_id() {
        let status = Status::Quarantined(Reason::TooDeep);
        let set_aside = Receipt { event_id: None, status, profile_id: None };
        assert!(text(&set_aside, None).contains("\"reason\":\"too_deep\""));
        let dropped = Receipt { event_id: None, status: Status::Dropped, profile_id: None };
        assert!(!text(&dropped, None).contains("event_id"));
    }
}
