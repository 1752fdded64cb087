//! One event's way through the graph: its fragment, its evidence, and what follows for profiles.

use crate::domain::event::{Event, Found, Standing};
use crate::domain::graph::effects::{Before, Change, ChangeKind, Disturbed, Observed};
use crate::domain::graph::ids::{ANONYMOUS, EdgeIndex, FragmentIndex, NONE, NodeIndex, SESSION};
use crate::domain::graph::resolve::evidence::{Showing, Shown};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{
    ALIAS, Birth, IN_SESSION, LINK, Mail, SEEN, SPELT, SUPPRESSED, ShortTime,
};
use crate::domain::id::Sequence;
use crate::domain::normalise::email_hash;
use crate::domain::time::{MIN, Timestamp};
use smallvec::SmallVec;

impl Graph {
    /// Takes an event's evidence in and returns where the event belongs and what follows.
    pub fn observe(&mut self, sequence: Sequence, event: &Event) -> Observed {
        if matches!(event.standing, Standing::Quarantined(_)) {
            return Observed::default();
        }
        let mut disturbed = Disturbed::default();
        let nodes = self.nodes_of(event, &mut disturbed);
        let Some(origin) = self.origin_of(event, &nodes, sequence) else {
            return Observed::default();
        };
        let mut before = Before::default();
        let (fragment, is_new) = self.fragment_at(origin, sequence, event.received_at);
        self.follow(sequence, origin);
        self.gather_evidence(event, sequence, origin, &nodes, &mut disturbed);
        let effects = self.settle(disturbed, Some(fragment), &mut before, is_new);
        Observed { fragment: Some(fragment), is_new, profile: self.lead_of_node(origin), effects }
    }

    /// The nodes of an event: the external ID's, the session's, and the identifiers'.
    fn nodes_of(&mut self, event: &Event, disturbed: &mut Disturbed) -> Nodes {
        let at = event.occurred_at;
        let mut sought: SmallVec<[(u16, &str); 4]> = SmallVec::new();
        for found in event.external.iter().chain(&event.identifiers) {
            sought.push((self.type_number(&found.kind), &found.value));
        }
        sought.extend(event.session.as_deref().map(|id| (SESSION, id)));
        let known = self.find_all(&sought);
        let own = usize::from(event.external.is_some());
        let external = event.external.as_ref();
        let external = external.map(|found| self.meet(found, sought[0].0, known[0], at, disturbed));
        let session = event.session.as_deref().map(|id| {
            let node = known[known.len() - 1].unwrap_or_else(|| self.node(SESSION, id));
            self.seen_at(node, at);
            node
        });
        let mut identifiers = SmallVec::new();
        for (found, nth) in event.identifiers.iter().zip(own..) {
            identifiers.push(self.meet(found, sought[nth].0, known[nth], at, disturbed));
        }
        Nodes { external, session, identifiers }
    }

    /// Takes one identifier of an event in; `node` is its node, where it was known before the event.
    fn meet(
        &mut self,
        found: &Found,
        kind: u16,
        node: Option<NodeIndex>,
        at: Timestamp,
        disturbed: &mut Disturbed,
    ) -> NodeIndex {
        let node = match node {
            Some(node) => node,
            None => self.identifier_node(kind, &found.value, &mut disturbed.fresh),
        };
        let limit = self.rule(node).limit;
        let was = self.nodes[node as usize].first_seen.get();
        self.seen_at(node, at);
        if let Some(limit) = limit
            && at < was
            && Self::window(limit, was) != Self::window(limit, at)
        {
            disturbed.seeds.push(node);
        }
        self.keep_spelling(node, found, at);
        node
    }

    /// The node of an identifier, with its alias where it is a mail or the hash of one.
    pub(in crate::domain::graph) fn identifier_node(
        &mut self,
        kind: u16,
        value: &str,
        fresh: &mut SmallVec<[EdgeIndex; 8]>,
    ) -> NodeIndex {
        if let Some(node) = self.find(kind, value) {
            return node;
        }
        let node = self.node(kind, value);
        if self.mail_aliases
            && let Some(edge) = self.link_alias(node, value)
        {
            fresh.push(edge);
        }
        node
    }

