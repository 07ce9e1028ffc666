//! The static search tree: what no distribution of keys can slow down.
//!
//! The keys stand in blocks of 16, and over them lies a tree without pointers: a node is 16 heads,
//! two aligned cache lines, and has 17 children, whose place in the next level is arithmetic. A step
//! compares all 16 heads without a branch. After Khuong and Morin, *Array Layouts for
//! Comparison-Based Searching* (2017), and the S+ tree of Algorithmica's *Static B-Trees*.

use super::column::{KeyColumn, WORD_LANES, rank};
use super::search::Window;

/// Heads in a node, and keys in a block.
pub(super) const WIDTH: usize = WORD_LANES;
/// Children of a node.
const CHILDREN: usize = WIDTH + 1;
/// Levels that 2³¹ keys need.
pub(super) const MAX_LEVELS: usize = 7;

/// Two cache lines of heads: the first head below each child but the first. Filled up with
/// `u64::MAX`, which nothing is above.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct TreeNode(pub [u64; WIDTH]);

/// The levels above the keys, the root first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree {
    pub levels: Vec<Vec<TreeNode>>,
}

impl Tree {
    /// Number of nodes in each level for a number of keys, the root first.
    pub fn level_sizes(count: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut below = count.div_ceil(WIDTH);
        while below > 1 && sizes.len() < MAX_LEVELS {
            below = below.div_ceil(CHILDREN);
            sizes.push(below);
        }
        sizes.reverse();
        sizes
    }

    pub fn build<C: KeyColumn>(column: &C) -> Tree {
        let count = column.len();
        let mut keys_below = WIDTH;
        let mut levels = Vec::new();
        for size in Tree::level_sizes(count).into_iter().rev() {
            let mut level = Vec::with_capacity(size);
            for node in 0..size {
                let mut heads = [u64::MAX; WIDTH];
                for (child, head) in (node * CHILDREN + 1..).zip(&mut heads) {
                    // u64::MAX past the end.
                    *head = column.head(child.saturating_mul(keys_below));
                }
                level.push(TreeNode(heads));
            }
            keys_below = keys_below.saturating_mul(CHILDREN);
            levels.push(level);
        }
        levels.reverse();
        Tree { levels }
    }

    /// The child to go to: the last one that starts below the head.
    #[inline(always)]
    pub fn step(level: &[TreeNode], node: usize, head: u64) -> usize {
        match level.get(node) {
            Some(TreeNode(heads)) => node * CHILDREN + rank(heads, head),
            None => 0,
        }
    }

    /// The block whose first key is below the head and whose successor's is not.
    #[inline]
    pub fn window(&self, head: u64) -> Window {
        let block = self
            .levels
            .iter()
            .fold(0, |node, level| Tree::step(level, node, head));
        Tree::block(block)
    }

    #[inline(always)]
    pub fn block(block: usize) -> Window {
        Window {
            start: (block * WIDTH) as u32,
            len: WIDTH as u32,
        }
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        self.levels.iter().flatten().count() * size_of::<TreeNode>()
    }
}
