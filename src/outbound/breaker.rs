//! The breaker of one endpoint: stops calling one that fails, and probes whether it is back. Pure.
//!
//! It opens when, of the last 20 outcomes, all within 30 s, at least half were failures. While it is
//! open no attempt is made, and none is spent. After 5 s one probe goes through; each further one
//! that fails doubles the wait, up to 5 min; one that succeeds closes the breaker.

use crate::domain::time::Timestamp;
use std::collections::VecDeque;

/// How many outcomes are judged.
const OUTCOMES: usize = 20;
/// Within how long, in milliseconds.
const WINDOW_MS: i64 = 30_000;
/// The first wait for a probe, in milliseconds.
const FIRST_MS: i64 = 5_000;
/// The longest.
const LONGEST_MS: i64 = 300_000;
/// After so long a probe without an outcome is given up; longer than any exchange may last.
const PROBE_MS: i64 = 20_000;

/// The breaker of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// When, and whether it failed.
    outcomes: VecDeque<(Timestamp, bool)>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    /// When the next probe may go.
    probe_at: Timestamp,
    wait_ms: i64,
    is_probing: bool,
}

impl Breaker {
    /// Whether an attempt may be made now; where the breaker is open, the one that may is the probe
    /// and must be [recorded](Self::record).
    ///
    /// # Errors
    /// When to ask again.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.refuses_until(now) {
            return Err(until);
        }
        if let Some(open) = &mut self.open {
            open.is_probing = true;
            open.probe_at = now.plus_ms(PROBE_MS);
        }
        Ok(())
    }

    /// An admitted attempt was not made after all: where it was the probe, another one may go.
    pub fn withdraw(&mut self, now: Timestamp) {
        if let Some(open) = self.open.as_mut().filter(|open| open.is_probing) {
            open.is_probing = false;
            open.probe_at = now;
        }
    }

    /// When to ask again, where no attempt may be made now.
    pub fn refuses_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.open.map(|open| open.probe_at).filter(|probe_at| now < *probe_at)
    }

    /// Takes note of an attempt's outcome.
    pub fn record(&mut self, failed: bool, now: Timestamp) {
        if let Some(open) = &mut self.open {
            match (open.is_probing, failed) {
                (true, false) => *self = Self::default(),
                (true, true) => {
                    open.is_probing = false;
                    open.wait_ms = (open.wait_ms * 2).min(LONGEST_MS);
                    open.probe_at = now.plus_ms(open.wait_ms);
                }
                // One that was under way when it opened.
                (false, _) => {}
            }
            return;
        }
        self.outcomes.push_back((now, failed));
        if self.outcomes.len() > OUTCOMES {
            self.outcomes.pop_front();
        }
        let is_recent = self.outcomes.front().is_some_and(|(at, _)| now.0 - at.0 <= WINDOW_MS);
        let failures = self.outcomes.iter().filter(|(_, failed)| *failed).count();
        if self.outcomes.len() == OUTCOMES && is_recent && failures * 2 >= OUTCOMES {
            self.outcomes.clear();
            self.open = Some(Open {
                probe_at: now.plus_ms(FIRST_MS),
                wait_ms: FIRST_MS,
                is_probing: false,
            });
        }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for outcome in 0..20 {
            breaker.record(outcome % 2 == 0, at(0));
        }
        breaker
    }

    #[test]
    fn it_opens_at_half_of_the_last_twenty() {
        let mut breaker = Breaker::default();
        for _ in 0..19 {
            breaker.record(true, at(0));
            assert_eq!(breaker.admit(at(0)), Ok(()));
        }
        breaker.record(true, at(0));
        assert_eq!(breaker.admit(at(0)), Err(at(5)));
        assert!(opened().is_open());
        let mut mostly = Breaker::default();
        for outcome in 0..100 {
            mostly.record(outcome % 3 == 0, at(0));
        }
        assert!(!mostly.is_open());
    }

    #[test]
    fn failures_that_are_far_between_do_not_open_it() {
        let mut breaker = Breaker::default();
        for second in 0..100 {
            breaker.record(true, at(second * 2));
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn one_probe_at_a_time_goes_through_and_the_waits_double() {
        let mut breaker = opened();
        let mut now = 5;
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.admit(at(now)), Ok(()));
            assert!(breaker.admit(at(now)).is_err());
            breaker.record(true, at(now));
            assert_eq!(breaker.admit(at(now)), Err(at(now + wait)));
            now += wait;
        }
        assert_eq!(breaker.admit(at(now)), Ok(()));
        breaker.record(false, at(now));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_lost_is_followed_by_another() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(5)), Ok(()));
        assert_eq!(breaker.admit(at(6)), Err(at(25)));
        assert_eq!(breaker.admit(at(25)), Ok(()));
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_its_place_to_another() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(5)), Ok(()));
        breaker.withdraw(at(6));
        assert_eq!(breaker.admit(at(6)), Ok(()));
        assert!(breaker.admit(at(6)).is_err());
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_move_it() {
        let mut breaker = opened();
        breaker.record(false, at(1));
        breaker.record(true, at(1));
        assert_eq!(breaker.admit(at(1)), Err(at(5)));
    }
}
