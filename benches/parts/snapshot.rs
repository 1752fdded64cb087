//! What the snapshot costs: one large commit, small commits in between, a full scan at start.
//!
//! `cargo bench --bench parts -- snapshot`.

use criterion::{BatchSize, Criterion, Throughput};
use selfsame::snapshot::{Change, SnapshotStore, open};
use std::time::Duration;
use tempfile::TempDir;

const WATCHDOG: Duration = Duration::from_secs(60);

/// A row of text-like bytes under a key that comes in no order.
fn row(n: u64, bytes: usize) -> Change {
    let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut value = Vec::with_capacity(bytes);
    let mut state = key | 1;
    while value.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.extend_from_slice(format!("\"{:x}\":\"page-view\",", state >> 40).as_bytes());
    }
    value.truncate(bytes);
    ([b"f".as_slice(), &key.to_be_bytes()].concat(), Some(value))
}

fn new_store() -> (TempDir, SnapshotStore) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = open(&dir.path().join("snapshot"), WATCHDOG).expect("the store opens");
    (dir, store)
}

/// Measures all of it.
pub fn all(c: &mut Criterion) {
    commits(c);
    scans(c);
}

fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot/commit");
    group.sample_size(10).measurement_time(Duration::from_secs(15));
    group.throughput(Throughput::Elements(200_000));
    group.bench_function("200,000 rows of 300 bytes, empty store", |b| {
        let fresh = || {
            let rows: Vec<_> = (0..200_000).map(|n| row(n, 300)).collect();
            (new_store(), rows)
        };
        let commit = |((dir, store), rows): ((TempDir, SnapshotStore), Vec<Change>)| {
            store.commit(rows, 1).expect("the rows are committed");
            (store, dir)
        };
        b.iter_batched(fresh, commit, BatchSize::PerIteration);
    });
    let (_dir, store) = new_store();
    store.commit((0..200_000).map(|n| row(n, 300)).collect(), 1).expect("the rows are committed");
    group.throughput(Throughput::Elements(1000));
    let mut round = 0;
    group.bench_function("1,000 of 200,000 rows, scattered", |b| {
        let scattered = || {
            round += 1;
            (0..1000).map(|n| row(n * 199 + round % 199, 300)).collect::<Vec<_>>()
        };
        let commit = |rows| store.commit(rows, 2).expect("the rows are committed");
        b.iter_batched(scattered, commit, BatchSize::PerIteration);
    });
    group.finish();
}

fn scans(c: &mut Criterion) {
    let (dir, store) = new_store();
    for part in 0..10 {
        let rows = (part * 20_000..(part + 1) * 20_000).map(|n| row(n, 2048)).collect();
        store.commit(rows, part).expect("the rows are committed");
    }
    let mebibytes = store.size_bytes().expect("the size is known") >> 20;
    println!("200,000 rows of 2 KiB take {mebibytes} MiB on disk");
    drop(store);
    let mut group = c.benchmark_group("snapshot/scan");
    group.sample_size(10).throughput(Throughput::Elements(200_000));
    group.bench_function("200,000 rows of 2 KiB, opened anew", |b| {
        b.iter(|| {
            let store = open(&dir.path().join("snapshot"), WATCHDOG).expect("the store opens");
            assert_eq!(store.scan_prefix(b"f").filter(|row| row.is_ok()).count(), 200_000);
        });
    });
    group.finish();
}
