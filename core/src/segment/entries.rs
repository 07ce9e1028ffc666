//! Rows of a segment one after the other, from both ends, read block by block.

use std::ops::Range;

use bytes::Bytes;

use super::block;
use super::keys::{KeyRun, between};
use super::segment::Segment;
use crate::error::{Error, Result};
use crate::storage::{Flow, shared};

/// Rows read at once where rows have no bytes and so no blocks.
const BARE_RUN: u32 = 512;

/// Row number, key and row of a range of rows, in key order.
pub struct Entries {
    segment: Segment,
    left: Range<u32>,
    front: Option<Run>,
    back: Option<Run>,
}

impl Segment {
    /// Passes number, key and row of a range of rows on, in key order. Rows that do not exist are left
    /// out.
    ///
    /// # Errors
    /// As [`Segment::row`], and those of `each`.
    pub fn visit(
        &self,
        rows: Range<u32>,
        each: &mut dyn FnMut(u32, &[u8], &[u8]) -> Result<Flow>,
    ) -> Result<Flow> {
        let end = rows.end.min(self.meta().rows);
        let mut next = rows.start;
        let mut keys = KeyRun::default();
        while next < end {
            let (own, block) = self.inner.side(|inner| {
                let (own, block) = match inner.meta.bare {
                    true => (next..next.saturating_add(BARE_RUN), None),
                    false => {
                        let side = inner.head()?;
                        let at = side.block_of(next);
                        (side.block_rows(at), Some(inner.block(&side, at)?))
                    }
                };
                keys.clear();
                inner.add_keys(next..own.end.min(end), &mut keys)?;
                Ok((own, block))
            })?;
            let bytes = block.as_ref().map(|block| &block.slice);
            let start = next;
            next = own.end.min(end);
            for row in start..next {
                let key = keys.get((row - start) as usize);
                let value = match bytes {
                    Some(bytes) => block::place(bytes, own.len(), (row - own.start) as usize)
                        .and_then(|place| bytes.get(place)),
                    None => Some(&[][..]),
                };
                let (Some(key), Some(value)) = (key, value) else {
                    let what = format!("a row of {self:?} is not in its block");
                    return Err(Error::internal(what));
                };
                if each(row, key, value)?.is_break() {
                    return Ok(Flow::Break(()));
                }
            }
        }
        Ok(Flow::Continue(()))
    }
}

/// Rows that were read together.
struct Run {
    rows: Range<u32>,
    keys: Bytes,
    key_ends: Vec<usize>,
    /// The rows of the block, and its bytes; `None` when rows have none.
    block: Option<(Range<u32>, Bytes)>,
}

impl Run {
    fn entry(&self, row: u32) -> Option<(u32, Bytes, Bytes)> {
        let at = row.checked_sub(self.rows.start)? as usize;
        let key = self.keys.slice(between(&self.key_ends, at)?);
        let bytes = match &self.block {
            Some((rows, bytes)) => {
                let at = row.checked_sub(rows.start)? as usize;
                block::row(bytes, rows.len(), at)?
            }
            None => Bytes::new(),
        };
        Some((row, key, bytes))
    }
}

impl Entries {
    pub(super) fn new(segment: Segment, rows: Range<u32>) -> Self {
        Entries {
            segment,
            left: rows,
            front: None,
            back: None,
        }
    }

    /// Reads what is left of the block that holds a row.
    fn read(&self, row: u32) -> Result<Run> {
        let inner = &self.segment.inner;
        let left = &self.left;
        inner.side(|inner| {
            if inner.meta.bare {
                let start = row - row % BARE_RUN;
                let rows = start.max(left.start)..(start + BARE_RUN).min(left.end);
                let keys = inner.key_run(rows.clone())?;
                return Ok(Run {
                    rows,
                    keys: keys.bytes.freeze(),
                    key_ends: keys.ends,
                    block: None,
                });
            }
            let side = inner.head()?;
            let at = side.block_of(row);
            let (block_rows, bytes) = (side.block_rows(at), shared(inner.block(&side, at)?));
            let rows = block_rows.start.max(left.start)..block_rows.end.min(left.end);
            let keys = inner.key_run(rows.clone())?;
            Ok(Run {
                rows,
                keys: keys.bytes.freeze(),
                key_ends: keys.ends,
                block: Some((block_rows, bytes)),
            })
        })
    }

    /// An error ends it: what would follow could be out of order.
    fn fail(&mut self, error: Error) -> Option<Result<(u32, Bytes, Bytes)>> {
        self.left = 0..0;
        Some(Err(error))
    }

    fn lost(&mut self) -> Option<Result<(u32, Bytes, Bytes)>> {
        let what = format!("a row of {:?} is not in its block", self.segment);
        self.fail(Error::internal(what))
    }
}

impl Iterator for Entries {
    type Item = Result<(u32, Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let row = self.left.start;
        if self
            .front
            .as_ref()
            .is_none_or(|run| !run.rows.contains(&row))
        {
            if self
                .back
                .as_ref()
                .is_some_and(|run| run.rows.contains(&row))
            {
                self.front = self.back.take();
            } else {
                match self.read(row) {
                    Ok(run) => self.front = Some(run),
                    Err(error) => return self.fail(error),
                }
            }
        }
        match self.front.as_ref().and_then(|run| run.entry(row)) {
            Some(entry) => {
                self.left.start = row + 1;
                Some(Ok(entry))
            }
            None => self.lost(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len()))
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let row = self.left.end - 1;
        if self
            .back
            .as_ref()
            .is_none_or(|run| !run.rows.contains(&row))
        {
            if self
                .front
                .as_ref()
                .is_some_and(|run| run.rows.contains(&row))
            {
                self.back = self.front.take();
            } else {
                match self.read(row) {
                    Ok(run) => self.back = Some(run),
                    Err(error) => return self.fail(error),
                }
            }
        }
        match self.back.as_ref().and_then(|run| run.entry(row)) {
            Some(entry) => {
                self.left.end = row;
                Some(Ok(entry))
            }
            None => self.lost(),
        }
    }
}
