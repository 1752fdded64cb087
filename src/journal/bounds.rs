//! What the format bounds.

/// The format version that this program writes and reads.
pub const SEGMENT_VERSION: u32 = 1;

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// The longest group, in bytes before compression.
pub const GROUP_BYTES_MAX: usize = 32 << 20;

/// The most records in a group.
pub const GROUP_RECORDS_MAX: usize = 4096;
