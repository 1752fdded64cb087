//! Bytes to characters, by what the sender declares: a byte order mark, else an encoding by its
//! label, else UTF-8, else windows-1252, in which every byte has a character. Encodings and labels
//! are those of the WHATWG Encoding Standard.

use bytes::Bytes;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// Characters, and whether a byte had none in the encoding that was declared: U+FFFD stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters<'b> {
    /// Without byte order marks.
    pub text: Cow<'b, str>,
    /// Whether something was replaced.
    pub is_lossy: bool,
}

/// The encoding of that label, where it is one that can be read.
pub fn named(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().trim_matches(['"', '\'']);
    Encoding::for_label(label.as_bytes()).filter(|known| *known != REPLACEMENT)
}

/// Decodes a text.
pub fn characters<'b>(bytes: &'b [u8], declared: Option<&'static Encoding>) -> Characters<'b> {
    let (marked, rest) = marked(bytes);
    let encoding = match marked.or(declared) {
        Some(encoding) => encoding,
        None if std::str::from_utf8(rest).is_ok() => UTF_8,
        None => WINDOWS_1252,
    };
    let (text, is_lossy) = encoding.decode_without_bom_handling(rest);
    Characters { text, is_lossy }
}

/// Decodes what nothing is declared of; every byte has a character.
pub fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => characters(bytes, None).text,
        Cow::Owned(bytes) => Cow::Owned(characters(&bytes, None).text.into_owned()),
    }
}

/// A whole body in UTF-8, and whether something was replaced; the same bytes where they are that
/// already.
pub fn whole(body: &Bytes, declared: Option<&'static Encoding>) -> (Bytes, bool) {
    let Characters { text, is_lossy } = characters(body, declared.or_else(|| wide(body)));
    match text {
        Cow::Borrowed(text) => (body.slice_ref(text.as_bytes()), is_lossy),
        Cow::Owned(text) => (text.into(), is_lossy),
    }
}

/// A body without the marks of UTF-8.
pub fn unmarked(body: &Bytes) -> Bytes {
    body.slice_ref(marked(body).1)
}

/// Whether what has a meaning in a form is one byte each, as in ASCII.
pub fn is_like_ascii(body: &[u8], declared: Option<&'static Encoding>) -> bool {
    marked(body).0.or(declared).is_none_or(Encoding::is_ascii_compatible)
}

/// JSON in UTF-16 that does not say so: its first character is one of ASCII.
fn wide(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, b'{' | b'[', ..] => Some(UTF_16BE),
        [b'{' | b'[', 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

/// The encoding that byte order marks name, and what stands behind all of them.
pub fn marked(bytes: &[u8]) -> (Option<&'static Encoding>, &[u8]) {
    let Some((encoding, _)) = Encoding::for_bom(bytes) else { return (None, bytes) };
    let mark: &[u8] = match encoding {
        known if known == UTF_16LE => b"\xFF\xFE",
        known if known == UTF_16BE => b"\xFE\xFF",
        _ => b"\xEF\xBB\xBF",
    };
    let mut rest = bytes;
    while let Some(behind) = rest.strip_prefix(mark) {
        rest = behind;
    }
    (Some(encoding), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], label: &str) -> (String, bool) {
        let Characters { text, is_lossy } = characters(bytes, named(label));
        (text.into_owned(), is_lossy)
    }

    #[test]
    fn what_is_declared_comes_first_then_utf_8_then_windows_1252() {
        let is = |text: &str| (text.to_owned(), false);
        assert_eq!(read(b"jos\xE9", ""), is("josé"));
        assert_eq!(read("josé".as_bytes(), ""), is("josé"));
        assert_eq!(read("josé".as_bytes(), "nonsense"), is("josé"));
        assert_eq!(read("é".as_bytes(), "latin1"), is("Ã©"));
        assert_eq!(read(b"\x80", "ISO-8859-1"), is("€"));
        assert_eq!(read(b"\xA4", "iso-8859-15"), is("€"));
        assert_eq!(read(b"\x93\xFA", "shift_jis"), is("日"));
        assert_eq!(read(b"\xC4\xE3", "\"gbk\""), is("你"));
        assert_eq!(read(b"\xFF\xFEa\0", "utf-8"), is("a"));
        assert_eq!(read(b"\xFE\xFF\0a", ""), is("a"));
        assert_eq!(read(b"\xEF\xBB\xBF\xEF\xBB\xBFa", ""), is("a"));
        assert_eq!(read(b"a\0", "utf-16"), is("a"));
        assert_eq!(read(b"a\xE9", "utf-8"), ("a\u{FFFD}".to_owned(), true));
        assert!(!read(b"\x81\x8D\x8F\x90\x9D", "").1);
        assert_eq!(named("iso-2022-kr"), None, "it is none that can be read");
    }

    proptest! {
        #[test]
        fn without_a_declaration_nothing_is_lost(
            bytes in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let (is_marked, rest) = marked(&bytes);
            let read = characters(&bytes, None);
            if is_marked.is_none() {
                prop_assert!(!read.is_lossy);
                let back = match std::str::from_utf8(rest) {
                    Ok(text) => text.as_bytes().to_vec(),
                    Err(_) => WINDOWS_1252.encode(&read.text).0.into_owned(),
                };
                prop_assert_eq!(back, bytes);
            }
        }
    }
}