    /// Joins a clear mail and its SHA-256 where both are known.
    fn link_alias(&mut self, node: NodeIndex, value: &str) -> Option<EdgeIndex> {
        let other = match self.rule(node).mail {
            Mail::No => None,
            Mail::Clear => {
                let hash = email_hash(value);
                self.mail_hashes.insert(short_hash(&hash)?, node);
                self.find(self.types.find("email_sha256")?, &hash)
            }
            Mail::Hash => {
                let other = *self.mail_hashes.get(&short_hash(value)?)?;
                (email_hash(self.text(other)) == value).then_some(other)
            }
        }?;
        // The two are one identifier, whenever they were seen, so the time must not order them.
        let by = Showing { at: MIN, sequence: 0, point: None, source: None };
        Some(self.show(node, other, ALIAS, by).edge)
    }

    fn seen_at(&mut self, node: NodeIndex, at: Timestamp) {
        let row = &mut self.nodes[node as usize];
        let (first, last) = (row.first_seen.get().min(at), row.last_seen.get().max(at));
        let seen = (ShortTime::of(first), ShortTime::of(last));
        if seen != (row.first_seen, row.last_seen) {
            (row.first_seen, row.last_seen) = seen;
            self.dirty.mark(Touched::Node(node));
        }
    }

    /// Keeps the latest spelling, where it differs from the canonical value.
    fn keep_spelling(&mut self, node: NodeIndex, found: &Found, at: Timestamp) {
        let row = &mut self.nodes[node as usize];
        match &found.raw {
            Some(raw) => {
                let known = self.raw.get(&node);
                if known.is_none_or(|(since, text)| (at, raw) > (*since, text)) {
                    row.flags |= SPELT;
                    self.raw.insert(node, (at, raw.clone()));
                    self.dirty.mark(Touched::Node(node));
                }
            }
            None if row.flags & SPELT != 0 && at >= row.last_seen.get() => {
                row.flags &= !SPELT;
                self.raw.remove(&node);
                self.dirty.mark(Touched::Node(node));
            }
            None => {}
        }
    }

    /// External ID, else session, else the strongest identifier, else an anonymous one.
    fn origin_of(&mut self, event: &Event, nodes: &Nodes, sequence: Sequence) -> Option<NodeIndex> {
        let strongest = |graph: &Self| {
            let order = |node: &&NodeIndex| {
                let row = &graph.nodes[**node as usize];
                (graph.rule(**node).priority, graph.types.name(row.kind), graph.text(**node))
            };
            nodes.identifiers.iter().min_by(|a, b| order(a).cmp(&order(b))).copied()
        };
        if let Some(node) = nodes.external.or(nodes.session).or_else(|| strongest(self)) {
            return Some(node);
        }
        (event.standing == Standing::Anonymous).then(|| {
            let node = self.node(ANONYMOUS, &sequence.to_string());
            self.seen_at(node, event.occurred_at);
            node
        })
    }

    fn fragment_at(
        &mut self,
        origin: NodeIndex,
        sequence: Sequence,
        received_at: Timestamp,
    ) -> (FragmentIndex, bool) {
        if let Some(fragment) = self.fragment_of(origin) {
            return (fragment, false);
        }
        let fragment = match self.heir(origin) {
            Some(fragment) => fragment,
            None => self.new_fragment(origin, sequence, received_at),
        };
        self.nodes[origin as usize].fragment = fragment;
        self.dirty.mark(Touched::Node(origin));
        self.dirty.mark(Touched::Fragment(fragment));
        self.will_change(origin);
        let cluster = self.cluster_of(origin) as usize;
        if self.clusters[cluster].lead == NONE {
            self.profiles += 1;
        }
        self.clusters[cluster].lead = self.older(self.clusters[cluster].lead, fragment);
        (fragment, true)
    }

    fn new_fragment(
        &mut self,
        node: NodeIndex,
        sequence: Sequence,
        received_at: Timestamp,
    ) -> FragmentIndex {
        let (generation, made_at) = self.later.unwrap_or((0, sequence));
        let fragment = self.fragments.len() as FragmentIndex;
        let birth = Birth { node, sequence, made_at, generation, received_at };
        self.fragments.push(birth.into());
        if generation > 0 {
            self.later_born.insert((sequence, generation), fragment);
        }
        fragment
    }

