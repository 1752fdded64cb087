//! A panic while a request is answered costs that request: it is answered 500, and the connection and
//! the worker go on.

use crate::code::Code;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::http::shared::Http;
use actix_web::Error;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::web::Data;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;

/// Answers 500 in the place of a panic.
pub fn walled<S, B>(
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<B>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    let id = RequestId::of(request.headers());
    let http = request.app_data::<Data<Http>>().cloned();
    let call = AssertUnwindSafe(service.call(request)).catch_unwind();
    async move {
        call.await.unwrap_or_else(|_| {
            if let Some(http) = http {
                http.metrics.count_refusal(Code::Internal);
            }
            let detail = "a fault of the program: this request had no effect that is known of; the \
                          log says where it is";
            let answer = Problem::new(Code::Internal, detail).answer(&id);
            Err(InternalError::from_response("a panic", answer).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{App, HttpResponse, test, web};

    async fn broken() -> HttpResponse {
        panic!("a text from outside")
    }

    #[actix_web::test]
    async fn a_request_that_panics_is_answered() {
        let app = App::new().route("/", web::get().to(broken)).wrap_fn(walled);
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().uri("/").insert_header(("x-request-id", "mine"));
        let error = app.call(request.to_request()).await.unwrap_err();
        let answer = error.error_response();
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
        assert_eq!(answer.headers().get("x-request-id").unwrap(), "mine");
    }
}
