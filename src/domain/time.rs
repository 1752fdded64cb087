//! Moments and spans, in whole milliseconds.

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The latest moment that RFC 3339 can spell (9999-12-31T23:59:59.999Z).
pub const MAX: Timestamp = Timestamp(253_402_300_799_999);
/// The earliest moment that RFC 3339 can spell (0000-01-01T00:00:00Z).
pub const MIN: Timestamp = Timestamp(-62_167_219_200_000);

impl Timestamp {
    /// This moment moved by `ms` milliseconds, kept between [`MIN`] and [`MAX`].
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms).clamp(MIN.0, MAX.0))
    }

    /// Reads RFC 3339 (`2026-03-01T10:00:00+01:00`); fractions beyond milliseconds are cut off. A
    /// moment before [`MIN`] or after [`MAX`] in UTC is `None`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        // Not `to_offset`, which panics where the moment in UTC lies outside of the years 0 to 9999.
        let ms = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        let ms = i64::try_from(ms.div_euclid(1_000_000)).ok()?;
        (MIN.0..=MAX.0).contains(&ms).then_some(Self(ms))
    }

    /// The calendar moment in UTC, for calendar arithmetic such as ISO weeks.
    pub fn utc(self) -> OffsetDateTime {
        let ms = self.0.clamp(MIN.0, MAX.0);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, as every answer of the API spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.utc();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

/// Reads a span such as `500ms`, `60s`, `30m`, `2h`, `7d`, `2w`; the answer is in milliseconds.
///
/// # Errors
/// A sentence that says what was expected, when the text is anything else or overflows.
pub fn parse_span(text: &str) -> Result<i64, String> {
    let expected = || {
        format!(
            "expected a span such as \"500ms\", \"60s\", \"30m\", \"2h\" or \"7d\", found {text:?}"
        )
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let scale: i64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(expected()),
    };
    number.parse::<i64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        let at = Timestamp::parse_rfc3339("2026-03-01T10:00:00.1239+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-03-01T09:00:00.123Z");
        assert_eq!(Timestamp::parse_rfc3339(&at.to_string()), Some(at));
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_moment_that_utc_cannot_spell_is_none() {
        for text in
            ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+00:01", "-0001-01-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(Timestamp::parse_rfc3339("9999-12-31T23:59:59.9999Z"), Some(MAX));
        assert_eq!(Timestamp::parse_rfc3339("0000-01-01T00:00:00Z"), Some(MIN));
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(parse_span("7d"), Ok(604_800_000));
        assert_eq!(parse_span(" 500ms "), Ok(500));
        assert!(parse_span("7").is_err());
        assert!(parse_span("99999999999999999d").is_err());
        assert!(parse_span("1 fortnight").is_err());
    }
}
