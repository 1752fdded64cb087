//! What the web framework refuses by itself, before any of our code sees it: a head that is no HTTP,
//! one that is too long, one that does not come. Its answer has no body; ours takes its place on the
//! way out, and is counted and logged as others are.

use crate::code::Code;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::telemetry::metrics::Metrics;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A head of the framework is shorter.
const HEAD_BYTES: usize = 512;
/// One line of the log in so many seconds at most.
const TOLD_EVERY: u64 = 10;

/// Where in what is written a refusal of the framework starts, and its status: an answer without a
/// body and without the id that each of ours has, which ends the connection and so stands last.
pub fn refusal(bytes: &[u8]) -> Option<(usize, u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(HEAD_BYTES);
    let start = from + memchr::memmem::rfind(&bytes[from..], b"HTTP/1.")?;
    let head = std::str::from_utf8(&bytes[start..]).ok()?;
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let is_bare = head.contains("\r\ncontent-length: 0\r\n") && !head.contains("x-request-id");
    (is_bare && matches!(status, 400 | 408 | 413 | 414 | 431 | 500 | 501 | 505))
        .then_some((start, status))
}

/// The whole answer in the place of one with this status; counts and logs it.
pub fn problem(status: u16, metrics: &Metrics) -> Bytes {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let problem = match status.as_u16() {
        408 => Problem::new(Code::TooSlow, "the head did not come within limits.slow_request"),
        413 => Problem::new(Code::BodyTooLarge, "the body is longer than limits.body"),
        414 => Problem::new(Code::UrlTooLong, "path and query are too long"),
        431 => Problem::new(Code::HeadersTooLarge, "the head is longer than can be read"),
        500.. => Problem::new(Code::Internal, "the connection was ended by a fault within"),
        _ => Problem::invalid("expected an HTTP/1.1 request; its head or framing cannot be read"),
    };
    metrics.count_refusal(problem.code);
    tell(problem.code);
    let id = RequestId::mint();
    let body = problem.json(&id);
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(status);
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         connection: close\r\nx-request-id: {}\r\n\r\n",
        status.as_u16(),
        body.len(),
        id.as_str()
    );
    [head.as_bytes(), &body].concat().into()
}

/// Says in the log how many there were, now and then.
fn tell(code: Code) {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static UNTOLD: AtomicU64 = AtomicU64::new(0);
    UNTOLD.fetch_add(1, Ordering::Relaxed);
    let now = STARTED.elapsed().as_secs();
    let due = |next| (now >= next).then_some(now + TOLD_EVERY);
    if NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok() {
        let requests = UNTOLD.swap(0, Ordering::Relaxed);
        tracing::warn!(requests, code = code.name(), "refused what cannot be read as HTTP");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_refusal_at_the_end_is_taken_for_one() {
        let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(refusal(bare.as_bytes()), Some((0, 400)));
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(refusal(format!("{before}{bare}").as_bytes()), Some((before.len(), 400)));
        assert_eq!(refusal(before.as_bytes()), None);
        let ours = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n\r\n";
        assert_eq!(refusal(ours.as_bytes()), None);
        assert_eq!(refusal(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(refusal(b""), None);
    }

    #[test]
    fn what_goes_out_instead_is_a_whole_answer() {
        let text = problem(431, &Metrics::new());
        let text = std::str::from_utf8(&text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "headers_too_large");
    }
}
