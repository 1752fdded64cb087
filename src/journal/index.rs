//! Where every group is: 8 bytes of memory a group, shared by the writer and all readers.
//!
//! A segment's file is opened, renamed over and removed only while the index is locked, so a
//! reader that finds a place here also gets the file that the place is meant for.

use super::error::JournalError;
use super::format::Group;
use super::recent::Recent;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many segment files stay open for reading.
const OPEN_FILES_MAX: usize = 64;

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its file.
    pub path: PathBuf,
    /// The sequence of its first record; of the next record while it has none.
    pub first_sequence: u64,
    /// The sequence after its last record.
    pub next_sequence: u64,
    /// How many groups it holds.
    pub groups: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Where a group begins, relative to its segment.
#[derive(Clone, Copy, Debug)]
struct GroupStart {
    sequence: u32,
    offset: u32,
}

/// One segment file and the places of its groups.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub first_sequence: u64,
    pub next_sequence: u64,
    pub salt: u32,
    /// Where the next group begins.
    pub end: u64,
    /// Which content of which file this is; never used twice.
    id: u64,
    groups: Vec<GroupStart>,
}

impl Segment {
    pub fn new(path: PathBuf, first_sequence: u64, salt: u32, end: u64) -> Self {
        Self {
            path,
            first_sequence,
            next_sequence: first_sequence,
            salt,
            end,
            id: 0,
            groups: Vec::new(),
        }
    }

    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether a group more can be described by 32-bit places.
    pub fn has_room(&self, bytes: u64) -> bool {
        let records = self.next_sequence - self.first_sequence;
        self.end + bytes < u64::from(u32::MAX) && records < u64::from(u32::MAX) - (1 << 16)
    }

    /// Adds the group that lies at the end of the segment; `None` when it does not fit.
    pub fn push(&mut self, records: u64, bytes: u64) -> Option<()> {
        let sequence = u32::try_from(self.next_sequence - self.first_sequence).ok()?;
        let offset = u32::try_from(self.end).ok()?;
        self.groups.push(GroupStart { sequence, offset });
        self.next_sequence += records;
        self.end += bytes;
        Some(())
    }

    fn info(&self) -> SegmentInfo {
        SegmentInfo {
            path: self.path.clone(),
            first_sequence: self.first_sequence,
            next_sequence: self.next_sequence,
            groups: self.groups.len() as u64,
            bytes: self.end,
        }
    }

    fn group_at(&self, sequence: u64) -> Option<(usize, GroupStart)> {
        let relative = u32::try_from(sequence.checked_sub(self.first_sequence)?).ok()?;
        let after = self.groups.partition_point(|group| group.sequence <= relative);
        let at = after.checked_sub(1)?;
        self.groups.get(at).map(|group| (at, *group))
    }

    fn group_end(&self, at: usize) -> u64 {
        self.groups.get(at + 1).map_or(self.end, |next| u64::from(next.offset))
    }
}

/// The place of a group, with the file that it is in.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub file: Arc<File>,
    pub path: PathBuf,
    pub salt: u32,
    pub first_sequence: u64,
    pub offset: u64,
    pub end: u64,
    segment_id: u64,
}

/// Names a group for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupKey {
    segment_id: u64,
    offset: u64,
}

impl Place {
    pub fn key(&self) -> GroupKey {
        GroupKey { segment_id: self.segment_id, offset: self.offset }
    }
}

/// The segments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Index {
    segments: Vec<Segment>,
    next_id: u64,
}

impl Index {
    pub fn push(&mut self, mut segment: Segment) {
        segment.id = self.new_id();
        self.segments.push(segment);
    }

    /// Puts a segment in the place of the one with the same first sequence.
    pub fn replace(&mut self, mut segment: Segment) {
        segment.id = self.new_id();
        if let Some(old) =
            self.segments.iter_mut().find(|old| old.first_sequence == segment.first_sequence)
        {
            *old = segment;
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes out the oldest segment.
    pub fn remove_oldest(&mut self) {
        self.segments.remove(0);
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn last_mut(&mut self) -> Option<&mut Segment> {
        self.segments.last_mut()
    }

    /// The sequence of the oldest record; of the next one while there is none.
    pub fn first_sequence(&self) -> u64 {
        self.segments.first().map_or(super::FIRST_SEQUENCE, |segment| segment.first_sequence)
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.segments.last().map_or(super::FIRST_SEQUENCE, |segment| segment.next_sequence)
    }

    fn segment_of(&self, sequence: u64) -> Option<&Segment> {
        if sequence >= self.next_sequence() {
            return None;
        }
        let after = self.segments.partition_point(|segment| segment.first_sequence <= sequence);
        self.segments.get(after.checked_sub(1)?)
    }
}

/// The index and the caches, as the writer and the readers share them.
#[derive(Debug)]
pub(super) struct Shared {
    index: RwLock<Index>,
    files: Mutex<Recent<u64, Arc<File>>>,
    groups: Mutex<Recent<GroupKey, Arc<Group>>>,
}

impl Shared {
    pub fn new(index: Index, cache_bytes: usize) -> Self {
        Self {
            index: RwLock::new(index),
            files: Mutex::new(Recent::new(OPEN_FILES_MAX)),
            groups: Mutex::new(Recent::new(cache_bytes)),
        }
    }

    // A panic while one of these locks is held leaves nothing half done: each holder makes a single
    // change at its end. So a poisoned lock is as good as a whole one.

    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn groups(&self) -> MutexGuard<'_, Recent<GroupKey, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Recent<u64, Arc<File>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of all open files and cached groups.
    pub fn forget(&self) {
        self.files().clear();
        self.groups().clear();
    }

    pub fn segment_infos(&self) -> Vec<SegmentInfo> {
        self.index().segments.iter().map(Segment::info).collect()
    }

    /// Finds the group that holds a sequence.
    pub fn place(&self, sequence: u64) -> Result<Option<Place>, JournalError> {
        let index = self.index();
        let Some(segment) = index.segment_of(sequence) else { return Ok(None) };
        let Some((at, group)) = segment.group_at(sequence) else { return Ok(None) };
        Ok(Some(Place {
            file: self.open(segment.id, &segment.path)?,
            path: segment.path.clone(),
            salt: segment.salt,
            first_sequence: segment.first_sequence + u64::from(group.sequence),
            offset: u64::from(group.offset),
            end: segment.group_end(at),
            segment_id: segment.id,
        }))
    }

    fn open(&self, id: u64, path: &Path) -> Result<Arc<File>, JournalError> {
        let mut files = self.files();
        if let Some(file) = files.get(&id) {
            return Ok(file);
        }
        let file = Arc::new(File::open(path).map_err(JournalError::io("open", path))?);
        files.insert(id, Arc::clone(&file), 1);
        Ok(file)
    }
}
