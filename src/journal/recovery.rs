//! Opening: list the segments, read every group header, cut off a torn tail or name the damage.
//!
//! A crash can only tear what was not yet synced, and that lies at the end of the last segment: a
//! segment is synced before the next one is made. What follows the last sound group is therefore
//! dropped, unless a later group says that it had been synced ([`super::format`], `durable`), which
//! makes it damage.

use super::FIRST_SEQUENCE;
use super::error::{Damage, JournalError};
use super::format::{
    GROUP_HEADER_BYTES, GROUP_MARKER, GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::index::{Index, Segment, Shared};
use super::reader::JournalReader;
use super::writer::{Journal, create_segment};
use crate::journal::names::{SEGMENT_EXTENSION, TEMPORARY_EXTENSION, sequence_of_name};
use crate::journal::options::JournalOptions;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

const READ_BUFFER_BYTES: usize = 256 << 10;

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The bytes of the segments that were looked through.
    pub bytes_done: u64,
    /// The bytes of all segments.
    pub bytes_total: u64,
}

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// How many segments there are.
    pub segments: u64,
    /// How many groups.
    pub groups: u64,
    /// How many records.
    pub records: u64,
    /// The length of all segments, in bytes.
    pub bytes: u64,
    /// The sequence of the oldest record kept; of the next one while there is none.
    pub first_sequence: u64,
    /// The sequence of the newest record; one less than `first_sequence` while there is none.
    pub last_sequence: u64,
    /// How many bytes of an incomplete last group were dropped.
    pub torn_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Opens a journal for writing. The caller holds the data folder ([`super::folder::DataFolder`]).
///
/// # Errors
/// [`JournalError::Corrupt`] and its like when files are damaged, missing or foreign;
/// [`JournalError::Io`] when the system refuses. Nothing was changed in the first case.
pub fn open(
    options: JournalOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Journal, JournalReader, RecoveryReport), JournalError> {
    let begun = Instant::now();
    options.check()?;
    fs::create_dir_all(&options.dir).map_err(JournalError::io("make the folder", &options.dir))?;
    let mut found = survey(&options.dir, options.verify, progress)?;
    mend(&options, &mut found)?;
    let report = found.report(begun.elapsed());
    let shared = Arc::new(Shared::new(found.index, options.cache_bytes));
    let reader = JournalReader::new(Arc::clone(&shared));
    Ok((Journal::new(options, shared)?, reader, report))
}

