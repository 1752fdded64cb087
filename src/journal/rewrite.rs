//! What changes the past: replacing records for an erasure, and removing old segments.

use super::error::JournalError;
use super::format::{Encoder, Group, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{Place, Segment};
use super::names::temporary_path;
use super::reader::{load, read_bytes};
use super::writer::Journal;
use super::{RawRecord, Record};
use std::fs::{self, File};
use std::path::PathBuf;

/// What takes the place of a record; its sequence stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacementRecord {
    /// What sort of record this is.
    pub kind: u8,
    /// The version of the encoding of `bytes`.
    pub version: u8,
    /// The encoded record.
    pub bytes: Vec<u8>,
}

impl ReplacementRecord {
    fn as_raw(&self) -> RawRecord<'_> {
        RawRecord { kind: self.kind, version: self.version, bytes: &self.bytes }
    }
}

/// Bytes that are asked for beside a copy: a segment's head, names in the folder, and what else is
/// written meanwhile.
const ROOM_BESIDE: u64 = 256 * 1024;

/// What a rewrite did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewriteReport {
    /// How many segments were written again.
    pub segments: u64,
    /// How many records were replaced.
    pub records: u64,
    /// How long those segments are now, in bytes.
    pub bytes: u64,
}

impl Journal {
    /// Replaces records by writing their segments again: same groups, same sequences.
    ///
    /// Each segment is replaced by one atomic rename, so a crash leaves each as it was or as it
    /// shall be; the caller repeats the whole call then. Sequences that are not kept are passed
    /// over. Concurrent readers see the one or the other.
    ///
    /// # Errors
    /// What fails before a segment is replaced leaves it as it was, and the journal goes on: no room
    /// for the copy, a replacement that exceeds a limit. What fails at the replacing poisons the
    /// journal, as does a segment that cannot be begun.
    pub fn rewrite(
        &mut self,
        sequences: &[u64],
        mut replace: impl FnMut(u64, &Record) -> ReplacementRecord,
    ) -> Result<RewriteReport, JournalError> {
        self.check()?;
        let mut wanted: Vec<u64> = sequences.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let active_begins =
            self.shared.segment_infos().last().map_or(u64::MAX, |last| last.first_sequence);
        if wanted.last().is_some_and(|last| *last >= active_begins) {
            self.roll()?;
        }
        let mut report = RewriteReport::default();
        for info in self.shared.segment_infos() {
            let from = wanted.partition_point(|sequence| *sequence < info.first_sequence);
            let until = wanted.partition_point(|sequence| *sequence < info.next_sequence);
            if from == until {
                continue;
            }
            let copy =
                self.copy_segment(info.first_sequence, &wanted[from..until], &mut replace)?;
            let placed = self.put_in_place(copy);
            report.bytes += self.poison_on(placed)?;
            report.segments += 1;
            report.records += (until - from) as u64;
        }
        Ok(report)
    }

    /// Removes the segments whose records all come before a sequence; the last one always stays.
    /// Returns how many were removed.
    ///
    /// # Errors
    /// [`JournalError::Io`], which poisons the journal.
    pub fn remove_segments_before(&mut self, sequence: u64) -> Result<u64, JournalError> {
        self.check()?;
        let mut removed = 0;
        loop {
            let mut index = self.shared.index_mut();
            let [oldest, _, ..] = index.segments() else { break };
            if oldest.next_sequence > sequence {
                break;
            }
            // ORDER: oldest first, each made to last, so that a crash leaves no gap.
            let path = oldest.path.clone();
            let done = fs::remove_file(&path)
                .and_then(|()| self.options.disk.sync_folder(&self.options.dir))
                .map_err(JournalError::io("remove", &path));
            if done.is_ok() {
                index.remove_oldest();
                removed += 1;
            }
            drop(index);
            self.poison_on(done)?;
        }
        self.shared.forget();
        Ok(removed)
    }

    /// The most bytes that a rewrite of these records takes beside the files that are there: a copy
    /// of the largest segment that holds one of them, and the head of a new one.
    pub fn room_to_rewrite(&self, sequences: &[u64]) -> u64 {
        let holds_one = |info: &super::SegmentInfo| {
            sequences.iter().any(|one| (info.first_sequence..info.next_sequence).contains(one))
        };
        let infos = self.shared.segment_infos();
        let largest = infos.iter().filter(|info| holds_one(info)).map(|info| info.bytes).max();
        largest.unwrap_or(0) + ROOM_BESIDE
    }

