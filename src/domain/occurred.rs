//! Reading the time at which an event occurred, in every form that senders write it in.
//!
//! The calendar is `jiff`'s: ISO 8601 and RFC 9557, RFC 2822, `strftime` formats, and the IANA time
//! zones, which it brings along, so that the same text reads the same on every machine. What is read
//! here is what `jiff` refuses: a blank before the zone, names of UTC, epochs, `/Date(…)/`.

use crate::domain::blocked;
use crate::domain::time::{MAX, MIN, Timestamp};
use crate::domain::unseen::visible;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
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

    /// A local time; a date alone is its midnight in UTC, whatever the zone: a calendar's day is the
    /// same for all who write it.
    fn said(&self, date: Date, time: Option<Time>) -> Option<Timestamp> {
        match time {
            Some(time) => self.moment(DateTime::from_parts(date, time)),
            None => Self::UTC.moment(DateTime::from_parts(date, Time::midnight())),
        }
    }

    fn moment(&self, local: DateTime) -> Option<Timestamp> {
        let last = || last_hours(local, self.0.to_offset(jiff::Timestamp::MAX));
        within(self.0.to_timestamp(local).map_or_else(|_| last(), jiff::Timestamp::as_millisecond))
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
        let is_there = self.0.contains("%z") || self.0.contains("%:z");
        self.parsed(text, zone).or_else(|| {
            // A form has decoded the plus of the zone as a blank.
            let (time, zone_digits) = text.rsplit_once(' ').filter(|_| is_there)?;
            self.parsed(&format!("{time}+{zone_digits}"), zone)
        })
    }

    fn parsed(&self, text: &str, zone: &Zone) -> Option<Timestamp> {
        let read = BrokenDownTime::parse(&*self.0, text).ok()?;
        if let Ok(at) = read.to_timestamp() {
            return within(at.as_millisecond());
        }
        // Without an hour the library's time is midnight, too.
        let time = read.hour().and_then(|_| read.to_time().ok());
        zone.said(read.to_date().ok()?, time)
    }
}

/// What `text` says, in a format where the source names one, local times being those of `zone`.
pub fn say(text: &str, format: Option<&Format>, zone: &Zone) -> Said {
    let text = visible(text);
    if blocked::is_no_word(text) || is_no_date(text) {
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
            let calendar = digits_of_a_calendar(text, &Zone::UTC);
            let written = || read_in(text, &Zone::UTC).filter(|_| epoch(text).is_none());
            let at = calendar.or_else(written)?;
            let is_unset = at < FIRST_OF_YEAR_2 || (-DAY_MS..=DAY_MS).contains(&at.0);
            (!is_unset).then_some(at)
        }
        Said::Unreadable => None,
    }
}

/// `0000-00-00 00:00:00`, which some databases have for no time, and what PHP makes of it: no
/// calendar holds the one, and the other is nobody's moment.
fn is_no_date(text: &str) -> bool {
    let is_zero = |byte| matches!(byte, b'0' | b'-' | b'/' | b':' | b'.' | b' ' | b'T' | b'Z');
    let zeros = text.bytes().filter(|byte| *byte == b'0').count();
    text.starts_with("0000-00-00")
        || text.starts_with("-0001-11-30")
        || (zeros >= 8 && text.bytes().all(is_zero))
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
    // A zone in brackets says nothing about how the time before it is spelt.
    let (time, named) = text.split_at(text.find('[').unwrap_or(text.len()));
    let spelt = format!("{}{named}", zone_joined(time.trim_end()));
    let pieces = Pieces::parse(&spelt).ok()?;
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    if let Some(offset) = pieces.to_numeric_offset() {
        let at = offset.to_timestamp(local).map(jiff::Timestamp::as_millisecond);
        return within(at.unwrap_or_else(|_| last_hours(local, offset)));
    }
    match pieces.time_zone_annotation() {
        Some(named) => Zone(named.to_time_zone().ok()?).moment(local),
        None => zone.said(pieces.date(), pieces.time()),
    }
}

/// The same time as ISO 8601 spells it, where only its zone or its fraction is spelt otherwise:
/// `… UTC` and `… GMT` become `Z`, the blank before an offset goes, and so does an abbreviation
/// behind one. A blank in the place of the sign is a plus that a form has decoded.
fn zone_joined(text: &str) -> Cow<'_, str> {
    let text = short_fraction(text);
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_named = match words.last().copied() {
        Some(name) if is_utc(name) && words.len() > 1 => words.pop().is_some(),
        Some(name) if words.len() > 2 && name.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            // `+0200 CEST`: what the offset says is enough.
            if offset(words[words.len() - 2]).is_some() {
                words.pop();
            }
            false
        }
        _ => false,
    };
    let joined = match words.as_slice() {
        [time, zone] if has_clock(time) => offset(zone).map(|zone| format!("{time}{zone}")),
        [date, time, zone] if has_clock(time) => {
            offset(zone).map(|zone| format!("{date}T{time}{zone}"))
        }
        [date] if date.len() > 10 && !is_named => zone_of_a_date(date),
        _ => None,
    };
    if let Some(joined) = joined {
        return joined.into();
    }
    let last = words.last().copied().unwrap_or_default();
    match is_named {
        // `2026-03-01 09:00:00UTC GMT` is nobody's.
        true if has_clock(last) => format!("{}Z", words.join("T")).into(),
        true => format!("{}T00:00Z", words.join(" ")).into(),
        false => match last.len().checked_sub(3).and_then(|at| last.split_at_checked(at)) {
            Some((time, name)) if is_utc(name) && has_clock(time) => {
                words.pop();
                words.push(time);
                format!("{}Z", words.join("T")).into()
            }
            _ => text,
        },
    }
}

