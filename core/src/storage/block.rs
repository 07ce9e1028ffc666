//! Blocks of sealed rows in memory, and rows that lie in them.

use std::ops::Range;

use arc_swap::Guard;
use bytes::Bytes;
use triomphe::ThinArc;

use super::clock::Charge;

/// Some bytes, right behind their charge and their count of owners.
pub type Block = ThinArc<Charge, u8>;

/// A row, which is part of a block.
#[derive(Default)]
pub struct SealedRow {
    block: Option<Guard<Option<Block>>>,
    place: Range<usize>,
}

impl SealedRow {
    /// `None` when the block, if there is one, ends before the row does.
    #[inline]
    pub fn new(block: Guard<Option<Block>>, place: Range<usize>) -> Option<SealedRow> {
        let whole = block.as_ref()?.slice.get(place.clone());
        whole?;
        Some(SealedRow {
            block: Some(block),
            place,
        })
    }
}

impl AsRef<[u8]> for SealedRow {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        let block = self.block.as_ref().and_then(|block| block.as_ref());
        block
            .and_then(|block| block.slice.get(self.place.clone()))
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for SealedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for SealedRow {
    fn eq(&self, other: &T) -> bool {
        self.as_ref() == other.as_ref()
    }
}

/// The bytes of a block, sharing its memory.
pub fn shared(block: Block) -> Bytes {
    struct Owner(Block);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0.slice
        }
    }

    Bytes::from_owner(Owner(block))
}
