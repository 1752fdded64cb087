//! The data folder: one process at a time, and how much room is left on its disk.

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
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
    /// The folder itself is locked too: a lock file can be removed and made again by another start.
    _folder: File,
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
        let folder = File::open(&path).map_err(|source| FolderError::Io {
            what: "open the folder",
            path: path.clone(),
            source,
        })?;
        for (held, what) in [(&folder, &path), (&lock, &lock_path)] {
            match patiently(held) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(FolderError::InUse { folder: path.clone() });
                }
                Err(errno) => {
                    let (path, source) = (what.clone(), errno.into());
                    return Err(FolderError::Io { what: "lock", path, source });
                }
            }
        }
        Ok(Self { path, _lock: lock, _folder: folder })
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

/// Room that is kept for a start on a full disk: the snapshot store cannot be opened without any.
#[derive(Debug)]
pub struct Spare(PathBuf);

/// The bytes of the spare room, and how much must be free beside the watermark before it is taken.
const SPARE_BYTES: u64 = 2 << 20;

impl Spare {
    /// The spare room of a data folder.
    pub fn of(data: &Path) -> Self {
        Self(data.join("spare"))
    }

    /// Gives the room up where a start would find less than it.
    pub fn give_up(&self) {
        let free = self.0.parent().and_then(|data| free_bytes(data).ok()).unwrap_or(u64::MAX);
        if free < SPARE_BYTES && fs::remove_file(&self.0).is_ok() {
            tracing::warn!(free, "the disk is full: spare room is given up for the start");
        }
    }

    /// Takes the room again once there is enough; without it a start on a full disk may fail.
    pub fn keep(&self, watermark: u64) {
        if self.0.exists() {
            return;
        }
        let free = self.0.parent().and_then(|data| free_bytes(data).ok()).unwrap_or(0);
        if free < watermark.saturating_add(2 * SPARE_BYTES) {
            return;
        }
        let made = File::create(&self.0).and_then(|file| {
            Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SPARE_BYTES)?)
        });
        if let Err(error) = made {
            tracing::debug!(%error, "no spare room can be kept");
        }
    }
}

/// Files and folders that must stay what they were when they were opened: whoever removes or replaces
/// one of them takes away what is answered as kept.
#[derive(Debug)]
pub struct Watch(Vec<(PathBuf, Identity)>);

/// What tells a file from every other: its device and its number there.
type Identity = (u64, u64);

impl Watch {
    /// Watches what is there now, by names below `folder`; the empty name is the folder itself.
    pub fn of(folder: &Path, names: &[&str]) -> Self {
        let path = |name: &&str| match name.is_empty() {
            true => folder.to_owned(),
            false => folder.join(name),
        };
        let watched = names.iter().map(path);
        Self(watched.filter_map(|path| identity(&path).ok().map(|it| (path, it))).collect())
    }

    /// The first that is not there any more, or is another one now.
    pub fn changed(&self) -> Option<&Path> {
        let is_other = |path: &Path, was: Identity| identity(path).map_or(true, |now| now != was);
        self.0.iter().find(|(path, was)| is_other(path, *was)).map(|(path, _)| path.as_path())
    }
}

/// A path that cannot be looked at for another reason than that it is gone is the same as gone: a file
/// that is answered for must be there.
fn identity(path: &Path) -> io::Result<Identity> {
    let stat = fs::metadata(path)?;
    Ok((stat.dev(), stat.ino()))
}

/// Whether a path still names the open file.
///
/// # Errors
/// Any error of the operating system, such as a path that is not there.
pub fn names_file(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    Ok(identity(path)? == (open.dev(), open.ino()))
}

/// The bytes that an ordinary user may still write to the file system of `path`.
///
/// # Errors
/// Any error of the operating system, such as a path that is not there.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
