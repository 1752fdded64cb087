//! Values that identify nobody: the built-in list of garbage, and what is configured per type.

use crate::domain::normalise::national;
use crate::domain::settings::{Blocked, Normaliser};
use crate::domain::unseen::visible;
use regex::{RegexSet, RegexSetBuilder};
use std::collections::HashSet;

/// What senders write where they know nobody, in lower case.
pub const GARBAGE: [&str; 30] = [
    "",
    "null",
    "nil",
    "none",
    "n/a",
    "na",
    "nan",
    "undefined",
    "unknown",
    "not set",
    "not_set",
    "anonymous",
    "guest",
    "true",
    "false",
    "0",
    "0.0",
    "-1",
    "object object",
    "[]",
    "{}",
    "redacted",
    "id",
    "user_id",
    "userid",
    "distinct_id",
    "distinctid",
    "not_authenticated",
    "test@test.com",
    "00000000-0000-0000-0000-000000000000",
];

/// The longest entry of [`GARBAGE`] but for the UUID, which consists of zeros and dashes, in bytes.
const LONGEST: usize = 17;

/// Memory that the compiled expressions of one type may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// What a program writes for nothing, in lower case: no word of anybody's.
const NO_WORDS: [&str; 6] = ["undefined", "null", "nil", "none", "nan", "object object"];

/// What may stand around a value as its quotes.
const QUOTES: [char; 3] = ['"', '\'', '`'];

/// How a template begins and ends that was not filled in.
const TEMPLATES: [(&str, &str); 6] =
    [("{{", "}}"), ("${", "}"), ("*|", "|*"), ("%%", "%%"), ("<%", "%>"), ("[[", "]]")];

/// Whether `text` is no word of anybody's: blank, `undefined` and its like, or a template that was
/// not filled in. It is what counts as absent where `0`, `true` or `unknown` may rightly stand.
pub fn is_no_word(text: &str) -> bool {
    let is_none = |bare: &str| {
        bare.is_empty()
            || NO_WORDS.iter().any(|word| word.eq_ignore_ascii_case(bare))
            || is_template(bare)
    };
    is_none(bare(text)) || is_several(text, &is_none)
}

/// A template may stand anywhere in the text: `order-{{id}}` is no order.
fn is_template(text: &str) -> bool {
    let is_open = |(open, close): &(&str, &str)| {
        text.split_once(open).is_some_and(|(_, rest)| rest.contains(close))
    };
    TEMPLATES.iter().any(is_open)
}

/// The text without what is around it: blanks, characters without width or shape, quotes, one pair
/// of brackets.
fn bare(text: &str) -> &str {
    let bare = visible(text).trim_matches(QUOTES);
    let bare = visible(bare);
    let pair = |open: char, close: char| bare.strip_prefix(open)?.strip_suffix(close);
    let inner = pair('[', ']')
        .or_else(|| pair('(', ')'))
        .or_else(|| pair('<', '>'))
        .or_else(|| pair('{', '}'));
    match inner {
        // `[[id]]` is a template, and `[]` is on the list as it is.
        Some(inner) if !is_template(bare) && !inner.is_empty() => {
            visible(visible(inner).trim_matches(QUOTES))
        }
        _ => bare,
    }
}

/// Whether the built-in list says that `text` identifies nobody and names nothing: compared
/// without quotes, one pair of brackets and what nobody sees around it, in lower case.
///
/// Beside the list: only zeros and dashes, a text of nothing but words of the list, a template that
/// was not filled in, and, for phone numbers, digits that are all the same, with or without the
/// country's before them.
pub fn is_builtin(normaliser: Normaliser, text: &str) -> bool {
    says_nothing(text) || (normaliser == Normaliser::Phone && is_one_digit(bare(text)))
}

/// The same for what is no phone number: event ids, sessions, tenants.
pub fn says_nothing(text: &str) -> bool {
    is_nothing(bare(text)) || is_several(text, &is_nothing)
}

/// Whether a text, without what is around it, is on the list.
fn is_nothing(bare: &str) -> bool {
    // `0.00` is no more than `0`.
    let is_zero = bare.bytes().all(|byte| matches!(byte, b'0' | b'-' | b'.'))
        && (bare.contains('0') || !bare.contains('.'));
    is_zero || is_template(bare) || is_word(bare)
}

/// Whether a text is a list of nothing but words of the list that `is_nothing` asks. A long text is
/// no list of such words.
fn is_several(text: &str, is_nothing: &impl Fn(&str) -> bool) -> bool {
    let is_split = |ch: char| ch.is_whitespace() || matches!(ch, ',' | ';' | '|');
    text.len() <= 16 * LONGEST
        && text.contains(is_split)
        && text.split([',', ';', '|']).all(|part| {
            is_nothing(bare(part))
                || is_of_words(part, is_nothing)
                || is_of_words(bare(part), is_nothing)
        })
}