    fn gather_evidence(
        &mut self,
        event: &Event,
        sequence: Sequence,
        origin: NodeIndex,
        nodes: &Nodes,
        disturbed: &mut Disturbed,
    ) {
        let source = Some(&*event.source);
        let mut by = Showing { at: event.occurred_at, sequence, point: None, source };
        let mut company = Company::new();
        for (node, found) in nodes.identifiers.iter().zip(&event.identifiers) {
            if *node != origin {
                by.point = Some(&found.point);
                let shown = self.show(origin, *node, LINK, by);
                self.note(shown, disturbed);
                self.meet_in((origin, *node), shown, &mut company);
            }
        }
        by.point = None;
        if let (Some(external), Some(session)) = (nodes.external, nodes.session) {
            let shown = self.show(session, external, IN_SESSION, by);
            if (shown.is_new || shown.is_earlier)
                && !self.choose_between(session, shown.edge, disturbed)
            {
                let is_earlier = shown.is_earlier;
                self.note(Shown { is_new: false, is_earlier, ..shown }, disturbed);
            }
        }
        self.gather_company(origin, nodes, by, company, disturbed);
    }

    /// Notes who may be a hub now: whoever was met by a value of a unique type for the first time.
    fn meet_in(&self, (a, b): (NodeIndex, NodeIndex), shown: Shown, company: &mut Company) {
        for (one, other) in [(a, b), (b, a)] {
            let may_be = shown.is_company && self.rule(other).unique;
            if may_be && self.rule(one).shared_by.is_some() && !company.contains(&one) {
                company.push(one);
            }
        }
    }

    pub(in crate::domain::graph) fn note(&self, shown: Shown, disturbed: &mut Disturbed) {
        if shown.is_new {
            disturbed.fresh.push(shown.edge);
        } else if shown.is_earlier && self.edges[shown.edge as usize].flags & SUPPRESSED != 0 {
            // What is effective already makes no difference by coming earlier.
            disturbed.earlier.push(shown.edge);
        }
    }

    /// Who was seen with whom, for identifiers that can become hubs.
    fn gather_company(
        &mut self,
        origin: NodeIndex,
        nodes: &Nodes,
        by: Showing<'_>,
        mut company: Company,
        disturbed: &mut Disturbed,
    ) {
        let mut all: SmallVec<[NodeIndex; 8]> = nodes.identifiers.iter().copied().collect();
        all.extend(nodes.external);
        if !all.iter().any(|node| self.rule(*node).shared_by.is_some()) {
            return;
        }
        for (at, x) in all.iter().enumerate() {
            for y in &all[at + 1..] {
                let meets = |a: NodeIndex, b: NodeIndex| {
                    self.rule(a).shared_by.is_some() && self.rule(b).unique
                };
                let is_star = *x == origin || *y == origin;
                if x != y && !is_star && (meets(*x, *y) || meets(*y, *x)) {
                    let shown = self.show(*x, *y, SEEN, by);
                    self.meet_in((*x, *y), shown, &mut company);
                }
            }
        }
        for node in all.iter().filter(|node| company.contains(node)) {
            self.check_hub(*node, disturbed);
        }
    }

    pub(in crate::domain::graph) fn check_hub(
        &mut self,
        node: NodeIndex,
        disturbed: &mut Disturbed,
    ) {
        if self.rule(node).shared_by.is_none() && !self.is_hub(node) {
            return;
        }
        let members: SmallVec<[NodeIndex; 8]> = self.members(self.cluster_of(node)).collect();
        let profile = self.lead_of_node(node);
        if !self.refresh_hub(node) {
            return;
        }
        disturbed.seeds.extend(members);
        // Neighbours in other clusters were kept apart by suppressed edges to it, which now take no
        // part (or take part again).
        let around: SmallVec<[(EdgeIndex, NodeIndex); 8]> = self.edges_of(node).collect();
        for (edge, other) in around {
            self.edges[edge as usize].flags &= !SUPPRESSED;
            self.dirty.mark(Touched::Edge(edge));
            disturbed.seeds.push(other);
        }
        let kind = if self.is_hub(node) { ChangeKind::Quarantine } else { ChangeKind::Release };
        disturbed.changes.push(Change {
            kind,
            profile,
            others: Vec::new(),
            identifier: Some(self.name_of(node)),
            reason: Some("hub"),
        });
    }
}

/// Nodes of an event that may have become hubs by it.
type Company = SmallVec<[NodeIndex; 8]>;

/// The nodes of one event.
struct Nodes {
    external: Option<NodeIndex>,
    session: Option<NodeIndex>,
    /// In the order of the event's identifiers.
    identifiers: SmallVec<[NodeIndex; 4]>,
}

fn short_hash(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex.get(..16)?, 16).ok()
}
