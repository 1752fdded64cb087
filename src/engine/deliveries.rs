//! The outbox: what campaigns have enqueued, and what became of it. Plain state that follows from
//! the journal: live operation and replay go through the same functions.
//!
//! A report on an event may reach the outbox after the record of an attempt that lies behind that
//! event in the journal. So outcomes do not depend on their order: a delivery that was delivered, or
//! that died, is so whether it was cancelled before or after.

use crate::domain::campaign::Rendered;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::outbound::retry::{Verdict, wait_ms};
use crate::records::{Attempt, FragmentKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Deliveries that are over are kept up to this many; the oldest go first.
const KEPT: usize = 100_000;

/// One webhook step of one campaign.
pub(super) type EndpointKey = (Box<str>, u16);

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waiting, or to be tried again.
    Pending,
    /// Answered with 2xx.
    Delivered,
    /// Given up.
    Dead,
    /// Not wanted any more.
    Cancelled,
}

impl DeliveryState {
    /// As the API shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an attempt means for its delivery.
pub(super) fn verdict(attempt: &Attempt) -> Verdict {
    match attempt.status {
        Some(status) => Verdict::of_status(status),
        None if attempt.is_final => Verdict::Final,
        None => Verdict::Again,
    }
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The id that receivers tell repetitions by.
    pub webhook_id: String,
    /// The campaign.
    pub campaign: Box<str>,
    /// The step, from 0.
    pub step: u16,
    /// The fragment that its run belongs to.
    pub fragment: FragmentKey,
    /// The sequence of the event that triggered its run.
    pub run: Sequence,
    /// That event's id.
    pub event_id: u128,
    /// By journal time.
    pub enqueued_at: Timestamp,
    /// What is sent.
    pub rendered: Rendered,
    /// How it stands.
    pub state: DeliveryState,
    /// Why it is cancelled or dead.
    pub reason: Option<String>,
    /// When it is tried next, by journal time; meaningless unless pending.
    pub next_attempt_at: Timestamp,
    /// The attempts so far.
    pub attempts: Vec<Attempt>,
    /// How many of them were made before it was last replayed.
    pub before: u32,
}

impl Delivery {
    /// Whether it is to be sent.
    pub fn is_pending(&self) -> bool {
        self.state == DeliveryState::Pending
    }

    fn endpoint(&self) -> EndpointKey {
        (self.campaign.clone(), self.step)
    }
}

/// All deliveries, by the sequence of the record that caused them and their place among its others.
#[derive(Debug, Default)]
pub struct Outbox {
    all: BTreeMap<u64, Delivery>,
    /// Pending ones by endpoint and time.
    due: BTreeMap<EndpointKey, BTreeSet<(Timestamp, u64)>>,
    /// Pending ones by endpoint and fragment.
    queues: BTreeMap<(EndpointKey, FragmentKey), BTreeSet<u64>>,
    /// Those that are over.
    over: BTreeSet<u64>,
    fresh: BTreeSet<u64>,
}

impl Outbox {
    /// Takes a delivery in, from a decision or a snapshot row.
    pub(super) fn put(&mut self, number: u64, delivery: Delivery) {
        self.unlist(number);
        if delivery.is_pending() {
            let endpoint = delivery.endpoint();
            let due = (delivery.next_attempt_at, number);
            self.due.entry(endpoint.clone()).or_default().insert(due);
            self.queues.entry((endpoint, delivery.fragment)).or_default().insert(number);
            self.over.remove(&number);
        } else {
            self.over.insert(number);
        }
        self.all.insert(number, delivery);
        self.fresh.insert(number);
        while self.over.len() > KEPT {
            let Some(oldest) = self.over.pop_first() else { break };
            self.all.remove(&oldest);
            self.fresh.insert(oldest);
        }
    }

