//! Reads the files of the config folder as one document, keeping where everything was written.
//!
//! Promises: nothing stops at the first mistake; a mistake names its file and line; an unknown key
//! names the nearest known one; nothing is defined twice.

use super::error::{Place, Problem};
use crate::domain::spelling::{friendly, unknown};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

/// Sections whose keys are single values.
pub(super) const SECTIONS: [&str; 7] =
    ["server", "admin", "journal", "snapshots", "memory", "limits", "log"];
/// Everything that may stand at the top of a file.
const TOP: [&str; 12] = [
    "server",
    "admin",
    "journal",
    "snapshots",
    "memory",
    "limits",
    "log",
    "identity",
    "traits",
    "source",
    "identification_point",
    "campaign",
];

/// A text that was read, with its name.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// As the user may find it.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl File {
    fn place(&self, at: usize) -> Place {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        Place::File { path: self.path.clone(), line }
    }
}

/// A table that has an id, or a name as its key.
pub(super) struct Object<'i> {
    file: &'i File,
    table: Spanned<DeTable<'i>>,
}

/// What all files say together.
#[derive(Default)]
pub(super) struct Document<'i> {
    /// Section, then key.
    pub values: BTreeMap<&'static str, BTreeMap<String, (toml::Value, Place)>>,
    /// Kind (`source`, `identity.types`, …), then id.
    pub objects: BTreeMap<&'static str, BTreeMap<String, Object<'i>>>,
    /// Where each of them was written: `source.slack`, `source.slack.profile_id`, …
    pub places: BTreeMap<String, Place>,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
}

impl<'i> Document<'i> {
    /// Takes what one file says.
    pub fn add(&mut self, file: &'i File) {
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.problem(file.place(at), error.message());
        }
        if !errors.is_empty() {
            return; // what a broken file seems to say would only add misleading problems
        }
        for (key, value) in table.into_inner() {
            let place = file.place(key.span().start);
            let name = TOP.into_iter().find(|name| *name == key.get_ref().as_ref());
            match name {
                Some(kind @ ("source" | "identification_point" | "campaign")) => {
                    self.add_list(file, kind, value, place);
                }
                Some("traits") => self.add_named(file, "traits", value, place),
                Some("identity") => self.add_identity(file, value, place),
                Some(section) => self.add_section(file, section, value, place),
                None => self.problem(place, unknown(key.get_ref(), "section", TOP)),
            }
        }
    }

    /// Notes a problem.
    pub fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem { place, message: message.into() });
    }

    /// Where something was written; the nearest thing around it that is known.
    pub fn place_of(&self, at: &str) -> Place {
        let mut path = at;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            let Some((outer, _)) = path.rsplit_once(['.', '[']) else { return Place::Whole };
            path = outer;
        }
    }

    fn add_section(
        &mut self,
        file: &'i File,
        section: &'static str,
        value: Spanned<DeValue<'i>>,
        place: Place,
    ) {
        let DeValue::Table(table) = value.into_inner() else {
            return self.problem(place, format!("expected a section: [{section}]"));
        };
        for (key, value) in table {
            let place = file.place(key.span().start);
            let value = plain(value);
            self.add_value(section, key.get_ref(), value, place);
        }
    }

    fn add_value(
        &mut self,
        section: &'static str,
        key: &str,
        value: Result<toml::Value, toml::de::Error>,
        place: Place,
    ) {
        let value = match value {
            Ok(value) => value,
            Err(error) => return self.problem(place, error.message()),
        };
        let known = self.values.entry(section).or_default();
        if let Some((_, first)) = known.get(key) {
            let message = format!("{section}.{key} is already set at {first}; keep one of them");
            return self.problem(place, message);
        }
        self.places.insert(format!("{section}.{key}"), place.clone());
        known.insert(key.to_owned(), (value, place));
    }

    fn add_identity(&mut self, file: &'i File, value: Spanned<DeValue<'i>>, place: Place) {
        let DeValue::Table(table) = value.into_inner() else {
            return self.problem(place, "expected a section: [identity]");
        };
        for (key, value) in table {
            let place = file.place(key.span().start);
            if key.get_ref() == "types" {
                self.add_named(file, "identity.types", value, place);
            } else {
                let value = plain(value);
                self.add_value("identity", key.get_ref(), value, place);
            }
        }
    }

    fn add_named(
        &mut self,
        file: &'i File,
        kind: &'static str,
        value: Spanned<DeValue<'i>>,
        place: Place,
    ) {
        let DeValue::Table(table) = value.into_inner() else {
            return self.problem(place, format!("expected tables: [{kind}.<name>]"));
        };
        for (key, value) in table {
            let place = file.place(key.span().start);
            self.add_object(file, kind, key.into_inner().into_owned(), value, place);
        }
    }

    fn add_list(
        &mut self,
        file: &'i File,
        kind: &'static str,
        value: Spanned<DeValue<'i>>,
        place: Place,
    ) {
        let DeValue::Array(items) = value.into_inner() else {
            let message = format!("expected a list of tables: [[{kind}]] with two brackets");
            return self.problem(place, message);
        };
        for item in items {
            let place = file.place(item.span().start);
            let id = item.get_ref().get("id").and_then(|id| id.get_ref().as_str());
            match id.map(str::to_owned) {
                Some(id) => self.add_object(file, kind, id, item, place),
                None => self.problem(place, format!("a {kind} needs an id, such as id = \"shop\"")),
            }
        }
    }

    fn add_object(
        &mut self,
        file: &'i File,
        kind: &'static str,
        id: String,
        value: Spanned<DeValue<'i>>,
        place: Place,
    ) {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return self.problem(place, format!("expected a table: [{kind}.{id}]"));
        };
        let path = format!("{kind}.{id}");
        if let Some(first) = self.places.get(&path) {
            let message = format!("{kind} {id:?} is already defined at {first}; keep one of them");
            return self.problem(place, message);
        }
        self.note_places(file, &path, &table);
        self.places.insert(path, place);
        let object = Object { file, table: Spanned::new(span, table) };
        self.objects.entry(kind).or_default().insert(id, object);
    }

    /// Notes where everything within a table was written.
    fn note_places(&mut self, file: &File, path: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let path = format!("{path}.{}", key.get_ref());
            self.note_within(file, &path, value.get_ref());
            self.places.insert(path, file.place(key.span().start));
        }
    }

    fn note_within(&mut self, file: &File, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.note_places(file, path, table),
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    self.note_within(file, &path, item.get_ref());
                    self.places.insert(path, file.place(item.span().start));
                }
            }
            _ => {}
        }
    }

    /// Reads all objects of a kind; those that cannot be read are reported and left out.
    pub fn read_objects<T: DeserializeOwned>(&mut self, kind: &'static str) -> BTreeMap<String, T> {
        let objects = self.objects.remove(kind).unwrap_or_default();
        let mut read = BTreeMap::new();
        for (id, object) in objects {
            let value = read_object(object, &mut self.problems);
            read.extend(value.map(|value| (id, value)));
        }
        read
    }
}

