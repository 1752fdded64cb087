//! The HTTP client of a rehearsal: no redirects, no retries, errors are answers like any other.

use crate::domain::json;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use thiserror::Error;
use ureq::http;

/// No answer takes longer; the engine is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A kept connection is used again only within this time, well before the engine closes it.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// No answer is deeper: `limits.depth` at its most, and what is around a payload.
const DEPTH_MAX: usize = 600;
/// No answer is longer, in bytes.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// A request that could not be made or was not answered.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The scenario asks for something that HTTP cannot spell.
    #[error("{method} {url} is no HTTP request: {source}")]
    Request {
        /// The method.
        method: String,
        /// The address.
        url: String,
        /// What is wrong with it.
        source: http::Error,
    },
    /// No answer came.
    #[error("{method} {url} was not answered: {source}")]
    Unanswered {
        /// The method.
        method: String,
        /// The address.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
}

/// A request to be made.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The whole address. What a URL cannot hold is percent-encoded, all else is left as it is.
    pub url: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body; none sends no body and no length.
    pub body: Option<Vec<u8>>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers by lower-case name; repeated ones joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as a scenario compares it: JSON where the answer says so and it is, else a text;
    /// nothing where there is none.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        if self.body.is_empty() {
            return None;
        }
        let is_json = self.headers.get("content-type").is_some_and(|kind| kind.contains("json"));
        let parsed = is_json.then(|| parsed(&self.body)).flatten();
        Some(parsed.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into()))
    }
}

/// A value however deep it is, up to what the program itself takes; a tree of it costs stack.
pub(super) fn parsed(json: &[u8]) -> Option<Value> {
    let depth = json::check(std::str::from_utf8(json).ok()?).ok()?.depth;
    let mut reader = serde_json::Deserializer::from_slice(json);
    if depth <= DEPTH_MAX {
        reader.disable_recursion_limit();
    }
    let value = Value::deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| value)
}

/// A client with connections of its own.
pub struct Client(ureq::Agent);

impl Client {
    /// A client that has made no connection yet.
    #[must_use]
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .max_idle_age(IDLE_MAX)
            .build();
        Self(config.new_agent())
    }

    /// Makes one request and reads the whole answer.
    ///
    /// # Errors
    /// When the request cannot be spelled, or no answer comes. A status is never an error.
    pub fn call(&self, request: Request) -> Result<Answer, ClientError> {
        let Request { method, url, headers, body } = request;
        let mut builder = http::Request::builder().method(method.as_str()).uri(spelled(&url));
        for (name, value) in &headers {
            builder = builder.header(name, value.as_bytes());
        }
        let answered = match body {
            Some(body) => builder.body(body).map(|request| self.0.run(request)),
            None => builder.body(()).map(|request| self.0.run(request)),
        };
        let unanswered = |source: ureq::Error| ClientError::Unanswered {
            method: method.clone(),
            url: url.clone(),
            source: Box::new(source),
        };
        let mut answer = match answered {
            Ok(answer) => answer.map_err(unanswered)?,
            Err(source) => return Err(ClientError::Request { method, url, source }),
        };
        let body = answer.body_mut().with_config().limit(BODY_MAX).read_to_vec();
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in answer.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|all| {
                    all.push_str(", ");
                    all.push_str(&value);
                })
                .or_insert_with(|| value.clone().into_owned());
        }
        Ok(Answer { status: answer.status().as_u16(), headers, body: body.map_err(unanswered)? })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// The address with only those bytes percent-encoded that no URL can hold (RFC 3986): blanks,
/// controls, quotes, brackets of other kinds and whatever is not ASCII. `%` stays as it is.
fn spelled(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_sent_as_it_is_written() {
        for url in ["http://h:1/a%20b/%2F?x=a+b&y[z]=%c3&e=a@b.c#f", "/collect/x/s//"] {
            assert_eq!(spelled(url), url);
        }
        assert_eq!(spelled("/a b?ü={\"x\"}"), "/a%20b?%C3%BC=%7B%22x%22%7D");
    }

    #[test]
    fn a_body_is_json_only_where_the_answer_says_so() {
        let answer = |kind: &str, body: &str| {
            let headers = BTreeMap::from([("content-type".to_owned(), kind.to_owned())]);
            Answer { status: 200, headers, body: body.as_bytes().to_vec() }.value()
        };
        assert_eq!(answer("application/problem+json", "{}"), Some(serde_json::json!({})));
        assert_eq!(answer("text/plain", "12"), Some("12".into()));
        assert_eq!(answer("application/json", "{"), Some("{".into()));
        assert_eq!(answer("application/json", ""), None);
        let deep = format!("{}{}", "[".repeat(520), "]".repeat(520));
        assert!(answer("application/json", &deep).unwrap().is_array());
        let absurd = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(answer("application/json", &absurd).unwrap().is_string());
    }
}
