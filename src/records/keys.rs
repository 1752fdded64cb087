//! Under which key each row of a snapshot lies: every first byte, once.
//!
//! | key | row |
//! |---|---|
//! | `a` | genesis |
//! | `b` | configuration files' settings, objects by API (JSON) |
//! | `c` | counters |
//! | `d` + sequence | a run of event ids, the last of them seen at that sequence |
//! | `e` + page | edges · `n` + page: nodes · `o` + page: fragments' births · `x`: names · `y`: cannot-links |
//! | `f` + fragment | a fragment · `t` + fragment + number: a full chunk of its timeline |
//! | `g` + fragment | what campaigns left on it · `h` + campaign + sequence: a run as told |
//! | `i` + table + number | suppressions and erasures |
//! | `k` + number | an operator's link, or cut |
//! | `l` + bucket | events on no profile |
//! | `m` + number | changes of identity from that number on · `v` + bucket: events read again |
//! | `p` | disabled endpoints · `q` + number: deliveries from that number on |
//! | `r` + number | what a delivery sends · `s` + number + attempt: how one went · `u` + number: why it is over |

/// The folder's keys.
pub const GENESIS: u8 = b'a';
/// The settings of files, and objects by API.
pub const CONFIGURATION: u8 = b'b';
/// Counters.
pub const COUNTERS: u8 = b'c';
/// Runs of event ids.
pub const EVENT_IDS: u8 = b'd';
/// Pages of edges.
pub const EDGES: u8 = b'e';
/// Fragments.
pub const FRAGMENT: u8 = b'f';
/// What campaigns left on a fragment.
pub const RUNS: u8 = b'g';
/// Runs as they are told.
pub const TOLD_RUN: u8 = b'h';
/// Tables about erasures.
pub const ERASURES: u8 = b'i';
/// Operators' links and cuts.
pub const LINK: u8 = b'k';
/// Events on no profile.
pub const LOOSE: u8 = b'l';
/// Changes of identity.
pub const CHANGES: u8 = b'm';
/// Pages of nodes.
pub const NODES: u8 = b'n';
/// Pages of fragments' births.
pub const BIRTHS: u8 = b'o';
/// Disabled endpoints.
pub const DISABLED: u8 = b'p';
/// Pages of deliveries.
pub const DELIVERIES: u8 = b'q';
/// What a delivery sends.
pub const RENDERED: u8 = b'r';
/// How an attempt went.
pub const ATTEMPT: u8 = b's';
/// Full chunks of timelines.
pub const CHUNK: u8 = b't';
/// Why a delivery is over.
pub const REASON: u8 = b'u';
/// Events that were read again.
pub const REVISIONS: u8 = b'v';
/// Names of types, points and sources.
pub const NAMES: u8 = b'x';
/// Pairs that are kept apart.
pub const APART: u8 = b'y';

/// All of them, in the order of the keys.
pub const ALL: &[u8] = &[
    GENESIS,
    CONFIGURATION,
    COUNTERS,
    EVENT_IDS,
    EDGES,
    FRAGMENT,
    RUNS,
    TOLD_RUN,
    ERASURES,
    LINK,
    LOOSE,
    CHANGES,
    NODES,
    BIRTHS,
    DISABLED,
    DELIVERIES,
    RENDERED,
    ATTEMPT,
    CHUNK,
    REASON,
    REVISIONS,
    NAMES,
    APART,
];

/// The key of a row that is told from others of its kind by a number.
pub fn numbered(prefix: u8, number: u64) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// What sort of thing the row of a snapshot under this key is, in the plural.
pub fn row_kind(key: &[u8]) -> &'static str {
    match key.first().copied() {
        Some(GENESIS | CONFIGURATION | COUNTERS) => "configuration",
        Some(EVENT_IDS) => "event ids",
        Some(EDGES | NODES | BIRTHS | NAMES | APART) => "identity pages",
        Some(FRAGMENT) => "fragments",
        Some(RUNS | TOLD_RUN | DISABLED | DELIVERIES | RENDERED | ATTEMPT | REASON) => {
            "runs and deliveries"
        }
        Some(CHUNK) => "timeline chunks",
        Some(LOOSE) => "loose events",
        Some(CHANGES) => "changes",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_first_bytes_differ_and_ascend() {
        assert!(ALL.is_sorted_by(|a, b| a < b));
    }
}
