//! The quick ways of `settle` against the rule itself: after every step, a graph that takes them, a
//! graph that rebuilds every raw component from nothing for every edge, and the first one read back
//! and rebuilt must agree in all that can be seen of them.

use crate::domain::graph::change::cut::Cut;
use crate::domain::graph::change::operators::Separation;
use crate::domain::graph::effects::Effects;
use crate::domain::graph::ids::{NONE, NodeIndex, RawIndex, SESSION};
use crate::domain::graph::read::pages::Page;
use crate::domain::graph::tables::row::{
    CHOSEN, Edge, FREE, GONE, IN_SESSION, OVERFLOW, SUPPRESSED, WITHDRAWN, WITHDRAWN_IN_SESSION,
    WITHDRAWN_SEEN,
};
use crate::domain::graph::tests::*;
use crate::domain::normalise::email_hash;

/// What happens to a graph.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) enum Step {
    Event(Said),
    Lay(Hand),
    Lift(prop::sample::Index),
    Withdraw(prop::sample::Index),
    Unmerge(prop::sample::Index),
    Cut(prop::sample::Index),
    LiftCut(prop::sample::Index),
    Erase(prop::sample::Index),
}

/// How many raw components there are, and what is in them.
pub(in crate::domain::graph) type Bookkeeping = BTreeMap<RawIndex, (BTreeSet<u32>, u32)>;

/// All that decides, and all that can be seen.
#[derive(Debug, PartialEq)]
pub(in crate::domain::graph) struct State {
    pub(in crate::domain::graph) clusters: BTreeSet<BTreeSet<String>>,
    pub(in crate::domain::graph) suppressed: BTreeSet<(String, String, u16)>,
    pub(in crate::domain::graph) refused: BTreeSet<(String, String, u16)>,
    pub(in crate::domain::graph) withdrawn: BTreeSet<(String, String, u16)>,
    pub(in crate::domain::graph) hubs: BTreeSet<String>,
    pub(in crate::domain::graph) leads: Vec<Option<u32>>,
    pub(in crate::domain::graph) profiles: u64,
    pub(in crate::domain::graph) cluster_edges: BTreeMap<String, u32>,
}

fn living(graph: &Graph) -> impl Iterator<Item = NodeIndex> {
    let count = graph.nodes.len() as NodeIndex;
    (0..count).filter(|node| graph.nodes[*node as usize].flags & FREE == 0)
}

pub(in crate::domain::graph) fn state(graph: &Graph) -> State {
    let flagged = |flag: u16| {
        let rows = graph.edges.iter().filter(|row| row.flags & GONE == 0 && row.flags & flag != 0);
        let named = rows.map(|row| {
            let (a, b) = (graph.name_of(row.a), graph.name_of(row.b));
            (
                a.clone().min(b.clone()),
                a.max(b),
                crate::domain::graph::tables::crowd::lane_of(row.flags),
            )
        });
        named.collect()
    };
    let first = |node: &NodeIndex| {
        let cluster = graph.cluster_of(*node);
        graph.members(cluster).map(|member| graph.name_of(member)).min().unwrap()
    };
    let edges = |node: NodeIndex| {
        let raw = graph.raw_edges(graph.cluster_of(node), graph.cluster_of(node));
        (first(&node), raw)
    };
    State {
        clusters: graph.partition(),
        suppressed: flagged(SUPPRESSED),
        refused: flagged(OVERFLOW),
        withdrawn: flagged(WITHDRAWN | WITHDRAWN_IN_SESSION | WITHDRAWN_SEEN),
        hubs: living(graph).filter(|node| graph.is_hub(*node)).map(|n| graph.name_of(n)).collect(),
        leads: (0..graph.fragments.len() as u32).map(|f| graph.living_lead(f)).collect(),
        profiles: graph.profiles(),
        cluster_edges: living(graph).map(edges).collect(),
    }
}

