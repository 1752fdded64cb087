//! The snapshot: the state at a journal position, so that a restart replays only the tail.
//!
//! It owns a sled folder of byte rows and knows nothing of what they say. It can be rebuilt from
//! the journal, so nothing here is repaired: a damaged store is set aside and replay makes another.
//!
//! Promises:
//!
//! * A commit is there whole or not at all, and says which sequence it reflects.
//! * A row that cannot be read as it was written is a named error.
//! * An `open` or a flush that hangs, as sled's can after damage or a failed write, is an error
//!   after the watchdog's time; the store is poisoned then, and what hangs is left behind.

mod error;
mod place;
mod row;
mod store;
#[cfg(test)]
mod tests;
mod watchdog;

pub use error::SnapshotError;
pub use store::{Change, Row, ScanPrefix, SnapshotStore, open, set_aside};

/// The version of the layout of rows; a store with another one is rebuilt.
pub const FORMAT_VERSION: u32 = 1;
