//! Reads a body: never more than `limits.body`, never slower than `limits.least_rate`, and never
//! more of them at once than `limits.bodies` has room for. A body takes room as its bytes come, so
//! one that is only announced takes none.

use crate::code::Code;
use crate::config::Limits;
use crate::decode;
use crate::http::pace::Pace;
use crate::http::problem::Problem;
use crate::http::room::{Party, Pool, Room};
use crate::telemetry::metrics::Metrics;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// What a request may hold without taking room: what most senders send never waits for what a few
/// send. The events in flight bound them (`limits.queue`, `limits.queue_bytes`).
pub const SMALL: usize = 16 << 10;

/// The room for the large bodies of all requests under way, and for the events that batches become.
pub struct Bodies {
    pool: Arc<Pool>,
    events: Arc<Pool>,
    turns: Semaphore,
    limit: usize,
    patience: Duration,
    rate: u64,
}

/// A body, and the room that it takes until its request is answered.
pub struct Body {
    /// As it came.
    pub bytes: Bytes,
    /// For it, and for what it becomes.
    pub room: Room,
}

impl Bodies {
    /// Room for `limits.bodies`, but for a few bodies of `limits.body` at least.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let limit = limits.body.bytes();
        let all = limits.bodies.bytes();
        // One request can always go on: what it is decoded to, and twice as much that that becomes.
        let spare = limit.saturating_mul(3);
        let common = all.saturating_sub(spare).max(limit);
        let pool = Pool::new(common, spare, Arc::clone(&metrics));
        // Room for the events of one batch is taken at once, so none is spare.
        let events = Pool::new(all.max(limit), 0, metrics);
        let (patience, rate) = (limits.slow_request.duration(), limits.least_rate.bytes() as u64);
        Self { pool, events, turns: Semaphore::new(cores()), limit, patience, rate }
    }

    /// The whole body, as it came; its room counts in the share of these parties.
    ///
    /// # Errors
    /// 413 as soon as it is too long, 408 when it comes too slowly, 400 when it breaks off, 503 when
    /// there is no room for it in time.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        payload: Payload,
        parties: Vec<Party>,
    ) -> Result<Body, Problem> {
        let said = announced(headers);
        if said.is_some_and(|said| said > self.limit) {
            return Err(too_large(self.limit));
        }
        let mut room = self.pool.room(parties);
        let bytes = self.gather(payload, said, &mut room).await?;
        Ok(Body { bytes, room })
    }

    /// None of the room yet, for these parties.
    pub fn room(&self, parties: Vec<Party>) -> Room {
        self.pool.room(parties)
    }

    /// Room beside the body for what it is decoded to, before it is.
    ///
    /// # Errors
    /// 503 when there is none in time.
    pub async fn expect(&self, body: &mut Body, encoding: Option<&str>) -> Result<(), Problem> {
        match decode::decoded_bound(encoding, body.bytes.len(), self.limit) {
            0 => Ok(()),
            most => self.hold(&mut body.room, body.bytes.len() + most).await,
        }
    }

    /// Room for so many bytes in all, where they are more than a small body's.
    ///
    /// # Errors
    /// 503 when there is none in time.
    pub async fn hold(&self, room: &mut Room, bytes: usize) -> Result<(), Problem> {
        if bytes <= SMALL {
            return Ok(());
        }
        room.grow(bytes, Instant::now() + self.patience).await
    }

    /// Room for the events of a batch, or of a part of it: so many bytes of them.
    ///
    /// # Errors
    /// 503 when there is none in time.
    pub async fn events(&self, bytes: usize) -> Result<Room, Problem> {
        let mut room = self.events.room(Vec::new());
        if bytes > 4 * SMALL {
            let bytes = bytes.min(self.events.common());
            room.grow(bytes, Instant::now() + self.patience).await?;
        }
        Ok(room)
    }

    /// Bytes of events that are put together at a time.
    pub fn part(&self) -> usize {
        self.events.common() / 4 * 3
    }

    /// A turn to work on so many bytes; to be held while they are worked on, without waiting. Who
    /// works long goes behind what else a thread has to do, one after another: a crowd of long
    /// requests does not keep out short ones.
    pub async fn turn(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes <= 4 * SMALL {
            return None;
        }
        let turn = self.turns.acquire().await.ok();
        tokio::task::yield_now().await;
        turn
    }

    /// `limits.slow_request`.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Most bodies are one chunk, which is handed on as it is.
    async fn gather(
        &self,
        mut payload: Payload,
        said: Option<usize>,
        room: &mut Room,
    ) -> Result<Bytes, Problem> {
        let limit = self.limit;
        let mut pace = Pace::new(self.patience, self.rate);
        let Some(first) = self.chunk(&mut payload, &mut pace).await? else {
            return Ok(Bytes::new());
        };
        if first.len() > limit {
            return Err(too_large(limit));
        }
        let mut rest: Option<BytesMut> = None;
        while let Some(chunk) = self.chunk(&mut payload, &mut pace).await? {
            let whole = rest.get_or_insert_with(|| BytesMut::from(&first[..]));
            let len = whole.len() + chunk.len();
            if len > limit {
                return Err(too_large(limit));
            }
            if len > whole.capacity() {
                // In few steps, since each leaves its memory behind, and not beyond what is said.
                let capacity = (4 * len).max(4 * SMALL).min(said.unwrap_or(limit).max(len));
                let asked = Instant::now();
                self.hold(room, capacity).await?;
                pace.pause(asked.elapsed()); // the sender is not to blame
                let mut larger = BytesMut::with_capacity(capacity);
                larger.extend_from_slice(whole);
                *whole = larger;
            }
            whole.extend_from_slice(&chunk);
        }
        let bytes = rest.map_or(first, BytesMut::freeze);
        self.hold(room, bytes.len()).await?;
        Ok(bytes)
    }

    /// The next piece, or nothing at the end.
    async fn chunk(
        &self,
        payload: &mut Payload,
        pace: &mut Pace,
    ) -> Result<Option<Bytes>, Problem> {
        let next = timeout_at(pace.until(), payload.next()).await.map_err(|_| {
            let seconds = self.patience.as_secs();
            let detail = format!(
                "the body came slower than limits.least_rate, {} bytes a second, for \
                 limits.slow_request, {seconds} s",
                self.rate
            );
            Problem::new(Code::TooSlow, detail)
        })?;
        let chunk = next.transpose().map_err(|_| broken())?;
        pace.progress(chunk.as_ref().map_or(0, Bytes::len));
        Ok(chunk)
    }
}

