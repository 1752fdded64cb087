//! `/livez`, `/readyz`: open to all who reach a listener. `/metrics`, `/openapi.json`: on the admin
//! address, without a token.

use crate::engine::Readiness;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use serde_json::json;

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "Alive")))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// Whether events are taken; with progress while recovering.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "Ready"),
              (status = 503, description = "Recovering, stopping or failed")))]
pub async fn ready(http: Data<Http>) -> HttpResponse {
    let mut wait = HttpResponse::ServiceUnavailable();
    wait.insert_header(("retry-after", "2"));
    match http.engine.readiness() {
        Readiness::Ready { report } => {
            HttpResponse::Ok().json(json!({ "status": "ready", "recovery": report }))
        }
        Readiness::Recovering { done, total } => {
            wait.json(json!({ "status": "recovering", "done": done, "total": total }))
        }
        Readiness::Failed(why) => wait.json(json!({ "status": "failed", "reason": why })),
        Readiness::Stopping => wait.json(json!({ "status": "stopping" })),
    }
}

/// What is counted, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(http: Data<Http>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(http.metrics.text())
}

/// The document of this API.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1")))]
pub async fn openapi(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.0.clone())
}

/// The document of this API as it is sent.
pub struct Document(pub Bytes);
