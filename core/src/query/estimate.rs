//! How many rows a plan gives, and how many different values a column has: guesses for the order of
//! joins. They start from what is known exactly, the number of rows of tables in the view and the
//! bounds of what is sealed, so that guesses are only needed for conditions.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator, TableScan};

use super::context::ReadContext;
use super::scan::TableSource;
use crate::types::Datum;
use crate::types::ops::as_float;

/// Rows of a relation of which nothing is known.
const UNKNOWN_ROWS: f64 = 1000.0;
/// Different values of a column of which nothing is known, at most.
const UNKNOWN_VALUES: f64 = 100.0;
/// Functions that give a value in another form, in the same order.
const FORMS: [&str; 4] = [
    "numeric_recast",
    "numeric_key",
    "numeric_float",
    "float_key",
];
/// Shares of rows that match conditions of which nothing is known.
const UNKNOWN_SHARE: f64 = 1.0 / 3.0;
const LIKE_SHARE: f64 = 0.1;
const NULL_SHARE: f64 = 0.02;
const SEMI_SHARE: f64 = 0.5;

pub(super) struct Estimator<'a> {
    read: &'a ReadContext,
    /// Bounds by table and position of the column.
    bounds: RefCell<HashMap<(u32, usize), Option<(f64, f64)>>>,
}

/// A stored column.
struct Origin {
    provider: Arc<dyn TableProvider>,
    /// Position in the table.
    position: usize,
}

impl Origin {
    fn source(&self) -> Option<&TableSource> {
        source(self.provider.as_ref())
    }
}

fn source(provider: &dyn TableProvider) -> Option<&TableSource> {
    let provider: &dyn Any = provider;
    provider.downcast_ref::<TableSource>()
}

impl<'a> Estimator<'a> {
    pub fn new(read: &'a ReadContext) -> Self {
        Estimator {
            read,
            bounds: RefCell::default(),
        }
    }

