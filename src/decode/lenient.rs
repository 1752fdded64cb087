//! What senders write as JSON that is none: Python's `NaN`, `Infinity` and `-Infinity`, read as null.

use crate::domain::json;
use bytes::Bytes;

const NAMES: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The body with null in the place of numbers that are none, where it is JSON with them; else as it
/// is. With `by_line`, each line is looked at by itself.
pub(super) fn without_nan(body: Bytes, by_line: bool) -> Bytes {
    let is_there = |name: &[u8]| memchr::memmem::find(&body, name).is_some();
    if !is_there(b"NaN") && !is_there(b"Infinity") {
        return body;
    }
    if !by_line {
        return replaced(&body).map_or(body, Bytes::from);
    }
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| replaced(line).unwrap_or_else(|| line.to_vec()));
    lines.collect::<Vec<_>>().join(&b'\n').into()
}

/// `None` of what is JSON already, or is none afterwards either.
fn replaced(text: &[u8]) -> Option<Vec<u8>> {
    let is_json =
        |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| json::check(text).is_ok());
    if is_json(text) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut is_text = false;
    while let Some(byte) = text.get(at) {
        let name = NAMES.into_iter().find(|name| !is_text && text[at..].starts_with(name));
        match (name, byte) {
            (Some(name), _) => {
                out.extend_from_slice(b"null");
                at += name.len();
                continue;
            }
            (None, b'\\') if is_text => {
                out.push(b'\\');
                out.extend(text.get(at + 1));
                at += 2;
                continue;
            }
            (None, b'"') => is_text = !is_text,
            (None, _) => {}
        }
        out.push(*byte);
        at += 1;
    }
    is_json(&out).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, by_line: bool) -> String {
        String::from_utf8(without_nan(Bytes::copy_from_slice(text.as_bytes()), by_line).to_vec())
            .unwrap()
    }

    #[test]
    fn numbers_that_are_none_are_null_and_texts_stay() {
        assert_eq!(
            read(r#"{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN \" Infinity"}"#, false),
            r#"{"a":null,"b":[null,null],"c":"NaN \" Infinity"}"#
        );
        for same in [r#"{"a":"NaN"}"#, "a=NaN", r#"{"NaN":"#, r#"{"a":NaNa}"#] {
            assert_eq!(read(same, false), same);
        }
        assert_eq!(
            read("{\"a\":NaN}\n{\"b\":\n[Infinity]\n", true),
            "{\"a\":null}\n{\"b\":\n[null]\n"
        );
    }
}
