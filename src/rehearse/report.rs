//! What is printed about a run: a line per file, what differs below it, a sum at the end.

use super::matcher::Difference;
use super::scenario::ScenarioErrors;
use super::steps::{Failure, Played};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Wider values are cut, so that a table stays a table.
const CELL_MAX: usize = 100;
/// A longer answer is cut, in characters.
const NOTE_MAX: usize = 600;
/// More differences of one step are only counted.
const DIFFERENCES_MAX: usize = 20;

/// What became of one file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: FileResult,
}

/// What came of a file.
#[derive(Clone, Debug)]
pub enum FileResult {
    /// It was played.
    Played {
        /// What it proves.
        name: String,
        /// How many steps it has.
        steps: usize,
        /// What did not hold.
        played: Played,
    },
    /// It is no scenario.
    Unreadable(ScenarioErrors),
}

impl Report {
    /// Whether all steps held.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(&self.result, FileResult::Played { played, .. } if played.failures.is_empty())
    }
}

/// What became of all files, in the order in which they were given. As a text it is the report.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// One report per file.
    pub reports: Vec<Report>,
}

impl Summary {
    /// How many files held.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.reports.iter().filter(|report| report.passed()).count()
    }

    /// How many did not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.reports.len() - self.passed()
    }

    /// The exit code: 0 when all hold, 65 (sysexits EX_DATAERR) when a file is no scenario, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let unreadable = |report: &Report| matches!(report.result, FileResult::Unreadable(_));
        match self.failed() {
            0 => 0,
            _ if self.reports.iter().any(unreadable) => 65,
            _ => 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.reports.iter().map(|r| r.file.display().to_string()).collect();
        let width = files.iter().map(|file| file.chars().count()).max().unwrap_or(0);
        for (report, file) in self.reports.iter().zip(&files) {
            let word = if report.passed() { "ok" } else { "FAILED" };
            let seconds = report.took.as_secs_f64();
            match &report.result {
                FileResult::Played { name, steps, played } => {
                    writeln!(
                        f,
                        "{word:<6}  {file:<width$}  {steps:>3} steps  {seconds:>6.2} s  {name}"
                    )?;
                    for failure in &played.failures {
                        write_failure(f, failure)?;
                    }
                    write_stderr(f, &played.stderr)?;
                }
                FileResult::Unreadable(errors) => {
                    writeln!(f, "{word:<6}  {file:<width$}  is no scenario")?;
                    for line in errors.to_string().lines() {
                        writeln!(f, "    {line}")?;
                    }
                }
            }
        }
        writeln!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

fn write_failure(f: &mut fmt::Formatter<'_>, failure: &Failure) -> fmt::Result {
    let Failure { step, line, action, differences, note } = failure;
    match step {
        0 => writeln!(f, "  {action}")?,
        _ => writeln!(f, "  step {step}, line {line}: {action}")?,
    }
    let shown = &differences[..differences.len().min(DIFFERENCES_MAX)];
    write_table(f, shown)?;
    if differences.len() > shown.len() {
        writeln!(f, "    and {} more differences", differences.len() - shown.len())?;
    }
    if let Some(note) = note {
        writeln!(f, "    {}", cut(note, NOTE_MAX))?;
    }
    Ok(())
}

fn write_table(f: &mut fmt::Formatter<'_>, differences: &[Difference]) -> fmt::Result {
    if differences.is_empty() {
        return Ok(());
    }
    let heads = ["at", "expected", "found"].map(str::to_owned);
    let rows = differences.iter().map(|difference| {
        [&difference.pointer, &difference.expected, &difference.found].map(|s| cut(s, CELL_MAX))
    });
    let rows: Vec<_> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let (at, expected) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    for row in &rows {
        writeln!(f, "    {:<at$}  {:<expected$}  {}", row[0], row[1], row[2])?;
    }
    Ok(())
}

fn write_stderr(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "  the engine's last words:")?;
    lines.iter().try_for_each(|line| writeln!(f, "    | {line}"))
}

/// On one line, and no longer than `max` characters.
fn cut(text: &str, max: usize) -> String {
    let mut line: String = text.chars().take(max).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line.replace(['\n', '\r'], "⏎")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(pointer: &str, expected: &str, found: &str) -> Difference {
        let [pointer, expected, found] = [pointer, expected, found].map(str::to_owned);
        Difference { pointer, expected, found }
    }

    #[test]
    fn the_report_lines_up_and_ends_with_the_sum() {
        let report = |file: &str, failures| Report {
            file: file.into(),
            took: Duration::from_millis(1_234),
            result: FileResult::Played {
                name: "It holds".to_owned(),
                steps: 3,
                played: Played { failures, stderr: vec!["late".to_owned()] },
            },
        };
        let failure = Failure {
            step: 2,
            line: 7,
            action: "GET /x".to_owned(),
            differences: vec![difference("body/a", "1", "2"), difference("status", "200", "40\n4")],
            note: Some("answer: 404 {}".to_owned()),
        };
        let mut good = report("a.toml", vec![]);
        let FileResult::Played { played, .. } = &mut good.result else { panic!() };
        played.stderr.clear();
        let summary = Summary { reports: vec![good, report("long/b.toml", vec![failure])] };
        assert_eq!(
            summary.to_string(),
            "ok      a.toml         3 steps    1.23 s  It holds\n\
             FAILED  long/b.toml    3 steps    1.23 s  It holds\n\
             \x20 step 2, line 7: GET /x\n\
             \x20   at      expected  found\n\
             \x20   body/a  1         2\n\
             \x20   status  200       40⏎4\n\
             \x20   answer: 404 {}\n\
             \x20 the engine's last words:\n\
             \x20   | late\n\
             1 passed, 1 failed\n"
        );
        assert_eq!(summary.exit_code(), 1);
        assert_eq!(Summary::default().exit_code(), 0);
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(cut(&"ä".repeat(9), 3), "äää…");
        assert_eq!(cut("äää", 3), "äää");
    }
}
