//! The threads on which payloads are read and shown.
//!
//! They are few and stay: what a page takes is then taken by few, and used again for the next one.
//! (A pool that grows leaves what each of its threads has once used with that thread.)

use crate::engine::receipt::Refusal;
use crossbeam_channel::{Sender, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use tokio::sync::oneshot;

/// How many there are.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end with the last handle. Who reads waits for its answer, so the queue is as
/// long as there are readers at most.
#[derive(Debug)]
pub(in crate::engine) struct Readers(Sender<Job>);

impl Readers {
    /// Starts them. Where the system has no thread to give, reading is refused.
    pub(in crate::engine) fn start() -> Self {
        let (sender, jobs) = unbounded::<Job>();
        for number in 0..THREADS {
            let jobs = jobs.clone();
            let work = move || {
                for job in jobs {
                    // The one that waits hears that there is no answer; the next one is served.
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!("reading panicked; the call is refused");
                    }
                }
            };
            if let Err(error) = Builder::new().name(format!("reader-{number}")).spawn(work) {
                tracing::error!(%error, "no thread to read with");
            }
        }
        Self(sender)
    }

    /// Runs a job where it may block.
    ///
    /// # Errors
    /// When it panics, or there is no thread.
    pub(in crate::engine) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        // Without threads the job is dropped, and so is the reply; the caller may have gone away.
        let _ = self.0.send(Box::new(move || drop(reply.send(job()))));
        answer.await.map_err(|_| Refusal::Panicked)
    }
}
