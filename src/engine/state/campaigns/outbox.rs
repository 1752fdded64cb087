//! The outbox: what campaigns have enqueued, and what became of it. Plain state that follows from
//! the journal: live operation and replay go through the same functions.
//!
//! A delivery is a few numbers here; what is sent and how attempts went lies in rows of its own
//! ([`Kept`]), which this state writes and never reads.
//!
//! A report on an event may reach the outbox after the record of an attempt that lies behind that
//! event in the journal. So outcomes do not depend on their order: a delivery that was delivered, or
//! that died, is so whether it was cancelled before or after.

use crate::domain::campaign::retry::{Verdict, wait_ms};
use crate::domain::campaign::{Moment, Rendered};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::state::campaigns::sorted_runs::Table;
use crate::engine::state::campaigns::unsaved::Kept;
use crate::records::{Attempt, DeliveryState, FragmentKey, RecordError};
use std::collections::{BTreeMap, BTreeSet};

/// One webhook step of one campaign.
pub(in crate::engine) type EndpointKey = (Box<str>, u16);
/// The number of an endpoint in this process; it is in no file.
pub(in crate::engine) type EndpointNumber = u32;

/// What an attempt means for its delivery.
pub(in crate::engine) fn verdict(attempt: &Attempt) -> Verdict {
    match attempt.status {
        Some(status) => Verdict::of_status(status),
        None if attempt.is_final => Verdict::Final,
        None => Verdict::Again,
    }
}

/// A delivery, as small as a million of them ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it goes.
    pub(in crate::engine) endpoint: EndpointNumber,
    /// How it stands.
    pub state: DeliveryState,
    /// Whether the time of the event that triggered its run was said by the sender.
    pub(in crate::engine) is_said: bool,
    /// The fragment that its run belongs to.
    pub(in crate::engine) fragment: Origin,
    /// How much longer ago than it was enqueued its age counts from, in seconds.
    pub(in crate::engine) late_s: u32,
    /// The sequence of the event that triggered its run.
    pub run: Sequence,
    /// When that event was received.
    pub began_at: Timestamp,
    /// When that event occurred.
    pub occurred_at: Timestamp,
    /// By journal time.
    pub enqueued_at: Timestamp,
    /// When it is tried next, by journal time; meaningless unless pending.
    pub next_attempt_at: Timestamp,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many of them were made before it was last replayed.
    pub before: u32,
}

/// A [`FragmentKey`] without its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Origin {
    sequence: [u32; 2],
    generation: u16,
}

impl From<FragmentKey> for Origin {
    fn from((sequence, generation): FragmentKey) -> Self {
        // Cut into halves on purpose.
        Self { sequence: [(sequence >> 32) as u32, sequence as u32], generation }
    }
}

impl From<Origin> for FragmentKey {
    fn from(origin: Origin) -> Self {
        let [high, low] = origin.sequence;
        ((u64::from(high) << 32) | u64::from(low), origin.generation)
    }
}

impl Delivery {
    /// Whether it is to be sent.
    pub fn is_pending(&self) -> bool {
        self.state == DeliveryState::Pending
    }

    /// The event that triggered its run.
    pub(in crate::engine) fn trigger(&self) -> Moment {
        Moment { at: self.occurred_at, is_said: self.is_said, sequence: self.run }
    }

    /// From when on its age counts.
    pub(in crate::engine) fn counts_from(&self) -> Timestamp {
        self.enqueued_at.plus_ms(-i64::from(self.late_s) * 1_000)
    }

    /// The fragment that its run belongs to.
    pub fn fragment(&self) -> FragmentKey {
        self.fragment.into()
    }
}

/// A delivery that a campaign enqueues.
#[derive(Debug)]
pub(in crate::engine) struct NewDelivery {
    pub(in crate::engine) campaign: Box<str>,
    pub(in crate::engine) step: u16,
    pub(in crate::engine) fragment: FragmentKey,
    pub(in crate::engine) trigger: Moment,
    pub(in crate::engine) late_ms: i64,
    pub(in crate::engine) began_at: Timestamp,
    pub(in crate::engine) at: Timestamp,
    pub(in crate::engine) rendered: Rendered,
}

/// What happened since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Tally {
    pub(in crate::engine) enqueued: u64,
    pub(in crate::engine) delivered: u64,
    pub(in crate::engine) dead: u64,
    pub(in crate::engine) cancelled: u64,
}

