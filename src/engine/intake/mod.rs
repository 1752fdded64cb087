//! The way in: requests are gathered, numbered, and appended to the journal.

pub(in crate::engine) mod answers;
pub(in crate::engine) mod batching;
pub(in crate::engine) mod committer;
pub(in crate::engine) mod emptying;
pub(in crate::engine) mod entry;
pub(in crate::engine) mod reply;
pub(in crate::engine) mod router;
pub(in crate::engine) mod seen_ids;
pub(in crate::engine) mod turn;
