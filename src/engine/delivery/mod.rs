//! Deliveries on their way out: when each is due, who judges it, and the call.

pub(in crate::engine) mod schedule;
pub(in crate::engine) mod sender;
pub(in crate::engine) mod sending;