    fn unlist(&mut self, number: u64) {
        let Some(known) = self.all.get(&number).filter(|known| known.is_pending()) else { return };
        let (endpoint, due) = (known.endpoint(), (known.next_attempt_at, number));
        let queue = (endpoint, known.fragment);
        if let Some(all) = self.queues.get_mut(&queue) {
            all.remove(&number);
            if all.is_empty() {
                self.queues.remove(&queue);
            }
        }
        let (endpoint, _) = queue;
        if let Some(all) = self.due.get_mut(&endpoint) {
            all.remove(&due);
            if all.is_empty() {
                self.due.remove(&endpoint);
            }
        }
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Delivery)) {
        if let Some(mut delivery) = self.all.get(&number).cloned() {
            change(&mut delivery);
            self.put(number, delivery);
        }
    }

    /// Notes how an attempt went. Answers what it means, where there is such a delivery.
    pub(super) fn attempted(&mut self, number: u64, attempt: Attempt) -> Option<Verdict> {
        let (verdict, at) = (verdict(&attempt), attempt.at);
        self.all.get(&number)?;
        self.change(number, |delivery| {
            let retry_after = attempt.retry_after_ms;
            let died = attempt
                .error
                .clone()
                .unwrap_or_else(|| format!("answered {}", attempt.status.map_or(0, u32::from)));
            delivery.attempts.push(attempt);
            let made = u32::try_from(delivery.attempts.len()).unwrap_or(u32::MAX);
            let made = made.saturating_sub(delivery.before);
            match verdict {
                Verdict::Delivered => {
                    (delivery.state, delivery.reason) = (DeliveryState::Delivered, None);
                }
                Verdict::Disable | Verdict::Final => {
                    (delivery.state, delivery.reason) = (DeliveryState::Dead, Some(died));
                }
                Verdict::Again => match wait_ms(&delivery.webhook_id, made, retry_after) {
                    Some(ms) => delivery.next_attempt_at = at.plus_ms(ms),
                    None => {
                        let reason = format!("{died}, after {made} attempts");
                        (delivery.state, delivery.reason) = (DeliveryState::Dead, Some(reason));
                    }
                },
            }
        });
        Some(verdict)
    }

    /// Cancels a delivery that is pending.
    pub(super) fn cancel(&mut self, number: u64, reason: &str) {
        if self.all.get(&number).is_some_and(Delivery::is_pending) {
            self.change(number, |delivery| {
                delivery.state = DeliveryState::Cancelled;
                delivery.reason = Some(reason.to_owned());
            });
        }
    }

    /// Sends a delivery that is over once more, with its attempts begun anew.
    pub(super) fn replay(&mut self, number: u64, at: Timestamp) -> bool {
        let is_over = self.all.get(&number).is_some_and(|delivery| !delivery.is_pending());
        if is_over {
            self.change(number, |delivery| {
                (delivery.state, delivery.reason) = (DeliveryState::Pending, None);
                (delivery.next_attempt_at, delivery.enqueued_at) = (at, at);
                delivery.before = u32::try_from(delivery.attempts.len()).unwrap_or(u32::MAX);
            });
        }
        is_over
    }

    /// Removes everything of these fragments, as if it had never been; answers how many were still
    /// to be sent.
    pub fn erase(&mut self, fragments: &BTreeSet<FragmentKey>) -> usize {
        let gone: Vec<u64> = self
            .all
            .iter()
            .filter(|(_, delivery)| fragments.contains(&delivery.fragment))
            .map(|(number, _)| *number)
            .collect();
        let mut pending = 0;
        for number in gone {
            pending += usize::from(self.all.get(&number).is_some_and(Delivery::is_pending));
            self.unlist(number);
            self.all.remove(&number);
            self.over.remove(&number);
            self.fresh.insert(number);
        }
        pending
    }

    /// A delivery.
    pub fn get(&self, number: u64) -> Option<&Delivery> {
        self.all.get(&number)
    }

    /// All deliveries before a number, the newest first.
    pub fn newest_first(&self, before: u64) -> impl Iterator<Item = (u64, &Delivery)> {
        self.all.range(..before).rev().map(|(number, delivery)| (*number, delivery))
    }

    /// The pending deliveries of an endpoint and a fragment, the oldest first.
    pub(super) fn queue(
        &self,
        campaign: &str,
        step: u16,
        fragment: FragmentKey,
    ) -> impl Iterator<Item = u64> {
        let queue = self.queues.get(&((campaign.into(), step), fragment));
        queue.into_iter().flatten().copied()
    }

