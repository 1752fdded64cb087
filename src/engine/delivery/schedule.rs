//! Which delivery is tried next: of all endpoints, the one that has something due and may be called.
//!
//! Pure, and only in memory: it follows from the outbox, and what it knows beside that (breakers,
//! calls under way) may be lost in a crash. Whatever rests, is blocked or hangs costs nothing while
//! it does: an endpoint is looked at when it has something due and a place for it, and a delivery
//! that has to wait for another one lies with that one.

use crate::domain::time::Timestamp;
use crate::engine::state::campaigns::outbox::EndpointNumber;
use crate::outbound::admission::{Endpoint, Pace, Wait};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// What is known of one endpoint.
#[derive(Debug, Default)]
struct Place {
    limits: Endpoint,
    /// Candidates by their time. Some may be out of date: whoever takes one asks the outbox.
    due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// When it is looked at, if that is known.
    look_at: Option<Timestamp>,
    /// Not looked at until it is [released](Schedule::release).
    is_held: bool,
}

/// What the outbox says of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Candidate {
    /// It may be tried, as an attempt after so many.
    Ready(u32),
    /// Another one has to be over first.
    Behind(u64),
    /// It is not to be tried, or not at that time.
    Stale,
}

/// The schedule of all endpoints.
#[derive(Debug, Default)]
pub(in crate::engine) struct Schedule {
    places: BTreeMap<EndpointNumber, Place>,
    /// When which endpoint is looked at.
    agenda: BTreeSet<(Timestamp, EndpointNumber)>,
    /// Deliveries that wait for another one, under that one.
    behind: HashMap<u64, Vec<u64>>,
    /// Deliveries that are asked about, called or journalled: their endpoint, and the attempts that
    /// they had.
    under_way: HashMap<u64, (EndpointNumber, u32)>,
}

impl Schedule {
    /// Notes that a delivery is to be tried at that time.
    pub(in crate::engine) fn put(&mut self, endpoint: EndpointNumber, number: u64, at: Timestamp) {
        let place = self.places.entry(endpoint).or_default();
        place.due.push(Reverse((at, number)));
        if !place.is_held && place.look_at.is_none_or(|look_at| at < look_at) {
            self.look(endpoint, Some(at));
        }
    }

    fn look(&mut self, endpoint: EndpointNumber, at: Option<Timestamp>) {
        let Some(place) = self.places.get_mut(&endpoint) else { return };
        if let Some(before) = std::mem::replace(&mut place.look_at, at) {
            self.agenda.remove(&(before, endpoint));
        }
        self.agenda.extend(at.map(|at| (at, endpoint)));
    }

    /// The next endpoint to be looked at by now; [`Self::pick`] from it, or [`Self::hold`] it.
    pub(in crate::engine) fn next_endpoint(&self, now: Timestamp) -> Option<EndpointNumber> {
        self.agenda.first().filter(|(at, _)| *at <= now).map(|(_, endpoint)| *endpoint)
    }

