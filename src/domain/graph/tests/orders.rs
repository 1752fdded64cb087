//! Every order of the same events and links by hand comes to the same people, the same suppressed
//! evidence and the same hubs: all permutations of a few, many random ones of longer runs.

use crate::domain::graph::tests::oracle::{
    State, Step, event_of, rules_of, said_of, state, strict_world,
};
use crate::domain::graph::tests::*;
use std::collections::BTreeMap as Map;

/// What must not depend on the order: all that is seen of a graph but its leaders and numbers.
#[derive(Debug, PartialEq)]
struct People {
    clusters: BTreeSet<BTreeSet<String>>,
    suppressed: BTreeSet<(String, String, u16)>,
    hubs: BTreeSet<String>,
    edges: Map<String, u32>,
}

fn people(rules: &Arc<Rules>, steps: &[&Step]) -> People {
    let mut graph = Graph::new(Arc::clone(rules));
    for (at, step) in steps.iter().enumerate() {
        let at = at as u64 + 1;
        match step {
            Step::Event(said) => drop(graph.observe(at, &event_of(said))),
            Step::Lay(hand) => drop(graph.lay(&link(at, hand), at, Timestamp(hand.1 * DAY))),
            _ => unreachable!("only what adds evidence has no order"),
        }
    }
    let State { clusters, suppressed, hubs, cluster_edges, .. } = state(&graph);
    People { clusters, suppressed, hubs, edges: cluster_edges }
}

/// Calls `each` with every order of the steps (Heap's algorithm).
fn every_order<'a>(steps: &mut Vec<&'a Step>, each: &mut impl FnMut(&[&'a Step])) {
    let mut counts = vec![0; steps.len()];
    each(steps);
    let mut at = 1;
    while at < steps.len() {
        if counts[at] < at {
            steps.swap(if at % 2 == 0 { 0 } else { counts[at] }, at);
            each(steps);
            counts[at] += 1;
            at = 1;
        } else {
            counts[at] = 0;
            at += 1;
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![8 => said_of().prop_map(Step::Event), 1 => hand().prop_map(Step::Lay)]
}

#[test]
fn there_are_as_many_orders_as_there_should_be() {
    let steps: Vec<Step> = (0..5).map(|at| Step::Lay((true, at, ("web", 0), ("web", 1)))).collect();
    let mut seen = BTreeSet::new();
    let mut all: Vec<&Step> = steps.iter().collect();
    every_order(&mut all, &mut |order| {
        seen.insert(format!("{order:?}"));
    });
    assert_eq!(seen.len(), 120);
}

/// Seven events about few people, so that most of them are in each other's way.
#[test]
fn all_orders_of_seven_events_that_collide_agree() {
    let said =
        |at, external: Option<(&'static str, u8)>, session, identifiers: &[(&'static str, u8)]| {
            Step::Event(Said {
                at,
                external,
                session,
                identifiers: identifiers.iter().copied().collect(),
            })
        };
    let steps = [
        said(5, Some(("web", 1)), Some(1), &[("email", 1), ("device", 1)]),
        said(3, Some(("web", 2)), Some(1), &[("device", 1)]),
        said(4, Some(("shop", 1)), None, &[("email", 1), ("email", 2)]),
        said(4, Some(("shop", 1)), None, &[("email_sha256", 3), ("device", 2)]),
        said(9, None, Some(2), &[("email", 3), ("web", 2)]),
        said(1, Some(("web", 3)), Some(2), &[("device", 1), ("email", 2)]),
        Step::Lay((false, 2, ("web", 1), ("email", 2))),
    ];
    let limit = Some(Limit { values: 2, per: Per::Ever });
    let world = World { unique: true, limit, shared_by: Some(3), cap: 6 };
    let rules = rules_of(world, 10_000);
    let mut all: Vec<&Step> = steps.iter().collect();
    let expected = people(&rules, &all);
    assert!(!expected.hubs.is_empty() && !expected.suppressed.is_empty());
    every_order(&mut all, &mut |order| assert_eq!(people(&rules, order), expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 100 } else { 32 }))]

    #[test]
    fn all_orders_of_a_few_events_agree(
        (world, _) in strict_world(),
        steps in prop::collection::vec(step(), 2..=if long() { 7 } else { 5 }),
    ) {
        let rules = rules_of(world, 10_000);
        let mut all: Vec<&Step> = steps.iter().collect();
        let expected = people(&rules, &all);
        let mut other = None;
        every_order(&mut all, &mut |order| {
            let found = people(&rules, order);
            if found != expected && other.is_none() {
                other = Some((format!("{order:?}"), found));
            }
        });
        prop_assert!(other.is_none(), "{:?} against {:?}", other, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 50 } else { 8 }))]

    #[test]
    fn random_orders_of_long_runs_agree(
        (world, _) in strict_world(),
        steps in prop::collection::vec(step(), 30..60),
        seed: u64,
    ) {
        let rules = rules_of(world, 10_000);
        let mut all: Vec<&Step> = steps.iter().collect();
        let expected = people(&rules, &all);
        let mut state = seed | 1;
        for _ in 0..if long() { 1_000 } else { 40 } {
            for at in (1..all.len()).rev() {
                // Marsaglia's xorshift: chance enough for a shuffle, and the seed tells which.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                all.swap(at, (state % (at as u64 + 1)) as usize);
            }
            prop_assert_eq!(&people(&rules, &all), &expected);
        }
    }
}