    /// Rows of a plan.
    pub fn rows(&self, plan: &LogicalPlan) -> f64 {
        let rows = match plan {
            LogicalPlan::TableScan(scan) => {
                let rows = self.table_rows(scan);
                scan.fetch.map_or(rows, |fetch| rows.min(fetch as f64))
            }
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input);
                rows * self.share(&filter.predicate, &filter.input, rows)
            }
            LogicalPlan::Limit(limit) => {
                let rows = self.rows(&limit.input);
                let fetch = limit.fetch.as_deref().and_then(literal);
                fetch.and_then(number).map_or(rows, |fetch| rows.min(fetch))
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => 1.0,
            LogicalPlan::Aggregate(aggregate) => {
                let rows = self.rows(&aggregate.input);
                let groups = aggregate.group_expr.iter();
                let groups: f64 = groups
                    .map(|expr| self.values(&aggregate.input, expr))
                    .product();
                rows.min(groups)
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (self.rows(&join.left), self.rows(&join.right));
                let values = join.on.iter().map(|(l, r)| {
                    let (l, r) = (self.values(&join.left, l), self.values(&join.right, r));
                    l.max(r)
                });
                let inner = left * right / values.product::<f64>().max(1.0);
                match join.join_type {
                    JoinType::Inner => inner,
                    JoinType::Left => inner.max(left),
                    JoinType::Right => inner.max(right),
                    JoinType::Full => inner.max(left + right),
                    JoinType::LeftSemi | JoinType::LeftAnti => left * SEMI_SHARE,
                    JoinType::RightSemi | JoinType::RightAnti => right * SEMI_SHARE,
                    JoinType::LeftMark => left,
                    JoinType::RightMark => right,
                }
            }
            LogicalPlan::Union(union) => union.inputs.iter().map(|input| self.rows(input)).sum(),
            LogicalPlan::Values(values) => values.values.len() as f64,
            LogicalPlan::EmptyRelation(empty) => f64::from(u8::from(empty.produce_one_row)),
            LogicalPlan::Distinct(Distinct::All(input)) => self.rows(input),
            other => match other.inputs().as_slice() {
                [] => UNKNOWN_ROWS,
                inputs => inputs
                    .iter()
                    .map(|input| self.rows(input))
                    .fold(0.0, f64::max),
            },
        };
        rows.max(1.0)
    }

    /// Rows of what a plan reads, before its conditions.
    pub fn stored(&self, plan: &LogicalPlan) -> f64 {
        match plan {
            LogicalPlan::TableScan(scan) => self.table_rows(scan),
            LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
                let inputs = plan.inputs();
                inputs
                    .first()
                    .map_or(UNKNOWN_ROWS, |input| self.stored(input))
            }
            other => self.rows(other),
        }
    }

    fn table_rows(&self, scan: &TableScan) -> f64 {
        let provider = source_as_provider(&scan.source).ok();
        let table = provider.as_deref().and_then(source);
        table.map_or(UNKNOWN_ROWS, |source| self.stored_rows(source))
    }

    fn stored_rows(&self, source: &TableSource) -> f64 {
        // Not the view's: a guess is no read that a serializable transaction has to answer for.
        let rows = self.read.view.snapshot().len(source.table.storage);
        rows.map_or(UNKNOWN_ROWS, |rows| rows as f64).max(1.0)
    }

    /// Different values of an expression over a plan, before the plan's own conditions.
    pub fn values(&self, plan: &LogicalPlan, expr: &Expr) -> f64 {
        let origin = column_of(expr).and_then(|column| origin_of(plan, column));
        let Some((origin, source)) = origin
            .as_ref()
            .and_then(|origin| Some((origin, origin.source()?)))
        else {
            return UNKNOWN_VALUES;
        };
        let rows = self.stored_rows(source);
        let position = origin.position;
        let unique = source.table.primary_key == [position]
            || source
                .indexes
                .iter()
                .any(|index| index.unique && index.columns == [position]);
        if unique {
            return rows;
        }
        match self.bounds(origin) {
            Some((low, high)) => (high - low + 1.0).clamp(1.0, rows),
            None => rows.min(UNKNOWN_VALUES),
        }
    }

    /// The least and the greatest of the sealed values of a column of numbers.
    fn bounds(&self, origin: &Origin) -> Option<(f64, f64)> {
        let table = &origin.source()?.table;
        let key = (table.oid, origin.position);
        if let Some(known) = self.bounds.borrow().get(&key) {
            return *known;
        }
        let parts = super::scan::parts_of(&self.read.view, table.storage).unwrap_or_default();
        let groups = parts.iter().flat_map(|part| part.segment.groups());
        let mut bounds: Option<(f64, f64)> = None;
        for group in groups {
            let stats = group.stats(origin.position);
            let number = |bound: &Option<Datum<'_>>| bound.as_ref().and_then(datum_number);
            let known = stats.and_then(|stats| Some((number(&stats.min)?, number(&stats.max)?)));
            let Some((low, high)) = known else {
                bounds = None;
                break;
            };
            bounds = Some(match bounds {
                Some((least, most)) => (least.min(low), most.max(high)),
                None => (low, high),
            });
        }
        self.bounds.borrow_mut().insert(key, bounds);
        bounds
    }

    /// The share of a plan's rows that match a condition. So many rows are known: to count them anew for
    /// each condition would double the work with every level of a plan.
    fn share(&self, condition: &Expr, plan: &LogicalPlan, rows: f64) -> f64 {
        // Several limits of one column are one range.
        let mut ranges: HashMap<&Column, (f64, f64)> = HashMap::new();
        let mut share = 1.0;
        for condition in split_conjunction(condition) {
            match self.range(condition, plan) {
                Some((column, (from, to))) => {
                    let range = ranges.entry(column).or_insert((0.0, 1.0));
                    *range = (range.0.max(from), range.1.min(to));
                }
                None => share *= self.share_of_one(condition, plan, rows),
            }
        }
        for (from, to) in ranges.values() {
            share *= (to - from).max(1.0 / rows);
        }
        share.clamp(0.0, 1.0)
    }

    /// A limit of a column: which part of its values it leaves, from 0 to 1.
    fn range<'e>(
        &self,
        condition: &'e Expr,
        plan: &LogicalPlan,
    ) -> Option<(&'e Column, (f64, f64))> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
            return None;
        };
        let (column, op, limit) = match (column_of(left), literal(right)) {
            (Some(column), Some(limit)) => (column, *op, limit),
            _ => (column_of(right)?, op.swap()?, literal(left)?),
        };
        let (low, high) = self.bounds(&origin_of(plan, column)?)?;
        let limit = number(limit)?;
        let place = match high > low {
            true => ((limit - low) / (high - low)).clamp(0.0, 1.0),
            false => 0.5,
        };
        match op {
            Operator::Lt | Operator::LtEq => Some((column, (0.0, place))),
            Operator::Gt | Operator::GtEq => Some((column, (place, 1.0))),
            _ => None,
        }
    }

    fn share_of_one(&self, condition: &Expr, plan: &LogicalPlan, rows: f64) -> f64 {
        let share = |condition: &Expr| self.share(condition, plan, rows);
        let equal = |left: &Expr, right: &Expr| match (literal(left), literal(right)) {
            (None, Some(_)) => 1.0 / self.values(plan, left).max(1.0),
            (Some(_), None) => 1.0 / self.values(plan, right).max(1.0),
            _ => {
                1.0 / self
                    .values(plan, left)
                    .max(self.values(plan, right))
                    .max(1.0)
            }
        };
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Or => {
                    let (left, right) = (share(left), share(right));
                    left + right - left * right
                }
                Operator::Eq | Operator::IsNotDistinctFrom => equal(left, right),
                Operator::NotEq | Operator::IsDistinctFrom => 1.0 - equal(left, right),
                _ => UNKNOWN_SHARE,
            },
            Expr::Not(inner) => 1.0 - share(inner),
            Expr::InList(list) => {
                let values = self.values(plan, &list.expr).max(1.0);
                let share = (list.list.len() as f64 / values).min(1.0);
                if list.negated { 1.0 - share } else { share }
            }
            Expr::Like(like) if like.negated => 1.0 - LIKE_SHARE,
            Expr::Like(_) => LIKE_SHARE,
            Expr::ScalarFunction(call) if call.func.name() == "like" => LIKE_SHARE,
            Expr::IsNull(_) => NULL_SHARE,
            Expr::IsNotNull(_) => 1.0 - NULL_SHARE,
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
            Expr::Literal(..) => 0.0,
            _ => UNKNOWN_SHARE,
        }
    }
}