/// What the table of raw components must hold, from the edges alone.
pub(in crate::domain::graph) fn expected_raws(graph: &Graph) -> BTreeSet<(BTreeSet<u32>, u32)> {
    let mut groups: Vec<BTreeSet<u32>> = Vec::new();
    for row in graph.edges.iter().filter(|row| row.flags & (GONE | SUPPRESSED) == SUPPRESSED) {
        if graph.is_hub(row.a) || graph.is_hub(row.b) {
            continue;
        }
        let mut both = BTreeSet::from([graph.cluster_of(row.a), graph.cluster_of(row.b)]);
        assert_eq!(both.len(), 2, "a suppressed edge joins nothing");
        groups.retain(|group| {
            let is_apart = group.is_disjoint(&both);
            if !is_apart {
                both.extend(group);
            }
            is_apart
        });
        groups.push(both);
    }
    let edges = |group: &BTreeSet<u32>| {
        let active = (0..graph.edges.len() as u32).filter(|edge| graph.is_active(*edge));
        active
            .filter(|edge| group.contains(&graph.cluster_of(graph.edges[*edge as usize].a)))
            .count() as u32
    };
    groups.into_iter().map(|group| (group.clone(), edges(&group))).collect()
}

pub(in crate::domain::graph) fn kept_raws(graph: &Graph) -> BTreeSet<(BTreeSet<u32>, u32)> {
    let mut kept = Bookkeeping::new();
    for node in living(graph) {
        let cluster = graph.cluster_of(node);
        let raw = graph.clusters[cluster as usize].raw;
        if raw != NONE {
            let all = graph.raw_clusters(cluster).iter().copied().collect();
            kept.insert(raw, (all, graph.raw_edges(cluster, cluster)));
        }
    }
    // One that lost its last suppressed edge in a union may stay by itself until it is rebuilt.
    kept.into_values().filter(|(all, _)| all.len() > 1).collect()
}

/// A world in which much goes wrong: every kind of rule, low limits.
pub(in crate::domain::graph) fn rules_of(world: World, component: u32) -> Arc<Rules> {
    let mut settings = settings(world);
    let hashed = r#"{"profile_id":"u","namespace":"email_sha256"}"#;
    settings.sources.insert("hashed".into(), serde_json::from_str(hashed).unwrap());
    settings.limits.component = component;
    Arc::new(Rules::new(&settings))
}

fn spelt(kind: &str, value: u8) -> String {
    match kind {
        "email_sha256" => email_hash(&value.to_string()),
        _ => value.to_string(),
    }
}

pub(in crate::domain::graph) fn event_of(said: &Said) -> Event {
    let external = said.external.map(|(kind, value)| found(kind, &spelt(kind, value)));
    let identifiers = said.identifiers.iter();
    Event {
        external,
        identifiers: identifiers.map(|(kind, value)| found(kind, &spelt(kind, *value))).collect(),
        ..event(said)
    }
}

