//! One event's way through the graph: its fragment, its evidence, and what follows for profiles.

use super::evidence::Showing;
use super::link::Obstacle;
use super::rows::Touched;
use super::{
    ALIAS, ANONYMOUS, Birth, CHOSEN, EdgeIndex, FragmentIndex, Graph, IN_SESSION, LINK, Mail, NONE,
    NodeIndex, OVERFLOW, SEEN, SESSION, SUPPRESSED,
};
use crate::domain::event::{Event, Found, Standing};
use crate::domain::id::Sequence;
use crate::domain::normalise::email_hash;
use crate::domain::time::{MIN, Timestamp};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// A fragment that goes from one profile to another; profiles go by their leading fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// What moves.
    pub fragment: FragmentIndex,
    /// The profile that had it.
    pub from: FragmentIndex,
    /// The profile that has it now.
    pub to: FragmentIndex,
}

/// Something about identity that changed, for the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `merge`, `unmerge`, `refusal`, `quarantine` or `release`.
    pub kind: &'static str,
    /// The profile that it happened to; none where a node has no profile.
    pub profile: Option<FragmentIndex>,
    /// The profiles that joined it, or left it.
    pub others: Vec<FragmentIndex>,
    /// The identifier at fault.
    pub identifier: Option<String>,
    /// The rule at work.
    pub reason: Option<&'static str>,
}

/// What follows for the profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Fragments that change hands, in the order of their numbers.
    pub moves: Vec<Move>,
    /// For the change log, in order.
    pub changes: Vec<Change>,
}

/// What the graph made of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The fragment that it belongs to; none when nothing identifies anyone.
    pub fragment: Option<FragmentIndex>,
    /// Whether the event made the fragment.
    pub is_new: bool,
    /// The profile that holds it after all that follows.
    pub profile: Option<FragmentIndex>,
    /// What follows for the profiles.
    pub effects: Effects,
}

/// Which profile held a fragment before, for the fragments that may have moved.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) leads: HashMap<FragmentIndex, FragmentIndex, foldhash::fast::FixedState>,
}

impl Before {
    pub(super) fn note(&mut self, fragment: FragmentIndex, lead: FragmentIndex) {
        self.leads.entry(fragment).or_insert(lead);
    }
}

/// The structure that an event disturbs, gathered before anything is decided.
#[derive(Debug, Default)]
pub(super) struct Disturbed {
    /// Edges that may link.
    pub(super) fresh: SmallVec<[EdgeIndex; 8]>,
    /// Nodes around which the quick path will not do.
    pub(super) seeds: SmallVec<[NodeIndex; 8]>,
    pub(super) changes: Vec<Change>,
}

