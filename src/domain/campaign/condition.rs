//! Conditions: what must hold of an event, of a profile's traits and of its counters.
//!
//! Values are compared as people mean them: numbers by value, also when a form sent them as text;
//! times as moments; of an array, or of what `[*]` finds, it is enough that one element fits (and
//! for `not`, that none does). Expressions take linear time; nothing from a payload is evaluated.

use crate::domain::campaign::builder::Builder;
use crate::domain::campaign::config::ConditionConfig;
use crate::domain::campaign::matching::{Glob, Listed, Pattern, Reach};
use crate::domain::campaign::model::{Condition, Subject, Test};
use crate::domain::campaign::state::FragmentRuns;
use crate::domain::campaign::{EventFacts, Person};
use crate::domain::fold::number;
use crate::domain::graph::FragmentIndex;
use crate::domain::names::event_type;
use crate::domain::path::read::{Values, scalar};
use crate::domain::time::{MAX, Timestamp, parse_span};
use crate::domain::{json, occurred, path};
use bigdecimal::BigDecimal;
use serde::Serialize;
use serde_json::Value;
use smallvec::SmallVec;
use std::borrow::Cow;

/// How deep `any` may be nested.
const DEPTH: usize = 4;
/// The greatest number that a count within a time is compared with.
const COUNT: u32 = 10_000;

/// A rule of a campaign as it was found to hold or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The rule in words.
    pub rule: String,
    /// What was found where it looks; null for nothing.
    pub seen: Value,
    /// Whether it holds.
    pub holds: bool,
    /// What was left out of sight by a limit; absent where everything was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounded: Option<String>,
}

/// All that conditions are judged by.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) person: &'a Person<'a>,
    /// What was found in the event's properties; nothing where the event is not at hand.
    pub(super) values: &'a Values<'a>,
    pub(super) fragments: &'a [(FragmentIndex, &'a FragmentRuns)],
    /// As of when counts within a time are judged.
    pub(super) now: Timestamp,
    /// Whether events that occurred after `now` are left out: a late event is judged as of when it
    /// occurred.
    pub(super) is_past: bool,
    pub(super) reach: &'a Reach,
}

/// JSON spellings.
type Seen<'a> = SmallVec<[Cow<'a, str>; 2]>;

impl Condition {
    /// Whether it holds.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match &self.subject {
            Subject::Any(conditions) => conditions.iter().any(|one| one.holds(facts)),
            _ => self.fits(&self.seen(facts), facts.reach),
        }
    }

    /// Whether it holds, and what it saw.
    pub(super) fn report(&self, facts: &Facts<'_>) -> RuleReport {
        let seen = match &self.subject {
            Subject::Any(conditions) => {
                conditions.iter().map(|one| one.report(facts).seen).collect()
            }
            _ => shown(&self.seen(facts)),
        };
        let reach = Reach::new(facts.reach.elements);
        let holds = self.holds(&Facts { reach: &reach, ..*facts });
        RuleReport { rule: self.rule.to_string(), seen, holds, bounded: reach.told() }
    }

    /// Whether it looks into the event.
    pub(super) fn reads_event(&self) -> bool {
        match &self.subject {
            Subject::Property(_) => true,
            Subject::Any(conditions) => conditions.iter().any(Self::reads_event),
            Subject::Trait(_) | Subject::Count { .. } => false,
        }
    }

    fn fits(&self, seen: &Seen<'_>, reach: &Reach) -> bool {
        self.tests.iter().all(|test| test.holds(seen, reach))
    }

    fn seen<'a>(&self, facts: &Facts<'a>) -> Seen<'a> {
        match &self.subject {
            Subject::Property(slot) => {
                let mut seen = Seen::new();
                for one in facts.values.of(*slot) {
                    spread(Cow::Borrowed(one), &mut seen, facts.reach);
                }
                if facts.values.is_cut() {
                    facts.reach.cut();
                }
                seen
            }
            Subject::Trait(name) => {
                let mut seen = Seen::new();
                if let Some(cell) = facts.person.folded.traits.get(name) {
                    spread(Cow::Owned(cell.json()), &mut seen, facts.reach);
                }
                seen
            }
            Subject::Count { kind, within_ms } => {
                let count = match within_ms {
                    None => facts.person.folded.by_type.get(kind).copied().unwrap_or(0),
                    Some(within) => {
                        let after = facts.now.plus_ms(-within);
                        let until = if facts.is_past { facts.now } else { MAX };
                        let each = facts.fragments.iter();
                        each.map(|(_, runs)| runs.counts.within(kind, after, until) as u64).sum()
                    }
                };
                std::iter::once(Cow::Owned(count.to_string())).collect()
            }
            Subject::Any(_) => Seen::new(),
        }
    }
}

