//! The path language: how a source or a point says where in a request something is.
//!
//! `user.id`, `items[0].id`, `items[*].id`, `["odd.key"].id`, `header:X-Name`, `query:name`,
//! `event_type`, `source`, and templates such as `{portalId}/{objectId}`. A path is compiled once;
//! [`read::PathSet`] then finds the values of many of them in one pass over a payload.

pub mod read;
pub mod reserved;

use crate::domain::json;
use std::fmt;

/// The longest path, in bytes.
const LENGTH: usize = 512;
/// The most steps of one path; also bounds the recursion of the code that follows it.
const STEPS: usize = 32;

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of that name.
    Key(Box<str>),
    /// The element at that place, from 0.
    Index(usize),
    /// Every element.
    Each,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// In the properties.
    Body(Vec<Step>),
    /// The request header of that name (lower case).
    Header(Box<str>),
    /// The query parameter of that name.
    Query(Box<str>),
    /// The event's type itself.
    EventType,
    /// The source's id itself.
    Source,
    /// Put together; absent if a part is absent.
    Template(Vec<Part>),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Literal(Box<str>),
    /// What a path finds.
    Path(Path),
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The path as written.
    pub path: String,
    /// Bytes from its start.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the path {:?}: expected {} at byte {}", self.path, self.expected, self.at)
    }
}

impl std::error::Error for PathError {}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// What was expected and where, when the text is no path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = |(at, expected)| PathError { path: text.to_owned(), at, expected };
        if text.len() > LENGTH {
            return Err(error((LENGTH, "at most 512 bytes")));
        }
        if text.contains('{') { template(text) } else { simple(text, 0) }.map_err(error)
    }

    /// Whether `[*]` is in it.
    pub fn is_many(&self) -> bool {
        match self {
            Self::Body(steps) => steps.contains(&Step::Each),
            Self::Template(parts) => {
                parts.iter().any(|part| matches!(part, Part::Path(path) if path.is_many()))
            }
            _ => false,
        }
    }

    /// Whether it reads what is not kept with an event: a header or the query.
    pub fn reaches_outside(&self) -> bool {
        match self {
            Self::Header(_) | Self::Query(_) => true,
            Self::Template(parts) => {
                parts.iter().any(|part| matches!(part, Part::Path(path) if path.reaches_outside()))
            }
            _ => false,
        }
    }
}

type Wrong = (usize, &'static str);

fn template(text: &str) -> Result<Path, Wrong> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(open) = rest.find('{') else {
            parts.push(Part::Literal(literal(rest, at)?));
            break;
        };
        if open > 0 {
            parts.push(Part::Literal(literal(&rest[..open], at)?));
        }
        let inner = at + open + 1;
        let Some(close) = text[inner..].find('}') else {
            return Err((text.len(), "`}`"));
        };
        let path = simple(&text[inner..inner + close], inner)?;
        if path.is_many() {
            return Err((inner, "a path without [*] inside of a template"));
        }
        parts.push(Part::Path(path));
        at = inner + close + 1;
    }
    Ok(Path::Template(parts))
}

fn literal(text: &str, at: usize) -> Result<Box<str>, Wrong> {
    match text.find('}') {
        Some(close) => Err((at + close, "`{` before `}`")),
        None => Ok(text.into()),
    }
}

/// A path without braces; `offset` is where it stands in the text that errors speak of.
fn simple(text: &str, offset: usize) -> Result<Path, Wrong> {
    let trimmed = text.trim();
    let offset = offset + (text.len() - text.trim_start().len());
    let named = |name: &str, expected| match name.trim() {
        "" => Err((offset + trimmed.len(), expected)),
        name => Ok(name.to_owned()),
    };
    if let Some(name) = trimmed.strip_prefix("header:") {
        let name = named(name, "the name of a header")?;
        return Ok(Path::Header(name.to_ascii_lowercase().into()));
    }
    if let Some(name) = trimmed.strip_prefix("query:") {
        return Ok(Path::Query(named(name, "the name of a query parameter")?.into()));
    }
    match trimmed {
        "event_type" => Ok(Path::EventType),
        "source" => Ok(Path::Source),
        _ => Ok(Path::Body(steps(trimmed, offset)?)),
    }
}

/// The steps of a path into the properties.
pub(super) fn steps(text: &str, offset: usize) -> Result<Vec<Step>, Wrong> {
    let mut steps = Vec::new();
    let mut at = 0;
    while at < text.len() || steps.is_empty() {
        if steps.len() == STEPS {
            return Err((offset + at, "at most 32 steps"));
        }
        let rest = &text[at..];
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, used) = bracket(inner).map_err(|(by, what)| (offset + at + 1 + by, what))?;
            steps.push(step);
            at += 1 + used;
            continue;
        }
        let key = match (rest.strip_prefix('.'), steps.is_empty()) {
            (Some(key), false) => key,
            (None, true) => rest,
            (Some(_), true) => return Err((offset, "a name before `.`")),
            (None, false) => return Err((offset + at, "`.` or `[`")),
        };
        let start = at + (rest.len() - key.len());
        let end = key.find(['.', '[', ']', '}']).unwrap_or(key.len());
        if end == 0 {
            return Err((offset + start, "a name"));
        }
        steps.push(Step::Key(key[..end].into()));
        at = start + end;
    }
    Ok(steps)
}

/// What stands after `[`, and how many bytes it takes with its `]`.
fn bracket(inner: &str) -> Result<(Step, usize), Wrong> {
    if inner.starts_with('"') {
        let end = json::skip_string(inner.as_bytes(), 0);
        let literal = inner.get(..end).unwrap_or_default();
        let key = json::unquote(literal)
            .filter(|_| json::check(literal).is_ok())
            .ok_or((0, "a key in double quotes"))?;
        return match inner.as_bytes().get(end) {
            Some(b']') => Ok((Step::Key(key.as_ref().into()), end + 1)),
            _ => Err((end, "`]`")),
        };
    }
    let Some(end) = inner.find(']') else {
        return Err((inner.len(), "`]`"));
    };
    match &inner[..end] {
        "*" => Ok((Step::Each, end + 1)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let index = digits.parse().map_err(|_| (0, "the number of an element"))?;
            Ok((Step::Index(index), end + 1))
        }
        _ => Err((0, "a number, `*` or a key in double quotes")),
    }
}

#[cfg(test)]
mod tests;
