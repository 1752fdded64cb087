//! Reading the time at which an event occurred, in every form that senders write it in.
//!
//! The calendar is `jiff`'s: ISO 8601 and RFC 9557, RFC 2822, `strftime` formats, and the IANA time
//! zones, which it brings along, so that the same text reads the same on every machine. What is read
//! here is what `jiff` refuses: a blank before the zone, names of UTC, epochs, `/Date(…)/`.

use super::blocked;
use super::time::{MAX, MIN, Timestamp};
use jiff::civil::{DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// How far ahead of our clock a sender's clock may be, in milliseconds; later times become this.
pub const AHEAD_MS: i64 = 5 * 60_000;

/// Before that moment, 1971-01-01T00:00:00Z, a time says nothing: it is a clock that was never set.
pub const SAYS_SOMETHING_FROM: Timestamp = Timestamp(31_536_000_000);

/// Clocks that were never set stand at 1970-01-01 or in year 1, in whatever zone.
const DAY_MS: i64 = 86_400_000;
const FIRST_OF_YEAR_2: Timestamp = Timestamp(-62_104_060_800_000);

/// From these numbers on, epochs count milliseconds, microseconds and nanoseconds. The first would
/// be the year 5138 in seconds, and is March 1973 in milliseconds; the others are the same moment.
const FINER_FROM: [u64; 3] = [100_000_000_000, 100_000_000_000_000, 100_000_000_000_000_000];

/// The longest text that is read as a time, in bytes.
const LENGTH: usize = 100;

/// What a text says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A moment.
    At(Timestamp),
    /// Nothing: blank, a word for nothing, or a clock that was never set.
    Nothing,
    /// Something that cannot be read.
    Unreadable,
}

/// How a source writes its times.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of local times where none is named.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// An IANA time zone such as `Europe/Berlin`; `None` where there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    fn moment(&self, local: DateTime) -> Option<Timestamp> {
        within(self.0.to_timestamp(local).ok()?.as_millisecond())
    }
}

/// A `strftime` format such as `%m/%d/%Y %H:%M`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Box<str>);

impl Format {
    /// Takes a format that can spell a date and read it back; `None` for any other.
    pub fn new(text: &str) -> Option<Self> {
        let sample = jiff::civil::date(2026, 3, 14).at(15, 9, 26, 0);
        let sample = sample.to_zoned_datetime(TimeZone::UTC).ok()?;
        let spelt = BrokenDownTime::from(&sample).to_string(text).ok()?;
        let format = Self(text.into());
        format.read(&spelt, &Zone::UTC).map(|_| format)
    }

    fn read(&self, text: &str, zone: &Zone) -> Option<Timestamp> {
        let read = BrokenDownTime::parse(&*self.0, text).ok()?;
        if let Ok(at) = read.to_timestamp() {
            return within(at.as_millisecond());
        }
        let time = read.to_time().unwrap_or(Time::midnight());
        zone.moment(DateTime::from_parts(read.to_date().ok()?, time))
    }
}

/// What `text` says, in a format where the source names one, local times being those of `zone`.
pub fn say(text: &str, format: Option<&Format>, zone: &Zone) -> Said {
    let text = text.trim();
    if blocked::is_no_word(text) {
        return Said::Nothing;
    }
    let read = match format {
        Some(format) if text.len() <= LENGTH => format.read(text, zone),
        Some(_) => None,
        None => read_in(text, zone),
    };
    match read {
        Some(at) if at < SAYS_SOMETHING_FROM => Said::Nothing,
        Some(at) => Said::At(at),
        None => Said::Unreadable,
    }
}

/// Reads a value that a condition compares as a time, in any form but those that need a format;
/// local times are UTC. A date before 1971 is one here, since people were born then; clocks that
/// were never set still say nothing.
pub fn compared(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    match say(text, None, &Zone::UTC) {
        Said::At(at) => Some(at),
        Said::Nothing => {
            let at = read_in(text, &Zone::UTC).filter(|_| epoch(text).is_none())?;
            let is_unset = at < FIRST_OF_YEAR_2 || (-DAY_MS..=DAY_MS).contains(&at.0);
            (!is_unset).then_some(at)
        }
        Said::Unreadable => None,
    }
}

fn read_in(text: &str, zone: &Zone) -> Option<Timestamp> {
    if text.len() > LENGTH {
        return None;
    }
    // The first is what most senders write; the others are asked where it does not fit.
    Timestamp::parse_rfc3339(text)
        .or_else(|| digits_of_a_calendar(text, zone))
        .or_else(|| epoch(text))
        .or_else(|| iso(text, zone))
        .or_else(|| dot_net(text))
        .or_else(|| mail(text))
}

