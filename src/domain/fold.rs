//! How a trait's values from many events become one: a fold per rule, each independent of order.
//!
//! A [`Cell`] holds what one fragment knows of one trait. Cells of one rule join: commutative and
//! associative, and idempotent too except for `sum`, which is why sums are kept per fragment.

use crate::domain::event::Timing;
use crate::domain::settings::Fold;
use crate::domain::time::Timestamp;
use crate::domain::unseen::visible;
use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::str::FromStr;

/// The longest number text that is computed with; longer ones are no numbers to us.
const NUMBER_CHARS: usize = 128;
/// The largest power of ten that is computed with, so that `1e999999999` costs nothing.
const EXPONENT: i64 = 400;

/// A JSON text that sorts as people expect: numbers (also as text) by value, texts by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sorted(pub Box<str>);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What one fragment knows of one trait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The latest value by event time; on equal times the greater canonical JSON.
    Last(Timestamp, Box<str>),
    /// The earliest value by event time; on equal times the greater canonical JSON.
    First(Timestamp, Box<str>),
    /// The smallest value.
    Min(Box<str>),
    /// The greatest value.
    Max(Box<str>),
    /// The exact sum.
    Sum(Box<BigDecimal>),
    /// Every value once.
    Set(BTreeSet<Sorted>),
    /// The latest explicit decision; the more restrictive one on a tie.
    Consent(Timestamp, bool),
}

impl Cell {
    /// The cell that a single value makes; `None` where the rule has no use for it (a `sum` of a
    /// text that is no number).
    ///
    /// A consent whose source should have said when it was given, and did not (`Timing::Unsaid`),
    /// can only forbid: an undated "yes" must not override a dated "no".
    pub fn new(fold: Fold, at: Timestamp, timing: Timing, json: &str) -> Option<Self> {
        Some(match fold {
            Fold::Last => Self::Last(at, json.into()),
            Fold::First => Self::First(at, json.into()),
            Fold::Min => Self::Min(json.into()),
            Fold::Max => Self::Max(json.into()),
            Fold::Sum => Self::Sum(Box::new(number(json)?)),
            Fold::Set => Self::Set(elements(json)),
            Fold::Consent => {
                // What is no decision is no consent: it must not leave an earlier one standing.
                let granted = decision(json).unwrap_or(false);
                match timing {
                    Timing::Unsaid | Timing::Unread if granted => {
                        Self::Consent(super::time::MIN, true)
                    }
                    _ => Self::Consent(at, granted),
                }
            }
        })
    }

    /// The rule that the cell follows.
    pub fn fold(&self) -> Fold {
        match self {
            Self::Last(..) => Fold::Last,
            Self::First(..) => Fold::First,
            Self::Min(_) => Fold::Min,
            Self::Max(_) => Fold::Max,
            Self::Sum(_) => Fold::Sum,
            Self::Set(_) => Fold::Set,
            Self::Consent(..) => Fold::Consent,
        }
    }

    /// Joins another cell of the same rule into this one; one of another rule is left out.
    ///
    /// A set keeps its `set_values` smallest values, which is a join as well.
    pub fn join(&mut self, other: &Self, set_values: u32) {
        match (self, other) {
            (Self::Last(at, json), Self::Last(at2, json2)) => {
                if (*at2, json2) > (*at, json) {
                    (*at, *json) = (*at2, json2.clone());
                }
            }
            (Self::First(at, json), Self::First(at2, json2)) => {
                if at2 < at || (at2 == at && json2 > json) {
                    (*at, *json) = (*at2, json2.clone());
                }
            }
            (Self::Min(json), Self::Min(json2)) => {
                if compare(json2, json) == Ordering::Less {
                    *json = json2.clone();
                }
            }
            (Self::Max(json), Self::Max(json2)) => {
                if compare(json2, json) == Ordering::Greater {
                    *json = json2.clone();
                }
            }
            (Self::Sum(sum), Self::Sum(sum2)) => **sum += sum2.as_ref(),
            (Self::Set(set), Self::Set(set2)) => {
                set.extend(set2.iter().cloned());
                while set.len() > set_values as usize {
                    set.pop_last();
                }
            }
            (Self::Consent(at, granted), Self::Consent(at2, granted2)) => {
                if at2 > at {
                    (*at, *granted) = (*at2, *granted2);
                } else if at2 == at {
                    *granted &= granted2;
                }
            }
            // Two rules: named one by one, so that a new rule does not compile without its join.
            (
                Self::Last(..)
                | Self::First(..)
                | Self::Min(_)
                | Self::Max(_)
                | Self::Sum(_)
                | Self::Set(_)
                | Self::Consent(..),
                _,
            ) => {}
        }
    }

