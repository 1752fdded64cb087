//! `/sources` and `/identification-points`: what is configured one by one.

use crate::engine::ObjectKind;
use crate::http::admin::{Answer, found};
use crate::http::page::PageQuery;
use crate::http::problem::Problem;
use crate::http::shared::Http;
use crate::http::unread::SourceUnread;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::Serialize;

pub(super) async fn put(http: &Http, kind: ObjectKind, id: String, body: &[u8]) -> Answer {
    let body: serde_json::Value = serde_json::from_slice(body)
        .map_err(|e| Problem::invalid(format!("expected a JSON object: line {}", e.line())))?;
    if !body.is_object() {
        return Err(Problem::invalid("expected a JSON object"));
    }
    let (created, object) = http.engine.put_object(kind, id, body).await?;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(object))
}

pub(super) async fn delete(http: &Http, kind: ObjectKind, id: String) -> Answer {
    http.engine.delete_object(kind, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// All sources, by id.
#[utoipa::path(get, path = "/api/v1/sources", tag = "configuration",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Sources")))]
pub async fn list_sources(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    let effective = http.engine.effective()?;
    let all = effective.compiled.settings.sources.keys();
    let all = all.map(|id| (id.clone(), effective.object(ObjectKind::Source, id)));
    Ok(HttpResponse::Ok().json(page.by_id(all)?))
}

/// A source.
#[utoipa::path(get, path = "/api/v1/sources/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The source's id")),
    responses((status = 200, description = "The source"), (status = 404, description = "None")))]
pub async fn get_source(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.effective()?.object(ObjectKind::Source, &id), "source")
}

/// Sets a source.
#[utoipa::path(put, path = "/api/v1/sources/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The source's id")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid"), (status = 409, description = "From a file")))]
pub async fn put_source(http: Data<Http>, id: Path<String>, body: Bytes) -> Answer {
    put(&http, ObjectKind::Source, id.into_inner(), &body).await
}

/// Removes a source.
#[utoipa::path(delete, path = "/api/v1/sources/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The source's id")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None"),
              (status = 409, description = "From a file")))]
pub async fn delete_source(http: Data<Http>, id: Path<String>) -> Answer {
    delete(&http, ObjectKind::Source, id.into_inner()).await
}

/// How a source does.
#[derive(Debug, Serialize)]
struct SourceHealth {
    source: String,
    enabled: bool,
    /// When the program was started: since then it is counted.
    since: String,
    #[serde(flatten)]
    unread: SourceUnread,
}

/// What of a source cannot be read, and what it looks like.
#[utoipa::path(get, path = "/api/v1/sources/{id}/health", tag = "configuration",
    params(("id" = String, Path, description = "The source's id")),
    responses((status = 200, description = "How it does"), (status = 404, description = "None")))]
pub async fn source_health(http: Data<Http>, id: Path<String>) -> Answer {
    let effective = http.engine.effective()?;
    let health = effective.compiled.sources.get(id.as_str()).map(|source| SourceHealth {
        source: source.id.to_string(),
        enabled: source.enabled,
        since: http.started_at.to_string(),
        unread: http.unread.of(&source.id),
    });
    found(health, "source")
}

/// All identification points, by id.
#[utoipa::path(get, path = "/api/v1/identification-points", tag = "configuration",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Identification points")))]
pub async fn list_points(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    let effective = http.engine.effective()?;
    let all = effective.compiled.settings.points.iter().map(|(id, one)| (id.clone(), one));
    Ok(HttpResponse::Ok().json(page.by_id(all)?))
}

/// An identification point.
#[utoipa::path(get, path = "/api/v1/identification-points/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The point's id")),
    responses((status = 200, description = "The point"), (status = 404, description = "None")))]
pub async fn get_point(http: Data<Http>, id: Path<String>) -> Answer {
    let effective = http.engine.effective()?;
    found(effective.compiled.settings.points.get(id.as_str()), "identification point")
}

/// Sets an identification point.
#[utoipa::path(put, path = "/api/v1/identification-points/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The point's id")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid"), (status = 409, description = "From a file")))]
pub async fn put_point(http: Data<Http>, id: Path<String>, body: Bytes) -> Answer {
    put(&http, ObjectKind::IdentificationPoint, id.into_inner(), &body).await
}

/// Removes an identification point.
#[utoipa::path(delete, path = "/api/v1/identification-points/{id}", tag = "configuration",
    params(("id" = String, Path, description = "The point's id")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None"),
              (status = 409, description = "From a file")))]
pub async fn delete_point(http: Data<Http>, id: Path<String>) -> Answer {
    delete(&http, ObjectKind::IdentificationPoint, id.into_inner()).await
}
