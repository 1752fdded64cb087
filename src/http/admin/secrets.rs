//! `/secrets`: set and removed, told of by name and age, never read.

use crate::code::Code;
use crate::engine::{SecretRefusal, SecretView};
use crate::http::admin::{Answer, body};
use crate::http::page::PageQuery;
use crate::http::problem::Problem;
use crate::http::shared::Http;
use crate::secrets::{Secret, StoreError};
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value on its way in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    value: Value,
}

/// A secret as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    created_at: String,
    set_at: String,
    /// Seconds since it was set.
    age: i64,
    used_by: Vec<String>,
}

impl Shown {
    fn of(http: &Http, view: SecretView) -> Self {
        let SecretView { held, used_by } = view;
        Self {
            created_at: held.created_at.to_string(),
            set_at: held.set_at.to_string(),
            age: http.clock.now().0.saturating_sub(held.set_at.0).max(0) / 1_000,
            name: held.name,
            used_by,
        }
    }
}

/// All secrets, by name; no values.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "configuration",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Names, ages, and what refers to them")))]
pub async fn list(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    let all = http.engine.secrets(http.token_name.as_deref())?.into_iter();
    let all = all.map(|one| (one.held.name.clone(), Shown::of(&http, one)));
    Ok(HttpResponse::Ok().json(page.by_id(all)?))
}

/// A secret, without its value.
#[utoipa::path(get, path = "/api/v1/secrets/{name}", tag = "configuration",
    params(("name" = String, Path, description = "The secret's name")),
    responses((status = 200, description = "Its age, and what refers to it"),
              (status = 404, description = "None")))]
pub async fn get(http: Data<Http>, name: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(shown(&http, &name)?))
}

/// Sets a secret; it counts at once, wherever `secret:` and its name stand.
#[utoipa::path(put, path = "/api/v1/secrets/{name}", tag = "configuration",
    params(("name" = String, Path, description = "The secret's name")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid")))]
pub async fn set(http: Data<Http>, name: Path<String>, bytes: Bytes) -> Answer {
    let Given { value } = body(&bytes)?;
    // A mistake is told without what was found, be it a number.
    let Value::String(value) = value else {
        return Err(Problem::invalid("value: expected a text"));
    };
    let value = Secret::new(value);
    let text = value.expose();
    if text.trim().is_empty() || text.contains('\0') {
        return Err(Problem::invalid("value: expected a text that is not blank"));
    }
    if text.len() > http.limits.secret.bytes() {
        http.metrics.secrets_refused.inc();
        return Err(Problem::invalid("value: expected at most limits.secret bytes"));
    }
    let (name, most) = (name.into_inner(), http.limits.secrets);
    let is_new = match http.engine.set_secret(name.clone(), value, most).await {
        Err(SecretRefusal::Store(StoreError::Full(most))) => {
            http.metrics.secrets_refused.inc();
            return Err(Problem::invalid(StoreError::Full(most).to_string()));
        }
        outcome => outcome.map_err(refused)?,
    };
    let mut answer = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(shown(&http, &name)?))
}

/// Removes a secret that nothing refers to.
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", tag = "configuration",
    params(("name" = String, Path, description = "The secret's name")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None"),
              (status = 409, description = "Something refers to it")))]
pub async fn remove(http: Data<Http>, name: Path<String>) -> Answer {
    let removed = http.engine.remove_secret(name.into_inner(), http.token_name.as_deref()).await;
    removed.map_err(refused)?;
    Ok(HttpResponse::NoContent().finish())
}

fn shown(http: &Http, name: &str) -> Result<Shown, Problem> {
    let found = http.engine.secret(name, http.token_name.as_deref())?;
    found.map(|one| Shown::of(http, one)).ok_or_else(|| Problem::not_found("secret"))
}

fn refused(refusal: SecretRefusal) -> Problem {
    match refusal {
        SecretRefusal::Refused(refusal) => refusal.into(),
        SecretRefusal::NotFound => Problem::not_found("secret"),
        SecretRefusal::Name => Problem::invalid(refusal.to_string()),
        SecretRefusal::InUse(_) => Problem::new(Code::InUse, refusal.to_string()),
        SecretRefusal::Store(error) => {
            tracing::error!("the store of secrets: {error}");
            Problem::new(Code::StorageFailed, "the secret could not be stored; the log says why")
        }
    }
}
