//! The bytes of a segment, version 1: encoding, decoding, checksums. No files here.
//!
//! All integers are little endian.
//!
//! ```text
//! segment   = header group*
//! header    = "selfsamj" version:u32 length:u32=32 first_sequence:u64 salt:u32 crc:u32
//! group     = marker:4 codec:u8 zero:3 stored:u32 raw:u32 records:u32 first_sequence:u64
//!             durable:u64 header_crc:u32 group_crc:u32 body[stored]
//! body      = record*, as such or as one LZ4 block
//! record    = length:u32 kind:u8 version:u8 bytes[length]
//! ```
//!
//! * `header_crc` is the CRC32C of the fields before it, `group_crc` of those fields and the body.
//!   Both start from the segment's random `salt`, so that no payload can contain bytes that would
//!   be taken for a group when a torn tail is searched for survivors.
//! * `durable` is the first sequence that was *not* known to be synced when the group was written.
//!   It tells damage from a power cut: what a later group calls durable cannot be a torn write.

use super::error::{Damage, JournalError};
use super::{RawRecord, Record};
use crate::journal::bounds::{
    GROUP_BYTES_MAX, GROUP_RECORDS_MAX, RECORD_BYTES_MAX, SEGMENT_VERSION,
};
use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};

pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
pub(super) const GROUP_HEADER_BYTES: usize = 44;
pub(super) const GROUP_MARKER: [u8; 4] = *b"\xf5Gr\n";

const SEGMENT_MAGIC: [u8; 8] = *b"selfsamj";
const RECORD_HEADER_BYTES: usize = 6;
/// Below this an LZ4 block rarely saves more than its own tokens cost.
const COMPRESS_FROM_BYTES: usize = 128;

const CODEC_NONE: u8 = 0;
const CODEC_LZ4: u8 = 1;

/// The first bytes of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub first_sequence: u64,
    pub salt: u32,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, Damage> {
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(Damage::Magic);
        }
        if crc32c(&bytes[..28]) != u32_at(bytes, 28) {
            return Err(Damage::SegmentHeader);
        }
        let version = u32_at(bytes, 8);
        if version != SEGMENT_VERSION {
            return Err(Damage::Version(version));
        }
        Ok(Self { first_sequence: u64_at(bytes, 16), salt: u32_at(bytes, 24) })
    }
}

/// The first bytes of a group, checked against their own checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    codec: u8,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub records: u32,
    pub first_sequence: u64,
    pub durable: u64,
    header_crc: u32,
    group_crc: u32,
}

impl GroupHeader {
    pub fn decode(bytes: &[u8; GROUP_HEADER_BYTES], salt: u32) -> Result<Self, Damage> {
        if bytes[..4] != GROUP_MARKER {
            return Err(Damage::Marker);
        }
        let header = Self {
            codec: bytes[4],
            stored_bytes: u32_at(bytes, 8),
            raw_bytes: u32_at(bytes, 12),
            records: u32_at(bytes, 16),
            first_sequence: u64_at(bytes, 20),
            durable: u64_at(bytes, 28),
            header_crc: u32_at(bytes, 36),
            group_crc: u32_at(bytes, 40),
        };
        if crc32c_append(salt, &bytes[..36]) != header.header_crc {
            return Err(Damage::GroupHeader);
        }
        header.check().map(|()| header)
    }

    fn check(&self) -> Result<(), Damage> {
        let stored_fits = match self.codec {
            CODEC_NONE => self.stored_bytes == self.raw_bytes,
            CODEC_LZ4 => self.stored_bytes < self.raw_bytes,
            _ => return Err(Damage::Impossible("codec")),
        };
        if !stored_fits || self.raw_bytes as usize > GROUP_BYTES_MAX {
            return Err(Damage::Impossible("length"));
        }
        if self.records == 0 || self.records as usize > GROUP_RECORDS_MAX {
            return Err(Damage::Impossible("record count"));
        }
        if self.next_sequence().is_none() || self.durable > self.first_sequence {
            return Err(Damage::Impossible("sequence"));
        }
        Ok(())
    }

    /// The sequence after the group's last one.
    pub fn next_sequence(&self) -> Option<u64> {
        self.first_sequence.checked_add(u64::from(self.records))
    }

    /// The length of the group in the file, header included.
    pub fn file_bytes(&self) -> u64 {
        GROUP_HEADER_BYTES as u64 + u64::from(self.stored_bytes)
    }

    pub fn check_body(&self, body: &[u8]) -> Result<(), Damage> {
        let sound = body.len() == self.stored_bytes as usize
            && crc32c_append(self.header_crc, body) == self.group_crc;
        if sound { Ok(()) } else { Err(Damage::GroupBody) }
    }
}

/// A group that was read, decompressed and checked.
#[derive(Debug)]
pub(super) struct Group {
    pub first_sequence: u64,
    pub durable: u64,
    body: Bytes,
    /// Where each record begins in `body`.
    starts: Vec<u32>,
}

