//! The orders in which a shuffle sends: the same ones in every run.

use std::collections::BTreeSet;

/// Up to `wanted` different orders of `0..length`: as written, reversed, then pseudo-random ones
/// from a fixed seed. Fewer only where there are no more.
#[must_use]
pub fn orders(length: usize, wanted: u32) -> Vec<Vec<usize>> {
    let there_are = (1..=length as u64).try_fold(1_u64, u64::checked_mul).unwrap_or(u64::MAX);
    let wanted = there_are.min(u64::from(wanted)) as usize;
    let mut seen = BTreeSet::new();
    let mut orders = Vec::with_capacity(wanted);
    let written: Vec<usize> = (0..length).collect();
    let mut next = written.clone();
    let mut chance = SplitMix(0x5e1f_5a3e);
    // Ends: every order comes up, as each step of the shuffle can take each way.
    while orders.len() < wanted {
        if seen.insert(next.clone()) {
            orders.push(next.clone());
        }
        if orders.len() == 1 && length > 1 {
            next.reverse();
            continue;
        }
        next.clone_from(&written);
        for last in (1..length).rev() {
            let pick = chance.next() % (last as u64 + 1);
            next.swap(last, pick as usize);
        }
    }
    orders
}

/// SplitMix64 (Steele, Lea, Flood 2014): no secret, no quality needed, the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_different_begin_as_written_and_reversed_and_are_the_same_every_time() {
        let six = orders(4, 6);
        assert_eq!(six.len(), 6);
        assert_eq!(six[0], [0, 1, 2, 3]);
        assert_eq!(six[1], [3, 2, 1, 0]);
        assert_eq!(six.iter().collect::<BTreeSet<_>>().len(), 6);
        assert_eq!(six, orders(4, 6));
    }

    #[test]
    fn there_are_no_more_orders_than_there_are() {
        assert_eq!(orders(3, 100).len(), 6);
        assert_eq!(orders(1, 100), [[0]]);
        assert_eq!(orders(0, 100).len(), 1);
        assert_eq!(orders(30, 50).len(), 50);
    }
}
