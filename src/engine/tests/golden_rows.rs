//! Golden files of the snapshot rows whose types are the engine's own: what version 1 wrote must be
//! read for ever. Those of `crate::records` are in `tests/golden_records.rs`, which also says which
//! kinds of rows there are, and by which files they are covered.
//!
//! They are never made anew; a later version adds its own beside them. A file that is not there yet
//! is written by `SELFSAME_WRITE_GOLDEN=1 cargo test --lib golden_rows`.

use crate::domain::event::Reason;
use crate::domain::id::IdKey;
use crate::domain::settings::Settings;
use crate::domain::time::Timestamp;
use crate::domain::timeline::{Chunk, Timeline};
use crate::engine::state::Core;
use crate::engine::state::campaigns::runs::{Disabled, RunRow};
use crate::engine::state::configuration::{Effective, Objects};
use crate::engine::store::rows::{load, take_rows};
use crate::records::{Genesis, ObjectKind, keys};
use crate::snapshot;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const WATCHDOG: Duration = Duration::from_secs(60);
const AT: Timestamp = Timestamp(1_764_000_000_000);

/// The bytes of a golden file; `made` becomes it where there is none yet and that is asked for.
fn golden(name: &str, made: &[u8]) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v1");
    let path = Path::new(folder).join(name);
    if !path.exists() && std::env::var_os("SELFSAME_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(path).unwrap()
}

fn objects() -> Objects {
    let city = ((ObjectKind::Trait, "city".to_owned()), r#"{"fold":"last"}"#.to_owned());
    [city].into_iter().collect()
}

/// A state with something in each of these tables.
fn filled() -> Core {
    let hash_key = [7; 32];
    let genesis = Genesis { made_at: AT, id_key: IdKey(3, u64::MAX), hash_key };
    let effective = Effective::new(&Settings::default(), &objects(), hash_key).unwrap();
    let mut core = Core::new(genesis, effective, Settings::default());
    core.objects = objects();
    core.profile_less.extend([3, 300]);
    core.quarantined.extend((1_000..).zip(Reason::ALL));
    core.touch_loose(3);
    core.revised.extend([(1_000, 70_000), (1_001, 70_000)]);
    core.touch_revised(1_000);
    core.suppressed.extend([[5; 16], [5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
    core.hidden.extend([12, 4_711]);
    core.fresh.erasures = true;
    let run = RunRow {
        fragment: (17, 2),
        event_id: u128::MAX / 3,
        began_at: AT,
        state: "ended".to_owned(),
        reason: Some("exited".to_owned()),
    };
    core.campaigns.tell("cart", 4_711, run);
    let disabled = Disabled { at: AT, reason: "410 Gone".to_owned() };
    core.campaigns.disabled.insert(("cart".into(), 2), disabled);
    core.campaigns.is_disabled_fresh = true;
    core
}

#[test]
fn rows_of_the_engines_own_types_are_read_and_written_as_they_were() {
    let mut made: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (key, row) in take_rows(&mut filled()).unwrap() {
        made.extend(row.map(|row| (key, row)));
    }
    let told_run = [&[keys::TOLD_RUN][..], b"cart\0", &4_711u64.to_be_bytes()].concat();
    let of_erasures =
        |table: u8, number: u64| [&[keys::ERASURES, table][..], &number.to_be_bytes()].concat();
    for (name, key, is_the_same) in [
        // What the settings of a later release hold more of is in the text as well.
        ("row-configuration", vec![keys::CONFIGURATION], false),
        ("row-loose", keys::numbered(keys::LOOSE, 0), true),
        ("row-revisions", keys::numbered(keys::REVISIONS, 0), true),
        ("row-told-run", told_run, true),
        ("row-disabled", vec![keys::DISABLED], true),
        ("row-suppressed", of_erasures(b's', 5), true),
        ("row-hidden", of_erasures(b'h', 0), true),
    ] {
        let row = made.get_mut(&key).unwrap_or_else(|| panic!("no row {name} under its key"));
        let bytes = golden(name, row);
        assert!(!is_the_same || *row == bytes, "{name} is written otherwise than it was");
        *row = bytes;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = snapshot::open(&folder.path().join("snapshot"), WATCHDOG).unwrap();
    store.commit(made.into_iter().map(|(key, row)| (key, Some(row))).collect(), 70_000).unwrap();
    let (read, expected) = (load(&store, 70_000).unwrap().core, filled());
    assert_eq!(read.objects, expected.objects);
    assert_eq!(read.resolved, expected.resolved);
    assert_eq!(read.profile_less, expected.profile_less);
    assert_eq!(read.quarantined, expected.quarantined);
    assert_eq!(read.revised.within(0..u64::MAX), expected.revised.within(0..u64::MAX));
    assert_eq!(read.suppressed, expected.suppressed);
    assert_eq!(read.hidden, expected.hidden);
    assert_eq!(read.campaigns.told, expected.campaigns.told);
    assert_eq!(read.campaigns.disabled, expected.campaigns.disabled);
}

#[test]
fn a_number_that_no_reason_has_is_refused_and_not_read_as_another() {
    let mut made = take_rows(&mut filled()).unwrap();
    let loose = keys::numbered(keys::LOOSE, 0);
    let (less, aside) = (vec![3u64], vec![(1_000u64, Reason::ALL.len() as u8)]);
    let row = crate::records::encode("loose events", &(less, aside)).unwrap();
    made.retain(|(key, _)| *key != loose);
    made.push((loose, Some(row)));
    let folder = tempfile::tempdir().unwrap();
    let store = snapshot::open(&folder.path().join("snapshot"), WATCHDOG).unwrap();
    store.commit(made, 70_000).unwrap();
    let why = load(&store, 70_000).err().map(|error| error.to_string()).unwrap();
    assert!(why.contains("expected a reason of 0 to 7 for the event at sequence 1000"), "{why}");
}

#[test]
fn full_chunks_and_reasons_are_read_and_written_as_they_were() {
    let all = [3, 4, 500, 70_000, 70_001];
    let mut timeline = Timeline::default();
    all.into_iter().for_each(|sequence| timeline.push(sequence));
    let bytes = golden("row-chunk", timeline.tail.bytes());
    assert_eq!(timeline.tail.bytes(), bytes);
    assert!(Chunk::from_bytes(bytes).iter().eq(all));
    // Why a delivery is over is its text as it is.
    let reason = "a newer one took its place";
    assert_eq!(golden("row-reason", reason.as_bytes()), reason.as_bytes());
}
