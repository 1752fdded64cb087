//! Reading: every question goes through the identity actor, so that whoever was told "stored" sees
//! it; payloads come from the journal, on threads that may block.

use super::identity::{Ask, IdentityActor, Look};
use super::profile::{Op, Viewed};
use super::views::change_view;
use super::{Engine, Refusal};
use crate::domain::event::{Event, Standing};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::{IdKind, Identifier, Sequence};
use crate::domain::time::Timestamp;
use crate::domain::view::{
    ChangeView, ChangesPage, DigestView, EventView, ProfileView, SessionView, SnapshotView,
};
use crate::records::{ChangeRow, kind};
use actix::Context;
use serde_json::Value;
use tokio::sync::oneshot;

/// Records looked at for one page at most, so that a rare filter over a long journal answers in
/// time; the page then ends early and its cursor goes on.
const SCAN_MAX: usize = 500_000;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Items at most.
    pub limit: usize,
    /// Only what lies before this position.
    pub before: Option<u64>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last one.
    pub next: Option<u64>,
}

/// How a profile is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileRef {
    /// By an identifier as somebody spelt it.
    Identifier(Identifier),
    /// By any id that it ever had.
    Id(String),
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// On no profile, because nothing identifies anyone.
    pub profile_less: bool,
    /// Set aside.
    pub quarantined: bool,
    /// Set aside for this reason.
    pub reason: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

impl EventFilter {
    pub(super) fn fits(&self, event: &Event) -> bool {
        let is_of = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is_of(&self.source, &event.source)
            && is_of(&self.kind, &event.kind)
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
    }
}

type Found = Vec<(Sequence, Box<Event>)>;

