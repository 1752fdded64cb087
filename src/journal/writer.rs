//! The one writer: appends groups, syncs, closes a full segment and begins the next.

use super::RawRecord;
use super::error::JournalError;
use super::format::{Encoder, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{Segment, Shared};
use super::names::segment_path;
use super::options::JournalOptions;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

/// Where an appended group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRef {
    /// The sequence of its first record.
    pub first_sequence: u64,
    /// How many records it holds.
    pub records: u64,
    /// Its length in the file, in bytes.
    pub bytes: u64,
}

/// The writing end of a journal. There is one; its owner holds the data folder.
#[derive(Debug)]
pub struct Journal {
    pub(super) options: JournalOptions,
    pub(super) shared: Arc<Shared>,
    encoder: Encoder,
    active: Active,
    /// The first sequence that is not known to be synced.
    durable: u64,
    poisoned: bool,
}

/// The last segment, as the writer needs it.
#[derive(Debug)]
struct Active {
    file: File,
    path: PathBuf,
    salt: u32,
    end: u64,
    next_sequence: u64,
    has_groups: bool,
}

impl Active {
    fn open(segment: &Segment) -> Result<Self, JournalError> {
        let path = segment.path.clone();
        let file =
            File::options().write(true).open(&path).map_err(JournalError::io("open", &path))?;
        Ok(Self {
            file,
            path,
            salt: segment.salt,
            end: segment.end,
            next_sequence: segment.next_sequence,
            has_groups: !segment.is_empty(),
        })
    }
}

impl Journal {
    pub(super) fn new(options: JournalOptions, shared: Arc<Shared>) -> Result<Self, JournalError> {
        let active = Active::open(
            shared.index().segments().last().expect("recovery leaves at least one segment"),
        )?;
        // Recovery has synced all that it found.
        let durable = active.next_sequence;
        Ok(Self { options, shared, encoder: Encoder::default(), active, durable, poisoned: false })
    }

    /// Writes a group with one write, without a sync. Readers see it once this has returned.
    ///
    /// # Errors
    /// A limit that is exceeded refuses the group and changes nothing. Any other error poisons the
    /// journal, and every later call answers [`JournalError::Poisoned`].
    pub fn append(&mut self, records: &[RawRecord<'_>]) -> Result<GroupRef, JournalError> {
        self.check()?;
        let first_sequence = self.active.next_sequence;
        let group = self.encoder.encode(records, first_sequence, self.durable, self.active.salt)?;
        let mut bytes = group.len() as u64;
        if self.is_full(bytes) {
            self.roll()?;
            // The salt is another one now.
            bytes =
                self.encoder.encode(records, first_sequence, self.durable, self.active.salt)?.len()
                    as u64;
        }
        let active = &self.active;
        let written = self.options.disk.write_at(&active.file, self.encoder.last(), active.end);
        self.poison_on(written.map_err(JournalError::io("write to", &self.active.path)))?;
        self.publish(records.len() as u64, bytes);
        Ok(GroupRef { first_sequence, records: records.len() as u64, bytes })
    }

    /// Makes all that was appended survive a power cut (one `fdatasync`).
    ///
    /// # Errors
    /// As [`Journal::append`]; a failed sync is never retried.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check()?;
        let synced = self.options.disk.sync(&self.active.file);
        self.poison_on(synced.map_err(JournalError::io("sync", &self.active.path)))?;
        self.durable = self.active.next_sequence;
        Ok(())
    }

    /// The segment that is written, where its name does not lead to it any more.
    pub fn lost_segment(&self) -> Option<&std::path::Path> {
        let is_there = super::folder::names_file(&self.active.path, &self.active.file);
        (!is_there.unwrap_or(false)).then_some(self.active.path.as_path())
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.active.next_sequence
    }

    /// The first sequence that is not known to survive a power cut.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    /// Whether a write or a sync failed, so that nothing is taken any more.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    pub(super) fn check(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }

    /// Passes a result on, and remembers a failure for ever.
    pub(super) fn poison_on<T>(
        &mut self,
        result: Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        self.poisoned |= result.is_err();
        result
    }

    fn is_full(&self, bytes: u64) -> bool {
        let index = self.shared.index();
        let has_room = index.segments().last().is_some_and(|segment| segment.has_room(bytes));
        self.active.has_groups
            && (self.active.end + bytes > self.options.segment_bytes || !has_room)
    }

    /// Closes the active segment and begins the next one, unless it is empty.
    pub(super) fn roll(&mut self) -> Result<(), JournalError> {
        if !self.active.has_groups {
            return Ok(());
        }
        // ORDER: recovery takes every segment but the last for synced.
        self.sync()?;
        let begun = create_segment(&self.options, self.active.next_sequence)
            .and_then(|segment| Active::open(&segment).map(|active| (segment, active)));
        let (segment, active) = self.poison_on(begun)?;
        self.shared.index_mut().push(segment);
        self.active = active;
        Ok(())
    }

    /// Lets readers see the group that was just written.
    fn publish(&mut self, records: u64, bytes: u64) {
        let mut index = self.shared.index_mut();
        let pushed = index.last_mut().and_then(|segment| segment.push(records, bytes));
        pushed.expect("is_full asked the segment for room");
        self.active.end += bytes;
        self.active.next_sequence += records;
        self.active.has_groups = true;
    }
}

/// Makes a segment file with nothing but a header that survives a power cut.
pub(super) fn create_segment(
    options: &JournalOptions,
    first_sequence: u64,
) -> Result<Segment, JournalError> {
    let path = segment_path(&options.dir, first_sequence);
    // The standard hasher's keys are the randomness that the standard library has.
    let salt = RandomState::new().hash_one(first_sequence) as u32;
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(JournalError::io("make", &path))?;
    let header = SegmentHeader { first_sequence, salt }.encode();
    options.disk.write_at(&file, &header, 0).map_err(JournalError::io("write to", &path))?;
    options.disk.sync(&file).map_err(JournalError::io("sync", &path))?;
    options.disk.sync_folder(&options.dir).map_err(JournalError::io("sync", &options.dir))?;
    Ok(Segment::new(path, first_sequence, salt, SEGMENT_HEADER_BYTES as u64))
}
