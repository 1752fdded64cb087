//! The identity actor, which owns the state, and what it does beside taking records in.

pub(in crate::engine) mod actor;
pub(in crate::engine) mod basis_collector;
pub(in crate::engine) mod deliveries;
pub(in crate::engine) mod erasure;
pub(in crate::engine) mod mending;
pub(in crate::engine) mod resolution;
pub(in crate::engine) mod sagas;
pub(in crate::engine) mod snapshotter;
