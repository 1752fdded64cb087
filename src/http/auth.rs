//! Who may read and steer: the admin API's bearer token (RFC 6750), and the frame of every admin
//! answer: a request id, and problems in the one form that we have.

use super::problem::{Problem, of_status};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::{Code, Http};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, web};

/// Checks the token, calls the handler, and frames the answer.
pub async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = RequestId::of(request.headers());
    let allowed = request.app_data::<web::Data<Http>>().is_some_and(|http| {
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        http.token.as_ref().is_none_or(|token| is_token(given, token.expose()))
    });
    if !allowed {
        let problem = Problem::new(Code::TokenInvalid, "send Authorization: Bearer <admin.token>");
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
    answer.headers_mut().insert(X_REQUEST_ID, id.header());
    Ok(answer)
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
