//! `${name}`: values that earlier steps saved, put into later ones.
//!
//! A text that is nothing but one `${name}` becomes the saved value itself, with its JSON type;
//! inside a longer text the value is spelled out. A name is letters, digits, `_` and `-`; anything
//! else between the braces is left alone, so that payloads may hold such text.

use serde_json::Value;
use std::collections::BTreeMap;
use thiserror::Error;

/// The name of the built-in receiver's address.
pub const RECEIVER: &str = "receiver";

/// A `${name}` that nothing has saved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("${{{name}}} is not known here; expected one of: {known}")]
pub struct UnknownVariable {
    /// The name that was asked for.
    pub name: String,
    /// The names that are known, with commas between.
    pub known: String,
}

/// The values saved so far.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    /// Saves `value` as `name`, in the place of an earlier one.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// `text` with every variable spelled out.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn text(&self, text: &str) -> Result<String, UnknownVariable> {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Name(name) => match self.get(name)? {
                    Value::String(value) => out.push_str(value),
                    other => out.push_str(&other.to_string()),
                },
            }
        }
        Ok(out)
    }

    /// `value` with the variables in all its texts and keys put in.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn value(&self, value: &Value) -> Result<Value, UnknownVariable> {
        Ok(match value {
            Value::String(text) => match whole(text) {
                Some(name) => self.get(name)?.clone(),
                None => Value::from(self.text(text)?),
            },
            Value::Array(elements) => {
                elements.iter().map(|e| self.value(e)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, member)| Ok((self.text(key)?, self.value(member)?)))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// A part of the configuration with the variables in all its texts put in.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn config(&self, value: &toml::Value) -> Result<toml::Value, UnknownVariable> {
        Ok(match value {
            toml::Value::String(text) => self.text(text)?.into(),
            toml::Value::Array(elements) => {
                elements.iter().map(|e| self.config(e)).collect::<Result<Vec<_>, _>>()?.into()
            }
            toml::Value::Table(members) => toml::Value::Table(
                members
                    .iter()
                    .map(|(key, member)| Ok((key.clone(), self.config(member)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        })
    }

    fn get(&self, name: &str) -> Result<&Value, UnknownVariable> {
        self.0.get(name).ok_or_else(|| UnknownVariable {
            name: name.to_owned(),
            known: self.0.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

/// Every name that the texts and keys of `value` ask for.
#[must_use]
pub fn names_in(value: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    collect_names(value, &mut names);
    names
}

fn collect_names<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => out.extend(names_in_text(text)),
        Value::Array(elements) => elements.iter().for_each(|e| collect_names(e, out)),
        Value::Object(members) => {
            for (key, member) in members {
                out.extend(names_in_text(key));
                collect_names(member, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn names_in_text(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Literal(_) => None,
    })
}

enum Piece<'t> {
    Literal(&'t str),
    Name(&'t str),
}

/// The name, when the text is nothing but one variable.
fn whole(text: &str) -> Option<&str> {
    let mut pieces = pieces(text);
    match (pieces.next(), pieces.next()) {
        (Some(Piece::Name(name)), None) => Some(name),
        _ => None,
    }
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = name_at_start(rest) {
            rest = after;
            return Some(Piece::Name(name));
        }
        // From the second character on, as the first one begins no variable.
        let end = rest
            .char_indices()
            .skip(1)
            .map(|(at, _)| at)
            .find(|&at| rest[at..].starts_with("${"))
            .unwrap_or(rest.len());
        let (literal, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Literal(literal))
    })
}

fn name_at_start(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("${")?.split_once('}')?;
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        variables.set("ann", json!("U1"));
        variables.set("n", json!(9_007_199_254_740_993_u64));
        variables
    }

    #[test]
    fn a_text_that_is_one_variable_keeps_the_json_type() {
        let put = variables().value(&json!({"${ann}": ["${n}", "n=${n}/${ann}"]})).unwrap();
        assert_eq!(put, json!({"U1": [9_007_199_254_740_993_u64, "n=9007199254740993/U1"]}));
    }

    #[test]
    fn what_is_no_name_is_left_alone() {
        for text in ["${{ x }}", "${}", "$", "${open", "a $${x y}", "é$"] {
            assert_eq!(variables().text(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let error = variables().text("/p/${bob}").unwrap_err();
        assert_eq!(error.to_string(), "${bob} is not known here; expected one of: ann, n");
    }

    #[test]
    fn the_configuration_takes_variables_too() {
        let mut variables = Variables::default();
        variables.set(RECEIVER, json!("http://127.0.0.1:1"));
        let table: toml::Value =
            toml::from_str("c = [ { url = \"${receiver}/x\", n = 1 } ]").unwrap();
        let put = variables.config(&table).unwrap();
        assert_eq!(put["c"][0]["url"].as_str(), Some("http://127.0.0.1:1/x"));
    }
}
