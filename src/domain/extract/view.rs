//! A request as paths see it: payload, headers, query and names, each read once.

use super::{PassedOver, RequestFacts, event_type};
use crate::domain::json;
use crate::domain::path::read::{Values, scalar};
use crate::domain::source::{Choice, Lookup, Piece, Source};
use std::borrow::Cow;

/// A value that a path found.
pub(super) enum Spelling<'a> {
    /// A JSON value of the payload, as spelt.
    Json(&'a str),
    /// A text from elsewhere.
    Text(Cow<'a, str>),
}

impl<'a> Spelling<'a> {
    /// As an identifier reads it; `None` for what is absent there.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(spelling) => scalar(spelling),
            Self::Text(text) => {
                let text = text.trim();
                (!text.is_empty()).then(|| Cow::Owned(text.to_owned()))
            }
        }
    }

    /// As a trait keeps it: canonical JSON, texts trimmed; `None` for null and blank texts.
    pub(super) fn json(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(spelling) if spelling.starts_with(['{', '[']) => {
                json::canonical(spelling).map(Cow::Owned)
            }
            Self::Json(spelling) if !spelling.starts_with('"') => {
                (*spelling != "null").then_some(Cow::Borrowed(*spelling))
            }
            Self::Json(spelling) if is_canonical(spelling) => Some(Cow::Borrowed(*spelling)),
            text => {
                let text = text.text()?;
                let mut literal = String::with_capacity(text.len() + 2);
                json::quote(&text, &mut literal);
                Some(Cow::Owned(literal))
            }
        }
    }
}

/// Whether a checked string literal is its own canonical form: nothing escaped, nothing to trim.
fn is_canonical(literal: &str) -> bool {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| {
        !inner.is_empty() && inner.trim().len() == inner.len() && !inner.contains('\\')
    })
}

/// See the module's head.
pub(super) struct View<'a> {
    values: Values<'a>,
    facts: &'a RequestFacts<'a>,
    source: &'a str,
    kind: Cow<'a, str>,
}

impl<'a> View<'a> {
    /// Reads `text`, a checked JSON object, with the paths of `source`.
    pub(super) fn new(source: &'a Source, facts: &'a RequestFacts<'a>, text: &'a str) -> Self {
        let values = source.paths.read(text);
        let kind = Cow::Borrowed(facts.event_type);
        let mut view = Self { values, facts, source: &source.id, kind };
        let said = source.event_type.as_ref().and_then(|choice| view.first_text(choice));
        if let Some(kind) = said.and_then(|text| event_type(&text)) {
            view.kind = Cow::Owned(kind);
        }
        view
    }

    /// What identifies somebody; whatever does not is told.
    pub(super) fn identifying(&self, judged: Result<Box<str>, PassedOver>) -> Option<Box<str>> {
        judged.inspect_err(|why| (self.facts.passed_over)(*why)).ok()
    }

    /// The same request, held to be of that type.
    pub(super) fn of_type(mut self, kind: &'a str) -> Self {
        self.kind = Cow::Borrowed(kind);
        self
    }

    /// The event's type.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// The first header of `names` that is there and not blank.
    pub(super) fn header(facts: &RequestFacts<'_>, name: &str) -> Option<String> {
        (facts.header)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The text of the first path that is present.
    pub(super) fn first_text(&self, choice: &Choice) -> Option<Cow<'_, str>> {
        self.first_text_of(choice).map(|(_, text)| text)
    }

    /// The text of the first path that is present, with the path's place in the list.
    pub(super) fn first_text_of(&self, choice: &Choice) -> Option<(usize, Cow<'_, str>)> {
        let texts = choice.0.iter().map(|lookup| self.text(lookup));
        texts.enumerate().find_map(|(place, text)| Some((place, text?)))
    }

    /// The value, of any kind but null and blank text, of the first path that is present.
    pub(super) fn first_value(&self, choice: &Choice) -> Option<Spelling<'_>> {
        choice.0.iter().find_map(|lookup| match lookup {
            Lookup::Body(slot) => {
                self.values.of(*slot).map(Spelling::Json).find(|value| value.json().is_some())
            }
            other => self.text(other).map(Spelling::Text),
        })
    }

    /// What the first path that is present found: with `[*]` several, all of them present.
    pub(super) fn all_texts(&self, choice: &Choice) -> Vec<Spelling<'_>> {
        for lookup in &choice.0 {
            let found: Vec<Spelling<'_>> = match lookup {
                Lookup::Body(slot) => {
                    let values = self.values.of(*slot).filter(|value| scalar(value).is_some());
                    values.map(Spelling::Json).collect()
                }
                other => self.text(other).map(Spelling::Text).into_iter().collect(),
            };
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    fn text(&self, lookup: &Lookup) -> Option<Cow<'_, str>> {
        match lookup {
            Lookup::Body(slot) => self.values.of(*slot).find_map(scalar),
            Lookup::Header(name) => Self::header(self.facts, name).map(Cow::Owned),
            Lookup::Query(name) => {
                let named = self.facts.query.iter().find(|(key, _)| **key == **name);
                let text = named.map(|(_, value)| value.trim())?;
                (!text.is_empty()).then_some(Cow::Borrowed(text))
            }
            Lookup::EventType => Some(Cow::Borrowed(self.kind())),
            Lookup::Source => Some(Cow::Borrowed(self.source)),
            Lookup::Template(pieces) => {
                let mut whole = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => whole.push_str(text),
                        Piece::Lookup(part) => whole.push_str(&self.text(part)?),
                    }
                }
                Some(Cow::Owned(whole))
            }
        }
    }
}
