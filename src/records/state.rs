//! Snapshot rows: the graph's pages, fragments, and what else the engine knows at a sequence.

use super::{RecordError, decode, encode, encode_versioned, versioned};
use crate::domain::event::{Event, Found};
use crate::domain::fold::{Cell, Sorted};
use crate::domain::fragment::Fragment;
use crate::domain::graph::{ChangeKind, Page};
use crate::domain::id::{Identifier, Sequence};
use crate::domain::time::Timestamp;
use crate::domain::timeline::{Chunk, Timeline};
use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Counters and cursors at the snapshot's sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Events of every status.
    pub events: u64,
    /// Changes of identity told so far.
    pub changes: u64,
    /// Snapshots taken so far.
    pub snapshots: u64,
    /// Re-resolutions so far.
    pub generation: u16,
    /// The record that put the present configuration in force.
    pub configured: Sequence,
    /// The switch record of the last re-resolution; events before it are read again.
    pub resolved_to: Sequence,
    /// The configuration that was adopted without reading events again, by its record; 0 where there
    /// is none, or events were read again since.
    pub adopted: Sequence,
    /// All is to be resolved again: an erasure took evidence that others had a part in, or an event was
    /// set aside that the last re-resolution may have taken in.
    pub must_resolve: bool,
    /// The sum of the content hashes of events on no profile.
    pub loose_content: u128,
}

/// An event id that was seen, for duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupeRow {
    /// The keyed hash of source and event id.
    pub key: [u8; 16],
    /// The first event with it.
    pub sequence: Sequence,
    /// When that was received.
    pub received_at: Timestamp,
}

/// An operator's link, as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// Its number, from 1.
    pub number: u64,
    /// Whether it joins.
    pub joins: bool,
    /// One end.
    pub a: Identifier,
    /// The other end.
    pub b: Identifier,
    /// Why.
    pub reason: String,
    /// When it was laid.
    pub at: Timestamp,
}

/// An operator's cut, as kept: of its identifiers no two of different parts may be one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutRow {
    /// Its number, among those of links.
    pub number: u64,
    /// Its parts.
    pub parts: Vec<Vec<Identifier>>,
    /// Why.
    pub reason: String,
    /// When it was laid.
    pub at: Timestamp,
}

/// What an operator laid: a link, or a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaidRow {
    /// A link.
    Link(LinkRow),
    /// A cut.
    Cut(CutRow),
}

/// The bytes of a link's row.
///
/// # Errors
/// When it is larger than a row may be.
pub fn encode_link(row: &LinkRow) -> Result<Vec<u8>, RecordError> {
    encode("a link", row)
}

/// The bytes of a cut's row: version 2 of what operators laid.
///
/// # Errors
/// When it is larger than a row may be.
pub fn encode_cut(row: &CutRow) -> Result<Vec<u8>, RecordError> {
    encode_versioned("a cut", 2, row)
}

/// Reads the row of a link or of a cut.
///
/// # Errors
/// When the bytes do not decode.
pub fn decode_laid(bytes: &[u8]) -> Result<LaidRow, RecordError> {
    match versioned("a link or a cut", bytes, 2)? {
        (1, bytes) => Ok(LaidRow::Link(decode("a link", bytes)?)),
        (_, bytes) => Ok(LaidRow::Cut(decode("a cut", bytes)?)),
    }
}

/// An erasure, as kept: counts, and nothing of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRow {
    /// When it was ordered.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Events, fragments, identifiers and deliveries that went.
    pub counts: [u64; 4],
    /// Records that are still to be emptied in the files.
    pub records: Vec<Sequence>,
    /// Whether acts are among them.
    pub has_acts: bool,
    /// Whether no file holds the person any more.
    pub is_done: bool,
    /// What tells its line in the erasure log from every other.
    pub mark: u64,
}

/// An erasure whose records are still being looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingErasure {
    /// When it was ordered.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Whether to suppress.
    pub suppress: bool,
    /// The person's identifiers.
    pub identifiers: Vec<Identifier>,
    /// The person's sessions.
    pub sessions: Vec<String>,
    /// The fragments that went.
    pub fragments: Vec<u32>,
    /// Whether others had evidence with the person.
    pub touched_others: bool,
    /// The deliveries that went, sent or not.
    pub deliveries: Vec<u64>,
    /// How many of them were still to be sent.
    pub unsent: u64,
    /// The person's events, once they are known.
    pub events: Option<Vec<Sequence>>,
}

impl PendingErasure {
    /// Whether an identifier, or a session, is the person's.
    pub fn owns(&self, one: &Identifier) -> bool {
        let is_session =
            || &*one.kind == "session" && self.sessions.iter().any(|id| **id == *one.value);
        self.identifiers.contains(one) || is_session()
    }

