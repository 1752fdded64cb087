//! Tests of the checkpoint file.

use super::*;
use crate::journal::checkpoint::{CheckpointError, Row, read, write};
use std::fs;

fn rows(count: u64) -> Vec<Row> {
    (0..count).map(|n| (n.to_be_bytes().to_vec(), noise(n, (n % 700) as usize))).collect()
}

fn read_all(path: &Path) -> Result<(u64, Vec<Row>), CheckpointError> {
    let rows = read(path)?.expect("the file is there");
    Ok((rows.sequence(), rows.collect::<Result<_, _>>()?))
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    let dir = folder();
    let path = dir.path().join("checkpoint");
    assert!(read(&path).unwrap().is_none());
    for count in [0, 1, 9000] {
        let rows = rows(count);
        let bytes = write(&Disk::Real, &path, 42 + count, rows.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
        assert_eq!(read_all(&path).unwrap(), (42 + count, rows));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn every_damage_of_a_checkpoint_is_named() {
    let dir = folder();
    let path = dir.path().join("checkpoint");
    write(&Disk::Real, &path, 7, rows(6)).unwrap();
    let whole = fs::read(&path).unwrap();
    let is_named = |error| matches!(error, CheckpointError::Corrupt { .. });
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(is_named(read_all(&path).unwrap_err()), "flipped at {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(is_named(read_all(&path).unwrap_err()), "cut at {at}");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(is_named(read_all(&path).unwrap_err()));
}

#[test]
fn a_failed_checkpoint_leaves_the_one_before() {
    let dir = folder();
    let path = dir.path().join("checkpoint");
    write(&Disk::Real, &path, 7, rows(6)).unwrap();
    for (operation, nth) in [(Operation::Write, 0), (Operation::Write, 2), (Operation::Sync, 0)] {
        let faults = Arc::new(Faults::default());
        faults.fail(operation, nth, Failure::Short { bytes: 3, errno: ENOSPC });
        assert!(write(&Disk::Faulty(faults), &path, 8, rows(9)).is_err());
        assert_eq!(read_all(&path).unwrap(), (7, rows(6)));
    }
}
