//! An identification point, compiled, and what a source makes of it.

use crate::domain::lookup::Choice;
use crate::domain::names::event_type;
use crate::domain::path::Path;
use crate::domain::settings::{OneOrMany, PointConfig};
use std::collections::BTreeSet;

/// A compiled point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) id: Box<str>,
    /// The sources that it reads; `None` for all.
    pub(super) sources: Option<BTreeSet<String>>,
    pub(super) event_types: Option<BTreeSet<String>>,
    pub(super) wanted: Vec<Wanted<Vec<Path>>>,
}

/// A point as one source uses it.
#[derive(Clone, Debug)]
pub(super) struct PointUse {
    pub(super) id: Box<str>,
    pub(super) event_types: Option<BTreeSet<String>>,
    pub(super) wanted: Vec<Wanted<Choice>>,
}

/// An identifier that a point looks for: by paths, or by what a source makes of them.
#[derive(Clone, Debug)]
pub(super) struct Wanted<P> {
    pub(super) kind: Box<str>,
    pub(super) paths: P,
    pub(super) trait_name: Option<Box<str>>,
}

impl Point {
    /// Compiles a point; `paths` are those of its identifiers, in their order.
    pub(super) fn new(id: &str, config: &PointConfig, paths: Vec<Vec<Path>>) -> Self {
        let types = names(config.event_type.as_ref());
        let wanted = config.identifiers.iter().zip(paths).map(|(wanted, paths)| Wanted {
            kind: wanted.kind.as_str().into(),
            paths,
            trait_name: wanted.trait_name.as_deref().map(Into::into),
        });
        Self {
            id: id.into(),
            sources: names(config.source.as_ref()),
            event_types: types
                .map(|types| types.iter().filter_map(|name| event_type(name)).collect()),
            wanted: wanted.collect(),
        }
    }

    /// Whether it reads the events of that source.
    pub(super) fn reads_source(&self, id: &str) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(id))
    }
}

impl PointUse {
    /// Whether it reads events of that type.
    pub(super) fn reads_type(&self, kind: &str) -> bool {
        self.event_types.as_ref().is_none_or(|types| types.contains(kind))
    }
}

/// The names in a filter; `None` where it is left out or holds a `*`.
fn names(filter: Option<&OneOrMany>) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = filter?.iter().map(|name| name.trim().to_owned()).collect();
    (!names.contains("*")).then_some(names)
}
