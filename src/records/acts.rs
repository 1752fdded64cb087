//! The folder's first record, and operators' acts.

use super::{LinkRow, RecordError, decode, encode, expect_version};
use crate::domain::id::{IdKey, Identifier, Sequence};
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

/// What a fragment is called by in records: its first event and its generation.
pub type FragmentKey = (Sequence, u16);

/// An event that reads differently now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revised {
    /// The event.
    pub sequence: Sequence,
    /// The content hash with which it was counted before.
    pub content: u128,
    /// The version of `bytes`.
    pub version: u8,
    /// Its record as it reads now.
    pub bytes: Vec<u8>,
}

/// One attempt, as it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// The status that came back.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why nothing came back.
    pub error: Option<String>,
    /// Whether the error is one that trying again would not mend.
    pub is_final: bool,
    /// How long the receiver asked to wait, in milliseconds.
    pub retry_after_ms: Option<i64>,
    /// The beginning of the body.
    pub response: Vec<u8>,
}

/// An operator's act, or one of the engine's own. Variants are only ever added at the end: bincode writes their number.
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
    /// A link between two identifiers is laid.
    Lay {
        /// When.
        at: Timestamp,
        /// Whether it joins; else it keeps apart.
        joins: bool,
        /// One end, canonical.
        a: Identifier,
        /// The other end, canonical.
        b: Identifier,
        /// Why, in the operator's words.
        reason: String,
    },
    /// A link is lifted.
    Lift {
        /// When.
        at: Timestamp,
        /// The link.
        number: u64,
    },
    /// What holds together by an identifier, or with a fragment, is taken apart. The pairs say all:
    /// what an act does never depends on whom it met, some of whom may be erased by the next replay.
    Unmerge {
        /// When.
        at: Timestamp,
        /// Who is kept apart from whom.
        apart: Vec<(Identifier, Identifier)>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// An identifier's evidence is withdrawn from its profile.
    Withdraw {
        /// When.
        at: Timestamp,
        /// The identifier, canonical.
        identifier: Identifier,
        /// What it was shown with there.
        shown_with: Vec<Identifier>,
    },
    /// Events on no profile are read again.
    Reprocess {
        /// When.
        at: Timestamp,
        /// The events, as they now read.
        events: Vec<Revised>,
    },
    /// A person is erased.
    Erase {
        /// When.
        at: Timestamp,
        /// Any fragment of the profile.
        profile: FragmentKey,
        /// Whether what comes with one of its identifiers is dropped from now on.
        suppress: bool,
        /// Why, in the operator's words.
        reason: String,
    },
    /// What an erasure took: from here on the files can be cleaned.
    Erased {
        /// When.
        at: Timestamp,
        /// The record of the erasure.
        erasure: Sequence,
        /// Events of the person.
        events: Vec<Sequence>,
        /// Events on no profile that yield an identifier of the person, with their content hashes.
        loose: Vec<(Sequence, u128)>,
        /// Acts that name an identifier of the person.
        acts: Vec<Sequence>,
        /// Keyed hashes of the person's identifiers.
        hashes: Vec<[u8; 16]>,
        /// Whether they are suppressed.
        suppress: bool,
        /// Whether others had evidence with the person, so that all is to be resolved again.
        touched_others: bool,
        /// How many fragments, identifiers and deliveries went.
        counts: [u64; 3],
        /// Why, in the operator's words.
        reason: String,
    },
    /// No file holds an erased person any more.
    Compacted {
        /// When.
        at: Timestamp,
        /// The record of the erasure.
        erasure: Sequence,
    },
    /// What an erasure leaves of an unmerge: the links that keep others apart.
    Laid {
        /// When.
        at: Timestamp,
        /// The links.
        links: Vec<LinkRow>,
    },
    /// What an erasure leaves of a withdrawal: identifiers by their keyed hashes.
    WithdrawHashed {
        /// When.
        at: Timestamp,
        /// The identifier's.
        hash: [u8; 16],
        /// Those of what it was shown with.
        shown_with: Vec<[u8; 16]>,
    },
    /// A suppressed identifier is allowed again.
    Allow {
        /// When.
        at: Timestamp,
        /// Its keyed hash.
        hash: [u8; 16],
    },
    /// Everything is resolved again, under the configuration of that record; without effect where
    /// another one came between.
    Switch {
        /// When.
        at: Timestamp,
        /// The record that put the configuration in force.
        configured: Sequence,
    },
    /// A webhook was sent, or could not be.
    Attempted {
        /// When the attempt ended.
        at: Timestamp,
        /// The delivery's number.
        delivery: u64,
        /// How it went.
        outcome: Attempt,
    },
    /// A run's wait is over.
    TimerFired {
        /// When.
        at: Timestamp,
        /// The campaign.
        campaign: String,
        /// The fragment that the run belongs to.
        fragment: FragmentKey,
        /// The sequence of the event that triggered it.
        run: Sequence,
    },
    /// A delivery is not wanted any more.
    Cancelled {
        /// When.
        at: Timestamp,
        /// The delivery's number.
        delivery: u64,
        /// Why.
        reason: String,
    },
    /// Deliveries that are over are sent once more.
    Redeliver {
        /// When.
        at: Timestamp,
        /// Their numbers.
        deliveries: Vec<u64>,
    },
    /// A campaign's endpoints that were disabled are called again.
    EnableCampaign {
        /// When.
        at: Timestamp,
        /// The campaign.
        campaign: String,
    },
    /// The configuration of that record counts for the evidence that is there, because the journal no
    /// longer holds the events behind it; without effect where another one came between.
    Adopt {
        /// When.
        at: Timestamp,
        /// The record that put the configuration in force.
        configured: Sequence,
    },
    /// What holds together by an identifier, or with a fragment, is taken apart into many parts.
    Cut {
        /// When.
        at: Timestamp,
        /// Who is kept apart: each part from every other one.
        parts: Vec<Vec<Identifier>>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Taking a record in panicked: it counts for nothing. An event is set aside, an act has no effect,
    /// a timer ends its run.
    PassOver {
        /// When.
        at: Timestamp,
        /// The record; or an event that an act before this one read again.
        record: Sequence,
    },
    /// What an erasure's search met and could not read, so that it stays. It comes before the erasure's
    /// [`Self::Erased`].
    LeftUnread {
        /// When.
        at: Timestamp,
        /// The record of the erasure.
        erasure: Sequence,
        /// How many events.
        events: u64,
    },
}

impl ActRecord {
    /// Whether it is about runs and deliveries only.
    pub fn is_of_campaigns(&self) -> bool {
        matches!(
            self,
            Self::Attempted { .. }
                | Self::TimerFired { .. }
                | Self::Cancelled { .. }
                | Self::Redeliver { .. }
                | Self::EnableCampaign { .. }
        )
    }

    /// What sort of act it is, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PutObject { .. } => "put-object",
            Self::DeleteObject { .. } => "delete-object",
            Self::SetAside { .. } => "set-aside",
            Self::Lay { .. } => "lay",
            Self::Lift { .. } => "lift",
            Self::Unmerge { .. } => "unmerge",
            Self::Withdraw { .. } => "withdraw",
            Self::Reprocess { .. } => "reprocess",
            Self::Erase { .. } => "erase",
            Self::Erased { .. } => "erased",
            Self::Compacted { .. } => "compacted",
            Self::Laid { .. } => "laid",
            Self::WithdrawHashed { .. } => "withdraw-hashed",
            Self::Allow { .. } => "allow",
            Self::Switch { .. } => "switch",
            Self::Attempted { .. } => "attempted",
            Self::TimerFired { .. } => "timer-fired",
            Self::Cancelled { .. } => "cancelled",
            Self::Redeliver { .. } => "redeliver",
            Self::EnableCampaign { .. } => "enable-campaign",
            Self::Adopt { .. } => "adopt",
            Self::Cut { .. } => "cut",
            Self::PassOver { .. } => "pass-over",
            Self::LeftUnread { .. } => "left-unread",
        }
    }

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
