//! The clock: the only reader of system time in this crate.
//!
//! A [`Clock`] is the system's time plus an offset that a rehearsal may move forward. Everything
//! that asks for the time or waits for a moment holds a clone of one clock, so that all of the
//! program sees an advance at once; timers learn of it through [`Clock::subscribe`].

use crate::domain::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A handle to the program's clock; clones are cheap and share one offset.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    offset_ms: AtomicI64,
    advanced: watch::Sender<i64>,
}

impl Clock {
    /// The system's time, unmoved.
    #[must_use]
    pub fn system() -> Self {
        Self::shifted(0)
    }

    /// The system's time moved by `offset_ms` milliseconds: how a rehearsal's moved clock survives
    /// a restart of the program.
    #[must_use]
    pub fn shifted(offset_ms: i64) -> Self {
        Self(Arc::new(Shared {
            offset_ms: AtomicI64::new(offset_ms),
            advanced: watch::Sender::new(offset_ms),
        }))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let system_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Timestamp(system_ms).plus_ms(self.0.offset_ms.load(Ordering::Acquire))
    }

    /// Moves the clock by `ms` milliseconds and wakes every subscriber.
    pub fn advance(&self, ms: i64) {
        self.0.advanced.send_modify(|offset_ms| {
            *offset_ms = offset_ms.saturating_add(ms);
            // Stored before the subscribers wake, so that none of them reads the old time.
            self.0.offset_ms.store(*offset_ms, Ordering::Release);
        });
    }

    /// Tells of every advance. A timer waits for its moment *or* for `changed()`, and then asks
    /// [`Clock::now`] again. The value is the whole offset in milliseconds.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.0.advanced.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_is_seen_by_every_clone_and_wakes_subscribers() {
        let clock = Clock::shifted(1_000);
        let other = clock.clone();
        let mut moved = other.subscribe();
        let before = other.now();
        clock.advance(3_600_000);
        assert!(other.now() >= before.plus_ms(3_600_000));
        assert!(moved.has_changed().unwrap());
        assert_eq!(*moved.borrow_and_update(), 3_601_000);
        assert!(!moved.has_changed().unwrap());
    }

    #[test]
    fn an_offset_without_bounds_stays_a_moment_that_can_be_written() {
        let clock = Clock::shifted(i64::MAX);
        clock.advance(i64::MAX);
        assert_eq!(clock.now(), crate::domain::time::MAX);
    }
}
