//! How far a piece of work is, on stderr: a bar on a terminal, plain lines elsewhere, nothing at all
//! for what is over within a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Work that is over within this time says nothing; plain lines come no more often than this.
const LONG: Duration = Duration::from_secs(1);

/// Tells how far a piece of work is.
pub struct Progress {
    what: &'static str,
    unit: &'static str,
    is_terminal: bool,
    last_said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work called `what`, such as `replaying`, counted in `unit`, such as `records`.
    pub fn new(what: &'static str, unit: &'static str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { what, unit, is_terminal, last_said: Instant::now(), bar: None }
    }

    /// So much is done, of so much in all.
    pub fn set(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if self.last_said.elapsed() >= LONG {
            self.last_said = Instant::now();
            match self.is_terminal {
                _ if super::is_json() => {
                    tracing::info!(done, total, unit = self.unit, "{}", self.what);
                }
                true => self.bar = Some(bar(self.what, self.unit, total)),
                false => super::lines::say(&plain(self.what, self.unit, done, total)),
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn plain(what: &str, unit: &str, done: u64, total: u64) -> String {
    format!("{what}: {done} of {total} {unit}, {} %", done * 100 / total.max(1))
}

fn bar(what: &str, unit: &str, total: u64) -> ProgressBar {
    let template = format!("{what} {{bar:30}} {{pos}} of {{len}} {unit}, {{eta}} to go");
    // The template is made of constants; were it wrong, a bar of another look does no harm.
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_what_how_much_and_in_what() {
        assert_eq!(plain("replaying", "records", 1, 4), "replaying: 1 of 4 records, 25 %");
        assert_eq!(plain("replaying", "records", 0, 0), "replaying: 0 of 0 records, 0 %");
    }

    #[test]
    fn short_work_says_nothing() {
        let mut progress = Progress::new("replaying", "records");
        progress.set(1, 2);
        assert!(progress.bar.is_none());
    }
}
