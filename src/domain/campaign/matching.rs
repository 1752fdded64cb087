//! What conditions compare values with, compiled so that no payload makes a comparison slow: lists
//! as sets, globs in linear time, expressions over a bounded text; and how far conditions look.

use crate::domain::fold::number;
use crate::domain::path::read::scalar;
use bigdecimal::num_bigint::BigInt;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::cell::Cell;
use std::collections::HashSet;

/// Bytes that a compiled expression may take.
const REGEX_SIZE: usize = 1 << 20;
/// The least size that an expression is taken for; smaller ones are not told apart.
const REGEX_LEAST: usize = 1 << 14;
/// Size of an expression times bytes of text that it is tried on: what bounds the time of a test,
/// as an expression takes at worst time in proportion to both.
const REGEX_WORK: usize = 1 << 30;

/// Characters that globs with a `?` behind a `*` compare in one test; all else takes one pass.
const GLOB_WORK: usize = 1 << 24;

/// How far the conditions of one question look, and whether something lay beyond.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Elements of arrays that one condition looks at.
    pub(super) elements: usize,
    is_cut: Cell<bool>,
    /// Bytes of text beyond which an expression did not look.
    is_text_cut: Cell<bool>,
}

impl Reach {
    pub(super) fn new(elements: usize) -> Self {
        Self { elements, is_cut: Cell::new(false), is_text_cut: Cell::new(false) }
    }

    /// Notes that elements lay beyond.
    pub(super) fn cut(&self) {
        self.is_cut.set(true);
    }

    /// Whether anything lay beyond.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.get() || self.is_text_cut.get()
    }

    /// In words, what was not looked at.
    pub(super) fn told(&self) -> Option<String> {
        if self.is_cut.get() {
            let elements = self.elements;
            return Some(format!(
                "only the first {elements} elements were looked at (limits.condition_elements)"
            ));
        }
        let sentence = "only the beginning of the text was looked at, as the expression is costly";
        self.is_text_cut.get().then(|| sentence.to_owned())
    }
}

/// The scalars that a value may be one of, or none of.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    texts: HashSet<Box<str>>,
    numbers: HashSet<Decimal>,
}

impl Listed {
    /// Adds a scalar; returns whether it is one.
    pub(super) fn add(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) => {
                self.texts.insert(text.trim().into());
            }
            Value::Number(_) | Value::Bool(_) => {
                let text = value.to_string();
                self.numbers.extend(Decimal::of(&text));
                self.texts.insert(text.into());
            }
            _ => return false,
        }
        true
    }

    /// Whether a JSON spelling stands for one of them: as the same text, or as the same number.
    pub(super) fn has(&self, spelling: &str) -> bool {
        let Some(text) = scalar(spelling) else { return false };
        self.texts.contains(&*text)
            || (!self.numbers.is_empty()
                && Decimal::of(spelling).is_some_and(|number| self.numbers.contains(&number)))
    }
}

/// A number in the one form that equal numbers share: no zeros at the end of its digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Decimal {
    /// Digits that fit, and the power of ten that they are divided by.
    Short(i64, i64),
    /// More digits.
    Long(BigInt, i64),
}

impl Decimal {
    /// The number of a JSON number, or of a text that holds one.
    fn of(spelling: &str) -> Option<Self> {
        // The whole numbers of almost all payloads, without arithmetic of any size.
        let text = spelling.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = text.unwrap_or(spelling);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_short = (1..=18).contains(&digits.len());
        if is_short && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self::whole);
        }
        let (digits, scale) = number(spelling)?.normalized().into_bigint_and_exponent();
        Some(match i64::try_from(&digits) {
            Ok(digits) => Self::Short(digits, scale),
            Err(_) => Self::Long(digits, scale),
        })
    }

    fn whole(mut digits: i64) -> Self {
        let mut scale = 0;
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        Self::Short(digits, scale)
    }
}

/// An expression with the bytes of text that it is tried on: the larger it is, the fewer.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    reach: usize,
}