pub(in crate::domain::graph) fn said_of() -> impl Strategy<Value = Said> {
    let external = prop::option::of((prop::sample::select(vec!["web", "shop"]), 0u8..6));
    let kinds = vec!["email", "email", "device", "email_sha256", "web"];
    let identifiers = prop::collection::btree_set((prop::sample::select(kinds), 0u8..6), 0..4);
    let at = prop_oneof![0i64..900, 0i64..21];
    (at, external, prop::option::of(0u8..4), identifiers).prop_map(
        |(at, external, session, identifiers)| Said { at, external, session, identifiers },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<prop::sample::Index>();
    prop_oneof![
        40 => said_of().prop_map(Step::Event),
        3 => hand().prop_map(Step::Lay),
        1 => which().prop_map(Step::Lift),
        1 => which().prop_map(Step::Withdraw),
        1 => which().prop_map(Step::Unmerge),
        1 => which().prop_map(Step::Cut),
        1 => which().prop_map(Step::LiftCut),
        1 => which().prop_map(Step::Erase),
    ]
}

pub(in crate::domain::graph) fn strict_world() -> impl Strategy<Value = (World, u32)> {
    let per = prop::sample::select(vec![Per::Week, Per::Month, Per::Year, Per::Ever]);
    let limit = prop::option::of((1u32..3, per).prop_map(|(values, per)| Limit { values, per }));
    let cap = prop_oneof![Just(1_000u32), 3u32..8];
    let world = (any::<bool>(), limit, prop::option::of(2u32..4), cap)
        .prop_map(|(unique, limit, shared_by, cap)| World { unique, limit, shared_by, cap });
    (world, prop_oneof![3 => Just(10_000u32), 1 => 3u32..20])
}

/// The hubs that there must be, each identifier asked.
fn hubs_asked(graph: &Graph) -> BTreeSet<String> {
    living(graph).filter(|node| graph.should_be_hub(*node)).map(|n| graph.name_of(n)).collect()
}

/// What sessions have chosen.
fn choices(graph: &Graph) -> BTreeSet<(String, String)> {
    let ends = |row: &Edge| {
        let is_session = graph.nodes[row.a as usize].kind == SESSION;
        let (session, other) = if is_session { (row.a, row.b) } else { (row.b, row.a) };
        (graph.name_of(session), graph.name_of(other))
    };
    let chosen = graph.edges.iter().filter(|row| row.flags & (CHOSEN | GONE) == CHOSEN);
    chosen.map(ends).collect()
}

/// What they must have chosen: of the external IDs in them the earliest, by name where two are.
fn best_choices(graph: &Graph) -> BTreeSet<(String, String)> {
    let of_session = |session: NodeIndex| {
        let shown = graph.edges_of(session).filter_map(|(edge, other)| {
            let row = &graph.edges[edge as usize];
            (row.flags & IN_SESSION != 0).then(|| (row.first_at.get(), graph.name_of(other)))
        });
        Some((graph.name_of(session), shown.min()?.1))
    };
    let sessions = living(graph).filter(|node| graph.nodes[*node as usize].kind == SESSION);
    sessions.filter_map(of_session).collect()
}

/// What a step answers, in an order that does not depend on the way in which it came about.
#[derive(Debug, PartialEq)]
struct Answer {
    words: String,
    effects: Effects,
}

/// Takes a step; the operator's links so far are needed to lift one.
fn take(graph: &mut Graph, at: u64, step: &Step, links: &[Link]) -> Answer {
    let node = |graph: &Graph, which: &prop::sample::Index| {
        let all: Vec<NodeIndex> = living(graph).collect();
        (!all.is_empty()).then(|| *which.get(&all))
    };
    let mut words = String::new();
    let mut effects = Effects::default();
    match step {
        Step::Event(said) => {
            let observed = graph.observe(at, &event_of(said));
            words = format!("{:?} {:?}", observed.fragment, observed.profile);
            effects = observed.effects;
        }
        Step::Lay(hand) => effects = graph.lay(&link(at, hand), at, Timestamp(hand.1 * DAY)),
        Step::Lift(which) if !links.is_empty() => {
            let one = which.get(links);
            let same = |other: &&Link| (&other.a, &other.b) == (&one.a, &one.b) && other.joins;
            effects = graph.lift(one, links.iter().filter(same).count() > 1);
        }
        Step::Withdraw(which) => {
            if let Some(node) = node(graph, which) {
                let ends = graph.shown_within(node);
                let ends = ends.iter().filter_map(|end| graph.named(end)).collect();
                effects = graph.withdraw_identifier(node, &ends);
            }
        }
        Step::Unmerge(which) => {
            let node = node(graph, which);
            if let Some(planned) = node.and_then(|node| graph.parting_by_identifier(node)) {
                words = format!("{planned:?}");
                let unmerged = match planned.apart {
                    Separation::Parts(parts) => graph.cut(&Cut { number: at * 1_000, parts }),
                    apart => graph.part(&laid(at * 1_000, apart)),
                };
                words = format!("{words} {:?}", unmerged.profiles);
                effects = unmerged.effects;
            }
        }
        Step::Cut(which) => {
            let parts = node(graph, which).map(|node| (node, graph.parts_by_showing(node)));
            if let Some((node, parts)) = parts.filter(|(_, parts)| parts.len() > 1) {
                let parts = graph.cut_by_identifier(node, &parts);
                words = format!("{parts:?}");
                effects = graph.cut(&Cut { number: at * 1_000, parts }).effects;
            }
        }
        Step::LiftCut(which) => {
            let all: BTreeSet<u64> = graph.cuts.values().flatten().map(|place| place.0).collect();
            let all: Vec<u64> = all.into_iter().collect();
            if !all.is_empty() {
                effects = graph.lift_cut(*which.get(&all));
            }
        }
        Step::Erase(which) => {
            let leads: Vec<u32> = graph.leads().collect();
            if !leads.is_empty() {
                let erased = graph.erase(*which.get(&leads));
                words = format!("{:?} {:?}", erased.fragments, erased.touched_others);
                effects = erased.effects;
            }
        }
        Step::Lift(_) => {}
    }
    effects.changes.sort_by_cached_key(|change| format!("{change:?}"));
    Answer { words, effects }
}

/// The cuts that there are, by names.
fn cuts_of(graph: &Graph) -> Vec<Cut> {
    let mut all: BTreeMap<u64, BTreeMap<u32, Vec<crate::domain::id::Identifier>>> = BTreeMap::new();
    for (node, places) in &graph.cuts {
        for (number, part) in places {
            let parts = all.entry(*number).or_default();
            parts.entry(*part).or_default().push(graph.identifier_of(*node));
        }
    }
    let cut = |(number, parts): (u64, BTreeMap<u32, Vec<_>>)| Cut {
        number,
        parts: parts.into_values().collect(),
    };
    all.into_iter().map(cut).collect()
}

/// Keeps what a snapshot would hold.
pub(in crate::domain::graph) fn keep(graph: &mut Graph, pages: &mut BTreeMap<(u8, u32), Page>) {
    for page in graph.take_changed_pages() {
        pages.insert(place(&page), page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 20_000 } else { 200 }))]

    #[test]
    fn the_quick_ways_come_to_the_same_as_a_rebuild_after_every_step(
        (world, component) in strict_world(),
        steps in prop::collection::vec(step(), 1..50),
        is_hasty: bool,
    ) {
        let mut quick = Graph::new(rules_of(world, component));
        quick.is_hasty = is_hasty;
        let mut plain = Graph::new(rules_of(world, component));
        (plain.always_rebuild, plain.is_hasty) = (true, is_hasty);
        let mut pages = BTreeMap::new();
        let mut links: Vec<Link> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let at = at as u64 + 1;
            let answer = take(&mut quick, at, step, &links);
            prop_assert_eq!(&answer, &take(&mut plain, at, step, &links));
            match step {
                Step::Lay(hand) => links.push(link(at, hand)),
                Step::Lift(which) if !links.is_empty() => {
                    links.remove(which.index(links.len()));
                }
                _ => {}
            }
            let now = state(&quick);
            prop_assert_eq!(&now, &state(&plain));
            prop_assert_eq!(&now.hubs, &hubs_asked(&quick));
            prop_assert_eq!(choices(&quick), best_choices(&quick));
            prop_assert_eq!(kept_raws(&quick), expected_raws(&quick));
            keep(&mut quick, &mut pages);
            let rules = rules_of(world, component);
            let mut read = Graph::from_pages(rules, pages.values().cloned()).unwrap();
            for cut in cuts_of(&quick) {
                read.restore_cut(&cut);
            }
            prop_assert_eq!(&now, &state(&read));
            let all: Vec<NodeIndex> = living(&read).collect();
            let newly = read.rebuild(&all, None, &mut Default::default());
            prop_assert_eq!(newly, vec![]);
            prop_assert_eq!(&now, &state(&read));
        }
    }
}
