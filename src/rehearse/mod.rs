//! `selfsame rehearse`: rules tested like code.
//!
//! A scenario file says what is configured, what is sent and what must come of it. Each file is
//! played against a program of its own: a child process on a temporary folder and loopback ports,
//! with a clock that steps can move. All that is looked at is what any user could look at over
//! HTTP, so the runner proves nothing that is not the program's behaviour.
//!
//! ```text
//! file → reading (document) → scenario → steps → request → engine (child) → client
//!                                          ↘ variables, matcher, receiver, shuffle → report
//! ```

pub mod client;
mod document;
pub mod engine;
pub mod matcher;
mod progress;
mod reading;
pub mod receiver;
mod report;
mod request;
pub mod scenario;
mod shuffle;
pub mod sink;
pub mod steps;
pub mod variables;
pub mod wire;

pub use document::Problem;
pub use report::{FileResult, Report, Summary};
pub use scenario::{Scenario, ScenarioErrors};

use progress::Progress;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

/// How scenarios are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program to rehearse; usually `std::env::current_exe()`.
    pub binary: PathBuf,
    /// How many files are played at a time, at least 1. Each has an engine of its own.
    pub jobs: usize,
    /// Whether to say nothing on stderr meanwhile.
    pub quiet: bool,
}

impl Options {
    /// With `binary` as the program, one file at a time per core, and progress on stderr.
    #[must_use]
    pub fn new(binary: PathBuf) -> Self {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        Self { binary, jobs, quiet: false }
    }
}

/// Plays all files and tells what became of each, in their order.
#[must_use]
pub fn rehearse(files: &[PathBuf], options: &Options) -> Summary {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::with_capacity(files.len()));
    let progress = Progress::new(files.len(), options.quiet);
    thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, files.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(index) else { return };
                    let report = rehearse_one(file, &options.binary);
                    progress.done(&report);
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    reports.push((index, report));
                }
            });
        }
    });
    progress.finish();
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(index, _)| *index);
    Summary { reports: reports.into_iter().map(|(_, report)| report).collect() }
}

fn rehearse_one(file: &Path, binary: &Path) -> Report {
    let begun = Instant::now();
    let result = match check(file) {
        Ok(scenario) => FileResult::Played {
            name: scenario.name.clone(),
            steps: scenario.steps.len(),
            played: steps::play(&scenario, binary),
        },
        Err(errors) => FileResult::Unreadable(errors),
    };
    Report { file: file.to_owned(), took: begun.elapsed(), result }
}

/// Reads a scenario file without running it, for `selfsame check`.
///
/// # Errors
/// With everything that is wrong with the file, by line and column.
pub fn check(file: &Path) -> Result<Scenario, ScenarioErrors> {
    reading::read(file)
}

/// The scenario files that `paths` name: files as they are, folders with every `*.toml` below
/// them, in the order of their names.
///
/// # Errors
/// When a folder cannot be read.
pub fn scenario_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut below: Vec<_> = std::fs::read_dir(path)?
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<_>>()?;
            below.retain(|path| path.is_dir() || path.extension().is_some_and(|e| e == "toml"));
            below.sort();
            files.extend(scenario_files(&below)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
