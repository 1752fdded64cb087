//! Damage of every kind, byte by byte: a prefix of the records, or an error that names the place.

use super::*;
use std::fs;
use std::path::PathBuf;

/// A journal of several segments in a folder, with what it holds.
fn sample() -> (TempDir, Vec<PathBuf>, Contents) {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    for _ in 0..6 {
        let noise = noise(journal.next_sequence(), 800);
        append(&mut journal, &[b"short", &noise, &[b'z'; 300]]);
    }
    let files: Vec<_> = reader.segments().into_iter().map(|segment| segment.path).collect();
    assert_eq!(files.len(), 2);
    let contents = contents(&reader);
    (dir, files, contents)
}

/// Opens, reads everything in every way, and checks that nothing wrong comes out. Returns how many
/// records were read, or the error.
fn outcome(dir: &Path, verify: bool, whole: &[(u64, Vec<u8>)]) -> Result<usize, JournalError> {
    let opened = open(JournalOptions { verify, ..options(dir) }, &mut |_| {});
    let (mut journal, reader, _) = opened.inspect_err(check_error)?;
    for sequence in 0..whole.len() as u64 + 2 {
        if let Some(record) = reader.read(sequence).inspect_err(check_error)? {
            assert_eq!(record.bytes, whole[sequence as usize - 1].1);
        }
    }
    let mut seen = 0;
    for found in reader.scan(0) {
        let (sequence, record) = found.inspect_err(check_error)?;
        assert_eq!((sequence, record.bytes.as_ref()), (whole[seen].0, whole[seen].1.as_slice()));
        seen += 1;
    }
    assert_eq!(reader.scan_back(u64::MAX).filter(Result::is_ok).count(), seen);
    assert_eq!(append(&mut journal, &[b"next"]).first_sequence, seen as u64 + 1);
    Ok(seen)
}

fn check_error(error: &JournalError) {
    let is_named = matches!(
        error,
        JournalError::Corrupt { .. } | JournalError::Version { .. } | JournalError::Foreign { .. }
    );
    assert!(is_named, "{error:?}");
}

/// Runs every damage of one file, each time on fresh copies of the others.
fn each(
    damages: impl Fn(&[u8]) -> Vec<Vec<u8>>,
    mut check: impl FnMut(usize, &[u8], Result<usize, JournalError>),
) {
    let (dir, files, whole) = sample();
    let originals: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (at, original) in originals.iter().enumerate() {
        for damaged in damages(original) {
            fs::remove_dir_all(dir.path()).unwrap();
            fs::create_dir(dir.path()).unwrap();
            for (file, bytes) in files.iter().zip(&originals) {
                fs::write(file, bytes).unwrap();
            }
            fs::write(&files[at], &damaged).unwrap();
            check(at, &damaged, outcome(dir.path(), true, &whole));
        }
    }
}

#[test]
fn every_flipped_byte_gives_a_prefix_or_a_named_error() {
    let flips = |original: &[u8]| {
        (0..original.len())
            .map(|at| {
                let mut bytes = original.to_vec();
                bytes[at] ^= 1 << (at % 8);
                bytes
            })
            .collect()
    };
    let mut cut = 0;
    each(flips, |file, _, outcome| match outcome {
        Ok(records) => {
            // Only the very last group can be taken for a torn one.
            assert_eq!((file, records), (1, 15));
            cut += 1;
        }
        Err(error) => assert!(matches!(error, JournalError::Corrupt { .. }), "{error}"),
    });
    assert!(cut > 0);
}

#[test]
fn every_truncation_of_the_last_segment_gives_a_prefix() {
    let cuts = |original: &[u8]| (0..original.len()).map(|at| original[..at].to_vec()).collect();
    each(cuts, |file, _, outcome| match outcome {
        Ok(records) => assert!(file == 1 && (12..18).contains(&records), "{file} {records}"),
        Err(error) => assert!(file == 0, "{error}"),
    });
}

#[test]
fn every_zeroed_page_gives_a_prefix_or_a_named_error() {
    for page in [64, 512, 4096] {
        let zeroed = |original: &[u8]| {
            (0..original.len())
                .step_by(page)
                .map(|at| {
                    let mut bytes = original.to_vec();
                    let until = (at + page).min(bytes.len());
                    bytes[at..until].fill(0);
                    bytes
                })
                .collect()
        };
        each(zeroed, |file, _, outcome| {
            if let Ok(records) = outcome {
                assert!(file == 1 && records >= 12);
            }
        });
    }
}

#[test]
fn damage_in_old_segments_is_found_by_reading_when_opening_skips_it() {
    let (dir, files, whole) = sample();
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[200] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let error = outcome(dir.path(), false, &whole).unwrap_err();
    let JournalError::Corrupt { file, offset, sequence, what } = error else { panic!("{error}") };
    assert_eq!((file, offset, sequence, what), (files[0].clone(), 32, 1, Damage::GroupBody));
}

