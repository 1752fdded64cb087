//! Unmerge after merge is the identity: ids, values, counters and timelines are those of a graph in
//! which the two were never merged.

use crate::domain::event::TraitValue;
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::change::cut::Cut;
use crate::domain::graph::read::view::Shown;
use crate::domain::graph::tests::*;
use crate::domain::profile::Folded;

/// The graph with the fragments that an engine would keep beside it.
struct Engine {
    graph: Graph,
    fragments: BTreeMap<u32, Fragment>,
    rules: Arc<Rules>,
}

impl Engine {
    fn new(rules: &Arc<Rules>) -> Self {
        let graph = Graph::new(Arc::clone(rules));
        Self { graph, fragments: BTreeMap::new(), rules: Arc::clone(rules) }
    }

    fn observe(&mut self, sequence: u64, event: &Event) {
        if let Some(fragment) = self.graph.observe(sequence, event).fragment {
            let kept = self.fragments.entry(fragment).or_default();
            kept.apply(sequence, event, content_hash(event), &self.rules);
        }
    }

    /// Each profile by its leading fragment: its fragments, identifiers, and what they fold to.
    fn profiles(&self) -> BTreeMap<u32, (Vec<Fragment>, Vec<Shown>, Folded)> {
        let profile = |lead: u32| {
            let view = self.graph.view(lead, false);
            let own: Vec<Fragment> =
                view.fragments.iter().map(|(one, _)| self.fragments[one].clone()).collect();
            let folded = Folded::new(own.iter(), 100);
            (lead, (own, view.identifiers, folded))
        };
        self.graph.leads().map(profile).collect()
    }
}

/// An event with a value for each rule of folding.
fn telling(said: &Said) -> Event {
    let mut event = event(said);
    for name in ["last", "first", "min", "max", "sum", "set", "consent"] {
        let json = if name == "consent" { "true".to_owned() } else { said.at.to_string() };
        event.traits.push(TraitValue { name: name.into(), json: json.into(), point: false });
    }
    event
}

fn telling_rules() -> Arc<Rules> {
    let mut settings = settings(World { unique: false, limit: None, shared_by: None, cap: 1_000 });
    let traits = r#"{"first":{"fold":"first"},"min":{"fold":"min"},"max":{"fold":"max"},
        "sum":{"fold":"sum"},"set":{"fold":"set"},"consent":{"fold":"consent"}}"#;
    settings.traits = serde_json::from_str(traits).unwrap();
    Arc::new(Rules::new(&settings))
}

/// People of one half: their values are below or from 4 on, so that the halves never meet.
fn half(from: u8) -> impl Strategy<Value = Vec<Said>> {
    let moved = move |mut said: Said| {
        said.external = said.external.map(|(kind, value)| (kind, value % 4 + from));
        said.session = said.session.map(|id| id % 4 + from);
        said.identifiers =
            said.identifiers.into_iter().map(|(kind, value)| (kind, value % 4 + from)).collect();
        said
    };
    prop::collection::vec(said().prop_map(moved), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_must_link_that_is_lifted_leaves_no_trace(
        left in half(0),
        right in half(4),
        which in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let mut engine = Engine::new(&telling_rules());
        for (at, said) in left.iter().chain(&right).enumerate() {
            engine.observe(at as u64 + 1, &telling(said));
        }
        let before = engine.profiles();
        let ends = |low: bool| -> Vec<(String, String)> {
            let all = engine.graph.partition().into_iter().flatten();
            let split = all.filter_map(|name| {
                let (kind, value) = name.split_once(':')?;
                let number: u8 = value.parse().ok()?;
                (kind != "session" && (number < 4) == low).then(|| (kind.into(), value.into()))
            });
            split.collect()
        };
        let (a, b) = (ends(true), ends(false));
        if a.is_empty() || b.is_empty() { return Ok(()) }
        let end = |(kind, value): &(String, String)| crate::domain::id::Identifier {
            kind: kind.as_str().into(),
            value: value.as_str().into(),
        };
        let (a, b) = (end(which.0.get(&a)), end(which.1.get(&b)));
        let link = Link { number: 1, joins: true, a, b };
        engine.graph.lay(&link, 100, Timestamp(0));
        prop_assert!(engine.profiles().len() < before.len() || before.len() < 2);
        engine.graph.lift(&link, false);
        prop_assert_eq!(engine.profiles(), before);
    }

    #[test]
    fn what_an_identifier_merged_is_as_if_it_never_had(
        left in half(0),
        right in half(4),
        at in 0i64..900,
        after in prop::collection::vec(said(), 0..4),
        as_cut in any::<bool>(),
    ) {
        let mut merged = Engine::new(&telling_rules());
        let mut apart = Engine::new(&telling_rules());
        for (nth, said) in left.iter().chain(&right).enumerate() {
            merged.observe(nth as u64 + 1, &telling(said));
            apart.observe(nth as u64 + 1, &telling(said));
        }
        // One user of each half signs in on the same device.
        let user = |value| Said {
            at,
            external: Some(("shop", value)),
            session: None,
            identifiers: BTreeSet::from([("device", 9)]),
        };
        let alone = |value| Said { identifiers: BTreeSet::new(), ..user(value) };
        for (sequence, value) in [(50, 1), (51, 5)] {
            merged.observe(sequence, &telling(&user(value)));
            apart.observe(sequence, &telling(&alone(value)));
        }
        // What comes after the merge follows its own fragment. It does not speak of the other half.
        for (nth, said) in after.iter().enumerate() {
            merged.observe(60 + nth as u64, &telling(said));
            apart.observe(60 + nth as u64, &telling(said));
        }
        let device = merged.graph.identifier("device", "9").unwrap();
        let planned = merged.graph.parting_by_identifier(device);
        prop_assert!(planned.is_some());
        match as_cut {
            true => {
                let parts = merged.graph.parts_by_showing(device);
                let parts = merged.graph.cut_by_identifier(device, &parts);
                merged.graph.cut(&Cut { number: 1, parts });
            }
            false => drop(merged.graph.part(&laid(1, planned.unwrap().apart))),
        }
        let mut now = merged.profiles();
        for (_, shown, _) in now.values_mut() {
            shown.retain(|one| (&*one.kind, &*one.value) != ("device", "9"));
        }
        prop_assert_eq!(now, apart.profiles());
    }
}
