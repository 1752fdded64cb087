//! What changes the evidence: events, operators, erasures, other rules.

pub(in crate::domain::graph) mod adopt;
pub(in crate::domain::graph) mod choice;
pub(in crate::domain::graph) mod cut;
pub(in crate::domain::graph) mod erase;
pub(in crate::domain::graph) mod inherit;
pub(in crate::domain::graph) mod observe;
pub(in crate::domain::graph) mod operators;
