//! What operators see of campaigns and do about them, as the HTTP layer calls it.

use crate::domain::campaign::{Rendered, webhook_id};
use crate::domain::id::Sequence;
use crate::domain::view::{DisabledView, ResponseView, RunView};
use crate::engine::api::deliveries::LOOKS;
use crate::engine::api::objects::ObjectRefusal;
use crate::engine::api::reading::paged;
use crate::engine::api::trials::Trial;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use crate::engine::state::acted::Answer;
use crate::engine::state::campaigns::runs::RunRow;
use crate::engine::state::query::{PageRequest, Paged};
use crate::outbound::attempt::Attempt as Prepared;
use crate::records::ActRecord;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

impl Engine {
    /// What became of a campaign's triggers, of all profiles or of one, newest first; `None` without
    /// such a campaign.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn campaign_runs(
        &self,
        id: String,
        profile: Option<String>,
        page: PageRequest,
    ) -> Result<Option<Paged<RunView>>, Refusal> {
        self.look(move |identity| {
            let core = &identity.core;
            core.compiled_campaigns().get(&id)?;
            let before = page.before.unwrap_or(Sequence::MAX);
            let lead = profile.as_deref().map(|id| core.profile_of_id(id));
            let is_wanted = |row: &RunRow| {
                lead.is_none_or(|lead| lead.is_some() && core.lead_of_key(row.fragment) == lead)
            };
            let (mut rows, mut reached) = (Vec::new(), None);
            for (looked, (sequence, row)) in core.campaigns.told(&id, before).enumerate() {
                if rows.len() > page.limit {
                    break;
                }
                if looked == LOOKS {
                    reached = Some(sequence + 1);
                    break;
                }
                if is_wanted(row) {
                    rows.push((sequence, row));
                }
            }
            let view = |(sequence, row): (Sequence, &RunRow)| RunView {
                sequence,
                profile_id: core
                    .lead_of_key(row.fragment)
                    .map(|lead| core.fragment_id(lead).to_string()),
                event_id: Uuid::from_u128(row.event_id).to_string(),
                at: row.began_at.to_string(),
                state: row.state.clone(),
                reason: row.reason.clone(),
            };
            let items = rows.into_iter().map(view).collect();
            let Paged { items, next } = paged(items, page.limit, |view| view.sequence);
            Some(Paged { items, next: next.or(reached) })
        })
        .await
    }

    /// Which endpoints of a campaign are not called any more, and why.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn disabled_endpoints(&self, id: String) -> Result<Vec<DisabledView>, Refusal> {
        self.look(move |identity| {
            let all = identity.core.campaigns.disabled.iter();
            let own = all.filter(|((campaign, _), _)| **campaign == *id);
            own.map(|((_, step), why)| DisabledView {
                step: *step,
                at: why.at.to_string(),
                reason: why.reason.clone(),
            })
            .collect()
        })
        .await
    }

    /// Has a campaign's endpoints called again that were disabled; returns how many.
    ///
    /// # Errors
    /// When there is no such campaign, or the engine takes nothing.
    pub async fn enable_campaign(&self, id: String) -> Result<usize, ObjectRefusal> {
        if self.effective()?.compiled.campaigns.get(&id).is_none() {
            return Err(ObjectRefusal::NotFound);
        }
        let at = self.running()?.shared.clock.now();
        match self.act(ActRecord::EnableCampaign { at, campaign: id }).await? {
            Answer::Reprocessed(count) => Ok(count),
            _ => Ok(0),
        }
    }

    /// Makes the requests that a campaign would make, marked as a test; nothing is kept of it.
    ///
    /// # Errors
    /// When there is no such campaign, profile or event.
    pub async fn test_campaign(
        &self,
        id: &str,
        trial: Trial,
        most: usize,
    ) -> Result<Vec<ResponseView>, ObjectRefusal> {
        let name = trial.event.id.clone().unwrap_or_default();
        let preview = self.preview_campaign(id, trial, most).await?;
        let campaigns = Arc::clone(&self.effective()?.compiled.campaigns);
        let sending = self.look(|identity| {
            let sending = &identity.sending;
            (Arc::clone(&sending.client), identity.shared.secrets.clone())
        });
        let (client, secrets) = sending.await?;
        let at = self.running()?.shared.clock.now();
        let mut responses = Vec::new();
        for request in preview.requests {
            let campaign = campaigns.get(id);
            let Some(webhook) = campaign.and_then(|one| one.webhook(request.step)) else {
                continue;
            };
            let rendered = Rendered { url: request.url, body: request.body };
            let webhook_id =
                format!("test_{}", webhook_id(&format!("{name}{at}"), id, request.step));
            let attempt = Prepared {
                rendered: &rendered,
                webhook_id: &webhook_id,
                number: 1,
                at,
                is_test: true,
            };
            let call = match attempt.prepare(webhook, &|name| secrets.text(name)) {
                Ok(call) => call,
                Err(error) => {
                    responses.push(ResponseView::failed(error.to_string()));
                    continue;
                }
            };
            let started = Instant::now();
            responses.push(match client.call(&format!("test {id}"), &call).await {
                Ok(answer) => ResponseView {
                    status: Some(answer.status),
                    took_ms: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
                    body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
                    error: None,
                },
                Err(error) => {
                    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    ResponseView { took_ms, ..ResponseView::failed(error.to_string()) }
                }
            });
        }
        Ok(responses)
    }
}
