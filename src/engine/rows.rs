//! The snapshot's layout: which row lies under which key, and how a [`Core`] comes back from them.
//!
//! | key | row |
//! |---|---|
//! | `a` | genesis |
//! | `b` | configuration files' settings, objects by API (JSON) |
//! | `c` | counters |
//! | `d` + sequence | a run of event ids, the last of them seen at that sequence |
//! | `e` + page | edges · `n` + page: nodes · `o` + page: fragments' births · `x`: names · `y`: cannot-links |
//! | `i` | suppressions and erasures |
//! | `f` + fragment | a fragment · `t` + fragment + number: a full chunk of its timeline |
//! | `g` + fragment | what campaigns left on it · `h` + campaign + sequence: a run as told
//! | `k` + number | an operator's link
//! | `l` + bucket | events on no profile |
//! | `p` | disabled endpoints · `q` + number: a delivery
//! | `m` + number | changes of identity from that number on · `v`: events read again |

use super::campaign_state::CampaignState;
use super::core::{Core, Fresh};
use super::effective::{Effective, Objects};
use crate::domain::event::Reason;
use crate::domain::graph::{FragmentIndex, Graph, Page};
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::domain::settings::Settings;
use crate::records::{
    self, ChangeRow, Counters, DedupeRow, Genesis, LinkRow, ObjectKind, RecordError, decode_page,
    encode_page,
};
use crate::snapshot::{SnapshotError, SnapshotStore};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The first bytes of all keys, in the order of the keys.
pub(super) const CORE_PREFIXES: &[u8] = b"abcdefghiklmnopqtvxy";

/// Changes of identity in a row.
const CHANGES: usize = 1_000;

/// A row to write; `None` removes it.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// A row does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Rows do not fit each other.
    #[error("the snapshot's rows do not fit each other: {0}")]
    Inconsistent(String),
}

fn key(prefix: u8, number: u64) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn page_key(page: &Page) -> Vec<u8> {
    match page {
        Page::Nodes(at, _) => key(b'n', u64::from(*at)),
        Page::Edges(at, _) => key(b'e', u64::from(*at)),
        Page::Fragments(at, _) => key(b'o', u64::from(*at)),
        Page::Names(..) => vec![b'x'],
        Page::Apart(_) => vec![b'y'],
    }
}

/// The rows of everything but fragments that changed since the last call.
pub(super) fn core_rows(core: &mut Core, pages: &[Page]) -> Result<Vec<Row>, RecordError> {
    let mut rows: Vec<Row> = Vec::new();
    for page in pages {
        rows.push((page_key(page), Some(encode_page(page)?)));
    }
    core.counters.snapshots += 1;
    let fresh = std::mem::take(&mut core.fresh);
    if fresh.configuration {
        rows.push((vec![b'a'], Some(core.genesis.encode()?)));
        let json = |value: Result<String, serde_json::Error>| {
            value.map_err(|cause| RecordError::Encoding {
                what: "settings",
                cause: cause.to_string(),
            })
        };
        let objects: Vec<(ObjectKind, String, String)> = core
            .objects
            .iter()
            .map(|((kind, id), text)| (*kind, id.clone(), text.clone()))
            .collect();
        let resolved = json(serde_json::to_string(&core.resolved))?;
        let configuration = (json(serde_json::to_string(&core.files))?, objects, resolved);
        rows.push((vec![b'b'], Some(records::encode("the configuration", &configuration)?)));
    }
    rows.push((vec![b'c'], Some(records::encode("counters", &core.counters)?)));
    for run in &fresh.dedupe {
        let last = run.last().map_or(core.applied, |row| row.sequence);
        rows.push((key(b'd', last), Some(records::encode("event ids", run)?)));
        let newest = run.iter().map(|row| row.received_at).max().unwrap_or_default();
        core.dedupe_rows.push_back((last, newest));
    }
    for last in core.forgotten_dedupe_rows() {
        rows.push((key(b'd', last), None));
    }
    for bucket in &fresh.loose {
        let row = records::encode("loose events", &core.loose_bucket(*bucket))?;
        rows.push((key(b'l', *bucket), Some(row)));
    }
    for number in &fresh.links {
        let row = core.links.get(number).map(|link| records::encode("a link", link)).transpose()?;
        rows.push((key(b'k', *number), row));
    }
    if fresh.erasures {
        let all = (&core.suppressed, &core.erasures, &core.pending, &core.hidden);
        rows.push((vec![b'i'], Some(records::encode("erasures", &all)?)));
    }
    if fresh.revised {
        rows.push((vec![b'v'], Some(records::encode("events read again", &core.revised)?)));
    }
    // From the beginning of a row on, so that a row that is written again takes its own place.
    let changes_saved = if fresh.rewritten { 0 } else { fresh.changes_saved };
    for run in core.changes[changes_saved - changes_saved % CHANGES..].chunks(CHANGES) {
        rows.push((key(b'm', run[0].number), Some(records::encode("changes", &run)?)));
    }
    rows.append(&mut core.campaigns.take_rows()?);
    core.fresh = Fresh { changes_saved: core.changes.len(), ..Fresh::default() };
    core.fresh.fragments = fresh.fragments;
    core.fresh.gone = fresh.gone;
    Ok(rows)
}

