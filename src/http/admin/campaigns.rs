//! `/campaigns` and `/deliveries`: what is sent out, why, and how it went.

use crate::engine::{DeliveryFilter, DeliveryState, ObjectKind, Trial};
use crate::http::admin::objects::{delete, put};
use crate::http::admin::{Answer, body, found};
use crate::http::page::{List, PageQuery};
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::Deserialize;
use serde_json::json;

/// All campaigns, by id.
#[utoipa::path(get, path = "/api/v1/campaigns", tag = "campaigns",
    params(("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Campaigns")))]
pub async fn list(http: Data<Http>, page: Query<PageQuery>) -> Answer {
    let effective = http.engine.effective()?;
    let all = effective.compiled.settings.campaigns.keys();
    let all = all.map(|id| (id.clone(), effective.object(ObjectKind::Campaign, id)));
    Ok(HttpResponse::Ok().json(page.by_id(all)?))
}

/// A campaign, with those of its endpoints that are not called any more.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "The campaign"), (status = 404, description = "None")))]
pub async fn get(http: Data<Http>, id: Path<String>) -> Answer {
    let id = id.into_inner();
    let mut campaign = http.engine.effective()?.object(ObjectKind::Campaign, &id);
    let disabled = http.engine.disabled_endpoints(id).await?;
    if let Some(campaign) = campaign.as_mut().filter(|_| !disabled.is_empty()) {
        campaign["disabled"] = json!(disabled);
    }
    found(campaign, "campaign")
}

/// Sets a campaign.
#[utoipa::path(put, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "Replaced"), (status = 201, description = "New"),
              (status = 400, description = "Invalid"), (status = 409, description = "From a file")))]
pub async fn set(http: Data<Http>, id: Path<String>, body: Bytes) -> Answer {
    put(&http, ObjectKind::Campaign, id.into_inner(), &body).await
}

/// Removes a campaign; what it has not sent yet is cancelled.
#[utoipa::path(delete, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 204, description = "Gone"), (status = 404, description = "None"),
              (status = 409, description = "From a file")))]
pub async fn remove(http: Data<Http>, id: Path<String>) -> Answer {
    delete(&http, ObjectKind::Campaign, id.into_inner()).await
}

/// What became of a campaign's triggers, newest first; also of those that began no run.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}/runs", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id"),
           ("profile" = Option<String>, Query, description = "Of this profile"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Runs"), (status = 404, description = "None")))]
pub async fn runs(
    http: Data<Http>,
    id: Path<String>,
    whose: Query<Whose>,
    page: Query<PageQuery>,
) -> Answer {
    let profile = whose.into_inner().profile;
    let runs = http.engine.campaign_runs(id.into_inner(), profile, page.by_sequence()?).await?;
    found(runs.map(List::from), "campaign")
}

/// Whose runs, or whose explanation.
#[derive(Deserialize)]
pub struct Whose {
    profile: Option<String>,
}

/// Why a campaign did or did not fire for a profile: how it judges the last events that could have
/// triggered it, with the profile as it was then.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}/explain", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id"),
           ("profile" = String, Query, description = "Any id of the profile")),
    responses((status = 200, description = "Every rule with what it saw"),
              (status = 400, description = "No profile named"), (status = 404, description = "None")))]
pub async fn explain(http: Data<Http>, id: Path<String>, whose: Query<Whose>) -> Answer {
    let profile = whose.into_inner().profile;
    let profile = profile.ok_or_else(|| Problem::invalid("profile: expected a profile's id"))?;
    let most = http.limits.explain;
    found(http.engine.explain_campaign(&id, profile, most).await?, "campaign or profile")
}

/// What would happen, rule by rule, with the exact requests; nothing is sent.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/preview", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "Whether it fires, and why"), (status = 404, description = "None")))]
pub async fn preview(http: Data<Http>, id: Path<String>, bytes: Bytes) -> Answer {
    let trial: Trial = body(&bytes)?;
    Ok(HttpResponse::Ok()
        .json(http.engine.preview_campaign(&id, trial, http.limits.explain).await?))
}

/// Sends what the preview shows, marked as a test; touches no counters.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/test", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "What came back"), (status = 404, description = "None")))]
pub async fn test(http: Data<Http>, id: Path<String>, bytes: Bytes) -> Answer {
    let trial: Trial = body(&bytes)?;
    let responses = http.engine.test_campaign(&id, trial, http.limits.explain).await?;
    Ok(HttpResponse::Ok().json(json!({ "responses": responses })))
}

