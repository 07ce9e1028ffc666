//! The frame of a window: which rows around a row a window function sees.
//!
//! An offset of a RANGE frame is added to the key that the window orders by. DataFusion adds two values
//! of one type only; told to add others, it takes the whole partition. So the key and the offsets are
//! brought to one type first, in which no sum overflows. Where there is none, or an offset is no constant,
//! the ends are computed beside the rows ([`crate::query::frame_edge`]).

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Cast, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use super::coerce::{self, native};
use super::scope::Typed;
use super::window::Window;
use super::{Binder, Clause, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::frame_edge::{Edge, Side, negative_count, null_offset, wrong_distance};
use crate::query::framed::Frame;
use crate::query::functions;
use crate::types::cast::Context;
use crate::types::names::format_type;
use crate::types::ops::BinaryOp;
use crate::types::{Datum, Interval, PgType, oid, ops};

/// The most digits of a decimal of 128 bits.
const DIGITS: u8 = 38;

/// How the key of a RANGE frame is computed with.
#[derive(Clone, Copy)]
enum Scale {
    Decimal(i8),
    /// Numbers with a scale each.
    Packed,
    /// An interval.
    Span,
    Float,
    /// Microseconds.
    Time,
    /// A point in time, moved by an interval.
    Moment,
}

/// A window's frame.
pub(super) struct Bounds {
    /// What DataFusion is told.
    pub given: WindowFrame,
    /// What it is not told, and what that needs.
    pub own: Frame,
    pub args: Vec<Expr>,
}

/// How far an end is from the row.
enum Offset {
    Given(ScalarValue),
    Own(Edge, Vec<Expr>),
}

impl Binder<'_> {
    /// The frame of a window. A RANGE frame with offsets may order by another form of the same key.
    pub(super) fn frame(&mut self, window: &mut Window) -> Result<Bounds> {
        let whole = |window: &Window| Bounds {
            given: WindowFrame::new((!window.order_by.is_empty()).then_some(false)),
            own: Frame {
                exclude: window.exclude,
                ..Frame::default()
            },
            args: Vec::new(),
        };
        let Some(frame) = window.frame.clone() else {
            return Ok(whole(window));
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
        let start = &frame.start_bound;
        let end = frame
            .end_bound
            .as_ref()
            .unwrap_or(&ast::WindowFrameBound::CurrentRow);
        let away = [offset_of(start), offset_of(end)];
        let mut offsets = match (units, away) {
            (_, [None, None]) => [None, None],
            (WindowFrameUnits::Range, away) => self.range_offsets(window, away)?,
            (_, [start, end]) => [
                start
                    .map(|start| self.row_offset(start, units, "starting"))
                    .transpose()?,
                end.map(|end| self.row_offset(end, units, "ending"))
                    .transpose()?,
            ],
        };
        let [start_offset, end_offset] = &mut offsets;
        let mut found = whole(window);
        found.own.start = own_edge(start_offset, &mut found.args);
        found.own.end = own_edge(end_offset, &mut found.args);
        let mut start = bound(start, start_offset.take(), units);
        let mut end = bound(end, end_offset.take(), units);
        if found.own.start != Edge::Given {
            start = WindowFrameBound::Preceding(open(units));
        }
        if found.own.end != Edge::Given {
            end = WindowFrameBound::Following(open(units));
        }
        if !window.order_by.is_empty() || units != WindowFrameUnits::Range {
            found.given = WindowFrame::new_bounds(units, start, end);
        }
        Ok(found)
    }

    /// An offset, which reads no row.
    fn offset(&mut self, offset: &ast::Expr, units: &str) -> Result<Typed> {
        let typed = self.within(Clause::Window, |binder| binder.expr(offset))?;
        match typed.expr.column_refs().is_empty() {
            true => Ok(typed),
            false => Err(Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("argument of {units} must not contain variables"),
            )),
        }
    }

    /// A number of rows or of groups.
    fn row_offset(
        &mut self,
        (offset, side): (&ast::Expr, Side),
        units: WindowFrameUnits,
        which: &str,
    ) -> Result<Offset> {
        let groups = units == WindowFrameUnits::Groups;
        let typed = self.offset(offset, if groups { "GROUPS" } else { "ROWS" })?;
        let typed = self.coerce(typed, PgType::INT8, Context::Assignment)?;
        match coerce::constant(&typed) {
            Some(Datum::Int8(count)) => match u64::try_from(count) {
                Ok(count) => Ok(Offset::Given(ScalarValue::UInt64(Some(count)))),
                Err(_) => Err(negative_count(which)),
            },
            Some(Datum::Null) => Err(null_offset(which)),
            _ if groups => {
                unsupported("a number of GROUPS that is not constant", "Write a number.")
            }
            _ => Ok(Offset::Own(Edge::Rows(side), vec![typed.expr])),
        }
    }

    fn range_offsets(
        &mut self,
        window: &mut Window,
        offsets: [Option<(&ast::Expr, Side)>; 2],
    ) -> Result<[Option<Offset>; 2]> {
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
        let mut scale = scale_of(key)?;
        let mut values = Vec::with_capacity(2);
        for ((offset, side), which) in offsets.into_iter().flatten().zip(names(&offsets)) {
            let typed = self.offset(offset, "RANGE")?;
            let typed = self.offset_for(key, scale, typed)?;
            let constant = coerce::constant(&typed);
            if let Some(constant) = &constant {
                check_distance(constant, which)?;
            }
            scale = match (scale, &typed.data) {
                (Scale::Decimal(of_key), DataType::Decimal128(_, of_offset))
                    if constant.is_some() =>
                {
                    Scale::Decimal(of_key.max(*of_offset))
                }
                (Scale::Decimal(_), _) => Scale::Packed,
                (Scale::Time, _) if constant.is_none() => {
                    return unsupported(
                        "a frame offset that is not constant over times of day",
                        "Write an interval.",
                    );
                }
                (scale, _) => scale,
            };
            values.push((typed, side));
        }
        let constant = values
            .iter()
            .all(|(value, _)| matches!(value.expr, Expr::Literal(..)));
        let given = constant && !matches!(scale, Scale::Packed | Scale::Span);
        let (key, sort) = (key.clone(), sort);
        let mut found = Vec::with_capacity(2);
        for (value, side) in values {
            found.push(match given {
                true => self.given_offset(value, scale)?,
                false => self.own_offset(&key, sort, (value, side), scale)?,
            });
        }
        if given {
            sort.expr = self.scaled(key, scale)?.expr;
        }
        let mut found = found.into_iter();
        Ok(offsets.map(|offset| offset.and_then(|_| found.next())))
    }

    /// The offset in the type that PostgreSQL takes beside the key.
    fn offset_for(&mut self, key: &Typed, scale: Scale, offset: Typed) -> Result<Typed> {
        let wanted = match scale {
            Scale::Decimal(_) | Scale::Packed if key.ty.oid == oid::NUMERIC => PgType::NUMERIC,
            Scale::Decimal(_) | Scale::Packed => PgType::INT8,
            Scale::Float => PgType::FLOAT8,
            Scale::Time | Scale::Moment | Scale::Span => PgType::INTERVAL,
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
            Scale::Decimal(_) | Scale::Packed => self.implicit(offset, PgType::NUMERIC),
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
            Scale::Packed => {
                let value = self.implicit(value, PgType::NUMERIC)?;
                Ok(native(value, PgType::NUMERIC, DataType::Binary))
            }
            Scale::Span => Ok(value),
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

    fn given_offset(&mut self, offset: Typed, scale: Scale) -> Result<Offset> {
        let value = match (scale, coerce::constant(&offset)) {
            // Days and months of the offset do not move a time.
            (Scale::Time, Some(Datum::Interval(span))) => {
                return Ok(Offset::Given(ScalarValue::Int64(Some(span.micros))));
            }
            (Scale::Moment, _) => offset,
            _ => self.scaled(offset, scale)?,
        };
        match value.expr {
            Expr::Literal(value, _) => Ok(Offset::Given(value)),
            _ => Err(Error::internal("a frame's offset is no constant")),
        }
    }

    /// The end of a frame as a value of the key.
    fn own_offset(
        &mut self,
        key: &Typed,
        sort: &Sort,
        (offset, side): (Typed, Side),
        scale: Scale,
    ) -> Result<Offset> {
        let key = self.scaled(key.clone(), scale)?;
        let (op, name) = match (side, sort.asc) {
            (Side::Preceding, true) | (Side::Following, false) => (BinaryOp::Sub, "-"),
            (Side::Following, true) | (Side::Preceding, false) => (BinaryOp::Add, "+"),
        };
        let value = self.arithmetic(op, name, key.clone(), offset)?;
        let mut args = Vec::with_capacity(2);
        for typed in [key, value] {
            let typed = match scale {
                Scale::Moment | Scale::Span | Scale::Float => typed,
                _ => self.scaled(typed, Scale::Packed)?,
            };
            args.push(match scale {
                Scale::Moment => typed.expr,
                Scale::Span | Scale::Float => self.order_expr(typed)?,
                _ => functions::keyed(typed.expr, &typed.data),
            });
        }
        let edge = Edge::Key {
            side,
            descending: !sort.asc,
        };
        Ok(Offset::Own(edge, args))
    }
}

/// Which ends have an offset.
fn names<T>(offsets: &[Option<T>; 2]) -> impl Iterator<Item = &'static str> + use<T> {
    let [start, end] = offsets;
    let start = start.as_ref().map(|_| "starting");
    start.into_iter().chain(end.as_ref().map(|_| "ending"))
}

/// What PostgreSQL says of a constant distance between keys.
fn check_distance(offset: &Datum<'_>, which: &str) -> Result<()> {
    let negative = match offset {
        Datum::Null => return Err(null_offset(which)),
        Datum::Numeric(number) => number.sign() < 0,
        Datum::Float8(number) => *number < 0.0 || number.is_nan(),
        span @ Datum::Interval(_) => {
            ops::compare(span, &Datum::Interval(Interval::default())).is_lt()
        }
        _ => false,
    };
    match negative {
        true => Err(wrong_distance()),
        false => Ok(()),
    }
}

fn scale_of(key: &Typed) -> Result<Scale> {
    Ok(match (key.ty.oid, &key.data) {
        (oid::INT2 | oid::INT4 | oid::INT8, _) => Scale::Decimal(0),
        (oid::NUMERIC, DataType::Decimal128(_, scale)) => Scale::Decimal(*scale),
        (oid::FLOAT4 | oid::FLOAT8, _) => Scale::Float,
        (oid::TIME, _) => Scale::Time,
        (oid::DATE | oid::TIMESTAMP | oid::TIMESTAMPTZ, _) => Scale::Moment,
        (oid::NUMERIC, _) => Scale::Packed,
        (oid::INTERVAL, _) => Scale::Span,
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

fn offset_of(bound: &ast::WindowFrameBound) -> Option<(&ast::Expr, Side)> {
    match bound {
        ast::WindowFrameBound::Preceding(offset) => Some((offset.as_deref()?, Side::Preceding)),
        ast::WindowFrameBound::Following(offset) => Some((offset.as_deref()?, Side::Following)),
        ast::WindowFrameBound::CurrentRow => None,
    }
}

/// The offset of UNBOUNDED.
fn open(units: WindowFrameUnits) -> ScalarValue {
    match units {
        WindowFrameUnits::Rows | WindowFrameUnits::Groups => ScalarValue::UInt64(None),
        WindowFrameUnits::Range => ScalarValue::Null,
    }
}

/// An end that DataFusion is not told of: to it, that end is open.
fn own_edge(offset: &mut Option<Offset>, args: &mut Vec<Expr>) -> Edge {
    match offset.take() {
        Some(Offset::Own(edge, more)) => {
            args.extend(more);
            edge
        }
        given => {
            *offset = given;
            Edge::Given
        }
    }
}

fn bound(
    bound: &ast::WindowFrameBound,
    offset: Option<Offset>,
    units: WindowFrameUnits,
) -> WindowFrameBound {
    let offset = match offset {
        Some(Offset::Given(value)) => value,
        _ => open(units),
    };
    match bound {
        ast::WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
        ast::WindowFrameBound::Preceding(_) => WindowFrameBound::Preceding(offset),
        ast::WindowFrameBound::Following(_) => WindowFrameBound::Following(offset),
    }
}
