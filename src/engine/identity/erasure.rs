//! How the identity actor carries an erasure out: it looks for every record of the person, has the
//! journal emptied of them, and has the snapshot written again.

use crate::domain::compiled::Compiled;
use crate::domain::event::{Event, Payload};
use crate::domain::fragment::content_hash;
use crate::domain::id::{Identifier, Sequence};
use crate::engine::background;
use crate::engine::context::Shared;
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::intake::emptying::Emptying;
use crate::engine::intake::entry::{Emptied, Then};
use crate::engine::intake::router::Pass;
use crate::engine::profile::message::Op;
use crate::engine::state::erasure::identifier_hash;
use crate::engine::state::numbers::laid_by;
use crate::journal::Record;
use crate::records::{ActRecord, FragmentKey, LinkRow, PendingErasure, decode_event, kind};
use actix::{AsyncContext, Context, Handler, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What was found of a person.
struct Findings {
    erasure: Sequence,
    events: Vec<Sequence>,
    loose: Vec<(Sequence, u128)>,
    acts: Vec<Sequence>,
    /// Events that cannot be read, so that nobody can say whether they are the person's: they stay.
    unread: usize,
}

/// The search for a person's records is over.
#[derive(Message)]
#[rtype(result = "()")]
struct Found(Result<Findings, String>);

/// How long an erasure waits before it asks for room again.
const ROOM_AGAIN: Duration = Duration::from_secs(5);

impl IdentityActor {
    /// Before the graph forgets a person: the sequences of all their events, from their actor.
    pub(in crate::engine) fn events_of(
        &mut self,
        profile: FragmentKey,
    ) -> Option<oneshot::Receiver<Vec<Sequence>>> {
        let lead = self.core.graph.lead(self.core.fragment(profile)?);
        let (reply, answer) = oneshot::channel();
        let all = Op::Timeline { before: Sequence::MAX, limit: usize::MAX, only: None, reply };
        self.tell_awake(lead, all);
        self.profiles.stop(lead);
        Some(answer)
    }

    /// Looks for every record of a person that was just taken out of the graph.
    pub(in crate::engine) fn search(
        &mut self,
        erasure: Sequence,
        events: Option<oneshot::Receiver<Vec<Sequence>>>,
        context: &mut Context<Self>,
    ) {
        self.suppress();
        let Some(pending) = self.core.pending.get(&erasure).cloned() else { return };
        let loose: Vec<Sequence> =
            self.core.profile_less.iter().chain(self.core.quarantined.keys()).copied().collect();
        // Those too that came with a suppressed identifier since: nobody else empties the acts with them.
        let slipped = self.core.records_to_empty(erasure);
        let (shared, identity) = (Arc::clone(&self.shared), context.address());
        let effective = Arc::clone(&self.core.effective);
        let look = move || {
            let known = pending.events.clone();
            let events = match (known, events) {
                (Some(events), _) => Some(events),
                // None, where the profile panicked over it: they are looked for in the journal.
                (None, Some(answer)) => answer.blocking_recv().ok(),
                (None, None) => Some(Vec::new()),
            };
            let compiled = &effective.compiled;
            let found = find(&shared, compiled, &pending, events, loose, slipped);
            // BOUND: one for each erasure.
            identity.do_send(Found(found.map(|found| Findings { erasure, ..found })));
        };
        if let Err(error) = background::spawn("erasure", look) {
            self.shared.fail(format!("starting the search for an erasure: {error}"));
        }
    }

    /// Lets the way in know what is suppressed.
    pub(in crate::engine) fn suppress(&self) {
        self.shared.suppress(&self.core.suppressed);
    }

    /// After recovery: takes up what a crash interrupted.
    pub(in crate::engine) fn resume_erasures(&mut self, context: &mut Context<Self>) {
        self.suppress();
        for erasure in self.core.pending.keys().copied().collect::<Vec<_>>() {
            self.search(erasure, None, context);
        }
        let open = self.core.erasures.iter().filter(|(_, row)| !row.is_done);
        for erasure in open.map(|(erasure, _)| *erasure).collect::<Vec<_>>() {
            self.clean(erasure);
        }
    }

    /// Has the files cleaned of what an erasure found: first the snapshot and the checkpoint, then
    /// the journal. So no start replays emptied records from a state that still holds the person,
    /// unless it replays the whole journal.
    pub(in crate::engine) fn clean(&mut self, erasure: Sequence) {
        if let Some(waiter) = self.erasures.remove(&erasure) {
            let _ = waiter.send(());
        }
        self.to_renew.push(erasure);
        self.renew = true;
        self.snapshot(None);
    }

    /// Counts erasures that wait for room, up or down.
    fn waits_for_room(&self, by: i64) {
        self.shared.metrics.waiting_for_room.inc_by(by);
    }

    /// The snapshot was not written again, for want of room: the erasures that wait for it ask again.
    pub(in crate::engine) fn not_renewed(&mut self, context: &mut Context<Self>) {
        let waiting = std::mem::take(&mut self.renewing);
        let count = waiting.len() as i64;
        self.to_renew.extend(waiting);
        self.waits_for_room(count);
        context.run_later(ROOM_AGAIN, move |identity, _| {
            identity.waits_for_room(-count);
            identity.renew = true;
            identity.snapshot(None);
        });
    }

    /// Has the journal emptied of what an erasure found.
    fn empty(&self, erasure: Sequence) {
        let Some(identity) = self.address.clone() else { return };
        let hidden = self.core.records_to_empty(erasure);
        let mut relaid: BTreeMap<Sequence, Vec<LinkRow>> = BTreeMap::new();
        for link in self.core.links.values() {
            relaid.entry(laid_by(link.number)).or_default().push(link.clone());
        }
        relaid.retain(|act, _| hidden.contains(act));
        let cuts = self.core.cuts.values().map(|cut| (laid_by(cut.number), cut.parts.clone()));
        let recut = cuts.filter(|(act, _)| hidden.contains(act)).collect();
        let job = Emptying { records: hidden, relaid, recut, hash_key: self.core.genesis.hash_key };
        let then = Then::Empty { job, erasure, done: identity.recipient() };
        if let Some(router) = &self.router {
            // BOUND: one for each erasure.
            router.do_send(Pass(then));
        }
    }

    /// Once a snapshot was written again: the journal is next.
    ///
    /// Emptying a record must not change what a replay from that snapshot makes of an erasure that
    /// the snapshot does not know yet. An event is of one person; an act may name several, so it
    /// waits until the snapshot knows of all.
    pub(in crate::engine) fn renewed(&mut self) {
        let are_others = !self.core.pending.is_empty() || !self.to_renew.is_empty();
        let has_acts =
            |erasure: &Sequence| self.core.erasures.get(erasure).is_some_and(|row| row.has_acts);
        let renewed = std::mem::take(&mut self.renewing);
        let (waiting, clean): (Vec<Sequence>, Vec<Sequence>) =
            renewed.into_iter().partition(|erasure| are_others && has_acts(erasure));
        if !waiting.is_empty() {
            self.to_renew.extend(waiting);
            (self.renew, self.asked) = (true, true);
        }
        clean.into_iter().for_each(|erasure| self.empty(erasure));
    }
}

impl Handler<Found> for IdentityActor {
    type Result = ();

    fn handle(&mut self, found: Found, context: &mut Self::Context) {
        self.guarded(context, |identity, _| identity.found(found));
    }
}

impl IdentityActor {
    fn found(&mut self, Found(found): Found) {
        let Findings { erasure, events, loose, acts, unread } = match found {
            Ok(findings) => findings,
            Err(error) => {
                return self.shared.fail(format!("looking for an erased person: {error}"));
            }
        };
        let Some(pending) = self.core.pending.get(&erasure) else { return };
        if unread > 0 {
            tracing::error!(
                erasure,
                unread,
                "an erasure left events on nobody that cannot be read; once they can be, erase again"
            );
        }
        // A search that a stop interrupted may have found others.
        if unread > 0 || self.core.unread.contains_key(&erasure) {
            let (at, events) = (pending.at, unread as u64);
            self.journal(ActRecord::LeftUnread { at, erasure, events });
        }
        for fragment in &pending.fragments {
            self.shared.rest.forget(*fragment);
        }
        let key = self.core.genesis.hash_key;
        let hash = |one: &Identifier| identifier_hash(&key, &one.kind, &one.value);
        let act = ActRecord::Erased {
            at: pending.at,
            erasure,
            events,
            loose,
            acts,
            hashes: pending.identifiers.iter().map(hash).collect(),
            suppress: pending.suppress,
            touched_others: pending.touched_others,
            counts: [
                pending.fragments.len() as u64,
                pending.identifiers.len() as u64,
                pending.unsent,
            ],
            reason: pending.reason.clone(),
        };
        self.journal(act);
    }
}

impl Handler<Emptied> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Emptied { erasure, is_done }: Emptied, context: &mut Self::Context) {
        if !is_done {
            self.waits_for_room(1);
            context.run_later(ROOM_AGAIN, move |identity, _| {
                identity.waits_for_room(-1);
                identity.empty(erasure);
            });
            return;
        }
        self.journal(ActRecord::Compacted { at: self.shared.clock.now(), erasure });
    }
}

