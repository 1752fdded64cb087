//! `/identity` and what operators do to profiles: rules, links, unmerges, explanations, previews.

use crate::decode::{DecodeLimits, Decoded, Piece, Shape, decode_stored};
use crate::domain::blocked::GARBAGE;
use crate::domain::event::Payload;
use crate::domain::id::Identifier;
use crate::domain::names::{is_id, is_trait_name};
use crate::domain::settings::{TraitConfig, TypeConfig};
use crate::engine::{Again, Explained, ObjectKind, Part, Preview, ProfileRef, Redecode, Unmerged};
use crate::http::admin::events::EventQuery;
use crate::http::admin::objects::{delete, put};
use crate::http::admin::{Answer, body, found};
use crate::http::page::{List, PageQuery};
use crate::http::problem::Problem;
use crate::http::query::Exact;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

fn identifier(name: &str, text: Option<&str>) -> Result<Identifier, Problem> {
    let wrong = || {
        Problem::invalid(format!("expected {name} as type:value, such as email:ann@example.com"))
    };
    text.and_then(Identifier::parse).ok_or_else(wrong)
}

/// The rules of all identifier types that have some.
#[utoipa::path(get, path = "/api/v1/identity/types", tag = "identity",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Rules by type")))]
pub async fn list_types(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    list(&http, ObjectKind::IdentityType, &page)
}

fn list(http: &Http, kind: ObjectKind, page: &PageQuery) -> Answer {
    let effective = http.engine.effective()?;
    let object = |id: String| {
        let mut object = effective.object(kind, &id).unwrap_or_default();
        object["id"] = json!(id);
        (id, object)
    };
    let all: Vec<_> = effective.ids(kind).into_iter().map(object).collect();
    Ok(HttpResponse::Ok().json(page.by_id(all.into_iter())?))
}

/// The rules of an identifier type.
#[utoipa::path(get, path = "/api/v1/identity/types/{type}", tag = "identity",
    params(("type" = String, Path, description = "The identifier type")),
    responses((status = 200, description = "Its rules, defaults filled in"),
              (status = 404, description = "No type can have that name")))]
pub async fn get_type(http: Data<Http>, kind: Path<String>) -> Answer {
    if !is_id(&kind) {
        return Err(Problem::not_found("identifier type"));
    }
    let effective = http.engine.effective()?;
    let rule = effective.compiled.rules.of(&kind);
    Ok(HttpResponse::Ok().json(TypeConfig {
        priority: Some(rule.priority),
        normalise: Some(rule.normaliser),
        gmail: Some(rule.gmail),
        unique: Some(rule.unique),
        limit: rule.limit,
        shared_by: rule.shared_by,
        blocked: Some(rule.blocked.clone()),
        known: Some(rule.known),
    }))
}

/// Sets the rules of an identifier type; everything is re-resolved in the background.
#[utoipa::path(put, path = "/api/v1/identity/types/{type}", tag = "identity",
    params(("type" = String, Path, description = "The identifier type")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid")))]
pub async fn put_type(http: Data<Http>, kind: Path<String>, body: Bytes) -> Answer {
    put(&http, ObjectKind::IdentityType, kind.into_inner(), &body).await
}

/// Gives an identifier type its rules from the files, or the defaults, back.
#[utoipa::path(delete, path = "/api/v1/identity/types/{type}", tag = "identity",
    params(("type" = String, Path, description = "The identifier type")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None by API")))]
pub async fn delete_type(http: Data<Http>, kind: Path<String>) -> Answer {
    delete(&http, ObjectKind::IdentityType, kind.into_inner()).await
}

/// The rules of all traits that have some.
#[utoipa::path(get, path = "/api/v1/traits", tag = "identity",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Rules by trait")))]
pub async fn list_traits(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    list(&http, ObjectKind::Trait, &page)
}

/// The rule of a trait.
#[utoipa::path(get, path = "/api/v1/traits/{name}", tag = "identity",
    params(("name" = String, Path, description = "The trait")),
    responses((status = 200, description = "Its rule"),
              (status = 404, description = "No trait can have that name")))]
pub async fn get_trait(http: Data<Http>, name: Path<String>) -> Answer {
    if !is_trait_name(&name) {
        return Err(Problem::not_found("trait"));
    }
    let fold = http.engine.effective()?.compiled.rules.fold(&name);
    Ok(HttpResponse::Ok().json(TraitConfig { fold }))
}

/// Sets the rule of a trait; everything is folded again in the background.
#[utoipa::path(put, path = "/api/v1/traits/{name}", tag = "identity",
    params(("name" = String, Path, description = "The trait")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid")))]
pub async fn put_trait(http: Data<Http>, name: Path<String>, body: Bytes) -> Answer {
    put(&http, ObjectKind::Trait, name.into_inner(), &body).await
}

/// Gives a trait its rule from the files, or the default, back.
#[utoipa::path(delete, path = "/api/v1/traits/{name}", tag = "identity",
    params(("name" = String, Path, description = "The trait")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None by API")))]
pub async fn delete_trait(http: Data<Http>, name: Path<String>) -> Answer {
    delete(&http, ObjectKind::Trait, name.into_inner()).await
}

/// What changed rules would do, without touching anything.
#[utoipa::path(post, path = "/api/v1/identity/preview", tag = "identity",
    responses((status = 200, description = "The differences"), (status = 400, description = "Invalid rules")))]
