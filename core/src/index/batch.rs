//! Look-ups in groups. One look-up waits for memory two or three times; sixteen that go side by side
//! wait as long, all together.
//!
//! Each stage goes over the whole group before the next begins, and no stage branches on what it has
//! loaded: so the processor has many loads under way at once, without a prefetch instruction.

use super::Model;
use super::column::KeyColumn;
use super::rmi::{MAX_DEPTH, Place, Rmi, Slot};
use super::search::{Window, halve, settle};
use super::tree::Tree;

/// Look-ups that go side by side.
pub(super) const GROUP: usize = 32;

/// Lower bounds of up to [`GROUP`] probes.
#[inline]
pub(super) fn lower_bounds<C: KeyColumn>(
    column: &C,
    model: &Model,
    probes: &[C::Probe<'_>],
    answers: &mut [u32],
) {
    let mut heads = [0; GROUP];
    for (head, &probe) in heads.iter_mut().zip(probes) {
        *head = column.probe_head(probe);
    }
    let mut windows = [Window::default(); GROUP];
    match model {
        Model::Rmi(rmi) => rmi_windows(rmi, &heads, &mut windows),
        Model::Tree(tree) => tree_windows(tree, &heads, &mut windows),
    }
    narrow(column, probes, &mut windows);
    let touched = windows
        .iter()
        .fold(0, |sum, window| sum ^ column.touch(window.start as usize));
    // So that the reads are not left out.
    std::hint::black_box(touched);
    for ((answer, &probe), window) in answers.iter_mut().zip(probes).zip(&windows) {
        *answer = settle(column, window.start as usize, probe) as u32;
    }
}

#[inline(always)]
fn rmi_windows(rmi: &Rmi, heads: &[u64; GROUP], windows: &mut [Window; GROUP]) {
    if rmi.root.is_window() {
        *windows = [rmi.root.window(); GROUP];
        return;
    }
    let mut places = [Place::default(); GROUP];
    for (place, &head) in places.iter_mut().zip(heads) {
        *place = rmi.root.place(head);
    }
    let mut slots = [Slot::default(); GROUP];
    load(rmi, &places, &mut slots);
    for _ in 1..MAX_DEPTH {
        let mut deeper = false;
        for ((place, slot), &head) in places.iter_mut().zip(&slots).zip(heads) {
            if !slot.is_node() {
                continue;
            }
            match rmi.nodes.get(slot.low as usize) {
                Some(node) if !node.is_window() => {
                    *place = node.place(head);
                    deeper = true;
                }
                _ => {}
            }
        }
        if !deeper {
            break;
        }
        load(rmi, &places, &mut slots);
    }
    for ((window, slot), place) in windows.iter_mut().zip(&slots).zip(&places) {
        *window = if slot.is_node() {
            let node = rmi.nodes.get(slot.low as usize).unwrap_or(&rmi.root);
            node.window()
        } else {
            slot.window(place.offset)
        };
    }
}

#[inline(always)]
fn load(rmi: &Rmi, places: &[Place; GROUP], slots: &mut [Slot; GROUP]) {
    for (slot, place) in slots.iter_mut().zip(places) {
        *slot = rmi
            .slots
            .get(place.slot as usize)
            .copied()
            .unwrap_or_default();
    }
}

#[inline(always)]
fn tree_windows(tree: &Tree, heads: &[u64; GROUP], windows: &mut [Window; GROUP]) {
    let mut nodes = [0; GROUP];
    for level in &tree.levels {
        for (node, &head) in nodes.iter_mut().zip(heads) {
            *node = Tree::step(level, *node, head);
        }
    }
    for (window, node) in windows.iter_mut().zip(nodes) {
        *window = Tree::block(node);
    }
}

/// Halves all windows until what is left is compared at once.
#[inline(always)]
fn narrow<C: KeyColumn>(column: &C, probes: &[C::Probe<'_>], windows: &mut [Window; GROUP]) {
    loop {
        let mut wide = false;
        for (window, &probe) in windows.iter_mut().zip(probes) {
            if window.len as usize <= C::LANES {
                continue;
            }
            let (start, len) = halve(column, window.start as usize, window.len as usize, probe);
            *window = Window {
                start: start as u32,
                len: len as u32,
            };
            wide |= len > C::LANES;
        }
        if !wide {
            return;
        }
    }
}
