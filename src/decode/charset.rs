//! Bytes to characters, by what the sender declares: a byte order mark, else an encoding by its
//! label, else UTF-8, else windows-1252, in which every byte has a character. Encodings and labels
//! are those of the WHATWG Encoding Standard.

use bytes::Bytes;
use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
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
    let (encoding, rest) = encoding_of(bytes, declared);
    let (text, is_lossy) = encoding.decode_without_bom_handling(rest);
    Characters { text, is_lossy }
}

/// The encoding in which a text is read, and what of it stands behind byte order marks.
fn encoding_of<'b>(
    bytes: &'b [u8],
    declared: Option<&'static Encoding>,
) -> (&'static Encoding, &'b [u8]) {
    let (marked, rest) = marked(bytes);
    let encoding = match marked.or(declared) {
        Some(encoding) => encoding,
        None if std::str::from_utf8(rest).is_ok() => UTF_8,
        None => WINDOWS_1252,
    };
    (encoding, rest)
}

/// Decodes a name or a value of a form, of which the encoding of the whole is declared. A form
/// spells what has a meaning in it in ASCII; so what is UTF-8 and has no NUL is no UTF-16.
pub fn part<'b>(bytes: &'b [u8], declared: Option<&'static Encoding>) -> Characters<'b> {
    let may_be = |known: &&'static Encoding| {
        !is_wide(known) || bytes.contains(&0) || std::str::from_utf8(bytes).is_err()
    };
    characters(bytes, declared.filter(may_be))
}

/// Decodes what nothing can be declared of, such as a part of a path; every byte has a character. So
/// what looks like a byte order mark is one only where the rest follows it.
pub fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    fn read(bytes: &[u8]) -> Cow<'_, str> {
        match characters(bytes, None) {
            Characters { is_lossy: true, .. } => characters_of(bytes, WINDOWS_1252),
            Characters { text, .. } => text,
        }
    }
    match bytes {
        Cow::Borrowed(bytes) => read(bytes),
        Cow::Owned(bytes) => Cow::Owned(read(&bytes).into_owned()),
    }
}

fn characters_of<'b>(bytes: &'b [u8], encoding: &'static Encoding) -> Cow<'b, str> {
    encoding.decode_without_bom_handling(bytes).0
}

fn is_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// A whole body in UTF-8.
pub struct Whole {
    /// The same bytes where they are that already.
    pub text: Bytes,
    /// Whether something was replaced.
    pub is_lossy: bool,
    /// In which it was read.
    pub encoding: &'static Encoding,
    /// How many bytes of byte order marks stood before it.
    pub skip: usize,
}

/// Decodes a whole body.
pub fn whole(body: &Bytes, declared: Option<&'static Encoding>) -> Whole {
    let (encoding, rest) = encoding_of(body, declared.or_else(|| wide(body)));
    let (text, is_lossy) = encoding.decode_without_bom_handling(rest);
    let text = match text {
        Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    };
    Whole { text, is_lossy, encoding, skip: body.len() - rest.len() }
}

/// A form without the marks of UTF-8, and the encoding that they or the sender declare for its
/// parts; `None` where what has a meaning in it is not one byte each, as in ASCII, so that it is to
/// be decoded as a whole.
pub fn of_parts(
    body: &Bytes,
    declared: Option<&'static Encoding>,
    is_multipart: bool,
) -> Option<(Bytes, Option<&'static Encoding>)> {
    let (marked, rest) = marked(body);
    let is_as_ascii = match marked.or(declared) {
        Some(known) if marked.is_some() => !is_wide(known),
        // Boundaries are ASCII, whatever the encoding of what is between them.
        _ if is_multipart => !matches!(rest, [b'-', 0, ..] | [0, b'-', ..]),
        Some(known) if is_wide(known) => !rest.contains(&0),
        // Behind an escape, two bytes of ASCII are a character.
        Some(known) if known == ISO_2022_JP => !rest.contains(&0x1b),
        _ => true,
    };
    is_as_ascii.then(|| (body.slice_ref(rest), marked.or(declared)))
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
        let wide = named("utf-16le");
        assert_eq!(part(b"name", wide).text, "name");
        assert_eq!(part("é".as_bytes(), wide).text, "é");
        assert_eq!(part(b"\xE9\0", wide).text, "é");
        assert_eq!(part(b"\xE5\x65\x2C\x67", wide).text, "日本");
        assert!(part(b"\xE9\0a", wide).is_lossy);
        for (path, is) in [
            (&b"jos\xE9"[..], "josé"),
            (b"\xEF\xBB\xBF\xE9", "ï»¿é"),
            (b"\xEF\xBB\xBFa", "a"),
            (b"\xFF\xFEa", "ÿþa"),
        ] {
            assert_eq!(text(Cow::Borrowed(path)), is);
        }
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
