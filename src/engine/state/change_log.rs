//! The log of what happened to identities, in order: merges, unmerges, refusals, quarantines,
//! releases, erasures.
//!
//! There is one for every merge, so it grows with the events. All but the newest are kept encoded,
//! in the very runs that a snapshot writes: about 70 bytes each in memory, written once, and cheap
//! to hand to another thread that looks something up.

use crate::domain::graph::{ChangeKind, Obstacle};
use crate::records::{self, ChangeRow, RecordError};
use std::sync::Arc;

/// Changes of a full run, and about how many bytes of them fill it before: a merge may name
/// thousands of profiles.
const RUN: usize = 1_024;
const RUN_BYTES: usize = 1 << 20;

/// The log. Changes are numbered from 1, without gaps.
#[derive(Debug, Default)]
pub struct ChangeLog {
    /// Full runs, encoded, by the number of their first change.
    full: Vec<(u64, Arc<[u8]>)>,
    tail: Vec<ChangeRow>,
    tail_bytes: usize,
    /// How many full runs the snapshot holds.
    saved: usize,
    /// How many there ever were.
    totals: Totals,
}

/// How many changes there ever were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of each kind, by number of the kind.
    pub kinds: [u64; ChangeKind::ALL.len()],
    /// Refusals by their reason.
    pub refusals: [u64; Obstacle::ALL.len()],
}

impl Totals {
    fn add(&mut self, row: &ChangeRow) {
        self.kinds[usize::from(row.kind.number())] += 1;
        let is_why = |why: &Obstacle| row.reason.as_deref() == Some(why.name());
        if row.kind == ChangeKind::Refusal
            && let Some(why) = Obstacle::ALL.iter().position(is_why)
        {
            self.refusals[why] += 1;
        }
    }
}

/// The log as it was at one moment, for another thread.
#[derive(Debug)]
pub struct ChangesThen {
    full: Vec<(u64, Arc<[u8]>)>,
    tail: Vec<ChangeRow>,
}

impl ChangeLog {
    /// How many there ever were.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Adds the next change.
    pub(in crate::engine) fn push(&mut self, row: ChangeRow) {
        self.totals.add(&row);
        if self.tail.len() >= RUN || self.tail_bytes >= RUN_BYTES {
            self.seal();
        }
        self.tail_bytes += size(&row);
        self.tail.push(row);
    }

    /// Makes a full run of the tail. One that does not encode stays as it is, and the next snapshot
    /// says so.
    fn seal(&mut self) {
        let Some(first) = self.tail.first() else { return };
        if let Ok(run) = records::encode("changes", &self.tail) {
            self.full.push((first.number, run.into()));
            self.tail.clear();
            self.tail_bytes = 0;
        }
    }

    /// The change that came last.
    pub(in crate::engine) fn last_mut(&mut self) -> Option<&mut ChangeRow> {
        self.tail.last_mut()
    }

    /// Forgets all: what changed while a draft was made is no news to anyone.
    pub(in crate::engine) fn clear(&mut self) {
        *self = Self::default();
    }

    /// As it is now.
    pub fn now(&self) -> ChangesThen {
        ChangesThen { full: self.full.clone(), tail: self.tail.clone() }
    }

    /// Changes rows in their places, never to longer ones; `change` returns whether it did.
    pub(in crate::engine) fn rewrite(&mut self, change: impl Fn(&mut ChangeRow) -> bool) {
        for (at, (_, run)) in self.full.iter_mut().enumerate() {
            // Full runs were encoded here. If one did not decode, better nothing than what was to go.
            let mut rows: Vec<ChangeRow> = records::decode("changes", run).unwrap_or_default();
            if rows.iter_mut().filter_map(|row| change(row).then_some(())).count() > 0 {
                *run = records::encode("changes", &rows).unwrap_or_default().into();
                self.saved = self.saved.min(at);
            }
        }
        for row in &mut self.tail {
            change(row);
        }
    }

    /// The runs that the snapshot does not hold as they are, each under the number of its first.
    pub(in crate::engine) fn take_rows(&mut self) -> Result<Vec<(u64, Vec<u8>)>, RecordError> {
        let fresh = self.full.iter().skip(self.saved);
        let mut rows: Vec<_> = fresh.map(|(first, run)| (*first, run.to_vec())).collect();
        if let Some(first) = self.tail.first() {
            rows.push((first.number, records::encode("changes", &self.tail)?));
        }
        self.saved = self.full.len();
        Ok(rows)
    }

    /// Takes back a row of the snapshot, behind those before it.
    pub(in crate::engine) fn restore(&mut self, row: &[u8]) -> Result<(), RecordError> {
        for change in records::decode::<Vec<ChangeRow>>("changes", row)? {
            self.push(change);
        }
        self.saved = self.full.len();
        Ok(())
    }
}

/// About how many bytes a change takes.
fn size(row: &ChangeRow) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    96 + 16 * row.others.len() + text(&row.identifier) + text(&row.reason)
}

