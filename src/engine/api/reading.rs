//! Reading: every question goes through the identity actor, so that whoever was told "stored" sees
//! it; payloads come from the journal, on threads that may block.

use crate::domain::event::{Event, Standing};
use crate::domain::id::{IdKind, Sequence};
use crate::domain::view::{
    ChangeView, ChangesPage, EventView, ProfileView, SessionView, SnapshotView,
};
use crate::engine::context::Shared;
use crate::engine::handle::Engine;
use crate::engine::identity::actor::{Ask, IdentityActor, Look};
use crate::engine::profile::message::Op;
use crate::engine::receipt::Refusal;
use crate::engine::state::query::{EventFilter, PageRequest, Paged, ProfileRef};
use crate::engine::state::views::{Content, Viewed, change_view, show};
use crate::records::{ChangeRow, kind};
use actix::Context;
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Records looked at for one page at most, so that a rare filter over a long journal answers in
/// time; the page then ends early and its cursor goes on.
const SCAN_MAX: usize = 500_000;

/// Loose events looked at for one page at most: a fraction of a millisecond of the identity actor.
const LOOSE_MAX: usize = 20_000;

/// What an event costs beside its payload, in bytes, about.
const EVENT_COST: usize = 512;

/// Payloads that the identity actor looks at in one go, in bytes: what it reads again of them takes
/// well under a millisecond.
const PART_BYTES: usize = 128 * 1024;

pub(in crate::engine) type Found = Vec<(Sequence, Box<Event>)>;

