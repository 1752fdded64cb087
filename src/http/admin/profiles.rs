//! `/profiles`: people, their timelines, and how they came together.

use super::{Answer, found};
use crate::domain::id::Identifier;
use crate::engine::ProfileRef;
use crate::http::Http;
use crate::http::page::{List, PageQuery};
use crate::http::problem::Problem;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;

/// How a profile is asked for.
#[derive(Debug, Deserialize)]
pub struct ProfileQuery {
    identifier: Option<String>,
    all: Option<String>,
}

impl ProfileQuery {
    fn all(&self) -> Result<bool, Problem> {
        match self.all.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(Problem::invalid("expected all=true or all=false")),
        }
    }
}

/// The profile that owns an identifier.
#[utoipa::path(get, path = "/api/v1/profiles", tag = "profiles",
    params(("identifier" = String, Query, description = "type:value, normalised like any other"),
           ("all" = Option<bool>, Query, description = "suppressed and quarantined ones too")),
    responses((status = 200, description = "The profile"), (status = 404, description = "None")))]
pub async fn by_identifier(http: Data<Http>, query: Query<ProfileQuery>) -> Answer {
    let identifier = query.identifier.as_deref().and_then(Identifier::parse).ok_or_else(|| {
        Problem::invalid("expected ?identifier=type:value, such as email:ann@example.com")
    })?;
    let profile = http.engine.profile(ProfileRef::Identifier(identifier), query.all()?).await?;
    found(profile, "profile")
}

/// A profile by any id that it ever had.
#[utoipa::path(get, path = "/api/v1/profiles/{id}", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had"),
           ("all" = Option<bool>, Query, description = "suppressed and quarantined ones too")),
    responses((status = 200, description = "The profile, under its current id"),
              (status = 404, description = "None")))]
pub async fn by_id(http: Data<Http>, id: Path<String>, query: Query<ProfileQuery>) -> Answer {
    let profile = http.engine.profile(ProfileRef::Id(id.into_inner()), query.all()?).await?;
    found(profile, "profile")
}

/// A profile's timeline, newest first.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/events", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Events"), (status = 404, description = "None")))]
pub async fn events(http: Data<Http>, id: Path<String>, page: Query<PageQuery>) -> Answer {
    let events = http.engine.profile_events(id.into_inner(), page.by_sequence()?).await?;
    found(events.map(List::from), "profile")
}

/// What was merged into a profile, newest first.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/merges", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Merges"), (status = 404, description = "None")))]
pub async fn merges(http: Data<Http>, id: Path<String>, page: Query<PageQuery>) -> Answer {
    let merges = http.engine.profile_merges(id.into_inner(), page.by_sequence()?).await?;
    found(merges.map(List::from), "profile")
}

/// Everything held on a person.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/export", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had")),
    responses((status = 200, description = "Everything"), (status = 404, description = "None")))]
pub async fn export(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.export(id.into_inner()).await?, "profile")
}
