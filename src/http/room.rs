//! Room in memory for what requests under way hold: taken as bytes come, given back when a request
//! is answered.
//!
//! No source and no address takes more than half of it, so that one of them leaves room for the
//! others. Who holds some and needs more might wait for others who do the same: so a part is spare,
//! and lent to one at a time, who can then always go on to its end.

use crate::code::Code;
use crate::http::problem::Problem;
use crate::telemetry::metrics::Metrics;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Whose share something counts in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A source, by its id.
    Source(Box<str>),
    /// A peer's address.
    Address(IpAddr),
}

/// The room for all requests under way.
#[derive(Debug)]
pub struct Pool {
    taken: Mutex<Taken>,
    /// Told whenever some is given back.
    freed: Notify,
    /// Bytes that all may take together, beside what is spare.
    common: usize,
    /// Bytes that one may take above that, at a time.
    spare: usize,
    /// Bytes that one party may take.
    share: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    is_spare_lent: bool,
    by_party: HashMap<Party, usize>,
}

/// What one request holds of it.
#[derive(Debug)]
pub struct Room {
    pool: Arc<Pool>,
    parties: Vec<Party>,
    common: usize,
    /// From the spare part; `None` while that is not lent to this one.
    spare: Option<usize>,
}

impl Pool {
    /// Room for so many bytes that all take together, and beside them `spare` that are lent to one
    /// at a time.
    pub fn new(common: usize, spare: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            freed: Notify::new(),
            common,
            spare,
            share: common.div_ceil(2),
            metrics,
        })
    }

    /// None of it yet, for these parties.
    pub fn room(self: &Arc<Self>, parties: Vec<Party>) -> Room {
        Room { pool: Arc::clone(self), parties, common: 0, spare: None }
    }

    /// Bytes that all may take together.
    pub fn common(&self) -> usize {
        self.common
    }

    /// Bytes that are taken.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Each change of it is whole before anything can panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.common + self.spare.unwrap_or(0)
    }

    /// Takes more, until so many bytes are held; waits until there is room for them.
    ///
    /// # Errors
    /// 503 when there is none in time.
    pub async fn grow(&mut self, bytes: usize, until: Instant) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.held());
        if more == 0 || self.take(more) {
            return Ok(());
        }
        self.pool.metrics.bodies_waited.inc();
        let pool = Arc::clone(&self.pool);
        loop {
            let freed = pool.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable(); // what is given back from here on is heard of
            if self.take(more) {
                return Ok(());
            }
            if timeout_at(until, freed).await.is_err() {
                return Err(Problem::new(
                    Code::Overloaded,
                    "the bodies under way fill limits.bodies; send it again later",
                ));
            }
        }
    }

    fn take(&mut self, more: usize) -> bool {
        let pool = Arc::clone(&self.pool);
        let mut taken = pool.lock();
        let fits = taken.bytes + more <= pool.common
            && self
                .parties
                .iter()
                .all(|party| taken.by_party.get(party).copied().unwrap_or(0) + more <= pool.share);
        if fits {
            taken.bytes += more;
            for party in &self.parties {
                *taken.by_party.entry(party.clone()).or_default() += more;
            }
            self.common += more;
            return true;
        }
        if self.spare.is_none() && taken.is_spare_lent {
            return false;
        }
        let lent = self.spare.unwrap_or(0) + more;
        if lent > pool.spare {
            return false;
        }
        taken.is_spare_lent = true;
        self.spare = Some(lent);
        true
    }

    /// Gives back what is held above so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let back = self.held().saturating_sub(bytes);
        if back == 0 {
            return;
        }
        let pool = Arc::clone(&self.pool);
        let mut taken = pool.lock();
        let of_spare = self.spare.unwrap_or(0).min(back);
        if let Some(lent) = self.spare {
            self.spare = Some(lent - of_spare).filter(|left| *left > 0);
            taken.is_spare_lent = self.spare.is_some();
        }
        let of_common = back - of_spare;
        self.common -= of_common;
        taken.bytes -= of_common;
        for party in &self.parties {
            if let Some(bytes) = taken.by_party.get_mut(party) {
                *bytes -= of_common;
                if *bytes == 0 {
                    taken.by_party.remove(party);
                }
            }
        }
        drop(taken);
        pool.freed.notify_waiters();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn pool() -> Arc<Pool> {
        Pool::new(100, 20, Arc::new(Metrics::new()))
    }

    fn of(name: &str) -> Vec<Party> {
        vec![Party::Source(name.into())]
    }

    #[actix_web::test]
    async fn one_source_leaves_room_for_another() {
        let pool = pool();
        let mut greedy: Vec<_> = (0..10).map(|_| pool.room(of("a"))).collect();
        let mut got = 0;
        for room in &mut greedy {
            got += usize::from(room.grow(15, soon()).await.is_ok());
        }
        assert_eq!(got, 4, "three within the share, one with the spare part");
        let mut other = pool.room(of("b"));
        assert!(other.grow(50, soon()).await.is_ok());
        drop((greedy, other));
        assert_eq!(pool.taken(), 0);
        let mut all = pool.room(Vec::new());
        assert!(all.grow(100, soon()).await.is_ok());
    }

    #[actix_web::test]
    async fn who_waits_goes_on_as_soon_as_there_is_room() {
        let pool = pool();
        let mut first = pool.room(Vec::new());
        let mut second = pool.room(Vec::new());
        let mut third = pool.room(Vec::new());
        first.grow(100, soon()).await.unwrap();
        second.grow(20, soon()).await.unwrap();
        let late = Instant::now() + Duration::from_secs(60);
        let (got, ()) = futures_util::future::join(third.grow(30, late), async {
            tokio::task::yield_now().await;
            first.shrink(70);
        })
        .await;
        got.unwrap();
        assert_eq!(pool.metrics.bodies_waited.get(), 1);
    }

    proptest! {
        #[test]
        fn what_was_taken_is_given_back(
            steps in prop::collection::vec((0..6_usize, 0..60_usize, any::<bool>()), 0..60)
        ) {
            let pool = pool();
            let mut rooms: Vec<_> =
                (0..6).map(|n| pool.room(of(&(n % 2).to_string()))).collect();
            for (which, bytes, grows) in steps {
                let room = &mut rooms[which];
                let more = bytes.saturating_sub(room.held());
                match grows {
                    true if more > 0 => drop(room.take(more)),
                    true => {}
                    false => room.shrink(bytes),
                }
                let held: usize = rooms.iter().map(Room::held).sum();
                prop_assert!(held <= 120);
                prop_assert!(pool.taken() <= 100);
            }
            drop(rooms);
            prop_assert_eq!(pool.taken(), 0);
            prop_assert!(pool.lock().by_party.is_empty());
            prop_assert!(!pool.lock().is_spare_lent);
        }
    }
}
