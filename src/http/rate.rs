//! How much a source may send: one token bucket per source, of one second's (minute's, hour's)
//! worth, filled continuously.

use crate::domain::rate::{Bucket, RateLimit};
use crate::domain::time::Timestamp;
use dashmap::DashMap;

/// The buckets, by source id. There are never more than sources that have a limit.
#[derive(Debug, Default)]
pub struct Rates(DashMap<Box<str>, Bucket>);

impl Rates {
    /// Takes one request of a source at a time.
    ///
    /// # Errors
    /// The whole seconds after which one is free again, at least 1.
    pub fn take(&self, source: &str, limit: RateLimit, now: Timestamp) -> Result<(), u32> {
        if let Some(mut bucket) = self.0.get_mut(source)
            && bucket.limit == limit
        {
            return bucket.take(now).map_err(seconds);
        }
        let mut bucket = Bucket::full(limit, now);
        let taken = bucket.take(now);
        self.0.insert(source.into(), bucket); // new, or the limit was changed
        taken.map_err(seconds)
    }
}

/// As `Retry-After` says it.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
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
