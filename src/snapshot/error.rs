//! What can go wrong with a snapshot.

use super::FORMAT_VERSION;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the snapshot store did not do what it was asked to.
///
/// Whatever it is, the journal is not touched by it: [`super::set_aside`] the folder and replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// sled or the operating system refused.
    #[error("cannot {what} the snapshot {}: {source}", folder.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The store's folder.
        folder: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// sled did not come back.
    #[error("to {what} the snapshot {} took longer than {limit:?}; it is given up", folder.display())]
    Hung {
        /// What was being done, as a verb.
        what: &'static str,
        /// The store's folder.
        folder: PathBuf,
        /// How long it was waited for.
        limit: Duration,
    },
    /// sled panicked, which is how it answers damage.
    #[error("to {what} the snapshot {} failed: sled panicked, so its files are damaged", folder.display())]
    Panicked {
        /// What was being done, as a verb.
        what: &'static str,
        /// The store's folder.
        folder: PathBuf,
    },
    /// A row is not what was written. The key may identify someone, so only its prefix is named.
    #[error(
        "a row of the snapshot {} is damaged (key of {key_bytes} bytes, first byte {prefix:#04x}): \
         {what}",
        folder.display()
    )]
    Corrupt {
        /// The store's folder.
        folder: PathBuf,
        /// The first byte of the row's key, which names its sort; 0 for an empty key.
        prefix: u8,
        /// The length of the key.
        key_bytes: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The store was written with another layout.
    #[error(
        "the snapshot {} has format version {found}; this program reads version {FORMAT_VERSION}",
        folder.display()
    )]
    Version {
        /// The store's folder.
        folder: PathBuf,
        /// The version it says it has.
        found: u32,
    },
    /// An earlier commit failed.
    #[error("an earlier commit to the snapshot failed; it takes nothing more until a restart")]
    Poisoned,
    /// A key that belongs to the store itself.
    #[error("row keys that begin with byte 0x00 belong to the snapshot itself")]
    ReservedKey,
}
