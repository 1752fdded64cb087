//! Looking into a data folder from outside, while nothing runs on it or while something does.
//!
//! Promise: read-only. Nothing here takes the lock, cuts a torn tail, removes a leftover or opens
//! a file for writing.

pub mod journal;
mod table;

pub use table::Table;
