//! Values that identify nobody: the built-in list of garbage, and what is configured per type.

use super::settings::{Blocked, Normaliser};
use regex::{RegexSet, RegexSetBuilder};
use std::collections::HashSet;

/// What senders write where they know nobody, in lower case.
pub const GARBAGE: [&str; 18] = [
    "null",
    "nil",
    "none",
    "n/a",
    "nan",
    "undefined",
    "unknown",
    "not set",
    "anonymous",
    "guest",
    "true",
    "false",
    "0",
    "-1",
    "[object object]",
    "{}",
    "test@test.com",
    "",
];

/// Memory that the compiled expressions of one type may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Whether the built-in list blocks `text`, compared trimmed, without quotes, in lower case.
///
/// Only zeros and dashes, the all-zero UUID among them, are on it for every type; digits that are
/// all the same only for phone numbers.
pub fn is_builtin(normaliser: Normaliser, text: &str) -> bool {
    let bare = text.trim().trim_matches(['"', '\'']).trim();
    if bare.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        return true;
    }
    if normaliser == Normaliser::Phone && is_one_digit(bare) {
        return true;
    }
    // The longest entry has 15 bytes; longer texts are not worth a look, and only what is not ASCII
    // (such as the Kelvin sign, in lower case a k) is worth a copy.
    bare.len() <= 15
        && match bare.is_ascii() {
            true => GARBAGE.iter().any(|garbage| garbage.eq_ignore_ascii_case(bare)),
            false => GARBAGE.contains(&bare.to_lowercase().as_str()),
        }
}

fn is_one_digit(text: &str) -> bool {
    let mut digits =
        text.chars().filter(|ch| !matches!(ch, '+' | ' ' | '-' | '(' | ')' | '.' | '/'));
    let Some(first) = digits.next() else { return false };
    first.is_ascii_digit() && digits.all(|digit| digit == first)
}

/// What is configured as blocked for one type.
#[derive(Clone, Debug, Default)]
pub struct Blocklist {
    exact: HashSet<Box<str>>,
    prefix: Vec<Box<str>>,
    regex: Option<RegexSet>,
}

impl Blocklist {
    /// Compiles it. `canonical` brings the exact values to the form they are compared in; one that
    /// it cannot read is compared as written.
    ///
    /// # Errors
    /// Per wrong expression its place in `regex` and what is wrong with it.
    pub fn compile(
        blocked: &Blocked,
        canonical: impl Fn(&str) -> Option<Box<str>>,
    ) -> Result<Self, Vec<(usize, String)>> {
        let exact = blocked
            .exact
            .iter()
            .map(|value| canonical(value).unwrap_or_else(|| value.as_str().into()))
            .collect();
        let prefix = blocked.prefix.iter().map(|prefix| prefix.as_str().into()).collect();
        Ok(Self { exact, prefix, regex: expressions(&blocked.regex)? })
    }

    /// Whether a canonical value is blocked.
    pub fn blocks(&self, canonical: &str) -> bool {
        self.exact.contains(canonical)
            || self.prefix.iter().any(|prefix| canonical.starts_with(&**prefix))
            || self.regex.as_ref().is_some_and(|regex| regex.is_match(canonical))
    }
}

fn expressions(patterns: &[String]) -> Result<Option<RegexSet>, Vec<(usize, String)>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let build = |patterns: &[String]| {
        RegexSetBuilder::new(patterns).size_limit(REGEX_SIZE).build().map_err(|e| e.to_string())
    };
    let wrong: Vec<_> = patterns
        .iter()
        .enumerate()
        .filter_map(|(place, one)| Some((place, build(std::slice::from_ref(one)).err()?)))
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // Each alone is fine, so all that can be wrong together is their size.
    build(patterns).map(Some).map_err(|error| vec![(patterns.len() - 1, error)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_garbage_identifies_nobody() {
        for text in [
            "",
            "  ",
            "null",
            " NULL ",
            "\"null\"",
            "'undefined'",
            "N/A",
            "NaN",
            "Not Set",
            "[object Object]",
            "{}",
            "0",
            "000",
            "-",
            "--",
            "-1",
            "test@TEST.com",
            "00000000-0000-0000-0000-000000000000",
            "\"\"",
        ] {
            assert!(is_builtin(Normaliser::Trim, text), "{text:?}");
        }
        for text in ["1", "nobody", "10", "guest1", "111", "-2", "ann@test.com"] {
            assert!(!is_builtin(Normaliser::Trim, text), "{text:?}");
        }
        assert!(is_builtin(Normaliser::Phone, "+1 111-111-1111"));
        assert!(!is_builtin(Normaliser::Phone, "+1 111-111-1112"));
    }

    #[test]
    fn configured_values_are_compared_in_their_canonical_form() {
        let blocked = Blocked {
            exact: vec!["Office@Site.org".into()],
            prefix: vec!["noreply+".into()],
            regex: vec!["^bot[0-9]+@".into()],
        };
        let list = Blocklist::compile(&blocked, |value| Some(value.to_lowercase().into())).unwrap();
        for value in ["office@site.org", "noreply+7@x.y", "bot42@x.y"] {
            assert!(list.blocks(value), "{value}");
        }
        assert!(!list.blocks("robot42@x.y"));
    }

    #[test]
    fn a_wrong_or_huge_expression_is_named_by_its_place() {
        let compile = |regex: &[&str]| {
            let regex = regex.iter().map(|one| (*one).to_owned()).collect();
            Blocklist::compile(&Blocked { regex, ..Blocked::default() }, |_| None)
        };
        assert_eq!(compile(&["a", "("]).unwrap_err()[0].0, 1);
        assert_eq!(compile(&["\\w{5000}{50}"]).unwrap_err()[0].0, 0);
    }
}