    /// The pending deliveries of a campaign and a fragment.
    pub(super) fn pending_of(&self, campaign: &str, fragment: FragmentKey) -> Vec<u64> {
        let steps = self.due.keys().filter(|(of, _)| **of == *campaign);
        steps.flat_map(|(_, step)| self.queue(campaign, *step, fragment)).collect()
    }

    /// The endpoints that have something to send.
    pub(super) fn endpoints(&self) -> Vec<EndpointKey> {
        self.due.keys().cloned().collect()
    }

    /// What an endpoint may be sent now, the longest due first.
    pub(super) fn due(
        &self,
        endpoint: &EndpointKey,
        now: Timestamp,
    ) -> impl Iterator<Item = (u64, &Delivery)> {
        let all = self.due.get(endpoint).into_iter().flatten();
        all.take_while(move |(at, _)| *at <= now)
            .filter_map(|(_, number)| Some((*number, self.all.get(number)?)))
    }

    /// The numbers whose rows changed since the last call.
    pub(super) fn take_fresh(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delivery(fragment: u64) -> Delivery {
        Delivery {
            webhook_id: "msg_a".to_owned(),
            campaign: "c".into(),
            step: 0,
            fragment: (fragment, 0),
            run: 1,
            event_id: 1,
            enqueued_at: Timestamp(0),
            rendered: Rendered { url: "https://x.example/".to_owned(), body: None },
            state: DeliveryState::Pending,
            reason: None,
            next_attempt_at: Timestamp(0),
            attempts: Vec::new(),
            before: 0,
        }
    }

    fn answered(status: u16) -> Attempt {
        Attempt {
            at: Timestamp(1_000),
            status: Some(status),
            took_ms: 1,
            error: None,
            is_final: false,
            retry_after_ms: None,
            response: Vec::new(),
        }
    }

    fn with_one() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.put(7, delivery(1));
        outbox
    }

    #[test]
    fn ten_attempts_are_made_and_a_replay_begins_anew() {
        let mut outbox = with_one();
        for attempt in 1..=10 {
            assert!(outbox.get(7).unwrap().is_pending(), "before attempt {attempt}");
            outbox.attempted(7, answered(500));
        }
        let dead = outbox.get(7).unwrap();
        assert_eq!(dead.state, DeliveryState::Dead);
        assert_eq!(dead.reason.as_deref(), Some("answered 500, after 10 attempts"));
        assert_eq!(outbox.endpoints().len(), 0);
        assert!(outbox.replay(7, Timestamp(5)));
        assert!(!outbox.replay(7, Timestamp(5)));
        outbox.attempted(7, answered(500));
        assert!(outbox.get(7).unwrap().is_pending());
        outbox.attempted(7, answered(204));
        assert_eq!(outbox.get(7).unwrap().state, DeliveryState::Delivered);
    }

    #[test]
    fn erasing_takes_everything_of_a_fragment_and_counts_what_was_to_be_sent() {
        let mut outbox = with_one();
        outbox.put(8, delivery(1));
        outbox.put(9, delivery(2));
        outbox.attempted(8, answered(200));
        assert_eq!(outbox.erase(&BTreeSet::from([(1, 0)])), 1);
        assert_eq!(
            outbox.newest_first(u64::MAX).map(|(number, _)| number).collect::<Vec<_>>(),
            [9]
        );
        assert_eq!(outbox.queue("c", 0, (1, 0)).count(), 0);
    }

    proptest! {
        /// A report may overtake the record of an attempt, or the other way round.
        #[test]
        fn an_exit_and_an_attempt_come_to_the_same_in_either_order(status in 200u16..600) {
            let (mut one, mut other) = (with_one(), with_one());
            one.cancel(7, "the exit was reached");
            one.attempted(7, answered(status));
            other.attempted(7, answered(status));
            other.cancel(7, "the exit was reached");
            let told = |outbox: &Outbox| {
                let delivery = outbox.get(7).unwrap();
                (delivery.state, delivery.reason.clone(), delivery.attempts.clone())
            };
            prop_assert_eq!(told(&one), told(&other));
        }
    }
}
