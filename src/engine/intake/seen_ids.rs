//! The window of event ids: which were seen, and where their first events stand.
//!
//! Holds millions, so nothing in it is ever copied as a whole: a table that doubles would stop the
//! router for as long as that takes. The ids are spread over many small tables and queues instead,
//! which double one by one.

use crate::domain::event::Placed;
use crate::domain::time::Timestamp;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Keys are hashes, so their first byte spreads them evenly.
const PARTS: usize = 256;

/// See the module's head.
pub(in crate::engine) struct Window {
    parts: Vec<Part>,
    /// Nothing is remembered longer than the longest window that an event asked for.
    longest_ms: i64,
}

#[derive(Default)]
struct Part {
    seen: HashMap<[u8; 16], Placed>,
    by_age: VecDeque<([u8; 16], Timestamp)>,
}

impl Default for Window {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Part::default()).collect(), longest_ms: 0 }
    }
}

impl Window {
    /// The first event with that id, unless it came longer than `window_ms` ago.
    pub(in crate::engine) fn find(
        &mut self,
        key: &[u8; 16],
        now: Timestamp,
        window_ms: i64,
    ) -> Option<Placed> {
        self.longest_ms = self.longest_ms.max(window_ms);
        let first = self.parts[usize::from(key[0])].seen.get(key).copied();
        first.filter(|first| now.0 - first.received_at.0 <= window_ms)
    }

    /// Remembers the first event with that id.
    pub(in crate::engine) fn insert(&mut self, key: [u8; 16], first: Placed) {
        let part = &mut self.parts[usize::from(key[0])];
        part.seen.insert(key, first);
        part.by_age.push_back((key, first.received_at));
    }

    /// Forgets what no window reaches any more.
    pub(in crate::engine) fn forget_before(&mut self, now: Timestamp) {
        let is_old = |at: Timestamp| now.0 - at.0 > self.longest_ms;
        for part in &mut self.parts {
            while let Some((key, _)) = part.by_age.pop_front_if(|(_, at)| is_old(*at)) {
                // An id that came again after its window has a later entry of its own.
                if part.seen.get(&key).is_some_and(|first| is_old(first.received_at)) {
                    part.seen.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(sequence: u64) -> Placed {
        Placed { sequence, received_at: Timestamp(sequence as i64) }
    }

    #[test]
    fn an_id_is_known_for_its_window_and_then_forgotten() {
        let mut window = Window::default();
        let key = [7; 16];
        assert_eq!(window.find(&key, Timestamp(1), 100), None);
        window.insert(key, placed(1));
        window.insert([8; 16], placed(1));
        assert_eq!(window.find(&key, Timestamp(101), 100), Some(placed(1)));
        assert_eq!(window.find(&key, Timestamp(102), 100), None);
        window.insert(key, placed(102));
        window.forget_before(Timestamp(150));
        assert_eq!(window.find(&key, Timestamp(150), 100), Some(placed(102)));
        assert_eq!(window.find(&[8; 16], Timestamp(1), 100), None);
    }
}
