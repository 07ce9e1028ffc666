//! The frame of a window: which rows around a row a window function sees.
//!
//! An offset of a RANGE frame is added to the key that the window orders by. DataFusion adds two values
//! of one type only; told to add others, it takes the whole partition. So the key and the offsets are
//! brought to one type first, in which no sum overflows.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Cast, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use super::coerce::{self, native};
use super::scope::Typed;
use super::window::Window;
use super::{Binder, Clause, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::cast::Context;
use crate::types::names::format_type;
use crate::types::{Datum, Interval, PgType, oid, ops};

/// The most digits of a decimal of 128 bits.
const DIGITS: u8 = 38;

/// How the key of a RANGE frame is computed with.
#[derive(Clone, Copy)]
enum Scale {
    Decimal(i8),
    Float,
    /// Microseconds.
    Time,
    /// A point in time, moved by an interval.
    Moment,
}

impl Binder<'_> {
    /// The frame of a window. A RANGE frame with offsets orders by another form of the same key.
    pub(super) fn frame(&mut self, window: &mut Window) -> Result<WindowFrame> {
        let Some(frame) = window.frame.clone() else {
            return Ok(WindowFrame::new(
                (!window.order_by.is_empty()).then_some(false),
            ));
        };
        check_bounds(&frame)?;
        let units = match frame.units {
            ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
            ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
            ast::WindowFrameUnits::Groups => WindowFrameUnits::Groups,
        };
        if window.order_by.is_empty() && units == WindowFrameUnits::Groups {
            return Err(windowing("GROUPS mode requires an ORDER BY clause"));
        }
        let end = frame
            .end_bound
            .as_ref()
            .unwrap_or(&ast::WindowFrameBound::CurrentRow);
        let offsets = [offset_of(&frame.start_bound), offset_of(end)];
        let mut offsets = match (units, offsets) {
            (WindowFrameUnits::Range, [None, None]) => [None, None],
            (WindowFrameUnits::Range, offsets) => self.range_offsets(window, offsets)?,
            (_, [start, end]) => [
                start
                    .map(|start| self.row_offset(start, "starting"))
                    .transpose()?,
                end.map(|end| self.row_offset(end, "ending")).transpose()?,
            ],
        };
        let [start_offset, end_offset] = &mut offsets;
        let start = bound(&frame.start_bound, start_offset.take(), units);
        let end = bound(end, end_offset.take(), units);
        if window.order_by.is_empty() && units == WindowFrameUnits::Range {
            // All rows are peers.
            return Ok(WindowFrame::new(None));
        }
        Ok(WindowFrame::new_bounds(units, start, end))
    }

    /// A number of rows or of groups.
    fn row_offset(&mut self, offset: &ast::Expr, which: &str) -> Result<ScalarValue> {
        let typed = self.within(Clause::Window, |binder| binder.expr(offset))?;
        let typed = self.coerce(typed, PgType::INT8, Context::Assignment)?;
        match coerce::constant(&typed) {
            Some(Datum::Int8(count)) => match u64::try_from(count) {
                Ok(count) => Ok(ScalarValue::UInt64(Some(count))),
                Err(_) => Err(wrong_size(format!(
                    "frame {which} offset must not be negative"
                ))),
            },
            Some(Datum::Null) => Err(null_offset(which)),
            _ => unsupported("a frame offset that is not constant", "Write a number."),
        }
    }

    fn range_offsets(
        &mut self,
        window: &mut Window,
        offsets: [Option<&ast::Expr>; 2],
    ) -> Result<[Option<ScalarValue>; 2]> {
        // What is ordered by already orders nothing more.
        let mut known = Vec::new();
        let mut new = Vec::new();
        for sort in &window.order_by {
            new.push(!known.contains(&sort.expr));
            known.push(sort.expr.clone());
        }
        let mut keep = new.iter();
        window.order_by.retain(|_| keep.next() == Some(&true));
        let mut keep = new.iter();
        window.keys.retain(|_| keep.next() == Some(&true));
        let ([sort], [key]) = (window.order_by.as_mut_slice(), window.keys.as_slice()) else {
            return Err(windowing(
                "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
            ));
        };
        let mut values = [None, None];
        let mut scale = scale_of(key)?;
        for (slot, offset) in values.iter_mut().zip(offsets) {
            let Some(offset) = offset else { continue };
            let typed = self.within(Clause::Window, |binder| binder.expr(offset))?;
            let typed = self.offset_for(key, scale, typed)?;
            if let (Scale::Decimal(of_key), DataType::Decimal128(_, of_offset)) =
                (scale, &typed.data)
            {
                scale = Scale::Decimal(of_key.max(*of_offset));
            }
            *slot = Some(typed);
        }
        sort.expr = self.scaled(key.clone(), scale)?.expr;
        let [start, end] = values;
        let start = start.map(|value| self.range_offset(value, scale, "starting"));
        let end = end.map(|value| self.range_offset(value, scale, "ending"));
        Ok([start.transpose()?, end.transpose()?])
    }

    /// The offset in the type that PostgreSQL takes beside the key.
    fn offset_for(&mut self, key: &Typed, scale: Scale, offset: Typed) -> Result<Typed> {
        let wanted = match scale {
            Scale::Decimal(_) if key.ty.oid == oid::NUMERIC => PgType::NUMERIC,
            Scale::Decimal(_) => PgType::INT8,
            Scale::Float => PgType::FLOAT8,
            Scale::Time | Scale::Moment => PgType::INTERVAL,
        };
        let found = offset.ty;
        let offset = self.implicit(offset, wanted).map_err(|error| {
            match error.state() == SqlState::DATATYPE_MISMATCH {
                true => unlike(key.ty, Some(found)),
                false => error,
            }
        })?;
        match scale {
            // Integers, too, are added as decimals.
            Scale::Decimal(_) => self.implicit(offset, PgType::NUMERIC),
            _ => Ok(offset),
        }
    }

    /// A key or an offset in the type of the sums.
    fn scaled(&mut self, value: Typed, scale: Scale) -> Result<Typed> {
        match scale {
            Scale::Decimal(digits) => {
                let value = self.implicit(value, PgType::NUMERIC)?;
                Ok(native(
                    value,
                    PgType::NUMERIC,
                    DataType::Decimal128(DIGITS, digits),
                ))
            }
            Scale::Float => {
                let value = native(value, PgType::FLOAT8, DataType::Float64);
                let expr = functions::float_key(value.expr);
                Ok(Typed { expr, ..value })
            }
            Scale::Time => Ok(Typed {
                expr: Expr::Cast(Cast::new(Box::new(value.expr), DataType::Int64)),
                ty: PgType::INT8,
                data: DataType::Int64,
            }),
            Scale::Moment if value.ty.oid == oid::DATE => self.implicit(value, PgType::TIMESTAMP),
            Scale::Moment => Ok(value),
        }
    }

    fn range_offset(&mut self, offset: Typed, scale: Scale, which: &str) -> Result<ScalarValue> {
        let constant = coerce::constant(&offset);
        let negative = match &constant {
            Some(Datum::Null) => return Err(null_offset(which)),
            Some(Datum::Numeric(number)) => number.sign() < 0,
            Some(Datum::Float8(number)) => *number < 0.0 || number.is_nan(),
            Some(span @ Datum::Interval(_)) => {
                ops::compare(span, &Datum::Interval(Interval::default())).is_lt()
            }
            _ => {
                return unsupported(
                    "a frame offset that is not constant",
                    "Write a number or an interval.",
                );
            }
        };
        if negative {
            return Err(wrong_size(
                "invalid preceding or following size in window function".to_owned(),
            ));
        }
        let value = match (scale, constant) {
            // Days and months of the offset do not move a time.
            (Scale::Time, Some(Datum::Interval(span))) => {
                return Ok(ScalarValue::Int64(Some(span.micros)));
            }
            (Scale::Moment, _) => offset,
            _ => self.scaled(offset, scale)?,
        };
        match value.expr {
            Expr::Literal(value, _) => Ok(value),
            _ => Err(Error::internal("a frame's offset is no constant")),
        }
    }
}

