//! Numbers that are put together of two others, each with its bounds: the number of a link says which
//! act laid it, the number of a delivery which record enqueued it. One part that is too large would
//! run into the other, and the number into another record's, so such a number is not made.

use crate::domain::id::Sequence;
use crate::records::DELIVERY_BITS;

/// Bits for the place of a link within its act.
const LINK_BITS: u32 = 20;

/// The most links of one act: their places begin at 1, and 0 is for an act that lays a single one.
pub(in crate::engine) const LINKS_OF_ACT: usize = (1 << LINK_BITS) - 1;

/// A part of a number that is beyond its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a place of at most {bits} bits behind a sequence, found place {place} of sequence {sequence}"
)]
pub(in crate::engine) struct TooLarge {
    /// The record.
    pub(in crate::engine) sequence: Sequence,
    /// The place within it.
    pub(in crate::engine) place: u64,
    /// The bits that a place has; the sequence has the other ones.
    pub(in crate::engine) bits: u32,
}

fn packed(sequence: Sequence, place: u64, bits: u32) -> Result<u64, TooLarge> {
    match sequence >> (u64::BITS - bits) == 0 && place >> bits == 0 {
        true => Ok((sequence << bits) | place),
        false => Err(TooLarge { sequence, place, bits }),
    }
}

/// The number of a link: it follows from the act that laid it, so that no other act's number depends
/// on what an erasure leaves of it.
///
/// # Errors
/// When the act has more than [`LINKS_OF_ACT`] of them.
pub(in crate::engine) fn link_number(act: Sequence, place: u64) -> Result<u64, TooLarge> {
    packed(act, place, LINK_BITS)
}

/// The act that laid a link.
pub(in crate::engine) fn laid_by(link: u64) -> Sequence {
    link >> LINK_BITS
}

/// The number of a delivery: it follows from the record that enqueued it.
///
/// # Errors
/// When one record enqueues more than there are places.
pub(in crate::engine) fn delivery_number(record: Sequence, place: u64) -> Result<u64, TooLarge> {
    packed(record, place, DELIVERY_BITS)
}

/// The record that enqueued a delivery.
pub(in crate::engine) fn enqueued_by(delivery: u64) -> Sequence {
    delivery >> DELIVERY_BITS
}

/// The generation after `generation`; ids have twelve bits for it, and the first one is 0.
pub(in crate::engine) fn next_generation(generation: u16) -> u16 {
    generation % 4_095 + 1
}

/// The generation before `generation`.
pub(in crate::engine) fn generation_before(generation: u16) -> u16 {
    if generation <= 1 { 4_095 } else { generation - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_border_lead_back_and_those_beyond_are_not_made() {
        let (last_act, last_place) = ((1 << 44) - 1, LINKS_OF_ACT as u64);
        for act in [1, 4_711, last_act] {
            for place in [0, 1, last_place] {
                assert_eq!(laid_by(link_number(act, place).unwrap()), act);
            }
            assert!(link_number(act, last_place + 1).is_err(), "it would be the next act's");
        }
        assert_eq!(link_number(last_act, last_place), Ok(u64::MAX));
        assert!(link_number(last_act + 1, 0).is_err());
        let (last_record, last_place) = ((1 << 48) - 1, (1 << 16) - 1);
        for record in [1, 4_711, last_record] {
            for place in [0, 1, last_place] {
                assert_eq!(enqueued_by(delivery_number(record, place).unwrap()), record);
            }
        }
        let beyond = delivery_number(7, last_place + 1).unwrap_err();
        assert_eq!(beyond, TooLarge { sequence: 7, place: 65_536, bits: 16 });
        assert!(beyond.to_string().contains("found place 65536 of sequence 7"));
        assert!(delivery_number(last_record + 1, 0).is_err());
    }

    #[test]
    fn a_generation_comes_after_the_one_before_it() {
        for generation in 1..=4_095 {
            assert_eq!(next_generation(generation_before(generation)), generation);
        }
        assert_eq!((next_generation(0), next_generation(4_095)), (1, 1));
    }
}