/// Opens a journal for reading only and changes nothing: a torn tail is reported and left alone.
///
/// # Errors
/// As [`open`]; a folder that is not there is an error too.
pub fn inspect(
    dir: &Path,
    verify: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(JournalReader, RecoveryReport), JournalError> {
    let begun = Instant::now();
    let found = survey(dir, verify, progress)?;
    let report = found.report(begun.elapsed());
    let shared = Arc::new(Shared::new(found.index, JournalOptions::new(dir).cache_bytes));
    Ok((JournalReader::new(shared), report))
}

/// What a look at the folder shows.
struct Survey {
    index: Index,
    torn_bytes: u64,
    /// A last segment that a crash left before its header was whole.
    stillborn: Option<PathBuf>,
    /// Files that a crash left while a segment was rewritten.
    leftovers: Vec<PathBuf>,
}

impl Survey {
    fn report(&self, took: Duration) -> RecoveryReport {
        let segments = self.index.segments();
        let first_sequence = self.index.first_sequence();
        let next_sequence = self.index.next_sequence();
        RecoveryReport {
            segments: segments.len() as u64,
            groups: segments.iter().map(|segment| segment.group_count() as u64).sum(),
            records: next_sequence - first_sequence,
            bytes: segments.iter().map(|segment| segment.end).sum(),
            first_sequence,
            last_sequence: next_sequence.saturating_sub(1),
            torn_bytes: self.torn_bytes,
            took,
        }
    }
}

fn survey(
    dir: &Path,
    verify: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Survey, JournalError> {
    let Listing { segments, leftovers } = list(dir)?;
    let bytes_total = segments.iter().map(|(.., bytes)| bytes).sum();
    let mut bytes_done = 0;
    let mut found = Survey { index: Index::default(), torn_bytes: 0, stillborn: None, leftovers };
    let count = segments.len();
    for (at, (first_sequence, path, bytes)) in segments.into_iter().enumerate() {
        let is_last = at + 1 == count;
        let expected = if at == 0 { first_sequence } else { found.index.next_sequence() };
        if expected != first_sequence {
            let what = Damage::Gap { found: first_sequence };
            return Err(JournalError::Corrupt { file: path, offset: 0, sequence: expected, what });
        }
        if is_last && bytes <= SEGMENT_HEADER_BYTES as u64 && !has_header(&path)? {
            // The header is synced before the first group is written: there was none.
            found.torn_bytes = bytes;
            found.stillborn = Some(path);
            break;
        }
        let scanned = scan_segment(path, first_sequence, bytes, verify || is_last, &mut |done| {
            progress(Progress { bytes_done: bytes_done + done, bytes_total });
        })?;
        bytes_done += bytes;
        progress(Progress { bytes_done, bytes_total });
        if let Some(what) = scanned.bad {
            check_torn(&scanned, what, is_last)?;
            found.torn_bytes = bytes - scanned.segment.end;
        }
        found.index.push(scanned.segment);
    }
    Ok(found)
}

/// Segments by first sequence, with their lengths, and files that are no longer wanted.
struct Listing {
    segments: Vec<(u64, PathBuf, u64)>,
    leftovers: Vec<PathBuf>,
}

fn list(dir: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing { segments: Vec::new(), leftovers: Vec::new() };
    for entry in fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
        let entry = entry.map_err(JournalError::io("list", dir))?;
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(SEGMENT_EXTENSION) => {
                let bytes = entry.metadata().map_err(JournalError::io("look at", &path))?.len();
                let Some(first_sequence) = sequence_of_name(&path) else {
                    return Err(JournalError::Foreign { file: path });
                };
                listing.segments.push((first_sequence, path, bytes));
            }
            Some(TEMPORARY_EXTENSION) => listing.leftovers.push(path),
            _ => {}
        }
    }
    listing.segments.sort();
    Ok(listing)
}

fn has_header(path: &Path) -> Result<bool, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        // Another version is no crash, and the next reader of the header names it.
        Ok(()) => Ok(matches!(SegmentHeader::decode(&header), Ok(_) | Err(Damage::Version(_)))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}

struct Scanned {
    segment: Segment,
    file_bytes: u64,
    /// What is wrong at the end of the segment's last sound group, if anything.
    bad: Option<Damage>,
}

fn scan_segment(
    path: PathBuf,
    first_sequence: u64,
    file_bytes: u64,
    bodies: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Scanned, JournalError> {
    let unreadable = |error| JournalError::io("read", &path)(error);
    let file = File::open(&path).map_err(JournalError::io("open", &path))?;
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, file);
    let header = read_segment_header(&mut input, &path, first_sequence)?;
    let mut segment =
        Segment::new(path.clone(), first_sequence, header.salt, SEGMENT_HEADER_BYTES as u64);
    let mut body = Vec::new();
    let mut reported = 0;
    let bad = loop {
        if segment.end == file_bytes {
            break None;
        }
        let left = file_bytes - segment.end;
        let group = match read_group_header(&mut input, &segment, left).map_err(unreadable)? {
            Ok(group) => group,
            Err(what) => break Some(what),
        };
        if bodies {
            // LIMIT: read_group_header compared the length with what the file holds.
            body.resize(group.stored_bytes as usize, 0);
            input.read_exact(&mut body).map_err(unreadable)?;
            if let Err(what) = group.check_body(&body) {
                break Some(what);
            }
        } else {
            input.seek_relative(i64::from(group.stored_bytes)).map_err(unreadable)?;
        }
        if segment.push(u64::from(group.records), group.file_bytes()).is_none() {
            break Some(Damage::Impossible("place"));
        }
        if segment.end - reported > 8 << 20 {
            reported = segment.end;
            progress(reported);
        }
    };
    Ok(Scanned { segment, file_bytes, bad })
}

fn read_segment_header(
    input: &mut impl Read,
    path: &Path,
    first_sequence: u64,
) -> Result<SegmentHeader, JournalError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let decoded = match input.read_exact(&mut bytes) {
        Ok(()) => SegmentHeader::decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Damage::Short),
        Err(error) => return Err(JournalError::io("read", path)(error)),
    };
    let what = match decoded {
        Ok(header) if header.first_sequence == first_sequence => return Ok(header),
        Ok(_) => Damage::Name,
        Err(Damage::Version(found)) => {
            return Err(JournalError::Version { file: path.to_owned(), found });
        }
        Err(what) => what,
    };
    Err(JournalError::Corrupt { file: path.to_owned(), offset: 0, sequence: first_sequence, what })
}