/// ISO 8601 in its liberties: blank for `T`, names of UTC, a blank before the zone, zones without
/// colon or minutes, no seconds, comma fractions, the basic form, a zone in brackets, a date alone.
fn iso(text: &str, zone: &Zone) -> Option<Timestamp> {
    let is_calendar = text.is_ascii() && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    if !is_calendar {
        return None;
    }
    let spelt = zone_joined(text);
    let pieces = Pieces::parse(spelt.as_ref()).ok()?;
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    if let Some(offset) = pieces.to_numeric_offset() {
        return within(offset.to_timestamp(local).ok()?.as_millisecond());
    }
    match pieces.time_zone_annotation() {
        Some(named) => Zone(named.to_time_zone().ok()?).moment(local),
        None => zone.moment(local),
    }
}

/// The same time with its zone as ISO 8601 spells it: `… UTC` and `… GMT` become `Z`, and the blank
/// before an offset goes. A blank in the place of the sign is a plus that a form has decoded.
fn zone_joined(text: &str) -> Cow<'_, str> {
    let (body, is_named) = match text.len().checked_sub(3).and_then(|at| text.split_at_checked(at))
    {
        Some((body, name))
            if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt") =>
        {
            (body.trim_end(), true)
        }
        _ => (text, false),
    };
    let Some((time, offset)) = body.rsplit_once(' ').filter(|(time, _)| time.contains(':')) else {
        return match is_named && body.contains(':') {
            true => format!("{body}Z").into(),
            false => text.into(),
        };
    };
    let (sign, digits) = match offset.as_bytes().first() {
        Some(b'+') => ("+", &offset[1..]),
        Some(b'-') => ("-", &offset[1..]),
        Some(b'Z' | b'z') if offset.len() == 1 => return format!("{time}Z").into(),
        _ => ("+", offset),
    };
    let is_offset = matches!(digits.len(), 2 | 4 | 5)
        && digits.bytes().enumerate().all(|(place, byte)| match (digits.len(), place) {
            (5, 2) => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    // `2026-03-01 10:00`: there the blank stands for the T.
    let is_behind_a_time = time.contains(':');
    match (is_offset && is_behind_a_time, is_named) {
        (true, _) => format!("{time}{sign}{digits}").into(),
        (false, true) => format!("{body}Z").into(),
        (false, false) => text.into(),
    }
}

/// `20260301` and `20260301100000`: more likely a calendar's digits than seconds of August 1970 or
/// milliseconds of the year 2612.
fn digits_of_a_calendar(text: &str, zone: &Zone) -> Option<Timestamp> {
    let is_calendar = matches!(text.len(), 8 | 14)
        && (text.starts_with("19") || text.starts_with("20"))
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_calendar {
        return None;
    }
    let spelt = match text.len() {
        8 => text.to_owned(),
        _ => format!("{}T{}", &text[..8], &text[8..]),
    };
    let pieces = Pieces::parse(&spelt).ok()?;
    zone.moment(DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight())))
}

/// `/Date(1772359200000)/` and `/Date(1772359200000+0100)/` (Microsoft's JSON): milliseconds since
/// 1970; the zone behind says only where it was written.
fn dot_net(text: &str) -> Option<Timestamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let zone = inner.char_indices().skip(1).find(|(_, ch)| matches!(ch, '+' | '-'));
    let ms = zone.map_or(inner, |(at, _)| &inner[..at]);
    within(ms.parse().ok()?)
}

/// RFC 2822, as mail and HTTP write it; a wrong weekday is overlooked.
fn mail(text: &str) -> Option<Timestamp> {
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    within(parser.parse_timestamp(text).ok()?.as_millisecond())
}

/// Seconds, milli-, micro- or nanoseconds since 1970, by size, also as a fraction. Digits beyond
/// milliseconds are cut off.
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
    let ms = match FINER_FROM.iter().filter(|from| whole >= **from).count() {
        0 => {
            let thousandths: u64 = format!("{fraction:0<3}")[..3].parse().ok()?;
            whole * 1_000 + thousandths
        }
        finer => whole / [1, 1_000, 1_000_000][finer - 1],
    };
    within(sign * i64::try_from(ms).ok()?)
}

/// `1.7672256e9`: an f64 is exact enough for every millisecond of the years that can be spelt.
fn exponent(text: &str) -> Option<Timestamp> {
    let number: f64 = text.parse().ok()?;
    let finer = FINER_FROM.iter().filter(|from| number.abs() >= **from as f64).count();
    let ms = match finer {
        0 => number * 1_000.0,
        finer => number / [1.0, 1e3, 1e6][finer - 1],
    };
    // A cast saturates, and NaN becomes 0 (which `parse` gives for no text with an exponent).
    within(ms as i64)
}

fn within(ms: i64) -> Option<Timestamp> {
    (MIN.0..=MAX.0).contains(&ms).then_some(Timestamp(ms))
}

#[cfg(test)]
mod tests;
