//! What operators see of deliveries and do about them, as the HTTP layer calls it.

use crate::domain::view::{AttemptView, DeliveryView};
use crate::engine::api::objects::ObjectRefusal;
use crate::engine::api::reading::paged;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use crate::engine::state::acted::Answer;
use crate::engine::state::campaigns::outbox::Delivery;
use crate::engine::state::campaigns::unsaved::Kept;
use crate::engine::state::query::{PageRequest, Paged};
use crate::engine::store::fragments::{Rest, RowError};
use crate::records::{ActRecord, Attempt, DeliveryState, FragmentKey};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deliveries looked at for one page at most: about a millisecond of the identity actor. A page ends
/// early there, and its cursor goes on.
pub(in crate::engine) const LOOKS: usize = 20_000;

/// Which deliveries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this campaign.
    pub campaign: Option<String>,
    /// Of the person who ever had this id.
    pub profile: Option<String>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// A delivery as the outbox knows it: attempts and reason are read elsewhere.
struct Listed {
    number: u64,
    attempts: u32,
    view: DeliveryView,
}

impl Listed {
    /// Fills in what lies on disk.
    fn whole(self, kept: &Kept, rest: &Rest) -> Result<DeliveryView, RowError> {
        let attempts = kept.attempts(rest, self.number, self.attempts)?;
        let reason = kept.reason(rest, self.number)?;
        let attempts = attempts.into_iter().map(attempt_view).collect();
        Ok(DeliveryView { attempts, reason, ..self.view })
    }
}

fn attempt_view(one: Attempt) -> AttemptView {
    AttemptView {
        at: one.at.to_string(),
        status: one.status,
        took_ms: one.took_ms,
        error: one.error,
        response: String::from_utf8_lossy(&one.response).into_owned(),
    }
}

impl crate::engine::state::Core {
    fn listed(&self, number: u64, one: &Delivery) -> Listed {
        let lead = self.lead_of_key(one.fragment());
        let (campaign, step) = self.campaigns.outbox.endpoint(one.endpoint);
        let view = DeliveryView {
            id: number.to_string(),
            webhook_id: self.webhook_id(one),
            campaign: campaign.to_owned(),
            step,
            profile_id: lead.map(|lead| self.fragment_id(lead).to_string()),
            event_id: self.event_id(one.run, one.began_at).to_string(),
            state: one.state.name(),
            reason: None,
            enqueued_at: one.enqueued_at.to_string(),
            next_attempt_at: one.is_pending().then(|| one.next_attempt_at.to_string()),
            attempts: Vec::new(),
        };
        Listed { number, attempts: one.attempts, view }
    }

    /// Whether a delivery is among those that are wanted.
    fn fitting<'a>(&'a self, filter: &'a DeliveryFilter) -> impl Fn(&Delivery) -> bool + 'a {
        let fragments = filter.profile.as_deref().map(|id| {
            let lead = self.profile_of_id(id);
            let all = lead.map(|lead| self.graph.fragments_of(lead)).unwrap_or_default();
            all.into_iter().map(|one| self.fragment_key(one)).collect::<BTreeSet<FragmentKey>>()
        });
        let outbox = &self.campaigns.outbox;
        move |one| {
            filter.state.is_none_or(|state| state == one.state)
                && fragments.as_ref().is_none_or(|all| all.contains(&one.fragment()))
                && filter.campaign.as_deref().is_none_or(|id| outbox.is_of(one.endpoint, id))
        }
    }
}

impl Engine {
    /// Deliveries, newest first.
    ///
    /// # Errors
    /// When the engine is stopping, or what is kept cannot be read.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Paged<DeliveryView>, Refusal> {
        let listed = self.look(move |identity| {
            let core = &identity.core;
            let before = page.before.unwrap_or(u64::MAX);
            let fits = core.fitting(&filter);
            let (mut items, mut reached) = (Vec::new(), None);
            for (looked, (number, one)) in core.campaigns.outbox.newest_first(before).enumerate() {
                if items.len() > page.limit {
                    break;
                }
                if looked == LOOKS {
                    reached = Some(number + 1);
                    break;
                }
                if fits(one) {
                    items.push(core.listed(number, one));
                }
            }
            let Paged { items, next } = paged(items, page.limit, |one: &Listed| one.number);
            Paged { items, next: next.or(reached) }
        });
        let Paged { items, next } = listed.await?;
        Ok(Paged { items: self.whole(items).await?, next })
    }

    /// A delivery.
    ///
    /// # Errors
    /// When the engine is stopping, or what is kept of it cannot be read.
    pub async fn delivery(&self, id: &str) -> Result<Option<DeliveryView>, Refusal> {
        let Ok(number) = id.parse::<u64>() else { return Ok(None) };
        let listed = self.look(move |identity| {
            let core = &identity.core;
            core.campaigns.outbox.get(number).map(|one| core.listed(number, one))
        });
        let listed = listed.await?.into_iter().collect();
        Ok(self.whole(listed).await?.pop())
    }

    /// Reads what lies on disk, where reading may block.
    async fn whole(&self, listed: Vec<Listed>) -> Result<Vec<DeliveryView>, Refusal> {
        let shared = Arc::clone(&self.running()?.shared);
        let read = move || {
            let all = listed.into_iter().map(|one| one.whole(&shared.kept, &shared.rest));
            let all: Result<Vec<DeliveryView>, RowError> = all.collect();
            all.map_err(|error| {
                tracing::error!(%error, "what is kept of deliveries cannot be read");
                Refusal::StorageFailed
            })
        };
        actix_rt::task::spawn_blocking(read).await.map_err(|_| Refusal::Panicked)?
    }

    /// Sends a delivery that is over once more; `false` where it is pending still.
    ///
    /// # Errors
    /// When there is none of that id, or the engine takes nothing.
    pub async fn replay_delivery(&self, id: &str) -> Result<bool, ObjectRefusal> {
        let number = id.parse::<u64>().map_err(|_| ObjectRefusal::NotFound)?;
        let is_known =
            self.look(move |identity| identity.core.campaigns.outbox.get(number).is_some());
        if !is_known.await? {
            return Err(ObjectRefusal::NotFound);
        }
        Ok(self.redeliver(vec![number]).await? > 0)
    }

    /// Sends all deliveries once more that fit and are over, or only counts them.
    ///
    /// # Errors
    /// When the engine takes nothing.
    pub async fn replay_deliveries(
        &self,
        filter: DeliveryFilter,
        is_dry: bool,
    ) -> Result<usize, ObjectRefusal> {
        let found = self.look(move |identity| {
            let fits = identity.core.fitting(&filter);
            let all = identity.core.campaigns.outbox.newest_first(u64::MAX);
            let over = all.filter(|(_, one)| fits(one) && !one.is_pending());
            over.map(|(number, _)| number).collect::<Vec<u64>>()
        });
        let found = found.await?;
        if is_dry {
            return Ok(found.len());
        }
        let mut count = 0;
        for run in found.chunks(10_000) {
            count += self.redeliver(run.to_vec()).await?;
        }
        Ok(count)
    }

    async fn redeliver(&self, deliveries: Vec<u64>) -> Result<usize, ObjectRefusal> {
        let at = self.running()?.shared.clock.now();
        match self.act(ActRecord::Redeliver { at, deliveries }).await? {
            Answer::Reprocessed(count) => Ok(count),
            _ => Ok(0),
        }
    }
}