    /// Whether an event comes with an identifier, or a session, of the person.
    pub fn is_in(&self, event: &Event) -> bool {
        let in_session =
            event.session.as_deref().is_some_and(|id| self.sessions.iter().any(|one| one == id));
        let is_own =
            |one: &Identifier, found: &Found| one.kind == found.kind && one.value == found.value;
        let mut named = event.external.iter().chain(&event.identifiers);
        in_session || named.any(|found| self.identifiers.iter().any(|one| is_own(one, found)))
    }
}

/// A change of identity, as kept. Profiles go by their minted ids, so that a change stays readable
/// whatever becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// The number of the change, from 1.
    pub number: u64,
    /// What happened; in the row by its number.
    pub kind: ChangeKind,
    /// The profile.
    pub profile: Option<u128>,
    /// The profiles that joined it or left it.
    pub others: Vec<u128>,
    /// The event that caused it.
    pub event: Option<u128>,
    /// The identifier at fault.
    pub identifier: Option<String>,
    /// The rule at work, or the operator's reason.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct FragmentV1 {
    events: u64,
    by_type: Vec<(Box<str>, u64)>,
    first_seen: i64,
    last_seen: i64,
    content: u128,
    traits: Vec<(Box<str>, CellV1)>,
    chunks_saved: u32,
    tail: Vec<u8>,
    late: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
enum CellV1 {
    Last(i64, Box<str>),
    First(i64, Box<str>),
    Min(Box<str>),
    Max(Box<str>),
    Sum(String),
    Set(Vec<Box<str>>),
    Consent(i64, bool),
}

/// The bytes of a fragment's row. Its full chunks have rows of their own and must be saved with it.
///
/// # Errors
/// When the fragment is larger than a row may be.
pub fn encode_fragment(fragment: &Fragment) -> Result<Vec<u8>, RecordError> {
    let traits = fragment.traits.iter().map(|(name, cell)| (name.clone(), cell_v1(cell)));
    encode(
        "a fragment",
        &FragmentV1 {
            events: fragment.events,
            by_type: fragment.by_type.clone(),
            first_seen: fragment.first_seen.0,
            last_seen: fragment.last_seen.0,
            content: fragment.content,
            traits: traits.collect(),
            chunks_saved: fragment.timeline.saved + fragment.timeline.full.len() as u32,
            tail: fragment.timeline.tail.bytes().to_vec(),
            late: fragment.timeline.late.clone(),
        },
    )
}

/// Reads a fragment's row.
///
/// # Errors
/// When the bytes do not decode.
pub fn decode_fragment(bytes: &[u8]) -> Result<Fragment, RecordError> {
    let v1: FragmentV1 = decode("a fragment", bytes)?;
    let mut traits = Vec::with_capacity(v1.traits.len());
    for (name, cell) in v1.traits {
        traits.push((name, cell_of(cell)?));
    }
    Ok(Fragment {
        events: v1.events,
        by_type: v1.by_type,
        first_seen: Timestamp(v1.first_seen),
        last_seen: Timestamp(v1.last_seen),
        content: v1.content,
        traits,
        timeline: Timeline {
            saved: v1.chunks_saved,
            full: Vec::new(),
            tail: Chunk::from_bytes(v1.tail),
            late: v1.late,
        },
    })
}

fn cell_v1(cell: &Cell) -> CellV1 {
    match cell {
        Cell::Last(at, json) => CellV1::Last(at.0, json.clone()),
        Cell::First(at, json) => CellV1::First(at.0, json.clone()),
        Cell::Min(json) => CellV1::Min(json.clone()),
        Cell::Max(json) => CellV1::Max(json.clone()),
        Cell::Sum(sum) => CellV1::Sum(sum.to_string()),
        Cell::Set(set) => CellV1::Set(set.iter().map(|one| one.0.clone()).collect()),
        Cell::Consent(at, granted) => CellV1::Consent(at.0, *granted),
    }
}

fn cell_of(cell: CellV1) -> Result<Cell, RecordError> {
    Ok(match cell {
        CellV1::Last(at, json) => Cell::Last(Timestamp(at), json),
        CellV1::First(at, json) => Cell::First(Timestamp(at), json),
        CellV1::Min(json) => Cell::Min(json),
        CellV1::Max(json) => Cell::Max(json),
        CellV1::Sum(sum) => Cell::Sum(Box::new(BigDecimal::from_str(&sum).map_err(|cause| {
            RecordError::Encoding { what: "a trait's sum", cause: cause.to_string() }
        })?)),
        CellV1::Set(set) => Cell::Set(set.into_iter().map(Sorted).collect()),
        CellV1::Consent(at, granted) => Cell::Consent(Timestamp(at), granted),
    })
}

/// The bytes of a page of the graph.
///
/// # Errors
/// When the page is larger than a row may be.
pub fn encode_page(page: &Page) -> Result<Vec<u8>, RecordError> {
    encode("a page of the graph", page)
}

/// Reads a page of the graph.
///
/// # Errors
/// When the bytes do not decode.
pub fn decode_page(bytes: &[u8]) -> Result<Page, RecordError> {
    decode("a page of the graph", bytes)
}
