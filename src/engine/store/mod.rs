//! The state as rows of the snapshot, and what lies beside the journal.

pub(in crate::engine) mod collector;
pub(in crate::engine) mod deliveries;
pub(in crate::engine) mod erasure_log;
pub(in crate::engine) mod events;
pub(in crate::engine) mod fragments;
pub(in crate::engine) mod retention;
pub(in crate::engine) mod rows;
pub(in crate::engine) mod told;
