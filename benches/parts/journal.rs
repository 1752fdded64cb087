//! What a durable group costs, beside the least that it can cost: the same bytes, a checksum, one
//! write and one `fdatasync`. The folder is made under `TMPDIR`; on a tmpfs the numbers say little.
//!
//! `cargo bench --bench parts -- journal`.

use criterion::{BenchmarkId, Criterion, Throughput};
use selfsame::journal::{JournalOptions, RawRecord, open};
use std::fs::File;
use std::os::unix::fs::FileExt;

const RECORD_BYTES: usize = 420;

/// Records the size of a small event: the same keys, other values.
fn records(count: usize) -> Vec<Vec<u8>> {
    (0..count as u64)
        .map(|n| {
            let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut record = format!(
                r#"{{"event":"page-view","user":{{"id":"{id:x}","email":"u{n}@example.com"}},"at":{n},"url":"https://shop.example.com/products/{:x}"#,
                id.rotate_left(17)
            );
            while record.len() < RECORD_BYTES - 2 {
                record.push(char::from(b'a' + (record.len() as u64 * id % 26) as u8));
            }
            record.push_str(r#""}"#);
            record.into_bytes()
        })
        .collect()
}

/// Measures all of it.
pub fn all(c: &mut Criterion) {
    durable_groups(c);
    reading(c);
}

fn durable_groups(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal/durable group");
    for count in [1, 10, 100, 1000] {
        let records = records(count);
        group.throughput(Throughput::Elements(count as u64));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut journal, ..) =
            open(JournalOptions::new(dir.path()), &mut |_| {}).expect("the journal opens");
        let raw: Vec<_> =
            records.iter().map(|bytes| RawRecord { kind: 1, version: 1, bytes }).collect();
        group.bench_function(BenchmarkId::new("journal", count), |b| {
            b.iter(|| {
                journal.append(&raw).expect("the group is appended");
                journal.sync().expect("the group is synced");
            });
        });
        let file = File::create(dir.path().join("plain")).expect("a file");
        let bytes = records.concat();
        let mut at = 0;
        group.bench_function(BenchmarkId::new("plain file", count), |b| {
            b.iter(|| {
                let crc = crc32c::crc32c(&bytes).to_le_bytes();
                let written = [&bytes[..], &crc].concat();
                file.write_all_at(&written, at).expect("the bytes are written");
                at += written.len() as u64;
                file.sync_data().expect("the bytes are synced");
            });
        });
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, reader, _) =
        open(JournalOptions::new(dir.path()), &mut |_| {}).expect("the journal opens");
    let records = records(100);
    let raw: Vec<_> =
        records.iter().map(|bytes| RawRecord { kind: 1, version: 1, bytes }).collect();
    for _ in 0..1000 {
        journal.append(&raw).expect("the group is appended");
    }
    journal.sync().expect("the groups are synced");
    let mut group = c.benchmark_group("journal/reading");
    group.sample_size(20).throughput(Throughput::Elements(100_000));
    group.bench_function("scan 100,000 records", |b| {
        b.iter(|| assert_eq!(reader.scan(0).filter(|found| found.is_ok()).count(), 100_000));
    });
    group.finish();
    let mut sequence = 1;
    c.bench_function("journal/read one record anywhere", |b| {
        b.iter(|| {
            sequence = sequence * 48_271 % 99_991 + 1;
            reader.read(sequence).expect("the record is read").expect("the record is there")
        });
    });
}