/// Adds the removal of every row of the tables that is not written now: a re-resolution has replaced
/// them as a whole.
pub(super) fn purge(store: &SnapshotStore, rows: &mut Vec<Row>) -> Result<(), SnapshotError> {
    let written: BTreeSet<Vec<u8>> = rows.iter().map(|(key, _)| key.clone()).collect();
    for prefix in [b"e", b"f", b"l", b"n", b"o", b"t", b"y"] {
        for row in store.scan_prefix(prefix) {
            let (key, _) = row?;
            if !written.contains(&key) {
                rows.push((key, None));
            }
        }
    }
    Ok(())
}

/// Adds the removal of all rows of fragments that are gone.
pub(super) fn remove_fragments(
    store: &SnapshotStore,
    gone: &BTreeSet<FragmentIndex>,
    rows: &mut Vec<Row>,
) -> Result<(), SnapshotError> {
    for fragment in gone {
        let key = super::rest::fragment_key(*fragment);
        let mut chunks = key.clone();
        chunks[0] = b't';
        rows.push((key, None));
        for row in store.scan_prefix(&chunks) {
            rows.push((row?.0, None));
        }
    }
    Ok(())
}

/// What a snapshot holds, fragments aside.
pub(super) struct Loaded {
    pub(super) core: Core,
    pub(super) dedupe: Vec<DedupeRow>,
}

/// Reads everything but fragments back.
pub(super) fn load(store: &SnapshotStore, sequence: Sequence) -> Result<Loaded, LoadError> {
    let need = |what: &'static str, row: Option<Vec<u8>>| {
        row.ok_or_else(|| LoadError::Inconsistent(format!("{what} is missing")))
    };
    let genesis = Genesis::decode(records::VERSION, &need("genesis", store.get(b"a")?)?)?;
    let (files, objects, resolved): (String, Vec<(ObjectKind, String, String)>, String) =
        records::decode("the configuration", &need("the configuration", store.get(b"b")?)?)?;
    let settings = |text: &str| -> Result<Settings, LoadError> {
        serde_json::from_str(text)
            .map_err(|cause| LoadError::Inconsistent(format!("the settings: {cause}")))
    };
    let files = settings(&files)?;
    let objects: Objects = objects.into_iter().map(|(kind, id, json)| ((kind, id), json)).collect();
    let effective = Effective::new(&files, &objects, genesis.hash_key).map_err(|problems| {
        LoadError::Inconsistent(problems.iter().map(ToString::to_string).collect())
    })?;
    let mut core = Core::new(genesis, effective, files);
    core.objects = objects;
    core.resolved = settings(&resolved)?;
    core.counters = records::decode::<Counters>("counters", &need("counters", store.get(b"c")?)?)?;
    core.graph = load_graph(store, &core)?;
    load_loose(store, &mut core)?;
    core.campaigns = CampaignState::load(store)?;
    for row in store.scan_prefix(b"k") {
        let link: LinkRow = records::decode("a link", &row?.1)?;
        core.links.insert(link.number, link);
    }
    if let Some(row) = store.get(b"i")? {
        (core.suppressed, core.erasures, core.pending, core.hidden) =
            records::decode("erasures", &row)?;
    }
    if let Some(row) = store.get(b"v")? {
        core.revised = records::decode("events read again", &row)?;
    }
    for row in store.scan_prefix(b"m") {
        core.changes.extend(records::decode::<Vec<ChangeRow>>("changes", &row?.1)?);
    }
    let mut dedupe = Vec::new();
    for row in store.scan_prefix(b"d") {
        let run = records::decode::<Vec<DedupeRow>>("event ids", &row?.1)?;
        let last = run.last().map_or(0, |row| row.sequence);
        let newest = run.iter().map(|row| row.received_at).max().unwrap_or_default();
        core.dedupe_rows.push_back((last, newest));
        dedupe.extend(run);
    }
    core.applied = sequence;
    core.fresh = Fresh { changes_saved: core.changes.len(), ..Fresh::default() };
    Ok(Loaded { core, dedupe })
}

fn load_graph(store: &SnapshotStore, core: &Core) -> Result<Graph, LoadError> {
    let mut failed = None;
    let rules = Arc::new(Rules::new(&core.resolved));
    let pages = [b"x".as_slice(), b"y", b"o", b"n", b"e"]
        .into_iter()
        .flat_map(|prefix| store.scan_prefix(prefix))
        .map_while(|row| {
            let page = row.map_err(LoadError::from).and_then(|(_, row)| Ok(decode_page(&row)?));
            page.map_err(|error| failed = Some(error)).ok()
        });
    let graph = Graph::from_pages(rules, pages);
    match failed {
        Some(error) => Err(error),
        None => graph.map_err(LoadError::Inconsistent),
    }
}

fn load_loose(store: &SnapshotStore, core: &mut Core) -> Result<(), LoadError> {
    for row in store.scan_prefix(b"l") {
        let (less, aside): (Vec<Sequence>, Vec<(Sequence, u8)>) =
            records::decode("loose events", &row?.1)?;
        core.profile_less.extend(less);
        let reason = |number: u8| {
            Reason::ALL.get(usize::from(number)).copied().unwrap_or(Reason::MalformedBody)
        };
        core.quarantined.extend(aside.into_iter().map(|(at, number)| (at, reason(number))));
    }
    Ok(())
}
