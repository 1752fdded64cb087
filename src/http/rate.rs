//! How much a source may send: one token bucket per source, of one second's (minute's, hour's)
//! worth, filled continuously.

use crate::domain::source::RateLimit;
use crate::domain::time::Timestamp;
use dashmap::DashMap;

/// The buckets, by source id. There are never more than sources that have a limit.
#[derive(Debug, Default)]
pub struct Rates(DashMap<Box<str>, Bucket>);

#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// Events times `per_ms`, so that filling it is exact in whole numbers.
    level: u64,
    filled_at: Timestamp,
}

impl Rates {
    /// Takes one request of a source at a time.
    ///
    /// # Errors
    /// The whole seconds after which one is free again, at least 1.
    pub fn take(&self, source: &str, limit: RateLimit, now: Timestamp) -> Result<(), u32> {
        if let Some(mut bucket) = self.0.get_mut(source)
            && bucket.limit == limit
        {
            return bucket.take(now);
        }
        let mut bucket = Bucket::full(limit, now);
        let taken = bucket.take(now);
        self.0.insert(source.into(), bucket); // new, or the limit was changed
        taken
    }
}

impl Bucket {
    fn full(limit: RateLimit, now: Timestamp) -> Self {
        Self { limit, level: Self::size(limit), filled_at: now }
    }

    fn size(limit: RateLimit) -> u64 {
        u64::from(limit.events).saturating_mul(Self::price(limit))
    }

    /// What one event costs.
    fn price(limit: RateLimit) -> u64 {
        limit.per_ms.unsigned_abs().max(1)
    }

    fn take(&mut self, now: Timestamp) -> Result<(), u32> {
        let passed_ms = u64::try_from(now.0 - self.filled_at.0).unwrap_or(0);
        let filled = passed_ms.saturating_mul(u64::from(self.limit.events));
        self.level = self.level.saturating_add(filled).min(Self::size(self.limit));
        self.filled_at = now;
        let price = Self::price(self.limit);
        if let Some(left) = self.level.checked_sub(price) {
            self.level = left;
            return Ok(());
        }
        let wait_ms = (price - self.level).div_ceil(u64::from(self.limit.events.max(1)));
        Err(u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_through_its_size_and_then_its_rate() {
        let rates = Rates::default();
        let limit = RateLimit { events: 2, per_ms: 60_000 };
        let at = |ms| rates.take("shop", limit, Timestamp(ms));
        assert_eq!((at(0), at(0)), (Ok(()), Ok(())));
        assert_eq!(at(0), Err(30));
        assert_eq!(at(29_999), Err(1));
        assert_eq!(at(30_000), Ok(()));
        assert!(at(30_000).is_err());
        assert_eq!(rates.take("other", limit, Timestamp(30_000)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_takes_nothing_away() {
        let rates = Rates::default();
        let limit = RateLimit { events: 1, per_ms: 1_000 };
        assert_eq!(rates.take("s", limit, Timestamp(5_000)), Ok(()));
        assert_eq!(rates.take("s", limit, Timestamp(0)), Err(1));
        assert_eq!(rates.take("s", limit, Timestamp(1_000)), Ok(()));
    }
}
