//! Whether there is room for somebody new.

use crate::domain::event::{Event, Standing};
use crate::domain::graph::ids::{NodeIndex, SESSION};
use crate::domain::graph::tables::graph::Graph;

/// Identifiers, sessions and origins for each profile that there may be.
const NODES: usize = 8;

impl Graph {
    /// Whether an event may be taken in under `limits.profiles`. One of somebody who is there may, as
    /// long as what it names fits too; one that begins a fragment may where there are fewer profiles,
    /// or where it names somebody who is there.
    pub fn has_room_for(&self, event: &Event) -> bool {
        let most = self.rules.limits.profiles as usize;
        let is_full = self.profiles >= most as u64;
        let most_nodes = most.saturating_mul(NODES);
        let named = 1 + event.identifiers.len() + usize::from(event.session.is_some());
        let is_crowded = self.node_count().saturating_add(named) > most_nodes;
        if !is_full && !is_crowded {
            return true;
        }
        let known = |kind: &str, value: &str| self.identifier(kind, value);
        let external = event.external.as_ref().map(|one| known(&one.kind, &one.value));
        let session = event.session.as_deref().map(|id| self.find(SESSION, id));
        let identifiers = || event.identifiers.iter().map(|one| known(&one.kind, &one.value));
        let all = || external.into_iter().chain(session).chain(identifiers());
        if is_crowded && (all().any(|node| node.is_none()) || event.standing == Standing::Anonymous)
        {
            return false;
        }
        let has_profile = |node: NodeIndex| self.lead_of_node(node).is_some();
        // What names nobody at all is on no profile.
        let is_nobody = all().next().is_none() && event.standing != Standing::Anonymous;
        !is_full || is_nobody || all().flatten().any(has_profile)
    }
}
