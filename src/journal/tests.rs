//! Tests of the journal: round trips, crashes, damage, failing disks, erasure.

mod checkpoints;
mod damage;
mod golden;

use super::disk::{Disk, Failure, Faults, Operation};
use super::*;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn options(dir: &Path) -> JournalOptions {
    JournalOptions { segment_bytes: 4 << 10, ..JournalOptions::new(dir) }
}

fn open_in(dir: &Path) -> (Journal, JournalReader, RecoveryReport) {
    open(options(dir), &mut |_| {}).expect("the journal opens")
}

fn raw(bytes: &[u8]) -> RawRecord<'_> {
    RawRecord { kind: 7, version: 1, bytes }
}

fn append(journal: &mut Journal, records: &[&[u8]]) -> GroupRef {
    let records: Vec<_> = records.iter().map(|bytes| raw(bytes)).collect();
    let group = journal.append(&records).expect("the group is appended");
    journal.sync().expect("the group is synced");
    group
}

/// Sequences and bytes.
type Contents = Vec<(u64, Vec<u8>)>;

fn contents(reader: &JournalReader) -> Contents {
    reader
        .scan(0)
        .map(|found| found.map(|(sequence, record)| (sequence, record.bytes.to_vec())))
        .collect::<Result<_, _>>()
        .expect("every record can be read")
}

/// Enough groups for several segments of 4 KiB; the n-th record holds its sequence and noise.
fn fill(journal: &mut Journal, groups: u64) {
    for _ in 0..groups {
        let sequence = journal.next_sequence();
        let noise = noise(sequence, 300);
        append(journal, &[&sequence.to_le_bytes(), &noise]);
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}

#[test]
fn a_new_journal_begins_with_sequence_one() {
    let dir = folder();
    let (mut journal, reader, report) = open_in(dir.path());
    assert_eq!((report.records, report.last_sequence, report.segments), (0, 0, 1));
    assert_eq!(journal.next_sequence(), FIRST_SEQUENCE);
    assert!(reader.read(1).unwrap().is_none());
    let group = append(&mut journal, &[b"a", b"b"]);
    assert_eq!((group.first_sequence, group.records), (1, 2));
    assert_eq!(reader.read(2).unwrap().unwrap().bytes.as_ref(), b"b");
    assert!(reader.read(3).unwrap().is_none());
    assert!(reader.read(0).unwrap().is_none());
}

#[test]
fn what_was_appended_is_there_after_a_restart_and_goes_on() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    fill(&mut journal, 40);
    let before = contents(&reader);
    assert!(reader.segments().len() > 3, "the segments were rolled");
    drop((journal, reader));
    let (mut journal, reader, report) = open_in(dir.path());
    assert_eq!(contents(&reader), before);
    assert_eq!((report.records, report.groups, report.last_sequence), (80, 40, 80));
    assert_eq!(report.torn_bytes, 0);
    append(&mut journal, &[b"more"]);
    assert_eq!(reader.read(81).unwrap().unwrap().bytes.as_ref(), b"more");
}

#[test]
fn an_unsynced_group_is_visible_and_survives_a_killed_process() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    journal.append(&[raw(b"only written")]).unwrap();
    assert_eq!(journal.durable_sequence(), 1);
    assert_eq!(contents(&reader).len(), 1);
    drop(journal);
    let (journal, reader, _) = open_in(dir.path());
    assert_eq!(contents(&reader).len(), 1);
    assert_eq!(journal.durable_sequence(), 2, "opening makes what it finds durable");
}

#[test]
fn similar_records_are_compressed_and_noise_is_not() {
    let dir = folder();
    let (mut journal, ..) = open_in(dir.path());
    let same = [b'x'; 1000];
    assert!(append(&mut journal, &[&same]).bytes < 100);
    let noise = noise(1, 1000);
    assert_eq!(append(&mut journal, &[&noise]).bytes, 44 + 6 + 1000);
}

#[test]
fn limits_refuse_a_group_without_poisoning() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    let long = vec![0; RECORD_BYTES_MAX + 1];
    let many = vec![raw(b""); GROUP_RECORDS_MAX + 1];
    let largest = &long[1..];
    assert!(matches!(journal.append(&[]), Err(JournalError::GroupEmpty)));
    assert!(matches!(journal.append(&many), Err(JournalError::TooManyRecords { .. })));
    assert!(matches!(journal.append(&[raw(&long)]), Err(JournalError::RecordTooLarge { .. })));
    let two = [raw(largest), raw(largest)];
    assert!(matches!(journal.append(&two), Err(JournalError::GroupTooLarge { .. })));
    journal.append(&[raw(largest)]).unwrap();
    journal.append(&many[1..]).unwrap();
    assert_eq!(reader.read(1).unwrap().unwrap().bytes.len(), RECORD_BYTES_MAX);
    assert_eq!(reader.next_sequence(), 2 + GROUP_RECORDS_MAX as u64);
}

