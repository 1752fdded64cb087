//! Threads for long work beside those who serve: reading the journal again for a preview, a
//! re-resolution, an erasure.

use crate::engine::receipt::Refusal;
use std::io;
use tokio::sync::oneshot;

/// How far such a thread steps back: at 10 it gets about a tenth of a core that somebody who serves
/// wants too, and all of one that nobody wants (`sched(7)`).
const NICENESS: i32 = 10;

/// Runs long work on a thread of its own.
///
/// # Errors
/// When the system gives no more threads.
pub(in crate::engine) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = move || {
        // On Linux a thread has a niceness of its own. Without it the work is done all the same.
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            tracing::debug!(%error, "a thread in the background keeps its priority");
        }
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Drops what takes long to drop.
pub(in crate::engine) fn discard(left: impl Send + 'static) {
    // Without a thread it is dropped here.
    if let Err(error) = spawn("discarding", move || drop(left)) {
        tracing::debug!(%error, "no thread to drop what is left");
    }
}

/// The same as [`spawn`] for a caller that waits for what it finds.
///
/// # Errors
/// When there is no thread for it, or it panicked: [`Refusal::Panicked`].
pub(in crate::engine) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (reply, found) = oneshot::channel();
    // The caller may have gone away.
    spawn(name, move || drop(reply.send(work()))).map_err(|_| Refusal::Overloaded)?;
    found.await.map_err(|_| Refusal::Panicked)
}
