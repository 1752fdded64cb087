//! Cross-origin requests (the Fetch standard): which web pages may deliver to a source.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// What a page may send beside the headers that need no leave.
const HEADERS: &str = "content-type, x-request-id, idempotency-key";

/// What a page may read of an answer's head beside what it always may.
const READABLE: &str = "retry-after, x-request-id";

/// The page's origin, where the source lets it in.
pub fn allowed<'h>(headers: &'h HeaderMap, origins: &[String]) -> Option<&'h HeaderValue> {
    if origins.is_empty() {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    let fits =
        |listed: &String| listed == "*" || listed.trim_end_matches('/').eq_ignore_ascii_case(text);
    origins.iter().any(fits).then_some(origin)
}

/// Lets the page read the answer.
pub fn allow(answer: &mut HeaderMap, origin: &HeaderValue) {
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READABLE));
    answer.insert(VARY, HeaderValue::from_static("origin"));
}

/// Answers a preflight.
pub fn preflight(answer: &mut HeaderMap, methods: HeaderValue) {
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(origin: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        let origins: Vec<String> = origins.iter().map(|o| (*o).to_owned()).collect();
        allowed(&headers, &origins).is_some()
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        assert!(ask("https://shop.example", &["https://shop.example"]));
        assert!(ask("https://shop.example", &["https://other.example", "https://shop.example/"]));
        assert!(ask("https://anything.example", &["*"]));
        assert!(!ask("https://shop.example.evil", &["https://shop.example"]));
        assert!(!ask("http://shop.example", &["https://shop.example"]));
        assert!(!ask("https://shop.example", &[]));
    }
}