    /// The value that a profile shows, as JSON.
    pub fn json(&self) -> String {
        match self {
            Self::Last(_, json) | Self::First(_, json) | Self::Min(json) | Self::Max(json) => {
                json.to_string()
            }
            Self::Sum(sum) => sum.normalized().to_plain_string(),
            Self::Set(set) => {
                let all: Vec<&str> = set.iter().map(|value| value.0.as_ref()).collect();
                format!("[{}]", all.join(","))
            }
            Self::Consent(_, granted) => granted.to_string(),
        }
    }
}

/// The number that a JSON number, or a text that holds one, stands for.
pub(super) fn number(json: &str) -> Option<BigDecimal> {
    let text = match json.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?.trim(),
        None => json,
    };
    let numeric =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    if !starts || text.len() > NUMBER_CHARS || !text.bytes().all(numeric) {
        return None;
    }
    let exponent = match text.split_once(['e', 'E']) {
        Some((_, exponent)) => exponent.parse::<i64>().ok()?,
        None => 0,
    };
    if exponent.abs() > EXPONENT {
        return None;
    }
    BigDecimal::from_str(text).ok()
}

/// Compares two JSON texts: numbers by value, then texts by content, then all else by spelling.
fn compare(a: &str, b: &str) -> Ordering {
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => {
            rank(a).cmp(&rank(b)).then_with(|| text(a).cmp(&text(b))).then_with(|| a.cmp(b))
        }
    }
}

fn rank(json: &str) -> u8 {
    match json.as_bytes().first() {
        Some(b't' | b'f') => 0,
        Some(b'"') => 1,
        Some(b'[') => 2,
        _ => 3,
    }
}

/// A JSON text without its quotes and escapes; anything else as it is.
fn text(json: &str) -> std::borrow::Cow<'_, str> {
    if json.starts_with('"')
        && json.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(json)
    {
        return text.into();
    }
    json.trim_matches('"').into()
}

/// The values that one event adds to a `set`: an array's elements, or the value itself.
fn elements(json: &str) -> BTreeSet<Sorted> {
    if json.starts_with('[')
        && let Ok(all) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(json)
    {
        let texts = all.into_iter().map(|one| one.get());
        return texts.filter(|one| !is_blank(one)).map(|one| Sorted(one.into())).collect();
    }
    BTreeSet::from([Sorted(json.into())])
}

fn is_blank(json: &str) -> bool {
    json == "null" || (json.starts_with('"') && json.trim_matches('"').trim().is_empty())
}

