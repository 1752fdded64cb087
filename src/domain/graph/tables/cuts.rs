//! The cuts that nodes are in.

use crate::domain::graph::ids::NodeIndex;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The operator's cuts that a node is in, by their numbers, and its part in each.
pub(in crate::domain::graph) type Places = SmallVec<[(u64, u32); 1]>;

/// All nodes that are in cuts.
pub(in crate::domain::graph) type Cuts = BTreeMap<NodeIndex, Places>;

/// Whether two places lie in different parts of one cut.
pub(in crate::domain::graph) fn are_apart(one: (u64, u32), other: (u64, u32)) -> bool {
    one.0 == other.0 && one.1 != other.1
}
