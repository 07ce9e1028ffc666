//! Ends of a window's frame that are computed beside the rows: a number of rows that is no constant, or a
//! value of the window's key. DataFusion moves an end by a constant of the key's own Arrow type only.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result as DfResult;

use crate::error::{Error, SqlState};

/// On which side of the row an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Preceding,
    Following,
}

/// One end of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Edge {
    /// Where DataFusion has it.
    #[default]
    Given,
    /// So many rows away. Takes that number (bigint).
    Rows(Side),
    /// At this value of the window's key. Takes the key and the value, in one type and order.
    Key { side: Side, descending: bool },
}

impl Edge {
    /// How many arguments it takes.
    pub fn width(self) -> usize {
        match self {
            Edge::Given => 0,
            Edge::Rows(_) => 1,
            Edge::Key { .. } => 2,
        }
    }
}

/// Both ends over the rows of one partition.
pub(super) struct Edges {
    start: Place,
    end: Place,
    rows: usize,
}

enum Place {
    Given,
    Rows(Side, ArrayRef),
    Key {
        side: Side,
        /// Compares the key of the first row with the value of the second, in the window's order.
        compare: DynComparator,
        key: ArrayRef,
        value: ArrayRef,
        /// The rows that have a key.
        valued: Range<usize>,
    },
}

impl fmt::Debug for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edges of {} rows", self.rows)
    }
}

impl Edges {
    /// `args` are those of the start, then those of the end, for so many rows.
    pub fn new(start: Edge, end: Edge, args: &[ArrayRef], rows: usize) -> DfResult<Self> {
        let (first, second) = args.split_at(start.width().min(args.len()));
        Ok(Edges {
            start: Place::new(start, first)?,
            end: Place::new(end, second)?,
            rows,
        })
    }

    /// The frame of a row, where DataFusion has this one.
    pub fn frame(&self, row: usize, given: &Range<usize>) -> DfResult<Range<usize>> {
        let start = match &self.start {
            Place::Given => given.start,
            Place::Rows(side, counts) => {
                let count = count(counts, row, "starting")?;
                match side {
                    Side::Preceding => row.saturating_sub(count),
                    Side::Following => row.saturating_add(count),
                }
            }
            key => key.find(row, "starting", |order| order == Ordering::Less)?,
        };
        let end = match &self.end {
            Place::Given => given.end,
            Place::Rows(side, counts) => {
                let count = count(counts, row, "ending")?;
                match side {
                    Side::Preceding => (row + 1).saturating_sub(count),
                    Side::Following => (row + 1).saturating_add(count),
                }
            }
            key => key.find(row, "ending", |order| order != Ordering::Greater)?,
        };
        let (start, end) = (start.min(self.rows), end.min(self.rows));
        Ok(start..end.max(start))
    }
}

impl Place {
    fn new(edge: Edge, args: &[ArrayRef]) -> DfResult<Self> {
        match (edge, args) {
            (Edge::Given, _) => Ok(Place::Given),
            (Edge::Rows(side), [counts]) if counts.data_type() == &DataType::Int64 => {
                Ok(Place::Rows(side, counts.clone()))
            }
            (Edge::Key { side, descending }, [key, value]) => {
                let order = SortOptions::new(descending, false);
                let nulls = key.logical_null_count();
                let valued = match nulls {
                    0 => 0..key.len(),
                    // Rows without a key come first or last.
                    _ if key.is_null(0) => nulls..key.len(),
                    _ => 0..key.len() - nulls,
                };
                Ok(Place::Key {
                    side,
                    compare: make_comparator(key, value, order)?,
                    key: key.clone(),
                    value: value.clone(),
                    valued,
                })
            }
            _ => Err(Error::internal("a frame's end without its value").into()),
        }
    }

    /// The first row whose key is not `before` the value of `row`. Rows without a key are each other's
    /// frame.
    fn find(&self, row: usize, which: &str, before: fn(Ordering) -> bool) -> DfResult<usize> {
        let Place::Key {
            side,
            compare,
            key,
            value,
            valued,
        } = self
        else {
            return Err(Error::internal("a frame's end without a key").into());
        };
        if key.is_null(row) {
            let nulls = match valued.start {
                0 => valued.end..key.len(),
                first => 0..first,
            };
            return Ok(match before(Ordering::Equal) {
                true => nulls.end,
                false => nulls.start,
            });
        }
        if value.is_null(row) {
            return Err(null_offset(which).into());
        }
        let beyond = match side {
            Side::Preceding => Ordering::Less,
            Side::Following => Ordering::Greater,
        };
        if compare(row, row) == beyond {
            return Err(wrong_distance().into());
        }
        let (mut low, mut high) = (valued.start, valued.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match before(compare(middle, row)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

fn count(counts: &ArrayRef, row: usize, which: &str) -> DfResult<usize> {
    if counts.is_null(row) {
        return Err(null_offset(which).into());
    }
    let count = counts.as_primitive::<Int64Type>().value(row);
    usize::try_from(count).map_err(|_| negative_count(which).into())
}

/// 22004.
pub(super) fn null_offset(which: &str) -> Error {
    let message = format!("frame {which} offset must not be null");
    Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)
}

/// 22013 for a number of rows.
pub(super) fn negative_count(which: &str) -> Error {
    wrong_size(format!("frame {which} offset must not be negative"))
}

/// 22013 for a distance between keys.
pub(super) fn wrong_distance() -> Error {
    wrong_size("invalid preceding or following size in window function".to_owned())
}

fn wrong_size(message: String) -> Error {
    Error::new(SqlState::INVALID_PRECEDING_OR_FOLLOWING_SIZE, message)
}