impl Engine {
    /// Runs a question on the identity actor.
    pub(in crate::engine) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut IdentityActor, &mut Context<IdentityActor>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask(Box::new(move |identity, context| {
            identity.shared.faults.strike(crate::engine::fault::Stage::Ask, "");
            let _ = reply.send(question(identity, context));
        }));
        // BOUND: reads are few beside events, and each waits for its answer.
        self.running()?.identity.do_send(ask);
        self.heard(answer).await
    }

    /// Asks what changes nothing: where it panics, nothing has to be made again.
    pub(in crate::engine) async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&IdentityActor) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let look = Look(Box::new(move |identity| drop(reply.send(question(identity)))));
        // BOUND: the same.
        self.running()?.identity.do_send(look);
        self.heard(answer).await
    }

    /// A profile.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn profile(&self, by: ProfileRef, all: bool) -> Result<Option<ProfileView>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let found = self.ask(move |identity, _| {
            let lead = identity.core.lead_of(&by)?;
            let cluster = identity.core.graph.view(lead, all);
            let set_values = identity.core.graph.rules().limits.set_values;
            identity.tell_awake(lead, Op::View(cluster, set_values, reply));
            Some(())
        });
        if found.await?.is_none() {
            return Ok(None);
        }
        let viewed: Viewed = self.heard(answer).await?;
        self.look(move |identity| Some(identity.core.profile_view(viewed))).await
    }

    /// A profile's events, newest first; fewer than were asked for, where they are large.
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
        let profile = self.ask(move |identity, _| {
            let lead = identity.core.profile_of_id(&id)?;
            let timeline = Op::Timeline { before, limit, only: None, reply };
            identity.tell_awake(lead, timeline);
            Some(identity.core.fragment_id(lead))
        });
        let Some(profile) = profile.await? else { return Ok(None) };
        let sequences = self.heard(answer).await?;
        let (found, next) =
            self.read_page(sequences, EventFilter::default(), self.most(page)?).await?;
        Ok(Some(Paged { items: self.views(found, Some(profile)).await?, next }))
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
                row.kind.regroups()
                    && (row.profile.is_some_and(|id| ids.contains(&id))
                        || row.others.iter().any(|id| ids.contains(id)))
            };
            changes.newest(before, limit.saturating_add(1), is_own)
        };
        let rows = self.running()?.shared.readers.run(look).await?;
        let rows = rows.map_err(|error| unreadable(&error))?;
        let items = rows.iter().map(change_view).collect();
        Ok(Some(paged(items, page.limit, |view| view.sequence)))
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
        let most = self.most(page)?;
        let before = page.before.unwrap_or(Sequence::MAX);
        let shared = Arc::clone(&self.running()?.shared);
        let readers = Arc::clone(&shared);
        let scan = readers.readers.run(move || {
            let mut filling = Filling::new(most);
            let mut events = shared.events();
            let mut last = None;
            for (looked, record) in shared.reader.scan_back(before).enumerate() {
                // A list that ended here would look whole: damage is never a shorter answer.
                let (sequence, record) = record.map_err(|error| unreadable(&error))?;
                if looked >= SCAN_MAX {
                    return Ok::<_, Refusal>((filling.found, last));
                }
                last = Some(sequence);
                if record.kind != kind::EVENT {
                    continue;
                }
                let event = events.decoded(sequence, &record);
                let event = event.map_err(|error| unreadable(&error))?;
                if filter.fits(&event) && !filling.take(sequence, event) {
                    filling.count(&shared);
                    return Ok((filling.found, Some(sequence + 1)));
                }
            }
            Ok((filling.found, None))
        });
        let (found, next) = scan.await??;
        Ok(Paged { items: self.views(found, None).await?, next })
    }

    async fn loose_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Paged<EventView>, Refusal> {
        let before = page.before.unwrap_or(Sequence::MAX);
        let wanted = filter.clone();
        let (sequences, reached) = self
            .look(move |identity| {
                let core = &identity.core;
                let mut looked = Looked::default();
                if wanted.profile_less {
                    let all = core.profile_less.range(..before).rev();
                    looked.look(all.map(|sequence| (*sequence, true)));
                } else {
                    let name = wanted.reason.as_deref();
                    let fits = |one: &str| name.is_none_or(|name| name == one);
                    let all = core.quarantined.range(..before).rev();
                    looked.look(all.map(|(sequence, reason)| (*sequence, fits(reason.name()))));
                }
                (looked.sequences, looked.reached)
            })
            .await?;
        let (found, next) = self.read_page(sequences, filter, self.most(page)?).await?;
        Ok(Paged { items: self.views(found, None).await?, next: next.or(reached) })
    }

    /// How many events a page holds, and how many bytes of them.
    fn most(&self, page: PageRequest) -> Result<(usize, usize), Refusal> {
        Ok((page.limit, self.running()?.shared.page_bytes))
    }

    /// Reads those of these events that fit, up to so many, and so many bytes of them. Also answers before which
    /// position to go on, where that is not all.
    pub(in crate::engine) async fn read_page(
        &self,
        sequences: Vec<Sequence>,
        filter: EventFilter,
        most: (usize, usize),
    ) -> Result<(Found, Option<Sequence>), Refusal> {
        let shared = Arc::clone(&self.running()?.shared);
        let read = move || {
            let mut filling = Filling::new(most);
            let mut events = shared.events();
            for sequence in sequences.into_iter().filter(|sequence| *sequence > 0) {
                let event = events.read(sequence).map_err(|error| unreadable(&error))?;
                let Some(event) = event.filter(|event| filter.fits(event)) else { continue };
                if !filling.take(sequence, event) {
                    filling.count(&shared);
                    return Ok((filling.found, Some(sequence + 1)));
                }
            }
            Ok((filling.found, None))
        };
        self.running()?.shared.readers.run(read).await?
    }

    /// Reads the first of these events, as many as fit, and takes them off the list.
    pub(in crate::engine) async fn read_next(
        &self,
        wanted: &mut Vec<Sequence>,
        most: (usize, usize),
    ) -> Result<Found, Refusal> {
        let read = self.read_page(wanted.clone(), EventFilter::default(), most);
        let (found, cut) = read.await?;
        // The page ends before the event that did not fit.
        let next = cut.and_then(|cut| wanted.iter().position(|one| one + 1 == cut));
        wanted.drain(..next.unwrap_or(wanted.len()));
        Ok(found)
    }

    /// Reads events from the journal; what is no event is left out. For few events only.
    pub(in crate::engine) async fn read_all(
        &self,
        sequences: Vec<Sequence>,
    ) -> Result<Found, Refusal> {
        let mut events = self.running()?.shared.events();
        let read = move || {
            let mut found: Found = Vec::with_capacity(sequences.len());
            for sequence in sequences.into_iter().filter(|sequence| *sequence > 0) {
                let event = events.read(sequence).map_err(|error| unreadable(&error))?;
                found.extend(event.map(|event| (sequence, Box::new(event))));
            }
            Ok(found)
        };
        self.running()?.shared.readers.run(read).await?
    }

    /// Events as shown, on this profile where it is known; those that are not applied yet are left
    /// out. The identity actor is asked about some at a time, and payloads are shown elsewhere, so
    /// that a page stops nobody for long.
    pub(in crate::engine) async fn views(
        &self,
        events: Found,
        profile: Option<Uuid>,
    ) -> Result<Vec<EventView>, Refusal> {
        let mut seen = Vec::with_capacity(events.len());
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let mut room = PART_BYTES;
            let mut part: Found = Vec::new();
            while let Some(next) = events.next_if(|_| room > 0) {
                room = room.saturating_sub(next.1.size() + EVENT_COST);
                part.push(next);
            }
            let viewed = self.look(move |identity| {
                let core = &identity.core;
                let applied = part.into_iter().filter(|(sequence, _)| {
                    *sequence <= core.applied && !core.hidden.contains(sequence)
                });
                let view = |(sequence, event): (Sequence, Box<Event>)| {
                    let event = core.as_it_reads_now(sequence, event);
                    let is_open = !matches!(event.standing, Standing::Quarantined(_));
                    let own = || core.locate(sequence, &event).filter(|_| is_open);
                    let profile = profile.or_else(|| own().map(|lead| core.fragment_id(lead)));
                    (core.event_view(sequence, &event, profile), (event.payload, event.raw))
                };
                applied.map(view).collect::<Vec<(EventView, Content)>>()
            });
            seen.extend(viewed.await?);
        }
        let all = move || seen.into_iter().map(|(view, content)| show(view, &content)).collect();
        self.running()?.shared.readers.run(all).await
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
        // As it is now costs a handle for each run; runs are read elsewhere.
        let changes = self.look(|identity| identity.core.changes.now()).await?;
        let shared = Arc::clone(&self.running()?.shared);
        let most = shared.page_bytes;
        let rows = shared.readers.run(move || changes.page(from, limit, most)).await?;
        let rows = rows.map_err(|error| unreadable(&error))?;
        let items: Vec<ChangeView> = rows.iter().map(change_view).collect();
        let next = items.last().map_or(from.max(1), |last| last.sequence + 1);
        Ok(ChangesPage { items, next })
    }

    /// How what is known stands to the configuration in force.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn resolution(
        &self,
    ) -> Result<crate::engine::identity::resolution::Resolution, Refusal> {
        self.look(|identity| identity.resolution()).await
    }

    /// Takes a snapshot now; answers when it is durable.
    ///
    /// # Errors
    /// When the engine is stopping or storage failed.
    pub async fn snapshot(&self) -> Result<SnapshotView, Refusal> {
        if self.running()?.shared.storage_full.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Refusal::StorageFull);
        }
        let (reply, answer) = oneshot::channel();
        self.ask(move |identity, _| identity.snapshot(Some(reply))).await?;
        let (sequence, rows, took) = self.heard(answer).await?;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(SnapshotView { sequence, rows: rows as u64, took_ms })
    }
}

