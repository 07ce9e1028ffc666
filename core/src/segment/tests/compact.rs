//! Which segments are merged, on segments that are nothing but bounds and numbers of rows: how often a row
//! is written again, and how many segments stay.

use super::super::Effort;
use super::super::compact::{Extent, MAX_DEPTH, next, sorted_runs};
use super::tiers::seeds;
use crate::storage::fault::Random;

/// Rows of a full segment and of a seal.
const FULL: u64 = 1 << 20;
const SEAL: u64 = 100_000;

#[derive(Clone, Debug)]
struct Piece {
    number: u64,
    first: [u8; 8],
    last: [u8; 8],
    rows: u64,
}

/// A table, and what was written for it.
struct Table {
    pieces: Vec<Piece>,
    number: u64,
    /// Rows that were put in, and rows that merges wrote.
    put: u64,
    merged: u64,
}

impl Table {
    fn new() -> Table {
        Table {
            pieces: Vec::new(),
            number: 0,
            put: 0,
            merged: 0,
        }
    }

    /// Rows at equal distances between two keys, in full segments and a last one.
    fn write(&mut self, rows: u64, from: u64, to: u64) {
        let mut left = rows;
        while left > 0 {
            let count = left.min(FULL);
            let at = |left: u64| {
                from + ((to - from) as u128 * (rows - left) as u128 / rows as u128) as u64
            };
            self.number += 1;
            self.pieces.push(Piece {
                number: self.number,
                first: at(left).to_be_bytes(),
                last: (at(left - count).max(at(left) + 1) - 1).to_be_bytes(),
                rows: count,
            });
            left -= count;
        }
    }

    fn extents(&self) -> Vec<Extent<'_>> {
        let extents = self.pieces.iter().map(|piece| Extent {
            segment: piece.number,
            first: &piece.first,
            last: &piece.last,
            live: piece.rows,
            gone: 0,
            small: piece.rows * 2 < FULL,
        });
        extents.collect()
    }

    fn tend(&mut self, effort: Effort) {
        for _ in 0..10_000 {
            let Some(chosen) = next(self.extents(), effort) else {
                return;
            };
            assert!(chosen.len() > 1);
            let (merged, left): (Vec<Piece>, Vec<Piece>) = self
                .pieces
                .drain(..)
                .partition(|piece| chosen.contains(&piece.number));
            self.pieces = left;
            let rows = merged.iter().map(|piece| piece.rows).sum();
            let first = merged.iter().map(|piece| piece.first).min().unwrap();
            let last = merged.iter().map(|piece| piece.last).max().unwrap();
            self.merged += rows;
            self.write(
                rows,
                u64::from_be_bytes(first),
                u64::from_be_bytes(last) + 1,
            );
        }
        panic!("it never ends");
    }

    fn put(&mut self, rows: u64, from: u64, to: u64) {
        self.put += rows;
        self.write(rows, from, to);
        self.tend(Effort::Due);
    }

    /// How often a row is written besides the first time.
    fn again(&self) -> f64 {
        self.merged as f64 / self.put as f64
    }

    fn runs(&self) -> usize {
        let mut extents = self.extents();
        extents.sort_by(|a, b| a.first.cmp(b.first));
        sorted_runs(&extents).len()
    }

    /// The most segments that a key lies in.
    fn depth(&self) -> usize {
        let around = |key: [u8; 8]| {
            let within = |piece: &&Piece| piece.first <= key && key <= piece.last;
            self.pieces.iter().filter(within).count()
        };
        let keys = self.pieces.iter().map(|piece| piece.first);
        keys.map(around).max().unwrap_or_default()
    }

    fn small(&self) -> usize {
        self.extents().iter().filter(|extent| extent.small).count()
    }
}

#[test]
fn rows_in_key_order_make_full_segments() {
    // Seals, and much smaller loads.
    for (rows, most) in [(SEAL, 4.0), (1000, 10.0)] {
        let mut table = Table::new();
        for at in 0..40_000_000 / rows / 4 {
            table.put(rows, at * rows, (at + 1) * rows);
            assert_eq!(table.runs(), 1);
            assert!(table.small() <= 32, "{} small segments", table.small());
        }
        eprintln!(
            "{rows} rows at the end: written {:.1} times more, {} segments, {} small",
            table.again(),
            table.pieces.len(),
            table.small()
        );
        assert!(table.again() <= most, "{}", table.again());
    }
}

