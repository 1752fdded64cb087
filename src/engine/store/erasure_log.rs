//! The erasure log: what must stay erased although an older backup is restored.
//!
//! A file beside the journal, one line an erasure: the CRC32C of the rest in hexadecimal, and a JSON
//! object with the record of the erasure and the keyed hashes of the person's identifiers. Laid
//! beside a restored folder (whose keys are the same), it makes the next start erase again whom the
//! folder still knows. A line follows its `Erased` record; one that a crash kept from being written is
//! written at the next start.

use crate::domain::id::Sequence;
use crate::engine::state::erasure::mark;
use crate::journal::JournalReader;
use crate::records::{ActRecord, ErasureRow, kind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// Marks an erasure that the log called for: in a restored folder its number belongs to another record.
const LOGGED: Sequence = 1 << 63;

/// Whether an erasure is one that the log called for.
pub(in crate::engine) fn is_logged(erasure: Sequence) -> bool {
    erasure & LOGGED != 0
}

/// An erasure, as logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Line {
    version: u32,
    /// The record of the erasure.
    pub(in crate::engine) erasure: Sequence,
    /// Whether the identifiers are suppressed.
    pub(in crate::engine) suppress: bool,
    hashes: Vec<String>,
}

impl Line {
    pub(in crate::engine) fn new(erasure: Sequence, suppress: bool, hashes: &[[u8; 16]]) -> Self {
        Self {
            version: VERSION,
            erasure,
            suppress,
            hashes: hashes.iter().map(hex::encode).collect(),
        }
    }

    /// What tells this line from every other.
    pub(in crate::engine) fn mark(&self) -> u64 {
        mark(self.erasure, self.suppress, &self.hashes())
    }

    /// The number that the erasure has in a folder to which only the log tells of it.
    pub(in crate::engine) fn logged_number(&self) -> Sequence {
        self.mark() | LOGGED
    }

    /// The keyed hashes of the person's identifiers.
    pub(in crate::engine) fn hashes(&self) -> Vec<[u8; 16]> {
        let read = |text: &String| hex::decode(text).ok()?.try_into().ok();
        self.hashes.iter().filter_map(read).collect()
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("erasures.log")
}

/// Adds a line, durably.
pub(in crate::engine) fn add(data: &Path, line: &Line) -> io::Result<()> {
    let json = serde_json::to_string(line)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path(data))?;
    writeln!(file, "{:08x} {json}", crc32c::crc32c(json.as_bytes()))?;
    file.sync_all()?;
    File::open(data)?.sync_all()
}

/// Writes the lines that a folder's erasures lack, from the `Erased` records in its journal. One whose
/// record went by retention is named in the log.
///
/// # Errors
/// When the journal cannot be read or the file cannot be written.
pub(in crate::engine) fn complete(
    data: &Path,
    lines: &[Line],
    erasures: &BTreeMap<Sequence, ErasureRow>,
    reader: &JournalReader,
) -> io::Result<()> {
    let written: BTreeSet<u64> = lines.iter().map(Line::mark).collect();
    let own = erasures.iter().filter(|(number, _)| !is_logged(**number));
    let mut missing: BTreeSet<Sequence> =
        own.filter(|(_, row)| !written.contains(&row.mark)).map(|(number, _)| *number).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    for record in reader.scan((*first).max(reader.first_sequence())) {
        let (_, record) = record.map_err(io::Error::other)?;
        if record.kind != kind::ACT {
            continue;
        }
        let act = ActRecord::decode(record.version, &record.bytes).map_err(io::Error::other)?;
        if let ActRecord::Erased { erasure, hashes, suppress, .. } = act
            && missing.remove(&erasure)
        {
            tracing::warn!(erasure, "its line in the erasure log was missing and is written now");
            add(data, &Line::new(erasure, suppress, &hashes))?;
        }
    }
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "the erasure log lacks these erasures, and the journal no longer holds their records: an older backup would bring these persons back"
        );
    }
    Ok(())
}

/// All lines; a last one that is torn is cut off, so that the next one does not run into it.
///
/// # Errors
/// When the file cannot be read or cut, or a line is damaged: its number is named.
pub(in crate::engine) fn take_up(data: &Path) -> io::Result<Vec<Line>> {
    let lines = read(data)?;
    if lines.is_empty() && !path(data).exists() {
        return Ok(lines);
    }
    let text = std::fs::read(path(data))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        let file = OpenOptions::new().write(true).open(path(data))?;
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(lines)
}

/// All lines; a last one that is torn is left out.
///
/// # Errors
/// When the file cannot be read, or a line is damaged: its number is named.
fn read(data: &Path) -> io::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(path(data)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let is_torn = !text.is_empty() && !text.ends_with('\n');
    let mut lines: Vec<&str> = text.lines().collect();
    if is_torn {
        lines.pop();
    }
    let line = |(number, line): (usize, &&str)| {
        let damaged = || {
            let what = format!("erasures.log, line {}: damaged", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let (sum, json) = line.split_once(' ').ok_or_else(damaged)?;
        if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
            return Err(damaged());
        }
        serde_json::from_str::<Line>(json)
            .ok()
            .filter(|line| line.version == VERSION)
            .ok_or_else(damaged)
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_a_torn_one_is_left_out_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), []);
        let all = [Line::new(7, true, &[[3; 16]]), Line::new(9, false, &[])];
        for line in &all {
            add(folder.path(), line).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap(), all);
        assert_eq!(all[0].hashes(), [[3; 16]]);
        let text = std::fs::read_to_string(path(folder.path())).unwrap();
        // The first version's spelling, which every later one reads.
        assert!(
            text.starts_with(
                "cf2bccf7 {\"version\":1,\"erasure\":7,\"suppress\":true,\"hashes\":[\"0303"
            ),
            "{text}"
        );
        std::fs::write(path(folder.path()), &text[..text.len() - 3]).unwrap();
        assert_eq!(take_up(folder.path()).unwrap(), all[..1]);
        // What was torn is cut off: the next line stands by itself.
        add(folder.path(), &all[1]).unwrap();
        assert_eq!(take_up(folder.path()).unwrap(), all);
        std::fs::write(path(folder.path()), text.replacen("true", "trux", 1)).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1"));
    }
}
