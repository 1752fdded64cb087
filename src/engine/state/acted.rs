//! What an act results in.

use crate::domain::event::Event;
use crate::domain::graph::{FragmentIndex, Move};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::state::Placement;
use crate::engine::state::campaigns::question::Question;
use uuid::Uuid;

/// What an act came to.
#[derive(Debug, Default)]
pub struct Acted {
    /// The answer to the caller.
    pub answer: Answer,
    /// Fragments that change hands because of it.
    pub moves: Vec<Move>,
    /// How many changes of identity it made.
    pub changes: usize,
    /// Events that are placed now: their sequences, how they read, and where they belong.
    pub placed: Vec<(Sequence, Box<Event>, Placement)>,
    /// Fragments that these events made.
    pub born: Vec<FragmentIndex>,
    /// The files can be cleaned of that erasure.
    pub erased: Option<Sequence>,
    /// Everything is to be resolved again, at this time.
    pub switches: Option<Timestamp>,
    /// What is asked of a profile on behalf of its campaigns.
    pub asks: Option<Box<Question>>,
}

/// The answer to an act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It took effect.
    #[default]
    Done,
    /// A link was laid.
    Laid(u64),
    /// A profile was taken apart.
    Unmerged {
        /// The profiles that there are now.
        profiles: Vec<Uuid>,
        /// The links that were laid.
        links: Vec<u64>,
    },
    /// A person is being erased, under that record.
    Erasing(Sequence),
    /// So many events found their profile.
    Reprocessed(usize),
    /// There is no such thing.
    Unknown,
    /// It does not hold together.
    Invalid(Vec<String>),
    /// It panicked, and has no effect.
    Failed,
}
