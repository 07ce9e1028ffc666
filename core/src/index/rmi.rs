//! The recursive model index: where a key stands, predicted by two or three small linear functions.
//!
//! ```text
//! head ─ root: linear on trimmed quantiles, clamped ─▶ slot ─┬─ leaf: linear ─▶ window of positions
//!                                                            └─ node: as the root, over fewer keys ─▶ slot …
//! ```
//!
//! After Kraska et al., *The Case for Learned Index Structures* (2018), with one change: a slot whose
//! keys no line describes becomes a node of its own, so that outliers and clusters cost a step and
//! do not spoil the rest. All functions are monotone in the head, rounding included. That is why a
//! bound that holds at every key and just behind every key holds for each head in between.

use super::search::Window;

/// Nodes on the way from the root to a leaf.
pub(super) const MAX_DEPTH: usize = 6;

/// Adding this rounds a float of less than 2³¹ to the nearest integer, which is then in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// A linear function from heads to slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    /// Heads up to this one go to the first slot.
    pub origin: u64,
    /// Slots per unit of head; 0 for a node that is one window.
    pub scale: f64,
    /// The node's first slot, or the window's lowest answer.
    pub first: u32,
    /// Number of slots, or how far the window's highest answer is from the lowest.
    pub count: u32,
}

/// What a node says about a head: the slot, and where in it, from -½ to ½.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub slot: u32,
    pub offset: f64,
}

impl Node {
    /// `None` for a node that is one window.
    #[inline(always)]
    pub fn place(&self, head: u64) -> Place {
        // In integers first: a float cannot tell neighbours above 2⁵³ apart.
        let distance = head.saturating_sub(self.origin) as f64;
        let exact = distance * self.scale;
        let limit = f64::from(self.count) - 1.0;
        // NaN and what is too large end in the last slot, at its middle as the last of the keys.
        let exact = if exact < limit { exact } else { limit };
        let rounded = exact + ROUNDER;
        Place {
            slot: self.first.wrapping_add(rounded.to_bits() as u32),
            offset: exact - (rounded - ROUNDER),
        }
    }

    #[inline(always)]
    pub fn is_window(&self) -> bool {
        self.scale == 0.0
    }

    pub fn window(&self) -> Window {
        Window::of_answers(self.first, self.first.saturating_add(self.count))
    }
}

/// A leaf {slope, base, error bounds}, or the number of a node.
///
/// The lowest answer of a leaf is `low + round(offset × slope)`, the highest is `span` above it:
/// the lower error bound is folded into `low`, the sum of both is `span`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub low: i32,
    /// Keys over the slot's whole width.
    pub slope: u16,
    /// [`Slot::NODE`] for the number of a node in `low`.
    pub span: u16,
}

impl Slot {
    pub const NODE: u16 = u16::MAX;

    #[inline(always)]
    pub fn is_node(self) -> bool {
        self.span == Slot::NODE
    }

    /// The lowest answer for an offset.
    #[inline(always)]
    pub fn lowest(self, offset: f64) -> i32 {
        self.low.wrapping_add(scaled(self.slope, offset))
    }

    #[inline(always)]
    pub fn window(self, offset: f64) -> Window {
        let lowest = self.lowest(offset);
        let start = lowest.wrapping_sub(1).max(0);
        Window {
            start: start.cast_unsigned(),
            len: u32::from(self.span) + 2,
        }
    }
}

/// `round(offset × slope)`.
#[inline(always)]
pub(super) fn scaled(slope: u16, offset: f64) -> i32 {
    ((offset * f64::from(slope) + ROUNDER).to_bits() as u32).cast_signed()
}

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rmi {
    pub root: Node,
    pub nodes: Vec<Node>,
    pub slots: Vec<Slot>,
}

impl Rmi {
    /// Where to look for a head. Of a damaged model any window may come.
    #[inline]
    pub fn window(&self, head: u64) -> Window {
        let mut node = &self.root;
        for _ in 0..MAX_DEPTH {
            if node.is_window() {
                break;
            }
            let place = node.place(head);
            let Some(slot) = self.slots.get(place.slot as usize) else {
                break;
            };
            if !slot.is_node() {
                return slot.window(place.offset);
            }
            match self.nodes.get(slot.low as usize) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.window()
    }

    /// Whether every look-up reads one slot, and is left with so many keys then.
    pub fn leaves_at_most(&self, keys: u32) -> bool {
        let leaves = |slot: &Slot| u32::from(slot.span).saturating_add(2) <= keys;
        !self.root.is_window() && self.slots.iter().all(leaves)
    }

    /// Nodes and slots that a look-up reads.
    pub fn depth(&self, head: u64) -> usize {
        let mut node = Some(&self.root);
        let mut depth = 0;
        while let Some(current) = node
            && depth < 2 * MAX_DEPTH
        {
            depth += 2;
            let slot = self.slots.get(current.place(head).slot as usize);
            node = slot
                .filter(|slot| slot.is_node() && !current.is_window())
                .and_then(|slot| self.nodes.get(slot.low as usize));
        }
        // The root is always at hand.
        depth - 1
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + (self.nodes.len() + 1) * size_of::<Node>()
    }
}