#[test]
fn the_first_failed_write_poisons_and_leaves_what_was_there() {
    for (operation, failure) in [
        (Operation::Write, Failure::Error(EIO)),
        (Operation::Write, Failure::Short { bytes: 20, errno: ENOSPC }),
        (Operation::Write, Failure::Short { bytes: 60, errno: ENOSPC }),
        (Operation::Sync, Failure::Error(EIO)),
    ] {
        let dir = folder();
        let faults = Arc::new(Faults::default());
        let disk = Disk::Faulty(Arc::clone(&faults));
        let (mut journal, reader, _) =
            open(JournalOptions { disk, ..options(dir.path()) }, &mut |_| {}).unwrap();
        append(&mut journal, &[b"kept"]);
        faults.fail(operation, 0, failure);
        let payload = noise(3, 100);
        let lost = journal.append(&[raw(&payload)]).and_then(|_| journal.sync());
        assert!(matches!(lost, Err(JournalError::Io { .. })), "{lost:?}");
        assert!(matches!(journal.append(&[raw(b"no")]), Err(JournalError::Poisoned)));
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
        assert_eq!(reader.read(1).unwrap().unwrap().bytes.as_ref(), b"kept");
        drop(journal);
        let (_, reader, _) = open_in(dir.path());
        assert_eq!(contents(&reader)[0].1, b"kept");
    }
}

#[test]
fn a_disk_that_fails_while_a_segment_is_begun_loses_nothing() {
    for nth in 0..3 {
        for operation in [Operation::Write, Operation::Sync] {
            let dir = folder();
            let faults = Arc::new(Faults::default());
            let disk = Disk::Faulty(Arc::clone(&faults));
            let (mut journal, reader, _) =
                open(JournalOptions { disk, ..options(dir.path()) }, &mut |_| {}).unwrap();
            while reader.segments()[0].bytes < 3900 {
                let payload = noise(journal.next_sequence(), 60);
                append(&mut journal, &[&payload]);
            }
            let before = contents(&reader);
            faults.fail(operation, nth, Failure::Short { bytes: 9, errno: EIO });
            let _ = journal.append(&[raw(&noise(9, 900))]).and_then(|_| journal.sync());
            drop(journal);
            let (mut journal, reader, _) = open_in(dir.path());
            assert_eq!(contents(&reader)[..before.len()], before);
            fill(&mut journal, 5);
        }
    }
}

#[test]
fn readers_run_beside_the_writer() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = reader.clone();
            scope.spawn(move || {
                let mut scan = reader.scan(1);
                let mut seen = 0;
                while seen < 400 {
                    let Some(found) = scan.next() else { continue };
                    seen += 1;
                    assert_eq!(found.unwrap().0, seen);
                }
            });
        }
        fill(&mut journal, 200);
    });
}

#[test]
fn a_rewrite_replaces_records_in_place_and_leaves_no_trace() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    fill(&mut journal, 30);
    append(&mut journal, &[b"a secret name, a secret name, a secret name"]);
    let mut expected = contents(&reader);
    let mut scan = reader.scan(1);
    scan.next();
    let report = journal
        .rewrite(&[3, 3, 61, 999], |sequence, record| {
            assert_eq!(record.kind, 7);
            ReplacementRecord { kind: 9, version: 2, bytes: format!("gone {sequence}").into() }
        })
        .unwrap();
    assert_eq!((report.segments, report.records), (2, 2));
    expected[2].1 = b"gone 3".to_vec();
    expected[60].1 = b"gone 61".to_vec();
    assert_eq!(contents(&reader), expected);
    assert_eq!(scan.count(), 60, "a scan that was under way goes on");
    assert_eq!(reader.read(61).unwrap().unwrap().kind, 9);
    fill(&mut journal, 3);
    drop(journal);
    std::fs::write(dir.path().join("00000000000000000001.tmp"), b"left by a crash").unwrap();
    let (_, reader, _) =
        open(JournalOptions { verify: true, ..options(dir.path()) }, &mut |_| {}).unwrap();
    assert_eq!(contents(&reader)[..61], expected);
    assert!(!dir.path().join("00000000000000000001.tmp").exists());
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(memchr::memmem::find(&bytes, b"secret").is_none());
    }
}