fn scale_of(key: &Typed) -> Result<Scale> {
    Ok(match (key.ty.oid, &key.data) {
        (oid::INT2 | oid::INT4 | oid::INT8, _) => Scale::Decimal(0),
        (oid::NUMERIC, DataType::Decimal128(_, scale)) => Scale::Decimal(*scale),
        (oid::FLOAT4 | oid::FLOAT8, _) => Scale::Float,
        (oid::TIME, _) => Scale::Time,
        (oid::DATE | oid::TIMESTAMP | oid::TIMESTAMPTZ, _) => Scale::Moment,
        (oid::NUMERIC, _) => {
            return unsupported(
                "RANGE with an offset over a numeric without precision and scale",
                "Order by a cast to numeric(p,s).",
            );
        }
        (oid::INTERVAL, _) => {
            return unsupported(
                "RANGE with an offset over intervals",
                "Order by their EXTRACT (EPOCH FROM …).",
            );
        }
        _ => return Err(unlike(key.ty, None)),
    })
}

fn unlike(key: PgType, offset: Option<PgType>) -> Error {
    let name = |ty: PgType| format_type(PgType::new(ty.oid));
    let mut message = format!(
        "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}",
        name(key)
    );
    if let Some(offset) = offset {
        message.push_str(&format!(" and offset type {}", name(offset)));
    }
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn windowing(message: &str) -> Error {
    Error::new(SqlState::WINDOWING_ERROR, message)
}

fn wrong_size(message: String) -> Error {
    Error::new(SqlState::INVALID_PRECEDING_OR_FOLLOWING_SIZE, message)
}

fn null_offset(which: &str) -> Error {
    let message = format!("frame {which} offset must not be null");
    Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)
}

