//! Looking into a data folder from outside, while nothing runs on it or while something does.
//!
//! Promise: read-only. Nothing here takes the lock, cuts a torn tail, removes a leftover or opens
//! a file of the folder for writing.

mod folder;
pub mod journal;
mod listing;
mod table;
mod verify;

pub use folder::{Folder, FolderError, journal_folder};
pub use listing::line;
pub use table::Table;
pub use verify::{Unverifiable, Verdict, verify};
