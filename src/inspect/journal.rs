//! The journal from outside: statistics, a listing, and the check of every checksum.

use super::Table;
use crate::journal::checkpoint::{self, CheckpointError};
use crate::journal::{
    JournalError, Progress, Record, RecoveryReport, SegmentInfo, inspect as open_read_only,
};
use std::collections::BTreeMap;
use std::path::Path;

/// What a kind of record amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// How many records there are.
    pub records: u64,
    /// Their length in bytes, decompressed.
    pub bytes: u64,
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalStats {
    /// Counts, the range of sequences, a torn tail, and how long the look at the headers took.
    pub report: RecoveryReport,
    /// Every segment, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Records by kind and version of their encoding.
    pub kinds: BTreeMap<(u8, u8), KindStats>,
}

impl JournalStats {
    /// The length of all records in bytes, decompressed.
    pub fn record_bytes(&self) -> u64 {
        self.kinds.values().map(|kind| kind.bytes).sum()
    }

    /// How many bytes of records a byte of the files holds.
    pub fn compression_ratio(&self) -> f64 {
        self.record_bytes() as f64 / self.report.bytes.max(1) as f64
    }

    /// The whole as one line per fact.
    pub fn summary(&self) -> Table {
        let report = &self.report;
        let mut table = Table::new(&["journal", ""]);
        let mut fact = |name: &str, value: String| table.row([name.to_owned(), value]);
        fact("sequences", format!("{}..={}", report.first_sequence, report.last_sequence));
        fact("segments", report.segments.to_string());
        fact("groups", report.groups.to_string());
        fact("records", report.records.to_string());
        fact("record bytes", self.record_bytes().to_string());
        fact("file bytes", report.bytes.to_string());
        fact("compression", format!("{:.2}", self.compression_ratio()));
        fact("torn bytes", report.torn_bytes.to_string());
        fact("index built in", format!("{:.1?}", report.took));
        table
    }

    /// One line per kind and version; the journal itself has no names for kinds.
    pub fn kinds_table(&self, name_of: impl Fn(u8) -> String) -> Table {
        let mut table = Table::new(&["kind", "version", "records", "bytes", "mean"]);
        for (&(kind, version), stats) in &self.kinds {
            table.row([
                name_of(kind),
                version.to_string(),
                stats.records.to_string(),
                stats.bytes.to_string(),
                (stats.bytes / stats.records.max(1)).to_string(),
            ]);
        }
        table
    }

    /// One line per segment.
    pub fn segments_table(&self) -> Table {
        let mut table = Table::new(&["segment", "first", "next", "groups", "bytes"]);
        for segment in &self.segments {
            let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
            table.row([
                name.into_owned(),
                segment.first_sequence.to_string(),
                segment.next_sequence.to_string(),
                segment.groups.to_string(),
                segment.bytes.to_string(),
            ]);
        }
        table
    }
}

/// Reads the whole journal and counts.
///
/// # Errors
/// The first damage that is met, by name.
pub fn stats(dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<JournalStats, JournalError> {
    let (reader, report) = open_read_only(dir, false, progress)?;
    let mut kinds: BTreeMap<(u8, u8), KindStats> = BTreeMap::new();
    for found in reader.scan(0) {
        let (_, record) = found?;
        let kind = kinds.entry((record.kind, record.version)).or_default();
        kind.records += 1;
        kind.bytes += record.bytes.len() as u64;
    }
    Ok(JournalStats { report, segments: reader.segments(), kinds })
}

/// The records from a sequence on, oldest first; what they say is for the caller to decode.
///
/// # Errors
/// When the journal cannot be opened; damage that is met later is an item.
pub fn list(
    dir: &Path,
    from: u64,
) -> Result<impl Iterator<Item = Result<(u64, Record), JournalError>>, JournalError> {
    let (reader, _) = open_read_only(dir, false, &mut |_| {})?;
    Ok(reader.scan(from))
}

/// What was checked without finding damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The journal; a torn tail is in it, as that is not damage.
    pub report: RecoveryReport,
    /// The sequence and the number of rows of the checkpoint, if there is one.
    pub checkpoint: Option<(u64, u64)>,
}

