//! How a journal is opened.

use super::disk::Disk;
use super::error::JournalError;
use std::path::PathBuf;

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The folder of the segments; made when it is not there.
    pub dir: PathBuf,
    /// A segment that would grow beyond this many bytes is closed; 4 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Whether the checksum of every group is compared, or only of those in the last segment.
    pub verify: bool,
    /// How many bytes of decompressed groups are kept for single reads.
    pub cache_bytes: usize,
    /// Where writes and syncs go.
    pub disk: Disk,
}

impl JournalOptions {
    /// The defaults: segments of 256 MiB, a cache of 16 MiB, old segments checked by their headers.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 256 << 20,
            verify: false,
            cache_bytes: 16 << 20,
            disk: Disk::Real,
        }
    }

    pub(super) fn check(&self) -> Result<(), JournalError> {
        if (4 << 10..=1 << 30).contains(&self.segment_bytes) {
            return Ok(());
        }
        Err(JournalError::Option {
            name: "segment_bytes",
            found: self.segment_bytes,
            expected: "4 KiB to 1 GiB",
        })
    }
}
