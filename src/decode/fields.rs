//! Fields that hold JSON or base64 as text, replaced by what they hold.

use crate::decode::{charset, lenient};
use crate::domain::json;
use crate::domain::path::Step;
use crate::domain::settings::FieldDecoding;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use std::ops::Range;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The object with its fields decoded; `None` when none of them could be. A field that holds
/// something else stays as it is.
pub(super) fn decode(object: &str, fields: &[(Vec<Step>, FieldDecoding)]) -> Option<String> {
    let mut decoded: Option<String> = None;
    for (steps, how) in fields {
        let text = decoded.as_deref().unwrap_or(object);
        let Some(range) = locate(text, steps) else { continue };
        let Some(value) = json::unquote(&text[range.clone()]) else { continue };
        let content = match how {
            FieldDecoding::Json => read_json(value.into_owned().into()),
            FieldDecoding::Base64 => base64(&value),
        };
        if let Some(content) = content {
            decoded = Some([&text[..range.start], &content, &text[range.end..]].concat());
        }
    }
    decoded
}

fn locate(text: &str, steps: &[Step]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = json::skip_space(bytes, 0);
    steps.iter().try_fold(start..bytes.len(), |value, step| match step {
        Step::Key(name) => json::member(text, value.start, name),
        Step::Index(place) => json::elements(bytes, value.start).nth(*place),
        Step::Each => None,
    })
}

/// JSON as a body's is read: without byte order marks, in any encoding that can be told, Python's
/// numbers that are none as null. `None` of what is none.
fn read_json(bytes: Bytes) -> Option<String> {
    let charset::Whole { text, is_lossy, .. } = charset::whole(&bytes, None);
    let text = lenient::without_nan(text, false);
    let text = std::str::from_utf8(&text).ok().filter(|_| !is_lossy)?;
    json::check(text).is_ok().then(|| text.trim().to_owned())
}

/// Base64 (RFC 4648, sections 4 and 5; padded or not, with line breaks) of JSON, or else of text.
fn base64(value: &str) -> Option<String> {
    let plain = value.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    });
    let bytes = BASE64.decode(plain.collect::<Vec<u8>>()).ok()?;
    let read = read_json(Bytes::from(bytes.clone()));
    if read.as_ref().is_some_and(|text| text.starts_with(['{', '['])) {
        return read;
    }
    let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    let mut literal = String::with_capacity(text.len() + 2);
    json::quote(&text, &mut literal);
    Some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::path::Path;

    fn decoded(object: &str, fields: &[(&str, FieldDecoding)]) -> Option<String> {
        let fields: Vec<_> = fields
            .iter()
            .map(|(path, how)| match Path::parse(path).unwrap() {
                Path::Body(steps) => (steps, *how),
                other => panic!("{other:?}"),
            })
            .collect();
        decode(object, &fields)
    }

    #[test]
    fn json_and_base64_are_replaced_by_what_they_hold() {
        use FieldDecoding::{Base64, Json};
        let object =
            r#" {"a":1,"payload":"{\"n\":9007199254740993.10}","b":[{"c":"eyJ4Ijoi\nw6QifQ"}]}"#;
        let expected = r#" {"a":1,"payload":{"n":9007199254740993.10},"b":[{"c":{"x":"ä"}}]}"#;
        let fields = [("b[0].c", Base64), ("missing.x", Json), ("payload", Json)];
        assert_eq!(decoded(object, &fields).as_deref(), Some(expected));
        let read = |object: &str| decoded(object, &[("j", Json), ("b", Base64)]);
        let nan = read(r#"{"j":"{\"n\":NaN}"}"#);
        assert_eq!(nan.as_deref(), Some(r#"{"j":{"n":null}}"#));
        assert_eq!(read("{\"j\":\"\u{FEFF}[1] \"}").as_deref(), Some(r#"{"j":[1]}"#));
        // `{"n":NaN}` behind a mark, `{"u":"é"}` in Latin-1 and in UTF-16 without a mark.
        for (base64, wanted) in [
            ("77u/eyJuIjpOYU59", r#"{"b":{"n":null}}"#),
            ("eyJ1Ijoi6SJ9", r#"{"b":{"u":"é"}}"#),
            ("ewAiAHUAIgA6ACIA6QAiAH0A", r#"{"b":{"u":"é"}}"#),
        ] {
            assert_eq!(read(&format!("{{\"b\":\"{base64}\"}}")).as_deref(), Some(wanted));
        }
        assert_eq!(
            decoded(r#"{"t":"aGkgXCI"}"#, &[("t", Base64)]).as_deref(),
            Some(r#"{"t":"hi \\\""}"#)
        );
    }

    #[test]
    fn what_holds_something_else_stays_as_it_is() {
        use FieldDecoding::{Base64, Json};
        let fields = [("a", Json), ("b", Json), ("c", Base64)];
        assert_eq!(decoded(r#"{"a":"{no","b":{"x":1},"c":"%%%"}"#, &fields), None);
    }
}
