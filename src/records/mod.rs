//! What journal records and snapshot rows hold, byte for byte.
//!
//! One frozen struct per record and version; a later version gets a struct of its own and an upcast
//! from the one before. Encoded with bincode 1.3 under a size limit, trailing bytes rejected. What
//! stands in `tests/golden` must be read by every later version.

mod acts;
mod delivery;
mod event;
pub mod keys;
mod runs;
mod state;

pub use acts::{ActRecord, Attempt, FragmentKey, Genesis, ObjectKind, Revised};
pub use delivery::{
    DELIVERY_BITS, DeliveryPage, DeliveryRow, DeliveryState, decode_deliveries, encode_deliveries,
};
pub use event::{decode_event, encode_event};
pub use runs::{decode_runs, encode_runs};
pub use state::{
    ChangeRow, Counters, CutRow, DedupeRow, ErasureRow, LaidRow, LinkRow, PendingErasure,
    decode_fragment, decode_laid, decode_page, encode_cut, encode_fragment, encode_link,
    encode_page,
};

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the largest record that is read or written.
pub const RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// The kinds of journal records; a number is never used twice.
pub mod kind {
    /// The folder's keys; the first record of a journal.
    pub const GENESIS: u8 = 1;
    /// The effective configuration from files.
    pub const CONFIGURATION: u8 = 2;
    /// An event.
    pub const EVENT: u8 = 3;
    /// An operator's act.
    pub const ACT: u8 = 4;
    /// A record that an erasure emptied.
    pub const ERASED: u8 = 5;

    /// What a kind is called.
    pub const fn name(kind: u8) -> &'static str {
        match kind {
            GENESIS => "genesis",
            CONFIGURATION => "configuration",
            EVENT => "event",
            ACT => "act",
            _ => "unknown",
        }
    }
}

/// The version in which all kinds but events are written now.
pub const VERSION: u8 = 1;

/// The version in which events are written now.
pub const EVENT_VERSION: u8 = 2;

/// The version in which records of a kind are written now.
pub const fn version_of(kind: u8) -> u8 {
    match kind {
        kind::EVENT => EVENT_VERSION,
        _ => VERSION,
    }
}

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The version is not one that this program knows.
    #[error(
        "expected {what} of version 1 to {latest}, found version {found}; it was written by a later program"
    )]
    Version {
        /// What was read.
        what: &'static str,
        /// The latest version that is known.
        latest: u8,
        /// The version found.
        found: u8,
    },
    /// The bytes do not decode.
    #[error("expected {what}, found bytes that do not decode: {cause}")]
    Encoding {
        /// What was read.
        what: &'static str,
        /// What the decoder says.
        cause: String,
    },
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(RECORD_BYTES).with_varint_encoding()
}

/// Encodes any row or record of ours.
///
/// # Errors
/// When it is larger than [`RECORD_BYTES`].
pub fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, RecordError> {
    options()
        .serialize(value)
        .map_err(|cause| RecordError::Encoding { what, cause: cause.to_string() })
}

/// Decodes what [`encode`] made.
///
/// # Errors
/// When the bytes are anything else, or something trails behind.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, RecordError> {
    options()
        .reject_trailing_bytes()
        .deserialize(bytes)
        .map_err(|cause| RecordError::Encoding { what, cause: cause.to_string() })
}

/// What a row begins with that says its version. No row of version 1 begins so: theirs begin with a
/// number or the length of a list, and none of these begins with this byte.
const VERSIONED: u8 = 0xff;

/// Encodes a row of a later version than the first.
fn encode_versioned<T: Serialize>(
    what: &'static str,
    version: u8,
    value: &T,
) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![VERSIONED, version];
    bytes.append(&mut encode(what, value)?);
    Ok(bytes)
}

/// The version of a row, of which `latest` is known, and the bytes behind it.
fn versioned<'a>(
    what: &'static str,
    bytes: &'a [u8],
    latest: u8,
) -> Result<(u8, &'a [u8]), RecordError> {
    match bytes {
        [VERSIONED, found, ..] if !(2..=latest).contains(found) => {
            Err(RecordError::Version { what, latest, found: *found })
        }
        [VERSIONED, found, rest @ ..] => Ok((*found, rest)),
        first => Ok((1, first)),
    }
}

fn expect_version(what: &'static str, found: u8) -> Result<(), RecordError> {
    if found == VERSION {
        Ok(())
    } else {
        Err(RecordError::Version { what, latest: VERSION, found })
    }
}
