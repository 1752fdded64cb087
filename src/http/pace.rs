//! How long a peer may take: as long as it moves bytes at the least rate, and a little longer.

use std::time::Duration;
use tokio::time::Instant;

/// The deadline of what moves: it starts a patience ahead, each byte moves it on by what a byte
/// takes at the least rate, and it is never more than a patience ahead. So a peer that stops, or
/// trickles, ends after about one patience, and one that keeps up the rate never does.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    until: Instant,
    patience: Duration,
    /// Bytes a second.
    rate: u64,
}

impl Pace {
    /// Begins now.
    pub fn new(patience: Duration, rate: u64) -> Self {
        Self { until: Instant::now() + patience, patience, rate: rate.max(1) }
    }

    /// When it is over, as things stand.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// So many bytes have moved.
    pub fn progress(&mut self, bytes: usize) {
        let earned = (bytes as u64).saturating_mul(1_000_000) / self.rate;
        let moved = self.until + Duration::from_micros(earned);
        self.until = moved.min(Instant::now() + self.patience).max(self.until);
    }

    /// The peer was kept waiting for so long.
    pub fn pause(&mut self, waited: Duration) {
        self.until += waited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_move_the_deadline_on_but_never_far_ahead() {
        let mut pace = Pace::new(Duration::from_secs(10), 1_000);
        let first = pace.until();
        pace.progress(1);
        assert!(pace.until() >= first && pace.until() < first + Duration::from_secs(1));
        pace.until = Instant::now();
        pace.progress(2_000);
        let ahead = pace.until() - Instant::now();
        assert!(ahead <= Duration::from_secs(2) && ahead > Duration::from_millis(500), "{ahead:?}");
        pace.progress(1 << 30);
        assert!(pace.until() <= Instant::now() + Duration::from_secs(10));
    }
}