impl Pattern {
    /// Compiles an expression.
    pub(super) fn new(expression: &str) -> Result<Self, regex::Error> {
        let mut size = REGEX_LEAST;
        loop {
            match RegexBuilder::new(expression).size_limit(size).build() {
                Ok(regex) => return Ok(Self { regex, reach: REGEX_WORK / size }),
                Err(regex::Error::CompiledTooBig(_)) if size < REGEX_SIZE => size *= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes of text that one test looks at, of all values together.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Whether it is found in a text, of which it looks at no more than is `left`.
    pub(super) fn fits(&self, text: &str, left: &mut usize, reach: &Reach) -> bool {
        let end = if text.len() <= *left { text.len() } else { text.floor_char_boundary(*left) };
        if end < text.len() {
            reach.is_text_cut.set(true);
        }
        *left -= end;
        (end > 0 || text.is_empty()) && self.regex.is_match(&text[..end])
    }
}

/// A glob: `*` for any characters, `?` for one.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// What stands between the stars; at least one.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Without a `?`.
    Plain(Box<str>),
    /// `None` stands for any character.
    Mixed(Box<[Option<char>]>),
}

impl Glob {
    /// Reads a pattern; every text is one.
    pub(super) fn new(pattern: &str) -> Self {
        let part = |text: &str| match text.contains('?') {
            true => Part::Mixed(text.chars().map(|ch| (ch != '?').then_some(ch)).collect()),
            false => Part::Plain(text.into()),
        };
        Self { parts: pattern.split('*').map(part).collect() }
    }

    /// Characters that one test may compare, of all values together.
    pub(super) fn reach() -> usize {
        GLOB_WORK
    }

    /// Whether a whole text is like it. Each part between stars is looked for once, from where the
    /// one before it was first found: an earlier place never spoils what comes later.
    pub(super) fn fits(&self, text: &str, left: &mut usize, reach: &Reach) -> bool {
        let [first, inner @ .., last] = self.parts.as_slice() else {
            let only = self.parts.first().and_then(|part| part.starts(text));
            return only == Some(text.len());
        };
        let Some(mut at) = first.starts(text) else { return false };
        for part in inner {
            let Some(end) = part.find(&text[at..], left, reach) else { return false };
            at += end;
        }
        last.ends(&text[at..])
    }
}

impl Part {
    /// Where it ends, if the text starts with it.
    fn starts(&self, text: &str) -> Option<usize> {
        match self {
            Self::Plain(part) => text.starts_with(&**part).then_some(part.len()),
            Self::Mixed(part) => {
                let mut chars = text.chars();
                let fits = part.iter().all(|wanted| is_like(*wanted, chars.next()));
                fits.then(|| text.len() - chars.as_str().len())
            }
        }
    }

    /// Where it ends, at the first place where it is found.
    fn find(&self, text: &str, left: &mut usize, reach: &Reach) -> Option<usize> {
        match self {
            Self::Plain(part) => text.find(&**part).map(|at| at + part.len()),
            Self::Mixed(part) => {
                for (at, _) in text.char_indices() {
                    if *left < part.len() {
                        reach.is_text_cut.set(true);
                        return None;
                    }
                    *left -= part.len();
                    if let Some(end) = self.starts(&text[at..]) {
                        return Some(at + end);
                    }
                }
                None
            }
        }
    }

    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Plain(part) => text.ends_with(&**part),
            Self::Mixed(part) => {
                let mut chars = text.chars().rev();
                part.iter().rev().all(|wanted| is_like(*wanted, chars.next()))
            }
        }
    }
}

fn is_like(wanted: Option<char>, found: Option<char>) -> bool {
    found.is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn listed(values: &[Value]) -> Listed {
        let mut all = Listed::default();
        assert!(values.iter().all(|value| all.add(value)));
        all
    }

    fn is_like(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).fits(text, &mut Glob::reach(), &Reach::new(1))
    }

    #[test]
    fn numbers_are_one_whatever_their_spelling() {
        let all = listed(&serde_json::from_str::<Vec<Value>>("[1500, 0.5, -3, true]").unwrap());
        let long: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        for spelling in [
            "1500",
            "1.5e3",
            "\"1500.00\"",
            "\" +1500 \"",
            "001500",
            "0.50",
            "5e-1",
            "-3.0",
            "true",
        ] {
            assert!(all.has(spelling), "{spelling}");
        }
        for spelling in ["1501", "\"15OO\"", "3", "null", "\"\"", "[1500]", "false", "1500x"] {
            assert!(!all.has(spelling), "{spelling}");
        }
        let one = listed(&[long]);
        assert!(one.has("1234567890123456789012345678900e-1"));
        assert!(!one.has("123456789012345678901234567891"));
        // A text in a list is a text: only its own spelling is the same.
        let text = listed(&[Value::from("7")]);
        assert!(text.has("7") && text.has("\"7\"") && !text.has("7.0"));
    }

    #[test]
    fn what_one_event_can_hold_is_compared_in_no_time() {
        let began = Instant::now();
        let wanted: Vec<Value> = (0..5_000).map(|n| Value::from(n * 2 + 1)).collect();
        let all = listed(&wanted);
        assert!(!(0..200_000).any(|n: u32| all.has(&(n * 2).to_string())));
        let text = "a".repeat(1 << 20);
        let reach = Reach::new(1);
        for pattern in ["*a*a*a*a*b", &format!("*{}?b*", "a".repeat(5_000)), "*?a?b?c*"] {
            assert!(!Glob::new(pattern).fits(&text, &mut Glob::reach(), &reach), "{pattern}");
        }
        for expression in ["(a?){40}a{40}b", "(?:a|aa){1,500}b$", r"(\w{1,90}){1,9}!"] {
            let Ok(pattern) = Pattern::new(expression) else { continue };
            assert!(!pattern.fits(&text, &mut pattern.reach(), &reach), "{expression}");
        }
        assert!(reach.told().is_some());
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn a_glob_is_the_expression_that_it_stands_for(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let mut expression = String::from("(?s)^");
            for ch in pattern.chars() {
                match ch {
                    '*' => expression.push_str(".*"),
                    '?' => expression.push('.'),
                    other => expression.push(other),
                }
            }
            expression.push('$');
            let regex = Regex::new(&expression).unwrap();
            prop_assert_eq!(is_like(&pattern, &text), regex.is_match(&text));
        }

        #[test]
        fn sets_find_what_comparing_one_by_one_finds(
            wanted in prop::collection::vec((-200i32..200, 0i32..3), 1..6),
            seen in (-200i32..200, 0i32..3),
        ) {
            let spelt = |(digits, scale): &(i32, i32)| format!("{digits}e-{scale}");
            let values: Vec<Value> =
                wanted.iter().map(|one| serde_json::from_str(&spelt(one)).unwrap()).collect();
            let one_by_one = values.iter().any(|value| number(&value.to_string()) == number(&spelt(&seen)));
            prop_assert_eq!(listed(&values).has(&spelt(&seen)), one_by_one);
        }
    }
}
