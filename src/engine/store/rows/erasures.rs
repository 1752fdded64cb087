//! The snapshot's rows about erasures: what is suppressed, what was erased and is being erased, and
//! which records are hidden meanwhile. Each row holds a bounded part, however many there are.

use crate::domain::id::Sequence;
use crate::engine::state::row::Row;
use crate::engine::state::{BUCKET, Core};
use crate::engine::store::rows::error::LoadError;
use crate::records;
use crate::records::{ErasureRow, PendingErasure, RecordError, keys};
use crate::snapshot::SnapshotStore;
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: u8 = keys::ERASURES;
/// Hashes of suppressed identifiers, by their first byte.
const SUPPRESSED: u8 = b's';
/// Erasures, one each.
const ERASED: u8 = b'e';
/// Erasures whose records are being looked for, one each.
const PENDING: u8 = b'p';
/// How many events erasures left unread, one each.
const UNREAD: u8 = b'u';
/// Hidden records, by bucket.
const HIDDEN: u8 = b'h';

fn key(table: u8, number: u64) -> Vec<u8> {
    let mut key = vec![PREFIX, table];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Writes all of them again: a change of these is rare. Rows that are no more go.
pub(in crate::engine) fn put(core: &mut Core, rows: &mut Vec<Row>) -> Result<(), RecordError> {
    let mut suppressed: BTreeMap<u8, Vec<[u8; 16]>> = BTreeMap::new();
    for hash in &core.suppressed {
        suppressed.entry(hash[0]).or_default().push(*hash);
    }
    let mut hidden: BTreeMap<u64, Vec<Sequence>> = BTreeMap::new();
    for sequence in &core.hidden {
        hidden.entry(sequence / BUCKET).or_default().push(*sequence);
    }
    let mut all = Vec::new();
    for (first, hashes) in &suppressed {
        all.push((key(SUPPRESSED, u64::from(*first)), records::encode("suppressions", hashes)?));
    }
    for (erasure, row) in &core.erasures {
        all.push((key(ERASED, *erasure), records::encode("an erasure", row)?));
    }
    for (erasure, row) in &core.pending {
        all.push((key(PENDING, *erasure), records::encode("a pending erasure", row)?));
    }
    for (erasure, events) in &core.unread {
        all.push((key(UNREAD, *erasure), records::encode("unread events", events)?));
    }
    for (bucket, sequences) in &hidden {
        all.push((key(HIDDEN, *bucket), records::encode("hidden records", sequences)?));
    }
    let keys: BTreeSet<Vec<u8>> = all.iter().map(|(key, _)| key.clone()).collect();
    rows.extend(core.erasure_keys.difference(&keys).map(|gone| (gone.clone(), None)));
    rows.extend(all.into_iter().map(|(key, row)| (key, Some(row))));
    core.erasure_keys = keys;
    Ok(())
}

/// Reads them back.
pub(in crate::engine) fn load(store: &SnapshotStore, core: &mut Core) -> Result<(), LoadError> {
    for row in store.scan_prefix(&[PREFIX]) {
        let (key, row) = row?;
        let (table, number) = match *key.as_slice() {
            [PREFIX, table, a, b, c, d, e, f, g, h] => {
                (table, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => (0, 0),
        };
        match table {
            SUPPRESSED => {
                core.suppressed.extend(records::decode::<Vec<[u8; 16]>>("suppressions", &row)?);
            }
            ERASED => {
                let erasure = records::decode::<ErasureRow>("an erasure", &row)?;
                core.erasures.insert(number, erasure);
            }
            PENDING => {
                let erasure = records::decode::<PendingErasure>("a pending erasure", &row)?;
                core.pending.insert(number, erasure);
            }
            UNREAD => {
                core.unread.insert(number, records::decode::<u64>("unread events", &row)?);
            }
            HIDDEN => {
                core.hidden.extend(records::decode::<Vec<Sequence>>("hidden records", &row)?);
            }
            _ => {
                let what = format!("a row about erasures has the key {}", hex::encode(&key));
                return Err(LoadError::Inconsistent(what));
            }
        }
        core.erasure_keys.insert(key);
    }
    Ok(())
}