/// Adds a value's elements where it is an array, else the value itself, as far as the reach goes.
fn spread<'a>(value: Cow<'a, str>, seen: &mut Seen<'a>, reach: &Reach) {
    let mut add = |one: Cow<'a, str>| {
        let fits = seen.len() < reach.elements;
        if fits {
            seen.push(one);
        } else {
            reach.cut();
        }
        fits
    };
    if !value.starts_with('[') {
        add(value);
        return;
    }
    let mut ranges = json::elements(value.as_bytes(), 0);
    match &value {
        Cow::Borrowed(text) => {
            let mut elements = ranges.filter_map(|range| text.get(range));
            let _all_fitted = elements.all(|one| add(Cow::Borrowed(one)));
        }
        Cow::Owned(text) => {
            let elements = ranges.by_ref().filter_map(|range| text.get(range));
            let _all_fitted = elements.map(str::to_owned).all(|one| add(Cow::Owned(one)));
        }
    }
}

fn shown(seen: &Seen<'_>) -> Value {
    let value =
        |text: &Cow<'_, str>| serde_json::from_str(&json::shown(text)).unwrap_or(Value::Null);
    match seen.as_slice() {
        [] => Value::Null,
        [one] => value(one),
        many => many.iter().map(value).collect(),
    }
}

impl Test {
    fn holds(&self, seen: &Seen<'_>, reach: &Reach) -> bool {
        let any_number = |fits: &dyn Fn(&BigDecimal) -> bool| {
            seen.iter().any(|one| number(one).is_some_and(|number| fits(&number)))
        };
        let any_time = |fits: &dyn Fn(Timestamp) -> bool| {
            seen.iter()
                .any(|one| scalar(one).and_then(|text| occurred::compared(&text)).is_some_and(fits))
        };
        match self {
            Self::OneOf(all) => seen.iter().any(|one| all.has(one)),
            Self::NoneOf(all) => !seen.iter().any(|one| all.has(one)),
            Self::Like(pattern) => {
                let mut left = pattern.reach();
                seen.iter()
                    .filter_map(|one| scalar(one))
                    .any(|text| pattern.fits(&text, &mut left, reach))
            }
            Self::Glob(glob) => {
                let mut left = Glob::reach();
                seen.iter()
                    .filter_map(|one| scalar(one))
                    .any(|text| glob.fits(&text, &mut left, reach))
            }
            Self::Exists(wanted) => seen.iter().any(|one| is_something(one)) == *wanted,
            Self::AtLeast(least) => any_number(&|number| number >= least),
            Self::AtMost(most) => any_number(&|number| number <= most),
            Self::Before(end) => any_time(&|at| at < *end),
            Self::After(start) => any_time(&|at| at > *start),
        }
    }
}

/// Neither null nor a blank text.
fn is_something(spelling: &str) -> bool {
    matches!(spelling.as_bytes().first(), Some(b'{' | b'[')) || scalar(spelling).is_some()
}

impl Builder {
    /// Compiles a list of conditions; what is wrong is left out and noted.
    pub(super) fn conditions(&mut self, at: &str, list: &[ConditionConfig]) -> Vec<Condition> {
        self.nested(at, list, 0)
    }

