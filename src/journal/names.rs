//! How the files of a journal are called.

use super::FIRST_SEQUENCE;
use std::path::{Path, PathBuf};

pub(super) const SEGMENT_EXTENSION: &str = "journal";

pub(super) const TEMPORARY_EXTENSION: &str = "tmp";

/// The file of the segment that begins with a sequence.
pub(super) fn segment_path(dir: &Path, first_sequence: u64) -> PathBuf {
    dir.join(format!("{first_sequence:020}.{SEGMENT_EXTENSION}"))
}

/// The file in which a segment is rewritten.
pub(super) fn temporary_path(segment: &Path) -> PathBuf {
    segment.with_extension(TEMPORARY_EXTENSION)
}

pub(super) fn sequence_of_name(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let is_name = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    if is_name { stem.parse().ok().filter(|sequence| *sequence >= FIRST_SEQUENCE) } else { None }
}
