//! Calls that may hang or panic, made in a thread of their own.

use super::error::SnapshotError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{io, thread};

/// How a call into sled went wrong.
pub(super) enum Failure {
    Io(io::Error),
    Panicked,
    Hung,
}

impl Failure {
    /// Says what was being done where, and how long it was waited for.
    pub fn named(self, what: &'static str, folder: &Path, limit: Duration) -> SnapshotError {
        let folder = folder.to_owned();
        match self {
            Self::Io(source) => SnapshotError::Io { what, folder, source },
            Self::Panicked => SnapshotError::Panicked { what, folder },
            Self::Hung => SnapshotError::Hung { what, folder, limit },
        }
    }
}

/// Does something in a thread of its own, which is left behind when it takes too long.
pub(super) fn guarded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel();
    let body = move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        if let Err(mpsc::SendError(Ok(late))) = sender.send(done) {
            // Nobody waits any more. Dropping a handle might flush.
            std::mem::forget(late);
        }
    };
    let spawned = thread::Builder::new().name("snapshot-guarded".into()).spawn(body);
    spawned.map_err(Failure::Io)?;
    match receiver.recv_timeout(limit) {
        Ok(Ok(done)) => done.map_err(Failure::Io),
        Ok(Err(_)) => Err(Failure::Panicked),
        Err(RecvTimeoutError::Timeout) => Err(Failure::Hung),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_given_up_and_what_panics_is_an_error() {
        let limit = Duration::from_millis(20);
        let slow = guarded(limit, || {
            thread::sleep(Duration::from_secs(2));
            Ok(())
        });
        assert!(matches!(slow, Err(Failure::Hung)));
        let broken = guarded::<()>(Duration::from_secs(5), || panic!("as sled does"));
        assert!(matches!(broken, Err(Failure::Panicked)));
        let refused = guarded::<()>(Duration::from_secs(5), || Err(io::ErrorKind::Other.into()));
        assert!(matches!(refused, Err(Failure::Io(_))));
    }
}
