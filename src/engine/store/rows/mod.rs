//! The snapshot's layout: which row lies under which key, and how a [`Core`] comes back from them.
//! Which row lies under which key says [`keys`].

pub(in crate::engine) mod campaigns;
pub(in crate::engine) mod erasures;
pub(in crate::engine) mod error;
mod outbox;

use crate::domain::event::Reason;
use crate::domain::graph::{FragmentIndex, Graph, Page};
use crate::domain::id::Sequence;
use crate::domain::rules::Rules;
use crate::domain::settings::Settings;
use crate::engine::state::acts::cut_of;
use crate::engine::state::configuration::{Effective, Objects};
use crate::engine::state::row::Row;
use crate::engine::state::{BUCKET, Core, Fresh};
use crate::engine::store::rows::error::LoadError;
use crate::records::keys;
use crate::records::{
    self, Counters, DedupeRow, Genesis, LaidRow, ObjectKind, RecordError, decode_page, encode_page,
};
use crate::snapshot::{SnapshotError, SnapshotStore};
use std::collections::BTreeSet;
use std::sync::Arc;

fn page_key(page: &Page) -> Vec<u8> {
    match page {
        Page::Nodes(at, _) => keys::numbered(keys::NODES, u64::from(*at)),
        Page::Edges(at, _) => keys::numbered(keys::EDGES, u64::from(*at)),
        Page::Fragments(at, _) => keys::numbered(keys::BIRTHS, u64::from(*at)),
        Page::Names(..) => vec![keys::NAMES],
        Page::Apart(_) => vec![keys::APART],
    }
}

/// The rows that a snapshot of this state needs, beside the fragments'.
///
/// # Errors
/// When a row is larger than a row may be.
pub(in crate::engine) fn take_rows(core: &mut Core) -> Result<Vec<Row>, RecordError> {
    let pages: Vec<Page> = core.graph.take_changed_pages();
    core_rows(core, &pages)
}

/// The rows of everything but fragments that changed since the last call.
fn core_rows(core: &mut Core, pages: &[Page]) -> Result<Vec<Row>, RecordError> {
    let mut rows: Vec<Row> = Vec::new();
    for page in pages {
        rows.push((page_key(page), Some(encode_page(page)?)));
    }
    core.counters.snapshots += 1;
    let fresh = std::mem::take(&mut core.fresh);
    if fresh.configuration {
        rows.push((vec![keys::GENESIS], Some(core.genesis.encode()?)));
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
        rows.push((
            vec![keys::CONFIGURATION],
            Some(records::encode("the configuration", &configuration)?),
        ));
    }
    rows.push((vec![keys::COUNTERS], Some(records::encode("counters", &core.counters)?)));
    for run in &fresh.dedupe {
        let last = run.last().map_or(core.applied, |row| row.sequence);
        rows.push((
            keys::numbered(keys::EVENT_IDS, last),
            Some(records::encode("event ids", run)?),
        ));
        let newest = run.iter().map(|row| row.received_at).max().unwrap_or_default();
        core.dedupe_rows.push_back((last, newest));
    }
    for last in core.forgotten_dedupe_rows() {
        rows.push((keys::numbered(keys::EVENT_IDS, last), None));
    }
    for bucket in &fresh.loose {
        let row = records::encode("loose events", &core.loose_bucket(*bucket))?;
        rows.push((keys::numbered(keys::LOOSE, *bucket), Some(row)));
    }
    for number in &fresh.links {
        let link = core.links.get(number).map(records::encode_link);
        let row = link.or_else(|| core.cuts.get(number).map(records::encode_cut)).transpose()?;
        rows.push((keys::numbered(keys::LINK, *number), row));
    }
    if fresh.erasures {
        erasures::put(core, &mut rows)?;
    }
    for bucket in &fresh.revised {
        let span = bucket * BUCKET..(bucket + 1) * BUCKET;
        let all = core.revised.within(span);
        let row = records::encode("events read again", &all)?;
        rows.push((keys::numbered(keys::REVISIONS, *bucket), (!all.is_empty()).then_some(row)));
    }
    let changes = core.changes.take_rows()?;
    rows.extend(
        changes.into_iter().map(|(first, run)| (keys::numbered(keys::CHANGES, first), Some(run))),
    );
    rows.append(&mut campaigns::take_rows(&mut core.campaigns)?);
    core.fresh = Fresh { fragments: fresh.fragments, gone: fresh.gone, ..Fresh::default() };
    Ok(rows)
}

