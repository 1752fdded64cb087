//! What the graph is asked: profiles, explanations, pages of a snapshot.

pub(in crate::domain::graph) mod explain;
pub(in crate::domain::graph) mod pages;
pub(in crate::domain::graph) mod room;
pub(in crate::domain::graph) mod view;
