//! What a value looks like, without what it says: enough to write a format for it, too little to
//! tell whose it is.

/// Longer shapes end in an ellipsis, in characters.
const LENGTH: usize = 60;

/// `9` for a digit, `a` and `A` for letters; punctuation and blanks stay, all else is `?`.
pub fn shape(text: &str) -> String {
    let of = |ch: char| match ch {
        _ if ch.is_numeric() => '9',
        _ if ch.is_uppercase() => 'A',
        _ if ch.is_alphabetic() => 'a',
        _ if ch.is_ascii_punctuation() => ch,
        _ if ch.is_whitespace() => ' ',
        _ => '?',
    };
    let mut shape: String = text.chars().take(LENGTH).map(of).collect();
    if text.chars().nth(LENGTH).is_some() {
        shape.push('\u{2026}');
    }
    shape
}

/// The same of a JSON value; of an object or a list only which of them it is.
pub fn shape_of_json(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'{') => "{}".to_owned(),
        Some(b'[') => "[]".to_owned(),
        _ => shape(&crate::domain::json::unquote(json).unwrap_or(json.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_shows_the_form_and_nothing_of_the_content() {
        assert_eq!(shape("01.03.2026 10:00"), "99.99.9999 99:99");
        assert_eq!(shape("Mar 1, 2026"), "Aaa 9, 9999");
        assert_eq!(shape("1\u{a0}März \u{1F600}\u{0}"), "9 Aaaa ??");
        assert_eq!(shape(&"x".repeat(61)), format!("{}\u{2026}", "a".repeat(60)));
        for (json, looks) in
            [("\"per\\u0068aps\"", "aaaaaaa"), ("{\"a\":1}", "{}"), ("[1]", "[]"), ("2.5", "9.9")]
        {
            assert_eq!(shape_of_json(json), looks, "{json}");
        }
    }
}
