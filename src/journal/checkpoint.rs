//! The checkpoint: one file beside the journal that holds the state which removed segments made.
//!
//! It knows rows of bytes in ascending key order. It is written to a temporary file, synced and
//! renamed, so there is always the old one or the new one, whole. All integers are little endian.
//!
//! ```text
//! file   = header chunk* footer
//! header = "selfsamc" version:u32 zero:u32 sequence:u64 crc:u32
//! chunk  = stored:u32>0 raw:u32 crc:u32 LZ4 block of rows     crc over both lengths and the block
//! row    = key_length:u32 value_length:u32 key value
//! footer = zero:u32 rows:u64 crc:u32                          crc over all chunk crcs and rows
//! ```

use super::disk::Disk;
use crc32c::{crc32c, crc32c_append};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The format version that this program writes and reads.
pub const CHECKPOINT_VERSION: u32 = 1;
/// The longest row, key and value together, in bytes.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

const MAGIC: [u8; 8] = *b"selfsamc";
const HEADER_BYTES: usize = 28;
const ROW_HEADER_BYTES: usize = 8;
/// A chunk is closed once it holds this much.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + ROW_BYTES_MAX + ROW_HEADER_BYTES;

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", file.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file or folder it was done to.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is damaged. Restore it from a backup.
    #[error(
        "{} is damaged at offset {offset}: {what}; restore this file from a backup",
        file.display()
    )]
    Corrupt {
        /// The checkpoint file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The file was written by another version of this program.
    #[error(
        "{} has format version {found}; this program reads version {CHECKPOINT_VERSION}: start \
         the version that wrote it",
        file.display()
    )]
    Version {
        /// The checkpoint file.
        file: PathBuf,
        /// The version it says it has.
        found: u32,
    },
    /// A row that is too long.
    #[error("a checkpoint row of {found} bytes; at most {ROW_BYTES_MAX} are allowed")]
    RowTooLarge {
        /// Its length in bytes.
        found: usize,
    },
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let file = file.to_owned();
    move |source| CheckpointError::Io { what, file, source }
}

