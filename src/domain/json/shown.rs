//! What a sender sent, in valid Unicode: half a surrogate pair is JSON by its grammar, and a text
//! that strict readers refuse.

use std::borrow::Cow;

/// An escape `\uXXXX`, in bytes.
const ESCAPE: usize = 6;

/// A checked JSON text as answers show it: each escape of a lone surrogate becomes that of U+FFFD,
/// all else stays as it is spelt.
pub fn shown(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut plain) = (0, 0);
    while let Some(next) = memchr::memchr(b'\\', bytes.get(at..).unwrap_or_default()) {
        at += next;
        let Some(unit) = unit(bytes, at) else {
            at += 2; // a short escape, such as the one of a backslash
            continue;
        };
        let pairs = matches!(unit, 0xD800..0xDC00) && unit_of_low(bytes, at + ESCAPE).is_some();
        if pairs {
            at += 2 * ESCAPE;
            continue;
        }
        if matches!(unit, 0xD800..0xE000) {
            // Escapes are ASCII, so both ends are between characters.
            out.push_str(text.get(plain..at).unwrap_or_default());
            out.push_str("\\ufffd");
            plain = at + ESCAPE;
        }
        at += ESCAPE;
    }
    match plain {
        0 => Cow::Borrowed(text),
        _ => {
            out.push_str(text.get(plain..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

/// The number of the escape `\uXXXX` that begins here.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + ESCAPE)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn unit_of_low(bytes: &[u8], at: usize) -> Option<u32> {
    unit(bytes, at).filter(|unit| matches!(unit, 0xDC00..0xE000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_pair_is_replaced_and_nothing_else_is_touched() {
        for (sent, wanted) in [
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\uD83D""#, r#""\ufffd""#),
            (r#""\ude00\ud83d\ude00\ud83d""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83dA\udc00""#, r#""\ufffdA\ufffd""#),
            (r#""\ud83d\n\udc00""#, r#""\ufffd\n\ufffd""#),
            (
                r#"{"\udead":["\\ud83d","\\\ud83d","ü\ud83dü"]}"#,
                r#"{"\ufffd":["\\ud83d","\\\ufffd","ü\ufffdü"]}"#,
            ),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
        ] {
            assert_eq!(shown(sent), wanted, "{sent}");
        }
        for plain in [r#""\ud83d\ude00 \u00e9 \" \\ \/""#, "12", r#"{"a":"b"}"#, "", "\\", "\"\\"] {
            assert!(matches!(shown(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    proptest! {
        #[test]
        fn strict_readers_read_whatever_is_shown(
            parts in prop::collection::vec(
                prop_oneof![
                    (0xD700u32..0xE100).prop_map(|unit| format!("\\u{unit:04x}")),
                    Just("\\\\".to_owned()),
                    Just("\\\"".to_owned()),
                    Just("ud83d".to_owned()),
                    "[a-zü]{0,2}",
                ],
                0..12,
            ),
        ) {
            let sent = format!("\"{}\"", parts.concat());
            let shown = shown(&sent);
            let read: String = serde_json::from_str(&shown).unwrap();
            let wanted = crate::domain::json::unquote(&sent).unwrap();
            prop_assert_eq!(read.as_str(), &*wanted);
        }

        #[test]
        fn any_text_at_all_does_no_harm(text in ".{0,40}|[\\\\ud83dDe\"]{0,30}") {
            let _ = shown(&text);
        }
    }
}
