//! Functions, operators without a symbol of their own in Arrow, and casts.
//!
//! Most are written on single values ([`row::RowFunction`] runs them over columns); what analytics
//! lean on (integer, float and short decimal arithmetic, date parts) works on whole columns.

mod advisory;
mod arithmetic;
mod array_series;
mod arrays;
mod casts;
mod chain;
mod collect;
mod dates;
mod decimal;
mod display;
mod extreme;
mod float_columns;
mod format;
mod formatting;
mod held;
mod json;
mod keys;
mod limits;
mod math;
mod naming;
mod quantify;
mod record;
mod registry;
mod regression;
mod row;
mod sealing;
mod session;
mod short_decimal;
mod single;
mod spread;
mod strings;
mod sum;
mod sum_packed;
mod waiting;
mod whole;

pub(super) use arithmetic::{Arithmetic, arithmetic};
pub(super) use arrays::{array_builder, set_columns};
pub(super) use casts::{cast_function, names_function};
pub(super) use chain::{LONG as LONG_CHAIN, flattened};
pub(super) use collect::collecting;
pub(super) use decimal::{KEY, is_numeric, keyed, of_key, recast};
pub(super) use display::display;
pub(super) use held::held;
pub(super) use keys::{float_key, float_of_rank, float_rank, jsonb_key};
pub(super) use limits::ValueLimit;
pub(super) use math::negated;
pub use naming::column_name;
pub(super) use quantify::quantified;
pub(super) use registry::{Functions, Output, argument_names};
pub(super) use regression::regression;
pub(super) use single::{more_than_one_row, nullable, only_looks_volatile, single};
pub(super) use spread::spread;
pub(super) use strings::like_pieces;
pub(super) use sum::{numeric_sum, sum_layout};

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// A function that no name resolves to.
pub(super) fn native(name: &'static str) -> Arc<ScalarUDF> {
    strings::internal(name)
}