#[test]
fn a_rewrite_that_fails_leaves_the_old_segment() {
    let dir = folder();
    let faults = Arc::new(Faults::default());
    let disk = Disk::Faulty(Arc::clone(&faults));
    let (mut journal, reader, _) =
        open(JournalOptions { disk, ..options(dir.path()) }, &mut |_| {}).unwrap();
    fill(&mut journal, 30);
    let before = contents(&reader);
    faults.fail(Operation::Write, 3, Failure::Error(ENOSPC));
    let replacement = ReplacementRecord { kind: 9, version: 1, bytes: Vec::new() };
    assert!(journal.rewrite(&[1], |_, _| replacement.clone()).is_err());
    assert_eq!(contents(&reader), before);
    drop(journal);
    assert_eq!(contents(&open_in(dir.path()).1), before);
}

#[test]
fn old_segments_are_removed_whole_and_the_last_one_stays() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    fill(&mut journal, 40);
    let segments = reader.segments();
    assert_eq!(journal.remove_segments_before(segments[1].next_sequence - 1).unwrap(), 1);
    assert_eq!(reader.first_sequence(), segments[1].first_sequence);
    assert!(reader.read(1).unwrap().is_none());
    assert_eq!(contents(&reader)[0].0, segments[1].first_sequence);
    assert_eq!(reader.scan_back(u64::MAX).count() as u64, 81 - segments[1].first_sequence);
    journal.remove_segments_before(u64::MAX).unwrap();
    assert_eq!(reader.segments().len(), 1);
    fill(&mut journal, 1);
    drop(journal);
    let (journal, _, report) = open_in(dir.path());
    assert_eq!(journal.next_sequence(), 83);
    assert_eq!(report.first_sequence, segments.last().unwrap().first_sequence);
}

#[test]
fn only_one_process_holds_the_data_folder() {
    let dir = folder();
    let held = folder::DataFolder::take(dir.path()).unwrap();
    let error = folder::DataFolder::take(dir.path()).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(held);
    folder::DataFolder::take(dir.path()).unwrap();
    assert!(folder::free_bytes(dir.path()).unwrap() > 0);
}

fn groups() -> impl Strategy<Value = Vec<Vec<(u8, u8, Vec<u8>)>>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..600),
        proptest::collection::vec(b'a'..b'c', 0..600),
    ];
    let record = (any::<u8>(), any::<u8>(), bytes);
    proptest::collection::vec(proptest::collection::vec(record, 1..8), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_groups_come_back_as_they_were(groups in groups(), from in 0u64..60) {
        let dir = folder();
        let (mut journal, reader, _) = open_in(dir.path());
        let mut expected = Vec::new();
        for group in &groups {
            let records: Vec<_> = group
                .iter()
                .map(|(kind, version, bytes)| RawRecord { kind: *kind, version: *version, bytes })
                .collect();
            journal.append(&records).unwrap();
            expected.extend(group.iter().cloned());
        }
        let expected: Vec<_> = (FIRST_SEQUENCE..).zip(expected).collect();
        drop(journal);
        for reader in [reader, open_in(dir.path()).1] {
            let flat = |found: Result<(u64, Record), JournalError>| {
                let (sequence, record) = found.unwrap();
                (sequence, (record.kind, record.version, record.bytes.to_vec()))
            };
            let forward: Vec<_> = reader.scan(0).map(flat).collect();
            prop_assert_eq!(&forward, &expected);
            let mut back: Vec<_> = reader.scan_back(u64::MAX).map(flat).collect();
            back.reverse();
            prop_assert_eq!(&back, &expected);
            let start = (from.max(1) as usize - 1).min(expected.len());
            let tail: Vec<_> = reader.scan(from).map(flat).collect();
            prop_assert_eq!(&tail[..], &expected[start..]);
            let head: Vec<_> = reader.scan_back(from).map(flat).collect();
            prop_assert_eq!(head.len(), start);
            if let Some((sequence, (kind, version, bytes))) = expected.get(start) {
                let record = reader.read(*sequence).unwrap().unwrap();
                prop_assert_eq!((record.kind, record.version, &record.bytes[..]),
                    (*kind, *version, &bytes[..]));
            }
        }
    }
}