impl Group {
    /// Decodes a whole group: header, checksum, compression, records.
    pub fn decode(bytes: &[u8], salt: u32) -> Result<Self, Damage> {
        let (header, stored) =
            bytes.split_first_chunk::<GROUP_HEADER_BYTES>().ok_or(Damage::Short)?;
        let header = GroupHeader::decode(header, salt)?;
        header.check_body(stored)?;
        let body = match header.codec {
            CODEC_LZ4 => decompress(stored, header.raw_bytes as usize)?,
            _ => stored.to_vec(),
        };
        let starts = record_starts(&body, header.records as usize)?;
        Ok(Self {
            first_sequence: header.first_sequence,
            durable: header.durable,
            body: body.into(),
            starts,
        })
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The length of the records, decompressed, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The record with this sequence, if the group holds it.
    pub fn record(&self, sequence: u64) -> Option<Record> {
        let at = usize::try_from(sequence.checked_sub(self.first_sequence)?).ok()?;
        let start = *self.starts.get(at)? as usize;
        let length = u32_at(&self.body, start) as usize;
        let bytes = start + RECORD_HEADER_BYTES;
        Some(Record {
            kind: self.body[start + 4],
            version: self.body[start + 5],
            bytes: self.body.slice(bytes..bytes + length),
        })
    }
}

fn decompress(stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, Damage> {
    let mut body = vec![0; raw_bytes];
    match lz4_flex::block::decompress_into(stored, &mut body) {
        Ok(length) if length == raw_bytes => Ok(body),
        _ => Err(Damage::Compression),
    }
}

fn record_starts(body: &[u8], records: usize) -> Result<Vec<u32>, Damage> {
    let mut starts = Vec::with_capacity(records);
    let mut at = 0usize;
    for _ in 0..records {
        let header = body.get(at..at + RECORD_HEADER_BYTES).ok_or(Damage::Records)?;
        starts.push(u32::try_from(at).map_err(|_| Damage::Records)?);
        at = at.saturating_add(RECORD_HEADER_BYTES).saturating_add(u32_at(header, 0) as usize);
        if at > body.len() {
            return Err(Damage::Records);
        }
    }
    if at == body.len() { Ok(starts) } else { Err(Damage::Records) }
}

/// Encodes groups, reusing its buffers.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    raw: Vec<u8>,
    group: Vec<u8>,
}

impl Encoder {
    /// The bytes of a group, ready to be written.
    ///
    /// # Errors
    /// Returns which limit the records exceed; nothing has happened then.
    pub fn encode(
        &mut self,
        records: &[RawRecord<'_>],
        first_sequence: u64,
        durable: u64,
        salt: u32,
    ) -> Result<&[u8], JournalError> {
        self.fill_raw(records)?;
        let codec = self.fill_body();
        let stored_bytes = self.group.len() - GROUP_HEADER_BYTES;
        let (header, body) = self
            .group
            .split_first_chunk_mut::<GROUP_HEADER_BYTES>()
            .expect("fill_body leaves room for the header");
        header[..4].copy_from_slice(&GROUP_MARKER);
        header[4..8].copy_from_slice(&[codec, 0, 0, 0]);
        // The casts cannot truncate: all three were compared with their limits.
        header[8..12].copy_from_slice(&(stored_bytes as u32).to_le_bytes());
        header[12..16].copy_from_slice(&(self.raw.len() as u32).to_le_bytes());
        header[16..20].copy_from_slice(&(records.len() as u32).to_le_bytes());
        header[20..28].copy_from_slice(&first_sequence.to_le_bytes());
        header[28..36].copy_from_slice(&durable.to_le_bytes());
        let header_crc = crc32c_append(salt, &header[..36]);
        header[36..40].copy_from_slice(&header_crc.to_le_bytes());
        header[40..].copy_from_slice(&crc32c_append(header_crc, body).to_le_bytes());
        Ok(&self.group)
    }

    /// The bytes of the group that was encoded last.
    pub fn last(&self) -> &[u8] {
        &self.group
    }

    fn fill_raw(&mut self, records: &[RawRecord<'_>]) -> Result<(), JournalError> {
        if records.is_empty() {
            return Err(JournalError::GroupEmpty);
        }
        if records.len() > GROUP_RECORDS_MAX {
            return Err(JournalError::TooManyRecords { found: records.len() });
        }
        if let Some(long) = records.iter().find(|record| record.bytes.len() > RECORD_BYTES_MAX) {
            return Err(JournalError::RecordTooLarge { found: long.bytes.len() });
        }
        let total = group_bytes(records.iter().map(|record| record.bytes.len()));
        if total > GROUP_BYTES_MAX {
            return Err(JournalError::GroupTooLarge { found: total });
        }
        self.raw.clear();
        self.raw.reserve(total);
        for record in records {
            self.raw.extend_from_slice(&(record.bytes.len() as u32).to_le_bytes());
            self.raw.extend_from_slice(&[record.kind, record.version]);
            self.raw.extend_from_slice(record.bytes);
        }
        Ok(())
    }

    /// Puts the body behind the room for the header and returns its codec, whichever is shorter.
    fn fill_body(&mut self) -> u8 {
        if self.raw.len() >= COMPRESS_FROM_BYTES {
            let room = lz4_flex::block::get_maximum_output_size(self.raw.len());
            self.group.resize(GROUP_HEADER_BYTES + room, 0);
            let body = &mut self.group[GROUP_HEADER_BYTES..];
            if let Ok(length) = lz4_flex::block::compress_into(&self.raw, body)
                && length < self.raw.len()
            {
                self.group.truncate(GROUP_HEADER_BYTES + length);
                return CODEC_LZ4;
            }
        }
        self.group.resize(GROUP_HEADER_BYTES, 0);
        self.group.extend_from_slice(&self.raw);
        CODEC_NONE
    }
}

/// How long a group of records of these lengths is before compression, in bytes.
pub(super) fn group_bytes(records: impl Iterator<Item = usize>) -> usize {
    records.fold(0usize, |sum, bytes| sum.saturating_add(RECORD_HEADER_BYTES + bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
