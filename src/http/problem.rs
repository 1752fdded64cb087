//! The one place where an error becomes an answer: `application/problem+json` (RFC 9457).
//!
//! Promises: the code is one of [`Code`]; nothing from a payload is in the text; whatever may be
//! tried again carries `Retry-After`.

use crate::code::{Code, Retry};
use crate::engine::{ObjectRefusal, Refusal};
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which one.
    pub code: Code,
    /// What happened this time, for people.
    pub detail: Cow<'static, str>,
    /// The methods that would be allowed, with 405.
    pub allow: Option<String>,
    /// Another `Retry-After` than the code's, in seconds.
    pub retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// A problem with its detail.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), allow: None, retry_after: None }
    }

    /// 400 `invalid_request`.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// 404 `not_found`.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} of that name"))
    }

    /// 405 `method_not_allowed`.
    pub fn method(allow: impl Into<String>) -> Self {
        let allow = allow.into();
        let detail = format!("expected one of {allow}");
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// Its text, under the id of the request that it answers.
    pub fn json(&self, id: &RequestId) -> Vec<u8> {
        let code = self.code;
        let body = Body {
            r#type: format!("urn:selfsame:problem:{}", code.name()),
            title: code.title(),
            status: code.status(),
            detail: &self.detail,
            code: code.name(),
            request_id: id.as_str(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The answer, under the id of the request that it answers.
    pub fn answer(&self, id: &RequestId) -> HttpResponse {
        let code = self.code;
        let status = StatusCode::from_u16(code.status()).unwrap_or_default();
        let mut answer = HttpResponse::build(status);
        answer.insert_header((CONTENT_TYPE, "application/problem+json"));
        answer.insert_header((X_REQUEST_ID, id.header()));
        if let Some(allow) = &self.allow {
            answer.insert_header((ALLOW, allow.as_str()));
        }
        match (self.retry_after, code.retry()) {
            (Some(seconds), _) | (None, Retry::After(seconds)) => {
                answer.insert_header((RETRY_AFTER, seconds));
            }
            (None, Retry::Never) => {}
        }
        if matches!(code, Code::BodyTooLarge | Code::TooSlow) {
            answer.force_close(); // the rest of the body is not waited for
        }
        if code == Code::TokenInvalid {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"selfsame\""));
        }
        answer.body(self.json(id))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or_default()
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(&RequestId::mint())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Overloaded => Code::Overloaded,
            Refusal::StorageFull => Code::StorageFull,
            Refusal::StorageFailed => Code::StorageFailed,
            Refusal::Recovering => Code::Recovering,
            Refusal::TooLarge => Code::BodyTooLarge,
            Refusal::Panicked => Code::Internal,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<ObjectRefusal> for Problem {
    fn from(refusal: ObjectRefusal) -> Self {
        match refusal {
            ObjectRefusal::Provisioned => {
                Self::new(Code::Provisioned, "it is defined in the config folder; change it there")
            }
            refusal @ ObjectRefusal::JournalCut(_) => {
                Self::new(Code::JournalCut, refusal.to_string())
            }
            ObjectRefusal::NotFound => Self::not_found("object"),
            ObjectRefusal::Invalid(problems) => Self::invalid(problems.join("; ")),
            ObjectRefusal::Refused(refusal) => refusal.into(),
        }
    }
}

/// What the web framework itself refuses, in our words.
pub fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found("page"),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::BodyTooLarge, "the body is longer than limits.body")
        }
        StatusCode::REQUEST_TIMEOUT => Problem::new(Code::TooSlow, "the body did not arrive"),
        status if status.is_client_error() => Problem::invalid("the request cannot be read"),
        _ => Problem::new(Code::Internal, "the log tells more under this request id"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn a_problem_says_what_it_is_and_when_to_try_again() {
        let id = RequestId::accept(Some("abc-1"));
        let answer = Problem::from(Refusal::Overloaded).answer(&id);
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers().get("retry-after").unwrap(), "1");
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
        let body = to_bytes(answer.into_body()).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "overloaded");
        assert_eq!(body["status"], 503);
        assert_eq!(body["request_id"], "abc-1");
    }

    #[actix_web::test]
    async fn a_wrong_method_is_told_the_right_ones() {
        let answer = Problem::method("POST, GET").answer(&RequestId::mint());
        assert_eq!(answer.headers().get("allow").unwrap(), "POST, GET");
    }
}
