//! A map from numbers that mostly ascend to small values, dense: a million of them weigh hardly
//! more than themselves.
//!
//! Runs of neighbours in key order. What is added at the end fills its run to the brim, where a
//! tree of the standard library leaves half of each node empty. A run is also what a snapshot
//! writes as one row, so a start reads few rows, and a change writes its neighbours along.

use std::collections::{BTreeMap, BTreeSet};

/// Values of one run at most: what a removal in the middle has to move.
pub(in crate::engine) const RUN: usize = 64;

/// A map from numbers to values.
#[derive(Debug)]
pub(in crate::engine) struct Table<V> {
    /// Each under a number that is not greater than its first one; none is empty.
    runs: BTreeMap<u64, Vec<(u64, V)>>,
    len: usize,
    /// The runs that changed, or are gone, since the last look.
    changed: BTreeSet<u64>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), len: 0, changed: BTreeSet::new() }
    }
}

impl<V> Table<V> {
    /// How many values there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.len
    }

    /// The value of a number.
    pub(in crate::engine) fn get(&self, number: u64) -> Option<&V> {
        let (_, run) = self.runs.range(..=number).next_back()?;
        let place = run.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        Some(&run[place].1)
    }

    /// Sets the value of a number; returns the one before.
    pub(in crate::engine) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let Some((name, run)) = self.runs.range_mut(..=number).next_back() else {
            self.begin(number, value);
            return None;
        };
        let place = match run.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(place) => {
                self.changed.insert(*name);
                return Some(std::mem::replace(&mut run[place].1, value));
            }
            Err(place) => place,
        };
        if run.len() < RUN {
            run.insert(place, (number, value));
            self.changed.insert(*name);
            self.len += 1;
        } else {
            // Behind a full run a new one begins; in its middle it is parted.
            let rest = run.split_off(place);
            if let Some((first, _)) = rest.first() {
                let first = *first;
                self.changed.extend([*name, first]);
                self.runs.insert(first, rest);
            }
            self.begin(number, value);
        }
        None
    }

    fn begin(&mut self, number: u64, value: V) {
        let mut run = Vec::with_capacity(RUN);
        run.push((number, value));
        self.runs.insert(number, run);
        self.changed.insert(number);
        self.len += 1;
    }

    /// Removes a number.
    pub(in crate::engine) fn remove(&mut self, number: u64) -> Option<V> {
        let (name, run) = self.runs.range_mut(..=number).next_back()?;
        let place = run.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        let name = *name;
        let (_, value) = run.remove(place);
        if run.is_empty() {
            self.runs.remove(&name);
        } else if run.len() <= run.capacity() / 4 {
            run.shrink_to(run.len() * 2);
        }
        self.changed.insert(name);
        self.len -= 1;
        Some(value)
    }

    /// All values, in the order of their numbers.
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.runs.values().flatten().map(|(number, value)| (*number, value))
    }

    /// The values before a number, the greatest first.
    pub(in crate::engine) fn before(&self, number: u64) -> impl Iterator<Item = (u64, &V)> {
        let runs = self.runs.range(..number).rev();
        let all = runs.flat_map(|(_, run)| run.iter().rev());
        all.map(|(number, value)| (*number, value)).skip_while(move |(one, _)| *one >= number)
    }

    /// The names of the runs that changed since the last call.
    pub(in crate::engine) fn take_changed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.changed)
    }

    /// A run; empty where it is gone.
    pub(in crate::engine) fn run(&self, name: u64) -> &[(u64, V)] {
        self.runs.get(&name).map_or(&[], Vec::as_slice)
    }

    /// Takes a run in as it was taken from a table, behind all that are there; `false` where it
    /// cannot be one.
    pub(in crate::engine) fn restore(&mut self, name: u64, run: Vec<(u64, V)>) -> bool {
        let last = self.runs.last_key_value().and_then(|(_, run)| run.last());
        let follows = run.first().is_some_and(|(first, _)| *first >= name)
            && last.is_none_or(|(last, _)| *last < name);
        if !follows || !run.is_sorted_by(|(one, _), (next, _)| one < next) {
            return false;
        }
        self.len += run.len();
        self.runs.insert(name, run);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ascending_numbers_fill_their_runs() {
        let mut table = Table::default();
        (0..10 * RUN as u64).for_each(|number| assert!(table.insert(number, ()).is_none()));
        assert_eq!(table.runs.len(), 10);
        assert!(table.runs.values().all(|run| run.len() == RUN && run.capacity() == RUN));
    }

    #[test]
    fn a_run_that_cannot_be_one_is_not_taken_in() {
        let mut table = Table::default();
        assert!(table.restore(3, vec![(4, ()), (7, ())]));
        for (name, run) in
            [(8, vec![]), (8, vec![(7, ())]), (7, vec![(9, ())]), (8, vec![(9, ()), (9, ())])]
        {
            assert!(!table.restore(name, run));
        }
        assert!(table.restore(8, vec![(9, ())]));
        assert_eq!(table.len(), 3);
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..700, any::<u8>()), 0..2_000), cut in 0u64..800) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let mut rows: BTreeMap<u64, Vec<(u64, u8)>> = BTreeMap::new();
            for number in 300..700 {
                table.insert(number, 0);
                model.insert(number, 0);
            }
            for (step, (adds, number, value)) in steps.into_iter().enumerate() {
                match adds {
                    true => prop_assert_eq!(table.insert(number, value), model.insert(number, value)),
                    false => prop_assert_eq!(table.remove(number), model.remove(&number)),
                }
                prop_assert_eq!(table.get(number), model.get(&number));
                if step % 97 == 0 {
                    write(&mut table, &mut rows);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            let all: Vec<_> = table.iter().map(|(number, value)| (number, *value)).collect();
            prop_assert_eq!(&all, &model.iter().map(|(number, value)| (*number, *value)).collect::<Vec<_>>());
            let before: Vec<_> = table.before(cut).map(|(number, _)| number).collect();
            prop_assert_eq!(before, model.range(..cut).rev().map(|(number, _)| *number).collect::<Vec<_>>());
            // What changed is enough to write, and what was written is enough to read.
            write(&mut table, &mut rows);
            let mut again = Table::default();
            for (name, run) in rows {
                prop_assert!(again.restore(name, run));
            }
            prop_assert_eq!(again.len(), table.len());
            prop_assert!(again.iter().eq(table.iter()));
        }
    }

    fn write(table: &mut Table<u8>, rows: &mut BTreeMap<u64, Vec<(u64, u8)>>) {
        for name in table.take_changed() {
            rows.remove(&name);
            if !table.run(name).is_empty() {
                rows.insert(name, table.run(name).to_vec());
            }
        }
    }
}
