//! Who may read and steer: the admin API's bearer token (RFC 6750), and the frame of every admin
//! answer: a request id, and problems in the one form that we have.

use crate::code::Code;
use crate::http::guard;
use crate::http::problem::{Problem, of_status};
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::http::shared::Http;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, web};

/// Checks who asks and the token, calls the handler, and frames the answer.
pub async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    framed(request, next, true).await
}

/// The same, for what is told without a token.
pub async fn open(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    framed(request, next, false).await
}

async fn framed(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    needs_token: bool,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = RequestId::of(request.headers());
    if let Err(problem) = may_ask(&mut request, needs_token).await {
        return Ok(request.into_response(problem.answer(&id)));
    }
    let answer = next.call(request).await?.map_into_boxed_body();
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        let (request, answer) = answer.into_parts();
        let problem = answer.error().and_then(|error| error.as_error::<Problem>()).cloned();
        let problem = problem.unwrap_or_else(|| of_status(status));
        return Ok(ServiceResponse::new(request, problem.answer(&id)));
    }
    let mut answer = answer;
    let headers = answer.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    // No page may take an answer for a script, a style or a picture of its own.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    Ok(answer)
}

/// The one gate before everything of the admin side.
async fn may_ask(request: &mut ServiceRequest, needs_token: bool) -> Result<(), Problem> {
    let shared = request.app_data::<web::Data<Http>>().cloned();
    let shared = shared.ok_or_else(|| of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    guard::check(request, shared.token.is_none())?;
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match &shared.token {
        Some(token) if needs_token && !is_token(given, token.expose()) => {
            Err(Problem::new(Code::TokenInvalid, "send Authorization: Bearer <admin.token>"))
        }
        _ => guard::check_chunked(request, shared.limits.slow_request.duration()).await,
    }
}

/// Whether a header carries the token. Compares hashes: their comparison takes the same time
/// wherever they differ.
fn is_token(header: Option<&str>, token: &str) -> bool {
    let Some((scheme, given)) = header.and_then(|header| header.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer")
        && blake3::hash(given.trim().as_bytes()) == blake3::hash(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        assert!(is_token(Some("Bearer s3cret"), "s3cret"));
        assert!(is_token(Some("bearer  s3cret"), "s3cret"));
        for wrong in ["Bearer s3cre", "Bearer s3cret1", "Basic s3cret", "s3cret", "Bearer"] {
            assert!(!is_token(Some(wrong), "s3cret"), "{wrong}");
        }
        assert!(!is_token(None, "s3cret"));
    }
}