impl Graph {
    /// Takes an event's evidence in and answers where the event belongs and what follows.
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
        Observed { fragment: Some(fragment), is_new, profile: Some(self.lead(fragment)), effects }
    }

    /// The nodes of an event: the external ID's, the session's, and the identifiers'.
    fn nodes_of(&mut self, event: &Event, disturbed: &mut Disturbed) -> Nodes {
        let at = event.occurred_at;
        let external = event.external.as_ref().map(|found| self.meet(found, at, disturbed));
        let session = event.session.as_deref().map(|id| {
            let node = self.node(SESSION, id);
            self.seen_at(node, at);
            node
        });
        let identifiers =
            event.identifiers.iter().map(|found| self.meet(found, at, disturbed)).collect();
        Nodes { external, session, identifiers }
    }

    fn meet(&mut self, found: &Found, at: Timestamp, disturbed: &mut Disturbed) -> NodeIndex {
        let kind = self.type_number(&found.kind);
        let node = self.identifier_node(kind, &found.value, &mut disturbed.fresh);
        let limit = self.rule(node).limit;
        let was = self.nodes[node as usize].first_seen;
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
    pub(super) fn identifier_node(
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
        let by = Showing { at: MIN, sequence: 0, point: 0, source: 0 };
        Some(self.show(node, other, ALIAS, by).edge)
    }

    fn seen_at(&mut self, node: NodeIndex, at: Timestamp) {
        let row = &mut self.nodes[node as usize];
        let (first, last) = (row.first_seen.min(at), row.last_seen.max(at));
        if (first, last) != (row.first_seen, row.last_seen) {
            (row.first_seen, row.last_seen) = (first, last);
            self.dirty.mark(Touched::Node(node));
        }
    }

    /// Keeps the latest spelling, where it differs from the canonical value.
    fn keep_spelling(&mut self, node: NodeIndex, found: &Found, at: Timestamp) {
        let latest = at >= self.nodes[node as usize].last_seen;
        match &found.raw {
            Some(raw) => {
                let known = self.raw.get(&node);
                if known.is_none_or(|(since, text)| (at, raw) > (*since, text)) {
                    self.raw.insert(node, (at, raw.clone()));
                    self.dirty.mark(Touched::Node(node));
                }
            }
            None if latest && self.raw.remove(&node).is_some() => {
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
        self.fragments.push(Birth { node, sequence, made_at, generation, received_at });
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
        let source = self.names.number(&event.source);
        let mut by = Showing { at: event.occurred_at, sequence, point: 0, source };
        for (node, found) in nodes.identifiers.iter().zip(&event.identifiers) {
            if *node != origin {
                by.point = self.names.number(&found.point);
                let shown = self.show(origin, *node, LINK, by);
                self.note(shown, disturbed);
            }
        }
        by.point = 0;
        if let (Some(external), Some(session)) = (nodes.external, nodes.session) {
            let shown = self.show(session, external, IN_SESSION, by);
            if shown.is_new || shown.is_earlier {
                self.choose(session, disturbed);
            }
        }
        self.gather_company(origin, nodes, by, disturbed);
    }

    fn note(&self, shown: super::evidence::Shown, disturbed: &mut Disturbed) {
        if shown.is_new {
            disturbed.fresh.push(shown.edge);
        } else if shown.is_earlier {
            // An earlier time only matters where the order of edges does: beside suppressed ones.
            let row = &self.edges[shown.edge as usize];
            if self.clusters[self.cluster_of(row.a) as usize].dirty
                || self.clusters[self.cluster_of(row.b) as usize].dirty
            {
                disturbed.seeds.push(row.a);
                disturbed.seeds.push(row.b);
            }
        }
    }

    /// Lets a session join the external ID that appeared in it earliest, and none other.
    pub(super) fn choose_in_session(&mut self, session: NodeIndex) -> Option<[EdgeIndex; 2]> {
        let mut chosen = NONE;
        let mut best: Option<(Timestamp, String, EdgeIndex)> = None;
        for (edge, other) in self.edges_of(session) {
            let row = &self.edges[edge as usize];
            if row.flags & CHOSEN != 0 {
                chosen = edge;
            }
            if row.flags & IN_SESSION != 0 {
                let candidate = (row.first_at, self.name_of(other), edge);
                if best.as_ref().is_none_or(|known| candidate < *known) {
                    best = Some(candidate);
                }
            }
        }
        let winner = best.map_or(NONE, |(_, _, edge)| edge);
        if winner == chosen {
            return None;
        }
        for edge in [chosen, winner] {
            if edge != NONE {
                self.edges[edge as usize].flags ^= CHOSEN;
                self.edges[edge as usize].flags &= !SUPPRESSED;
                self.dirty.mark(Touched::Edge(edge));
            }
        }
        Some([chosen, winner])
    }

    pub(super) fn choose(&mut self, session: NodeIndex, disturbed: &mut Disturbed) {
        match self.choose_in_session(session) {
            None => {
                if self.clusters[self.cluster_of(session) as usize].dirty {
                    disturbed.seeds.push(session);
                }
            }
            Some([NONE, winner]) => disturbed.fresh.push(winner),
            Some([loser, winner]) => {
                for edge in [loser, winner] {
                    if edge != NONE {
                        let row = &self.edges[edge as usize];
                        disturbed.seeds.extend([row.a, row.b]);
                    }
                }
            }
        }
    }

    /// Who was seen with whom, for identifiers that can become hubs.
    fn gather_company(
        &mut self,
        origin: NodeIndex,
        nodes: &Nodes,
        by: Showing,
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
                    self.show(*x, *y, SEEN, by);
                }
            }
        }
        for node in all {
            self.check_hub(node, disturbed);
        }
    }

    pub(super) fn check_hub(&mut self, node: NodeIndex, disturbed: &mut Disturbed) {
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
        // part (or take part anew).
        let around: SmallVec<[(EdgeIndex, NodeIndex); 8]> = self.edges_of(node).collect();
        for (edge, other) in around {
            self.edges[edge as usize].flags &= !SUPPRESSED;
            self.dirty.mark(Touched::Edge(edge));
            disturbed.seeds.push(other);
        }
        let kind = if self.is_hub(node) { "quarantine" } else { "release" };
        disturbed.changes.push(Change {
            kind,
            profile,
            others: Vec::new(),
            identifier: Some(self.name_of(node)),
            reason: Some("hub"),
        });
    }

    /// Brings the clusters in line with the evidence, by the quick path where it will do.
    pub(super) fn settle(
        &mut self,
        mut disturbed: Disturbed,
        fragment: Option<FragmentIndex>,
        before: &mut Before,
        is_new: bool,
    ) -> Effects {
        let mut refused = Vec::new();
        for edge in disturbed.fresh.clone() {
            if let Err(obstacle) = self.quick_link(edge, before) {
                match obstacle {
                    Some(obstacle) => refused.push((edge, obstacle)),
                    None => {
                        let row = &self.edges[edge as usize];
                        disturbed.seeds.extend([row.a, row.b]);
                    }
                }
            }
        }
        if !disturbed.seeds.is_empty() {
            refused.extend(self.rebuild(&disturbed.seeds, &disturbed.fresh, before));
        }
        if refused.is_empty() && before.leads.is_empty() {
            return Effects { moves: Vec::new(), changes: disturbed.changes };
        }
        if let (true, Some(fragment)) = (is_new, fragment) {
            before.leads.remove(&fragment);
        }
        let mut effects = self.compare(before, fragment, false);
        for (edge, obstacle) in refused {
            disturbed.changes.push(self.refusal(edge, obstacle));
        }
        effects.changes.append(&mut disturbed.changes);
        effects
    }

    /// Adds one edge where no rule stands against it and no suppressed evidence is near.
    /// `Err(None)` asks for a rebuild, `Err(Some(_))` refuses the edge for good.
    fn quick_link(&mut self, edge: EdgeIndex, before: &mut Before) -> Result<(), Option<Obstacle>> {
        if !self.is_active(edge) {
            return Ok(());
        }
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        let (x, y) = (self.cluster_of(a), self.cluster_of(b));
        let (left, right) = (&self.clusters[x as usize], &self.clusters[y as usize]);
        if left.dirty || right.dirty {
            return Err(None);
        }
        let within = left.edges + if x == y { 0 } else { right.edges };
        if within >= self.rules.limits.component {
            self.edges[edge as usize].flags |= OVERFLOW;
            return Err(Some(Obstacle::Component));
        }
        if x != y {
            if self.obstacle(x, y).is_some() {
                return Err(None);
            }
            self.note_losers(x, y, before);
            self.unite(x, y);
        }
        let cluster = self.cluster_of(a) as usize;
        self.clusters[cluster].edges += 1;
        Ok(())
    }

    /// Notes the fragments that a union moves: those on the side of the younger leader.
    fn note_losers(&self, x: u32, y: u32, before: &mut Before) {
        let (left, right) = (self.clusters[x as usize].lead, self.clusters[y as usize].lead);
        if left == NONE || right == NONE {
            return;
        }
        let losing = if self.older(left, right) == left { (y, right) } else { (x, left) };
        for node in self.members(losing.0) {
            if let Some(fragment) = self.fragment_of(node) {
                before.note(fragment, losing.1);
            }
        }
    }

    pub(super) fn refusal(&self, edge: EdgeIndex, obstacle: Obstacle) -> Change {
        let row = &self.edges[edge as usize];
        let (weaker, other) = match self.rule(row.a).priority > self.rule(row.b).priority {
            true => (row.a, row.b),
            false => (row.b, row.a),
        };
        Change {
            kind: "refusal",
            profile: self.lead_of_node(other).or_else(|| self.lead_of_node(weaker)),
            others: Vec::new(),
            identifier: Some(self.name_of(weaker)),
            reason: Some(obstacle.name()),
        }
    }
}

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