/// Reads the header of the next group; the inner error says what is wrong with it.
fn read_group_header(
    input: &mut impl Read,
    segment: &Segment,
    left: u64,
) -> io::Result<Result<GroupHeader, Damage>> {
    if left < GROUP_HEADER_BYTES as u64 {
        return Ok(Err(Damage::Short));
    }
    let mut bytes = [0; GROUP_HEADER_BYTES];
    input.read_exact(&mut bytes)?;
    Ok(GroupHeader::decode(&bytes, segment.salt).and_then(|group| {
        if group.first_sequence != segment.next_sequence {
            Err(Damage::Gap { found: group.first_sequence })
        } else if group.file_bytes() > left {
            Err(Damage::Short)
        } else {
            Ok(group)
        }
    }))
}

/// Returns an error unless what is wrong at the end of a segment is what a crash leaves.
fn check_torn(scanned: &Scanned, what: Damage, is_last: bool) -> Result<(), JournalError> {
    let segment = &scanned.segment;
    // A sound header with another sequence was written so on purpose: no crash does that.
    let torn = is_last
        && !matches!(what, Damage::Gap { .. } | Damage::Impossible(_))
        && !has_durable_successor(scanned).map_err(JournalError::io("search", &segment.path))?;
    if torn {
        return Ok(());
    }
    Err(JournalError::Corrupt {
        file: segment.path.clone(),
        offset: segment.end,
        sequence: segment.next_sequence,
        what,
    })
}

/// Whether a group after the bad place says that the bad place had been synced.
fn has_durable_successor(scanned: &Scanned) -> io::Result<bool> {
    let file = File::open(&scanned.segment.path)?;
    let finder = memchr::memmem::Finder::new(&GROUP_MARKER);
    let mut window = vec![0; READ_BUFFER_BYTES];
    let mut at = scanned.segment.end + 1;
    while at + GROUP_HEADER_BYTES as u64 <= scanned.file_bytes {
        let length = READ_BUFFER_BYTES.min((scanned.file_bytes - at) as usize);
        let bytes = &mut window[..length];
        file.read_exact_at(bytes, at)?;
        for found in finder.find_iter(bytes) {
            let Some(header) = bytes[found..].first_chunk::<GROUP_HEADER_BYTES>() else { break };
            if GroupHeader::decode(header, scanned.segment.salt)
                .is_ok_and(|group| group.durable > scanned.segment.next_sequence)
            {
                return Ok(true);
            }
        }
        // The windows overlap by a header less one byte, so none falls between two of them.
        at += (length - (GROUP_HEADER_BYTES - 1)) as u64;
    }
    Ok(false)
}

/// Makes the folder such that the writer can go on.
fn mend(options: &JournalOptions, found: &mut Survey) -> Result<(), JournalError> {
    let mut removed = found.leftovers.clone();
    removed.extend(found.stillborn.clone());
    for path in &removed {
        fs::remove_file(path).map_err(JournalError::io("remove", path))?;
    }
    let stillborn_sequence = found.stillborn.as_deref().and_then(sequence_of_name);
    match found.index.last_mut() {
        Some(last) if stillborn_sequence.is_none() => keep(options, last)?,
        _ => {
            let first_sequence = stillborn_sequence.unwrap_or(FIRST_SEQUENCE);
            found.index.push(create_segment(options, first_sequence)?);
        }
    }
    Ok(())
}

/// Cuts a torn tail off, and makes all that is left survive a power cut: a killed process may have
/// written it without having synced it.
fn keep(options: &JournalOptions, last: &Segment) -> Result<(), JournalError> {
    let path = &last.path;
    let file = File::options().write(true).open(path).map_err(JournalError::io("open", path))?;
    file.set_len(last.end).map_err(JournalError::io("cut", path))?;
    options.disk.sync(&file).map_err(JournalError::io("sync", path))?;
    options.disk.sync_folder(&options.dir).map_err(JournalError::io("sync", &options.dir))
}