fn is_utc(name: &str) -> bool {
    name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt")
}

/// Whether it holds a time of day: `09:00`, `2026-03-01T09`, `20260301T090000`.
fn has_clock(text: &str) -> bool {
    text.contains([':', 'T', 't'])
}

/// An offset that stands alone, with its sign: `Z`, `+02`, `-0230`, `UTC+2:00`, and `0200`, whose
/// plus a form has decoded.
fn offset(word: &str) -> Option<String> {
    if word.eq_ignore_ascii_case("z") {
        return Some("Z".to_owned());
    }
    let name = word.get(..3).filter(|name| is_utc(name)).map_or(0, str::len);
    let rest = &word[name..];
    let (sign, digits) = match rest.as_bytes().first() {
        Some(b'+') => ('+', &rest[1..]),
        Some(b'-') => ('-', &rest[1..]),
        _ if name > 0 => return None,
        _ => ('+', rest),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        None if matches!(digits.len(), 2 | 4) => digits.split_at_checked(2)?,
        _ => return None,
    };
    let is_offset = matches!(hours.len(), 1 | 2)
        && hours.bytes().chain(minutes.bytes()).all(|byte| byte.is_ascii_digit());
    is_offset.then(|| format!("{sign}{hours:0>2}{minutes}"))
}

/// `2026-03-01Z` and `2026-03-01+01:00`, as XML writes a date with a zone: its midnight there.
fn zone_of_a_date(text: &str) -> Option<String> {
    let (date, zone) = text.split_at_checked(10)?;
    let is_date = date.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let zone =
        offset(zone).filter(|_| is_date && !zone.starts_with(|ch: char| ch.is_ascii_digit()));
    zone.map(|zone| format!("{date}T00:00{zone}"))
}

/// Without the digits of a fraction beyond nanoseconds, which `jiff` refuses.
fn short_fraction(text: &str) -> Cow<'_, str> {
    let Some(start) = text.find(['.', ',']).map(|at| at + 1) else { return text.into() };
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    match digits > 9 {
        true => format!("{}{}", &text[..start + 9], &text[start + digits..]).into(),
        false => text.into(),
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
    zone.said(pieces.date(), pieces.time())
}

/// `/Date(1772359200000)/` and `/Date(1772359200000+0100)/` (Microsoft's JSON): milliseconds since
/// 1970; the zone behind says only where it was written.
fn dot_net(text: &str) -> Option<Timestamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let zone = inner.char_indices().skip(1).find(|(_, ch)| matches!(ch, '+' | '-' | ' '));
    let ms = zone.map_or(inner, |(at, _)| &inner[..at]);
    within(ms.parse().ok()?)
}

/// RFC 2822, as mail and HTTP write it; a wrong weekday is overlooked.
fn mail(text: &str) -> Option<Timestamp> {
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let read = |text: &str| within(parser.parse_timestamp(text).ok()?.as_millisecond());
    read(text).or_else(|| read(&plus_restored(text)?))
}

/// The same text with the plus before its zone, for which a form's decoder has put a blank.
fn plus_restored(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_zone = |pair: &[&str]| {
        pair[0].contains(':')
            && pair[1].len() == 4
            && pair[1].bytes().all(|byte| byte.is_ascii_digit())
    };
    let at = words.windows(2).position(is_zone)? + 1;
    Some(format!("{} +{}", words[..at].join(" "), words[at..].join(" ")))
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

/// A local time of the last hours of the year 9999, which `jiff` holds for too late to be a moment,
/// in milliseconds: `9999-12-31` stands for "without an end". No earlier one is out of its range.
fn last_hours(local: DateTime, offset: Offset) -> i64 {
    let since = local.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
    let ms = since.as_secs() * 1_000 + i64::from(since.subsec_millis());
    ms - i64::from(offset.seconds()) * 1_000
}

/// What is too late to be spelt is no moment; what is too early says no less than the earliest.
fn within(ms: i64) -> Option<Timestamp> {
    (ms <= MAX.0).then_some(Timestamp(ms.max(MIN.0)))
}

#[cfg(test)]
mod tests;
