//! A request as paths see it: payload, headers, query and names, each read once.

use crate::domain::event::is_damaged;
use crate::domain::facts::{PassedOver, RequestFacts};
use crate::domain::lookup::{Choice, Lookup, Piece};
use crate::domain::names::event_type;
use crate::domain::path::read::{Values, scalar};
use crate::domain::source::Source;
use crate::domain::{blocked, json, unseen};
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

/// Whether an id says something; the built-in list is asked where it is on.
pub(super) fn says(id: &str, builtin: bool) -> bool {
    !(builtin && blocked::says_nothing(id))
}

/// An id without what nobody sees at its ends; `None` where nothing is left of it.
pub(super) fn seen(id: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let id = match unseen::visible(&id) {
        rest if rest.len() == id.len() => id,
        rest => Cow::Owned(rest.to_owned()),
    };
    (!id.is_empty()).then_some(id)
}

/// The one element of a list of one; any other value as it is.
fn one_of_list(spelling: &str) -> &str {
    if !spelling.starts_with('[') {
        return spelling;
    }
    let mut elements = json::elements(spelling.as_bytes(), 0);
    match (elements.next(), elements.next()) {
        (Some(one), None) => spelling.get(one).unwrap_or(spelling),
        _ => spelling,
    }
}

/// See the module's head.
pub(super) struct View<'a> {
    values: Values<'a>,
    facts: &'a RequestFacts<'a>,
    source: &'a str,
    kind: Cow<'a, str>,
    /// Whether the built-in list of what says nothing is asked.
    builtin: bool,
    is_kind_damaged: bool,
}

impl<'a> View<'a> {
    /// Reads `text`, a checked JSON object, with the paths of `source`.
    pub(super) fn new(
        source: &'a Source,
        facts: &'a RequestFacts<'a>,
        text: &'a str,
        builtin: bool,
    ) -> Self {
        let values = source.paths.read(text);
        let kind = Cow::Borrowed(facts.event_type);
        let source_id = &source.id;
        let mut view =
            Self { values, facts, source: source_id, kind, builtin, is_kind_damaged: false };
        let mut is_damaged = false;
        let is_whole = |text: &Cow<'_, str>| {
            let is_whole = view.whole(text).is_ok();
            is_damaged |= !is_whole;
            is_whole
        };
        let said =
            source.event_type.as_ref().and_then(|choice| view.texts(choice, false).find(is_whole));
        match said.and_then(|text| event_type(&text)) {
            Some(kind) => view.kind = Cow::Owned(kind),
            None => view.is_kind_damaged = is_damaged,
        }
        view
    }

    /// Whether a text came as it is read; of what was replaced in it nobody knows what it was.
    ///
    /// # Errors
    /// Where something was replaced.
    pub(super) fn whole(&self, text: &str) -> Result<(), PassedOver> {
        match self.facts.is_lossy && is_damaged(text) {
            true => Err(PassedOver::Damaged),
            false => Ok(()),
        }
    }

    /// The same of a value of any kind.
    pub(super) fn is_whole(&self, value: &Spelling<'_>) -> bool {
        match value {
            Spelling::Json(spelling) => self.whole(spelling).is_ok(),
            Spelling::Text(text) => self.whole(text).is_ok(),
        }
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

    /// Whether the payload names a type, and it is damaged: the URL's stands in its place.
    pub(super) fn is_kind_damaged(&self) -> bool {
        self.is_kind_damaged
    }

    /// The event's type.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// The first header of `names` that is there and not blank.
    pub(super) fn header(facts: &RequestFacts<'_>, name: &str) -> Option<String> {
        (facts.header)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The texts of all paths that are present, in order. Where `unwraps`, a list of one value counts
    /// as that value.
    pub(super) fn texts(
        &self,
        choice: &Choice,
        unwraps: bool,
    ) -> impl Iterator<Item = Cow<'_, str>> {
        choice.0.iter().filter_map(move |lookup| match lookup {
            Lookup::Body(slot) if unwraps => {
                self.values.of(*slot).map(one_of_list).find_map(scalar)
            }
            _ => self.text(lookup),
        })
    }

    /// The first text that says something, as an id is read.
    pub(super) fn first_id(&self, choice: &Choice) -> Option<Cow<'_, str>> {
        self.first_id_of(choice).map(|(_, text)| text)
    }

    /// The same with the path's place in the list.
    pub(super) fn first_id_of(&self, choice: &Choice) -> Option<(usize, Cow<'_, str>)> {
        let texts = choice.0.iter().map(|lookup| self.text(lookup).and_then(seen));
        let said = |text: &Cow<'_, str>| says(text, self.builtin) && self.whole(text).is_ok();
        texts.enumerate().find_map(|(place, text)| Some((place, text.filter(said)?)))
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

    /// What a path found: with `[*]` several, all of them present. Where `unwraps`, a list of one
    /// value counts as that value.
    pub(super) fn all_texts(&self, lookup: &Lookup, unwraps: bool) -> Vec<Spelling<'_>> {
        let one = |value| if unwraps { one_of_list(value) } else { value };
        match lookup {
            Lookup::Body(slot) => {
                let values = self.values.of(*slot).map(one);
                values.filter(|value| scalar(value).is_some()).map(Spelling::Json).collect()
            }
            other => self.text(other).map(Spelling::Text).into_iter().collect(),
        }
    }

    /// The object or list that stands where a path leads.
    pub(super) fn container(&self, lookup: &Lookup) -> Option<&str> {
        let Lookup::Body(slot) = lookup else { return None };
        self.values.of(*slot).find(|value| value.starts_with(['{', '[']))
    }

    /// The text that a path leads to.
    pub(super) fn text(&self, lookup: &Lookup) -> Option<Cow<'_, str>> {
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
                        Piece::Lookup(part) => {
                            let is_said =
                                |text: &Cow<'_, str>| !(self.builtin && blocked::is_no_word(text));
                            whole.push_str(&self.text(part).filter(is_said)?);
                        }
                    }
                }
                Some(Cow::Owned(whole))
            }
        }
    }
}