impl Engine {
    /// Runs a question on the identity actor.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut IdentityActor, &mut Context<IdentityActor>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask(Box::new(move |identity, context| {
            identity.shared.faults.strike(super::Stage::Ask, "");
            let _ = reply.send(question(identity, context));
        }));
        // Reads are few beside events and each waits for its answer, so they bound themselves.
        self.running()?.identity.do_send(ask);
        self.heard(answer).await
    }

    /// Asks what changes nothing: where it panics, nothing has to be made again.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&IdentityActor) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let look = Look(Box::new(move |identity| drop(reply.send(question(identity)))));
        self.running()?.identity.do_send(look);
        self.heard(answer).await
    }

    /// A profile.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn profile(&self, by: ProfileRef, all: bool) -> Result<Option<ProfileView>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let found = self.ask(move |identity, context| {
            let lead = identity.core.lead_of(&by)?;
            let cluster = identity.core.graph.view(lead, all);
            let set_values = identity.core.graph.rules().limits.set_values;
            identity.tell_awake(lead, Op::View(cluster, set_values, reply), context);
            Some(())
        });
        if found.await?.is_none() {
            return Ok(None);
        }
        let viewed: Viewed = self.heard(answer).await?;
        self.look(move |identity| Some(identity.core.profile_view(viewed))).await
    }

    /// A profile's events, newest first.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn profile_events(
        &self,
        id: String,
        page: PageRequest,
    ) -> Result<Option<Paged<EventView>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let (before, limit) = (page.before.unwrap_or(Sequence::MAX), page.limit + 1);
        let lead = self.ask(move |identity, context| {
            let lead = identity.core.profile_of_id(&id)?;
            identity.tell_awake(lead, Op::Timeline { before, limit, reply }, context);
            Some(lead)
        });
        let Some(lead) = lead.await? else { return Ok(None) };
        let sequences = self.heard(answer).await?;
        let mut events = self.read_all(sequences).await?;
        let next = cut(&mut events, page.limit);
        Ok(Some(Paged { items: self.views(events, Some(lead)).await?, next }))
    }

    /// The changes of identity that a profile, or any part of it, went through; newest first.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn profile_merges(
        &self,
        id: String,
        page: PageRequest,
    ) -> Result<Option<Paged<ChangeView>>, Refusal> {
        let found = self.look(move |identity| {
            let core = &identity.core;
            let lead = core.profile_of_id(&id)?;
            let ids: std::collections::BTreeSet<u128> = core
                .graph
                .fragments_of(lead)
                .into_iter()
                .map(|fragment| core.fragment_id(fragment).as_u128())
                .collect();
            Some((ids, core.changes.now()))
        });
        let Some((ids, changes)) = found.await? else { return Ok(None) };
        let (before, limit) = (page.before.unwrap_or(u64::MAX), page.limit);
        let look = move || {
            let is_own = |row: &ChangeRow| {
                row.kind <= 1
                    && (row.profile.is_some_and(|id| ids.contains(&id))
                        || row.others.iter().any(|id| ids.contains(id)))
            };
            changes.newest(before, limit.saturating_add(1), is_own)
        };
        let rows = actix_rt::task::spawn_blocking(look).await;
        let rows = rows.map_err(|_| Refusal::Panicked)?.map_err(|_| Refusal::StorageFailed)?;
        let items = rows.iter().map(change_view).collect();
        Ok(Some(paged(items, page.limit, |view| view.sequence)))
    }

    /// Everything held on a person.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn export(&self, id: String) -> Result<Option<Value>, Refusal> {
        let Some(profile) = self.profile(ProfileRef::Id(id.clone()), true).await? else {
            return Ok(None);
        };
        let mut events = Vec::new();
        let mut before = None;
        loop {
            let page = self.profile_events(id.clone(), PageRequest { limit: 250, before }).await?;
            let Some(page) = page else { return Ok(None) };
            events.extend(page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        let page = PageRequest { limit: usize::MAX - 1, before: None };
        let merges =
            self.profile_merges(id, page).await?.map(|page| page.items).unwrap_or_default();
        let json = serde_json::json!({ "profile": profile, "events": events, "merges": merges });
        Ok(Some(json))
    }

    /// An event.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn event(&self, id: String) -> Result<Option<EventView>, Refusal> {
        let Some(parts) = self.running()?.shared.genesis.id_key.read(IdKind::Event, &id) else {
            return Ok(None);
        };
        let events = self.read_all(vec![parts.sequence]).await?;
        let view = self.views(events, None).await?.pop();
        Ok(view.filter(|view| view.id.eq_ignore_ascii_case(&id)))
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Paged<EventView>, Refusal> {
        if filter.profile_less || filter.quarantined || filter.reason.is_some() {
            return self.loose_events(filter, page).await;
        }
        let before = page.before.unwrap_or(Sequence::MAX);
        let reader = self.running()?.shared.reader.clone();
        let mut events = self.running()?.shared.events();
        let limit = page.limit;
        let scan = actix_rt::task::spawn_blocking(move || {
            let mut found: Found = Vec::new();
            let mut last = None;
            for (looked, record) in reader.scan_back(before).enumerate() {
                // A list that ended here would look whole: damage is never a shorter answer.
                let (sequence, record) = record.map_err(|error| unreadable(&error))?;
                if found.len() > limit || looked >= SCAN_MAX {
                    return Ok::<_, Refusal>((found, last));
                }
                last = Some(sequence);
                if record.kind != kind::EVENT {
                    continue;
                }
                let event = events.decoded(sequence, &record);
                let event = event.map_err(|error| unreadable(&error))?;
                if filter.fits(&event) {
                    found.push((sequence, Box::new(event)));
                }
            }
            Ok((found, None))
        });
        let (mut found, reached) = scan.await.map_err(|_| Refusal::StorageFailed)??;
        let next = cut(&mut found, limit).or(reached);
        Ok(Paged { items: self.views(found, None).await?, next })
    }

    async fn loose_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Paged<EventView>, Refusal> {
        let before = page.before.unwrap_or(Sequence::MAX);
        let wanted = filter.clone();
        let sequences = self
            .look(move |identity| {
                let core = &identity.core;
                let aside = core.quarantined.range(..before).rev().filter(|(_, reason)| {
                    wanted.reason.as_deref().is_none_or(|name| name == reason.name())
                });
                let all: Vec<Sequence> = if wanted.profile_less {
                    core.profile_less.range(..before).rev().take(SCAN_MAX).copied().collect()
                } else {
                    aside.take(SCAN_MAX).map(|(sequence, _)| *sequence).collect()
                };
                all
            })
            .await?;
        let mut found: Found = Vec::new();
        for run in sequences.chunks(page.limit.max(64)) {
            let events = self.read_all(run.to_vec()).await?;
            found.extend(events.into_iter().filter(|(_, event)| filter.fits(event)));
            if found.len() > page.limit {
                break;
            }
        }
        let next = cut(&mut found, page.limit);
        Ok(Paged { items: self.views(found, None).await?, next })
    }

    /// Reads events from the journal; what is no event is left out.
    pub(super) async fn read_all(&self, sequences: Vec<Sequence>) -> Result<Found, Refusal> {
        let mut events = self.running()?.shared.events();
        let read = move || {
            let mut found: Found = Vec::with_capacity(sequences.len());
            for sequence in sequences.into_iter().filter(|sequence| *sequence > 0) {
                let event = events.read(sequence).map_err(|error| unreadable(&error))?;
                found.extend(event.map(|event| (sequence, Box::new(event))));
            }
            Ok(found)
        };
        actix_rt::task::spawn_blocking(read).await.map_err(|_| Refusal::Panicked)?
    }

    /// Events as shown; those that are not applied yet are left out.
    async fn views(
        &self,
        events: Found,
        lead: Option<FragmentIndex>,
    ) -> Result<Vec<EventView>, Refusal> {
        self.look(move |identity| {
            let core = &identity.core;
            let applied = events.into_iter().filter(|(sequence, _)| {
                *sequence <= core.applied && !core.hidden.contains(sequence)
            });
            applied
                .map(|(sequence, event)| {
                    let event = core.as_it_reads_now(sequence, event);
                    let is_open = !matches!(event.standing, Standing::Quarantined(_));
                    let lead = lead.or_else(|| core.locate(sequence, &event).filter(|_| is_open));
                    core.event_view(sequence, &event, lead)
                })
                .collect()
        })
        .await
    }

    /// A session.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn session(&self, id: String) -> Result<Option<SessionView>, Refusal> {
        self.look(move |identity| identity.core.session_view(&id)).await
    }

    /// Changes of identity from a position on, in order.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn changes(&self, from: u64, limit: usize) -> Result<ChangesPage, Refusal> {
        let rows = self.look(move |identity| identity.core.changes.page(from, limit)).await?;
        let rows = rows.map_err(|_| Refusal::StorageFailed)?;
        let items: Vec<ChangeView> = rows.iter().map(change_view).collect();
        let next = items.last().map_or(from.max(1), |last| last.sequence + 1);
        Ok(ChangesPage { items, next })
    }

    /// A hash over everything that the state means.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn digest(&self) -> Result<DigestView, Refusal> {
        let gathered = self.ask(|identity, context| {
            let core = &identity.core;
            let leads: Vec<FragmentIndex> = core.graph.leads().collect();
            let head = (core.applied, core.graph.profiles(), core.counters.clone());
            let set_values = core.graph.rules().limits.set_values;
            let mut resting = 0u128;
            let mut answers = Vec::new();
            for lead in leads {
                if identity.profiles.is_active(lead) {
                    let (reply, answer) = oneshot::channel();
                    let cluster = identity.core.graph.view(lead, false);
                    identity.tell_awake(lead, Op::View(cluster, set_values, reply), context);
                    answers.push(answer);
                } else {
                    resting = resting.wrapping_add(identity.resting_digest(lead));
                }
            }
            (head, resting, answers)
        });
        let ((sequence, profiles, counters), mut sum, answers) = gathered.await?;
        for answer in answers {
            let Viewed { cluster, folded, .. } = self.heard(answer).await?;
            sum = sum.wrapping_add(folded.digest(&cluster));
        }
        Ok(digest_view(sequence, profiles, counters.events, sum, counters.loose_content))
    }

    /// How what is known stands to the configuration in force.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn resolution(&self) -> Result<super::Resolution, Refusal> {
        self.look(|identity| identity.resolution()).await
    }

    /// Takes a snapshot now; answers when it is durable.
    ///
    /// # Errors
    /// When the engine is stopping or storage failed.
    pub async fn snapshot(&self) -> Result<SnapshotView, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(move |identity, _| identity.snapshot(Some(reply))).await?;
        let (sequence, rows, took) = self.heard(answer).await?;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(SnapshotView { sequence, rows: rows as u64, took_ms })
    }
}

