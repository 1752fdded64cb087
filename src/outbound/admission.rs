//! What holds attempts to one endpoint back: calls at a time, its rate, its breaker. Pure.
//!
//! An endpoint is one webhook step of one campaign, so that a slow one never delays the others.

use super::breaker::Breaker;
use crate::domain::campaign::{Calling, Webhook};
use crate::domain::rate::{Bucket, RateLimit};
use crate::domain::time::Timestamp;

/// What holds the calls of an endpoint back, as its webhook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// At most so many calls.
    pub rate: Option<RateLimit>,
    /// Calls at a time; at least 1.
    pub at_a_time: usize,
}

impl Pace {
    /// That of a webhook; of one that is gone, what counts by default.
    pub fn of(webhook: Option<&Webhook>) -> Self {
        let default = || Calling::default().at_a_time;
        Self {
            rate: webhook.and_then(|one| one.rate),
            at_a_time: webhook.map_or_else(default, |one| one.calling.at_a_time),
        }
    }
}

/// The state of one endpoint; not kept over a restart.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    breaker: Breaker,
    bucket: Option<Bucket>,
    under_way: usize,
}

/// Why no attempt may be made now. None is spent by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until one of the calls under way has ended.
    Ended,
    /// Until then.
    Until(Timestamp),
}

impl Endpoint {
    /// Admits one attempt, whose end must be [told](Self::ended).
    ///
    /// # Errors
    /// When to ask again.
    pub fn admit(&mut self, pace: Pace, now: Timestamp) -> Result<(), Wait> {
        let Pace { rate, at_a_time } = pace;
        if self.under_way >= at_a_time {
            return Err(Wait::Ended);
        }
        // Asked before the bucket, so that an open breaker uses nothing up.
        if let Some(until) = self.breaker.refuses_until(now) {
            return Err(Wait::Until(until));
        }
        if self.bucket.as_ref().map(|bucket| bucket.limit) != rate {
            self.bucket = rate.map(|rate| Bucket::full(rate, now));
        }
        if let Some(bucket) = &mut self.bucket {
            let later = |ms| Wait::Until(now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
            bucket.take(now).map_err(later)?;
        }
        self.breaker.admit(now).map_err(Wait::Until)?;
        self.under_way += 1;
        Ok(())
    }

    /// An admitted attempt has ended, and so.
    pub fn ended(&mut self, failed: bool, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        self.breaker.record(failed, now);
    }

    /// An admitted attempt was not made after all.
    pub fn withdrawn(&mut self, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        self.breaker.withdraw(now);
    }

    /// Whether its breaker is open.
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: Option<RateLimit>) -> Pace {
        Pace { rate, ..Pace::of(None) }
    }

    #[test]
    fn thirty_two_calls_go_at_a_time() {
        let mut endpoint = Endpoint::default();
        for _ in 0..32 {
            assert_eq!(endpoint.admit(pace(None), Timestamp(0)), Ok(()));
        }
        assert_eq!(endpoint.admit(pace(None), Timestamp(0)), Err(Wait::Ended));
        endpoint.ended(false, Timestamp(1));
        assert_eq!(endpoint.admit(pace(None), Timestamp(1)), Ok(()));
        let more = Pace { at_a_time: 33, ..pace(None) };
        assert_eq!(endpoint.admit(more, Timestamp(1)), Ok(()));
        assert_eq!(endpoint.admit(more, Timestamp(1)), Err(Wait::Ended));
    }

    #[test]
    fn the_rate_holds_and_a_new_one_counts_at_once() {
        let (slow, fast) =
            (RateLimit { events: 1, per_ms: 1_000 }, RateLimit { events: 2, per_ms: 1_000 });
        let mut endpoint = Endpoint::default();
        assert_eq!(endpoint.admit(pace(Some(slow)), Timestamp(0)), Ok(()));
        assert_eq!(
            endpoint.admit(pace(Some(slow)), Timestamp(0)),
            Err(Wait::Until(Timestamp(1_000)))
        );
        assert_eq!(endpoint.admit(pace(Some(fast)), Timestamp(0)), Ok(()));
        assert_eq!(endpoint.admit(pace(None), Timestamp(0)), Ok(()));
    }

    #[test]
    fn an_open_breaker_uses_nothing_up() {
        let rate = Some(RateLimit { events: 21, per_ms: 3_600_000 });
        let mut endpoint = Endpoint::default();
        for _ in 0..20 {
            endpoint.admit(pace(rate), Timestamp(0)).unwrap();
            endpoint.ended(true, Timestamp(0));
        }
        assert!(endpoint.is_open());
        for _ in 0..9 {
            assert_eq!(
                endpoint.admit(pace(rate), Timestamp(1)),
                Err(Wait::Until(Timestamp(5_000)))
            );
        }
        assert_eq!(endpoint.admit(pace(rate), Timestamp(5_000)), Ok(()));
    }
}
