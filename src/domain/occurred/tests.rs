//! Times in every form, and texts that are none.

use super::*;
use proptest::prelude::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_form_that_senders_use_is_read() {
    for (text, at) in [
        ("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01t09:00:00z", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00.25-01:00", "2026-03-01T10:00:00.250Z"),
        ("2026-03-01 09:00:00 UTC", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00 gmt", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00UTC", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T09:00:00 Z", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 +0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 +01:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00 01:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 08:00:00 -0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00 +0000 UTC", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00+0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00+01", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00.5+0100", "2026-03-01T09:00:00.500Z"),
        ("2026-03-01T09:00Z", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T09:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T09:00:00,250Z", "2026-03-01T09:00:00.250Z"),
        ("20260301T090000Z", "2026-03-01T09:00:00.000Z"),
        ("20260301T100000+0100", "2026-03-01T09:00:00.000Z"),
        ("20260301090000", "2026-03-01T09:00:00.000Z"),
        ("20260301", "2026-03-01T00:00:00.000Z"),
        ("2026-03-01", "2026-03-01T00:00:00.000Z"),
        ("2026-03-01T09:00:00Z[UTC]", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00+01:00[Europe/Berlin]", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00[Europe/Berlin]", "2026-03-01T09:00:00.000Z"),
        ("Sun, 01 Mar 2026 09:00:00 +0000", "2026-03-01T09:00:00.000Z"),
        ("Sun, 1 Mar 2026 09:00:00 GMT", "2026-03-01T09:00:00.000Z"),
        ("Mon, 1 Mar 2026 10:00:00 +0100 (CET)", "2026-03-01T09:00:00.000Z"),
        ("1 Mar 2026 04:00 EST", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00  0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00:00.123 0100", "2026-03-01T09:00:00.123Z"),
        ("20260301T100000 0100", "2026-03-01T09:00:00.000Z"),
        ("20260301T100000 +01:00", "2026-03-01T09:00:00.000Z"),
        ("20260301T090000 UTC", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01  09:00:00  UTC", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 +0100 CET", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00.000000001 +0100 CET", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 UTC+1:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 GMT+0100", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 +01", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00+01:00", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T09:00:00.1239999999999999 UTC", "2026-03-01T09:00:00.123Z"),
        ("2026-03-01T09:00:00,5", "2026-03-01T09:00:00.500Z"),
        ("2026-03-01 UTC", "2026-03-01T00:00:00.000Z"),
        ("\u{FEFF}2026-03-01T09:00:00Z\u{200B}", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01Z", "2026-03-01T00:00:00.000Z"),
        ("2026-03-01+01:00", "2026-02-28T23:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
        ("2016-12-31 23:59:60 UTC", "2016-12-31T23:59:59.000Z"),
        ("Sun, 1 Mar 2026 10:00:00  0100", "2026-03-01T09:00:00.000Z"),
        ("1 Mar 2026 10:00  0100 (CET)", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T10:00 01:00[Europe/Berlin]", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 10:00:00 +0100 [Europe/Berlin]", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01 09:00:00 [UTC]", "2026-03-01T09:00:00.000Z"),
        ("2026-03-01T09:00:00 Z[UTC]", "2026-03-01T09:00:00.000Z"),
        ("Sun, 01 Mar 2026 09:00:00 UTC", "2026-03-01T09:00:00.000Z"),
        ("9999-12-30 23:00:00", "9999-12-30T23:00:00.000Z"),
        ("9999-12-31", "9999-12-31T00:00:00.000Z"),
        ("9999-12-31 23:59:59.999", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31 23:59:59 +0100", "9999-12-31T22:59:59.000Z"),
        ("/Date(1772355600000 0100)/", "2026-03-01T09:00:00.000Z"),
        ("/Date(1772355600000-0100)/", "2026-03-01T09:00:00.000Z"),
        ("/Date(1772355600000)/", "2026-03-01T09:00:00.000Z"),
        ("/Date(1772355600000+0100)/", "2026-03-01T09:00:00.000Z"),
        ("1767225600", "2026-01-01T00:00:00.000Z"),
        ("1767225600123", "2026-01-01T00:00:00.123Z"),
        ("1767225600123456", "2026-01-01T00:00:00.123Z"),
        ("1767225600123456789", "2026-01-01T00:00:00.123Z"),
        ("1767225600.5", "2026-01-01T00:00:00.500Z"),
        ("1767225600.000200", "2026-01-01T00:00:00.000Z"),
        ("1.7672256e9", "2026-01-01T00:00:00.000Z"),
        ("1.7672256e12", "2026-01-01T00:00:00.000Z"),
        ("1.7672256e18", "2026-01-01T00:00:00.000Z"),
    ] {
        let said = say(text, None, &Zone::UTC);
        assert_eq!(said, Said::At(Timestamp::parse_rfc3339(at).unwrap()), "{text}");
    }
}

#[test]
fn anything_else_is_not_guessed() {
    for text in [
        "yesterday",
        ".",
        "1.2.3",
        "99999999999999999999",
        "1e400",
        "2026-13-01 00:00:00",
        "2026-02-30T00:00:00Z",
        "03/01/2026 10:00",
        "true",
        "10:00",
        "00:00",
        "2026-03-01 10:00:00 CET",
        "2026-03-01 10:00:00 +01000",
        "2026-03-01 10:00:00 +99:99",
        "2026-03-01T 10:00",
        "2026-03-01 10:00:00 é",
        "2026-03-01é+01:00",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31 23:59:59 -0100",
        "2026-03-01T09:00:00[Mars/Olympus]",
        "2026-03-01T09:00:00 [",
        "/Date(99999999999999999999)/",
        "/Date()/",
    ] {
        assert_eq!(say(text, None, &Zone::UTC), Said::Unreadable, "{text}");
    }
}

#[test]
fn a_clock_that_was_never_set_says_nothing() {
    for text in [
        "",
        "  ",
        "null",
        "undefined",
        "0",
        "1",
        "-1",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1970-12-31T23:59:59Z",
        "/Date(0)/",
        "/Date(-62135596800000)/",
        "0000-00-00",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00Z",
        "0000-00-00T00:00:00+00:00",
        "0000-00-00 00:00:00 UTC",
        "-0001-11-30T00:00:00+00:00",
        "0000-01-01T00:00:00+01:00",
        "-62135596800",
        "-6795364578871345152",
        "Thu, 01 Jan 1970 00:00:00 +0000",
    ] {
        assert_eq!(say(text, None, &Zone::UTC), Said::Nothing, "{text}");
    }
    let first = say("1971-01-01T00:00:00Z", None, &Zone::UTC);
    assert_eq!(first, Said::At(SAYS_SOMETHING_FROM));
}

#[test]
fn local_times_and_formats_are_read_as_the_source_says() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let read = |text: &str, format: Option<&str>| {
        let format = format.map(|format| Format::new(format).unwrap());
        match say(text, format.as_ref(), &berlin) {
            Said::At(at) => at.to_string(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(read("2026-07-01 10:00:00", None), "2026-07-01T08:00:00.000Z");
    // A date alone is no local time: its midnight is UTC's.
    for date in ["2026-03-01", "20260301"] {
        assert_eq!(read(date, None), "2026-03-01T00:00:00.000Z");
    }
    assert_eq!(read("2026-03-01T00:00", None), "2026-02-28T23:00:00.000Z");
    assert_eq!(read("20260301000000", None), "2026-02-28T23:00:00.000Z");
    assert_eq!(read("2026-03-01[Europe/Berlin]", None), "2026-02-28T23:00:00.000Z");
    assert_eq!(read("2026-07-01T10:00:00Z", None), "2026-07-01T10:00:00.000Z");
    assert_eq!(read("07/01/2026 10:00", Some("%m/%d/%Y %H:%M")), "2026-07-01T08:00:00.000Z");
    assert_eq!(read("07/01/2026", Some("%m/%d/%Y")), "2026-07-01T00:00:00.000Z");
    assert_eq!(
        read("1 Jul 2026 10:00 -0200", Some("%d %b %Y %H:%M %z")),
        "2026-07-01T12:00:00.000Z"
    );
    for text in ["01.07.2026 10:00 -0200", "01.07.2026 14:00 +0200", "01.07.2026 14:00  0200"] {
        assert_eq!(read(text, Some("%d.%m.%Y %H:%M %z")), "2026-07-01T12:00:00.000Z", "{text}");
    }
    let stuck = read("01.07.2026T14:00 0200", Some("%d.%m.%YT%H:%M%z"));
    assert_eq!(stuck, "2026-07-01T12:00:00.000Z");
    assert_eq!(read("13/01/2026 10:00", Some("%m/%d/%Y %H:%M")), "Unreadable");
    // In the hour that is skipped in spring the clock reads an hour later.
    assert_eq!(read("2026-03-29 02:30:00", None), "2026-03-29T01:30:00.000Z");
    assert_eq!(read("9999-12-31", None), "9999-12-31T00:00:00.000Z");
    assert_eq!(read("0000-01-01", None), "Nothing");
    assert!(Zone::named("Mars/Olympus").is_none());
    for wrong in ["%Q", "%H:%M", "", "no directive", "%"] {
        assert_eq!(Format::new(wrong), None, "{wrong}");
    }
}

#[test]
fn conditions_compare_birthdays_and_no_unset_clock() {
    let at = |text| compared(text).map(|at| at.to_string());
    assert_eq!(at("1965-03-02").as_deref(), Some("1965-03-02T00:00:00.000Z"));
    assert_eq!(at("19650302").as_deref(), Some("1965-03-02T00:00:00.000Z"));
    assert_eq!(at("2 Mar 1965 00:00:00 GMT").as_deref(), Some("1965-03-02T00:00:00.000Z"));
    assert_eq!(at("2026-03-01").as_deref(), Some("2026-03-01T00:00:00.000Z"));
    assert_eq!(at("9999-12-31").as_deref(), Some("9999-12-31T00:00:00.000Z"));
    assert_eq!(at("1772355600").as_deref(), Some("2026-03-01T09:00:00.000Z"));
    for text in ["0001-01-01T00:00:00Z", "1970-01-01", "1969-12-31T23:00:00Z", "0", "86400", "x"] {
        assert_eq!(at(text), None, "{text}");
    }
}

/// A moment as jiff writes it in each form that the contract lists, and what of it the form can say.
fn written(ms: i64, offset: i32) -> Vec<(String, i64)> {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap();
    let utc = Offset::UTC.to_datetime(at);
    let there = Offset::from_seconds(offset * 60).unwrap().to_datetime(at);
    let (sign, hours, minutes) =
        (if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60);
    let (plain, colon) =
        (format!("{sign}{hours:02}{minutes:02}"), format!("{sign}{hours:02}:{minutes:02}"));
    let (second, minute) = (ms - ms.rem_euclid(1_000), ms - ms.rem_euclid(60_000));
    let day = ms - ms.rem_euclid(86_400_000);
    let mut all = vec![
        (format!("/Date({ms})/"), ms),
        (format!("{ms}"), ms),
        (format!("{}", second / 1_000), second),
        (format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000)), ms),
        (format!("{ms}000"), ms),
        (format!("{ms}000000"), ms),
    ];
    for (form, meant) in [
        ("%Y-%m-%dT%H:%M:%S.%3fZ", ms),
        ("%Y-%m-%dT%H:%M:%S,%3fZ", ms),
        ("%Y-%m-%d %H:%M:%S UTC", second),
        ("%Y-%m-%d %H:%M:%S GMT", second),
        ("%Y-%m-%dT%H:%M:%SZ[UTC]", second),
        ("%Y%m%dT%H%M%SZ", second),
        ("%Y-%m-%d", day),
        ("%a, %d %b %Y %H:%M:%S GMT", second),
    ] {
        all.push((utc.strftime(form).to_string(), meant));
    }
    for (form, zone, meant) in [
        ("%Y-%m-%dT%H:%M:%S.%3f", &colon, ms),
        ("%Y-%m-%d %H:%M:%S.%3f ", &plain, ms),
        ("%Y%m%dT%H%M%S.%3f", &plain, ms),
        ("%Y-%m-%dT%H:%M:%S", &plain, second),
        ("%Y-%m-%d %H:%M:%S ", &colon, second),
        ("%Y-%m-%dT%H:%M", &colon, minute),
        ("%a, %d %b %Y %H:%M:%S ", &plain, second),
    ] {
        all.push((format!("{}{zone}", there.strftime(form)), meant));
    }
    all
}

proptest! {
    #[test]
    fn whatever_form_the_library_writes_is_read_as_it_was_meant(
        // 1973, before which milliseconds would be taken for seconds of today, to 2199.
        ms in 100_000_000_000i64..7_258_118_400_000,
        quarters in -48i32..=56,
    ) {
        for (text, meant) in written(ms, quarters * 15) {
            let said = say(&text, None, &Zone::UTC);
            prop_assert!(matches!(said, Said::At(at) if at.0 == meant), "{text}: {said:?}, not {meant}");
        }
    }
}

proptest! {
    #[test]
    fn reading_never_panics_and_stays_in_range(
        text in "\\PC{0,40}|-?[0-9.e:TZ+ -]{0,40}|[0-9]{1,5}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{4,12} ?[A-Za-z+-]{0,3}[0-9:]{0,6}(\\[[A-Za-z/]{0,12}\\])?|[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{2,5} [0-9:]{4,8} [A-Z+0-9-]{1,6}"
    ) {
        let formats = [None, Format::new("%m/%d/%Y %H:%M"), Format::new("%d %b %Y %H:%M:%S %z")];
        for format in &formats {
            for zone in [Zone::UTC, Zone::named("Asia/Kolkata").unwrap()] {
                if let Said::At(at) = say(&text, format.as_ref(), &zone) {
                    prop_assert!((MIN..=MAX).contains(&at));
                }
            }
        }
    }
}
