//! The rows of which the graph is made, and how they are found.

pub(in crate::domain::graph) mod chunks;
pub(in crate::domain::graph) mod crowd;
pub(in crate::domain::graph) mod cuts;
pub(in crate::domain::graph) mod dirty;
pub(in crate::domain::graph) mod fragments;
pub(in crate::domain::graph) mod graph;
pub(in crate::domain::graph) mod heirs;
pub(in crate::domain::graph) mod lists;
pub(in crate::domain::graph) mod lookup;
pub(in crate::domain::graph) mod names;
pub(in crate::domain::graph) mod raws;
pub(in crate::domain::graph) mod row;
pub(in crate::domain::graph) mod type_flags;
pub(in crate::domain::graph) mod watch;
pub(in crate::domain::graph) mod watched;