/// PostgreSQL's order of a frame's ends: what starts later than it ends is a mistake.
fn check_bounds(frame: &ast::WindowFrame) -> Result<()> {
    use ast::WindowFrameBound::{CurrentRow, Following, Preceding};
    let end = frame.end_bound.as_ref().unwrap_or(&CurrentRow);
    let wrong = match (&frame.start_bound, end) {
        (Following(None), _) => "frame start cannot be UNBOUNDED FOLLOWING",
        (_, Preceding(None)) => "frame end cannot be UNBOUNDED PRECEDING",
        (CurrentRow, Preceding(_)) => "frame starting from current row cannot have preceding rows",
        (Following(_), CurrentRow) => {
            "frame starting from following row cannot end with current row"
        }
        (Following(_), Preceding(_)) => {
            "frame starting from following row cannot have preceding rows"
        }
        _ => return Ok(()),
    };
    Err(windowing(wrong))
}

fn offset_of(bound: &ast::WindowFrameBound) -> Option<&ast::Expr> {
    match bound {
        ast::WindowFrameBound::Preceding(offset) | ast::WindowFrameBound::Following(offset) => {
            offset.as_deref()
        }
        ast::WindowFrameBound::CurrentRow => None,
    }
}

fn bound(
    bound: &ast::WindowFrameBound,
    offset: Option<ScalarValue>,
    units: WindowFrameUnits,
) -> WindowFrameBound {
    let offset = offset.unwrap_or(match units {
        WindowFrameUnits::Rows | WindowFrameUnits::Groups => ScalarValue::UInt64(None),
        WindowFrameUnits::Range => ScalarValue::Null,
    });
    match bound {
        ast::WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
        ast::WindowFrameBound::Preceding(_) => WindowFrameBound::Preceding(offset),
        ast::WindowFrameBound::Following(_) => WindowFrameBound::Following(offset),
    }
}