/// Events of one page, as many as it holds.
struct Filling {
    found: Found,
    limit: usize,
    room: usize,
}

impl Filling {
    fn new((limit, room): (usize, usize)) -> Self {
        Self { found: Vec::new(), limit, room }
    }

    /// Takes an event, unless the page is full; it holds one at least. Whoever is told that it is
    /// full has met an event of the next page, so a page that is not the last one says so.
    fn take(&mut self, sequence: Sequence, event: Event) -> bool {
        let size = event.size().saturating_add(EVENT_COST);
        if self.found.len() == self.limit || (size > self.room && !self.found.is_empty()) {
            return false;
        }
        self.room = self.room.saturating_sub(size);
        self.found.push((sequence, Box::new(event)));
        true
    }
}

impl Filling {
    /// Counts a page that its bytes have ended.
    fn count(&self, shared: &Shared) {
        if self.found.len() < self.limit {
            shared.metrics.pages_cut.inc();
        }
    }
}

/// Loose events that were looked at.
#[derive(Default)]
struct Looked {
    sequences: Vec<Sequence>,
    /// Where looking ended before the end.
    reached: Option<Sequence>,
}

impl Looked {
    fn look(&mut self, all: impl Iterator<Item = (Sequence, bool)>) {
        for (looked, (sequence, fits)) in all.enumerate() {
            if looked == LOOSE_MAX {
                self.reached = Some(sequence + 1);
                return;
            }
            if fits {
                self.sequences.push(sequence);
            }
        }
    }
}

/// Cuts a list to its limit; one more item than that says that there is a next page.
pub(in crate::engine) fn paged<T>(
    mut items: Vec<T>,
    limit: usize,
    position: impl Fn(&T) -> u64,
) -> Paged<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = if has_more { items.last().map(position) } else { None };
    Paged { items, next }
}

/// What the journal holds cannot be read: said in the log by file and place, and refused.
pub(in crate::engine) fn unreadable(error: &dyn std::error::Error) -> Refusal {
    tracing::error!(%error, "reading the journal");
    Refusal::StorageFailed
}
