//! What can go wrong with a journal, each with the place where it did.

use super::bounds::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX, RECORD_BYTES_MAX, SEGMENT_VERSION};
use std::io;
use std::path::PathBuf;

/// What is wrong with the bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends within a header or a body.
    #[error("the file ends in the middle of it")]
    Short,
    /// The file does not begin like a segment.
    #[error("the file is not a journal segment")]
    Magic,
    /// A segment header of another format version, otherwise sound.
    #[error("the format version is {0}; this program reads version {SEGMENT_VERSION}")]
    Version(u32),
    /// The header of a segment does not match its checksum.
    #[error("the segment header does not match its checksum")]
    SegmentHeader,
    /// No group begins where one should.
    #[error("no group begins here")]
    Marker,
    /// A group header does not match its checksum.
    #[error("the group header does not match its checksum")]
    GroupHeader,
    /// A group header matches its checksum and still says what cannot be.
    #[error("the group header holds an impossible {0}")]
    Impossible(&'static str),
    /// A group's body does not match its checksum.
    #[error("the group does not match its checksum")]
    GroupBody,
    /// The body cannot be decompressed to the length that the header names.
    #[error("the group cannot be decompressed")]
    Compression,
    /// The records do not fill the body exactly.
    #[error("the records do not fit their group")]
    Records,
    /// A sequence other than the next one.
    #[error("sequence {found} is there instead: records or a whole segment are missing")]
    Gap {
        /// The sequence that was found.
        found: u64,
    },
    /// The name of the segment and its header disagree.
    #[error("the file name and the header name different first sequences")]
    Name,
    /// An index entry and the file disagree.
    #[error("another group is there than the index says: the file was changed while it was open")]
    Changed,
}

/// Why the journal did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", file.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file or folder it was done to.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged in a place that a crash does not explain. Restore it from a backup.
    #[error(
        "{} is damaged at offset {offset}, where sequence {sequence} is expected: {what}; \
         restore this file from a backup",
        file.display()
    )]
    Corrupt {
        /// The damaged segment.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The first sequence that cannot be read.
        sequence: u64,
        /// What is wrong there.
        what: Damage,
    },
    /// A segment was written by another version of this program.
    #[error(
        "{} has format version {found}; this program reads version {SEGMENT_VERSION}: start the \
         version that wrote it",
        file.display()
    )]
    Version {
        /// The segment.
        file: PathBuf,
        /// The version it says it has.
        found: u32,
    },
    /// A file that calls itself a segment and has no segment's name.
    #[error(
        "{} is not named like a segment (20 digits and .journal): move it elsewhere",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// An earlier write or sync failed; the process has to be restarted.
    #[error("an earlier write to the journal failed; nothing more is taken until a restart")]
    Poisoned,
    /// A group without records.
    #[error("a group needs at least one record")]
    GroupEmpty,
    /// More records than a group may hold.
    #[error("{found} records in a group; at most {GROUP_RECORDS_MAX} are allowed")]
    TooManyRecords {
        /// How many there were.
        found: usize,
    },
    /// A record that is too long.
    #[error("a record of {found} bytes; at most {RECORD_BYTES_MAX} are allowed")]
    RecordTooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// A group that is too long.
    #[error("a group of {found} bytes; at most {GROUP_BYTES_MAX} are allowed")]
    GroupTooLarge {
        /// Its length in bytes, uncompressed.
        found: usize,
    },
    /// Journal options out of their range.
    #[error("journal option {name} is {found}; expected {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        found: u64,
        /// The range it has to be in.
        expected: &'static str,
    },
}

impl JournalError {
    /// Names the operation and the file of an operating system error.
    pub(super) fn io(
        what: &'static str,
        file: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { what, file, source }
    }
}
