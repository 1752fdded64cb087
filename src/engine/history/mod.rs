//! The journal read again: replays, drafts of the state under other rules, campaigns over what was.

pub(in crate::engine) mod asides;
pub(in crate::engine) mod basis;
pub(in crate::engine) mod campaign_play;
pub(in crate::engine) mod draft;
pub(in crate::engine) mod draft_fragments;
pub(in crate::engine) mod replay;
pub(in crate::engine) mod starting;
