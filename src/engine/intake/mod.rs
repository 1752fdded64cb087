//! The way in: requests are gathered, numbered, and appended to the journal.

pub(in crate::engine) mod batching;
pub(in crate::engine) mod committer;
pub(in crate::engine) mod router;
pub(in crate::engine) mod seen_ids;
