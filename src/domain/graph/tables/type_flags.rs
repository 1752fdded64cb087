//! Types of identifiers by number, with what the rules say of them.

use crate::domain::graph::{ANONYMOUS, Graph, NodeIndex};
use crate::domain::settings::{Limit, Per};
use crate::domain::time::Timestamp;

/// What a type's rule says, by the number of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::domain::graph) struct TypeFlags {
    pub(in crate::domain::graph) priority: u32,
    pub(in crate::domain::graph) unique: bool,
    pub(in crate::domain::graph) limit: Option<Limit>,
    pub(in crate::domain::graph) shared_by: Option<u32>,
    pub(in crate::domain::graph) known: bool,
    /// Whether the cap of identifiers counts it.
    pub(in crate::domain::graph) counted: bool,
    pub(in crate::domain::graph) mail: Mail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::graph) enum Mail {
    No,
    Clear,
    Hash,
}

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
