//! Names locks in few bytes, so that a million row locks are cheap.
//!
//! A row's key is hashed to 64 bits. Two rows with one hash share a lock: their writers then wait
//! for each other without need, which is harmless, and at 1 M locked rows has a chance of 10⁻⁷.

use std::hash::Hasher;

use super::LockTarget;
use crate::storage::TableId;

/// A lock target, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LockKey {
    Relation(u32),
    /// A row's table, the hash of its block, and its place in the block: rows whose keys differ in
    /// the last [`BLOCK_BITS`] bits only have one block, so that who locks a run of rows finds
    /// their locks side by side.
    Row(TableId, u64, u8),
    Advisory(i64),
    AdvisoryPair(i32, i32),
}

/// Hashes row keys with a secret that each lock table draws anew.
#[derive(Clone, Copy)]
pub(super) struct KeyHasher {
    secret: [u64; 2],
}

/// Bits of a key's last byte that are its place in its block.
pub(super) const BLOCK_BITS: u32 = 6;

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

impl KeyHasher {
    pub fn new(secret: [u64; 2]) -> Self {
        KeyHasher { secret }
    }

    pub fn target(&self, target: &LockTarget) -> LockKey {
        match target {
            LockTarget::Relation(oid) => LockKey::Relation(*oid),
            LockTarget::Row(table, key) => self.row(*table, key),
            LockTarget::Advisory(key) => LockKey::Advisory(*key),
            LockTarget::AdvisoryPair(first, second) => LockKey::AdvisoryPair(*first, *second),
        }
    }

    pub fn row(&self, table: TableId, key: &[u8]) -> LockKey {
        let multiplier = self.secret[1] | 1;
        let mut state = self.secret[0] ^ key.len() as u64;
        let (last, head) = match key.split_last() {
            Some((last, head)) => (*last, head),
            None => (0, key),
        };
        let mut words = head.chunks_exact(8);
        for word in &mut words {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            state = fold(state ^ u64::from_le_bytes(bytes), multiplier);
        }
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(words.remainder()) {
            *to = *from;
        }
        state = fold(state ^ u64::from_le_bytes(bytes), multiplier);
        let place = last & ((1 << BLOCK_BITS) - 1);
        state = fold(state ^ u64::from(last ^ place), multiplier);
        LockKey::Row(table, fold(state, ODD), place)
    }
}

/// Multiplies to 128 bits and folds the halves together.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hasher of the lock table's maps. A row's part is already hashed with a secret, so this one
/// has to be fast, not strong.
#[derive(Clone, Copy, Default)]
pub(super) struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = fold(self.0.rotate_left(5) ^ number ^ ODD, ODD);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn near_keys_get_different_hashes() {
        let hasher = KeyHasher::new([0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321]);
        let mut seen = HashSet::new();
        for number in 0..200_000_u64 {
            assert!(seen.insert(hasher.row(1, &number.to_be_bytes())));
        }
        for length in 0..64 {
            assert!(seen.insert(hasher.row(2, &vec![0; length])), "{length}");
        }
    }
}
