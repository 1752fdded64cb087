//! The edge table: one row per distinct pair, found from the end with fewer edges.

use crate::domain::graph::ids::{EdgeIndex, NONE, NodeIndex};
use crate::domain::graph::tables::crowd::{MANY, lane_of};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{
    ALIAS, CHOSEN, Edge, GONE, IN_SESSION, LINK, MUST, SEEN, ShortSequence, ShortTime, WITHDRAWN,
    WITHDRAWN_IN_SESSION, WITHDRAWN_SEEN,
};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;

/// An event's word that two identifiers belong together.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::graph) struct Showing<'a> {
    pub(in crate::domain::graph) at: Timestamp,
    pub(in crate::domain::graph) sequence: Sequence,
    /// The identification point and the source, where it was an event.
    pub(in crate::domain::graph) point: Option<&'a str>,
    pub(in crate::domain::graph) source: Option<&'a str>,
}

/// What a showing changed about an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::graph) struct Shown {
    pub(in crate::domain::graph) edge: EdgeIndex,
    /// The edge is new.
    pub(in crate::domain::graph) is_new: bool,
    /// It comes earlier in the order of edges: by its earliest event time, or by what it is.
    pub(in crate::domain::graph) is_earlier: bool,
    /// Its ends were not known to come up in one event before.
    pub(in crate::domain::graph) is_company: bool,
}

/// What stays of an edge of which all evidence was withdrawn.
fn trace_of(lane: u16) -> u16 {
    match lane {
        IN_SESSION => WITHDRAWN_IN_SESSION,
        SEEN => WITHDRAWN_SEEN,
        _ => WITHDRAWN,
    }
}

/// Whatever speaks for an edge.
const EVIDENCE: u16 = LINK | SEEN | IN_SESSION | ALIAS | MUST;

impl Graph {
    /// The edge of a lane between two nodes; walks both lists in step, so the shorter one decides the
    /// cost, and asks the index where both are long.
    pub(in crate::domain::graph) fn edge_between(
        &self,
        a: NodeIndex,
        b: NodeIndex,
        lane: u16,
    ) -> Option<EdgeIndex> {
        let fits = |edge: EdgeIndex| lane_of(self.edges[edge as usize].flags) == lane;
        let mut left = self.edges_of(a);
        let mut right = self.edges_of(b);
        for step in 0.. {
            if step == MANY && self.crowd.holds(a, b) {
                return self.crowd.edge(a, b, lane);
            }
            let (edge, other) = left.next()?;
            if other == b && fits(edge) {
                return Some(edge);
            }
            let (edge, other) = right.next()?;
            if other == a && fits(edge) {
                return Some(edge);
            }
        }
        None
    }

    /// Records that an event (or an operator) showed `a` and `b` together.
    pub(in crate::domain::graph) fn show(
        &mut self,
        a: NodeIndex,
        b: NodeIndex,
        flag: u16,
        by: Showing<'_>,
    ) -> Shown {
        let is_company = flag & (LINK | SEEN) != 0;
        let new = |edge| Shown { edge, is_new: true, is_earlier: false, is_company };
        let Some(edge) = self.edge_between(a, b, lane_of(flag)) else {
            return new(self.new_edge(a, b, flag, by));
        };
        if !self.is_evidence(edge) {
            self.renew(edge, flag, by);
            return new(edge);
        }
        let is_older = by.at < self.edges[edge as usize].first_at.get();
        let (source, point) = if is_older { self.numbers(by) } else { (0, 0) };
        let row = &mut self.edges[edge as usize];
        let moves_ahead = flag & (MUST | ALIAS) & !row.flags != 0;
        let is_company = flag & (LINK | SEEN) & !row.flags != 0;
        row.flags |= flag;
        if is_older {
            row.first_at = ShortTime::of(by.at);
            row.first_event = ShortSequence::of(by.sequence);
            (row.source, row.point) = (source, point);
        }
        row.last_event = ShortSequence::of(by.sequence);
        row.count = row.count.saturating_add(1);
        self.dirty.mark(Touched::Edge(edge));
        Shown { edge, is_new: false, is_earlier: is_older || moves_ahead, is_company }
    }

    /// Has a trace be evidence: what was withdrawn says nothing about when the pair is shown again.
    fn renew(&mut self, edge: EdgeIndex, flags: u16, by: Showing<'_>) {
        let (source, point) = self.numbers(by);
        let row = &mut self.edges[edge as usize];
        row.first_at = ShortTime::of(by.at);
        row.first_event = ShortSequence::of(by.sequence);
        row.last_event = ShortSequence::of(by.sequence);
        (row.count, row.flags) = (1, flags);
        (row.source, row.point) = (source, point);
        self.dirty.mark(Touched::Edge(edge));
    }