    fn nested(&mut self, at: &str, list: &[ConditionConfig], depth: usize) -> Vec<Condition> {
        let each = list.iter().enumerate();
        each.filter_map(|(place, one)| self.condition(&format!("{at}[{place}]"), one, depth))
            .collect()
    }

    fn condition(&mut self, at: &str, config: &ConditionConfig, depth: usize) -> Option<Condition> {
        let subjects = [
            config.property.is_some(),
            config.trait_name.is_some(),
            config.count.is_some(),
            config.any.is_some(),
        ];
        if subjects.iter().filter(|is| **is).count() != 1 {
            self.problem(at, "expected exactly one of property, trait, count and any");
            return None;
        }
        let tests = self.tests(at, config);
        if let Some(any) = &config.any {
            if depth == DEPTH || any.is_empty() || has_tests(config) || config.within.is_some() {
                let sentence =
                    "expected a list of conditions and nothing beside it, nested at most 4 deep";
                self.problem(format!("{at}.any"), sentence);
                return None;
            }
            let conditions = self.nested(&format!("{at}.any"), any, depth + 1);
            let rules: Vec<&str> = conditions.iter().map(|one| one.rule.as_ref()).collect();
            let rule = format!("any of ({})", rules.join(" | ")).into();
            return Some(Condition { rule, subject: Subject::Any(conditions), tests });
        }
        if !has_tests(config) {
            let sentence = "expected a test: equals, not, in, glob, regex, exists, at_least, at_most, before or after";
            self.problem(at, sentence);
        }
        if config.within.is_some() && config.count.is_none() {
            self.problem(format!("{at}.within"), "expected it beside count only");
        }
        let (subject, name) = self.subject(at, config)?;
        Some(Condition { rule: format!("{name}{}", spelt(config)).into(), subject, tests })
    }

    fn subject(&mut self, at: &str, config: &ConditionConfig) -> Option<(Subject, String)> {
        if let Some(property) = &config.property {
            return match path::steps(property.trim(), 0) {
                Ok(steps) => {
                    let slot = self.paths.add(&steps);
                    Some((Subject::Property(slot), format!("property {property}")))
                }
                Err((place, expected)) => {
                    let sentence =
                        format!("in the path {property:?}: expected {expected} at byte {place}");
                    self.problem(format!("{at}.property"), sentence);
                    None
                }
            };
        }
        if let Some(name) = &config.trait_name {
            return Some((Subject::Trait(name.as_str().into()), format!("trait {name}")));
        }
        let name = config.count.as_deref()?;
        let Some(kind) = event_type(name) else {
            self.problem(format!("{at}.count"), format!("expected an event type, found {name:?}"));
            return None;
        };
        let within_ms = match config.within.as_deref().map(parse_span) {
            None => None,
            Some(Ok(ms)) => Some(ms),
            Some(Err(sentence)) => {
                self.problem(format!("{at}.within"), sentence);
                None
            }
        };
        self.counted(at, config, &kind, within_ms);
        let within = config.within.as_ref().map_or(String::new(), |span| format!(" within {span}"));
        let name = format!("count {kind}{within}");
        Some((Subject::Count { kind: kind.into(), within_ms }, name))
    }

    /// A count is compared with whole numbers only, and those say how many times must be kept.
    fn counted(&mut self, at: &str, config: &ConditionConfig, kind: &str, within_ms: Option<i64>) {
        let texts = [&config.glob, &config.regex, &config.before, &config.after];
        if texts.iter().any(|test| test.is_some()) || config.exists.is_some() {
            let sentence = "expected equals, not, in, at_least or at_most, as a count is a number";
            self.problem(at, sentence);
        }
        let single = [&config.equals, &config.at_least, &config.at_most];
        let mut numbers: Vec<&Value> = single.into_iter().flatten().collect();
        numbers.extend(config.one_of.iter().flatten());
        numbers.extend(config.not.iter().flat_map(one_or_many));
        let mut keep = 1;
        for number in numbers {
            let whole = number.as_u64().and_then(|n| u32::try_from(n).ok());
            match whole.filter(|n| *n <= COUNT || within_ms.is_none()) {
                Some(n) => keep = keep.max(n as usize + 1),
                None => self.problem(
                    at,
                    format!("expected a whole number from 0 to {COUNT}, found {number}"),
                ),
            }
        }
        if within_ms.is_some() {
            self.counted.want(kind, keep);
        }
    }