/// All deliveries, by the sequence of the record that caused them and their place among its others.
#[derive(Debug)]
pub struct Outbox {
    pub(in crate::engine) all: Table<Delivery>,
    pub(in crate::engine) endpoints: Vec<EndpointKey>,
    pub(in crate::engine) numbers: BTreeMap<EndpointKey, EndpointNumber>,
    /// Pending ones by endpoint and fragment.
    pub(in crate::engine) lanes: BTreeSet<Place>,
    /// Those that are over.
    pub(in crate::engine) over: BTreeSet<u64>,
    /// How many of them are kept; the oldest go first.
    pub(in crate::engine) over_max: usize,
    pub(in crate::engine) kept: Kept,
    /// What the live side has to look at again; none while nobody listens.
    pub(in crate::engine) touched: Option<Vec<u64>>,
    pub(in crate::engine) tally: Tally,
}

/// A place in a lane, ordered by endpoint, fragment and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Place {
    endpoint: EndpointNumber,
    origin: Origin,
    number: [u32; 2],
}

impl Place {
    pub(in crate::engine) fn new(endpoint: EndpointNumber, origin: Origin, number: u64) -> Self {
        Self { endpoint, origin, number: [(number >> 32) as u32, number as u32] }
    }

    fn number(self) -> u64 {
        (u64::from(self.number[0]) << 32) | u64::from(self.number[1])
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            all: Table::default(),
            endpoints: Vec::new(),
            numbers: BTreeMap::new(),
            lanes: BTreeSet::new(),
            over: BTreeSet::new(),
            over_max: usize::MAX,
            kept: Kept::default(),
            touched: None,
            tally: Tally::default(),
        }
    }
}

impl Outbox {
    /// The rows beside this state.
    pub(in crate::engine) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Keeps the rows beside this state under that handle, in the place of those that it has.
    pub(in crate::engine) fn keep_in(&mut self, kept: &Kept) {
        kept.take_over(&self.kept);
        self.kept = kept.clone();
    }

    /// Sets how many deliveries are kept that are over.
    pub(in crate::engine) fn keep_over(&mut self, count: usize) {
        self.over_max = count;
        self.trim();
    }

    pub(in crate::engine) fn number_of(&mut self, endpoint: EndpointKey) -> EndpointNumber {
        if let Some(number) = self.numbers.get(&endpoint) {
            return *number;
        }
        // Campaigns and their steps are far fewer than numbers.
        let number = self.endpoints.len() as EndpointNumber;
        self.endpoints.push(endpoint.clone());
        self.numbers.insert(endpoint, number);
        number
    }

    /// Takes a new delivery in.
    ///
    /// # Errors
    /// When what is sent is larger than a row may be.
    pub(in crate::engine) fn enqueue(
        &mut self,
        number: u64,
        new: NewDelivery,
    ) -> Result<(), RecordError> {
        self.kept.put_rendered(number, &new.rendered)?;
        let delivery = Delivery {
            endpoint: self.number_of((new.campaign, new.step)),
            state: DeliveryState::Pending,
            is_said: new.trigger.is_said,
            fragment: new.fragment.into(),
            late_s: u32::try_from(new.late_ms / 1_000).unwrap_or(u32::MAX),
            run: new.trigger.sequence,
            began_at: new.began_at,
            occurred_at: new.trigger.at,
            enqueued_at: new.at,
            next_attempt_at: new.at,
            attempts: 0,
            before: 0,
        };
        self.tally.enqueued += 1;
        self.put(number, delivery);
        Ok(())
    }

    fn put(&mut self, number: u64, delivery: Delivery) {
        let was = self.all.insert(number, delivery);
        let place = Place::new(delivery.endpoint, delivery.fragment, number);
        match (was.is_some_and(|one| one.is_pending()), delivery.is_pending()) {
            (false, true) => {
                self.over.remove(&number);
                self.lanes.insert(place);
            }
            (true, false) => self.leave(place),
            _ => {}
        }
        if !delivery.is_pending() {
            self.over.insert(number);
        }
        self.touch(number);
        self.trim();
    }

    /// Takes a delivery out of its lane; the next one there may have its turn now.
    fn leave(&mut self, place: Place) {
        self.lanes.remove(&place);
        if self.touched.is_some()
            && let Some(next) = self.first(place.endpoint, place.origin)
        {
            self.touch(next);
        }
    }