/// The length that a request announces.
pub fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// 413, of a body that is longer than this.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is longer than limits.body, {limit} bytes"))
}

fn broken() -> Problem {
    Problem::new(Code::MalformedBody, "the body broke off or is not framed as HTTP says")
}

/// The cores that the program may use; at most 16 of them.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(16)
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
        let body = bodies.read(request.headers(), payload, Vec::new()).await?;
        assert!(body.room.held() >= bytes || bytes <= SMALL);
        Ok(body.bytes.len())
    }

    #[actix_web::test]
    async fn without_room_a_large_body_is_refused_in_time_and_a_small_one_passes() {
        let bodies = bodies();
        let mut all: Vec<_> = (0..2).map(|_| bodies.pool.room(Vec::new())).collect();
        for (room, bytes) in all.iter_mut().zip([5 << 20, 3 << 20]) {
            room.grow(bytes, Instant::now()).await.unwrap();
        }
        assert_eq!(read(&bodies, SMALL).await.unwrap(), SMALL);
        let refused = read(&bodies, SMALL + 1).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        drop(all);
        assert_eq!(read(&bodies, SMALL + 1).await.unwrap(), SMALL + 1);
        assert_eq!(read(&bodies, 1 << 20).await.unwrap(), 1 << 20);
    }

    #[actix_web::test]
    async fn a_body_over_its_limit_takes_no_room() {
        let bodies = bodies();
        assert_eq!(read(&bodies, (1 << 20) + 1).await.unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(bodies.pool.taken(), 0);
    }
}