/// Looks for all that is a person's: events on no profile that yield an identifier, acts that name one,
/// and the events of the profile where they are not known. What cannot be read is counted and passed
/// over: one text must not keep anybody else in the files.
fn find(
    shared: &Shared,
    compiled: &Compiled,
    pending: &PendingErasure,
    events: Option<Vec<Sequence>>,
    loose: Vec<Sequence>,
    slipped: BTreeSet<Sequence>,
) -> Result<Findings, String> {
    let (mut yielding, mut unread) = (Vec::new(), 0);
    for sequence in loose {
        let record = shared.reader.read(sequence).map_err(|error| error.to_string())?;
        let Some(record) = record.filter(|record| record.kind == kind::EVENT) else { continue };
        let Ok(event) = decode_event(record.version, &record.bytes) else {
            unread += 1;
            continue;
        };
        let read = || {
            shared.faults.strike(Stage::Search, &event.kind);
            pending.is_in(&compiled.named_in(&event))
        };
        let is_own = walled(read).unwrap_or_else(|Panicked| {
            let is_spelt = spells_one(&event, pending);
            unread += usize::from(!is_spelt);
            is_spelt
        });
        if is_own {
            yielding.push((sequence, content_hash(&event)));
        }
    }
    let is_known = events.is_some();
    let mut events = events.unwrap_or_default();
    let mut gone = slipped;
    gone.extend(events.iter().copied().chain(yielding.iter().map(|(sequence, _)| *sequence)));
    let mut acts = Vec::new();
    for record in shared.reader.scan(shared.reader.first_sequence()) {
        let (sequence, record) = record.map_err(|error| error.to_string())?;
        if record.kind == kind::ACT && names_one(&record, pending, &gone) {
            acts.push(sequence);
        }
        if !is_known && record.kind == kind::EVENT && !gone.contains(&sequence) {
            match decode_event(record.version, &record.bytes) {
                Ok(event) if pending.is_in(&event) => {
                    gone.insert(sequence);
                    events.push(sequence);
                }
                Ok(_) => {}
                Err(_) => unread += 1,
            }
        }
    }
    Ok(Findings { erasure: 0, events, loose: yielding, acts, unread })
}