/// The column that an expression is, perhaps in another form that compares alike.
fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column_of(&cast.expr),
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::ScalarFunction(call) if FORMS.contains(&call.func.name()) => {
            call.args.first().and_then(column_of)
        }
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int16(Some(value)) => f64::from(*value),
        ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => f64::from(*value),
        ScalarValue::Int64(Some(value)) | ScalarValue::TimestampMicrosecond(Some(value), _) => {
            *value as f64
        }
        ScalarValue::Float32(Some(value)) => f64::from(*value),
        ScalarValue::Float64(Some(value)) => *value,
        ScalarValue::Decimal128(Some(value), _, scale) => {
            *value as f64 / 10_f64.powi(i32::from(*scale))
        }
        _ => return None,
    })
}

fn datum_number(value: &Datum<'_>) -> Option<f64> {
    match value {
        Datum::Date(value) => Some(f64::from(*value)),
        Datum::Timestamp(value) | Datum::Timestamptz(value) => Some(*value as f64),
        other => as_float(other).filter(|value| value.is_finite()),
    }
}

/// Where a plan's column comes from, if it is a stored one.
fn origin_of(plan: &LogicalPlan, column: &Column) -> Option<Origin> {
    let at = plan.schema().maybe_index_of_column(column)?;
    origin(plan, at)
}

fn origin(plan: &LogicalPlan, at: usize) -> Option<Origin> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let at = match &scan.projection {
                Some(projection) => *projection.get(at)?,
                None => at,
            };
            let provider = source_as_provider(&scan.source).ok()?;
            let position = *source(provider.as_ref())?.positions.get(at)?;
            Some(Origin { provider, position })
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Projection(projection) => {
            origin_of(&projection.input, column_of(projection.expr.get(at)?)?)
        }
        LogicalPlan::Aggregate(aggregate) => {
            origin_of(&aggregate.input, column_of(aggregate.group_expr.get(at)?)?)
        }
        LogicalPlan::Join(join) => {
            let (qualifier, field) = join.schema.qualified_field(at);
            let column = Column::new(qualifier.cloned(), field.name());
            origin_of(&join.left, &column).or_else(|| origin_of(&join.right, &column))
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => origin(plan.inputs().first()?, at),
        _ => None,
    }
}
