//! What campaigns keep: runs, questions that are decided, and the outbox.

pub(in crate::engine) mod decide;
pub(in crate::engine) mod outbox;
pub(in crate::engine) mod question;
pub(in crate::engine) mod runs;
pub(in crate::engine) mod sorted_runs;
pub(in crate::engine) mod unsaved;
