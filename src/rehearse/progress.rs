//! How far a run is, on stderr: a bar on a terminal, plain lines elsewhere, nothing for short runs.

use super::report::Report;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Work that is over within this time says nothing.
const LONG: Duration = Duration::from_secs(1);

/// Shared by the threads of a run.
pub(super) struct Progress {
    state: Mutex<State>,
    files: usize,
    quiet: bool,
    terminal: bool,
}

struct State {
    last_said: Instant,
    done: usize,
    failed: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(files: usize, quiet: bool) -> Self {
        let state = State { last_said: Instant::now(), done: 0, failed: 0, bar: None };
        let terminal = std::io::stderr().is_terminal();
        Self { state: Mutex::new(state), files, quiet, terminal }
    }

    pub(super) fn done(&self, report: &Report) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.failed += usize::from(!report.passed());
        if self.quiet || (state.bar.is_none() && state.last_said.elapsed() < LONG) {
            return;
        }
        let (done, files, failed) = (state.done, self.files, state.failed);
        if self.terminal {
            let bar = state.bar.get_or_insert_with(|| bar(files));
            bar.set_position(done as u64);
            bar.set_message(format!("{failed} failed"));
        } else {
            state.last_said = Instant::now();
            eprintln!("{done} of {files} scenarios rehearsed, {failed} failed");
        }
    }

    pub(super) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(files: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} scenarios, {msg}, {elapsed}");
    // The template is a constant; were it wrong, a bar of another look does no harm.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files as u64).with_style(style)
}
