//! The data folder: one process at a time, and how much room is left on its disk.

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds it.
    #[error(
        "data folder {} is in use by another process: stop that one, or give this one another \
         folder",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// How often the lock is tried again, and the pause between: a second in all.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A data folder that this process holds alone, until it is dropped or the process ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, making it when it is not there.
    ///
    /// # Errors
    /// [`FolderError::InUse`] when another process has it.
    pub fn take(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| FolderError::Io {
            what: "make the folder",
            path: path.clone(),
            source,
        })?;
        let lock_path = path.join("lock");
        let lock =
            File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(
                |source| FolderError::Io { what: "open", path: lock_path.clone(), source },
            )?;
        match patiently(&lock) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(FolderError::InUse { folder: path }),
            Err(errno) => {
                Err(FolderError::Io { what: "lock", path: lock_path, source: errno.into() })
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes the lock, waiting a little: a process that was just started holds copies of its parent's
/// files between fork and exec, the lock of an engine that has ended among them.
fn patiently(lock: &File) -> Result<(), Errno> {
    for _ in 0..LOCK_TRIES {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            outcome => return outcome,
        }
    }
    flock(lock, FlockOperation::NonBlockingLockExclusive)
}

/// The bytes that an ordinary user may still write to the file system of `path`.
///
/// # Errors
/// Any error of the operating system, such as a path that is not there.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