    fn touch(&mut self, number: u64) {
        if let Some(touched) = &mut self.touched {
            touched.push(number);
        }
    }

    fn trim(&mut self) {
        while self.over.len() > self.over_max {
            let Some(oldest) = self.over.first().copied() else { break };
            self.remove(oldest);
        }
    }

    /// Removes a delivery as if it had never been; answers it.
    fn remove(&mut self, number: u64) -> Option<Delivery> {
        let one = self.all.remove(number)?;
        self.leave(Place::new(one.endpoint, one.fragment, number));
        self.over.remove(&number);
        self.kept.remove(number, one.attempts);
        self.touch(number);
        Some(one)
    }

    /// Notes how an attempt went. Returns what it means, where there is such a delivery.
    /// `webhook_id` and `waits` are asked where the next attempt depends on them.
    ///
    /// # Errors
    /// When the attempt is larger than a row may be.
    pub(in crate::engine) fn attempted(
        &mut self,
        number: u64,
        attempt: &Attempt,
        webhook_id: impl FnOnce(&Delivery, &EndpointKey) -> String,
        waits: impl FnOnce(&EndpointKey) -> Box<[i64]>,
    ) -> Result<Option<Verdict>, RecordError> {
        let Some(before) = self.all.get(number).copied() else { return Ok(None) };
        self.kept.put_attempt(number, before.attempts, attempt)?;
        let mut one = Delivery { attempts: before.attempts.saturating_add(1), ..before };
        let made = one.attempts.saturating_sub(one.before);
        let died = || match (&attempt.error, attempt.status) {
            (Some(error), _) => error.clone(),
            (None, status) => format!("answered {}", status.unwrap_or(0)),
        };
        let verdict = verdict(attempt);
        match verdict {
            Verdict::Delivered => self.end(number, &mut one, DeliveryState::Delivered, None),
            Verdict::Disable | Verdict::Final => {
                self.end(number, &mut one, DeliveryState::Dead, Some(&died()));
            }
            Verdict::Again => {
                let waits = &waits(&self.endpoints[one.endpoint as usize]);
                let id = webhook_id(&one, &self.endpoints[one.endpoint as usize]);
                match wait_ms(waits, &id, made, attempt.retry_after_ms) {
                    Some(ms) => one.next_attempt_at = attempt.at.plus_ms(ms),
                    None => {
                        let reason = format!("{}, after {made} attempts", died());
                        self.end(number, &mut one, DeliveryState::Dead, Some(&reason));
                    }
                }
            }
        }
        self.put(number, one);
        Ok(Some(verdict))
    }

    fn end(&mut self, number: u64, one: &mut Delivery, state: DeliveryState, reason: Option<&str>) {
        if reason.is_some() || matches!(one.state, DeliveryState::Dead | DeliveryState::Cancelled) {
            self.kept.put_reason(number, reason);
        }
        one.state = state;
        match state {
            DeliveryState::Delivered => self.tally.delivered += 1,
            DeliveryState::Dead => self.tally.dead += 1,
            DeliveryState::Cancelled => self.tally.cancelled += 1,
            DeliveryState::Pending => {}
        }
    }

    /// Cancels a delivery that is pending.
    pub(in crate::engine) fn cancel(&mut self, number: u64, reason: &str) {
        let pending = self.all.get(number).copied().filter(Delivery::is_pending);
        if let Some(mut one) = pending {
            self.end(number, &mut one, DeliveryState::Cancelled, Some(reason));
            self.put(number, one);
        }
    }

    /// Sends a delivery that is over once more, with its attempts begun again.
    pub(in crate::engine) fn replay(&mut self, number: u64, at: Timestamp) -> bool {
        let over = self.all.get(number).copied().filter(|one| !one.is_pending());
        let Some(mut one) = over else { return false };
        self.end(number, &mut one, DeliveryState::Pending, None);
        (one.next_attempt_at, one.enqueued_at, one.before) = (at, at, one.attempts);
        one.late_s = 0;
        self.put(number, one);
        true
    }

    /// The numbers of all deliveries of these fragments.
    pub(in crate::engine) fn of(&self, fragments: &BTreeSet<FragmentKey>) -> Vec<u64> {
        let all = self.all.iter().filter(|(_, one)| fragments.contains(&one.fragment()));
        all.map(|(number, _)| number).collect()
    }