    /// A copy of a segment with its replacements, made to last. Its file goes where this fails.
    fn copy_segment(
        &self,
        first_sequence: u64,
        wanted: &[u64],
        replace: &mut dyn FnMut(u64, &Record) -> ReplacementRecord,
    ) -> Result<Copy, JournalError> {
        let (path, salt) = {
            let index = self.shared.index();
            let old = index
                .segments()
                .iter()
                .find(|segment| segment.first_sequence == first_sequence)
                .expect("only the writer removes segments, and it is borrowed here");
            (old.path.clone(), old.salt)
        };
        let mut copy = Copy::begin(self, path, first_sequence, salt)?;
        while let Some(place) = self.shared.place(copy.segment.next_sequence)?
            && place.path == copy.segment.path
        {
            copy.group(self, &place, wanted, replace)?;
        }
        self.options.disk.sync(&copy.file).map_err(JournalError::io("sync", &copy.temporary.0))?;
        Ok(copy)
    }

    fn put_in_place(&self, copy: Copy) -> Result<u64, JournalError> {
        let Copy { temporary, segment, .. } = copy;
        let bytes = segment.end;
        {
            let mut index = self.shared.index_mut();
            fs::rename(&temporary.0, &segment.path)
                .map_err(JournalError::io("rename", &temporary.0))?;
            index.replace(segment);
        }
        // What was read before may hold what was erased.
        self.shared.forget();
        let dir = &self.options.dir;
        self.options.disk.sync_folder(dir).map_err(JournalError::io("sync", dir))?;
        Ok(bytes)
    }
}

/// A segment that is being written again.
struct Copy {
    file: File,
    temporary: Temporary,
    segment: Segment,
    encoder: Encoder,
}

/// A file that is removed when it is dropped; once it has another name, nothing is there to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next start.
        drop(fs::remove_file(&self.0));
    }
}

impl Copy {
    fn begin(
        journal: &Journal,
        path: PathBuf,
        first_sequence: u64,
        salt: u32,
    ) -> Result<Self, JournalError> {
        let temporary = Temporary(temporary_path(&path));
        let file = File::create(&temporary.0).map_err(JournalError::io("make", &temporary.0))?;
        // The salt stays, so that groups without a replacement can be copied as they are.
        let header = SegmentHeader { first_sequence, salt }.encode();
        let disk = &journal.options.disk;
        disk.write_at(&file, &header, 0).map_err(JournalError::io("write to", &temporary.0))?;
        let segment = Segment::new(path, first_sequence, salt, SEGMENT_HEADER_BYTES as u64);
        Ok(Self { file, temporary, segment, encoder: Encoder::default() })
    }

    fn group(
        &mut self,
        journal: &Journal,
        place: &Place,
        wanted: &[u64],
        replace: &mut dyn FnMut(u64, &Record) -> ReplacementRecord,
    ) -> Result<(), JournalError> {
        let group = load(place)?;
        let next = wanted.partition_point(|sequence| *sequence < group.first_sequence);
        let until = group.first_sequence + group.len() as u64;
        let untouched;
        let bytes = if wanted.get(next).is_some_and(|sequence| *sequence < until) {
            let records = replaced(&group, wanted, replace);
            let raw: Vec<RawRecord<'_>> = records.iter().map(ReplacementRecord::as_raw).collect();
            self.encoder.encode(&raw, group.first_sequence, group.durable, self.segment.salt)?
        } else {
            untouched = read_bytes(place)?;
            &untouched
        };
        let disk = &journal.options.disk;
        disk.write_at(&self.file, bytes, self.segment.end)
            .map_err(JournalError::io("write to", &self.temporary.0))?;
        let length = bytes.len() as u64;
        self.segment
            .push(group.len() as u64, length)
            .ok_or(JournalError::GroupTooLarge { found: length as usize })
    }
}

/// The records of a group, the wanted ones replaced.
fn replaced(
    group: &Group,
    wanted: &[u64],
    replace: &mut dyn FnMut(u64, &Record) -> ReplacementRecord,
) -> Vec<ReplacementRecord> {
    (group.first_sequence..)
        .take(group.len())
        .filter_map(|sequence| Some((sequence, group.record(sequence)?)))
        .map(|(sequence, record)| {
            if wanted.binary_search(&sequence).is_ok() {
                return replace(sequence, &record);
            }
            let Record { kind, version, bytes } = record;
            ReplacementRecord { kind, version, bytes: bytes.to_vec() }
        })
        .collect()
}
