//! Tests of the snapshot store.

use super::*;
use std::fs;
use std::time::Duration;

const WATCHDOG: Duration = Duration::from_secs(20);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(key: &str, value: &[u8]) -> Change {
    (key.as_bytes().to_vec(), Some(value.to_vec()))
}

fn gone(key: &str) -> Change {
    (key.as_bytes().to_vec(), None)
}

fn rows(store: &SnapshotStore, prefix: &str) -> Vec<Row> {
    store.scan_prefix(prefix.as_bytes()).collect::<Result<_, _>>().expect("the rows are read")
}

#[test]
fn a_commit_is_there_after_reopening() {
    let dir = folder();
    let path = dir.path().join("snapshot");
    let store = open(&path, WATCHDOG).unwrap();
    assert_eq!((store.sequence(), store.rows()), (None, 0));
    store.commit(vec![put("p/b", b"2"), put("q/a", b""), put("p/a", b"1")], 7).unwrap();
    assert_eq!((store.sequence(), store.rows()), (Some(7), 3));
    let reader = store.clone();
    drop(store);
    assert_eq!(reader.get(b"p/a").unwrap().unwrap(), b"1");
    drop(reader);
    let store = open(&path, WATCHDOG).unwrap();
    assert_eq!((store.sequence(), store.rows()), (Some(7), 3));
    assert_eq!(store.get(b"q/a").unwrap().unwrap(), b"");
    assert_eq!(store.get(b"q/b").unwrap(), None);
    let pairs = [("p/a", "1"), ("p/b", "2")].map(|(k, v)| (k.into(), v.into()));
    assert_eq!(rows(&store, "p/"), pairs);
    assert_eq!(rows(&store, "").len(), 3, "the store's own row is not shown");
    assert!(store.size_bytes().unwrap() > 0);
}

#[test]
fn of_several_changes_to_one_row_the_last_counts() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    store.commit(vec![put("a", b"1"), put("b", b"1"), put("a", b"2")], 1).unwrap();
    store
        .commit(vec![put("b", b"2"), gone("b"), gone("never"), gone("a"), put("a", b"3")], 2)
        .unwrap();
    assert_eq!(rows(&store, ""), [(b"a".to_vec(), b"3".to_vec())]);
    assert_eq!((store.sequence(), store.rows()), (Some(2), 1));
}

#[test]
fn many_rows_split_leaves_and_come_back_in_order() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    let key = |n: u32| n.to_be_bytes().map(|byte| byte | 0x80).to_vec();
    let many: Vec<Change> =
        (0..5000).map(|n| (key(n % 97 * 128 + n / 97), Some(vec![n as u8; 50]))).collect();
    let distinct: std::collections::BTreeMap<_, _> = many.iter().cloned().collect();
    store.commit(many, 1).unwrap();
    drop(store);
    let store = open(dir.path(), WATCHDOG).unwrap();
    let found: Vec<_> = store.scan_prefix(b"").map(Result::unwrap).collect();
    let expected: Vec<_> = distinct.into_iter().map(|(k, v)| (k, v.unwrap())).collect();
    assert_eq!(found, expected);
    assert_eq!(store.rows(), found.len() as u64);
}

#[test]
fn the_stores_own_rows_cannot_be_written() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    let refused = store.commit(vec![put("\0meta", b"")], 1);
    assert!(matches!(refused, Err(SnapshotError::ReservedKey)));
    store.commit(vec![put("a", b"1")], 1).unwrap();
}

#[test]
fn a_row_that_was_changed_behind_the_store_is_named() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    store.commit(vec![put("a", b"secret"), put("b", b"2")], 1).unwrap();
    store.overwrite_raw(b"a", b"\x01other");
    let error = store.get(b"a").unwrap_err();
    assert!(matches!(error, SnapshotError::Corrupt { prefix: b'a', key_bytes: 1, .. }), "{error}");
    assert!(!error.to_string().contains("other"));
    let mut scan = store.scan_prefix(b"");
    assert!(scan.next().unwrap().is_err());
    assert!(scan.next().is_none());
    assert_eq!(store.get(b"b").unwrap().unwrap(), b"2");
}

#[test]
fn another_format_version_says_so() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    store.commit(vec![put("a", b"1")], 1).unwrap();
    let other = [(FORMAT_VERSION + 1).to_le_bytes().as_slice(), &[0; 16]].concat();
    store.overwrite_raw(b"\0meta", &row::seal(b"\0meta", &other));
    drop(store);
    let error = open(dir.path(), WATCHDOG).unwrap_err();
    assert!(matches!(error, SnapshotError::Version { found: 2, .. }), "{error}");
}

#[test]
fn damaged_files_give_an_error_or_the_rows_and_the_folder_can_be_set_aside() {
    let dir = folder();
    let path = dir.path().join("snapshot");
    let store = open(&path, WATCHDOG).unwrap();
    let all: Vec<Change> = (0..300).map(|n| put(&format!("key {n:04}"), &[n as u8; 90])).collect();
    store.commit(all, 1).unwrap();
    let whole = rows(&store, "");
    drop(store);
    let mut files = Vec::new();
    collect_files(&path, &mut files);
    let mut seen_error = false;
    for (file, bytes) in &files {
        if bytes.is_empty() {
            continue;
        }
        let mut damaged = bytes.clone();
        for byte in damaged.iter_mut().step_by(23) {
            *byte ^= 0x55;
        }
        fs::write(file, &damaged).unwrap();
        let found = open(&path, Duration::from_millis(1500))
            .and_then(|store| store.scan_prefix(b"").collect::<Result<Vec<_>, _>>());
        match found {
            Ok(rows) => assert!(rows.iter().all(|row| whole.contains(row))),
            Err(_) => seen_error = true,
        }
        let aside = set_aside(&path).unwrap();
        assert!(aside.exists() && !path.exists());
        for (file, bytes) in &files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
    }
    assert!(seen_error);
    assert_eq!(rows(&open(&path, WATCHDOG).unwrap(), ""), whole);
}

fn collect_files(folder: &std::path::Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
}

#[test]
fn readers_run_beside_a_commit() {
    let dir = folder();
    let store = open(dir.path(), WATCHDOG).unwrap();
    store.commit((0..500).map(|n| put(&format!("{n:03}"), b"0")).collect(), 1).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let store = store.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(rows(&store, "").len(), 500);
                    assert!(store.get(b"123").unwrap().is_some());
                }
            });
        }
        for round in 2..10u64 {
            let changes = (0..500).map(|n| put(&format!("{n:03}"), &round.to_le_bytes())).collect();
            store.commit(changes, round).unwrap();
        }
    });
}