    /// When there is something to look at.
    pub(in crate::engine) fn next_look(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Takes the next delivery of an endpoint that may be tried now, and a place for its attempt.
    /// When there is none, the endpoint is looked at again when that may have changed.
    pub(in crate::engine) fn pick(
        &mut self,
        endpoint: EndpointNumber,
        pace: Pace,
        now: Timestamp,
        ask: impl Fn(u64, Timestamp) -> Candidate,
    ) -> Option<u64> {
        let place = self.places.get_mut(&endpoint)?;
        let next = loop {
            let Some(Reverse((at, number))) = place.due.peek().copied() else { break None };
            if at > now {
                break Some(at);
            }
            let attempts = match ask(number, at) {
                _ if self.under_way.contains_key(&number) => None,
                Candidate::Ready(attempts) => Some(attempts),
                Candidate::Behind(other) => {
                    self.behind.entry(other).or_default().push(number);
                    None
                }
                Candidate::Stale => None,
            };
            let Some(attempts) = attempts else {
                place.due.pop();
                continue;
            };
            match place.limits.admit(pace, now) {
                Ok(()) => {
                    place.due.pop();
                    self.under_way.insert(number, (endpoint, attempts));
                    return Some(number);
                }
                Err(Wait::Ended) => break None,
                Err(Wait::Until(at)) => break Some(at),
            }
        };
        self.look(endpoint, next);
        None
    }

    /// The call of an admitted attempt has ended; `failed` says how, and is none when there was no
    /// call.
    pub(in crate::engine) fn ended(
        &mut self,
        endpoint: EndpointNumber,
        failed: Option<bool>,
        now: Timestamp,
    ) {
        let Some(place) = self.places.get_mut(&endpoint) else { return };
        match failed {
            Some(failed) => place.limits.ended(failed, now),
            None => place.limits.withdrawn(now),
        }
        if !place.is_held && !place.due.is_empty() {
            self.look(endpoint, Some(now));
        }
    }

    /// Whether an attempt after so many is under way. One that had fewer is over, and forgotten.
    pub(in crate::engine) fn is_under_way(&mut self, number: u64, attempts: u32) -> bool {
        match self.under_way.get(&number) {
            Some((_, had)) if *had == attempts => true,
            Some(_) => {
                self.under_way.remove(&number);
                false
            }
            None => false,
        }
    }

    /// A delivery is not under way any more.
    pub(in crate::engine) fn settled(&mut self, number: u64) {
        self.under_way.remove(&number);
    }

    /// A delivery has left its lane; answers those that waited for it.
    pub(in crate::engine) fn left(&mut self, number: u64) -> Vec<u64> {
        self.under_way.remove(&number);
        self.behind.remove(&number).unwrap_or_default()
    }

    /// Those that wait for a delivery, to be judged again: whose turn it is may have changed.
    pub(in crate::engine) fn waiting_for(&mut self, number: u64) -> Vec<u64> {
        self.behind.remove(&number).unwrap_or_default()
    }

    /// All that wait for another one, to be judged again.
    pub(in crate::engine) fn waiting(&mut self) -> Vec<u64> {
        self.behind.drain().flat_map(|(_, all)| all).collect()
    }

    /// An endpoint is not looked at any more.
    pub(in crate::engine) fn hold(&mut self, endpoint: EndpointNumber) {
        self.look(endpoint, None);
        self.places.entry(endpoint).or_default().is_held = true;
    }

    /// All endpoints are looked at once more.
    pub(in crate::engine) fn release(&mut self, now: Timestamp) {
        let all: Vec<EndpointNumber> = self.places.keys().copied().collect();
        for endpoint in all {
            self.places.entry(endpoint).or_default().is_held = false;
            self.look(endpoint, Some(now));
        }
    }

    /// What is known of endpoints and of deliveries under way, under other numbers; what is due has to
    /// be put once more. Endpoints without a number go.
    pub(in crate::engine) fn renumbered(
        self,
        number: impl Fn(EndpointNumber) -> Option<EndpointNumber>,
    ) -> Self {
        let limits = |(endpoint, place): (EndpointNumber, Place)| {
            Some((number(endpoint)?, Place { limits: place.limits, ..Place::default() }))
        };
        let under_way =
            |(delivery, (endpoint, attempts))| Some((delivery, (number(endpoint)?, attempts)));
        Self {
            places: self.places.into_iter().filter_map(limits).collect(),
            under_way: self.under_way.into_iter().filter_map(under_way).collect(),
            ..Self::default()
        }
    }

    /// How many deliveries are under way.
    pub(in crate::engine) fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// The endpoints, and whether their breakers are open.
    pub(in crate::engine) fn breakers(&self) -> impl Iterator<Item = (EndpointNumber, bool)> {
        self.places.iter().map(|(endpoint, place)| (*endpoint, place.limits.is_open()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn ready(_: u64, _: Timestamp) -> Candidate {
        Candidate::Ready(0)
    }

    fn picked(schedule: &mut Schedule, endpoint: EndpointNumber, now: Timestamp) -> Vec<u64> {
        std::iter::from_fn(|| schedule.pick(endpoint, Pace::of(None), now, ready)).collect()
    }

    #[test]
    fn an_endpoint_without_a_place_is_not_looked_at_until_a_call_ends() {
        let mut schedule = Schedule::default();
        (0..40).for_each(|number| schedule.put(0, number, Timestamp(number as i64)));
        assert_eq!(schedule.next_endpoint(NOW), Some(0));
        assert_eq!(picked(&mut schedule, 0, NOW), (0..32).collect::<Vec<_>>());
        assert_eq!(schedule.next_look(), None);
        schedule.put(1, 100, Timestamp(5_000));
        assert_eq!(schedule.next_look(), Some(Timestamp(5_000)));
        assert_eq!(schedule.next_endpoint(NOW), None);
        schedule.ended(0, Some(false), NOW);
        assert_eq!(schedule.next_endpoint(NOW), Some(0));
        assert_eq!(picked(&mut schedule, 0, NOW), [32]);
    }

    #[test]
    fn an_open_breaker_is_looked_at_when_it_may_be_probed() {
        let mut schedule = Schedule::default();
        (0..40).for_each(|number| schedule.put(0, number, NOW));
        for number in picked(&mut schedule, 0, NOW) {
            schedule.settled(number);
            schedule.ended(0, Some(true), NOW);
        }
        assert!(schedule.breakers().eq([(0, true)]));
        assert_eq!(schedule.pick(0, Pace::of(None), NOW, ready), None);
        let probe = NOW.plus_ms(5_000);
        assert_eq!(schedule.next_look(), Some(probe));
        assert_eq!(schedule.pick(0, Pace::of(None), probe, ready), Some(32));
        assert_eq!(schedule.pick(0, Pace::of(None), probe, ready), None);
        schedule.ended(0, None, probe);
        assert_eq!(schedule.pick(0, Pace::of(None), probe, ready), Some(33));
    }

    #[test]
    fn what_waits_for_another_comes_back_with_it() {
        let mut schedule = Schedule::default();
        (1..=3).for_each(|number| schedule.put(0, number, NOW));
        let ask = |number, _| match number {
            1 => Candidate::Stale,
            2 => Candidate::Behind(9),
            _ => Candidate::Ready(4),
        };
        assert_eq!(schedule.pick(0, Pace::of(None), NOW, ask), Some(3));
        assert!(schedule.is_under_way(3, 4));
        assert!(!schedule.is_under_way(3, 5));
        assert_eq!(schedule.in_flight(), 0);
        assert_eq!(schedule.left(9), [2]);
        assert!(schedule.left(9).is_empty());
        schedule.put(0, 2, NOW);
        assert_eq!(schedule.pick(0, Pace::of(None), NOW, ask), None);
        assert_eq!(schedule.waiting(), [2]);
    }

    #[test]
    fn a_held_endpoint_waits_for_its_release() {
        let mut schedule = Schedule::default();
        schedule.put(0, 1, NOW);
        schedule.hold(0);
        schedule.put(0, 2, NOW);
        assert_eq!(schedule.next_look(), None);
        schedule.release(NOW);
        assert_eq!(schedule.next_endpoint(NOW), Some(0));
        assert_eq!(picked(&mut schedule, 0, NOW), [1, 2]);
    }

    proptest! {
        /// Whatever is put is picked, once, not before its time, and in the order of the times.
        #[test]
        fn everything_has_its_turn(all in prop::collection::vec((0u32..5, 0i64..3_000), 1..300), step in 1i64..700) {
            let mut schedule = Schedule::default();
            for (number, (endpoint, at)) in all.iter().enumerate() {
                schedule.put(*endpoint, number as u64, Timestamp(*at));
            }
            let mut seen: Vec<Vec<(i64, u64)>> = vec![Vec::new(); 5];
            let mut now = Timestamp(0);
            while let Some(at) = schedule.next_look() {
                now = now.plus_ms(step).max(at);
                while let Some(endpoint) = schedule.next_endpoint(now) {
                    while let Some(number) = schedule.pick(endpoint, Pace::of(None), now, ready) {
                        let due = all[number as usize].1;
                        prop_assert!(due <= now.0);
                        seen[endpoint as usize].push((due, number));
                        schedule.settled(number);
                        schedule.ended(endpoint, Some(false), now);
                    }
                }
            }
            prop_assert_eq!(seen.iter().map(Vec::len).sum::<usize>(), all.len());
            for order in seen {
                prop_assert!(order.is_sorted());
            }
        }
    }
}
