//! Events for the graph alone: who is in them, and when they occurred.

use selfsame::domain::event::{Event, Found, Payload, Standing, Timing};
use selfsame::domain::time::Timestamp;
use smallvec::SmallVec;

/// An identifier of that type.
pub fn found(kind: &str, value: String) -> Found {
    Found { kind: kind.into(), value: value.into(), raw: None, point: "p".into() }
}

/// An event that occurred so many milliseconds behind the first one.
pub fn event(external: Option<Found>, identifiers: SmallVec<[Found; 2]>, at: i64) -> Event {
    Event {
        received_at: Timestamp(1_800_000_000_000),
        occurred_at: Timestamp(1_700_000_000_000 + at),
        timing: Timing::Said,
        source: "shop".into(),
        kind: "order".into(),
        session: None,
        dedupe: None,
        external,
        identifiers,
        traits: SmallVec::new(),
        standing: Standing::Open,
        payload: Payload::Json("{}".into()),
        raw: None,
    }
}
