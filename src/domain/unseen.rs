//! What nobody sees of a text: the one list of characters without width or shape.

use std::borrow::Cow;

/// Characters without width or shape: soft hyphen, zero-width ones and marks of direction, the
/// embeddings and isolates that address books put around what they copy, the byte order mark.
pub fn is_unseen(ch: char) -> bool {
    matches!(
        ch,
        '\u{AD}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'
            | '\u{2066}'..='\u{2069}'
            | '\u{FEFF}'
    )
}

/// The text without blanks, controls and characters without width at its ends.
pub fn visible(text: &str) -> &str {
    text.trim_matches(|ch: char| ch.is_whitespace() || ch.is_control() || is_unseen(ch))
}

/// The text without characters that have no width, wherever they stand: for what has none inside.
pub fn seen(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true => text.into(),
        false => text.chars().filter(|ch| !is_unseen(*ch)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_at_either_end_is_left_out() {
        let listed = ['\u{FEFF}', '\u{2060}', '\u{AD}', '\0', '\t', '\n', '\r', '\u{7F}', '\u{85}'];
        let ranges = ('\u{200B}'..='\u{200F}').chain('\u{202A}'..='\u{202E}');
        for ch in listed.into_iter().chain(ranges).chain('\u{2066}'..='\u{2069}') {
            assert_eq!(visible(&format!("{ch}U{ch}1{ch}{ch}")), format!("U{ch}1"), "{ch:?}");
            assert_eq!(visible(&ch.to_string()), "", "{ch:?}");
        }
        assert_eq!(seen("\u{202A}a\u{AD}b\u{202C}"), "ab");
        assert_eq!(visible("a\u{301}"), "a\u{301}");
    }
}
