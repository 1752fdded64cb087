//! `/state/digest`, `/snapshots` and `/reload`: the state as a whole.

use crate::http::admin::Answer;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::Data;

/// A hash over everything that the state means.
#[utoipa::path(get, path = "/api/v1/state/digest", tag = "state",
    responses((status = 200, description = "The digest")))]
pub async fn digest(http: Data<Http>) -> Answer {
    Ok(HttpResponse::Ok().json(http.engine.digest().await?))
}

/// How what is known stands to the configuration in force.
#[utoipa::path(get, path = "/api/v1/state/resolution", tag = "state",
    responses((status = 200, description = "`current`; `under_way`: everything is being read again; `failed`, with its reason: reading everything again panicked, so all stays as it was resolved before; `adopted`: the journal lost its beginning, so changed rules count for the evidence that is there and for what comes")))]
pub async fn resolution(http: Data<Http>) -> Answer {
    let resolution = http.engine.resolution().await?;
    let mut shown = serde_json::json!({ "state": resolution.name() });
    if let Some(reason) = resolution.reason() {
        shown["reason"] = reason.into();
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// Takes a snapshot; answers when it is durable.
#[utoipa::path(post, path = "/api/v1/snapshots", tag = "state",
    responses((status = 200, description = "The snapshot")))]
pub async fn snapshot(http: Data<Http>) -> Answer {
    Ok(HttpResponse::Ok().json(http.engine.snapshot().await?))
}

/// Reads the config folder again; all of it or nothing.
#[utoipa::path(post, path = "/api/v1/reload", tag = "state",
    responses((status = 200, description = "In force"), (status = 400, description = "What is wrong")))]
pub async fn reload(http: Data<Http>) -> Answer {
    http.reload().await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "reloaded": true })))
}
