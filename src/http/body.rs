//! Reads a body: never more than `limits.body`, never longer than `limits.slow_request`, and never
//! more of them at once than `limits.bodies` has room for.

use super::problem::Problem;
use crate::code::Code;
use crate::config::Limits;
use crate::telemetry::metrics::Metrics;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Bodies up to this many bytes take no room of `limits.bodies`: what most senders send never waits
/// for what a few send. The events in flight bound them (`limits.queue`).
const SMALL: usize = 16 << 10;
/// Room is counted in blocks of this many bytes.
const BLOCK: usize = 1 << 10;

/// The room for the large bodies of all requests under way.
pub struct Bodies {
    room: Arc<Semaphore>,
    limit: usize,
    patience: Duration,
    metrics: Arc<Metrics>,
}

/// A body, and the room that it takes until its request is answered.
pub struct Body {
    /// As it came.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Room for `limits.bodies`, but for one body of `limits.body` at least.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let limit = limits.body.bytes();
        let blocks = limits.bodies.bytes().max(limit).div_ceil(BLOCK);
        let room = Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS)));
        Self { room, limit, patience: limits.slow_request.duration(), metrics }
    }

    /// The whole body, as it came.
    ///
    /// # Errors
    /// 413 as soon as it is too long, 408 when it does not arrive in time, 400 when it breaks off,
    /// 503 when there is no room for it in time.
    pub async fn read(&self, headers: &HeaderMap, payload: Payload) -> Result<Body, Problem> {
        let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if said.is_some_and(|said: usize| said > self.limit) {
            return Err(too_large(self.limit));
        }
        let room = match said {
            Some(said) => self.take_room(said).await?,
            None => None, // in pieces: known once the first is there
        };
        self.gather(payload, said, room).await
    }

    /// Waits for the room that so many bytes take.
    async fn take_room(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        if let Ok(room) = Arc::clone(&room).try_acquire_many_owned(blocks) {
            return Ok(Some(room));
        }
        self.metrics.bodies_waited.inc();
        match timeout(self.patience, room.acquire_many_owned(blocks)).await {
            Ok(Ok(room)) => Ok(Some(room)),
            _ => Err(Problem::new(
                Code::Overloaded,
                "the bodies under way fill limits.bodies; send it again later",
            )),
        }
    }

    /// Most bodies are one chunk, which is handed on as it is.
    ///
    /// With an announced length the room for it is made once: growing by doubling holds up to three
    /// times as much, and fifty large bodies at once are no rarity.
    async fn gather(
        &self,
        mut payload: Payload,
        said: Option<usize>,
        mut room: Option<OwnedSemaphorePermit>,
    ) -> Result<Body, Problem> {
        let limit = self.limit;
        let mut until = Instant::now() + self.patience;
        let Some(first) = self.chunk(&mut payload, until).await? else {
            return Ok(Body { bytes: Bytes::new(), _room: room });
        };
        if first.len() > limit {
            return Err(too_large(limit));
        }
        let mut rest: Option<BytesMut> = None;
        while let Some(chunk) = self.chunk(&mut payload, until).await? {
            if rest.is_none() && said.is_none() {
                let asked = Instant::now();
                room = self.take_room(limit).await?;
                until += asked.elapsed(); // the sender is not to blame
            }
            let whole = rest.get_or_insert_with(|| {
                let mut whole = BytesMut::with_capacity(said.unwrap_or(0).max(first.len()));
                whole.extend_from_slice(&first);
                whole
            });
            if whole.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: rest.map_or(first, BytesMut::freeze), _room: room })
    }

    /// The next piece, or nothing at the end.
    async fn chunk(&self, payload: &mut Payload, until: Instant) -> Result<Option<Bytes>, Problem> {
        let next = timeout_at(until, payload.next()).await.map_err(|_| {
            let seconds = self.patience.as_secs();
            Problem::new(Code::TooSlow, format!("the body did not arrive within {seconds} s"))
        })?;
        next.transpose().map_err(|_| broken())
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is longer than limits.body, {limit} bytes"))
}

fn broken() -> Problem {
    Problem::new(Code::MalformedBody, "the body broke off or is not framed as HTTP says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    fn bodies() -> Bodies {
        let limits = Limits { slow_request: Span::seconds(1), ..Limits::default() };
        Bodies::new(&limits, Arc::new(Metrics::new()))
    }

    async fn read(bodies: &Bodies, bytes: usize) -> Result<usize, Problem> {
        let request = TestRequest::default().set_payload(vec![b'x'; bytes]);
        let length = (CONTENT_LENGTH, bytes.to_string());
        let (request, mut payload) = request.insert_header(length).to_http_parts();
        let payload = Payload::from_request(&request, &mut payload).await.unwrap();
        Ok(bodies.read(request.headers(), payload).await?.bytes.len())
    }

    #[actix_web::test]
    async fn without_room_a_large_body_is_refused_in_time_and_a_small_one_passes() {
        let bodies = bodies();
        let taken = bodies.take_room(8 << 20).await.unwrap();
        assert_eq!(read(&bodies, SMALL).await.unwrap(), SMALL);
        let refused = read(&bodies, SMALL + 1).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        assert_eq!(bodies.metrics.bodies_waited.get(), 1);
        drop(taken);
        assert_eq!(read(&bodies, SMALL + 1).await.unwrap(), SMALL + 1);
        assert_eq!(read(&bodies, 1 << 20).await.unwrap(), 1 << 20);
    }

    #[actix_web::test]
    async fn a_body_over_its_limit_takes_no_room() {
        let bodies = bodies();
        assert_eq!(read(&bodies, (1 << 20) + 1).await.unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(bodies.room.available_permits() * BLOCK, 8 << 20);
    }
}
