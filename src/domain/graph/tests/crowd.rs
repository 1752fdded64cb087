//! What one event with many identifiers costs.

use crate::domain::graph::tests::*;
use std::time::{Duration, Instant};

fn crowded(at: i64, from: usize) -> Event {
    let said =
        Said { at, external: Some(("shop", 1)), session: None, identifiers: BTreeSet::new() };
    let mut event = event(&said);
    event.occurred_at = Timestamp(at);
    event.identifiers =
        (from..from + 99).map(|n| found("email", &format!("m{n}@site.org"))).collect();
    event
}

/// A bound that a loaded machine keeps, and one rebuild for each address did not by far.
#[test]
fn an_event_with_ninety_nine_addresses_asks_for_one_rebuild_at_most() {
    for step in [1_000i64, 0, -1_000] {
        let world = World { unique: true, limit: None, shared_by: None, cap: 1_000 };
        let mut graph = Graph::new(oracle::rules_of(world, 10_000));
        let began = Instant::now();
        for nth in 0..110i64 {
            let event = crowded(1_000_000_000 + nth * step, nth as usize * 99);
            graph.observe(nth as u64 + 1, &event);
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert_eq!(graph.profiles(), 1);
    }
}

proptest! {
    #[test]
    fn edges_that_are_taken_in_together_come_to_what_they_come_to_one_by_one(
        events in prop::collection::vec(
            (0i64..6, 1u8..4, prop::collection::btree_set(0u8..40, 9..24)), 1..8),
        cap in 3u32..30,
        component in 8u32..90,
        unique: bool,
    ) {
        let world = World { unique, limit: None, shared_by: None, cap };
        let mut quick = Graph::new(oracle::rules_of(world, component));
        let mut plain = Graph::new(oracle::rules_of(world, component));
        plain.always_rebuild = true;
        for (nth, (at, user, mails)) in events.into_iter().enumerate() {
            let mut event = crowded(at * 1_000, 0);
            event.external = Some(found("shop", &user.to_string()));
            event.identifiers =
                mails.into_iter().map(|mail| found("email", &mail.to_string())).collect();
            quick.observe(nth as u64 + 1, &event);
            plain.observe(nth as u64 + 1, &event);
            prop_assert_eq!(oracle::state(&quick), oracle::state(&plain));
            prop_assert_eq!(oracle::kept_raws(&quick), oracle::expected_raws(&quick));
        }
    }
}