pub async fn preview(http: Data<Http>, bytes: Bytes) -> Answer {
    let preview: Preview = body(&bytes)?;
    Ok(HttpResponse::Ok().json(http.engine.preview(preview).await?))
}

/// A link to lay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLink {
    kind: String,
    a: String,
    b: String,
    #[serde(default)]
    reason: String,
}

/// Lays a must-link or a cannot-link.
#[utoipa::path(post, path = "/api/v1/identity/links", tag = "identity",
    responses((status = 201, description = "The link"), (status = 400, description = "Invalid")))]
pub async fn lay(http: Data<Http>, bytes: Bytes) -> Answer {
    let NewLink { kind, a, b, reason } = body(&bytes)?;
    let joins = match kind.as_str() {
        "must" => true,
        "cannot" => false,
        _ => return Err(Problem::invalid("kind: expected \"must\" or \"cannot\"")),
    };
    let (a, b) = (identifier("a", Some(&a))?, identifier("b", Some(&b))?);
    Ok(HttpResponse::Created().json(http.engine.lay_link(joins, a, b, reason).await?))
}

/// All links.
#[utoipa::path(get, path = "/api/v1/identity/links", tag = "identity",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Links")))]
pub async fn links(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    let (limit, after) = page.by_number()?;
    let links = http.engine.links_after(after, limit + 1).await?;
    Ok(HttpResponse::Ok().json(List::numbered(links, limit, |link| &link.id)))
}

/// What identifies nobody, whatever the type's own rules say.
#[utoipa::path(get, path = "/api/v1/identity/blocked", tag = "identity",
    responses((status = 200, description = "The built-in list, and whether it is in force")))]
pub async fn blocked(http: Data<Http>) -> Answer {
    let is_on = http.engine.effective()?.compiled.rules.builtin_blocked;
    Ok(HttpResponse::Ok().json(json!({
        "builtin_blocked": is_on,
        "values": GARBAGE,
        "patterns": ["only zeros and dashes", "phone: one repeated digit"],
        "compared": "trimmed, without quotes, in lower case",
    })))
}

/// An operator's link.
#[utoipa::path(get, path = "/api/v1/identity/links/{id}", tag = "identity",
    params(("id" = String, Path, description = "The link's id")),
    responses((status = 200, description = "The link"), (status = 404, description = "None")))]
pub async fn link(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.link(&id).await?, "link")
}

/// Lifts a link.
#[utoipa::path(delete, path = "/api/v1/identity/links/{id}", tag = "identity",
    params(("id" = String, Path, description = "The link's id")),
    responses((status = 204, description = "Lifted"), (status = 404, description = "None")))]
pub async fn lift(http: Data<Http>, id: Path<String>) -> Answer {
    http.engine.lift_link(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Two identifiers.
#[derive(Deserialize)]
pub struct Two {
    a: Option<String>,
    b: Option<String>,
}

/// Why two identifiers are one person, or what keeps them apart.
#[utoipa::path(get, path = "/api/v1/identity/explain", tag = "identity",
    params(("a" = String, Query, description = "type:value"), ("b" = String, Query, description = "type:value")),
    responses((status = 200, description = "The chain, or the reasons"), (status = 404, description = "One is unknown")))]
pub async fn explain(http: Data<Http>, Exact(query): Exact<Two>) -> Answer {
    let (a, b) = (identifier("a", query.a.as_deref())?, identifier("b", query.b.as_deref())?);
    match http.engine.explain(a, b).await? {
        Explained::Unknown => Err(Problem::not_found("identifier")),
        Explained::Joined(path) => {
            Ok(HttpResponse::Ok().json(json!({ "joined": true, "path": path })))
        }
        Explained::Apart(reasons) => {
            let reason = |(code, detail): (&str, String)| json!({ "code": code, "detail": detail });
            let reasons: Vec<_> = reasons.into_iter().map(reason).collect();
            Ok(HttpResponse::Ok().json(json!({ "joined": false, "reasons": reasons })))
        }
    }
}

/// By what to take a profile apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnmergeBody {
    identifier: Option<String>,
    fragment: Option<String>,
    #[serde(default)]
    reason: String,
    /// Whether to say only into which parts it would fall.
    #[serde(default)]
    dry_run: bool,
}

/// Takes a profile apart.
#[utoipa::path(post, path = "/api/v1/profiles/{id}/unmerge", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had")),
    responses((status = 200, description = "The profiles and the links laid"), (status = 404, description = "None"),
              (status = 409, description = "Nothing holds together by it")))]