    fn tests(&mut self, at: &str, config: &ConditionConfig) -> Vec<Test> {
        let mut tests = Vec::new();
        if let Some(value) = &config.equals {
            tests.push(Test::OneOf(self.listed(at, "equals", std::slice::from_ref(value))));
        }
        if let Some(list) = &config.one_of {
            tests.push(Test::OneOf(self.listed(at, "in", list)));
        }
        if let Some(value) = &config.not {
            tests.push(Test::NoneOf(self.listed(at, "not", one_or_many(value))));
        }
        if let Some(pattern) = &config.glob {
            tests.push(Test::Glob(Box::new(Glob::new(pattern))));
        }
        if let Some(pattern) = &config.regex {
            tests.extend(self.regex(at, "regex", pattern));
        }
        tests.extend(config.exists.map(Test::Exists));
        if let Some(value) = &config.at_least {
            tests.extend(self.bound(at, "at_least", value).map(Test::AtLeast));
        }
        if let Some(value) = &config.at_most {
            tests.extend(self.bound(at, "at_most", value).map(Test::AtMost));
        }
        if let Some(text) = &config.before {
            tests.extend(self.time(at, "before", text).map(Test::Before));
        }
        if let Some(text) = &config.after {
            tests.extend(self.time(at, "after", text).map(Test::After));
        }
        tests
    }

    fn listed(&mut self, at: &str, test: &str, values: &[Value]) -> Listed {
        let mut all = Listed::default();
        for value in values {
            if !all.add(value) {
                let sentence = format!("expected a text, a number, true or false, found {value}");
                self.problem(format!("{at}.{test}"), sentence);
            }
        }
        all
    }

    fn regex(&mut self, at: &str, test: &str, expression: &str) -> Option<Test> {
        match Pattern::new(expression) {
            Ok(pattern) => Some(Test::Like(pattern)),
            Err(error) => {
                self.problem(format!("{at}.{test}"), error.to_string());
                None
            }
        }
    }

    fn bound(&mut self, at: &str, test: &str, value: &Value) -> Option<BigDecimal> {
        let found = number(&value.to_string());
        if found.is_none() {
            self.problem(format!("{at}.{test}"), format!("expected a number, found {value}"));
        }
        found
    }

    fn time(&mut self, at: &str, test: &str, text: &str) -> Option<Timestamp> {
        let found = occurred::compared(text);
        if found.is_none() {
            let sentence =
                format!("expected a time such as \"2026-03-01T10:00:00Z\", found {text:?}");
            self.problem(format!("{at}.{test}"), sentence);
        }
        found
    }
}

fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn has_tests(config: &ConditionConfig) -> bool {
    !spelt(config).is_empty()
}

/// The tests in words, each with a blank before it.
fn spelt(config: &ConditionConfig) -> String {
    let text = |text: &Option<String>| text.clone().map(Value::String);
    let tests = [
        ("equals", config.equals.clone()),
        ("not", config.not.clone()),
        ("in", config.one_of.clone().map(Value::Array)),
        ("glob", text(&config.glob)),
        ("regex", text(&config.regex)),
        ("exists", config.exists.map(Value::Bool)),
        ("at_least", config.at_least.clone()),
        ("at_most", config.at_most.clone()),
        ("before", text(&config.before)),
        ("after", text(&config.after)),
    ];
    let said = tests.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", value?)));
    said.collect()
}

/// Finds what conditions look for in an event's properties.
pub(super) fn values<'a>(
    paths: &path::read::PathSet,
    event: Option<&EventFacts<'a>>,
) -> Values<'a> {
    paths.read(event.map_or("", |event| event.properties))
}
