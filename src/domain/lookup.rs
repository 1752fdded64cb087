//! Where something is looked for in a request, compiled.

use crate::domain::occurred::Format;
use crate::domain::path::read::{PathSet, Slot};
use crate::domain::path::{Part, Path};

/// Paths of which the first that is present counts.
#[derive(Clone, Debug)]
pub(super) struct Choice(pub(super) Vec<Lookup>);

/// A path, with its place in the source's [`PathSet`].
#[derive(Clone, Debug)]
pub(super) enum Lookup {
    Body(Slot),
    Header(Box<str>),
    Query(Box<str>),
    EventType,
    Source,
    Template(Vec<Piece>),
}

/// Where a time is, and in which format where it has one of its own.
#[derive(Clone, Debug)]
pub(super) struct TimeLookup {
    pub(super) lookup: Lookup,
    pub(super) format: Option<Format>,
}

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Literal(Box<str>),
    Lookup(Lookup),
}

impl Choice {
    pub(super) fn new(paths: &[Path], set: &mut PathSet) -> Self {
        Self(paths.iter().map(|path| Lookup::new(path, set)).collect())
    }

    /// Whether a part of it reads what is not kept with an event.
    pub(super) fn reaches_outside(&self) -> bool {
        self.0.iter().any(Lookup::reaches_outside)
    }
}

impl Lookup {
    fn new(path: &Path, set: &mut PathSet) -> Self {
        match path {
            Path::Body(steps) => Self::Body(set.add(steps)),
            Path::Header(name) => Self::Header(name.clone()),
            Path::Query(name) => Self::Query(name.clone()),
            Path::EventType => Self::EventType,
            Path::Source => Self::Source,
            Path::Template(parts) => {
                let piece = |part: &Part| match part {
                    Part::Literal(text) => Piece::Literal(text.clone()),
                    Part::Path(path) => Piece::Lookup(Self::new(path, set)),
                };
                Self::Template(parts.iter().map(piece).collect())
            }
        }
    }

    pub(super) fn reaches_outside(&self) -> bool {
        match self {
            Self::Header(_) | Self::Query(_) => true,
            Self::Template(pieces) => pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Lookup(lookup) if lookup.reaches_outside())),
            _ => false,
        }
    }
}
