//! `/tracker.js`: the script that a website loads to send what its visitors do.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, EntityTag, Header as _,
    IfNoneMatch,
};
use actix_web::{HttpRequest, HttpResponse};
use std::sync::LazyLock;

/// As it is sent.
const SCRIPT: &str = include_str!("tracker.js");
/// Browsers ask again after an hour, with the tag.
const CACHE: &str = "public, max-age=3600";

static TAG: LazyLock<EntityTag> = LazyLock::new(|| {
    EntityTag::new_strong(blake3::hash(SCRIPT.as_bytes()).to_hex().as_str()[..32].to_owned())
});

/// The script, or that it has not changed.
#[utoipa::path(get, path = "/tracker.js", tag = "collect",
    responses((status = 200, description = "The script", content_type = "text/javascript", body = String), (status = 304, description = "Unchanged")))]
pub async fn script(request: HttpRequest) -> HttpResponse {
    let known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&TAG)),
        Err(_) => false,
    };
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header((ETAG, TAG.to_string()))
        .insert_header((CACHE_CONTROL, CACHE))
        // It is for every page, also for one that checks its integrity or isolates itself.
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .insert_header(("x-content-type-options", "nosniff"));
    if known {
        return answer.finish();
    }
    answer.insert_header((CONTENT_TYPE, "text/javascript; charset=utf-8")).body(SCRIPT)
}
