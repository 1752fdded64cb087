//! Golden files: what version 1 wrote must be readable for ever. They are never made again; a new
//! format version adds its own.

use super::*;
use crate::journal::checkpoint;
use std::fs;
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What the golden segment holds: groups raw and compressed, an empty record, several kinds.
fn groups() -> Vec<Vec<(u8, u8, Vec<u8>)>> {
    vec![
        vec![(1, 1, b"the first record".to_vec())],
        vec![(2, 1, Vec::new()), (255, 3, b"a record after an empty one".to_vec())],
        vec![(1, 2, [b"compressed ".as_slice(); 40].concat()), (3, 1, (0..=255).collect())],
    ]
}

fn rows() -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![
        (b"empty".to_vec(), Vec::new()),
        (b"long".to_vec(), [b"compressed ".as_slice(); 40].concat()),
        (b"short".to_vec(), b"value".to_vec()),
    ]
}

#[test]
fn a_segment_of_version_one_is_read() {
    let dir = folder();
    let segment = "00000000000000000001.journal";
    fs::copy(golden("segment-v1.journal"), dir.path().join(segment)).unwrap();
    let (_, reader, report) = open_in(dir.path());
    assert_eq!(report.torn_bytes, 0);
    let expected: Vec<_> = groups().into_iter().flatten().collect();
    let found: Vec<_> = reader
        .scan(0)
        .map(|found| found.unwrap().1)
        .map(|record| (record.kind, record.version, record.bytes.to_vec()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_checkpoint_of_version_one_is_read() {
    let found = checkpoint::read(&golden("checkpoint-v1")).unwrap().unwrap();
    assert_eq!(found.sequence(), 4711);
    assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), rows());
}

/// Makes the golden files of the present version where they are missing; run once per version.
#[test]
#[ignore = "writes into the source tree"]
fn make_golden_files() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    for group in groups() {
        let records: Vec<_> = group
            .iter()
            .map(|(kind, version, bytes)| RawRecord { kind: *kind, version: *version, bytes })
            .collect();
        journal.append(&records).unwrap();
    }
    fs::create_dir_all(golden("")).unwrap();
    let segment = golden("segment-v1.journal");
    assert!(!segment.exists(), "golden files are never made anew");
    fs::copy(&reader.segments()[0].path, segment).unwrap();
    checkpoint::write(&Disk::Real, &golden("checkpoint-v1"), 4711, rows()).unwrap();
}