/// Whether a text consists of nothing but words of the list, of which some are two (`not set`).
fn is_of_words(text: &str, is_nothing: &impl Fn(&str) -> bool) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut left = words.as_slice();
    while let Some((first, rest)) = left.split_first() {
        let is_pair = |second: &&str| is_nothing(bare(&format!("{first} {second}")));
        left = match rest.split_first() {
            _ if is_nothing(bare(first)) => rest,
            Some((second, rest)) if is_pair(second) => rest,
            _ => return false,
        };
    }
    true
}

/// Longer texts are not worth a look, and only what is not ASCII (such as the Kelvin sign, in lower
/// case a k) is worth a copy.
fn is_word(text: &str) -> bool {
    text.len() <= LONGEST
        && match text.is_ascii() {
            true => GARBAGE.iter().any(|garbage| garbage.eq_ignore_ascii_case(text)),
            false => GARBAGE.contains(&text.to_lowercase().as_str()),
        }
}

fn is_one_digit(text: &str) -> bool {
    let mut digits =
        text.chars().filter(|ch| !matches!(ch, '+' | ' ' | '-' | '(' | ')' | '.' | '/'));
    let Some(first) = digits.next() else { return false };
    (first.is_ascii_digit() && digits.all(|digit| digit == first)) || is_one_digit_abroad(text)
}

/// Digits that are all the same behind the country's, in a number as E.164 spells it.
fn is_one_digit_abroad(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+').map(str::as_bytes) else { return false };
    // The country is only looked for where the end of the number is one digit.
    let is_one = |digits: &[u8]| digits.windows(2).all(|pair| pair[0] == pair[1]);
    let end = digits.len().checked_sub(NATIONAL_DIGITS).map(|from| &digits[from..]);
    end.is_some_and(|end| end[0].is_ascii_digit() && is_one(end))
        && national(&text[1..])
            .is_some_and(|rest| rest.len() >= NATIONAL_DIGITS && is_one(rest.as_bytes()))
}

/// A number of fewer digits behind its country's may be anything.
const NATIONAL_DIGITS: usize = 7;

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
            "[REDACTED]",
            "(none)",
            "null null",
            "undefined, undefined",
            "\u{FEFF}null\u{200B}",
            "{{user.id}}",
            "${id}",
            "*|EMAIL|*",
            "%%id%%",
            "<%= id %>",
            "[[id]]",
            "order-{{id}}",
            "0.0",
            "0.00",
            "000-000",
            "[\"undefined\"]",
            "[object Object],[object Object]",
            "not set not set",
            "(not set) (none)",
            "null - null",
            "null|0",
            "0 0",
            ",",
        ] {
            assert!(is_builtin(Normaliser::Trim, text), "{text:?}");
        }
        for text in [
            "1",
            "nobody",
            "10",
            "guest1",
            "111",
            "-2",
            "ann@test.com",
            "null 7",
            "not",
            "set",
            "object",
            "U1,null",
            "not set up",
        ] {
            assert!(!is_builtin(Normaliser::Trim, text), "{text:?}");
        }
        assert!(is_builtin(Normaliser::Phone, "+1 111-111-1111"));
        assert!(!is_builtin(Normaliser::Phone, "+1 111-111-1112"));
        for text in ["+15555555555", "+447777777777", "+353999999999"] {
            assert!(is_builtin(Normaliser::Phone, text), "{text}");
        }
        for text in ["+12111111111", "+4477777", "+447777777778", "+é"] {
            assert!(!is_builtin(Normaliser::Phone, text), "{text}");
        }
    }

    #[test]
    fn every_value_of_the_list_is_blocked_in_every_spelling() {
        for word in GARBAGE {
            for text in [
                word.to_owned(),
                format!(" {} ", word.to_uppercase()),
                format!("'{word}'"),
                format!("[{word}]"),
            ] {
                assert!(says_nothing(&text), "{text:?}");
            }
        }
        for word in [
            "undefined",
            "NULL",
            " none ",
            "{{x}}",
            "",
            "[object Object]",
            "undefined undefined",
            "null, null",
            "[object Object] {{x}}",
        ] {
            assert!(is_no_word(word), "{word:?}");
        }
        for word in ["true", "0", "unknown", "guest", "-1", "id", "null 0", "true null"] {
            assert!(!is_no_word(word), "{word:?}");
        }
    }

    #[test]
    fn what_nobody_sees_at_either_end_is_left_out() {
        for ch in ['\u{FEFF}', '\u{200B}', '\u{2060}', '\u{202C}', '\0', '\u{85}'] {
            assert!(says_nothing(&format!("{ch}null{ch}")), "{ch:?}");
            assert!(says_nothing(&ch.to_string()), "{ch:?}");
        }
    }

    #[test]
    fn every_template_that_was_not_filled_in_is_no_word() {
        for (open, close) in TEMPLATES {
            for text in [format!("{open}id{close}"), format!(" a-{open} user.id {close}/b ")] {
                assert!(is_no_word(&text) && says_nothing(&text), "{text:?}");
            }
            assert!(!says_nothing(&format!("a{open}")), "{open}");
        }
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
