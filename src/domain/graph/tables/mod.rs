//! The rows of which the graph is made, and how they are found.

pub(in crate::domain::graph) mod chunks;
pub(in crate::domain::graph) mod fragments;
pub(in crate::domain::graph) mod lists;
pub(in crate::domain::graph) mod lookup;
pub(in crate::domain::graph) mod names;
pub(in crate::domain::graph) mod row;
pub(in crate::domain::graph) mod type_flags;
pub(in crate::domain::graph) mod watch;
