//! Reading: one record, or all from a position, forward or newest first.

use super::Record;
use super::error::{Damage, JournalError};
use super::format::Group;
use super::index::{Place, SegmentInfo, Shared};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Reads the journal beside its writer; a cheap handle.
#[derive(Clone, Debug)]
pub struct JournalReader {
    shared: Arc<Shared>,
}

impl JournalReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The record with this sequence; `None` when it is not written yet, or no longer kept.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when the file is damaged, [`JournalError::Io`] when it cannot be
    /// read.
    pub fn read(&self, sequence: u64) -> Result<Option<Record>, JournalError> {
        let Some(place) = self.shared.place(sequence)? else { return Ok(None) };
        let key = place.key();
        let cached = self.shared.groups().get(&key);
        let group = match cached {
            Some(group) => group,
            None => {
                let group = Arc::new(load(&place)?);
                self.shared.groups().insert(key, Arc::clone(&group), group.body_bytes());
                group
            }
        };
        Ok(group.record(sequence))
    }

    /// All records from a sequence on, oldest first. It begins at the oldest one kept, and it also
    /// yields what is appended while it runs. After an error it ends.
    pub fn scan(&self, from: u64) -> Scan {
        Scan { shared: Arc::clone(&self.shared), next: from, group: None }
    }

    /// All records before a sequence, newest first. After an error it ends.
    pub fn scan_back(&self, before: u64) -> ScanBack {
        ScanBack { shared: Arc::clone(&self.shared), before, group: None }
    }

    /// What segments there are, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.segment_infos()
    }

    /// The sequence of the oldest record kept; of the next one while there is none.
    pub fn first_sequence(&self) -> u64 {
        self.shared.index().first_sequence()
    }

    /// The sequence that the next record will get.
    pub fn next_sequence(&self) -> u64 {
        self.shared.index().next_sequence()
    }
}

/// The records from a sequence on; see [`JournalReader::scan`].
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    next: u64,
    group: Option<Group>,
}

impl Iterator for Scan {
    type Item = Result<(u64, Record), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(found) = self.group.as_ref().and_then(|group| group.record(self.next)) {
            return Some(Ok((take_next(&mut self.next), found)));
        }
        // Old segments may be removed while the scan runs.
        self.next = self.next.max(self.shared.index().first_sequence());
        match find_group(&self.shared, self.next) {
            Ok(group) => self.group = group,
            Err(error) => {
                self.group = None;
                self.next = u64::MAX;
                return Some(Err(error));
            }
        }
        let found = self.group.as_ref()?.record(self.next)?;
        Some(Ok((take_next(&mut self.next), found)))
    }
}

fn take_next(next: &mut u64) -> u64 {
    let sequence = *next;
    *next += 1;
    sequence
}

/// The records before a sequence, newest first; see [`JournalReader::scan_back`].
#[derive(Debug)]
pub struct ScanBack {
    shared: Arc<Shared>,
    before: u64,
    group: Option<Group>,
}

impl Iterator for ScanBack {
    type Item = Result<(u64, Record), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut sequence = self.before.checked_sub(1)?;
        let mut found = self.group.as_ref().and_then(|group| group.record(sequence));
        if found.is_none() {
            sequence = sequence.min(self.shared.index().next_sequence().checked_sub(1)?);
            match find_group(&self.shared, sequence) {
                Ok(group) => self.group = group,
                Err(error) => {
                    self.group = None;
                    self.before = 0;
                    return Some(Err(error));
                }
            }
            found = self.group.as_ref().and_then(|group| group.record(sequence));
        }
        let found = found?;
        self.before = sequence;
        Some(Ok((sequence, found)))
    }
}

fn find_group(shared: &Shared, sequence: u64) -> Result<Option<Group>, JournalError> {
    shared.place(sequence)?.as_ref().map(load).transpose()
}

/// Reads and checks the group at a place.
pub(super) fn load(place: &Place) -> Result<Group, JournalError> {
    let corrupt = |what| JournalError::Corrupt {
        file: place.path.clone(),
        offset: place.offset,
        sequence: place.first_sequence,
        what,
    };
    let group = Group::decode(&read_bytes(place)?, place.salt).map_err(corrupt)?;
    if group.first_sequence == place.first_sequence {
        Ok(group)
    } else {
        Err(corrupt(Damage::Changed))
    }
}

/// The bytes of a group as they lie in the file.
pub(super) fn read_bytes(place: &Place) -> Result<Vec<u8>, JournalError> {
    // LIMIT: the index holds only groups whose header was checked, so this is at most 32 MiB.
    let mut bytes = vec![0; (place.end - place.offset) as usize];
    match place.file.read_exact_at(&mut bytes, place.offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(JournalError::Corrupt {
            file: place.path.clone(),
            offset: place.offset,
            sequence: place.first_sequence,
            what: Damage::Short,
        }),
        Err(error) => Err(JournalError::io("read", &place.path)(error)),
    }
}
