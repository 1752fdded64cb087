//! `/events`: everything that was kept.

use crate::domain::time::Timestamp;
use crate::engine::EventFilter;
use crate::http::admin::{Answer, found};
use crate::http::page::{PageQuery, Turn};
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;

/// Which events.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventQuery {
    source: Option<String>,
    r#type: Option<String>,
    profile: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl EventQuery {
    /// A query from the fields of a body.
    pub(super) fn new(
        status: Option<String>,
        source: Option<String>,
        reason: Option<String>,
        since: Option<String>,
        until: Option<String>,
    ) -> Self {
        Self { status, source, reason, since, until, ..Self::default() }
    }

    /// As the engine takes it.
    ///
    /// # Errors
    /// 400 for a value that means nothing.
    pub fn filter(&self) -> Result<EventFilter, Problem> {
        let mut filter = EventFilter {
            source: self.source.clone(),
            reason: self.reason.clone(),
            kind: self.r#type.as_deref().map(kind),
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
            ..EventFilter::default()
        };
        match self.profile.as_deref() {
            None => {}
            Some("none") => filter.profile_less = true,
            Some(_) => return Err(Problem::invalid("expected profile=none")),
        }
        match self.status.as_deref() {
            None => {}
            Some("profile-less") => filter.profile_less = true,
            Some("quarantined") => filter.quarantined = true,
            Some(_) => {
                return Err(Problem::invalid("expected status=quarantined or status=profile-less"));
            }
        }
        Ok(filter)
    }
}

/// An event type as it is kept: lower case, blanks as `-`.
fn kind(text: &str) -> String {
    text.trim().to_lowercase().replace(' ', "-")
}

fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || Problem::invalid(format!("expected {name} as in 2026-03-01T10:00:00Z"));
    // In a query the plus of a zone is a blank, unless it was encoded.
    let at = Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&text.trim().replace(' ', "+")));
    at.map(Some).ok_or_else(wrong)
}

/// Events, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("source" = Option<String>, Query, description = "Of this source"),
           ("type" = Option<String>, Query, description = "Of this type"),
           ("profile" = Option<String>, Query, description = "`none`: only the profile-less"),
           ("status" = Option<String>, Query, description = "`quarantined` or `profile-less`"),
           ("reason" = Option<String>, Query, description = "Quarantined for this reason"),
           ("since" = Option<String>, Query, description = "Received at or after"),
           ("until" = Option<String>, Query, description = "Received before"),
           ("limit" = Option<u32>, Query, description = "1 to 250, 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Events")))]
pub async fn list(http: Data<Http>, query: Query<EventQuery>, page: Query<PageQuery>) -> Answer {
    let (filter, page) = (query.filter()?, page.by_sequence()?);
    let turn = Turn::take(&http).await?;
    let events = http.engine.events(filter, page).await?;
    turn.answer(events)
}

/// An event.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events",
    params(("id" = String, Path, description = "The event's id")),
    responses((status = 200, description = "The event"), (status = 404, description = "None")))]
pub async fn by_id(http: Data<Http>, id: Path<String>) -> Answer {
    found(http.engine.event(id.into_inner()).await?, "event")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        let query = |text: &str| serde_json::from_str::<EventQuery>(text).unwrap().filter();
        assert!(query(r#"{"profile":"none"}"#).unwrap().profile_less);
        assert_eq!(query(r#"{"type":"Page View"}"#).unwrap().kind.as_deref(), Some("page-view"));
        assert!(query(r#"{"profile":"some"}"#).is_err());
        assert!(query(r#"{"status":"odd"}"#).is_err());
        assert!(query(r#"{"since":"yesterday"}"#).is_err());
    }
}