/// An explicit decision: a boolean, or what forms and consent managers spell one with.
pub fn decision(json: &str) -> Option<bool> {
    let word = visible(json.trim_matches('"'));
    let is = |words: &[&str]| words.iter().any(|one| one.eq_ignore_ascii_case(word));
    if is(&["true", "1", "yes", "on", "y", "granted", "opted_in"]) {
        return Some(true);
    }
    is(&["false", "0", "no", "off", "n", "denied", "opted_out"]).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOLDS: [Fold; 7] =
        [Fold::Last, Fold::First, Fold::Min, Fold::Max, Fold::Sum, Fold::Set, Fold::Consent];

    fn folded(fold: Fold, values: &[(i64, &str)]) -> Option<String> {
        let mut cells = values
            .iter()
            .filter_map(|(at, json)| Cell::new(fold, Timestamp(*at), Timing::Said, json));
        let mut first = cells.next()?;
        cells.for_each(|cell| first.join(&cell, 1_000));
        Some(first.json())
    }

    #[test]
    fn each_rule_folds_as_its_name_says() {
        let values = [(5, "5"), (1, "\"12.50\""), (9, "-3"), (9, "2e1")];
        assert_eq!(folded(Fold::Last, &values).unwrap(), "2e1");
        assert_eq!(folded(Fold::First, &values).unwrap(), "\"12.50\"");
        assert_eq!(folded(Fold::Min, &values).unwrap(), "-3");
        assert_eq!(folded(Fold::Max, &values).unwrap(), "2e1");
        assert_eq!(folded(Fold::Sum, &values).unwrap(), "34.5");
        assert_eq!(
            folded(Fold::Set, &[(1, "[\"b\",\"a\",null]"), (2, "10"), (3, "9")]).unwrap(),
            "[9,10,\"a\",\"b\"]"
        );
        assert_eq!(
            folded(Fold::Consent, &[(1, "true"), (2, "\"FALSE\""), (2, "true")]).unwrap(),
            "false"
        );
        for yes in
            ["true", "1", "\"1\"", "\"YES\"", "\"on\"", "\"y\"", "\"granted\"", "\"opted_in\""]
        {
            assert_eq!(folded(Fold::Consent, &[(1, "false"), (2, yes)]).unwrap(), "true", "{yes}");
        }
        for no in [
            "false",
            "0",
            "\"no\"",
            "\"off\"",
            "\"n\"",
            "\"denied\"",
            "\"opted_out\"",
            "\"maybe\"",
            "2",
            "[]",
        ] {
            assert_eq!(folded(Fold::Consent, &[(1, "true"), (2, no)]).unwrap(), "false", "{no}");
            assert_eq!(folded(Fold::Consent, &[(3, "true"), (2, no)]).unwrap(), "true", "{no}");
        }
        assert_eq!(folded(Fold::Sum, &[(1, "0.1"), (1, "0.2"), (1, "\"x\"")]).unwrap(), "0.3");
    }

    #[test]
    fn absurd_numbers_cost_nothing_and_add_nothing() {
        assert_eq!(folded(Fold::Sum, &[(1, "1e999999999"), (1, "1")]).unwrap(), "1");
        assert_eq!(folded(Fold::Max, &[(1, "1e999999999"), (1, "1")]).unwrap(), "1e999999999");
    }

    #[test]
    fn an_undated_yes_does_not_override_a_dated_no() {
        let mut cell = Cell::new(Fold::Consent, Timestamp(5), Timing::Said, "false").unwrap();
        let undated = Cell::new(Fold::Consent, Timestamp(9), Timing::Unsaid, "true").unwrap();
        cell.join(&undated, 10);
        assert_eq!(cell.json(), "false");
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            (-50i32..50).prop_map(|n| n.to_string()),
            (-50i32..50).prop_map(|n| format!("\"{n}.5\"")),
            "[a-c]{1,2}".prop_map(|text| format!("\"{text}\"")),
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just("[1,\"a\"]".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_value(values in prop::collection::vec((0i64..4, value()), 1..9), seed: u64) {
            let mut shuffled: Vec<_> = values.clone();
            let n = shuffled.len();
            for i in 0..n { shuffled.swap(i, (seed.rotate_left(i as u32 * 7) % n as u64) as usize); }
            for fold in FOLDS {
                let a: Vec<(i64, &str)> = values.iter().map(|(t, v)| (*t, v.as_str())).collect();
                let b: Vec<(i64, &str)> = shuffled.iter().map(|(t, v)| (*t, v.as_str())).collect();
                prop_assert_eq!(folded(fold, &a), folded(fold, &b));
            }
        }

        #[test]
        fn joining_is_commutative_associative_and_idempotent_per_rule(
            said in prop::array::uniform3((0i64..4, any::<bool>(), value())),
            cap in 1u32..4,
        ) {
            for fold in FOLDS {
                let cell = |(at, dated, json): &(i64, bool, String)| {
                    let timing = if *dated { Timing::Said } else { Timing::Unsaid };
                    Cell::new(fold, Timestamp(*at), timing, json)
                };
                let [Some(a), Some(b), Some(c)] = said.each_ref().map(cell) else { continue };
                let join = |x: &Cell, y: &Cell| { let mut z = x.clone(); z.join(y, cap); z };
                let all = join(&join(&a, &b), &c);
                prop_assert_eq!(all.json(), join(&a, &join(&b, &c)).json());
                prop_assert_eq!(join(&a, &b).json(), join(&b, &a).json());
                // A sum doubles, which is why each fragment keeps its own and is folded once.
                if fold != Fold::Sum {
                    for one in [&a, &b, &c, &all] {
                        prop_assert_eq!(join(&all, one), all.clone());
                    }
                }
                // A set of one event may be longer than the cap until it is joined.
                if fold != Fold::Sum && fold != Fold::Set { prop_assert_eq!(join(&a, &a), a); }
            }
        }
    }
}
