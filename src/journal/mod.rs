//! The journal: the append-only record of everything accepted; the truth.
//!
//! It owns a folder of segment files. A segment holds *groups*, a group holds *records*, and every
//! record has a sequence: 1, 2, 3, … without a gap. What a record says is not known here: it is a
//! kind, a version and bytes.
//!
//! The boundary is small, so that a distributed log could take its place: [`Journal::append`] a
//! group, [`JournalReader::scan`] from a position.
//!
//! Promises:
//!
//! * A group is there whole or not at all. Once [`Journal::sync`] has answered, it survives a power
//!   cut; once [`Journal::append`] has, it survives a killed process.
//! * The first failed write or sync poisons the writer for ever; nothing is retried.
//! * A torn tail after the last complete group is cut off and reported. Any other damage is found
//!   and named with its file, offset and sequence; it is never a panic, a hang or a wrong record.
//! * Readers run beside the writer and never block it for longer than an index update.

mod bounds;
pub mod checkpoint;
pub mod disk;
mod error;
pub mod folder;
mod format;
mod index;
mod names;
mod options;
mod reader;
mod recent;
mod recovery;
mod rewrite;
#[cfg(test)]
mod tests;
mod writer;

pub use bounds::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX, RECORD_BYTES_MAX};
pub use error::{Damage, JournalError};
pub use index::SegmentInfo;
pub use options::JournalOptions;
pub use reader::{JournalReader, Scan, ScanBack};
pub use recovery::{Progress, RecoveryReport, inspect, open};
pub use rewrite::{ReplacementRecord, RewriteReport};
pub use writer::{GroupRef, Journal};

use bytes::Bytes;

/// The sequence of the first record of a new journal; 0 means "before everything".
pub const FIRST_SEQUENCE: u64 = 1;

/// A record on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// What sort of record this is; the journal attaches no meaning to it.
    pub kind: u8,
    /// The version of the encoding of `bytes`.
    pub version: u8,
    /// The encoded record, at most [`RECORD_BYTES_MAX`] long.
    pub bytes: &'a [u8],
}

/// A record that was read.
///
/// `bytes` shares the memory of its whole group: copy what is to be kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What sort of record this is; the journal attaches no meaning to it.
    pub kind: u8,
    /// The version of the encoding of `bytes`.
    pub version: u8,
    /// The encoded record.
    pub bytes: Bytes,
}
