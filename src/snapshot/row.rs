//! How a row's value lies in sled: `version:u8 value crc:u32`, the CRC32C over key, version and
//! value, little endian. The key is in it, so a value under another key is noticed.

use crc32c::{crc32c, crc32c_append};

const ROW_VERSION: u8 = 1;
const FRAME_BYTES: usize = 5;

/// Puts a value into its frame.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(value.len() + FRAME_BYTES);
    row.push(ROW_VERSION);
    row.extend_from_slice(value);
    let crc = crc32c_append(crc32c(key), &row);
    row.extend_from_slice(&crc.to_le_bytes());
    row
}

/// Takes a value out of its frame, or says what is wrong with it.
pub(super) fn unseal<'a>(key: &[u8], row: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let Some((sealed, crc)) = row.split_last_chunk::<4>() else {
        return Err("it is shorter than its frame");
    };
    if crc32c_append(crc32c(key), sealed) != u32::from_le_bytes(*crc) {
        return Err("it does not match its checksum");
    }
    match sealed.split_first() {
        Some((&ROW_VERSION, value)) => Ok(value),
        Some(_) => Err("its version is unknown"),
        None => Err("it is shorter than its frame"),
    }
}
