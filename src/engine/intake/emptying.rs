//! What a record of the journal is replaced by when somebody is erased.

use crate::domain::id::{Identifier, Sequence};
use crate::engine::state::erasure::identifier_hash;
use crate::journal::{Record, ReplacementRecord};
use crate::records::{ActRecord, LinkRow, VERSION, kind};
use std::collections::{BTreeMap, BTreeSet};

/// What the journal is to lose, and what stands in its place.
pub(in crate::engine) struct Emptying {
    pub(in crate::engine) records: BTreeSet<Sequence>,
    /// Links that acts among them laid, and that stay.
    pub(in crate::engine) relaid: BTreeMap<Sequence, Vec<LinkRow>>,
    /// The parts of cuts that acts among them laid, without the person.
    pub(in crate::engine) recut: BTreeMap<Sequence, Vec<Vec<Identifier>>>,
    pub(in crate::engine) hash_key: [u8; 32],
}

impl Emptying {
    /// What stands in the place of a record. An act keeps what it did to others: events that it read
    /// again, links between them, an identifier's withdrawal by its hash.
    pub(in crate::engine) fn replacement(
        &self,
        sequence: Sequence,
        record: &Record,
    ) -> ReplacementRecord {
        let left = match record.kind {
            kind::ACT => self.left_of(sequence, record),
            _ => None,
        };
        match left.and_then(|act| act.encode().ok()) {
            Some(bytes) => ReplacementRecord { kind: kind::ACT, version: VERSION, bytes },
            None => ReplacementRecord { kind: kind::ERASED, version: VERSION, bytes: Vec::new() },
        }
    }

    fn left_of(&self, sequence: Sequence, record: &Record) -> Option<ActRecord> {
        match ActRecord::decode(record.version, &record.bytes).ok()? {
            ActRecord::Reprocess { at, mut events } => {
                events.retain(|one| !self.records.contains(&one.sequence));
                Some(ActRecord::Reprocess { at, events })
            }
            ActRecord::Withdraw { at, identifier, shown_with } => {
                let hash =
                    |one: &Identifier| identifier_hash(&self.hash_key, &one.kind, &one.value);
                let shown_with = shown_with.iter().map(hash).collect();
                Some(ActRecord::WithdrawHashed { at, hash: hash(&identifier), shown_with })
            }
            ActRecord::Unmerge { at, .. } | ActRecord::Laid { at, .. } => {
                let links = self.relaid.get(&sequence).cloned()?;
                Some(ActRecord::Laid { at, links })
            }
            ActRecord::Cut { at, reason, .. } => {
                let parts = self.recut.get(&sequence).cloned()?;
                Some(ActRecord::Cut { at, parts, reason })
            }
            act @ ActRecord::WithdrawHashed { .. } => Some(act),
            _ => None,
        }
    }
}
