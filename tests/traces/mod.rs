//! What a data folder still holds of a person: every byte of every file, every decompressed record,
//! every row of the snapshot and the checkpoint. For folders on which no program runs.

use selfsame::journal::{self, checkpoint};
use selfsame::snapshot;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where one of these texts is found, whatever its case; empty where nobody is left.
pub fn find(data: &Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |place: String, bytes: &[u8]| {
        let held = String::from_utf8_lossy(bytes).to_lowercase();
        let texts = texts.iter().filter(|text| held.contains(&text.to_lowercase()));
        found.extend(texts.map(|text| format!("{text} in {place}")));
    };
    for file in files(data) {
        look(file.display().to_string(), &std::fs::read(&file).unwrap());
    }
    let (reader, _) = journal::inspect(&data.join("journal"), true, &mut |_| {}).unwrap();
    for record in reader.scan(reader.first_sequence()) {
        let (sequence, record) = record.unwrap();
        look(format!("record {sequence} of kind {}", record.kind), &record.bytes);
    }
    let stores = std::fs::read_dir(data.join("snapshot")).unwrap();
    let stores = stores.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir());
    assert_eq!(stores.count(), 1, "an old snapshot store is left");
    let store = snapshot::open(&data.join("snapshot"), Duration::from_secs(20)).unwrap();
    for row in (1..=u8::MAX).flat_map(|first| store.scan_prefix(&[first])) {
        let (key, value) = row.unwrap();
        look(format!("row {} of the snapshot", key.escape_ascii()), &[&*key, &value].concat());
    }
    if let Some(rows) = checkpoint::read(&data.join("checkpoint")).unwrap() {
        for row in rows {
            let (key, value) = row.unwrap();
            look(format!("row {} of the checkpoint", key.escape_ascii()), &[key, value].concat());
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}
