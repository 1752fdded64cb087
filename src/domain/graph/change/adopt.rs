//! Other rules for evidence that is there already, where the events behind it can no longer be read.
//!
//! Clusters are a function of evidence and rules, and the evidence is all here, suppressed or not. So
//! what a rule says about it (unique, limits, hubs, priorities, the cap) takes effect exactly. What
//! only reading events again would tell (another normaliser, values that are blocked now) does not.

use crate::domain::graph::effects::{Before, Disturbed, Effects};
use crate::domain::graph::ids::NodeIndex;
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::FREE;
use crate::domain::rules::Rules;
use std::sync::Arc;

impl Graph {
    /// Puts rules in force that touch identity, and settles the present evidence under them.
    pub fn adopt(&mut self, rules: Arc<Rules>) -> Effects {
        let (flags, limits) = (self.flags.clone(), self.rules.limits);
        self.set_rules(rules);
        let is_limit_other = limits != self.rules.limits;
        let mut disturbed = Disturbed::default();
        let all = 0..self.nodes.len() as NodeIndex;
        for node in
            all.filter(|node| self.nodes[*node as usize].flags & FREE == 0).collect::<Vec<_>>()
        {
            let kind = self.nodes[node as usize].kind as usize;
            if is_limit_other || flags.get(kind) != self.flags.get(kind) {
                disturbed.seeds.push(node);
            }
            self.check_hub(node, &mut disturbed);
        }
        let mut before = Before::default();
        let refused = self.rebuild(&disturbed.seeds, None, &mut before);
        let mut effects = self.compare(&before, None, true);
        effects.changes.extend(refused.into_iter().map(|(edge, why)| self.refusal(edge, why)));
        effects.changes.append(&mut disturbed.changes);
        effects
    }
}