/// Damage that was found.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// In a segment.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// In the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint ends before the oldest segment begins.
    #[error(
        "the checkpoint ends at sequence {checkpoint} and the oldest segment begins at {first}: \
         what lies between is missing; restore the missing segments from a backup"
    )]
    Gap {
        /// The sequence that the checkpoint reflects; 0 without one.
        checkpoint: u64,
        /// The oldest sequence in a segment.
        first: u64,
    },
}

/// Compares every checksum of the segments and of the checkpoint, decompresses every group, and
/// looks for a gap between the two.
///
/// # Errors
/// The first damage that is met, by name.
pub fn verify(
    dir: &Path,
    checkpoint_path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, VerifyError> {
    let (reader, report) = open_read_only(dir, true, progress)?;
    for found in reader.scan(0) {
        found?;
    }
    let mut checkpoint = None;
    if let Some(rows) = checkpoint::read(checkpoint_path)? {
        let sequence = rows.sequence();
        let mut count = 0;
        for row in rows {
            row?;
            count += 1;
        }
        checkpoint = Some((sequence, count));
    }
    let covered = checkpoint.map_or(0, |(sequence, _)| sequence);
    if report.first_sequence > covered.saturating_add(1) {
        return Err(VerifyError::Gap { checkpoint: covered, first: report.first_sequence });
    }
    Ok(Verified { report, checkpoint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::Disk;
    use crate::journal::{JournalOptions, RawRecord, open};

    fn sample() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions { segment_bytes: 4096, ..JournalOptions::new(dir.path()) };
        let (mut journal, ..) = open(options, &mut |_| {}).unwrap();
        for n in 0..100u8 {
            let bytes: Vec<u8> = (0..90).map(|i: u8| i.wrapping_mul(n)).collect();
            let records = [
                RawRecord { kind: 1, version: 1, bytes: &bytes },
                RawRecord { kind: 2, version: 3, bytes: b"ten bytes!" },
            ];
            journal.append(&records).unwrap();
            journal.sync().unwrap();
        }
        dir
    }

    #[test]
    fn statistics_count_records_by_kind() {
        let dir = sample();
        let stats = stats(dir.path(), &mut |_| {}).unwrap();
        assert_eq!(stats.kinds[&(1, 1)], KindStats { records: 100, bytes: 9000 });
        assert_eq!(stats.kinds[&(2, 3)], KindStats { records: 100, bytes: 1000 });
        assert_eq!((stats.report.groups, stats.report.last_sequence), (100, 200));
        assert_eq!(stats.segments.len() as u64, stats.report.segments);
        let shown = stats.kinds_table(|kind| format!("kind-{kind}")).to_string();
        assert!(shown.contains("kind-2        3      100   1000    10"), "{shown}");
        assert!(stats.summary().to_string().contains("1..=200"));
        assert_eq!(stats.segments_table().to_string().lines().count(), 1 + stats.segments.len());
    }

    #[test]
    fn a_listing_begins_where_it_is_told() {
        let dir = sample();
        let listed: Vec<_> = list(dir.path(), 199).unwrap().map(Result::unwrap).collect();
        assert_eq!(listed.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [199, 200]);
    }

    #[test]
    fn verifying_finds_damage_and_a_gap_before_the_oldest_segment() {
        let dir = sample();
        let checkpoint = dir.path().join("checkpoint");
        let whole = verify(dir.path(), &checkpoint, &mut |_| {}).unwrap();
        assert_eq!(whole.checkpoint, None);
        let segments = stats(dir.path(), &mut |_| {}).unwrap().segments;
        std::fs::remove_file(&segments[0].path).unwrap();
        let error = verify(dir.path(), &checkpoint, &mut |_| {}).unwrap_err();
        assert!(matches!(error, VerifyError::Gap { checkpoint: 0, .. }), "{error}");
        let reached = segments[0].next_sequence - 1;
        checkpoint::write(&Disk::Real, &checkpoint, reached, [(vec![1], vec![2])]).unwrap();
        let whole = verify(dir.path(), &checkpoint, &mut |_| {}).unwrap();
        assert_eq!(whole.checkpoint, Some((reached, 1)));
        let mut bytes = std::fs::read(&segments[1].path).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(&segments[1].path, bytes).unwrap();
        let error = verify(dir.path(), &checkpoint, &mut |_| {}).unwrap_err();
        assert!(matches!(error, VerifyError::Journal(JournalError::Corrupt { .. })), "{error}");
    }
}
