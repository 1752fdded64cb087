//! The rows of the graph's tables, packed: they are what a million people cost.

use crate::domain::graph::ids::{
    ClusterIndex, EdgeIndex, FragmentIndex, NONE, NodeIndex, RawIndex,
};
use crate::domain::id::Sequence;
use crate::domain::settings::Limit;
use crate::domain::time;
use crate::domain::time::Timestamp;

/// A moment in 48 bits, which reach to the year 6429. What lies after, and no event does, is kept
/// as [`time::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::graph) struct ShortTime([u16; 3]);

impl ShortTime {
    const MAX: i64 = (1 << 47) - 1;

    pub(in crate::domain::graph) fn of(at: Timestamp) -> Self {
        let bits = at.0.clamp(time::MIN.0, Self::MAX);
        Self([bits as u16, (bits >> 16) as u16, (bits >> 32) as u16])
    }

    pub(in crate::domain::graph) fn get(self) -> Timestamp {
        let [low, mid, high] = self.0;
        let bits = i64::from(low) | i64::from(mid) << 16 | i64::from(high as i16) << 32;
        if bits == Self::MAX { time::MAX } else { Timestamp(bits) }
    }
}

/// A sequence in 48 bits: a million events a second fill it in nine years, a thousand never. The
/// greatest is read back as the greatest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::graph) struct ShortSequence([u16; 3]);

impl ShortSequence {
    const MAX: Sequence = (1 << 48) - 1;

    pub(in crate::domain::graph) fn of(sequence: Sequence) -> Self {
        let bits = sequence.min(Self::MAX);
        Self([bits as u16, (bits >> 16) as u16, (bits >> 32) as u16])
    }

    pub(in crate::domain::graph) fn get(self) -> Sequence {
        let [low, mid, high] = self.0.map(Sequence::from);
        let bits = low | mid << 16 | high << 32;
        if bits == Self::MAX { Sequence::MAX } else { bits }
    }
}

/// A fragment's [`Birth`], packed.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Fragment {
    /// Its origin; [`NONE`] once it is erased, or while it waits for an heir.
    pub(in crate::domain::graph) node: NodeIndex,
    pub(in crate::domain::graph) generation: u16,
    pub(in crate::domain::graph) sequence: ShortSequence,
    pub(in crate::domain::graph) made_at: ShortSequence,
    received_at: ShortTime,
}

impl From<Birth> for Fragment {
    fn from(birth: Birth) -> Self {
        Self {
            node: birth.node,
            generation: birth.generation,
            sequence: ShortSequence::of(birth.sequence),
            made_at: ShortSequence::of(birth.made_at),
            received_at: ShortTime::of(birth.received_at),
        }
    }
}

impl From<&Fragment> for Birth {
    fn from(row: &Fragment) -> Self {
        Self {
            node: row.node,
            sequence: row.sequence.get(),
            made_at: row.made_at.get(),
            generation: row.generation,
            received_at: row.received_at.get(),
        }
    }
}

/// An identifier, a session, or the origin of an anonymous event.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Node {
    /// Where its text lies: 40 bits of place, 16 of length.
    place_low: u32,
    place_high: u8,
    text_len: u16,
    /// Its type.
    pub(in crate::domain::graph) kind: u16,
    pub(in crate::domain::graph) flags: u8,
    pub(in crate::domain::graph) cluster: ClusterIndex,
    /// The next member of the cluster; the members form a ring.
    pub(in crate::domain::graph) next: NodeIndex,
    /// Head of the list of its edges.
    pub(in crate::domain::graph) edges: EdgeIndex,
    /// The fragment whose origin it is.
    pub(in crate::domain::graph) fragment: FragmentIndex,
    pub(in crate::domain::graph) first_seen: ShortTime,
    pub(in crate::domain::graph) last_seen: ShortTime,
}

/// The identifier is shared by too many people: it joins nobody.
pub(in crate::domain::graph) const HUB: u8 = 1;
/// A spelling of it is kept beside the canonical value.
pub(in crate::domain::graph) const SPELT: u8 = 1 << 1;
/// The row is free.
pub(in crate::domain::graph) const FREE: u8 = 1 << 7;

impl Node {
    /// A node that was never seen, on its own.
    pub(in crate::domain::graph) fn new(kind: u16, place: u64, text_len: u16) -> Self {
        Self {
            place_low: place as u32,
            place_high: (place >> 32) as u8,
            text_len,
            kind,
            flags: 0,
            cluster: NONE,
            next: NONE,
            edges: NONE,
            fragment: NONE,
            first_seen: ShortTime::of(time::MAX),
            last_seen: ShortTime::of(time::MIN),
        }
    }

    /// A free row.
    pub(in crate::domain::graph) fn free() -> Self {
        Self { flags: FREE, ..Self::new(0, 0, 0) }
    }

    /// Place and length of its text.
    pub(in crate::domain::graph) fn text(&self) -> (u64, usize) {
        let place = u64::from(self.place_low) | u64::from(self.place_high) << 32;
        (place, usize::from(self.text_len))
    }
}

