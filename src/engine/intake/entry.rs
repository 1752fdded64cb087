//! What router, committer and identity actor are told.

use crate::domain::event::{Event, Placed};
use crate::domain::id::Sequence;
use crate::domain::settings::{Durability, Settings};
use crate::engine::intake::emptying::Emptying;
use crate::engine::intake::reply::Reply;
use crate::engine::state::acted::Answer;
use crate::records::ActRecord;
use actix::{Message, Recipient};
use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;

/// What is to happen once a record is durable.
pub(in crate::engine) enum Then {
    /// An event is applied and answered.
    Event { event: Box<Event>, content: u128, reply: Reply },
    /// A duplicate is answered, behind its first one.
    Duplicate { first: Placed, event: Box<Event>, reply: Reply },
    /// An operator's act takes effect.
    Act { act: ActRecord, reply: Option<oneshot::Sender<Answer>> },
    /// A configuration from files takes effect.
    Configuration { files: Box<Settings>, reply: oneshot::Sender<Answer> },
    /// Its place in the order is told.
    Mark(oneshot::Sender<()>),
    /// Records of an erased person are emptied.
    Empty { job: Emptying, erasure: Sequence, done: Recipient<Emptied> },
    /// Segments that lie wholly before a sequence go.
    Retire(Sequence),
}

/// An entry of the committer's queue.
pub(in crate::engine) struct Entry {
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) record: Option<(u8, Bytes)>,
    pub(in crate::engine) durability: Durability,
    pub(in crate::engine) then: Then,
}

impl Entry {
    /// An entry without a record.
    pub(in crate::engine) fn pass(then: Then) -> Self {
        Self { sequence: 0, record: None, durability: Durability::Memory, then }
    }
}

/// A group that is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Committed(pub(in crate::engine) Vec<(Sequence, Then)>);

/// The journal holds the person no more, or there was no room to write it again.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Emptied {
    pub(in crate::engine) erasure: Sequence,
    pub(in crate::engine) is_done: bool,
}

/// An event on its way to the journal.
#[derive(Debug)]
pub(in crate::engine) struct Incoming {
    pub(in crate::engine) event: Box<Event>,
    pub(in crate::engine) bytes: Bytes,
    pub(in crate::engine) content: u128,
    pub(in crate::engine) durability: Durability,
    pub(in crate::engine) dedupe_window_ms: i64,
    pub(in crate::engine) reply: Reply,
}

/// Requests in the order in which they came; of each, all events are taken or none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Ingest(pub(in crate::engine) Vec<Request>);

/// A record that is no event: an operator's act, a configuration.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Append {
    pub(in crate::engine) kind: u8,
    pub(in crate::engine) bytes: Vec<u8>,
    pub(in crate::engine) then: Then,
}

/// Records that are no events, in this order.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct AppendAll(pub(in crate::engine) Vec<Append>);

/// The events of one request.
pub(in crate::engine) type Request = SmallVec<[Incoming; 1]>;
