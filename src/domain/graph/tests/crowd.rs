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
            (0i64..6, 1u8..4, prop::collection::btree_set(0u8..40, 1..24)), 1..8),
        cap in 3u32..30,
        component in 8u32..90,
        unique: bool,
    ) {
        let world = World { unique, limit: None, shared_by: None, cap };
        let mut quick = Graph::new(oracle::rules_of(world, component));
        quick.is_hasty = true;
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

/// Each pair of a crowd is found, whatever came between, and none that is not there.
#[test]
fn edges_between_identifiers_with_many_are_found() {
    let world = World { unique: false, limit: None, shared_by: None, cap: 1_000 };
    let mut graph = Graph::new(oracle::rules_of(world, 10_000));
    let pair = |a: usize, b: usize| {
        let said = Said { at: 1, external: None, session: None, identifiers: BTreeSet::new() };
        let mut event = event(&said);
        event.identifiers =
            [a, b].map(|n| found("email", &format!("m{n:03}@site.org"))).into_iter().collect();
        event
    };
    let count = 40usize;
    let mut sequence = 0;
    for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
        sequence += 1;
        if (a + b) % 3 != 0 {
            graph.observe(sequence, &pair(a, b));
        }
    }
    let node = |n: usize| graph.identifier("email", &format!("m{n:03}@site.org")).unwrap();
    for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
        let (x, y) = (node(a), node(b));
        let walked = graph.edges_of(x).find(|(_, other)| *other == y).map(|(edge, _)| edge);
        assert_eq!(walked.is_some(), (a + b) % 3 != 0);
        assert_eq!(graph.edge_between(x, y, 0), walked);
        assert!(graph.crowd.holds(x, y));
    }
}

proptest! {
    /// A session joins the external ID that was seen in it earliest, however many there are and
    /// whatever else comes.
    #[test]
    fn a_session_that_many_share_chooses_as_it_would_among_all(
        seen in prop::collection::vec((0i64..50, 0u8..30, any::<bool>()), 1..60),
    ) {
        let world = World { unique: false, limit: None, shared_by: None, cap: 1_000 };
        let mut graph = Graph::new(oracle::rules_of(world, 10_000));
        let mut all = BTreeMap::new();
        for (nth, (at, user, has_mail)) in seen.into_iter().enumerate() {
            let external = found("shop", &user.to_string());
            let said = Said { at, external: None, session: None, identifiers: BTreeSet::new() };
            let mut event = event(&said);
            (event.session, event.occurred_at) = (Some("one".into()), Timestamp(at * 1_000));
            match has_mail {
                true => event.identifiers = [found("email", &user.to_string())].into_iter().collect(),
                false => {
                    event.external = Some(external);
                    let known: &mut i64 = all.entry(format!("shop:{user}")).or_insert(at);
                    *known = at.min(*known);
                }
            }
            graph.observe(nth as u64 + 1, &event);
            let Some(earliest) = all.iter().map(|(name, at)| (*at, name.clone())).min() else {
                continue;
            };
            let session = graph.session("one").unwrap();
            let chosen: Vec<String> = graph
                .edges_of(session)
                .filter(|(edge, _)| graph.edges[*edge as usize].flags & crate::domain::graph::tables::row::CHOSEN != 0)
                .map(|(_, other)| graph.name_of(other))
                .collect();
            prop_assert_eq!(chosen, vec![earliest.1]);
        }
    }
}
