//! Which profiles changed while all are gone over.

use crate::domain::graph::ids::{FragmentIndex, NodeIndex};
use std::collections::BTreeSet;

/// What changed.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::graph) struct Watch {
    /// Profiles that were not what they are now.
    pub(in crate::domain::graph) leads: BTreeSet<FragmentIndex>,
    /// Nodes whose profiles are not what they were.
    pub(in crate::domain::graph) nodes: BTreeSet<NodeIndex>,
    /// What counts for all profiles changed.
    pub(in crate::domain::graph) is_void: bool,
}

/// Some of the profiles that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Those that are not what they were any more, or are not there.
    pub gone: Vec<FragmentIndex>,
    /// Those that are to be looked at again.
    pub leads: BTreeSet<FragmentIndex>,
    /// Whether these were all of them.
    pub is_all: bool,
}
