//! The id under which a request is talked about: the caller's `x-request-id`, or one of ours.

use actix_web::http::header::{HeaderName, HeaderValue};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header's name.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

/// So that two runs of the program mint different ids.
static RUN: LazyLock<u32> = LazyLock::new(|| RandomState::new().build_hasher().finish() as u32);
static NEXT: AtomicU64 = AtomicU64::new(1);

impl RequestId {
    /// One of ours: unique within a run, unlikely to meet that of another.
    pub fn mint() -> Self {
        let text = format!("{:08x}-{:x}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed));
        Self(HeaderValue::from_str(&text).expect("hexadecimal digits and a dash are header text"))
    }

    /// The caller's, where it is acceptable; else one of ours.
    pub fn accept(given: Option<&str>) -> Self {
        let fits = |text: &&str| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let header = given.filter(fits).and_then(|text| HeaderValue::from_str(text).ok());
        header.map_or_else(Self::mint, Self)
    }

    /// Of this request.
    pub fn of(headers: &actix_web::http::header::HeaderMap) -> Self {
        Self::accept(headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default() // visible ASCII, by construction
    }

    /// For the answer.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_harmless_id_is_taken_over() {
        assert_eq!(RequestId::accept(Some("abc")).as_str(), "abc");
        assert_ne!(RequestId::accept(Some("a b")).as_str(), "a b");
        assert_ne!(RequestId::accept(Some(&"x".repeat(129))).as_str().len(), 129);
        assert_ne!(RequestId::accept(None), RequestId::accept(None));
    }
}
