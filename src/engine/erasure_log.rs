//! The erasure log: what must stay erased although an older backup is restored.
//!
//! A file beside the journal, one line an erasure: the CRC32C of the rest in hexadecimal, and a JSON
//! object with the record of the erasure and the keyed hashes of the person's identifiers. Laid
//! beside a restored folder (whose keys are the same), it makes the next start erase again whom the
//! folder still knows.

use crate::domain::id::Sequence;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// An erasure, as logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    version: u32,
    /// The record of the erasure.
    pub(super) erasure: Sequence,
    /// Whether the identifiers are suppressed.
    pub(super) suppress: bool,
    hashes: Vec<String>,
}

impl Line {
    pub(super) fn new(erasure: Sequence, suppress: bool, hashes: &[[u8; 16]]) -> Self {
        Self {
            version: VERSION,
            erasure,
            suppress,
            hashes: hashes.iter().map(hex::encode).collect(),
        }
    }

    /// The keyed hashes of the person's identifiers.
    pub(super) fn hashes(&self) -> Vec<[u8; 16]> {
        let read = |text: &String| hex::decode(text).ok()?.try_into().ok();
        self.hashes.iter().filter_map(read).collect()
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("erasures.log")
}

/// Adds a line, durably.
pub(super) fn add(data: &Path, line: &Line) -> io::Result<()> {
    let json = serde_json::to_string(line)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path(data))?;
    writeln!(file, "{:08x} {json}", crc32c::crc32c(json.as_bytes()))?;
    file.sync_all()?;
    File::open(data)?.sync_all()
}

/// All lines; a last one that is torn is left out.
///
/// # Errors
/// When the file cannot be read, or a line is damaged: its number is named.
pub(super) fn read(data: &Path) -> io::Result<Vec<Line>> {
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
        assert_eq!(read(folder.path()).unwrap(), all[..1]);
        std::fs::write(path(folder.path()), text.replacen("true", "trux", 1)).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1"));
    }
}
