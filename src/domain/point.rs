//! An identification point, compiled, and what a source makes of it.

use super::extract::event_type;
use super::path::Path;
use super::settings::{OneOrMany, PointConfig};
use super::source::{Choice, Source};
use std::collections::BTreeSet;

/// A compiled point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) id: Box<str>,
    /// The sources that it reads; `None` for all.
    pub(super) sources: Option<BTreeSet<String>>,
    event_types: Option<BTreeSet<String>>,
    wanted: Vec<Wanted<Vec<Path>>>,
}

/// A point as one source uses it.
#[derive(Clone, Debug)]
pub(super) struct PointUse {
    pub(super) id: Box<str>,
    event_types: Option<BTreeSet<String>>,
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

    /// Lets `source` use it.
    pub(super) fn install(&self, source: &mut Source) {
        let wanted = self.wanted.iter().map(|wanted| Wanted {
            kind: wanted.kind.clone(),
            paths: Choice::new(&wanted.paths, &mut source.paths),
            trait_name: wanted.trait_name.clone(),
        });
        let wanted = wanted.collect();
        let event_types = self.event_types.clone();
        source.points.push(PointUse { id: self.id.clone(), event_types, wanted });
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
