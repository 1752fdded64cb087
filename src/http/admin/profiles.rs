//! `/profiles`: people, their timelines, and how they came together.

use crate::domain::id::Identifier;
use crate::engine::{Export, ExportError, ProfileRef, Refusal};
use crate::http::admin::{Answer, found};
use crate::http::page::{List, PageQuery, Turn};
use crate::http::problem::Problem;
use crate::http::query::Exact;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use futures_util::stream::{Stream, unfold};
use serde::{Deserialize, Serialize};

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
pub async fn by_identifier(http: Data<Http>, Exact(query): Exact<ProfileQuery>) -> Answer {
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
    let page = page.by_sequence()?;
    let turn = Turn::take(&http).await?;
    let events = http.engine.profile_events(id.into_inner(), page).await?;
    let events = events.ok_or_else(|| Problem::not_found("profile"))?;
    turn.answer(events)
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

/// Everything held on a person, in parts as they are read: an export that is not whole JSON at its
/// end was cut off, because the person was erased meanwhile or the program stopped.
#[utoipa::path(get, path = "/api/v1/profiles/{id}/export", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had")),
    responses((status = 200, description = "Everything"), (status = 404, description = "None")))]
pub async fn export(http: Data<Http>, id: Path<String>) -> Answer {
    let export = http.engine.export(id.into_inner()).await?;
    let export = export.ok_or_else(|| Problem::not_found("profile"))?;
    Ok(HttpResponse::Ok().content_type("application/json").streaming(chunks(export)))
}

/// What of an export is next.
enum Stage {
    Profile,
    /// Events; whether it is the first part of them.
    Events(bool),
    /// Changes, likewise.
    Changes(bool),
    Over,
}

fn chunks(export: Export) -> impl Stream<Item = Result<Bytes, ExportError>> {
    unfold((export, Stage::Profile), |(mut export, stage)| async move {
        match chunk(&mut export, stage).await {
            Ok(Some((chunk, stage))) => Some((Ok(chunk), (export, stage))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export ends before its end");
                Some((Err(error), (export, Stage::Over)))
            }
        }
    })
}

async fn chunk(export: &mut Export, stage: Stage) -> Result<Option<(Bytes, Stage)>, ExportError> {
    Ok(Some(match stage {
        Stage::Profile => {
            let mut text = b"{\"profile\":".to_vec();
            write(&export.profile, &mut text)?;
            text.extend_from_slice(b",\"events\":[");
            (text.into(), Stage::Events(true))
        }
        Stage::Events(is_first) => match listed(&export.events().await?, is_first)? {
            None => (Bytes::from_static(b"],\"merges\":["), Stage::Changes(true)),
            Some(part) => (part, Stage::Events(false)),
        },
        Stage::Changes(is_first) => match listed(&export.changes().await?, is_first)? {
            None => (Bytes::from_static(b"]}"), Stage::Over),
            Some(part) => (part, Stage::Changes(false)),
        },
        Stage::Over => return Ok(None),
    }))
}

/// Further elements of an array; none where there are no more.
fn listed<T: Serialize>(items: &[T], is_first: bool) -> Result<Option<Bytes>, ExportError> {
    let mut text = Vec::new();
    for item in items {
        if !(is_first && text.is_empty()) {
            text.push(b',');
        }
        write(item, &mut text)?;
    }
    Ok((!items.is_empty()).then(|| text.into()))
}

/// Views are made of texts, numbers and JSON, so this does not fail; if it did, the export would not
/// be whole.
fn write(item: &impl Serialize, text: &mut Vec<u8>) -> Result<(), ExportError> {
    serde_json::to_writer(text, item).map_err(|_| ExportError::Refused(Refusal::StorageFailed))
}
