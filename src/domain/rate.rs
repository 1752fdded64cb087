//! A token bucket: how much may pass in a time, filled continuously and exactly in whole numbers.

use crate::domain::time::{Timestamp, parse_span};

/// A bucket of one second's (minute's, hour's) worth. Time comes in, so it is pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What it was made for.
    pub limit: RateLimit,
    /// Events times `per_ms`, so that filling it is exact in whole numbers.
    level: u64,
    filled_at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub fn full(limit: RateLimit, now: Timestamp) -> Self {
        Self { limit, level: Self::size(limit), filled_at: now }
    }

    /// Takes one out.
    ///
    /// # Errors
    /// After how many milliseconds there is one again, at least 1.
    pub fn take(&mut self, now: Timestamp) -> Result<(), u64> {
        let passed_ms = u64::try_from(now.0 - self.filled_at.0).unwrap_or(0);
        let filled = passed_ms.saturating_mul(u64::from(self.limit.events));
        self.level = self.level.saturating_add(filled).min(Self::size(self.limit));
        self.filled_at = now;
        let price = Self::price(self.limit);
        if let Some(left) = self.level.checked_sub(price) {
            self.level = left;
            return Ok(());
        }
        Err((price - self.level).div_ceil(u64::from(self.limit.events.max(1))))
    }

    fn size(limit: RateLimit) -> u64 {
        u64::from(limit.events).saturating_mul(Self::price(limit))
    }

    /// What one event costs.
    fn price(limit: RateLimit) -> u64 {
        limit.per_ms.unsigned_abs().max(1)
    }
}

/// So many events in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// At least 1.
    pub events: u32,
    /// The time over which they count, in milliseconds.
    pub per_ms: i64,
}

impl RateLimit {
    /// Reads `500/s`, `30/m` or `1000/h`.
    pub fn parse(text: &str) -> Option<Self> {
        let (events, unit) = text.split_once('/')?;
        let per_ms = parse_span(&format!("1{}", unit.trim())).ok()?;
        let events = events.trim().parse().ok().filter(|events| *events > 0)?;
        Some(Self { events, per_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_through_its_size_and_says_when_there_is_more() {
        let mut bucket = Bucket::full(RateLimit { events: 2, per_ms: 1_000 }, Timestamp(0));
        assert_eq!((bucket.take(Timestamp(0)), bucket.take(Timestamp(0))), (Ok(()), Ok(())));
        assert_eq!(bucket.take(Timestamp(100)), Err(400));
        assert_eq!(bucket.take(Timestamp(500)), Ok(()));
        assert_eq!(bucket.take(Timestamp(500)), Err(500));
        assert_eq!(bucket.take(Timestamp(60_000)), Ok(()));
    }
}
