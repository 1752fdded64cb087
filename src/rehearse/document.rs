//! A TOML document with positions: every complaint names its line.
//!
//! Integers and floats become JSON numbers digit by digit, so that a scenario can send and expect
//! numbers of any size; dates and times become texts.

use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// A value and where it stands.
pub(super) type Node<'t> = Spanned<DeValue<'t>>;

/// What is wrong at one place of a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was expected, what was found, what to do.
    pub message: String,
}

/// Collects what is wrong, so that one reading tells all of it.
pub(super) struct Problems<'t> {
    text: &'t str,
    pub(super) found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        let (line, column) = self.position(span.start);
        self.found.push(Problem { line, column, message: message.into() });
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.position(offset).0
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        (line, column)
    }

    /// Reads the whole document; nothing when it is not TOML.
    pub(super) fn parse(&mut self) -> Option<Spanned<DeTable<'t>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                self.add(error.span().unwrap_or(0..0), error.message());
                None
            }
        }
    }

    /// Complains of every key of `table` that is not among `known`, with the nearest one that is.
    pub(super) fn refuse_unknown_keys(&mut self, table: &DeTable, place: &str, known: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = match nearest(name, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known are: {}", known.join(", ")),
                };
                self.add(key.span(), format!("unknown key \"{name}\" in {place}; {hint}"));
            }
        }
    }

    /// The value as JSON, every digit kept.
    pub(super) fn json(&mut self, node: &Node) -> Value {
        match node.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Datetime(moment) => Value::from(moment.to_string()),
            DeValue::Integer(integer) => self.number(node, decimal(integer)),
            DeValue::Float(float) => self.number(node, Some(float.as_str().to_owned())),
            DeValue::Array(elements) => elements.iter().map(|e| self.json(e)).collect(),
            DeValue::Table(members) => Value::Object(self.json_object(members)),
        }
    }

    pub(super) fn json_object(&mut self, members: &DeTable) -> Map<String, Value> {
        let pair = |(key, member): (&Spanned<_>, &Node)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            (key.to_string(), self.json(member))
        };
        members.iter().map(pair).collect()
    }

    fn number(&mut self, node: &Node, digits: Option<String>) -> Value {
        let plain = digits.map(|text| text.replace('_', "").trim_start_matches('+').to_owned());
        match plain.as_deref().map(Number::from_str) {
            Some(Ok(number)) => Value::Number(number),
            _ => {
                self.add(node.span(), "expected a number that JSON can spell, so no inf or nan");
                Value::Null
            }
        }
    }

    /// The value as a piece of configuration, types kept.
    pub(super) fn config(&mut self, node: &Node) -> toml::Value {
        match node.get_ref() {
            DeValue::String(text) => text.as_ref().into(),
            DeValue::Boolean(flag) => (*flag).into(),
            DeValue::Datetime(moment) => (*moment).into(),
            DeValue::Integer(integer) => {
                match decimal(integer).and_then(|text| text.parse::<i64>().ok()) {
                    Some(value) => value.into(),
                    None => {
                        self.add(node.span(), "expected an integer of at most 64 bits");
                        0.into()
                    }
                }
            }
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(value) => value.into(),
                Err(_) => {
                    self.add(node.span(), "expected a number");
                    0.into()
                }
            },
            DeValue::Array(elements) => {
                elements.iter().map(|e| self.config(e)).collect::<Vec<_>>().into()
            }
            DeValue::Table(members) => toml::Value::Table(
                members
                    .iter()
                    .map(|(key, member)| (key.get_ref().to_string(), self.config(member)))
                    .collect(),
            ),
        }
    }

    /// The text of a node, or a complaint that names `what` it should have been.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.get_ref().as_str();
        if text.is_none() {
            self.expected(node, what);
        }
        text.map(str::to_owned)
    }

    /// The table of a node, or a complaint.
    pub(super) fn table<'n>(&mut self, node: &'n Node<'t>, what: &str) -> Option<&'n DeTable<'t>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.expected(node, what);
        }
        table
    }

    /// A whole number within `range`, or a complaint.
    pub(super) fn integer(
        &mut self,
        node: &Node,
        what: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = match node.get_ref() {
            DeValue::Integer(integer) => decimal(integer).and_then(|text| text.parse().ok()),
            _ => None,
        };
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let (low, high) = (range.start(), range.end());
            self.expected(node, &format!("{what}, from {low} to {high}"));
        }
        value
    }

    /// A span such as `"2h"`, in milliseconds, or a complaint.
    pub(super) fn span_ms(&mut self, node: &Node) -> Option<i64> {
        let text = self.text(node, "a span such as \"500ms\" or \"2h\"")?;
        match crate::domain::time::parse_span(&text) {
            Ok(ms) => Some(ms),
            Err(message) => {
                self.add(node.span(), message);
                None
            }
        }
    }

    pub(super) fn expected(&mut self, node: &Node, what: &str) {
        let found = match node.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let other = match node.get_ref() {
            DeValue::String(text) => format!(" \"{text}\""),
            DeValue::Integer(integer) => format!(" {integer}"),
            _ => String::new(),
        };
        self.add(node.span(), format!("expected {what}, found {found}{other}"));
    }
}

/// The digits of an integer in base ten; none when one in another base is over 128 bits.
fn decimal(integer: &DeInteger) -> Option<String> {
    match integer.radix() {
        10 => Some(integer.as_str().to_owned()),
        radix => i128::from_str_radix(integer.as_str(), radix).ok().map(|n| n.to_string()),
    }
}

/// The known name that a misspelt one probably means.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let by_distance: BTreeSet<_> =
        known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).collect();
    let (distance, near) = by_distance.first()?;
    (*distance <= name.chars().count().max(3) / 2).then_some(near)
}