/// The digest of a state from its parts.
pub(super) fn digest_view(
    sequence: Sequence,
    profiles: u64,
    events: u64,
    sum: u128,
    loose: u128,
) -> DigestView {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&sum.to_le_bytes()).update(&loose.to_le_bytes());
    hasher.update(&profiles.to_le_bytes()).update(&events.to_le_bytes());
    let digest = hex::encode(&hasher.finalize().as_bytes()[..16]);
    DigestView { sequence, profiles, events, digest }
}

impl IdentityActor {
    fn resting_digest(&self, lead: FragmentIndex) -> u128 {
        match self.core.viewed_at_rest(&self.shared.rest, lead, false) {
            Ok(Viewed { cluster, folded, .. }) => folded.digest(&cluster),
            Err(error) => {
                self.shared.fail(error.to_string());
                0 // nobody hears it: the process is ending
            }
        }
    }
}

/// Cuts what was found to a page's limit; answers where the next page starts, if there is one. Done
/// before anything is left out for whatever reason, so that a page with gaps is never taken for the
/// last one.
fn cut(found: &mut Found, limit: usize) -> Option<Sequence> {
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(|(sequence, _)| *sequence)
}

/// Cuts a list to its limit; one more item than that says that there is a next page.
pub(super) fn paged<T>(mut items: Vec<T>, limit: usize, position: impl Fn(&T) -> u64) -> Paged<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = if has_more { items.last().map(position) } else { None };
    Paged { items, next }
}

/// What the journal holds cannot be read: said in the log by file and place, and refused.
fn unreadable(error: &dyn std::error::Error) -> Refusal {
    tracing::error!(%error, "reading the journal");
    Refusal::StorageFailed
}