#[test]
fn rows_everywhere_are_written_a_logarithm_of_times() {
    let everywhere = (0, 1 << 40);
    let mut table = Table::new();
    let mut deepest = 0;
    for _ in 0..1000 {
        table.put(SEAL, everywhere.0, everywhere.1);
        deepest = deepest.max(table.runs());
    }
    eprintln!(
        "1000 seals everywhere: written {:.1} times more, {} runs, {deepest} at most, {} segments",
        table.again(),
        table.runs(),
        table.pieces.len()
    );
    // log₂ of 1000 is 10.
    assert!(table.again() <= 10.0, "{}", table.again());
    assert!(deepest <= 12, "{deepest} runs");
    table.tend(Effort::All);
    assert_eq!(table.runs(), 1);
}

#[test]
fn rows_anywhere_end_in_few_segments() {
    seeds(|seed, _| {
        let mut random = Random(seed);
        let mut table = Table::new();
        for _ in 0..2000 {
            let rows = 1 << random.within(0..17);
            let from = random.within(0..1 << 40);
            let to = from + (1 << random.within(18..40));
            table.put(rows, from, to);
            let bound =
                14 * 32 + 2 * table.pieces.iter().map(|piece| piece.rows).sum::<u64>() / FULL;
            assert!(
                (table.pieces.len() as u64) < bound,
                "{} segments",
                table.pieces.len()
            );
        }
        eprintln!(
            "seed {seed}: {} rows written {:.1} times more, {} segments, {} small, {} runs",
            table.put,
            table.again(),
            table.pieces.len(),
            table.small(),
            table.runs()
        );
        assert!(table.again() <= 17.0, "{}", table.again());
        table.tend(Effort::All);
        assert_eq!(table.runs(), 1);
        assert!(next(table.extents(), Effort::All).is_none());
    });
}

/// The bound that the rule does not give: sizes of which each is larger than all smaller ones together.
#[test]
fn contrived_sizes_do_not_pile_up() {
    let mut table = Table::new();
    for at in 0_u64..3000 {
        let rows = 3_u64.pow((at + 1).trailing_zeros().min(11));
        table.put(rows, at * FULL, at * FULL + FULL);
        assert!(table.small() <= 33, "{} small segments", table.small());
    }
}

/// Nor do runs that overlap: each of these has more rows than all that come after it.
#[test]
fn no_key_lies_in_too_many_segments() {
    let mut table = Table::new();
    let mut deepest = 0;
    for size in (0..26).rev() {
        table.put(1 << size, 0, 1 << 40);
        deepest = deepest.max(table.depth());
        assert!(table.depth() <= MAX_DEPTH, "{} segments", table.depth());
    }
    assert_eq!(deepest, MAX_DEPTH);
    seeds(|seed, _| {
        let mut random = Random(seed);
        let mut table = Table::new();
        for _ in 0..40 {
            let most = random.within(1..24);
            for size in (0..most).rev() {
                // Anywhere, and so many that are contrived to be where others are.
                let from = random.within(0..1 << 20);
                let to = from + (1 << random.within(20..30));
                table.put(1 << size, from, to.max(from + (1 << size)));
                assert!(table.depth() <= MAX_DEPTH, "{} segments", table.depth());
            }
        }
        eprintln!(
            "seed {seed}: {} rows written {:.1} times more, {} segments, depth {}",
            table.put,
            table.again(),
            table.pieces.len(),
            table.depth()
        );
    });
}

#[test]
fn what_is_gone_is_written_anew_alone() {
    let key = |at: u8| [at];
    let (first, last) = (key(1), key(2));
    let extent = |gone| Extent {
        segment: 7,
        first: &first,
        last: &last,
        live: 100,
        gone,
        small: false,
    };
    assert_eq!(next(vec![extent(24)], Effort::Due), None);
    assert_eq!(next(vec![extent(25)], Effort::Due), Some(vec![7]));
    assert_eq!(next(vec![extent(1)], Effort::All), Some(vec![7]));
    assert_eq!(next(vec![extent(0)], Effort::All), None);
}
