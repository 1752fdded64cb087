//! Reading the time at which an event occurred, in every form that senders write it in.

use super::time::{MAX, MIN, Timestamp};

/// How far ahead of our clock a sender's clock may be, in milliseconds; later times become this.
pub const AHEAD_MS: i64 = 5 * 60_000;

/// From this number on, epoch numbers are milliseconds: as seconds it would be the year 5138, as
/// milliseconds it is March 1973.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// Reads RFC 3339, `YYYY-MM-DD HH:MM:SS` (UTC), and epoch seconds or milliseconds, also as a
/// fraction. Digits beyond milliseconds are cut off; what lies outside of the years 0 to 9999
/// cannot be read.
pub fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    epoch(text).or_else(|| calendar(text))
}

fn calendar(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let is_moment = matches!(bytes.get(10), Some(b'T' | b't' | b' ')) && bytes.len() <= 64;
    if !is_moment || !text.is_ascii() {
        return None;
    }
    let mut spelt = format!("{}T{}", &text[..10], &text[11..]).to_ascii_uppercase();
    let has_zone = spelt.ends_with('Z') || spelt[11..].contains(['+', '-']);
    if !has_zone {
        spelt.push('Z');
    }
    Timestamp::parse_rfc3339(&spelt)
}

fn epoch(text: &str) -> Option<Timestamp> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if digits.contains(['e', 'E']) {
        return exponent(text);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number =
        !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let ms = if whole >= MILLISECONDS_FROM {
        whole
    } else {
        let thousandths: u64 = format!("{fraction:0<3}")[..3].parse().ok()?;
        whole * 1_000 + thousandths
    };
    within(sign * i64::try_from(ms).ok()?)
}

/// `1.7672256e9`: an f64 is exact enough for every millisecond of the years that can be spelt.
fn exponent(text: &str) -> Option<Timestamp> {
    let number: f64 = text.parse().ok()?;
    let ms = if number.abs() >= MILLISECONDS_FROM as f64 { number } else { number * 1_000.0 };
    // A cast saturates, and NaN becomes 0 (which `parse` gives for no text with an exponent).
    within(ms as i64)
}

fn within(ms: i64) -> Option<Timestamp> {
    (MIN.0..=MAX.0).contains(&ms).then_some(Timestamp(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_that_senders_use_is_read() {
        let read = |text| read(text).map(|at| at.to_string());
        for (text, at) in [
            ("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00.000Z"),
            ("2026-03-01t09:00:00z", "2026-03-01T09:00:00.000Z"),
            ("2026-03-01 09:00:00", "2026-03-01T09:00:00.000Z"),
            ("2026-03-01 09:00:00.25-01:00", "2026-03-01T10:00:00.250Z"),
            ("1767225600", "2026-01-01T00:00:00.000Z"),
            ("1767225600123", "2026-01-01T00:00:00.123Z"),
            ("1767225600.5", "2026-01-01T00:00:00.500Z"),
            ("1767225600.000200", "2026-01-01T00:00:00.000Z"),
            ("1.7672256e9", "2026-01-01T00:00:00.000Z"),
            ("-1", "1969-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(at), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_guessed() {
        for text in [
            "yesterday",
            "",
            ".",
            "1.2.3",
            "99999999999999999999",
            "1e400",
            "NaN",
            "2026-13-01 00:00:00",
            "true",
            "2026-03-01",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_stays_in_range(text in "\\PC{0,30}|-?[0-9.e:TZ+ -]{0,30}") {
            if let Some(at) = read(&text) {
                prop_assert!((MIN..=MAX).contains(&at));
            }
        }
    }
}
