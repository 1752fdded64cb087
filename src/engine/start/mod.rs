//! From a data folder to a running engine, and its end.

pub(in crate::engine) mod open;
pub(in crate::engine) mod opening;
