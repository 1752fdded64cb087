//! The router actor: the one place where order is made.
//!
//! Owns the next sequence and the window of event ids. Drops duplicates, numbers records, and hands
//! them to the committer in the order in which they came. Everything later is a function of that
//! order. Who refuses, refuses here, before anything has changed: when too many events are in
//! flight, the disk is nearly full, or the engine is stopping.

use crate::domain::event::{Placed, Status};
use crate::domain::id::{IdKind, IdParts, Sequence};
use crate::domain::settings::Durability;
use crate::engine::context::{Alive, Shared};
use crate::engine::fault::Stage;
use crate::engine::intake::entry::{Append, AppendAll, Entry, Incoming, Ingest, Then};
use crate::engine::intake::reply::Ticket;
use crate::engine::intake::seen_ids::Window;
use crate::engine::receipt::{Receipt, Refusal};
use crate::records::{ActRecord, DedupeRow};
use actix::{Actor, Context, Handler, Message};
use bytes::Bytes;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Takes no more; `then` goes through the pipeline behind everything that was taken.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Close(pub(in crate::engine) Then);

/// Goes through the pipeline in order without leaving a record.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Pass(pub(in crate::engine) Then);

/// The router actor.
pub(in crate::engine) struct RouterActor {
    shared: Arc<Shared>,
    committer: Sender<Entry>,
    next: Sequence,
    in_flight_max: usize,
    bytes_max: usize,
    seen: Window,
    is_closed: bool,
    _alive: Alive,
}

impl RouterActor {
    pub(in crate::engine) fn new(
        shared: Arc<Shared>,
        committer: Sender<Entry>,
        next: Sequence,
        (in_flight_max, bytes_max): (usize, usize),
        remembered: Vec<DedupeRow>,
    ) -> Self {
        let mut seen = Window::default();
        for row in remembered {
            seen.insert(row.key, Placed { sequence: row.sequence, received_at: row.received_at });
        }
        let _alive = Alive::new(&shared, "the router");
        Self { shared, committer, next, in_flight_max, bytes_max, seen, is_closed: false, _alive }
    }

    fn refusal(&self, count: usize, bytes: usize) -> Option<Refusal> {
        if self.shared.is_failed() {
            return Some(Refusal::StorageFailed);
        }
        if self.is_closed {
            return Some(Refusal::Recovering);
        }
        if self.shared.storage_full.load(Ordering::Relaxed) {
            return Some(Refusal::StorageFull);
        }
        if self.shared.kept.is_full() {
            return Some(Refusal::Overloaded);
        }
        let (events, under_way) = self.shared.in_flight.now();
        // A batch larger than the whole queue still gets through an idle engine.
        let is_over = events > 0
            && (events + count > self.in_flight_max || under_way + bytes > self.bytes_max);
        is_over.then_some(Refusal::Overloaded)
    }

    fn take(&mut self, mut incoming: Incoming) {
        self.shared.faults.strike(Stage::Router, &incoming.event.kind);
        incoming.reply.ticket = Some(Ticket::take(&self.shared.in_flight, incoming.bytes.len()));
        let now = incoming.event.received_at;
        if let Some(key) = incoming.event.dedupe {
            if let Some(first) = self.seen.find(&key, now, incoming.dedupe_window_ms) {
                let Incoming { event, reply, .. } = incoming;
                return self.hand_on(Entry::pass(Then::Duplicate { first, event, reply }));
            }
            self.seen.insert(key, Placed { sequence: self.next, received_at: now });
        }
        let Incoming { event, bytes, content, durability, reply, .. } = incoming;
        self.record(
            crate::records::kind::EVENT,
            bytes,
            durability,
            Then::Event { event, content, reply },
        );
    }

    fn append(&mut self, append: Append) {
        // What was in vain is said all the same: the last snapshot must not know it alone.
        let says_in_vain = matches!(
            &append.then,
            Then::Act { act: ActRecord::PassOver { .. } | ActRecord::SetAside { .. }, .. }
        );
        if (self.is_closed && !says_in_vain) || self.shared.is_failed() {
            return; // dropping `then` tells the one that waits
        }
        self.record(append.kind, append.bytes.into(), Durability::Fsynced, append.then);
    }

    fn record(&mut self, kind: u8, bytes: Bytes, durability: Durability, then: Then) {
        let sequence = self.next;
        self.next += 1;
        self.hand_on(Entry { sequence, record: Some((kind, bytes)), durability, then });
    }

    /// The channel is as long as events may be in flight, so it takes whatever was let in.
    fn hand_on(&self, entry: Entry) {
        if self.committer.send(entry).is_err() {
            self.shared.fail_by_fault("the committer is gone".to_owned());
        }
    }
}

impl Actor for RouterActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        use actix::AsyncContext;
        context.set_mailbox_capacity(self.in_flight_max.max(16));
        context.run_interval(std::time::Duration::from_secs(1), |router, _| {
            let now = router.shared.clock.now();
            router.seen.forget_before(now);
        });
    }
}

impl Handler<Ingest> for RouterActor {
    type Result = ();

    fn handle(&mut self, Ingest(requests): Ingest, _: &mut Self::Context) {
        for events in requests {
            let bytes = events.iter().map(|one| one.bytes.len()).sum();
            match self.refusal(events.len(), bytes) {
                Some(refusal) => events.into_iter().for_each(|one| one.reply.send(Err(refusal))),
                None => events.into_iter().for_each(|one| self.take(one)),
            }
        }
    }
}

impl Handler<Append> for RouterActor {
    type Result = ();

    fn handle(&mut self, append: Append, _: &mut Self::Context) {
        self.append(append);
    }
}

impl Handler<AppendAll> for RouterActor {
    type Result = ();

    fn handle(&mut self, AppendAll(all): AppendAll, _: &mut Self::Context) {
        all.into_iter().for_each(|one| self.append(one));
    }
}

impl Handler<Pass> for RouterActor {
    type Result = ();

    fn handle(&mut self, Pass(then): Pass, _: &mut Self::Context) {
        self.hand_on(Entry::pass(then));
    }
}

impl Handler<Close> for RouterActor {
    type Result = ();

    fn handle(&mut self, Close(then): Close, _: &mut Self::Context) {
        self.is_closed = true;
        self.hand_on(Entry::pass(then));
    }
}

/// The answer to a duplicate: the first one's id.
pub(in crate::engine) fn duplicate(shared: &Shared, first: Placed) -> Receipt {
    let parts = IdParts { received_at: first.received_at, sequence: first.sequence, generation: 0 };
    let event_id = shared.genesis.id_key.mint(IdKind::Event, parts);
    Receipt { event_id: Some(event_id), status: Status::Duplicate, profile_id: None }
}
