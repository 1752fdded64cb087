//! The folder's first record, and operators' acts.

use super::{RecordError, decode, encode, expect_version};
use crate::domain::id::{IdKey, Sequence};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The keys of a data folder, made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// When the folder was made.
    pub made_at: Timestamp,
    /// Scrambles sequences in ids.
    pub id_key: IdKey,
    /// Keys the hashes of event ids and of suppressed identifiers.
    pub hash_key: [u8; 32],
}

/// Kinds of configured objects that can be kept by API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A source.
    Source,
    /// An identification point.
    IdentificationPoint,
    /// The rules of an identifier type.
    IdentityType,
    /// The rule of a trait.
    Trait,
    /// A campaign.
    Campaign,
}

/// An operator's act. Variants are only ever added at the end: bincode writes their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActRecord {
    /// An object is created or replaced; the text is its JSON.
    PutObject {
        /// When.
        at: Timestamp,
        /// What kind of object.
        kind: ObjectKind,
        /// Its id.
        id: String,
        /// Its JSON.
        json: String,
    },
    /// An object is removed.
    DeleteObject {
        /// When.
        at: Timestamp,
        /// What kind of object.
        kind: ObjectKind,
        /// Its id.
        id: String,
    },
    /// Applying an event panicked twice: it is set aside.
    SetAside {
        /// When.
        at: Timestamp,
        /// The event.
        sequence: Sequence,
    },
}

impl ActRecord {
    /// The record's bytes.
    ///
    /// # Errors
    /// When it is larger than a record may be.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        encode("an act record", self)
    }

    /// Reads a record of any version.
    ///
    /// # Errors
    /// When the version is unknown or the bytes do not decode.
    pub fn decode(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        expect_version("an act record", version)?;
        decode("an act record", bytes)
    }
}

impl Genesis {
    /// The record's bytes.
    ///
    /// # Errors
    /// Never in practice: it is small.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        encode("a genesis record", self)
    }

    /// Reads a record of any version.
    ///
    /// # Errors
    /// When the version is unknown or the bytes do not decode.
    pub fn decode(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        expect_version("a genesis record", version)?;
        decode("a genesis record", bytes)
    }
}
