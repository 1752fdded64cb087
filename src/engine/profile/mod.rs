//! One actor per active profile, and who is active.

pub(in crate::engine) mod actor;
pub(in crate::engine) mod answering;
pub(in crate::engine) mod directory;
pub(in crate::engine) mod message;
pub(in crate::engine) mod rebuild;