pub async fn unmerge(http: Data<Http>, id: Path<String>, bytes: Bytes) -> Answer {
    let UnmergeBody { identifier: by, fragment, reason, dry_run } = body(&bytes)?;
    let part = match (by, fragment) {
        (Some(text), None) => Part::Identifier(identifier("identifier", Some(&text))?),
        (None, Some(fragment)) => Part::Fragment(fragment),
        _ => return Err(Problem::invalid("expected either identifier or fragment")),
    };
    match http.engine.unmerge(&id, part, reason, dry_run).await? {
        Some(Unmerged { profiles, links, parts }) if dry_run => {
            let answer = json!({ "profiles": profiles, "links": links, "parts": parts });
            Ok(HttpResponse::Ok().json(answer))
        }
        Some(Unmerged { profiles, links, .. }) => {
            Ok(HttpResponse::Ok().json(json!({ "profiles": profiles, "links": links })))
        }
        None => Err(Problem::new(crate::code::Code::NotMerged, "nothing holds together by it")),
    }
}

/// Withdraws one identifier from a profile.
#[utoipa::path(delete, path = "/api/v1/profiles/{id}/identifiers/{identifier}", tag = "profiles",
    params(("id" = String, Path, description = "Any id that the person ever had"),
           ("identifier" = String, Path, description = "type:value")),
    responses((status = 204, description = "Withdrawn"), (status = 400, description = "No identifier"),
              (status = 404, description = "None")))]
pub async fn withdraw(http: Data<Http>, path: Path<(String, String)>) -> Answer {
    let (id, text) = path.into_inner();
    http.engine.withdraw(&id, identifier("the identifier", Some(&text))?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Which events to read again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reprocess {
    event_id: Option<String>,
    status: Option<String>,
    source: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// Reads quarantined and profile-less events again.
#[utoipa::path(post, path = "/api/v1/events/reprocess", tag = "events",
    responses((status = 200, description = "How many were considered and stored"), (status = 400, description = "Invalid")))]
pub async fn reprocess(http: Data<Http>, bytes: Bytes) -> Answer {
    let Reprocess { event_id, status, source, reason, since, until } = body(&bytes)?;
    let query = EventQuery::new(status, source, reason, since, until);
    let again = Again { event_id, filter: query.filter()?, decode: Some(redecode(http.decoding)) };
    let (considered, stored) = http.engine.reprocess(again).await?;
    Ok(HttpResponse::Ok().json(json!({ "considered": considered, "stored": stored })))
}

/// How bytes that could not be decoded are read again: as JSON, as their media type is not kept. A
/// batch would be several events, so it stays.
fn redecode(limits: DecodeLimits) -> Redecode {
    Arc::new(move |source, bytes| {
        let shape = Shape { splits: &source.splits, fields: &source.decode };
        match decode_stored(bytes.clone(), shape, &limits)? {
            Decoded::Single(Piece { payload: Payload::Json(object), fault: None, raw: None }) => {
                Some(object)
            }
            _ => None,
        }
    })
}

/// A person to erase.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewErasure {
    identifier: Option<String>,
    profile: Option<String>,
    #[serde(default)]
    suppress: bool,
    #[serde(default)]
    reason: String,
}

/// Erases a person: fragments, evidence, timeline, journal records and snapshot rows.
#[utoipa::path(post, path = "/api/v1/erasures", tag = "erasure",
    responses((status = 200, description = "The receipt"), (status = 404, description = "Nobody")))]
pub async fn erase(http: Data<Http>, bytes: Bytes) -> Answer {
    let NewErasure { identifier: by, profile, suppress, reason } = body(&bytes)?;
    let by = match (by, profile) {
        (Some(text), None) => ProfileRef::Identifier(identifier("identifier", Some(&text))?),
        (None, Some(id)) => ProfileRef::Id(id),
        _ => return Err(Problem::invalid("expected either identifier or profile")),
    };
    Ok(HttpResponse::Ok().json(http.engine.erase(by, suppress, reason).await?))
}

/// How far an erasure is.
#[utoipa::path(get, path = "/api/v1/erasures/{id}", tag = "erasure",
    params(("id" = String, Path, description = "The erasure's id")),
    responses((status = 200, description = "The receipt"), (status = 404, description = "None")))]
pub async fn erasure(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.erasure(&id).await?, "erasure")
}

/// Which suppression.
#[derive(Deserialize)]
pub struct Suppression {
    identifier: Option<String>,
}

/// Allows a suppressed identifier again.
#[utoipa::path(delete, path = "/api/v1/suppressions", tag = "erasure",
    params(("identifier" = String, Query, description = "type:value")),
    responses((status = 204, description = "Allowed"), (status = 404, description = "Not suppressed")))]
pub async fn allow(http: Data<Http>, Exact(query): Exact<Suppression>) -> Answer {
    http.engine.allow(identifier("identifier", query.identifier.as_deref())?).await?;
    Ok(HttpResponse::NoContent().finish())
}
