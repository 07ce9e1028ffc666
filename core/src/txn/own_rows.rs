//! Iterates over a transaction's own rows while it goes on writing.

use std::collections::VecDeque;
use std::ops::Bound;

use super::write_set::{Row, SharedRows, Stamp};
use crate::storage::bounds_are_empty;

/// Rows taken per visit to the shared map; it is locked only meanwhile.
const CHUNK: usize = 128;

/// Own rows of a range that a view sees, tombstones included, from both ends.
pub(super) struct OwnRows {
    rows: SharedRows,
    stamp: Stamp,
    /// What has not been fetched yet lies between these.
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    front: VecDeque<(Vec<u8>, Row)>,
    /// In descending order.
    back: VecDeque<(Vec<u8>, Row)>,
    fetched_all: bool,
}

fn owned(bound: Bound<&[u8]>) -> Bound<Vec<u8>> {
    bound.map(<[u8]>::to_vec)
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

impl OwnRows {
    pub fn new(rows: SharedRows, stamp: Stamp, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        OwnRows {
            rows,
            stamp,
            from: owned(from),
            to: owned(to),
            front: VecDeque::new(),
            back: VecDeque::new(),
            fetched_all: false,
        }
    }

    /// Fetches the next rows from one end.
    fn fetch(&mut self, from_back: bool) {
        let bounds = (borrowed(&self.from), borrowed(&self.to));
        if self.fetched_all || bounds_are_empty(bounds.0, bounds.1) {
            self.fetched_all = true;
            return;
        }
        let rows = self.rows.read();
        let stamp = self.stamp;
        let seen = rows
            .map
            .range::<[u8], _>(bounds)
            .filter_map(|(key, versions)| {
                versions
                    .seen_by(stamp)
                    .map(|row| (key.clone(), row.clone()))
            });
        let mut chunk = VecDeque::new();
        if from_back {
            chunk.extend(seen.rev().take(CHUNK));
        } else {
            chunk.extend(seen.take(CHUNK));
        }
        drop(rows);
        self.fetched_all = chunk.len() < CHUNK;
        let last = chunk.back().map(|(key, _)| Bound::Excluded(key.clone()));
        if from_back {
            self.to = last.unwrap_or(Bound::Unbounded);
            self.back = chunk;
        } else {
            self.from = last.unwrap_or(Bound::Unbounded);
            self.front = chunk;
        }
    }
}

impl Iterator for OwnRows {
    type Item = (Vec<u8>, Row);

    fn next(&mut self) -> Option<Self::Item> {
        if self.front.is_empty() {
            self.fetch(false);
        }
        self.front.pop_front().or_else(|| self.back.pop_back())
    }
}

impl DoubleEndedIterator for OwnRows {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back.is_empty() {
            self.fetch(true);
        }
        self.back.pop_front().or_else(|| self.front.pop_back())
    }
}