    fn new_edge(&mut self, x: NodeIndex, y: NodeIndex, flags: u16, by: Showing<'_>) -> EdgeIndex {
        let (a, b) = (x.min(y), x.max(y));
        let (source, point) = self.numbers(by);
        let row = Edge {
            a,
            b,
            next_a: NONE,
            next_b: NONE,
            first_at: ShortTime::of(by.at),
            first_event: ShortSequence::of(by.sequence),
            last_event: ShortSequence::of(by.sequence),
            count: 1,
            point,
            source,
            flags,
        };
        let edge = match self.free_edges.pop() {
            Some(free) => {
                self.edges[free as usize] = row;
                free
            }
            None => {
                self.edges.push(row);
                (self.edges.len() - 1) as EdgeIndex
            }
        };
        self.attach(edge);
        self.dirty.mark(Touched::Edge(edge));
        edge
    }

    /// The numbers of source and point; 0 where it was no event.
    fn numbers(&mut self, by: Showing<'_>) -> (u16, u16) {
        let mut number = |name: Option<&str>| name.map_or(0, |name| self.names.number(name));
        (number(by.source), number(by.point))
    }

    /// Puts an edge at the head of the lists of both its ends.
    pub(in crate::domain::graph) fn attach(&mut self, edge: EdgeIndex) {
        let (a, b) = (self.edges[edge as usize].a, self.edges[edge as usize].b);
        let (head_a, head_b) = (self.nodes[a as usize].edges, self.nodes[b as usize].edges);
        let row = &mut self.edges[edge as usize];
        (row.next_a, row.next_b) = (head_a, head_b);
        self.nodes[a as usize].edges = edge;
        self.nodes[b as usize].edges = edge;
        self.crowd_in(edge);
    }

    /// Puts an edge of a node, which lies behind `before` in the list, at the head of it.
    pub(in crate::domain::graph) fn bring_forward(
        &mut self,
        node: NodeIndex,
        before: EdgeIndex,
        edge: EdgeIndex,
    ) {
        let head = std::mem::replace(&mut self.nodes[node as usize].edges, edge);
        let row = &mut self.edges[edge as usize];
        let next = if row.a == node { &mut row.next_a } else { &mut row.next_b };
        let after = std::mem::replace(next, head);
        let row = &mut self.edges[before as usize];
        let next = if row.a == node { &mut row.next_a } else { &mut row.next_b };
        *next = after;
    }

    /// Takes what events showed off an edge; where nothing else speaks for it, a trace stays.
    pub(in crate::domain::graph) fn withdraw_shown(&mut self, edge: EdgeIndex) {
        let row = &mut self.edges[edge as usize];
        let lane = lane_of(row.flags);
        row.flags &= !(LINK | SEEN | IN_SESSION | CHOSEN);
        if row.flags & EVIDENCE == 0 {
            row.flags = trace_of(lane);
        }
        self.dirty.mark(Touched::Edge(edge));
    }

    /// Whether something speaks for an edge still.
    pub(in crate::domain::graph) fn is_evidence(&self, edge: EdgeIndex) -> bool {
        self.edges[edge as usize].flags & EVIDENCE != 0
    }

    /// Takes kinds of evidence off an edge, and the edge itself once nothing speaks for it.
    pub(in crate::domain::graph) fn withdraw(&mut self, edge: EdgeIndex, flags: u16) {
        let row = &mut self.edges[edge as usize];
        self.dirty.mark(Touched::Edge(edge));
        if row.flags & EVIDENCE & !flags != 0 {
            row.flags &= !flags;
            return;
        }
        self.crowd_out(edge);
        let row = &mut self.edges[edge as usize];
        row.flags = GONE;
        let (a, b) = (row.a, row.b);
        self.detach(edge, a);
        self.detach(edge, b);
        self.free_edges.push(edge);
    }

    fn detach(&mut self, edge: EdgeIndex, node: NodeIndex) {
        let next_of = |row: &Edge| if row.a == node { row.next_a } else { row.next_b };
        let after = next_of(&self.edges[edge as usize]);
        let mut at = self.nodes[node as usize].edges;
        if at == edge {
            self.nodes[node as usize].edges = after;
            return;
        }
        while at != NONE {
            let row = &mut self.edges[at as usize];
            let next = if row.a == node { &mut row.next_a } else { &mut row.next_b };
            if *next == edge {
                *next = after;
                return;
            }
            at = *next;
        }
    }
}
