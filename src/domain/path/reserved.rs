//! Bare names in paths: what may stand in them without quotes.
//!
//! Whatever else somebody writes there (`$.user.id`, `a/b`, `first(a,b)`) comes from another
//! language, never matches, and may mean something here one day. So it is an error where a path is
//! written; one that was accepted once is read as it was.

use crate::domain::path::{PathError, bracket};

/// A hint to what somebody may have meant.
const DOLLAR: &str = "a name: `$.` is for other languages, leave it out";
const STAR: &str = "a name: every element of an array is `[*]`";
const QUOTED: &str = "letters, digits, _ - $ @ : # + in a bare name; anything else wants [\"…\"]";

/// Whether every bare name of a path is one.
///
/// # Errors
/// The first character that may not stand there.
pub fn check(text: &str) -> Result<(), PathError> {
    let error = |(at, expected)| PathError { path: text.to_owned(), at, expected };
    if !text.contains('{') {
        return names(text, 0).map_err(error);
    }
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')) {
        let inner = at + open + 1;
        let close = text[inner..].find('}').map_or(text.len(), |close| inner + close);
        names(&text[inner..close], inner).map_err(error)?;
        at = close;
    }
    Ok(())
}

fn names(text: &str, offset: usize) -> Result<(), (usize, &'static str)> {
    let offset = offset + (text.len() - text.trim_start().len());
    let text = text.trim();
    if text.starts_with("header:") || text.starts_with("query:") {
        return Ok(());
    }
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(inner) = rest.strip_prefix('[') {
            // A bracket that is none is another error, told by the one who reads the path.
            let Ok((_, used)) = bracket(inner) else { return Ok(()) };
            at += 1 + used;
            continue;
        }
        let name = rest.strip_prefix('.').unwrap_or(rest);
        let start = at + (rest.len() - name.len());
        let end = name.find(['.', '[', ']', '}']).unwrap_or(name.len());
        let name = &name[..end];
        if start == 0 && name == "$" {
            return Err((offset, DOLLAR));
        }
        if let Some((place, found)) = name.char_indices().find(|(_, found)| !is_plain(*found)) {
            let hint = if found == '*' { STAR } else { QUOTED };
            return Err((offset + start + place, hint));
        }
        if end == 0 && start == at {
            return Ok(()); // `]` or `}`: likewise
        }
        at = start + end;
    }
    Ok(())
}

fn is_plain(found: char) -> bool {
    found.is_alphanumeric() || matches!(found, '_' | '-' | '$' | '@' | ':' | '#' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::path::Path;
    use proptest::prelude::*;

    #[test]
    fn what_other_languages_write_is_refused_with_a_hint() {
        for (text, at, hint) in [
            ("$.user.id", 0, "leave it out"),
            ("{$.user.id}/{b}", 1, "leave it out"),
            ("a/b", 1, "wants [\"…\"]"),
            ("user.first name", 10, "wants"),
            ("first(a,b)", 5, "wants"),
            ("a | lower", 1, "wants"),
            ("**.email", 0, "[*]"),
            ("items.*.id", 6, "[*]"),
            ("'x'", 0, "wants"),
            ("a.b;c", 3, "wants"),
            ("x/{a.b?}", 6, "wants"),
            ("items[0].a=b", 10, "wants"),
        ] {
            let error = check(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.expected.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_language_says_is_let_through() {
        for text in [
            "user.id",
            " user.id ",
            "$set.email",
            "a-b_c.@type",
            "urn:x#y+z",
            "größe.имя",
            "items[0].id",
            "items[*].id",
            "[\"odd / key\"].id",
            "a[\"b.c*\"]",
            "header:X-Odd/Name",
            "query:a b",
            "event_type",
            "{portalId}/{objectId}",
            "x y/{a}-{header:B c}",
            "a.$",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert!(Path::parse(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in ".{0,30}|[a.\\[\\]{}*$\"0 ]{0,20}") {
            let _ = check(&text);
        }
    }
}
