//! What a draft starts from, gathered while the state goes on serving.
//!
//! A million fragments are too many for one go: all who are served would wait for it. So a thread in
//! the background asks the identity actor for a part at a time, and between two parts events are
//! served. What they change of parts that were taken is witnessed and taken again, until nothing is
//! left: the last part makes the whole what it is at that moment.

use crate::domain::graph::{Ancestry, FragmentIndex, NONE};
use crate::engine::history::basis::{Basis, Changed, Gathered, lock};
use crate::engine::identity::actor::{Ask, IdentityActor};
use actix::Addr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Fragments looked at in one go: a fraction of a millisecond.
pub(in crate::engine) const PART: usize = 1_024;

/// One go.
struct Part {
    /// Which graph it is of: a re-resolution replaces every fragment.
    epoch: u64,
    ancestry: Ancestry,
    holders: Vec<FragmentIndex>,
    /// Fragments of earlier parts, with who holds them now.
    again: Vec<(FragmentIndex, FragmentIndex)>,
    /// The rest, when nothing is missing any more.
    basis: Option<Basis>,
}

impl IdentityActor {
    fn part(&mut self, from: usize, most: usize, changed: &Arc<Changed>) -> Part {
        if Arc::weak_count(changed) == 0 {
            self.gatherings.0.push(Arc::downgrade(changed));
        }
        let graph = &self.core.graph;
        let ancestry = graph.ancestry(from, most);
        let upto = from + ancestry.len();
        let holders = (from..upto).map(|at| graph.holder(at as FragmentIndex)).collect();
        let mut waiting = lock(changed);
        let mut again = Vec::new();
        while again.len() < most
            && let Some(fragment) = waiting.pop_first()
        {
            if (fragment as usize) < from {
                again.push((fragment, graph.holder(fragment)));
            }
        }
        let is_whole = waiting.is_empty() && upto == graph.fragment_count();
        Part {
            epoch: self.shared.rest.epoch(),
            ancestry,
            holders,
            again,
            basis: is_whole.then(|| Basis::without_fragments(&self.core)),
        }
    }
}

/// Gathers, part by part; for a thread of its own. `None` when the engine stops meanwhile.
pub(in crate::engine) fn gather(identity: &Addr<IdentityActor>) -> Option<Gathered> {
    let mut gathering = Gathering::default();
    loop {
        let part = ask(identity, gathering.next(PART))?;
        if let Some(gathered) = gathering.take(part) {
            return Some(gathered);
        }
    }
}

/// What was gathered so far.
#[derive(Default)]
struct Gathering {
    changed: Arc<Changed>,
    epoch: Option<u64>,
    ancestry: Ancestry,
    holders: Vec<FragmentIndex>,
}

impl Gathering {
    /// The question for the next part, of at most so many fragments.
    fn next(&self, most: usize) -> impl FnOnce(&mut IdentityActor) -> Part + Send + use<> {
        let (from, changed) = (self.holders.len(), Arc::clone(&self.changed));
        move |identity| identity.part(from, most, &changed)
    }

    /// Takes a part, and returns the whole if it was the last one.
    fn take(&mut self, part: Part) -> Option<Gathered> {
        if self.epoch.is_some_and(|epoch| epoch != part.epoch) {
            *self = Self::default();
            return None;
        }
        self.epoch = Some(part.epoch);
        self.ancestry.append(part.ancestry);
        self.holders.extend(part.holders);
        for (fragment, holder) in part.again {
            self.holders[fragment as usize] = holder;
            if holder == NONE {
                self.ancestry.orphan(fragment as usize);
            }
        }
        let basis = part.basis?;
        let ancestry = std::mem::take(&mut self.ancestry);
        Some(Gathered {
            basis: Basis { ancestry, ..basis },
            holders: std::mem::take(&mut self.holders),
            changed: std::mem::take(&mut self.changed),
        })
    }
}

/// Asks the identity actor from a thread without actors. `None` when it has stopped.
pub(in crate::engine) fn ask<T: Send + 'static>(
    identity: &Addr<IdentityActor>,
    question: impl FnOnce(&mut IdentityActor) -> T + Send + 'static,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    // BOUND: one at a time, and each waits for its answer.
    identity.do_send(Ask(Box::new(move |identity, _| drop(reply.send(question(identity))))));
    answer.blocking_recv().ok()
}

#[cfg(test)]
mod tests;