/// Writes the state at `sequence` and puts it in the place of what was there. Returns the length of
/// the file in bytes.
///
/// # Errors
/// What was there before is untouched, unless the last step, the sync of the folder, failed.
pub fn write(
    disk: &Disk,
    path: &Path,
    sequence: u64,
    rows: impl IntoIterator<Item = Row>,
) -> Result<u64, CheckpointError> {
    let temporary = path.with_extension("tmp");
    let mut output = Output {
        file: File::create(&temporary).map_err(failed("make", &temporary))?,
        path: &temporary,
        disk,
        offset: 0,
        crcs: 0,
    };
    output.put(&header(sequence))?;
    let mut count = 0u64;
    let mut raw = Vec::new();
    for (key, value) in rows {
        push_row(&mut raw, &key, &value)?;
        count += 1;
        if raw.len() >= CHUNK_BYTES {
            output.chunk(&raw)?;
            raw.clear();
        }
    }
    if !raw.is_empty() {
        output.chunk(&raw)?;
    }
    output.footer(count)?;
    disk.sync(&output.file).map_err(failed("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("rename", &temporary))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    disk.sync_folder(folder).map_err(failed("sync", folder))?;
    Ok(output.offset)
}

fn header(sequence: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&CHECKPOINT_VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn push_row(raw: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), CheckpointError> {
    let found = key.len().saturating_add(value.len());
    if found > ROW_BYTES_MAX {
        return Err(CheckpointError::RowTooLarge { found });
    }
    raw.extend_from_slice(&(key.len() as u32).to_le_bytes());
    raw.extend_from_slice(&(value.len() as u32).to_le_bytes());
    raw.extend_from_slice(key);
    raw.extend_from_slice(value);
    Ok(())
}

struct Output<'a> {
    file: File,
    path: &'a Path,
    disk: &'a Disk,
    offset: u64,
    /// The checksum of all chunk checksums so far.
    crcs: u32,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.disk
            .write_at(&self.file, bytes, self.offset)
            .map_err(failed("write to", self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn chunk(&mut self, raw: &[u8]) -> Result<(), CheckpointError> {
        let block = lz4_flex::block::compress(raw);
        let mut bytes = Vec::with_capacity(12 + block.len());
        bytes.extend_from_slice(&(block.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        let crc = crc32c_append(crc32c(&bytes), &block).to_le_bytes();
        bytes.extend_from_slice(&crc);
        bytes.extend_from_slice(&block);
        self.crcs = crc32c_append(self.crcs, &crc);
        self.put(&bytes)
    }

    fn footer(&mut self, count: u64) -> Result<(), CheckpointError> {
        let crc = crc32c_append(self.crcs, &count.to_le_bytes());
        let mut bytes = [0; 16];
        bytes[4..12].copy_from_slice(&count.to_le_bytes());
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        self.put(&bytes)
    }
}

/// Reads a checkpoint row by row; `None` when there is no such file.
///
/// # Errors
/// An unreadable file, a damaged header or another version.
pub fn read(path: &Path) -> Result<Option<Rows>, CheckpointError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let left = file.metadata().map_err(failed("look at", path))?.len();
    let mut rows = Rows {
        input: BufReader::new(file),
        path: path.to_owned(),
        sequence: 0,
        offset: 0,
        left,
        chunk: Vec::new(),
        at: 0,
        crcs: 0,
        count: 0,
        is_over: false,
    };
    rows.read_header()?;
    Ok(Some(rows))
}

/// The rows of a checkpoint, in the order in which they were written.
///
/// Only when the iteration has ended without an error are the rows known to be all: the footer
/// holds their count. After an error it ends.
#[derive(Debug)]
pub struct Rows {
    input: BufReader<File>,
    path: PathBuf,
    sequence: u64,
    offset: u64,
    /// How much of the file is left: no length in it is believed beyond this.
    left: u64,
    chunk: Vec<u8>,
    at: usize,
    crcs: u32,
    count: u64,
    is_over: bool,
}

impl Rows {
    /// The journal sequence whose state this is.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn corrupt(&self, what: &'static str) -> CheckpointError {
        CheckpointError::Corrupt { file: self.path.clone(), offset: self.offset, what }
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        if bytes.len() as u64 > self.left {
            return Err(self.corrupt("the file ends too early"));
        }
        self.input.read_exact(bytes).map_err(failed("read", &self.path))?;
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), CheckpointError> {
        let mut header = [0; HEADER_BYTES];
        self.take(&mut header)?;
        if header[..8] != MAGIC {
            return Err(self.corrupt("the file is not a checkpoint"));
        }
        if crc32c(&header[..24]) != u32_at(&header, 24) {
            return Err(self.corrupt("the header does not match its checksum"));
        }
        let found = u32_at(&header, 8);
        if found != CHECKPOINT_VERSION {
            return Err(CheckpointError::Version { file: self.path.clone(), found });
        }
        self.sequence = u64_at(&header, 16);
        self.offset = HEADER_BYTES as u64;
        Ok(())
    }

    /// Reads the next chunk; `false` when it was the footer.
    fn read_chunk(&mut self) -> Result<bool, CheckpointError> {
        let mut stored = [0; 4];
        self.take(&mut stored)?;
        if stored == [0; 4] {
            return self.read_footer().map(|()| false);
        }
        let mut rest = [0; 8];
        self.take(&mut rest)?;
        let stored_bytes = u32::from_le_bytes(stored) as usize;
        let raw_bytes = u32_at(&rest, 0) as usize;
        // LIMIT: an LZ4 block expands at most 255 times, so a damaged length asks for no more.
        let is_possible = stored_bytes as u64 <= self.left
            && raw_bytes <= CHUNK_BYTES_MAX.min(stored_bytes.saturating_mul(255));
        if !is_possible {
            return Err(self.corrupt("a chunk has an impossible length"));
        }
        let mut block = vec![0; stored_bytes];
        self.take(&mut block)?;
        let crc = crc32c_append(crc32c_append(crc32c(&stored), &rest[..4]), &block);
        if crc != u32_at(&rest, 4) {
            return Err(self.corrupt("a chunk does not match its checksum"));
        }
        self.chunk.resize(raw_bytes, 0);
        match lz4_flex::block::decompress_into(&block, &mut self.chunk) {
            Ok(length) if length == raw_bytes => {}
            _ => return Err(self.corrupt("a chunk cannot be decompressed")),
        }
        self.at = 0;
        self.crcs = crc32c_append(self.crcs, &rest[4..]);
        self.offset += 12 + stored_bytes as u64;
        Ok(true)
    }

    fn read_footer(&mut self) -> Result<(), CheckpointError> {
        let mut footer = [0; 12];
        self.take(&mut footer)?;
        if crc32c_append(self.crcs, &footer[..8]) != u32_at(&footer, 8) {
            return Err(self.corrupt("the footer does not match its checksum"));
        }
        if u64_at(&footer, 0) != self.count {
            return Err(self.corrupt("the footer counts other rows"));
        }
        if self.left != 0 {
            return Err(self.corrupt("something follows the footer"));
        }
        Ok(())
    }

    fn read_row(&mut self) -> Result<Option<Row>, CheckpointError> {
        if self.at == self.chunk.len() && !self.read_chunk()? {
            return Ok(None);
        }
        let row = self.chunk.get(self.at..).and_then(split_row);
        let Some((key, value)) = row else {
            return Err(self.corrupt("the rows do not fit their chunk"));
        };
        let row = (key.to_vec(), value.to_vec());
        self.at += ROW_HEADER_BYTES + row.0.len() + row.1.len();
        self.count += 1;
        Ok(Some(row))
    }
}

impl Iterator for Rows {
    type Item = Result<Row, CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let row = self.read_row().transpose();
        self.is_over = !matches!(row, Some(Ok(_)));
        row
    }
}

fn split_row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<ROW_HEADER_BYTES>()?;
    let (key, rest) = rest.split_at_checked(u32_at(header, 0) as usize)?;
    let (value, _) = rest.split_at_checked(u32_at(header, 4) as usize)?;
    Some((key, value))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
