//! Names in requests and settings: of event types, sessions, sources, objects.

use crate::domain::unseen;

/// The longest event type, session id and source id that is taken, in characters.
pub const NAME_CHARS: usize = 200;

/// A name out of a URL or a payload, without what nobody sees at its ends; `None` when it is empty, longer than
/// [`NAME_CHARS`] or holds a control character.
pub fn name(text: &str) -> Option<&str> {
    let text = unseen::visible(text);
    let fits = !text.is_empty()
        && text.chars().take(NAME_CHARS + 1).count() <= NAME_CHARS
        && !text.contains(char::is_control);
    fits.then_some(text)
}

/// An event type as it is kept: a [`name`] in lower case with blanks as `-`.
pub fn event_type(text: &str) -> Option<String> {
    let lower = name(text)?.to_lowercase().replace(char::is_whitespace, "-");
    // Lower case can be longer.
    name(&lower).map(str::to_owned)
}

/// Whether `text` can be the id of a source or a point, or the name of an identifier type.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'_' | b'-'))
}

/// Whether `text` can be the name of a trait: 1 to 200 bytes, not blank, no control characters.
pub fn is_trait_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 200 && !text.contains(char::is_control)
}
