//! What profiles are told, and what they report.

use crate::domain::event::Event;
use crate::domain::fragment::Fragment;
use crate::domain::graph::{ClusterView, FragmentIndex};
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::engine::intake::reply::Reply;
use crate::engine::receipt::Receipt;
use crate::engine::state::campaigns::question::{Question, Told};
use crate::engine::state::views::Viewed;
use crate::engine::store::collector::Collector;
use crate::engine::store::fragments::FragmentRows;
use actix::{Message, Recipient};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a profile actor is told; always by the identity actor (but for [`Op::Adopt`]), so that all
/// of it is in journal order.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) enum Op {
    /// An event of one of its fragments.
    Apply(Box<Apply>),
    /// An answer that must not overtake the events before it.
    Answer(Reply, Receipt),
    /// Gives fragments to another profile.
    Release { fragments: Vec<FragmentIndex>, to: Recipient<Self>, step: u64 },
    /// So many profiles are about to give fragments; nothing else happens until they have.
    Expect { step: u64, givers: usize },
    /// Fragments given by another profile.
    Adopt { step: u64, fragments: Vec<(FragmentIndex, Fragment)> },
    /// Fragments at rest become its own.
    Load(Vec<FragmentIndex>),
    /// Shows the profile.
    View(ClusterView, u32, oneshot::Sender<Viewed>),
    /// Its events before a sequence, newest first; of all its fragments, or only of these.
    Timeline {
        before: Sequence,
        limit: usize,
        only: Option<Vec<FragmentIndex>>,
        reply: oneshot::Sender<Vec<Sequence>>,
    },
    /// Tells what its campaigns have to know.
    Tell(Box<Question>, u32, Option<oneshot::Sender<(Box<Question>, Told)>>),
    /// Writes fragments down for a snapshot.
    Save(Vec<FragmentIndex>, Arc<Collector>),
    /// Writes all fragments down and tells the identity actor, which then decides.
    Passivate { stamp: u64 },
    /// The end.
    Stop,
}

/// An event to apply.
pub(in crate::engine) struct Apply {
    /// The record because of which it is applied: its own, or the act that read it again.
    pub(in crate::engine) record: Sequence,
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) event: Box<Event>,
    pub(in crate::engine) content: u128,
    pub(in crate::engine) fragment: FragmentIndex,
    pub(in crate::engine) is_new: bool,
    pub(in crate::engine) rules: Arc<Rules>,
    /// Who waits for it; nobody, where it found its place after the fact.
    pub(in crate::engine) told: Option<(Receipt, Reply)>,
}

/// A profile wrote itself down, as asked at `stamp`.
pub(in crate::engine) struct Passivated {
    pub(in crate::engine) lead: FragmentIndex,
    pub(in crate::engine) stamp: u64,
    pub(in crate::engine) rows: Vec<(FragmentIndex, FragmentRows)>,
    pub(in crate::engine) epoch: u64,
}

/// An event panicked twice.
pub(in crate::engine) struct SetAside {
    pub(in crate::engine) sequence: Sequence,
    /// The era of the state in which it was applied.
    pub(in crate::engine) era: u64,
}

/// A profile's actor panicked otherwise than over an event: what it held is lost.
pub(in crate::engine) struct Broken {
    pub(in crate::engine) era: u64,
}

/// What a profile reports.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) enum Report {
    /// It wrote itself down.
    Passivated(Passivated),
    /// An event was in vain.
    SetAside(SetAside),
    /// It panicked over what it was told.
    Broken(Broken),
    /// What it was asked, and what it says.
    Answered(Box<Question>, Told),
    /// It panicked over a question.
    Unanswered(Box<Question>),
}
