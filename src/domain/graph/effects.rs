//! What a change of the graph results in for profiles.

use crate::domain::graph::ids::{EdgeIndex, FragmentIndex, NodeIndex};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Which rule keeps two clusters apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Both have a value of a unique type.
    Unique,
    /// Together they would have more values of a type than its limit.
    Limit,
    /// An operator's cannot-link.
    CannotLink,
    /// Together they would have more than `limits.identifiers`.
    Cap,
    /// The raw component would have more than `limits.component` edges.
    Component,
}

impl Obstacle {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 5] =
        [Self::Unique, Self::Limit, Self::CannotLink, Self::Cap, Self::Component];

    /// The stable name that the API shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::Limit => "limit",
            Self::CannotLink => "cannot_link",
            Self::Cap => "cap",
            Self::Component => "component",
        }
    }
}

/// A fragment that goes from one profile to another; profiles go by their leading fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// What moves.
    pub fragment: FragmentIndex,
    /// The profile that had it.
    pub from: FragmentIndex,
    /// The profile that has it now.
    pub to: FragmentIndex,
}

/// What happens to identities. Rows of the change log hold the number of a kind, so a new one comes
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum ChangeKind {
    /// Profiles became one.
    Merge,
    /// A profile fell apart.
    Unmerge,
    /// A rule kept two profiles apart.
    Refusal,
    /// An identifier joins nobody any more.
    Quarantine,
    /// A quarantined identifier counts again.
    Release,
    /// A person was erased.
    Erasure,
}

/// A number that no kind of change has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the number of a kind of change, below {most}, found {number}", most = ChangeKind::ALL.len())]
pub struct UnknownChange {
    /// The number.
    pub number: u8,
}

impl ChangeKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Merge, Self::Unmerge, Self::Refusal, Self::Quarantine, Self::Release, Self::Erasure];

    /// The stable name that the API shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Unmerge => "unmerge",
            Self::Refusal => "refusal",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
            Self::Erasure => "erasure",
        }
    }

    /// Whether fragments changed hands.
    pub const fn regroups(self) -> bool {
        match self {
            Self::Merge | Self::Unmerge => true,
            Self::Refusal | Self::Quarantine | Self::Release | Self::Erasure => false,
        }
    }

    /// Its number in rows, which is its place in [`Self::ALL`].
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ChangeKind> for u8 {
    fn from(kind: ChangeKind) -> Self {
        kind.number()
    }
}

impl TryFrom<u8> for ChangeKind {
    type Error = UnknownChange;

    fn try_from(number: u8) -> Result<Self, UnknownChange> {
        Self::ALL.get(usize::from(number)).copied().ok_or(UnknownChange { number })
    }
}

/// Something about identity that changed, for the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The profile that it happened to; none where a node has no profile.
    pub profile: Option<FragmentIndex>,
    /// The profiles that joined it, or left it.
    pub others: Vec<FragmentIndex>,
    /// The identifier at fault.
    pub identifier: Option<String>,
    /// The rule at work.
    pub reason: Option<&'static str>,
}

/// What follows for the profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Fragments that change hands, in the order of their numbers.
    pub moves: Vec<Move>,
    /// For the change log, in order.
    pub changes: Vec<Change>,
}

/// What the graph made of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The fragment that it belongs to; none when nothing identifies anyone.
    pub fragment: Option<FragmentIndex>,
    /// Whether the event made the fragment.
    pub is_new: bool,
    /// The profile that holds it after all that follows.
    pub profile: Option<FragmentIndex>,
    /// What follows for the profiles.
    pub effects: Effects,
}

/// What was before: for the fragments that may have moved, and for the edges that were decided again.
#[derive(Debug, Default)]
pub(in crate::domain::graph) struct Before {
    /// Which profile held a fragment.
    pub(in crate::domain::graph) leads:
        HashMap<FragmentIndex, FragmentIndex, foldhash::fast::FixedState>,
    /// Whether an edge was refused, of those that were refused or let in since.
    pub(in crate::domain::graph) refused: HashMap<EdgeIndex, bool, foldhash::fast::FixedState>,
}

impl Before {
    pub(in crate::domain::graph) fn note(&mut self, fragment: FragmentIndex, lead: FragmentIndex) {
        self.leads.entry(fragment).or_insert(lead);
    }

    pub(in crate::domain::graph) fn note_edge(&mut self, edge: EdgeIndex, was_refused: bool) {
        self.refused.entry(edge).or_insert(was_refused);
    }
}

/// The structure that an event disturbs, gathered before anything is decided.
#[derive(Debug, Default)]
pub(in crate::domain::graph) struct Disturbed {
    /// Edges that are new and may link.
    pub(in crate::domain::graph) fresh: SmallVec<[EdgeIndex; 8]>,
    /// Suppressed edges that come earlier in the order now.
    pub(in crate::domain::graph) earlier: SmallVec<[EdgeIndex; 2]>,
    /// Nodes around which what was decided no longer holds.
    pub(in crate::domain::graph) seeds: SmallVec<[NodeIndex; 8]>,
    pub(in crate::domain::graph) changes: Vec<Change>,
}