impl ChangesThen {
    /// The changes from number `from` on, at most `limit`, and so many bytes of them unless there is
    /// only one.
    ///
    /// # Errors
    /// When a run does not decode.
    pub fn page(
        &self,
        from: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<ChangeRow>, RecordError> {
        let before = self.full.partition_point(|(first, _)| *first <= from).saturating_sub(1);
        let (mut found, mut room) = (Vec::new(), bytes);
        let mut take = |row: ChangeRow| {
            let size = size(&row);
            if found.len() >= limit || (size > room && !found.is_empty()) {
                return false;
            }
            room = room.saturating_sub(size);
            found.push(row);
            true
        };
        for (_, run) in self.full.iter().skip(before) {
            let run: Vec<ChangeRow> = records::decode("changes", run)?;
            if !run.into_iter().filter(|row| row.number >= from).all(&mut take) {
                return Ok(found);
            }
        }
        let _fitted = self.tail.iter().filter(|row| row.number >= from).cloned().all(&mut take);
        Ok(found)
    }

    /// The newest changes before number `before` that `is_wanted`, at most `limit`.
    ///
    /// # Errors
    /// When a run does not decode.
    pub fn newest(
        &self,
        before: u64,
        limit: usize,
        is_wanted: impl Fn(&ChangeRow) -> bool,
    ) -> Result<Vec<ChangeRow>, RecordError> {
        let fits = |row: &ChangeRow| row.number < before && is_wanted(row);
        let tail = self.tail.iter().rev().filter(|row| fits(row));
        let mut found: Vec<ChangeRow> = tail.take(limit).cloned().collect();
        for (_, run) in self.full.iter().rev() {
            if found.len() >= limit {
                break;
            }
            let run: Vec<ChangeRow> = records::decode("changes", run)?;
            let run = run.into_iter().rev().filter(|row| fits(row));
            found.extend(run.take(limit - found.len()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn row(number: u64) -> ChangeRow {
        ChangeRow {
            number,
            kind: ChangeKind::Refusal,
            profile: Some(u128::from(number)),
            others: Vec::new(),
            event: None,
            identifier: Some(format!("email:{number}@x.example")),
            reason: Some("limit".to_owned()),
            at: Timestamp(0),
        }
    }

    fn log(count: u64) -> ChangeLog {
        let mut log = ChangeLog::default();
        for number in 1..=count {
            log.push(row(number));
        }
        log
    }

    fn numbers(rows: &[ChangeRow]) -> Vec<u64> {
        rows.iter().map(|row| row.number).collect()
    }

    #[test]
    fn pages_go_over_the_seams_of_runs() {
        let log = log(2_100);
        assert_eq!(
            numbers(&log.now().page(1_023, 4, usize::MAX).unwrap()),
            [1_023, 1_024, 1_025, 1_026]
        );
        assert_eq!(numbers(&log.now().page(2_048, 3, usize::MAX).unwrap()), [2_048, 2_049, 2_050]);
        assert_eq!(numbers(&log.now().page(0, 2, usize::MAX).unwrap()), [1, 2]);
        assert_eq!(log.now().page(2_101, 5, usize::MAX).unwrap(), []);
        assert_eq!(numbers(&log.now().page(1_023, 9, 400).unwrap()), [1_023, 1_024, 1_025]);
        assert_eq!(numbers(&log.now().page(7, 9, 1).unwrap()), [7]);
        assert_eq!(log.now().page(u64::MAX, 5, usize::MAX).unwrap(), []);
        let odd = |row: &ChangeRow| row.number % 2 == 1;
        assert_eq!(numbers(&log.now().newest(2_051, 3, odd).unwrap()), [2_049, 2_047, 2_045]);
        assert_eq!(log.totals().kinds, [0, 0, 2_100, 0, 0, 0]);
        assert_eq!(log.totals().refusals, [0, 2_100, 0, 0, 0]);
    }

    #[test]
    fn a_snapshot_writes_full_runs_once_and_what_is_rewritten_again() {
        let mut log = log(2_100);
        let mut store = std::collections::BTreeMap::from_iter(log.take_rows().unwrap());
        assert_eq!(store.keys().copied().collect::<Vec<_>>(), [1, 1_025, 2_049]);
        log.push(row(2_101));
        let again = log.take_rows().unwrap();
        assert_eq!(again.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2_049]);
        store.extend(again);
        log.rewrite(|row| row.number == 1_500 && row.identifier.take().is_some());
        let again = log.take_rows().unwrap();
        assert_eq!(again.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1_025, 2_049]);
        store.extend(again);
        let mut back = ChangeLog::default();
        for row in store.values() {
            back.restore(row).unwrap();
        }
        assert_eq!(
            back.now().page(1, 5_000, usize::MAX).unwrap(),
            log.now().page(1, 5_000, usize::MAX).unwrap()
        );
        assert_eq!(back.now().page(1_500, 1, usize::MAX).unwrap()[0].identifier, None);
        assert_eq!(back.totals(), log.totals());
    }
}
