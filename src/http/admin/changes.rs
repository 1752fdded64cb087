//! `/changes`: merges, unmerges, refusals, quarantines, releases and erasures, in order.

use crate::http::admin::Answer;
use crate::http::page::PageQuery;
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde::Deserialize;

/// Where to begin.
#[derive(Debug, Deserialize)]
pub struct From {
    from: Option<String>,
}

/// Changes after a sequence, oldest first; `next` is always there, so that a reader can follow.
#[utoipa::path(get, path = "/api/v1/changes", tag = "state",
    params(("from" = Option<u64>, Query, description = "`next` of the page before, or 0"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default")),
    responses((status = 200, description = "Changes")))]
pub async fn list(http: Data<Http>, from: Query<From>, page: Query<PageQuery>) -> Answer {
    let from = match from.from.as_deref() {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| Problem::invalid("expected from as a whole number"))?
        }
    };
    Ok(HttpResponse::Ok().json(http.engine.changes(from, page.limit()?).await?))
}