/// Adds the removal of every row of the tables that is not written now: a re-resolution has replaced
/// them as a whole.
pub(in crate::engine) fn purge(
    store: &SnapshotStore,
    rows: &mut Vec<Row>,
) -> Result<(), SnapshotError> {
    let written: BTreeSet<Vec<u8>> = rows.iter().map(|(key, _)| key.clone()).collect();
    for prefix in [
        keys::EDGES,
        keys::FRAGMENT,
        keys::LOOSE,
        keys::NODES,
        keys::BIRTHS,
        keys::CHUNK,
        keys::APART,
    ] {
        for row in store.scan_prefix(&[prefix]) {
            let (key, _) = row?;
            if !written.contains(&key) {
                rows.push((key, None));
            }
        }
    }
    Ok(())
}

/// Adds the removal of all rows of fragments that are gone.
pub(in crate::engine) fn remove_fragments(
    store: &SnapshotStore,
    gone: &BTreeSet<FragmentIndex>,
    rows: &mut Vec<Row>,
) -> Result<(), SnapshotError> {
    for fragment in gone {
        let key = crate::engine::store::fragments::fragment_key(*fragment);
        let mut chunks = key.clone();
        chunks[0] = keys::CHUNK;
        rows.push((key, None));
        for row in store.scan_prefix(&chunks) {
            rows.push((row?.0, None));
        }
    }
    Ok(())
}

/// What a snapshot holds, fragments aside.
pub(in crate::engine) struct Loaded {
    pub(in crate::engine) core: Core,
    pub(in crate::engine) dedupe: Vec<DedupeRow>,
}

/// Reads everything but fragments back.
pub(in crate::engine) fn load(
    store: &SnapshotStore,
    sequence: Sequence,
) -> Result<Loaded, LoadError> {
    let need = |what: &'static str, row: Option<Vec<u8>>| {
        row.ok_or_else(|| LoadError::Inconsistent(format!("{what} is missing")))
    };
    let genesis =
        Genesis::decode(records::VERSION, &need("genesis", store.get(&[keys::GENESIS])?)?)?;
    let (files, objects, resolved): (String, Vec<(ObjectKind, String, String)>, String) =
        records::decode(
            "the configuration",
            &need("the configuration", store.get(&[keys::CONFIGURATION])?)?,
        )?;
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
    core.counters =
        records::decode::<Counters>("counters", &need("counters", store.get(&[keys::COUNTERS])?)?)?;
    core.graph = load_graph(store, &core)?;
    load_loose(store, &mut core)?;
    core.campaigns = campaigns::load(store)?;
    let deliveries = core.effective.compiled.settings.limits.deliveries;
    core.campaigns.outbox.keep_over(deliveries as usize);
    for row in store.scan_prefix(&[keys::LINK]) {
        match records::decode_laid(&row?.1)? {
            LaidRow::Link(link) => drop(core.links.insert(link.number, link)),
            LaidRow::Cut(cut) => {
                core.graph.restore_cut(&cut_of(&cut));
                core.cuts.insert(cut.number, cut);
            }
        }
    }
    erasures::load(store, &mut core)?;
    for row in store.scan_prefix(&[keys::REVISIONS]) {
        let all: Vec<(Sequence, Sequence)> = records::decode("events read again", &row?.1)?;
        core.revised.extend(all);
    }
    for row in store.scan_prefix(&[keys::CHANGES]) {
        core.changes.restore(&row?.1)?;
    }
    let mut dedupe = Vec::new();
    for row in store.scan_prefix(&[keys::EVENT_IDS]) {
        let run = records::decode::<Vec<DedupeRow>>("event ids", &row?.1)?;
        let last = run.last().map_or(0, |row| row.sequence);
        let newest = run.iter().map(|row| row.received_at).max().unwrap_or_default();
        core.dedupe_rows.push_back((last, newest));
        dedupe.extend(run);
    }
    core.applied = sequence;
    core.fresh = Fresh::default();
    Ok(Loaded { core, dedupe })
}

