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
        is_hasty: bool,
    ) {
        let world = World { unique, limit: None, shared_by: None, cap };
        let rules = oracle::rules_of(world, component);
        let mut quick = Graph::new(Arc::clone(&rules));
        let mut pages = BTreeMap::new();
        oracle::keep(&mut quick, &mut pages);
        quick.is_hasty = is_hasty;
        let mut plain = Graph::new(oracle::rules_of(world, component));
        (plain.always_rebuild, plain.is_hasty) = (true, is_hasty);
        for (nth, (at, user, mails)) in events.into_iter().enumerate() {
            let mut event = crowded(at * 1_000, 0);
            event.external = Some(found("web", &user.to_string()));
            event.identifiers =
                mails.into_iter().map(|mail| found("email", &mail.to_string())).collect();
            let (now, then) =
                (quick.observe(nth as u64 + 1, &event), plain.observe(nth as u64 + 1, &event));
            prop_assert_eq!(&now, &then);
            let mut read = Graph::from_pages(Arc::clone(&rules), pages.values().cloned()).unwrap();
            read.is_hasty = is_hasty;
            prop_assert_eq!(&now, &read.observe(nth as u64 + 1, &event));
            oracle::keep(&mut quick, &mut pages);
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

/// What is read is the same after a start, though the lists of edges are in another order then.
#[test]
fn an_explanation_says_the_same_after_a_start() {
    let world = World { unique: true, limit: None, shared_by: None, cap: 1_000 };
    let rules = oracle::rules_of(world, 10_000);
    let mut graph = Graph::new(Arc::clone(&rules));
    let said = |at, external: Option<u8>, identifiers: &[u8]| {
        let identifiers = identifiers.iter().map(|user| ("web", *user)).collect();
        let external = external.map(|user| ("web", user));
        oracle::event_of(&Said { at, external, session: Some(1), identifiers })
    };
    // The session chose user 1, whom one of its points found too; others came later.
    let events = [said(1, Some(1), &[]), said(2, None, &[1]), said(3, Some(2), &[])];
    for (nth, event) in events.iter().enumerate() {
        graph.observe(nth as u64 + 1, event);
    }
    let pages = graph.take_changed_pages();
    let read = Graph::from_pages(rules, pages.into_iter()).unwrap();
    let ends = ["1", "2"].map(|user| graph.identifier("web", user).unwrap());
    let session = graph.session("S1").unwrap();
    for end in ends {
        let (now, then) = (graph.explain(session, end), read.explain(session, end));
        assert_eq!(format!("{now:?}"), format!("{then:?}"));
    }
}

/// Who is erased may have been what a session had chosen, though it could not join them.
#[test]
fn a_session_chooses_among_those_who_are_left() {
    let settings = r#"{"sources": {"shop": {"profile_id": "u"}}, "identity": {"types": {
        "shop": {"shared_by": 2}, "email": {"unique": true}}}}"#;
    let rules = Arc::new(Rules::new(&serde_json::from_str(settings).unwrap()));
    let said = |at, user, session, mail: Option<u8>| {
        let identifiers = mail.into_iter().map(|mail| ("email", mail)).collect();
        event(&Said { at, external: Some(("shop", user)), session, identifiers })
    };
    let gone = [said(1, 1, Some(1), None), said(2, 1, None, Some(1)), said(3, 1, None, Some(2))];
    let left = said(4, 2, Some(1), None);
    let mut graph = Graph::new(Arc::clone(&rules));
    for (nth, event) in gone.iter().chain([&left]).enumerate() {
        graph.observe(nth as u64 + 1, event);
    }
    let shared = graph.identifier("shop", "1").unwrap();
    assert!(graph.is_hub(shared));
    let (lead, session) = (graph.lead_of_node(shared).unwrap(), graph.session("S1").unwrap());
    let user = graph.identifier("shop", "2").unwrap();
    assert_ne!(graph.cluster_of(session), graph.cluster_of(user));
    graph.erase(lead);
    let mut alone = Graph::new(rules);
    alone.observe(1, &left);
    assert_eq!(graph.partition(), alone.partition());
}
