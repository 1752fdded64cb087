//! A map from numbers that mostly ascend to small values, dense: a million of them weigh hardly
//! more than themselves.
//!
//! Runs of neighbours in key order. What is added at the end fills its run to the brim, where a
//! tree of the standard library leaves half of each node empty.

use std::collections::BTreeMap;

/// Values of one run at most: what a removal in the middle has to move.
const RUN: usize = 256;

/// A map from numbers to values.
#[derive(Debug)]
pub(super) struct Table<V> {
    /// By their first number; none is empty.
    runs: BTreeMap<u64, Vec<(u64, V)>>,
    len: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), len: 0 }
    }
}

impl<V> Table<V> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of a number.
    pub(super) fn get(&self, number: u64) -> Option<&V> {
        let (_, run) = self.runs.range(..=number).next_back()?;
        let place = run.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        Some(&run[place].1)
    }

    /// Sets the value of a number; answers the one before.
    pub(super) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let Some((_, run)) = self.runs.range_mut(..=number).next_back() else {
            self.begin(number, value);
            return None;
        };
        let place = match run.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(place) => return Some(std::mem::replace(&mut run[place].1, value)),
            Err(place) => place,
        };
        if run.len() < RUN {
            run.insert(place, (number, value));
            self.len += 1;
        } else {
            // Behind a full run a new one begins; in its middle it is parted.
            let rest = run.split_off(place);
            self.begin(number, value);
            if let Some((first, _)) = rest.first() {
                self.runs.insert(*first, rest);
            }
        }
        None
    }

    fn begin(&mut self, number: u64, value: V) {
        let mut run = Vec::with_capacity(RUN);
        run.push((number, value));
        self.runs.insert(number, run);
        self.len += 1;
    }

    /// Removes a number.
    pub(super) fn remove(&mut self, number: u64) -> Option<V> {
        let (first, run) = self.runs.range_mut(..=number).next_back()?;
        let place = run.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        let first = *first;
        let (_, value) = run.remove(place);
        if run.is_empty() {
            self.runs.remove(&first);
        }
        self.len -= 1;
        Some(value)
    }

    /// All values, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.runs.values().flatten().map(|(number, value)| (*number, value))
    }

    /// The values before a number, the greatest first.
    pub(super) fn before(&self, number: u64) -> impl Iterator<Item = (u64, &V)> {
        let runs = self.runs.range(..number).rev();
        let all = runs.flat_map(|(_, run)| run.iter().rev());
        all.map(|(number, value)| (*number, value)).skip_while(move |(one, _)| *one >= number)
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

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..700, any::<u8>()), 0..2_000), cut in 0u64..800) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for number in 300..700 {
                table.insert(number, 0);
                model.insert(number, 0);
            }
            for (adds, number, value) in steps {
                match adds {
                    true => prop_assert_eq!(table.insert(number, value), model.insert(number, value)),
                    false => prop_assert_eq!(table.remove(number), model.remove(&number)),
                }
                prop_assert_eq!(table.get(number), model.get(&number));
            }
            prop_assert_eq!(table.len(), model.len());
            let all: Vec<_> = table.iter().map(|(number, value)| (number, *value)).collect();
            prop_assert_eq!(all, model.iter().map(|(number, value)| (*number, *value)).collect::<Vec<_>>());
            let before: Vec<_> = table.before(cut).map(|(number, _)| number).collect();
            prop_assert_eq!(before, model.range(..cut).rev().map(|(number, _)| *number).collect::<Vec<_>>());
        }
    }
}
