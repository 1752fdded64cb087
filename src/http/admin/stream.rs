//! `/events/stream`: what is being stored now, as server-sent events (the HTML standard's
//! `text/event-stream`).
//!
//! Promises: a reader that is too slow loses events, is told how many, and slows nobody down; a
//! comment every 15 s keeps the connection; a stop ends it.

use crate::code::Code;
use crate::domain::id::Sequence;
use crate::domain::view::EventView;
use crate::engine::{Engine, EventFilter, Stored};
use crate::http::admin::Answer;
use crate::http::admin::events::EventQuery;
use crate::http::problem::Problem;
use crate::http::shared::Http;
use crate::telemetry::metrics::Metrics;
use actix_web::web::{Bytes, Data, Query};
use actix_web::{Error, HttpResponse};
use futures_util::stream::{Stream, unfold};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events that are read together, at most.
const TOGETHER: usize = 64;

struct Reader {
    engine: Engine,
    filter: EventFilter,
    events: broadcast::Receiver<Stored>,
    /// Events that are to be sent next, ascending.
    waiting: Vec<Sequence>,
    stopping: watch::Receiver<bool>,
    _connected: Connected,
}

/// A reader that is counted while it is connected.
struct Connected {
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.metrics.streams.dec();
    }
}

/// Events as they are stored, filtered like the list.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events",
    params(("source" = Option<String>, Query, description = "Of this source"),
           ("type" = Option<String>, Query, description = "Of this type"),
           ("profile" = Option<String>, Query, description = "`none`: only the profile-less"),
           ("status" = Option<String>, Query, description = "`quarantined` or `profile-less`")),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String)))]
pub async fn stream(http: Data<Http>, query: Query<EventQuery>) -> Answer {
    let filter = query.filter()?;
    let place = Arc::clone(&http.streams).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Overloaded, "limits.streams readers are connected already")
    })?;
    let reader = Reader {
        engine: http.engine.clone(),
        waiting: Vec::new(),
        filter,
        events: http.engine.subscribe()?,
        stopping: http.stopping.clone(),
        _connected: Connected { metrics: Arc::clone(&http.metrics), _place: place },
    };
    http.metrics.streams.inc();
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .streaming(chunks(reader)))
}

fn chunks(reader: Reader) -> impl Stream<Item = Result<Bytes, Error>> {
    unfold((reader, true), |(mut reader, is_first)| async move {
        let chunk = if is_first { Some(": connected\n\n".into()) } else { reader.next().await };
        chunk.map(|chunk| (Ok(chunk), (reader, false)))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.waiting.is_empty() {
                // An engine that is gone is a stop as well.
                let events = self.engine.stored(&mut self.waiting).await.ok()?;
                if events.is_empty() {
                    continue;
                }
                return Some(events.iter().flat_map(chunk).collect());
            }
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = tokio::time::sleep(HEARTBEAT) => return Some(": alive\n\n".into()),
                // An error means that the server is gone, which is a stop as well.
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return None,
            };
            match event {
                Ok(event) => self.wait_for(&event),
                Err(RecvError::Lagged(lost)) => return Some(format!(": lost {lost}\n\n").into()),
                Err(RecvError::Closed) => return None,
            }
            // What has come meanwhile is read together.
            while self.waiting.len() < TOGETHER
                && let Ok(event) = self.events.try_recv()
            {
                self.wait_for(&event);
            }
        }
    }

    fn wait_for(&mut self, event: &Stored) {
        if event.fits(&self.filter) {
            self.waiting.push(event.sequence);
        }
    }
}

/// JSON has no raw line breaks when it is compact, so one `data` line is enough.
fn chunk(event: &EventView) -> Vec<u8> {
    let mut text = format!("id: {}\ndata: ", event.sequence).into_bytes();
    match serde_json::to_vec(event) {
        // The properties are the sender's text, line breaks included.
        Ok(json) => text.extend(json.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r'))),
        Err(_) => text.extend_from_slice(b"{}"),
    }
    text.extend_from_slice(b"\n\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventView {
        EventView {
            id: "e".into(),
            sequence: 7,
            kind: "order".into(),
            source: "shop".into(),
            session_id: None,
            profile_id: None,
            status: "profile-less",
            reason: None,
            occurred_at: String::new(),
            occurred_at_from: "received",
            received_at: String::new(),
            identifiers: vec![],
            properties: serde_json::value::RawValue::from_string("{\n\"a\": 1\r\n}".into()).ok(),
            lossy: false,
            body_base64: None,
            raw_query: None,
        }
    }

    #[test]
    fn an_event_is_one_message_whatever_its_payload_looks_like() {
        let text = String::from_utf8(chunk(&event())).unwrap();
        assert!(text.starts_with("id: 7\ndata: {"));
        assert_eq!(text.matches('\n').count(), 3);
        assert!(text.ends_with("\n\n"));
    }
}
