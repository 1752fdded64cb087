//! `/sessions`: the senders' sessions.

use crate::domain::names;
use crate::http::admin::{Answer, found};
use crate::http::shared::Http;
use actix_web::web::{Data, Path};

/// A session: its profile, first and last use.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The sender's session id")),
    responses((status = 200, description = "The session"), (status = 404, description = "None")))]
pub async fn by_id(http: Data<Http>, id: Path<String>) -> Answer {
    // Read as the one in a sender's URL is.
    let id = names::name(&id).unwrap_or_default().to_owned();
    found(http.engine.session(id).await?, "session")
}