    /// Removes everything of these fragments, as if it had never been; returns how many were still
    /// to be sent.
    pub fn erase(&mut self, fragments: &BTreeSet<FragmentKey>) -> usize {
        let gone = self.of(fragments).into_iter().filter_map(|number| self.remove(number));
        gone.filter(Delivery::is_pending).count()
    }

    /// A delivery.
    pub fn get(&self, number: u64) -> Option<&Delivery> {
        self.all.get(number)
    }

    /// How many deliveries there are, and how many of them are pending.
    pub fn counts(&self) -> (usize, usize) {
        (self.all.len(), self.lanes.len())
    }

    /// All deliveries before a number, the newest first.
    pub fn newest_first(&self, before: u64) -> impl Iterator<Item = (u64, &Delivery)> {
        self.all.before(before)
    }

    /// The campaign and step of an endpoint.
    pub(in crate::engine) fn endpoint(&self, number: EndpointNumber) -> (&str, u16) {
        let (campaign, step) = &self.endpoints[number as usize];
        (campaign, *step)
    }

    /// Whether an endpoint belongs to a campaign.
    pub(in crate::engine) fn is_of(&self, endpoint: EndpointNumber, campaign: &str) -> bool {
        self.endpoint(endpoint).0 == campaign
    }

    /// The number of an endpoint that was ever enqueued for.
    pub(in crate::engine) fn endpoint_number(
        &self,
        campaign: &str,
        step: u16,
    ) -> Option<EndpointNumber> {
        self.numbers.get(&(Box::from(campaign), step)).copied()
    }

    /// All endpoints that were ever enqueued for.
    pub(in crate::engine) fn endpoints(&self) -> impl Iterator<Item = EndpointNumber> + use<> {
        0..self.endpoints.len() as EndpointNumber
    }

    fn lane(&self, endpoint: EndpointNumber, origin: Origin) -> impl Iterator<Item = u64> {
        let ends = Place::new(endpoint, origin, 0)..=Place::new(endpoint, origin, u64::MAX);
        self.lanes.range(ends).map(|place| place.number())
    }

    fn first(&self, endpoint: EndpointNumber, origin: Origin) -> Option<u64> {
        self.lane(endpoint, origin).next()
    }

    /// The oldest pending delivery of an endpoint and a fragment.
    pub(in crate::engine) fn head(
        &self,
        endpoint: EndpointNumber,
        fragment: FragmentKey,
    ) -> Option<u64> {
        self.first(endpoint, fragment.into())
    }

    /// Whether a delivery leads the lane of its endpoint and fragment.
    pub(in crate::engine) fn leads(&self, number: u64, one: &Delivery) -> bool {
        self.first(one.endpoint, one.fragment) == Some(number)
    }

    /// The pending deliveries of an endpoint and a fragment, the oldest first.
    pub(in crate::engine) fn queue(
        &self,
        campaign: &str,
        step: u16,
        fragment: FragmentKey,
    ) -> Vec<u64> {
        let endpoint = self.endpoint_number(campaign, step);
        endpoint.map_or(Vec::new(), |one| self.lane(one, fragment.into()).collect())
    }

    /// The pending deliveries of a campaign and a fragment.
    pub(in crate::engine) fn pending_of(&self, campaign: &str, fragment: FragmentKey) -> Vec<u64> {
        let steps = (Box::from(campaign), 0)..=(Box::from(campaign), u16::MAX);
        let endpoints = self.numbers.range::<EndpointKey, _>(steps);
        endpoints.flat_map(|(_, endpoint)| self.lane(*endpoint, fragment.into())).collect()
    }

    /// All pending deliveries of an endpoint.
    pub(in crate::engine) fn pending_on(
        &self,
        endpoint: EndpointNumber,
    ) -> impl Iterator<Item = u64> {
        let least = Origin { sequence: [0; 2], generation: 0 };
        let from = Place::new(endpoint, least, 0);
        self.lanes
            .range(from..)
            .take_while(move |one| one.endpoint == endpoint)
            .map(|one| one.number())
    }

    /// Begins to note what changes, for the sender; what happened before is not counted.
    pub(in crate::engine) fn listen(&mut self) {
        self.touched = Some(Vec::new());
        self.tally = Tally::default();
    }

    /// What changed since the last call.
    pub(in crate::engine) fn take_touched(&mut self) -> Vec<u64> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What happened since the last call.
    pub(in crate::engine) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests;
