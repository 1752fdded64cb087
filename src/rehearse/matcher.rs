//! Does an answer hold what a step expects? Subset matching, as a pure function.
//!
//! An object matches by its named keys; an array element by element and in length; a number by its
//! value (`1` is `1.0`, and every digit counts, however many there are); anything else when equal.
//! A text may be a test instead:
//!
//! | expected | holds when what was found |
//! |---|---|
//! | `"$any"` | is there and not null |
//! | `"$absent"` | is not there |
//! | `"$contains:x"` | is a text with `x` in it, or an element or its JSON has `x` in it |
//! | `"$lacks:x"` | is there, and does not contain `x` in that sense |
//! | `"$not:x"` | is there, and `"x"` would not match it, nor is `x` its JSON spelling |
//! | `"$len:3"` | is an array of 3 elements, an object of 3 keys or a text of 3 characters |

use serde_json::{Number, Value};

/// One place where what was found is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What was expected there, as JSON or in words.
    pub expected: String,
    /// What was found there, as JSON or in words.
    pub found: String,
}

/// Every difference between `expected` and what was `found`; `None` stands for "nothing there".
/// No difference means that it holds.
#[must_use]
pub fn differences(expected: &Value, found: Option<&Value>) -> Vec<Difference> {
    let mut comparison = Comparison::default();
    comparison.compare(expected, found);
    comparison.differences
}

#[derive(Default)]
struct Comparison {
    pointer: String,
    differences: Vec<Difference>,
}

impl Comparison {
    fn compare(&mut self, expected: &Value, found: Option<&Value>) {
        if let Value::String(text) = expected
            && let Some(test) = Test::parse(text)
        {
            if !test.holds(found) {
                self.differs(expected.to_string(), found);
            }
            return;
        }
        let Some(found) = found else { return self.differs(expected.to_string(), None) };
        match (expected, found) {
            (Value::Object(named), Value::Object(all)) => {
                for (key, value) in named {
                    let token = key.replace('~', "~0").replace('/', "~1");
                    self.below(&token, value, all.get(key));
                }
            }
            (Value::Array(wanted), Value::Array(elements)) => {
                if wanted.len() != elements.len() {
                    self.differs(
                        format!("{}: {expected}", count(wanted.len(), "element")),
                        Some(found),
                    );
                    return;
                }
                for (index, (value, element)) in wanted.iter().zip(elements).enumerate() {
                    self.below(&index.to_string(), value, Some(element));
                }
            }
            (Value::Number(a), Value::Number(b)) if same_number(a, b) => {}
            _ if expected == found => {}
            _ => self.differs(expected.to_string(), Some(found)),
        }
    }

    fn below(&mut self, token: &str, expected: &Value, found: Option<&Value>) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        self.compare(expected, found);
        self.pointer.truncate(length);
    }

    fn differs(&mut self, expected: String, found: Option<&Value>) {
        let found = match found {
            None => "nothing there".to_owned(),
            Some(Value::Array(elements)) => {
                format!("{}: {}", count(elements.len(), "element"), Value::from(elements.clone()))
            }
            Some(value) => value.to_string(),
        };
        self.differences.push(Difference { pointer: self.pointer.clone(), expected, found });
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What a text that begins with `$` asks of the value in its place.
enum Test<'t> {
    Any,
    Absent,
    Contains(&'t str),
    Lacks(&'t str),
    Not(&'t str),
    Length(usize),
}

impl<'t> Test<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let word = text.strip_prefix('$')?;
        Some(match word.split_once(':') {
            None if word == "any" => Self::Any,
            None if word == "absent" => Self::Absent,
            Some(("contains", part)) => Self::Contains(part),
            Some(("lacks", part)) => Self::Lacks(part),
            Some(("not", other)) => Self::Not(other),
            Some(("len", length)) => Self::Length(length.trim().parse().ok()?),
            _ => return None,
        })
    }

    fn holds(&self, found: Option<&Value>) -> bool {
        let Some(found) = found else { return matches!(self, Self::Absent) };
        match *self {
            Self::Any => !found.is_null(),
            Self::Absent => false,
            Self::Contains(part) => contains(found, part),
            Self::Lacks(part) => !contains(found, part),
            Self::Not(other) => {
                found.to_string().as_str() != other
                    && !differences(&Value::from(other), Some(found)).is_empty()
            }
            Self::Length(length) => match found {
                Value::Array(elements) => elements.len() == length,
                Value::Object(members) => members.len() == length,
                Value::String(text) => text.chars().count() == length,
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            },
        }
    }
}

/// In a text, in an element or member, or in the JSON of it.
fn contains(found: &Value, part: &str) -> bool {
    match found {
        Value::String(text) => text.contains(part),
        Value::Array(elements) => {
            elements.iter().any(|element| contains(element, part))
                || found.to_string().contains(part)
        }
        Value::Object(members) => {
            members.values().any(|member| contains(member, part))
                || found.to_string().contains(part)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => found.to_string().contains(part),
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    a == b || matches!((Decimal::parse(a), Decimal::parse(b)), (Some(a), Some(b)) if a == b)
}

/// A number's one spelling: digits without zeros at either end, times a power of ten. Never
/// expanded, so that `1e999999999` costs nothing.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i128,
}

impl Decimal {
    fn parse(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let power: i64 = power.trim_start_matches('+').parse().ok()?;
        let exponent = i128::from(power) - fraction.len() as i128 + zeros as i128;
        Some(Self { negative, digits, exponent })
    }
}

#[cfg(test)]
#[path = "matcher_tests.rs"]
mod tests;
