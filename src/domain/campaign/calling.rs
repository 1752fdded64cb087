//! How a webhook is called: for how long, how many times at a time, and when again.

use crate::domain::campaign::builder::Builder;
use crate::domain::campaign::config::{RetryConfig, WebhookConfig};
use crate::domain::campaign::model::{Calling, SCHEDULE};
use crate::domain::time::parse_span;

/// The longest time that a webhook may allow for a call.
const TIMEOUT_MOST_MS: i64 = 300_000;
/// The most calls at a time that a webhook may allow.
pub const CONCURRENCY_MOST: usize = 1_024;
/// The most attempts after the first one.
const RETRIES_MOST: usize = 100;
/// The longest wait between two attempts.
const WAIT_MOST_MS: i64 = 30 * 86_400_000;

impl Builder {
    /// Checks and compiles how a webhook is called.
    pub(super) fn calling(&mut self, at: &str, config: &WebhookConfig) -> Calling {
        let mut calling = Calling::default();
        if let Some(text) = &config.timeout {
            match span(text, TIMEOUT_MOST_MS, "5m") {
                Ok(ms) => calling.timeout_ms = ms,
                Err(sentence) => self.problem(format!("{at}.timeout"), sentence),
            }
        }
        if let Some(number) = config.concurrency {
            match usize::try_from(number).ok().filter(|one| (1..=CONCURRENCY_MOST).contains(one)) {
                Some(number) => calling.at_a_time = number,
                None => self.problem(
                    format!("{at}.concurrency"),
                    format!("expected 1 to {CONCURRENCY_MOST} calls at a time, found {number}"),
                ),
            }
        }
        match self.waits(&format!("{at}.retry"), config.retry.as_ref()) {
            Some(waits) => Calling { waits, ..calling },
            None => calling,
        }
    }

    fn waits(&mut self, at: &str, config: Option<&RetryConfig>) -> Option<Box<[i64]>> {
        let count = match config? {
            RetryConfig::Times(times) => usize::try_from(*times).unwrap_or(usize::MAX),
            RetryConfig::After(spans) => spans.len(),
        };
        if count > RETRIES_MOST {
            let sentence =
                format!("expected at most {RETRIES_MOST} attempts after the first, found {count}");
            self.problem(at, sentence);
            return None;
        }
        let spans = match config? {
            RetryConfig::Times(_) => {
                let last = SCHEDULE.last().copied();
                let waits = SCHEDULE.into_iter().chain(std::iter::repeat(last).flatten());
                return Some(waits.take(count).collect());
            }
            RetryConfig::After(spans) => spans,
        };
        let mut waits = Vec::with_capacity(count);
        for (place, text) in spans.iter().enumerate() {
            match span(text, WAIT_MOST_MS, "30d") {
                Ok(ms) => waits.push(ms),
                Err(sentence) => self.problem(format!("{at}[{place}]"), sentence),
            }
        }
        Some(waits.into())
    }
}

fn span(text: &str, most_ms: i64, most: &str) -> Result<i64, String> {
    let ms = parse_span(text)?;
    match (1..=most_ms).contains(&ms) {
        true => Ok(ms),
        false => {
            Err(format!("expected a span longer than nothing and up to {most:?}, found {text:?}"))
        }
    }
}
