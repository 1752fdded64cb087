//! How the log is configured: its format, and what it says.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// The levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// The web framework tells more of its workers at `info` than anyone wants to know.
const INFO: &str = "info,actix_server=warn";

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the log says: a level, or directives of `tracing-subscriber` (`info,selfsame::engine=debug`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogLevel {
    /// Reads a level or directives.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        if LEVELS.contains(&lower.as_str()) {
            return Ok(Self(lower));
        }
        let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let is_known = |part: &str| part.contains('=') || is_level(part);
        let is_read = parts().next().is_some()
            && parts().all(is_known)
            && EnvFilter::try_new(parts().collect::<Vec<_>>().join(",")).is_ok();
        match is_read {
            true => Ok(Self(text.trim().to_owned())),
            false => Err(format!(
                "expected error, warn, info, debug, trace or off, or directives such as \
                 \"info,selfsame::engine=debug\", found {text:?}"
            )),
        }
    }

    /// As `tracing-subscriber` reads it.
    pub(super) fn directives(&self) -> &str {
        if self.0 == "info" { INFO } else { &self.0 }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

/// What `RUST_LOG` says, in which the bare name of a module means everything of it.
pub fn of_rust_log(text: &str) -> String {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let spelt = parts.map(|part| match part.contains(['=', '[']) || is_level(part) {
        true => part.to_owned(),
        false => format!("{part}=trace"),
    });
    spelt.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_directives_and_nothing_is_guessed() {
        for good in ["info", " WARN ", "off", "warn,selfsame::engine=debug", "selfsame=trace"] {
            assert!(LogLevel::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "infos", "selfsame", "info,selfsame::engine=loud", ","] {
            let error = LogLevel::parse(bad).unwrap_err();
            assert!(error.starts_with("expected error, warn, info"), "{bad}: {error}");
        }
        assert_eq!(LogLevel::default().directives(), INFO);
        assert_eq!(of_rust_log("selfsame, info"), "selfsame=trace,info");
    }
}