/// Over how long to backtest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backtest {
    #[serde(default = "a_month")]
    days: u32,
}

fn a_month() -> u32 {
    30
}

/// What a campaign would have done over the last days, had it been live.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/backtest", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "How much, and what was turned away"), (status = 404, description = "None")))]
pub async fn backtest(http: Data<Http>, id: Path<String>, bytes: Bytes) -> Answer {
    let Backtest { days } = body(&bytes)?;
    if !(1..=3_650).contains(&days) {
        return Err(Problem::invalid("days: expected 1 to 3650"));
    }
    let most = http.limits.backtest;
    Ok(HttpResponse::Ok().json(http.engine.backtest_campaign(&id, days, most).await?))
}

/// Has endpoints called again that answered 410.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/enable", tag = "campaigns",
    params(("id" = String, Path, description = "The campaign's id")),
    responses((status = 200, description = "How many"), (status = 404, description = "None")))]
pub async fn enable(http: Data<Http>, id: Path<String>) -> Answer {
    let enabled = http.engine.enable_campaign(id.into_inner()).await?;
    Ok(HttpResponse::Ok().json(json!({ "enabled": enabled })))
}

/// Which deliveries are wanted.
#[derive(Default, Deserialize)]
pub struct DeliveryQuery {
    campaign: Option<String>,
    profile: Option<String>,
    state: Option<String>,
}

impl DeliveryQuery {
    fn filter(self) -> Result<DeliveryFilter, Problem> {
        let Self { campaign, profile, state } = self;
        let state = match state.as_deref() {
            None => None,
            Some("pending") => Some(DeliveryState::Pending),
            Some("delivered") => Some(DeliveryState::Delivered),
            Some("dead") => Some(DeliveryState::Dead),
            Some("cancelled") => Some(DeliveryState::Cancelled),
            Some(_) => {
                let expected = "state: expected pending, delivered, dead or cancelled";
                return Err(Problem::invalid(expected));
            }
        };
        Ok(DeliveryFilter { campaign, profile, state })
    }
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "campaigns",
    params(("campaign" = Option<String>, Query, description = "Of this campaign"),
           ("profile" = Option<String>, Query, description = "Of this profile"),
           ("state" = Option<String>, Query, description = "pending, delivered, dead or cancelled"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Deliveries")))]
pub async fn deliveries(
    http: Data<Http>,
    query: Query<DeliveryQuery>,
    page: Query<PageQuery>,
) -> Answer {
    let filter = query.into_inner().filter()?;
    let page = http.engine.deliveries(filter, page.by_sequence()?).await?;
    Ok(HttpResponse::Ok().json(List::from(page)))
}

/// A delivery with its attempts.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, description = "The delivery"), (status = 404, description = "None")))]
pub async fn delivery(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.delivery(&id).await?, "delivery")
}

/// Sends a delivery that is over once more, under the same webhook-id.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/replay", tag = "campaigns",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, description = "Whether it is sent again; one that is pending is not"), (status = 404, description = "None")))]
pub async fn replay(http: Data<Http>, id: Path<String>) -> Answer {
    let replayed = http.engine.replay_delivery(&id).await?;
    Ok(HttpResponse::Ok().json(json!({ "replayed": usize::from(replayed) })))
}

/// Which deliveries to send once more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    campaign: Option<String>,
    profile: Option<String>,
    #[serde(default = "dead")]
    state: String,
    #[serde(default)]
    dry_run: bool,
}

fn dead() -> String {
    "dead".to_owned()
}

/// Sends all deliveries once more that fit, by default the dead ones; or counts them.
#[utoipa::path(post, path = "/api/v1/deliveries/replay", tag = "campaigns",
    responses((status = 200, description = "How many"), (status = 400, description = "Invalid")))]
pub async fn replay_all(http: Data<Http>, bytes: Bytes) -> Answer {
    let Bulk { campaign, profile, state, dry_run } = body(&bytes)?;
    let filter = DeliveryQuery { campaign, profile, state: Some(state) }.filter()?;
    let count = http.engine.replay_deliveries(filter, dry_run).await?;
    Ok(HttpResponse::Ok().json(json!({ "count": count, "dry_run": dry_run })))
}
