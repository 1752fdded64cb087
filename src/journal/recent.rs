//! A small cache of what was used last, bounded by weight.

use std::collections::VecDeque;

/// Keeps the most recently used entries; looked through in order, so meant for a few dozen.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: VecDeque<(K, V, usize)>,
    weight: usize,
    weight_max: usize,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub fn new(weight_max: usize) -> Self {
        Self { entries: VecDeque::new(), weight: 0, weight_max }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        let at = self.entries.iter().position(|(k, ..)| k == key)?;
        let entry = self.entries.remove(at)?;
        let value = entry.1.clone();
        self.entries.push_front(entry);
        Some(value)
    }

    /// Keeps a value; one heavier than the whole cache is not kept.
    pub fn insert(&mut self, key: K, value: V, weight: usize) {
        if weight > self.weight_max {
            return;
        }
        self.entries.push_front((key, value, weight));
        self.weight += weight;
        while self.weight > self.weight_max
            && let Some((.., weight)) = self.entries.pop_back()
        {
            self.weight -= weight;
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.weight = 0;
    }
}
