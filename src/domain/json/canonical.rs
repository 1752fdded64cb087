//! Strings in and out of their literals, and the one spelling of a value.

use crate::domain::json::{elements, members, skip_space};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Containers inside each other beyond which [`canonical`] gives up, to bound its recursion.
const DEPTH: usize = 512;

/// The text of a string literal, quotes included; `None` for any other value.
///
/// Half a surrogate pair, which JSON's grammar allows and browsers send, becomes U+FFFD.
pub fn unquote(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(first) => Some(Cow::Owned(unescape(inner, first))),
    }
}

fn unescape(inner: &str, first: usize) -> String {
    let mut out = String::with_capacity(inner.len());
    let (plain, mut rest) = inner.split_at(first);
    out.push_str(plain);
    while let Some(after) = rest.strip_prefix('\\') {
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (ch, used) = unicode(after);
                out.push(ch);
                chars = after.get(used..).unwrap_or_default().chars();
            }
            Some(same) => out.push(same),
            None => break,
        }
        let tail = chars.as_str();
        let next = memchr::memchr(b'\\', tail.as_bytes()).unwrap_or(tail.len());
        let (plain, remainder) = tail.split_at(next);
        out.push_str(plain);
        rest = remainder;
    }
    out
}

/// The character of `uXXXX` or `uXXXX\uXXXX`, and how many bytes it took.
fn unicode(after: &str) -> (char, usize) {
    let unit = |from: usize| {
        after.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let replacement = char::REPLACEMENT_CHARACTER;
    match unit(1) {
        Some(high @ 0xD800..0xDC00) if after.get(5..7) == Some("\\u") => match unit(7) {
            Some(low @ 0xDC00..0xE000) => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(code).unwrap_or(replacement), 11)
            }
            _ => (replacement, 5),
        },
        Some(code) => (char::from_u32(code).unwrap_or(replacement), 5),
        None => (replacement, after.len()),
    }
}

/// Appends `text` as a string literal.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        if escape.is_empty() {
            out.push_str("\\u00");
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        } else {
            out.push_str(escape);
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The one spelling of a value: compact, keys sorted and each once (the last wins), strings with
/// the fewest escapes, numbers as they were spelt.
///
/// `None` when it is nested deeper than 512.
pub fn canonical(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let start = skip_space(text.as_bytes(), 0);
    write(text.get(start..)?, &mut out, DEPTH)?;
    Some(out)
}

fn write(value: &str, out: &mut String, depth: usize) -> Option<()> {
    let bytes = value.as_bytes();
    match bytes.first()? {
        b'{' => {
            let depth = depth.checked_sub(1)?;
            let sorted: BTreeMap<Cow<'_, str>, &str> = members(bytes, 0)
                .filter_map(|member| {
                    Some((unquote(value.get(member.key)?)?, value.get(member.value)?))
                })
                .collect();
            separated(out, ['{', '}'], sorted, |out, (key, value)| {
                quote(&key, out);
                out.push(':');
                write(value, out, depth)
            })
        }
        b'[' => {
            let depth = depth.checked_sub(1)?;
            let items = elements(bytes, 0).filter_map(|range| value.get(range));
            separated(out, ['[', ']'], items, |out, item| write(item, out, depth))
        }
        b'"' => {
            let end = crate::domain::json::skip_string(bytes, 0);
            quote(&unquote(value.get(..end)?)?, out);
            Some(())
        }
        _ => {
            out.push_str(value.trim_ascii_end());
            Some(())
        }
    }
}

fn separated<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut String, T) -> Option<()>,
) -> Option<()> {
    out.push(open);
    for (nth, item) in items.into_iter().enumerate() {
        if nth > 0 {
            out.push(',');
        }
        each(out, item)?;
    }
    out.push(close);
    Some(())
}
