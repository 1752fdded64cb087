//! Reads a body: never more than `limits.body`, never longer than `limits.slow_request`.

use super::problem::Problem;
use crate::code::Code;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::time::Duration;

/// The whole body, as it came.
///
/// # Errors
/// 413 as soon as it is too long, 408 when it does not arrive in time, 400 when it breaks off.
pub async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if said.is_some_and(|said: usize| said > limit) {
        return Err(too_large(limit));
    }
    let whole = tokio::time::timeout(patience, gather(payload, limit, said)).await;
    whole.unwrap_or_else(|_| {
        let seconds = patience.as_secs();
        Err(Problem::new(Code::TooSlow, format!("the body did not arrive within {seconds} s")))
    })
}

/// Most bodies are one chunk, which is handed on as it is.
///
/// With an announced length the room for it is made once: growing by doubling holds up to three
/// times as much, and fifty large bodies at once are no rarity.
async fn gather(mut payload: Payload, limit: usize, said: Option<usize>) -> Result<Bytes, Problem> {
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| broken())?;
    if first.len() > limit {
        return Err(too_large(limit));
    }
    let mut rest: Option<BytesMut> = None;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| broken())?;
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
    Ok(rest.map_or(first, BytesMut::freeze))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is longer than limits.body, {limit} bytes"))
}

fn broken() -> Problem {
    Problem::new(Code::MalformedBody, "the body broke off or is not framed as HTTP says")
}
