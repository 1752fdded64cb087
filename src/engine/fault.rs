//! What is done about panics: who ends all the same fails the engine, and faults to inject for tests.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a fault may be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Making properties of a request's body, by the event type of its path.
    Decode,
    /// Putting an event of a batch together, by the event type of the path.
    Piece,
    /// Reading a request's event, by event type.
    Extract,
    /// The router's turn, by event type: it ends the router.
    Router,
    /// The committer's turn: it ends the committer.
    Committer,
    /// Finding an event its place in the graph, by event type.
    Graph,
    /// Applying an event to its profile, by event type.
    Profile,
    /// Showing a profile.
    View,
    /// Judging campaigns because of an event, by event type.
    Campaign,
    /// Judging a campaign because of a timer, by campaign.
    Timer,
    /// Judging whether a delivery may go out.
    Recheck,
    /// Making a call, by campaign.
    Sending,
    /// Telling how a call went, by campaign: it fails the engine.
    Telling,
    /// An act, by its [name](crate::records::ActRecord::name).
    Act,
    /// A question that may change something.
    Ask,
    /// The identity actor's turn: it ends the actor.
    Identity,
    /// Reading an event again, by event type.
    Reread,
    /// A re-resolution's thread.
    Resolution,
    /// A preview's thread.
    Preview,
    /// Looking for an erased person in an event on nobody, by event type.
    Search,
    /// Writing a snapshot: it ends the thread.
    Snapshot,
}

impl Stage {
    const ALL: [(&'static str, Self); 21] = [
        ("decode", Self::Decode),
        ("piece", Self::Piece),
        ("extract", Self::Extract),
        ("router", Self::Router),
        ("committer", Self::Committer),
        ("graph", Self::Graph),
        ("profile", Self::Profile),
        ("view", Self::View),
        ("campaign", Self::Campaign),
        ("timer", Self::Timer),
        ("recheck", Self::Recheck),
        ("sending", Self::Sending),
        ("telling", Self::Telling),
        ("act", Self::Act),
        ("ask", Self::Ask),
        ("identity", Self::Identity),
        ("reread", Self::Reread),
        ("resolution", Self::Resolution),
        ("preview", Self::Preview),
        ("search", Self::Search),
        ("snapshot", Self::Snapshot),
    ];
}

/// A fault for tests: this stage panics for this type, so many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub stage: Stage,
    /// For which event type, campaign or act; empty for any.
    pub kind: String,
    /// How many times.
    pub times: usize,
}

/// Why a text names no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected STAGE:TYPE:TIMES, where the type may be empty")]
pub struct NoFault;

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let mut parts = text.split(':');
        let (Some(stage), Some(kind), Some(times), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoFault);
        };
        let found = Stage::ALL.into_iter().find(|(name, _)| *name == stage);
        let (_, stage) = found.ok_or(NoFault)?;
        let times = times.parse().map_err(|_| NoFault)?;
        Ok(Self { stage, kind: kind.to_owned(), times })
    }
}

/// Faults to inject; none outside of tests.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Vec<(Fault, AtomicUsize)>>>);

impl Faults {
    /// These faults.
    pub fn new(all: Vec<Fault>) -> Self {
        let with_count = |fault: Fault| {
            let left = AtomicUsize::new(fault.times);
            (fault, left)
        };
        let all: Vec<_> = all.into_iter().map(with_count).collect();
        Self((!all.is_empty()).then(|| Arc::new(all)))
    }

    /// Panics where a test asked for it.
    pub fn strike(&self, stage: Stage, kind: &str) {
        let Some(all) = &self.0 else { return };
        for (fault, left) in all.iter() {
            if fault.stage != stage || !(fault.kind.is_empty() || fault.kind == kind) {
                continue;
            }
            let left = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            assert!(left.is_err(), "a fault injected by a test");
        }
    }
}

/// Why an engine ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// For people.
    pub why: String,
    /// Whether the program is at fault, and not the storage.
    pub is_fault: bool,
}

/// Does something that may panic; what it works on must not be trusted afterwards.
pub fn walled<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|cause: Box<dyn Any + Send>| {
        drop(cause); // it may hold text from outside
        Panicked
    })
}

/// Something panicked; the log says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fault of the program; the log says where")]
pub struct Panicked;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_named_by_stage_type_and_times() {
        let fault = Fault { stage: Stage::Graph, kind: "boom".to_owned(), times: 2 };
        assert_eq!("graph:boom:2".parse(), Ok(fault.clone()));
        for wrong in ["", "graph", "graph:boom", "nowhere:boom:1", "graph:boom:x", "graph:a:1:2"] {
            assert_eq!(wrong.parse::<Fault>(), Err(NoFault), "{wrong}");
        }
        let faults = Faults::new(vec![fault]);
        let strike = |stage, kind| walled(|| faults.strike(stage, kind));
        assert_eq!(strike(Stage::Profile, "boom"), Ok(()));
        assert_eq!(strike(Stage::Graph, "other"), Ok(()));
        assert_eq!(strike(Stage::Graph, "boom"), Err(Panicked));
        assert_eq!(strike(Stage::Graph, "boom"), Err(Panicked));
        assert_eq!(strike(Stage::Graph, "boom"), Ok(()));
    }
}