fn load_graph(store: &SnapshotStore, core: &Core) -> Result<Graph, LoadError> {
    let mut failed = None;
    let rules = Arc::new(Rules::new(&core.resolved));
    let pages = [keys::NAMES, keys::APART, keys::BIRTHS, keys::NODES, keys::EDGES]
        .into_iter()
        .flat_map(|prefix| store.scan_prefix(&[prefix]))
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
    for row in store.scan_prefix(&[keys::LOOSE]) {
        let (less, aside): (Vec<Sequence>, Vec<(Sequence, u8)>) =
            records::decode("loose events", &row?.1)?;
        core.profile_less.extend(less);
        for (at, number) in aside {
            let reason = Reason::of_number(number).ok_or_else(|| {
                let most = Reason::ALL.len() - 1;
                LoadError::Inconsistent(format!(
                    "expected a reason of 0 to {most} for the event at sequence {at}, found {number}"
                ))
            })?;
            core.quarantined.insert(at, reason);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Reason;
    use crate::domain::id::IdKey;
    use crate::domain::time::Timestamp;
    use crate::records::{ChangeRow, ErasureRow};
    use std::collections::BTreeMap;

    const MANY: u64 = 200_000;

    fn empty() -> Core {
        let hash_key = [7; 32];
        let genesis = Genesis { made_at: Timestamp(0), id_key: IdKey(1, 2), hash_key };
        let effective = Effective::new(&Settings::default(), &Objects::new(), hash_key).unwrap();
        Core::new(genesis, effective, Settings::default())
    }

    fn hash(number: u64) -> [u8; 16] {
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&number.to_be_bytes()).as_bytes()[..16]);
        hash
    }

    /// A store takes rows of 16 MiB at most: however much there is of one thing, it lies in rows that
    /// are far below.
    #[test]
    fn no_row_grows_with_the_number_of_things() {
        let mut core = empty();
        for number in 0..MANY {
            core.fresh.remember(DedupeRow {
                key: hash(number),
                sequence: number,
                received_at: Timestamp(0),
            });
            core.suppressed.insert(hash(number));
            core.hidden.insert(number);
            core.revised.extend([(number, number + 1)]);
            core.touch_revised(number);
            core.quarantined.insert(number, Reason::TooDeep);
            core.touch_loose(number);
            core.changes.push(ChangeRow {
                number: number + 1,
                kind: crate::domain::graph::ChangeKind::Merge,
                profile: Some(1),
                others: vec![2; 8],
                event: None,
                identifier: None,
                reason: None,
                at: Timestamp(0),
            });
        }
        for erasure in 0..MANY / 10 {
            let (at, reason) = (Timestamp(0), String::new());
            let row = ErasureRow {
                at,
                reason,
                counts: [0; 4],
                records: vec![9],
                is_done: true,
                mark: 1,
                has_acts: false,
            };
            core.erasures.insert(erasure, row);
        }
        core.fresh.erasures = true;
        let rows = core_rows(&mut core, &[]).unwrap();
        let longest = rows.iter().filter_map(|(_, row)| row.as_ref()).map(Vec::len).max();
        assert!(longest.unwrap() <= 2 << 20, "a row of {longest:?} bytes");
        let rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> = rows.into_iter().collect();
        assert!(rows.len() > 20_000 + 200, "an erasure is a row");

        // What is no more goes, and only what changed is written again.
        core.suppressed.retain(|hash| hash[0] != 5);
        core.erasures.remove(&17);
        core.fresh.erasures = true;
        core.touch_revised(3);
        let again = core_rows(&mut core, &[]).unwrap();
        let gone = again.iter().filter(|(_, row)| row.is_none()).count();
        assert_eq!(gone, 2);
        assert_eq!(again.iter().filter(|(key, _)| key[0] == b'v').count(), 1);
        assert!(again.iter().all(|(key, _)| rows.contains_key(key)), "a row under another key");
    }
}