/// Whether an event that cannot be read spells an identifier of the person as it is known.
fn spells_one(event: &Event, pending: &PendingErasure) -> bool {
    let bytes = match &event.payload {
        Payload::Json(bytes) | Payload::Opaque(bytes) => bytes,
    };
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let mut values = pending.identifiers.iter().map(|one| one.value.to_lowercase());
    values.any(|value| value.len() >= SPELT_BYTES && stands_alone(&text, &value))
}

/// Shorter values stand in texts by chance.
const SPELT_BYTES: usize = 6;

/// Whether a value stands in a text as a word of its own.
fn stands_alone(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + found.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// Whether an act names an identifier of the person, or holds an event of theirs.
fn names_one(record: &Record, pending: &PendingErasure, events: &BTreeSet<Sequence>) -> bool {
    let own = |one: &Identifier| pending.owns(one);
    match ActRecord::decode(record.version, &record.bytes) {
        Ok(ActRecord::Lay { a, b, .. }) => own(&a) || own(&b),
        Ok(ActRecord::Unmerge { apart, .. }) => apart.iter().any(|(a, b)| own(a) || own(b)),
        Ok(ActRecord::Cut { parts, .. }) => parts.iter().flatten().any(own),
        Ok(ActRecord::Withdraw { identifier, shown_with, .. }) => {
            own(&identifier) || shown_with.iter().any(own)
        }
        Ok(ActRecord::Laid { links, .. }) => links.iter().any(|one| own(&one.a) || own(&one.b)),
        Ok(ActRecord::Attempted { delivery, .. } | ActRecord::Cancelled { delivery, .. }) => {
            pending.deliveries.contains(&delivery)
        }
        Ok(ActRecord::Reprocess { events: all, .. }) => {
            all.iter().any(|one| events.contains(&one.sequence))
        }
        _ => false,
    }
}

impl IdentityActor {
    /// Waits for an erasure to be in force: `reply` hears when its records are known.
    pub(in crate::engine) fn await_erasure(
        &mut self,
        erasure: Sequence,
        reply: oneshot::Sender<()>,
    ) {
        if self.core.erasures.contains_key(&erasure) {
            let _ = reply.send(());
        } else {
            self.erasures.insert(erasure, reply);
        }
    }
}