#[test]
fn a_missing_segment_is_named() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    fill(&mut journal, 40);
    let segments = reader.segments();
    fs::remove_file(&segments[1].path).unwrap();
    drop(journal);
    let error = open(options(dir.path()), &mut |_| {}).unwrap_err();
    let JournalError::Corrupt { sequence, what, .. } = error else { panic!("{error}") };
    assert_eq!(sequence, segments[1].first_sequence);
    assert_eq!(what, Damage::Gap { found: segments[2].first_sequence });
}

#[test]
fn an_empty_or_headless_last_segment_is_harmless() {
    let (dir, _, whole) = sample();
    let last = dir.path().join(format!("{:020}.journal", whole.len() + 1));
    for bytes in [&b""[..], b"selfsamj", &[0; 32]] {
        fs::write(&last, bytes).unwrap();
        let (journal, reader, report) = open_in(dir.path());
        assert_eq!(report.torn_bytes, bytes.len() as u64);
        assert_eq!(contents(&reader), whole);
        assert_eq!(journal.next_sequence(), whole.len() as u64 + 1);
    }
}

#[test]
fn foreign_files_are_named_or_left_alone() {
    let (dir, files, whole) = sample();
    fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
    assert_eq!(outcome(dir.path(), true, &whole).unwrap(), whole.len());
    fs::write(dir.path().join("holiday.journal"), b"mine").unwrap();
    let error = open(options(dir.path()), &mut |_| {}).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    fs::remove_file(dir.path().join("holiday.journal")).unwrap();
    fs::write(&files[0], [b'm'; 5000]).unwrap();
    let error = open(options(dir.path()), &mut |_| {}).unwrap_err();
    let JournalError::Corrupt { what, .. } = error else { panic!("{error}") };
    assert_eq!(what, Damage::Magic);
}

#[test]
fn another_format_version_says_so() {
    let (dir, files, _) = sample();
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    for length in [bytes.len(), 32] {
        fs::write(&files[1], &bytes[..length]).unwrap();
        let error = open(options(dir.path()), &mut |_| {}).unwrap_err();
        assert!(matches!(error, JournalError::Version { found: 2, .. }), "{error}");
    }
}

#[test]
fn unsynced_groups_may_be_lost_in_any_order_but_synced_ones_may_not() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    append(&mut journal, &[b"synced"]);
    let begin = reader.segments()[0].bytes as usize;
    journal.append(&[raw(b"unsynced one")]).unwrap();
    let second = reader.segments()[0].bytes as usize;
    journal.append(&[raw(b"unsynced two")]).unwrap();
    let path = reader.segments()[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[begin..second].fill(0);
    fs::write(&path, &bytes).unwrap();
    drop(journal);
    let (_, reader, report) = open_in(dir.path());
    assert_eq!(contents(&reader).len(), 1);
    assert_eq!(report.torn_bytes, (bytes.len() - begin) as u64);
}

#[test]
fn a_synced_group_far_behind_the_damage_is_found_wherever_it_lies() {
    // The search goes in windows of 256 KiB: the second group's header lies across their border.
    for length in ((256 << 10) - 100..=(256 << 10) - 30).step_by(10) {
        let dir = folder();
        let roomy = || JournalOptions::new(dir.path());
        let (mut journal, reader, _) = open(roomy(), &mut |_| {}).unwrap();
        append(&mut journal, &[&noise(1, length)]);
        append(&mut journal, &[b"synced after it"]);
        let path = reader.segments()[0].path.clone();
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = open(roomy(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { offset: 32, sequence: 1, .. }), "{error}");
    }
}

#[test]
fn a_payload_that_looks_like_a_group_is_not_taken_for_one() {
    let dir = folder();
    let (mut journal, reader, _) = open_in(dir.path());
    append(&mut journal, &[&noise(1, 200)]);
    let path = reader.segments()[0].path.clone();
    let forged = fs::read(&path).unwrap()[32..].to_vec();
    append(&mut journal, &[&forged, &[forged.as_slice(); 3].concat()]);
    let bytes = fs::read(&path).unwrap();
    drop(journal);
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (_, reader, _) = open_in(dir.path());
    assert_eq!(contents(&reader).len(), 1);
}

#[test]
fn an_inspection_changes_nothing() {
    let (dir, files, whole) = sample();
    let bytes = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &bytes[..bytes.len() - 1]).unwrap();
    fs::write(dir.path().join("00000000000000000001.tmp"), b"").unwrap();
    let (reader, report) = inspect(dir.path(), true, &mut |_| {}).unwrap();
    assert_eq!(contents(&reader), whole[..15]);
    assert!(report.torn_bytes > 0);
    assert_eq!(fs::read(&files[1]).unwrap().len(), bytes.len() - 1);
    assert!(dir.path().join("00000000000000000001.tmp").exists());
    assert!(inspect(&dir.path().join("nowhere"), true, &mut |_| {}).is_err());
}
