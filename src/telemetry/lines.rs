//! Lines on stderr that cost the program nothing: whatever becomes of stderr, no thread waits for it
//! and none ends because of it.
//!
//! A thread of its own writes. What it cannot write (the reader of a pipe is gone, the disk is full)
//! is lost, and so is what comes while the buffer is full because nobody reads the pipe; how many
//! lines the latter were is a metric.

use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait to be written at most; a line is some hundred bytes.
const WAITING: usize = 8_192;

static WRITER: OnceLock<NonBlocking> = OnceLock::new();
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
/// Held until [`flush`]: when it goes, what waits is written, within a second.
static GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The writer of all lines.
pub fn writer() -> NonBlocking {
    WRITER.get_or_init(start).clone()
}

fn start() -> NonBlocking {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING);
    let (writer, guard) = builder.thread_name("log").finish(io::stderr());
    DROPPED.get_or_init(|| writer.error_counter());
    GUARD.lock().unwrap_or_else(PoisonError::into_inner).replace(guard);
    writer
}

/// Says something to a person, in its place among the lines of the log.
pub fn say(text: &str) {
    // The writer takes a line or drops it, and fails at neither.
    let _taken = writer().write_all(format!("{text}\n").as_bytes());
}

/// How many lines were lost because they came faster than stderr takes them.
pub fn dropped() -> usize {
    DROPPED.get().map_or(0, ErrorCounter::dropped_lines)
}

/// Writes what waits, within a second; for the end of the program.
pub fn flush() {
    drop(GUARD.lock().unwrap_or_else(PoisonError::into_inner).take());
}