/// Evidence that two nodes belong together, or were merely seen together.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Edge {
    /// The two ends, `a < b`.
    pub(in crate::domain::graph) a: NodeIndex,
    pub(in crate::domain::graph) b: NodeIndex,
    pub(in crate::domain::graph) next_a: EdgeIndex,
    pub(in crate::domain::graph) next_b: EdgeIndex,
    /// The earliest event time.
    pub(in crate::domain::graph) first_at: ShortTime,
    /// The event of that time (on a tie the first to arrive).
    pub(in crate::domain::graph) first_event: ShortSequence,
    /// The latest event to arrive that showed it.
    pub(in crate::domain::graph) last_event: ShortSequence,
    pub(in crate::domain::graph) count: u32,
    /// The identification point and source of the first event.
    pub(in crate::domain::graph) point: u16,
    pub(in crate::domain::graph) source: u16,
    pub(in crate::domain::graph) flags: u16,
}

/// Seen in one event, one of them the origin.
pub(in crate::domain::graph) const LINK: u16 = 1;
/// Seen in one event, neither the origin; counts for hubs only.
pub(in crate::domain::graph) const SEEN: u16 = 1 << 1;
/// An external ID that appeared in a session; only the earliest one counts ([`CHOSEN`]).
pub(in crate::domain::graph) const IN_SESSION: u16 = 1 << 2;
/// The external ID that its session's fragment joins.
pub(in crate::domain::graph) const CHOSEN: u16 = 1 << 3;
/// A mail and its SHA-256.
pub(in crate::domain::graph) const ALIAS: u16 = 1 << 4;
/// An operator's must-link.
pub(in crate::domain::graph) const MUST: u16 = 1 << 5;
/// Left out by the rebuild, because it would violate a rule.
pub(in crate::domain::graph) const SUPPRESSED: u16 = 1 << 6;
/// Refused for good, because the raw component is full.
pub(in crate::domain::graph) const OVERFLOW: u16 = 1 << 7;
/// Events showed the pair, but an operator withdrew that: no evidence, and yet a trace of whose
/// events spoke of whom, which an erasure must know. One for each lane of edges.
pub(in crate::domain::graph) const WITHDRAWN: u16 = 1 << 8;
pub(in crate::domain::graph) const WITHDRAWN_IN_SESSION: u16 = 1 << 9;
pub(in crate::domain::graph) const WITHDRAWN_SEEN: u16 = 1 << 10;
/// Not yet taken in: as if it were not there.
pub(in crate::domain::graph) const PENDING: u16 = 1 << 11;
/// Any of these makes two nodes one, where no rule stands against it.
pub(in crate::domain::graph) const LINKS: u16 = LINK | ALIAS | MUST | CHOSEN;
/// The row is free.
pub(in crate::domain::graph) const GONE: u16 = 1 << 15;

impl Edge {
    /// A free row.
    pub(in crate::domain::graph) fn free() -> Self {
        Self {
            a: NONE,
            b: NONE,
            next_a: NONE,
            next_b: NONE,
            first_at: ShortTime::of(Timestamp(0)),
            first_event: ShortSequence::of(0),
            last_event: ShortSequence::of(0),
            count: 0,
            point: 0,
            source: 0,
            flags: GONE,
        }
    }
}

/// A connected component of the effective evidence.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Cluster {
    /// Any member; the others follow in the ring.
    pub(in crate::domain::graph) head: NodeIndex,
    pub(in crate::domain::graph) size: u32,
    /// Members that the cap counts: without sessions, mail hashes and anonymous origins.
    pub(in crate::domain::graph) counted: u32,
    /// The oldest fragment, which gives the profile its id; [`NONE`] without a fragment.
    pub(in crate::domain::graph) lead: FragmentIndex,
    /// Active edges whose end `a` is within.
    pub(in crate::domain::graph) edges: u32,
    /// The raw component, where that is larger because a suppressed edge ends here; else [`NONE`].
    pub(in crate::domain::graph) raw: RawIndex,
}

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

/// When and by what a fragment came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its origin.
    pub node: NodeIndex,
    /// The first of its events, which its id names.
    pub sequence: Sequence,
    /// The journal record that made it: that event's, or a re-resolution's.
    pub made_at: Sequence,
    /// 0, or the number of the re-resolution that made it.
    pub generation: u16,
    /// When that event was received.
    pub received_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_small_as_promised() {
        assert_eq!([size_of::<Node>(), size_of::<Edge>()], [40, 44]);
        assert_eq!([size_of::<Cluster>(), size_of::<Fragment>()], [24, 24]);
    }

    #[test]
    fn what_is_packed_reads_back() {
        for at in [time::MIN, Timestamp(-1), Timestamp(0), Timestamp(ShortTime::MAX - 1), time::MAX]
        {
            assert_eq!(ShortTime::of(at).get(), at);
        }
        assert_eq!(ShortTime::of(Timestamp(ShortTime::MAX)).get(), time::MAX);
        for sequence in [0, 1, 0xFFFF_FFFF, ShortSequence::MAX - 1, Sequence::MAX] {
            assert_eq!(ShortSequence::of(sequence).get(), sequence);
        }
    }
}
