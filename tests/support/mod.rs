//! What the proof tests share: the real program as a child, a client for it, seeded randomness,
//! random worlds and the reference model that they are compared with.
//!
//! Black-box: nothing here names the library. Every wait is a poll with a bound, and every verdict
//! depends on what was answered or found in files, never on how long it took.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod client;
pub mod compare;
pub mod model;
pub mod program;
pub mod random;
pub mod receiver;
pub mod world;

/// Whether the long form of the proofs is asked for (`SELFSAME_LONG=1`, as in CI).
pub fn is_long() -> bool {
    std::env::var("SELFSAME_LONG").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// The seed to begin with: `SELFSAME_SEED`, to repeat what a failure names, or a fixed one.
pub fn first_seed() -> u64 {
    std::env::var("SELFSAME_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
