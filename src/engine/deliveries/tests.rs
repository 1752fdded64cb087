//! The outbox alone: lanes, states, what it keeps and forgets.

use super::super::rest::Rest;
use super::*;
use proptest::prelude::*;
use std::sync::OnceLock;

fn new(fragment: u64) -> NewDelivery {
    NewDelivery {
        campaign: "c".into(),
        step: 0,
        fragment: (fragment, 0),
        run: 1,
        began_at: Timestamp(0),
        at: Timestamp(0),
        rendered: Rendered { url: "https://x.example/".to_owned(), body: None },
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

fn attempted(outbox: &mut Outbox, number: u64, status: u16) {
    let id = |_: &Delivery, _: &EndpointKey| "msg_a".to_owned();
    outbox.attempted(number, &answered(status), id).unwrap();
}

fn with_one() -> Outbox {
    let mut outbox = Outbox::default();
    outbox.enqueue(7, new(1)).unwrap();
    outbox
}

fn numbers(outbox: &Outbox) -> Vec<u64> {
    outbox.newest_first(u64::MAX).map(|(number, _)| number).collect()
}

/// A store in which nothing is, for all tests.
fn empty() -> &'static Rest {
    static EMPTY: OnceLock<(tempfile::TempDir, Rest)> = OnceLock::new();
    let (_, rest) = EMPTY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let limit = std::time::Duration::from_secs(20);
        let store = crate::snapshot::open(folder.path(), limit).unwrap();
        (folder, Rest::new(store))
    });
    rest
}

/// The state, and why it is so.
fn stands(outbox: &Outbox, number: u64) -> (DeliveryState, u32, Option<String>) {
    let one = outbox.get(number).unwrap();
    (one.state, one.attempts, outbox.kept().reason(empty(), number).unwrap())
}

#[test]
fn a_delivery_is_small() {
    assert_eq!(size_of::<(u64, Delivery)>(), 72);
    assert_eq!(size_of::<Place>(), 24);
}

#[test]
fn ten_attempts_are_made_and_a_replay_begins_anew() {
    let mut outbox = with_one();
    for attempt in 1..=10 {
        assert!(outbox.get(7).unwrap().is_pending(), "before attempt {attempt}");
        attempted(&mut outbox, 7, 500);
    }
    let reason = Some("answered 500, after 10 attempts".to_owned());
    assert_eq!(stands(&outbox, 7), (DeliveryState::Dead, 10, reason));
    assert_eq!(outbox.counts(), (1, 0));
    assert!(outbox.replay(7, Timestamp(5)));
    assert!(!outbox.replay(7, Timestamp(5)));
    attempted(&mut outbox, 7, 500);
    assert!(outbox.get(7).unwrap().is_pending());
    attempted(&mut outbox, 7, 204);
    assert_eq!(stands(&outbox, 7), (DeliveryState::Delivered, 12, None));
}

#[test]
fn erasing_takes_everything_of_a_fragment_and_counts_what_was_to_be_sent() {
    let mut outbox = with_one();
    outbox.enqueue(8, new(1)).unwrap();
    outbox.enqueue(9, new(2)).unwrap();
    attempted(&mut outbox, 8, 200);
    assert_eq!(outbox.erase(&BTreeSet::from([(1, 0)])), 1);
    assert_eq!(numbers(&outbox), [9]);
    assert!(outbox.queue("c", 0, (1, 0)).is_empty());
}

#[test]
fn only_so_many_are_kept_that_are_over_and_the_oldest_go_first() {
    let mut outbox = Outbox::default();
    outbox.keep_over(2);
    for number in 1..=5 {
        outbox.enqueue(number, new(number)).unwrap();
    }
    for number in [4, 1, 3, 5] {
        attempted(&mut outbox, number, 200);
    }
    assert_eq!(numbers(&outbox), [5, 4, 2]);
    outbox.keep_over(0);
    assert_eq!(numbers(&outbox), [2]);
}

#[test]
fn whoever_sends_hears_of_what_changed_and_of_whose_turn_it_is() {
    let mut outbox = with_one();
    outbox.listen();
    outbox.enqueue(8, new(1)).unwrap();
    assert_eq!(outbox.take_touched(), [8]);
    attempted(&mut outbox, 7, 200);
    assert_eq!(outbox.take_touched(), [8, 7]);
    assert_eq!(outbox.head(0, (1, 0)), Some(8));
    let tally = Tally { enqueued: 1, delivered: 1, ..Tally::default() };
    assert_eq!(outbox.take_tally(), tally);
}

proptest! {
    /// A report may overtake the record of an attempt, or the other way round.
    #[test]
    fn an_exit_and_an_attempt_come_to_the_same_in_either_order(status in 200u16..600) {
        let (mut one, mut other) = (with_one(), with_one());
        one.cancel(7, "the exit was reached");
        attempted(&mut one, 7, status);
        attempted(&mut other, 7, status);
        other.cancel(7, "the exit was reached");
        prop_assert_eq!(stands(&one, 7), stands(&other, 7));
    }
}
