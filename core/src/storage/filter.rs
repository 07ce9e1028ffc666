//! Which keys a redb table may have, told from memory.
//!
//! A table whose rows are mostly sealed has few in redb, and nearly every look-up would search its tree
//! in vain. The filter knows all keys that were written to the table since it was made, and a few that
//! were not: a blocked Bloom filter of 16 bits a key, which errs once in some thousand look-ups.
//!
//! Keys are only ever added, before the commit that writes them is visible, so one filter serves all
//! snapshots of a generation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Words of a block: a cache line. A key sets one bit in each.
const WORDS: usize = 8;
/// Keys of a block: 16 bits for each.
const BLOCK_KEYS: usize = 32;
/// Blocks of the first layer, 2048 keys. Each further one has twice as many.
const FIRST_BLOCKS: usize = 64;
/// More layers than any memory has room for.
const LAYERS: usize = 32;

type Block = [AtomicU64; WORDS];

/// The keys of one generation of a table.
#[derive(Default)]
pub struct KeyFilter {
    /// The first is there from the first key on, each further one once those before are full. Look-ups
    /// take no lock.
    layers: [OnceLock<Layer>; LAYERS],
}

struct Layer {
    blocks: Vec<Block>,
    keys: AtomicUsize,
}

impl Layer {
    fn new(blocks: usize) -> Layer {
        Layer {
            blocks: (0..blocks).map(|_| Block::default()).collect(),
            keys: AtomicUsize::new(0),
        }
    }

    fn block(&self, hash: u64) -> Option<&Block> {
        let at = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        self.blocks.get(at as usize)
    }

    fn may_contain(&self, hash: u64, bits: u64) -> bool {
        self.block(hash).is_some_and(|block| {
            let set = |(word, bit): (&AtomicU64, u64)| word.load(Ordering::Relaxed) & bit != 0;
            block.iter().zip(places(bits)).all(set)
        })
    }

    fn is_full(&self) -> bool {
        self.keys.load(Ordering::Relaxed) >= self.blocks.len() * BLOCK_KEYS
    }

    fn add(&self, hash: u64, bits: u64) {
        if let Some(block) = self.block(hash) {
            for (word, bit) in block.iter().zip(places(bits)) {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        self.keys.fetch_add(1, Ordering::Relaxed);
    }
}

/// A bit for each word of a block.
fn places(bits: u64) -> impl Iterator<Item = u64> {
    (0..WORDS).map(move |word| 1 << (bits >> (6 * word) & 63))
}

impl KeyFilter {
    /// Adds a key. One caller at a time: whoever runs the commit step.
    pub fn add(&self, key: &[u8]) {
        let (hash, bits) = hashes(key);
        if self.has(hash, bits) {
            return;
        }
        let blocks = (0..).map(|layer| FIRST_BLOCKS << layer);
        for ((slot, blocks), number) in self.layers.iter().zip(blocks).zip(1..) {
            let layer = slot.get_or_init(|| Layer::new(blocks));
            if !layer.is_full() || number == LAYERS {
                layer.add(hash, bits);
                return;
            }
        }
    }

    /// Whether a key may have been added. `false` is sure.
    #[inline]
    pub fn may_contain(&self, key: &[u8]) -> bool {
        // Right after a seal there is none, and nothing to hash for.
        if self
            .layers
            .first()
            .is_none_or(|layer| layer.get().is_none())
        {
            return false;
        }
        let (hash, bits) = hashes(key);
        self.has(hash, bits)
    }

    #[inline]
    fn has(&self, hash: u64, bits: u64) -> bool {
        let layers = self.layers.iter().map_while(OnceLock::get);
        layers
            .into_iter()
            .any(|layer| layer.may_contain(hash, bits))
    }
}

/// Two hashes of a key.
fn hashes(key: &[u8]) -> (u64, u64) {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (words, rest) = key.as_chunks::<8>();
    let mut state = ODD ^ key.len() as u64;
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), ODD);
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    state = fold(state ^ u64::from_le_bytes(last), ODD);
    (fold(state, ODD.rotate_left(17)), fold(state ^ ODD, ODD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_were_added_are_never_denied() {
        let filter = KeyFilter::default();
        let key = |number: u64| {
            let mut key = vec![1];
            key.extend_from_slice(&number.to_be_bytes());
            key
        };
        for number in 0..100_000 {
            filter.add(&key(number * 3));
            filter.add(&key(number / 2 * 6));
        }
        assert!((0..100_000).all(|number| filter.may_contain(&key(number * 3))));
        let wrong = (0..100_000).filter(|number| filter.may_contain(&key(number * 3 + 1)));
        assert!(wrong.count() < 1000);
        assert!(!filter.may_contain(b"") && !filter.may_contain(&[0; 40]));
        filter.add(b"");
        assert!(filter.may_contain(b""));
    }
}
