//! JSON as bytes: moving over it, taking it apart and putting it together without a tree.
//!
//! [`check`] reads a text once and says whether it is JSON, how deep it is and how many keys it
//! has. Everything else here moves over texts that were checked; on any other text it stops early
//! or answers nonsense, but it neither panics nor reads outside of it nor recurses without bound.

mod canonical;
mod check;
mod shown;

pub use canonical::{canonical, quote, unquote};
pub use check::{Measure, Root, Syntax, check};
pub use shown::shown;

use std::borrow::Cow;
use std::ops::Range;

/// The first position at or after `at` that holds no JSON white space.
pub fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position after the string whose opening quote is at `at`.
pub fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(end) if rest[end] == b'"' => return at + end + 1,
            Some(escape) => at += escape + 2,
            None => return bytes.len(),
        }
    }
}

/// The position after the value that starts at `at`.
pub fn skip_value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at),
        Some(b'{' | b'[') => skip_container(bytes, at),
        _ => skip_scalar(bytes, at),
    }
}

fn skip_scalar(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
            break;
        }
        at += 1;
    }
    at
}

/// Counts brackets instead of recursing; in checked JSON they are balanced and of matching kinds.
fn skip_container(bytes: &[u8], mut at: usize) -> usize {
    let mut open = 0usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where its key is, quotes included.
    pub key: Range<usize>,
    /// Where its value is.
    pub value: Range<usize>,
}

/// The members of the object that starts at `at`; none when no object is there.
pub fn members(bytes: &[u8], at: usize) -> Members<'_> {
    let at = if bytes.get(at) == Some(&b'{') { at + 1 } else { bytes.len() };
    Members { bytes, at }
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Members<'_> {
    type Item = Member;

    #[inline]
    fn next(&mut self) -> Option<Member> {
        let at = next_item(self.bytes, &mut self.at)?;
        if self.bytes.get(at) != Some(&b'"') {
            self.at = self.bytes.len();
            return None;
        }
        let key = at..skip_string(self.bytes, at);
        let colon = skip_space(self.bytes, key.end);
        let start = skip_space(self.bytes, colon + 1);
        let value = start..skip_value(self.bytes, start);
        self.at = value.end;
        (!value.is_empty()).then_some(Member { key, value })
    }
}

/// Where the value of the member `name` is in the object that starts at `at`; of several the last.
pub fn member(text: &str, at: usize, name: &str) -> Option<Range<usize>> {
    let named =
        members(text.as_bytes(), at).filter(|member| text_of(text, member.key.clone()) == name);
    named.last().map(|member| member.value)
}

/// The elements of the array that starts at `at`, as ranges; none when no array is there.
pub fn elements(bytes: &[u8], at: usize) -> Elements<'_> {
    let at = if bytes.get(at) == Some(&b'[') { at + 1 } else { bytes.len() };
    Elements { bytes, at }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Elements<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        let start = next_item(self.bytes, &mut self.at)?;
        let value = start..skip_value(self.bytes, start);
        self.at = value.end;
        (!value.is_empty()).then_some(value)
    }
}

/// Moves over white space and commas to the next item; `None`, with `at` behind the closing
/// bracket, when there is no further one.
#[inline]
fn next_item(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut here = skip_space(bytes, *at);
    if bytes.get(here) == Some(&b',') {
        here = skip_space(bytes, here + 1);
    }
    match bytes.get(here) {
        Some(b'}' | b']') => {
            *at = here + 1;
            None
        }
        Some(_) => Some(here),
        None => {
            *at = bytes.len();
            None
        }
    }
}

/// The text of a string literal's range, or of any other value as it is spelt.
pub fn text_of(text: &str, range: Range<usize>) -> Cow<'_, str> {
    let raw = text.get(range).unwrap_or_default();
    unquote(raw).unwrap_or(Cow::Borrowed(raw))
}

#[cfg(test)]
mod tests;
