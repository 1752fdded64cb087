//! Types of identifiers by number, with what the rules say of them.

use crate::domain::graph::ids::{ANONYMOUS, NodeIndex};
use crate::domain::graph::tables::graph::Graph;
use crate::domain::graph::tables::row::{Mail, TypeFlags};
use crate::domain::settings::{Limit, Per};
use crate::domain::time::Timestamp;

impl Graph {
    pub(in crate::domain::graph) fn type_number(&mut self, kind: &str) -> u16 {
        let number = self.types.number(kind);
        if number as usize >= self.flags.len() {
            self.refresh_flags();
        }
        number
    }

    pub(in crate::domain::graph) fn refresh_flags(&mut self) {
        for number in self.flags.len()..self.types.len() {
            let name = self.types.name(number as u16);
            let reserved = number as u16 <= ANONYMOUS;
            let rule = self.rules.of(name);
            self.flags.push(TypeFlags {
                priority: if reserved { 0 } else { rule.priority.saturating_add(1) },
                unique: rule.unique && !reserved,
                limit: rule.limit.filter(|_| !reserved),
                shared_by: rule.shared_by.filter(|_| !reserved),
                known: rule.known && !reserved,
                counted: !reserved && name != "email_sha256",
                mail: match name {
                    "email" => Mail::Clear,
                    "email_sha256" => Mail::Hash,
                    _ => Mail::No,
                },
            });
        }
    }

    pub(in crate::domain::graph) fn rule(&self, node: NodeIndex) -> &TypeFlags {
        &self.flags[self.nodes[node as usize].kind as usize]
    }

    /// The window in which an identifier counts for its type's limit.
    pub(in crate::domain::graph) fn window(limit: Limit, first_seen: Timestamp) -> i32 {
        let at = first_seen.utc();
        match limit.per {
            Per::Ever => 0,
            Per::Year => at.year(),
            Per::Month => at.year() * 12 + i32::from(u8::from(at.month())),
            Per::Week => {
                let (year, week, _) = at.to_iso_week_date();
                year * 53 + i32::from(week)
            }
        }
    }
}
