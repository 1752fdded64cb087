//! Minted ids: what an event and a fragment (and so a profile) are called by.
//!
//! An id is a UUID of version 7 (RFC 9562, section 5.7). Its 62 low bits hold the journal sequence
//! of the event that it was minted for, scrambled with a key of the data folder, so that an id is
//! looked up without any index and still tells a sender nothing about how many events there are.

use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The position of a record in the journal, from 1.
pub type Sequence = u64;

const MASK: u64 = (1 << 62) - 1;

/// What an id names; the two kinds are scrambled differently, so one never passes for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// An event.
    Event,
    /// A fragment, and the profile that it leads.
    Fragment,
}

/// The decoded content of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdParts {
    /// When the event was received, in milliseconds (48 bits).
    pub received_at: Timestamp,
    /// The journal sequence of the event.
    pub sequence: Sequence,
    /// 0, or which re-resolution made the fragment (12 bits).
    pub generation: u16,
}

/// The data folder's key, made once and kept in the journal's first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdKey(pub u64, pub u64);

impl IdKey {
    fn scramble(self, kind: IdKind, sequence: u64) -> u64 {
        let [a, b] = self.round_keys(kind);
        let mut x = sequence & MASK;
        for key in [a, b, a ^ b] {
            x = (x ^ key) & MASK;
            x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15) & MASK;
            x ^= x >> 31;
        }
        x
    }

    fn unscramble(self, kind: IdKind, scrambled: u64) -> u64 {
        let [a, b] = self.round_keys(kind);
        let mut x = scrambled & MASK;
        for key in [a ^ b, b, a] {
            x ^= x >> 31; // its own inverse over 62 bits: 31 + 31 = 62
            x = x.wrapping_mul(INVERSE) & MASK;
            x = (x ^ key) & MASK;
        }
        x
    }

    fn round_keys(self, kind: IdKind) -> [u64; 2] {
        match kind {
            IdKind::Event => [self.0 & MASK, self.1 & MASK],
            IdKind::Fragment => [!self.1 & MASK, self.0.rotate_left(17) & MASK],
        }
    }

    /// Mints the id of what `parts` describe.
    pub fn mint(self, kind: IdKind, parts: IdParts) -> Uuid {
        let ms = (parts.received_at.0.max(0) as u64) & 0xFFFF_FFFF_FFFF;
        let high = (ms << 16) | 0x7000 | u64::from(parts.generation & 0x0FFF);
        let low = (0b10 << 62) | self.scramble(kind, parts.sequence);
        Uuid::from_u64_pair(high, low)
    }

    /// Reads an id back; `None` when the text is no UUID of version 7.
    ///
    /// The caller still has to compare the minted id of what it finds there: any 62 bits decode to
    /// some sequence.
    pub fn read(self, kind: IdKind, text: &str) -> Option<IdParts> {
        let id = Uuid::try_parse(text).ok()?;
        let (high, low) = id.as_u64_pair();
        if (high >> 12) & 0xF != 7 || low >> 62 != 0b10 {
            return None;
        }
        Some(IdParts {
            received_at: Timestamp((high >> 16) as i64),
            sequence: self.unscramble(kind, low & MASK),
            generation: (high & 0x0FFF) as u16,
        })
    }
}

/// The inverse of the odd multiplier modulo 2^64, and so modulo 2^62.
const INVERSE: u64 = inverse(0x9E37_79B9_7F4A_7C15);

const fn inverse(odd: u64) -> u64 {
    // Newton's iteration doubles the number of right bits each time: 3, 6, 12, 24, 48, 96.
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// An identifier as people write it: `type:value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// Its namespace, such as `email` or `slack`.
    pub kind: Box<str>,
    /// The canonical value, on which it matches.
    pub value: Box<str>,
}

impl Identifier {
    /// Splits `type:value` at the first colon; the value is not yet canonical.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        let (kind, value) = (kind.trim(), value.trim());
        if kind.is_empty() || value.is_empty() {
            return None;
        }
        Some(Self { kind: kind.into(), value: value.into() })
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back(a: u64, b: u64, sequence in 0..=MASK, ms in 0..(1i64 << 48), generation in 0..4096u16) {
            let key = IdKey(a, b);
            let parts = IdParts { received_at: Timestamp(ms), sequence, generation };
            for kind in [IdKind::Event, IdKind::Fragment] {
                let id = key.mint(kind, parts);
                prop_assert_eq!(key.read(kind, &id.to_string()), Some(parts));
                prop_assert_eq!(id.get_version_num(), 7);
            }
        }
    }

    #[test]
    fn neighbours_look_nothing_alike() {
        let key = IdKey(3, 4);
        let mint = |sequence| key.scramble(IdKind::Event, sequence);
        assert!((mint(1) ^ mint(2)).count_ones() > 8);
        assert_eq!(
            Identifier::parse("email: a:b "),
            Some(Identifier { kind: "email".into(), value: "a:b".into() })
        );
    }
}
