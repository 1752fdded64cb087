//! What a session joins: the external ID that appeared in it earliest.

use crate::domain::graph::effects::Disturbed;
use crate::domain::graph::ids::{EdgeIndex, NONE, NodeIndex};
use crate::domain::graph::tables::dirty::Touched;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{CHOSEN, IN_SESSION, SUPPRESSED};
use crate::domain::time::Timestamp;

impl Graph {
    /// Lets a session join the external ID that appeared in it earliest, and none other.
    pub(in crate::domain::graph) fn choose_in_session(
        &mut self,
        session: NodeIndex,
    ) -> Option<[EdgeIndex; 2]> {
        let mut chosen = NONE;
        let mut best: Option<(Timestamp, String, EdgeIndex)> = None;
        for (edge, other) in self.edges_of(session) {
            let row = &self.edges[edge as usize];
            if row.flags & CHOSEN != 0 {
                chosen = edge;
            }
            if row.flags & IN_SESSION != 0 {
                let candidate = (row.first_at.get(), self.name_of(other), edge);
                if best.as_ref().is_none_or(|known| candidate < *known) {
                    best = Some(candidate);
                }
            }
        }
        let winner = best.map_or(NONE, |(_, _, edge)| edge);
        (winner != chosen).then(|| self.exchange([chosen, winner]))
    }

    /// Lets a session join by another edge than it did.
    fn exchange(&mut self, [chosen, winner]: [EdgeIndex; 2]) -> [EdgeIndex; 2] {
        for edge in [chosen, winner] {
            if edge != NONE {
                self.edges[edge as usize].flags ^= CHOSEN;
                self.edges[edge as usize].flags &= !SUPPRESSED;
                self.dirty.mark(Touched::Edge(edge));
            }
        }
        [chosen, winner]
    }

    /// Has a session choose between what it has chosen and an edge that came, or came earlier. Answers
    /// whether the choice changed. What is chosen is kept near the head of the session's edges, so that
    /// a session which everybody shares costs no more than any other.
    pub(in crate::domain::graph) fn choose_between(
        &mut self,
        session: NodeIndex,
        edge: EdgeIndex,
        disturbed: &mut Disturbed,
    ) -> bool {
        let is_chosen = |edge: EdgeIndex| self.edges[edge as usize].flags & CHOSEN != 0;
        let (mut before, mut chosen) = (NONE, NONE);
        for (one, _) in self.edges_of(session) {
            if is_chosen(one) {
                chosen = one;
                break;
            }
            before = one;
        }
        if chosen == NONE {
            return self.choose(session, disturbed);
        }
        if before != NONE {
            self.bring_forward(session, before, chosen);
        }
        let order = |edge: EdgeIndex| {
            let row = &self.edges[edge as usize];
            let other = if row.a == session { row.b } else { row.a };
            (row.first_at.get(), self.name_of(other), edge)
        };
        if edge == chosen || order(edge) > order(chosen) {
            return false;
        }
        let exchanged = self.exchange([chosen, edge]);
        self.disturb_by_choice(exchanged, disturbed);
        true
    }

    /// Has a session choose again; returns whether the choice changed.
    pub(in crate::domain::graph) fn choose(
        &mut self,
        session: NodeIndex,
        disturbed: &mut Disturbed,
    ) -> bool {
        let exchanged = self.choose_in_session(session);
        if let Some(exchanged) = exchanged {
            self.disturb_by_choice(exchanged, disturbed);
        }
        exchanged.is_some()
    }

    fn disturb_by_choice(&self, exchanged: [EdgeIndex; 2], disturbed: &mut Disturbed) {
        if let [NONE, winner] = exchanged {
            return disturbed.fresh.push(winner);
        }
        for edge in exchanged.into_iter().filter(|edge| *edge != NONE) {
            let row = &self.edges[edge as usize];
            disturbed.seeds.extend([row.a, row.b]);
        }
    }
}
