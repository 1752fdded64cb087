//! The outbox alone: lanes, states, what it keeps and forgets.

use crate::domain::campaign::Calling;
use crate::engine::state::campaigns::outbox::*;
use crate::engine::store::fragments::Rest;
use proptest::prelude::*;
use std::sync::OnceLock;

fn new(fragment: u64) -> NewDelivery {
    NewDelivery {
        campaign: "c".into(),
        step: 0,
        fragment: (fragment, 0),
        trigger: Moment { at: Timestamp(0), is_said: false, sequence: 1 },
        late_ms: 0,
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
    outbox.attempted(number, &answered(status), id, |_| Calling::default().waits).unwrap();
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
    assert_eq!(size_of::<(u64, Delivery)>(), 80);
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

/// Puts what changed into rows, as a snapshot does.
fn write(outbox: &mut Outbox, rows: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for (key, row) in outbox.take_rows().unwrap() {
        rows.remove(&key);
        rows.extend(row.filter(|_| key[0] == b'q').map(|row| (key, row)));
    }
}

/// Everything there is, without the numbers that endpoints have in a process.
fn everything(outbox: &Outbox) -> Vec<String> {
    let all = outbox.newest_first(u64::MAX);
    let one = |(number, one): (u64, &Delivery)| {
        let head = outbox.head(one.endpoint, one.fragment());
        let (endpoint, one) = (outbox.endpoint(one.endpoint), Delivery { endpoint: 0, ..*one });
        format!("{number} {endpoint:?} {one:?} {head:?}")
    };
    all.map(one).collect()
}

#[test]
fn a_page_that_names_an_endpoint_that_it_has_not_is_refused() {
    let mut rows = BTreeMap::new();
    write(&mut with_one(), &mut rows);
    let (key, row) = rows.pop_first().unwrap();
    let mut page = crate::records::decode_deliveries(&row).unwrap();
    page.rows[0].endpoint = 1;
    let row = crate::records::encode_deliveries(&page).unwrap();
    assert!(Outbox::load([Ok((key, row))].into_iter()).is_err());
}

proptest! {
    /// Whatever happened before a snapshot and between two, it comes back as it was.
    #[test]
    fn a_snapshot_brings_everything_back(steps in prop::collection::vec((0u8..6, 0u64..150, 0u64..9), 1..400)) {
        let mut outbox = Outbox::default();
        outbox.keep_over(40);
        let mut rows = BTreeMap::new();
        for (what, number, fragment) in steps {
            let one = NewDelivery { campaign: format!("c{}", fragment % 3).into(), ..new(fragment) };
            match what {
                0 | 1 if outbox.get(number).is_none() => outbox.enqueue(number, one).unwrap(),
                2 => attempted(&mut outbox, number, 200),
                3 => attempted(&mut outbox, number, 500),
                4 => outbox.cancel(number, "why"),
                5 if number < 5 => drop(outbox.erase(&BTreeSet::from([(fragment, 0)]))),
                _ => write(&mut outbox, &mut rows),
            }
        }
        write(&mut outbox, &mut rows);
        let again = Outbox::load(rows.into_iter().map(Ok)).unwrap();
        prop_assert_eq!(again.counts(), outbox.counts());
        prop_assert_eq!(everything(&again), everything(&outbox));
    }

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
