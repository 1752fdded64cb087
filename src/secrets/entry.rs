//! An entry of the sealed store, and why the store cannot be used.

use super::Secret;
use crate::domain::time::Timestamp;
use std::path::PathBuf;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not as it was written.
    #[error(
        "{} is damaged: {what} is wrong; restore it from a backup, or move it away and set the secrets again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What of it is wrong.
        what: &'static str,
    },
    /// A later program wrote it.
    #[error("{} has version {version}, which this program does not know; use the one that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The key is gone.
    #[error(
        "{} is missing, and the sealed secrets cannot be opened without it: restore it from a backup, or move {} away and set the secrets again",
        .0.display(), FILE
    )]
    NoKey(PathBuf),
    /// It is another folder's key.
    #[error(
        "{} does not open the sealed secrets: restore the one that belongs to them, or move {} away and set the secrets again",
        .0.display(), FILE
    )]
    WrongKey(PathBuf),
    /// There are as many as may be.
    #[error("expected at most {0} secrets (limits.secrets); remove one that is not used")]
    Full(usize),
    /// The operating system has no randomness to give.
    #[error("no randomness for the secrets' key: {0}")]
    Randomness(String),
    /// The value could not be sealed.
    #[error("a secret could not be sealed; it is too long")]
    Sealing,
}

/// A value, and since when.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) value: Secret,
    pub(super) created_at: Timestamp,
    pub(super) set_at: Timestamp,
}

/// The name of the file with the values.
pub(super) const FILE: &str = "secrets.sealed";
