//! The seam to the disk: every write and every sync of the journal goes through [`Disk`], so that
//! tests can let one of them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes and syncs; the real ones, unless a test asks otherwise.
#[derive(Clone, Debug, Default)]
pub enum Disk {
    /// The operating system.
    #[default]
    Real,
    /// The operating system, with failures on order.
    #[doc(hidden)]
    Faulty(Arc<Faults>),
}

impl Disk {
    /// Writes all of `bytes` at `offset`, in one call unless the system takes fewer.
    ///
    /// # Errors
    /// Any error of the system; the bytes may then be there in part.
    pub fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Real => file.write_all_at(bytes, offset),
            Self::Faulty(faults) => match faults.strike(Operation::Write) {
                None => file.write_all_at(bytes, offset),
                Some(Failure::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
                Some(Failure::Short { bytes: length, errno }) => {
                    file.write_all_at(&bytes[..length.min(bytes.len())], offset)?;
                    Err(io::Error::from_raw_os_error(errno))
                }
            },
        }
    }

    /// Makes the content of a file survive a power cut (`fdatasync`).
    ///
    /// # Errors
    /// Any error of the system; it must not be retried, as the kernel forgets what it could not
    /// write (the "fsyncgate" of PostgreSQL, 2018).
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.before_sync()?;
        file.sync_data()
    }

    /// Makes the names in a folder survive a power cut.
    ///
    /// # Errors
    /// As for [`Disk::sync`].
    pub fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.before_sync()?;
        File::open(folder)?.sync_all()
    }

    fn before_sync(&self) -> io::Result<()> {
        let Self::Faulty(faults) = self else { return Ok(()) };
        match faults.strike(Operation::Sync) {
            None => Ok(()),
            Some(Failure::Error(errno) | Failure::Short { errno, .. }) => {
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }
}

/// What is to fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write.
    Write,
    /// A sync of a file or a folder.
    Sync,
}

/// How it is to fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing happens but this `errno`.
    Error(i32),
    /// A write that writes only so many bytes, then this `errno`.
    Short {
        /// How many bytes get through.
        bytes: usize,
        /// The error after them.
        errno: i32,
    },
}

/// Failures on order, for tests.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Faults {
    ordered: Mutex<Vec<(Operation, u32, Failure)>>,
}

impl Faults {
    /// Orders that the `nth` operation of this sort from now on (0 is the next one) fails.
    pub fn fail(&self, operation: Operation, nth: u32, failure: Failure) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.push((operation, nth, failure));
    }

    fn strike(&self, operation: Operation) -> Option<Failure> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        ordered.retain_mut(|(of, left, failure)| {
            if *of != operation {
                return true;
            }
            if *left == 0 && due.is_none() {
                due = Some(*failure);
                return false;
            }
            *left = left.saturating_sub(1);
            true
        });
        due
    }
}