/// Reads a table, taking away what is wrong and trying again, so that all mistakes are reported.
fn read_object<T: DeserializeOwned>(object: Object<'_>, problems: &mut Vec<Problem>) -> Option<T> {
    let Object { file, mut table } = object;
    let mut tries = 0;
    loop {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_else(|| table.span());
        let message = friendly(error.message());
        // A field that is missing after something was taken away is our doing.
        if tries == 0 || !message.starts_with("missing field") {
            problems.push(Problem { place: file.place(span.start), message });
        }
        tries += 1;
        if !take_away(table.get_mut(), &span) || tries > 100 {
            return None;
        }
    }
}

/// Removes the innermost entry that holds `span`; false when there is none.
fn take_away(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let inside = table.iter_mut().any(|(_, value)| take_away_within(value.get_mut(), span));
    if inside {
        return true;
    }
    let wrong = |key: &Spanned<_>, value: &Spanned<_>| {
        holds(&key.span(), span) || holds(&value.span(), span)
    };
    let key = table.iter().find(|(key, value)| wrong(key, value)).map(|(key, _)| key.clone());
    key.is_some_and(|key| table.remove(&key).is_some())
}

fn take_away_within(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => take_away(table, span),
        DeValue::Array(items) => {
            items.iter_mut().any(|item| take_away_within(item.get_mut(), span))
        }
        _ => false,
    }
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn plain(value: Spanned<DeValue<'_>>) -> Result<toml::Value, toml::de::Error> {
    serde::Deserialize::deserialize(ValueDeserializer::from(value))
}

/// Reads every `*.toml` of a folder (not of folders in it), by name.
///
/// # Errors
/// What cannot be listed or read.
pub(super) fn files(folder: &Path) -> Result<Vec<File>, Problem> {
    let problem = |path: &Path, e: &dyn std::fmt::Display| Problem {
        place: Place::File { path: path.to_owned(), line: 1 },
        message: format!("cannot be read: {e}"),
    };
    let entries = std::fs::read_dir(folder).map_err(|e| problem(folder, &e))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml") && path.is_file())
        .collect();
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(File { path, text }),
        Err(e) => Err(problem(&path, &e)),
    };
    paths.into_iter().map(read).collect()
}
