//! From evidence to clusters: the order of edges, what stands between clusters, the rule and its quick ways.

pub(in crate::domain::graph) mod compare;
pub(in crate::domain::graph) mod component;
pub(in crate::domain::graph) mod crowd;
pub(in crate::domain::graph) mod evidence;
pub(in crate::domain::graph) mod hub;
pub(in crate::domain::graph) mod obstacle;
pub(in crate::domain::graph) mod rebuild;
pub(in crate::domain::graph) mod settle;
