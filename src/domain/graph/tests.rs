//! Random worlds against a plain reference: the rule of design.md section 5, written a second time
//! as sets and loops, without indexes, quick paths or state.

mod crowd;
mod oracle;
mod orders;
mod unmerge;

use crate::domain::event::{Event, Found, Payload, Standing, Timing};
use crate::domain::graph::change::cut::Cut;
use crate::domain::graph::change::operators::{Link, Separation};
use crate::domain::graph::effects::ChangeKind;
use crate::domain::graph::ids::NodeIndex;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::rules::Rules;
use crate::domain::settings::{Limit, Per, Settings, SourceConfig, TypeConfig};
use crate::domain::time::Timestamp;
use proptest::prelude::*;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DAY: i64 = 86_400_000;

fn found(kind: &str, value: &str) -> Found {
    Found { kind: kind.into(), value: value.into(), raw: None, point: "p".into() }
}

#[derive(Clone, Debug)]
struct Said {
    at: i64,
    external: Option<(&'static str, u8)>,
    session: Option<u8>,
    identifiers: BTreeSet<(&'static str, u8)>,
}

fn event(said: &Said) -> Event {
    Event {
        received_at: Timestamp(9_000 * DAY),
        occurred_at: Timestamp(said.at * DAY),
        timing: Timing::Said,
        source: "s".into(),
        kind: "x".into(),
        session: said.session.map(|id| format!("S{id}").into()),
        dedupe: None,
        external: said.external.map(|(kind, value)| found(kind, &value.to_string())),
        identifiers: said
            .identifiers
            .iter()
            .map(|(kind, value)| found(kind, &value.to_string()))
            .collect(),
        traits: SmallVec::new(),
        standing: Standing::Open,
        payload: Payload::Json("{}".into()),
        raw: None,
    }
}

#[derive(Clone, Copy, Debug)]
struct World {
    unique: bool,
    limit: Option<Limit>,
    shared_by: Option<u32>,
    cap: u32,
}

fn rules(world: World) -> Arc<Rules> {
    Arc::new(Rules::new(&settings(world)))
}

fn settings(world: World) -> Settings {
    let mut settings = Settings::default();
    for id in ["web", "shop"] {
        let source = r#"{"profile_id":"u"}"#;
        let source: SourceConfig = serde_json::from_str(source).unwrap();
        settings.sources.insert(id.into(), source);
    }
    let types = &mut settings.identity.types;
    types.insert("web".into(), TypeConfig { unique: Some(world.unique), ..TypeConfig::default() });
    types.insert("email".into(), TypeConfig { limit: world.limit, ..TypeConfig::default() });
    types.insert(
        "device".into(),
        TypeConfig { shared_by: world.shared_by, ..TypeConfig::default() },
    );
    settings.limits.identifiers = world.cap;
    settings
}

/// The partition that the rule gives, from nothing but the events.
fn reference(world: World, all: &[Said]) -> BTreeSet<BTreeSet<String>> {
    reference_with_links(world, all, &[])
}

/// An operator's link: whether it joins, when it was laid, and its ends.
type Hand = (bool, i64, (&'static str, u8), (&'static str, u8));

/// The same, with an operator's links.
#[expect(clippy::too_many_lines, reason = "the rule in one place, to be read beside the design")]
fn reference_with_links(world: World, all: &[Said], links: &[Hand]) -> BTreeSet<BTreeSet<String>> {
    let hands = links;
    let name = |(kind, value): &(&str, u8)| format!("{kind}:{value}");
    let rank = |name: &str| match name.split(':').next().unwrap() {
        "session" => 0,
        "web" | "shop" => 10,
        "email" => 20,
        "device" => 80,
        other => panic!("{other}"),
    };
    let mut nodes: BTreeMap<String, i64> = BTreeMap::new();
    let mut links: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut company: BTreeSet<(String, String)> = BTreeSet::new();
    let mut sessions: BTreeMap<String, BTreeSet<(i64, String)>> = BTreeMap::new();
    for said in all {
        let external = said.external.as_ref().map(name);
        let session = said.session.map(|id| format!("session:S{id}"));
        let mut identifiers: Vec<String> = said.identifiers.iter().map(name).collect();
        identifiers.sort_by_key(|one| (rank(one), one.clone()));
        let Some(origin) = external.clone().or(session.clone()).or(identifiers.first().cloned())
        else {
            continue;
        };
        for node in external.iter().chain(&session).chain(&identifiers) {
            let first = nodes.entry(node.clone()).or_insert(said.at);
            *first = said.at.min(*first);
        }
        for one in identifiers.iter().filter(|one| **one != origin) {
            let pair = (origin.clone().min(one.clone()), origin.clone().max(one.clone()));
            let first = links.entry(pair).or_insert(said.at);
            *first = said.at.min(*first);
        }
        if let (Some(external), Some(session)) = (&external, &session) {
            sessions.entry(session.clone()).or_default().insert((said.at, external.clone()));
        }
        for x in external.iter().chain(&identifiers) {
            for y in external.iter().chain(&identifiers) {
                company.insert((x.clone(), y.clone()));
            }
        }
    }
    let is_unique = |node: &str| world.unique && node.starts_with("web:");
    let is_hub = |node: &String| {
        let with = company.iter().filter(|(x, y)| x == node && y != node && is_unique(y)).count();
        node.starts_with("device:") && world.shared_by.is_some_and(|n| with >= n as usize)
    };
    let mut edges: Vec<((u8, u32, i64), String, String)> = Vec::new();
    for ((a, b), at) in &links {
        edges.push(((3, rank(a).max(rank(b)), *at), a.clone(), b.clone()));
    }
    for (session, seen) in &sessions {
        let (at, external) = seen.first().unwrap();
        edges.push(((2, 0, *at), session.clone(), external.clone()));
    }
    let mut apart: Vec<(String, String)> = Vec::new();
    for (joins, at, a, b) in hands {
        let (a, b) = (name(a), name(b));
        nodes.entry(a.clone()).or_insert(i64::MAX);
        nodes.entry(b.clone()).or_insert(i64::MAX);
        match joins {
            true if a != b => {
                let same = |edge: &(_, String, String)| {
                    (edge.1 == a && edge.2 == b) || (edge.1 == b && edge.2 == a)
                };
                // One edge per pair: the strongest word for it, the earliest time of any.
                let known = edges.iter().position(same);
                let earliest = known.map_or(*at, |known| edges[known].0.2.min(*at));
                if let Some(known) = known {
                    edges.remove(known);
                }
                edges.push(((0, 0, earliest), a, b));
            }
            false if a != b => apart.push((a, b)),
            _ => {}
        }
    }
    edges.retain(|(_, a, b)| !is_hub(a) && !is_hub(b));
    edges.sort_by_key(|(key, a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        let mut hasher = blake3::Hasher::new();
        hasher.update(a.as_bytes()).update(&[0]).update(b.as_bytes());
        let hash: [u8; 8] = hasher.finalize().as_bytes()[..8].try_into().unwrap();
        (*key, u64::from_be_bytes(hash))
    });
    let mut clusters: Vec<BTreeSet<String>> =
        nodes.keys().map(|node| BTreeSet::from([node.clone()])).collect();
    for (_, a, b) in edges {
        let x = clusters.iter().position(|cluster| cluster.contains(&a)).unwrap();
        let y = clusters.iter().position(|cluster| cluster.contains(&b)).unwrap();
        if x == y {
            continue;
        }
        let both: BTreeSet<String> = clusters[x].union(&clusters[y]).cloned().collect();
        let mut per_window: BTreeMap<i64, u32> = BTreeMap::new();
        for mail in both.iter().filter(|node| node.starts_with("email:")) {
            let window = match world.limit {
                Some(Limit { per: Per::Ever, .. }) | None => 0,
                Some(Limit { per: Per::Year, .. }) => {
                    Timestamp(nodes[mail].saturating_mul(DAY)).utc().year().into()
                }
                Some(_) => unimplemented!("not in these worlds"),
            };
            *per_window.entry(window).or_default() += 1;
        }
        let shown = both.iter().filter(|node| !node.starts_with("session:")).count();
        let violates = both.iter().filter(|node| is_unique(node)).count() > 1
            || per_window.values().any(|n| world.limit.is_some_and(|limit| *n > limit.values))
            || apart.iter().any(|(a, b)| both.contains(a) && both.contains(b))
            || shown > world.cap as usize;
        if !violates {
            clusters[x.min(y)] = both;
            clusters.remove(x.max(y));
        }
    }
    clusters.into_iter().collect()
}

fn said() -> impl Strategy<Value = Said> {
    let external = prop::option::of((prop::sample::select(vec!["web", "shop"]), 0u8..4));
    let identifier = (prop::sample::select(vec!["email", "device"]), 0u8..4);
    let identifiers = prop::collection::btree_set(identifier, 0..3);
    (0i64..900, external, prop::option::of(0u8..3), identifiers).prop_map(
        |(at, external, session, identifiers)| Said { at, external, session, identifiers },
    )
}

fn world() -> impl Strategy<Value = World> {
    let limit = prop::option::of((1u32..3, prop::bool::ANY).prop_map(|(values, yearly)| Limit {
        values,
        per: if yearly { Per::Year } else { Per::Ever },
    }));
    (any::<bool>(), limit, prop::option::of(2u32..4), prop_oneof![Just(1_000u32), 3u32..6])
        .prop_map(|(unique, limit, shared_by, cap)| World { unique, limit, shared_by, cap })
}

fn grown(world: World, all: &[Said]) -> Graph {
    let mut graph = Graph::new(rules(world));
    for (at, said) in all.iter().enumerate() {
        graph.observe(at as u64 + 1, &event(said));
    }
    graph
}

fn hand() -> impl Strategy<Value = Hand> {
    let end = || (prop::sample::select(vec!["web", "shop", "email"]), 0u8..4);
    (any::<bool>(), 0i64..900, end(), end())
}

fn link(number: u64, (joins, _, a, b): &Hand) -> Link {
    let end = |(kind, value): &(&str, u8)| crate::domain::id::Identifier {
        kind: (*kind).into(),
        value: value.to_string().into(),
    };
    Link { number, joins: *joins, a: end(a), b: end(b) }
}

/// When a part showed a node first, by event time; ties go to the smaller name.
fn first_shown(graph: &Graph, node: NodeIndex, part: &BTreeSet<NodeIndex>) -> (Timestamp, String) {
    let edges = graph.edges_of(node);
    let edges = edges.filter(|(edge, other)| part.contains(other) && graph.is_evidence(*edge));
    let shown = edges
        .map(|(edge, other)| (graph.edges[edge as usize].first_at.get(), graph.name_of(other)));
    shown.min().unwrap_or((crate::domain::time::MAX, String::new()))
}

/// The cannot-links of an unmerge, numbered from `first` on.
fn laid(first: u64, apart: Separation) -> Vec<Link> {
    let Separation::Pairs(pairs) = apart else { panic!("a cut, of so few") };
    let link = |(number, (a, b))| Link { number, joins: false, a, b };
    (first..).zip(pairs).map(link).collect()
}

/// Where a snapshot would keep a page.
fn place(page: &crate::domain::graph::read::pages::Page) -> (u8, u32) {
    match page {
        crate::domain::graph::read::pages::Page::Nodes(at, _) => (0, *at),
        crate::domain::graph::read::pages::Page::Edges(at, _) => (1, *at),
        crate::domain::graph::read::pages::Page::Fragments(at, _) => (2, *at),
        crate::domain::graph::read::pages::Page::Names(..) => (3, 0),
        crate::domain::graph::read::pages::Page::Apart(_) => (4, 0),
    }
}

/// Whether the long forms are wanted.
fn long() -> bool {
    std::env::var_os("SELFSAME_LONG").is_some()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn links_by_hand_are_part_of_the_rule_whenever_they_come(
        world in world(),
        all in prop::collection::vec(said(), 1..12),
        hands in prop::collection::vec(hand(), 1..4),
        places in prop::collection::vec(any::<prop::sample::Index>(), 4),
        lift in any::<bool>(),
    ) {
        let mut graph = Graph::new(rules(world));
        let lay = |graph: &mut Graph, at: usize| {
            for (number, hand) in hands.iter().enumerate() {
                if places[number].index(all.len() + 1) == at {
                    graph.lay(&link(number as u64, hand), 1_000, Timestamp(hand.1 * DAY));
                }
            }
        };
        for (at, said) in all.iter().enumerate() {
            lay(&mut graph, at);
            graph.observe(at as u64 + 1, &event(said));
        }
        lay(&mut graph, all.len());
        prop_assert_eq!(graph.partition(), reference_with_links(world, &all, &hands));
        if lift {
            for (number, hand) in hands.iter().enumerate() {
                let (_, _, a, b) = hand;
                let rest = &hands[number + 1..];
                let others = rest.iter().any(|(joins, _, x, y)| {
                    *joins && ((x, y) == (a, b) || (x, y) == (b, a))
                });
                graph.lift(&link(number as u64, hand), others);
            }
            let linked: BTreeSet<String> = graph.partition().into_iter().flatten().collect();
            let mut expected = reference(world, &all);
            let seen: BTreeSet<String> = expected.iter().flatten().cloned().collect();
            expected.extend(linked.difference(&seen).map(|one| BTreeSet::from([one.clone()])));
            // A must-link may have brought an edge's time forward for good, which is all it leaves.
            let moved = hands.iter().any(|hand| hand.0);
            prop_assert!(moved || graph.partition() == expected);
        }
    }

    #[test]
    fn an_unmerge_takes_the_parts_apart_for_good(
        all in prop::collection::vec(said(), 2..14),
        which in any::<prop::sample::Index>(),
        as_cut in any::<bool>(),
    ) {
        let world = World { unique: false, limit: None, shared_by: None, cap: 1_000 };
        let mut graph = grown(world, &all);
        let named: Vec<String> = graph.partition().into_iter().flatten().collect();
        if named.is_empty() { return Ok(()) }
        let name = which.get(&named).clone();
        let (kind, value) = name.split_once(':').unwrap();
        let Some(node) = graph.identifier(kind, value) else { return Ok(()) };
        let parts = graph.parts_without(node);
        let (before, profiles) = (graph.partition(), graph.profiles());
        let planned = graph.parting_by_identifier(node);
        // What is only planned changes nothing.
        prop_assert_eq!((graph.partition(), graph.profiles()), (before, profiles));
        prop_assert_eq!(planned.is_some(), parts.len() > 1);
        let Some(planned) = planned else { return Ok(()) };
        let by_fragments = |part: &BTreeSet<NodeIndex>| {
            part.iter().filter_map(|node| graph.fragment_of(*node)).collect::<BTreeSet<u32>>()
        };
        let all_parts: BTreeSet<BTreeSet<u32>> = parts.iter().map(by_fragments).collect();
        prop_assert_eq!(all_parts, planned.parts.iter().map(|part| part.iter().copied().collect()).collect());
        let unmerged = match as_cut {
            true => {
                let parts = graph.cut_by_identifier(node, &graph.parts_by_showing(node));
                graph.cut(&Cut { number: 1, parts })
            }
            false => graph.part(&laid(1, planned.apart)),
        };
        prop_assert!(unmerged.profiles.len() >= parts.len());
        let eldest: Vec<u32> = parts.iter().filter_map(|part| graph.eldest(part)).collect();
        let apart = |graph: &Graph| {
            let clusters: BTreeSet<u32> = eldest.iter().map(|one| graph.cluster_of(*one)).collect();
            clusters.len() == eldest.len()
        };
        prop_assert!(apart(&graph));
        let first = parts.iter().min_by_key(|part| first_shown(&graph, node, part)).unwrap();
        let home = graph.eldest(first).unwrap();
        prop_assert!(unmerged.profiles.contains(&graph.lead_of_node(home).unwrap()));
        for (at, said) in all.iter().enumerate() {
            graph.observe(1_000 + at as u64, &event(said));
        }
        prop_assert!(apart(&graph));
    }

    #[test]
    fn an_erased_person_leaves_the_others_as_if_alone(
        world in world(),
        all in prop::collection::vec(said(), 2..14),
        which in any::<prop::sample::Index>(),
    ) {
        let mut graph = grown(world, &all);
        let leads: Vec<u32> = graph.leads().collect();
        if leads.is_empty() { return Ok(()) }
        let lead = *which.get(&leads);
        let before = graph.profiles();
        let erased = graph.erase(lead);
        prop_assert_eq!(graph.leads().count() as u64, graph.profiles());
        for one in &erased.identifiers {
            prop_assert!(graph.identifier(&one.kind, &one.value).is_none());
        }
        for fragment in &erased.fragments { prop_assert!(graph.living_lead(*fragment).is_none()); }
        prop_assert!(before >= 1);
        // The graph goes on: the same events make a person again.
        for (at, said) in all.iter().enumerate() {
            graph.observe(1_000 + at as u64, &event(said));
        }
        prop_assert_eq!(graph.partition(), reference(world, &all));
    }

    #[test]
    fn clusters_follow_the_rule_whatever_the_order(
        world in world(),
        all in prop::collection::vec(said(), 1..14),
        order in prop::collection::vec(any::<prop::sample::Index>(), 14),
    ) {
        let expected = reference(world, &all);
        prop_assert_eq!(grown(world, &all).partition(), expected.clone());
        let mut shuffled = all.clone();
        for (at, with) in order.iter().enumerate().take(all.len()) {
            shuffled.swap(at, with.index(all.len()));
        }
        prop_assert_eq!(grown(world, &shuffled).partition(), expected);
    }

    #[test]
    fn a_graph_read_back_at_any_cut_goes_on_the_same(
        world in world(),
        all in prop::collection::vec(said(), 1..14),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut whole = Graph::new(rules(world));
        let mut pages = BTreeMap::new();
        let mut store = |graph: &mut Graph| {
            for page in graph.take_changed_pages() {
                pages.insert(place(&page), page);
            }
        };
        let cut = cut.index(all.len());
        for (at, said) in all.iter().enumerate().take(cut) {
            whole.observe(at as u64 + 1, &event(said));
            if at % 3 == 0 { store(&mut whole); }
        }
        store(&mut whole);
        let mut loaded = Graph::from_pages(rules(world), pages.into_values()).unwrap();
        prop_assert_eq!(loaded.partition(), whole.partition());
        for (at, said) in all.iter().enumerate().skip(cut) {
            let one = whole.observe(at as u64 + 1, &event(said));
            let other = loaded.observe(at as u64 + 1, &event(said));
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(loaded.partition(), whole.partition());
        prop_assert_eq!(loaded.profiles(), whole.profiles());
        prop_assert_eq!(whole.leads().count() as u64, whole.profiles());
    }

    #[test]
    fn moves_tell_the_whole_story(world in world(), all in prop::collection::vec(said(), 1..14)) {
        let mut graph = Graph::new(rules(world));
        let mut held: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, said) in all.iter().enumerate() {
            let observed = graph.observe(at as u64 + 1, &event(said));
            for one in &observed.effects.moves {
                prop_assert_eq!(held.insert(one.fragment, one.to), Some(one.from));
            }
            if let (Some(fragment), Some(profile)) = (observed.fragment, observed.profile) {
                if observed.is_new { held.insert(fragment, profile); }
                prop_assert_eq!(held[&fragment], profile);
            }
            for (fragment, profile) in &held { prop_assert_eq!(graph.lead(*fragment), *profile); }
            let merges = observed.effects.changes.iter().filter(|one| one.kind == ChangeKind::Merge);
            prop_assert!(merges.count() <= 1);
        }
    }
}
