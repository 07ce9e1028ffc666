//! SELECT of neighbouring rows: some range of the primary key, in its order.
//!
//! DataFusion plans longer than it takes to read a hundred rows. So a query of this form keeps this
//! beside its plan, and reads rows one by one as long as they are few. When they are not, nothing has
//! happened yet, and the plan reads columns.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::sql::sqlparser::ast::{self, OrderByKind};

use super::access::{Part, fixes, key_column, narrowed};
use super::expr::{Env, Expr, Node, Row};
use super::select::{Shape, projection, shape};
use super::{Compiler, Scope};
use crate::catalog::{Table, fold};
use crate::error::Result;
use crate::query::{Plan, PlanContext, ResultColumn, SessionInfo};
use crate::sql::dml::target::Target;
use crate::txn::View;
use crate::types::ops::BinaryOp;
use crate::types::{Datum, key};

/// Rows that are looked at, and bytes of them, before the plan takes over: reading them takes about as
/// long as planning does.
const FEW_ROWS: usize = if cfg!(test) { 50 } else { 1000 };
const FEW_BYTES: usize = 1 << 20;

/// What reads the rows of a query without its plan.
pub struct RangeSelect {
    target: Arc<Target>,
    /// Values of the key's leading columns.
    fixed: Vec<Part>,
    /// Bounds of the column behind them; whether they count.
    low: Option<(Part, bool)>,
    high: Option<(Part, bool)>,
    /// All of the WHERE clause: the range may be generous.
    condition: Expr,
    items: Vec<Expr>,
    backward: bool,
    limit: usize,
    /// Whether rows were few the last time.
    few: AtomicBool,
}

impl RangeSelect {
    /// `None` when the query, whose plan this is, is of another form.
    ///
    /// # Errors
    /// Only those of a damaged catalog.
    pub fn compile(
        query: &ast::Query,
        plan: &Plan,
        context: &PlanContext<'_>,
    ) -> Result<Option<RangeSelect>> {
        let mut compiler = Compiler::new(context.catalog, context.info, &plan.parameters);
        let Some(shape) = shape(&compiler, query) else {
            return Ok(None);
        };
        let Some(selection) = &shape.select.selection else {
            return Ok(None);
        };
        let target = Target::new(compiler.catalog, compiler.info, &shape.table)?;
        let scope = Scope::table(&target.table, &shape.alias);
        let Some(condition) = compiler.condition(selection, scope) else {
            return Ok(None);
        };
        let Some(items) = projection(&mut compiler, &shape.select.projection, scope) else {
            return Ok(None);
        };
        let (columns, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let plain = condition.is_plain() && items.iter().all(Expr::is_plain);
        // Both ways have to understand the query alike.
        if !plain || *columns != *plan.columns || compiler.parameters != plan.parameters {
            return Ok(None);
        }
        let Some(Bounds { fixed, low, high }) = bounds(&target, &condition) else {
            return Ok(None);
        };
        let order = order(&mut compiler, &shape, scope, &columns, &items);
        let Some(backward) = order.and_then(|order| direction(&target.table, fixed.len(), &order))
        else {
            return Ok(None);
        };
        Ok(Some(RangeSelect {
            target: target.clone(),
            fixed,
            low,
            high,
            condition,
            items,
            backward,
            limit: shape.limit.map_or(usize::MAX, |limit| limit as usize),
            few: AtomicBool::new(true),
        }))
    }

    /// Whether rows are likely to be few.
    pub fn expects_few(&self) -> bool {
        self.few.load(Ordering::Relaxed)
    }

    /// The rows that a view shows; `None` when they are not few. Of `info`, only the text style is
    /// read.
    pub fn read(
        &self,
        view: &View,
        parameters: &[Datum<'static>],
        info: &SessionInfo,
    ) -> Result<Option<Vec<Vec<Datum<'static>>>>> {
        let env = Env {
            row: Row::None,
            parameters,
            info,
        };
        let rows = self.rows(view, &env)?;
        self.few.store(rows.is_some(), Ordering::Relaxed);
        Ok(rows)
    }

    fn rows(&self, view: &View, env: &Env<'_>) -> Result<Option<Vec<Vec<Datum<'static>>>>> {
        let mut rows = Vec::new();
        let Some((from, to)) = self.range(env)? else {
            return Ok(Some(rows));
        };
        let storage = self.target.table.storage;
        let (from, to) = (from.as_ref(), to.as_ref());
        let mut entries = view.range(storage, from.map(Vec::as_slice), to.map(Vec::as_slice))?;
        let (mut seen, mut bytes) = (0, 0);
        while rows.len() < self.limit {
            let next = match self.backward {
                false => entries.next(),
                true => entries.next_back(),
            };
            let Some(entry) = next else {
                break;
            };
            let (_, entry) = entry?;
            (seen, bytes) = (seen + 1, bytes + entry.as_ref().len());
            if seen > FEW_ROWS || bytes > FEW_BYTES {
                return Ok(None);
            }
            let row = self.target.stored(entry.as_ref())?;
            let env = Env { row, ..*env };
            if self.condition.holds(&env)? {
                let values = self.items.iter();
                let values = values.map(|item| Ok(item.eval(&env)?.into_owned()));
                rows.push(values.collect::<Result<_>>()?);
            }
        }
        Ok(Some(rows))
    }

    /// The keys of all rows that may match; `None` when none can.
    fn range(&self, env: &Env<'_>) -> Result<Option<(Bound<Vec<u8>>, Bound<Vec<u8>>)>> {
        let mut prefix = Vec::with_capacity(16);
        for part in &self.fixed {
            match narrowed(part.value.eval(env)?, part.ty) {
                Some(value) => key::encode(&value, part.ty, &mut prefix)?,
                None => return Ok(None),
            }
        }
        // No value is beyond what fits the column, or all are: the condition tells which.
        let encoded = |bound: &Option<(Part, bool)>| -> Result<Option<(Vec<u8>, bool)>> {
            let Some((part, inclusive)) = bound else {
                return Ok(None);
            };
            let Some(value) = narrowed(part.value.eval(env)?, part.ty) else {
                return Ok(None);
            };
            let mut bytes = Vec::with_capacity(16);
            key::encode(&value, part.ty, &mut bytes)?;
            Ok(Some((bytes, *inclusive)))
        };
        Ok(key::range(
            &prefix,
            encoded(&self.low)?.as_ref(),
            encoded(&self.high)?.as_ref(),
        ))
    }
}

struct Bounds {
    fixed: Vec<Part>,
    low: Option<(Part, bool)>,
    high: Option<(Part, bool)>,
}

/// What a condition says of the primary key; `None` when that is nothing.
fn bounds(target: &Target, condition: &Expr) -> Option<Bounds> {
    let mut conditions = Vec::new();
    conjuncts(condition, &mut conditions);
    let mut bounds = Bounds {
        fixed: Vec::new(),
        low: None,
        high: None,
    };
    for &at in &target.table.primary_key {
        let ty = *target.types.get(at)?;
        let part = |value: &Expr| Part {
            value: value.clone(),
            ty,
        };
        let mut fixing = conditions.iter().filter_map(|condition| fixes(condition));
        if let Some((_, value)) = fixing.find(|(column, _)| *column == at) {
            bounds.fixed.push(part(value));
            continue;
        }
        for (column, op, value) in conditions.iter().filter_map(|it| limits(it)) {
            if column != at {
                continue;
            }
            let (side, inclusive) = match op {
                BinaryOp::Gt => (&mut bounds.low, false),
                BinaryOp::GtEq => (&mut bounds.low, true),
                BinaryOp::Lt => (&mut bounds.high, false),
                _ => (&mut bounds.high, true),
            };
            // The tighter of two would be better; any is right.
            if side.is_none() {
                *side = Some((part(value), inclusive));
            }
        }
        break;
    }
    let some = !bounds.fixed.is_empty() || bounds.low.is_some() || bounds.high.is_some();
    some.then_some(bounds)
}

fn conjuncts<'e>(condition: &'e Expr, out: &mut Vec<&'e Expr>) {
    match &condition.node {
        Node::And(left, right) => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        _ => out.push(condition),
    }
}

/// `column < value` and its like, where the value does not depend on the row and compares as the key
/// does.
fn limits(condition: &Expr) -> Option<(usize, BinaryOp, &Expr)> {
    let Node::Binary(op, left, right) = &condition.node else {
        return None;
    };
    let swapped = match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::LtEq => BinaryOp::GtEq,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::GtEq => BinaryOp::LtEq,
        _ => return None,
    };
    match (key_column(left), key_column(right)) {
        (Some(column), _) if !right.reads_row() => Some((column, *op, right)),
        (_, Some(column)) if !left.reads_row() => Some((column, swapped, left)),
        _ => None,
    }
}

/// The columns that ORDER BY names, and whether each descends; `None` when it names something else.
fn order(
    compiler: &mut Compiler<'_>,
    shape: &Shape<'_>,
    scope: Scope<'_>,
    columns: &[ResultColumn],
    items: &[Expr],
) -> Option<Vec<(usize, bool)>> {
    let Some(order) = shape.order else {
        return Some(Vec::new());
    };
    let (OrderByKind::Expressions(by), None) = (&order.kind, &order.interpolate) else {
        return None;
    };
    let mut out = Vec::with_capacity(by.len());
    for by in by {
        // Keys are never NULL, so it does not matter where NULLs would come.
        let Node::Column(at) = compiler.compile(&by.expr, scope)?.node else {
            return None;
        };
        // A name is that of an output column first.
        if let ast::Expr::Identifier(name) = &by.expr {
            let name = fold(name);
            let mut named = columns.iter().zip(items).filter(|(it, _)| it.name == name);
            if named.any(|(_, item)| !matches!(item.node, Node::Column(column) if column == at)) {
                return None;
            }
        }
        if by.with_fill.is_some() {
            return None;
        }
        out.push((at, by.options.asc == Some(false)));
    }
    Some(out)
}

/// Whether key order, without the first `fixed` columns, is the asked-for order (`Some(false)`) or
/// its opposite (`Some(true)`).
fn direction(table: &Table, fixed: usize, order: &[(usize, bool)]) -> Option<bool> {
    let (fixed, free) = table.primary_key.split_at_checked(fixed)?;
    let order: Vec<_> = order.iter().filter(|(at, _)| !fixed.contains(at)).collect();
    let backward = order.first().is_some_and(|(_, descends)| *descends);
    let mut free = free.iter();
    let fits = |(at, descends): &&(usize, bool)| *descends == backward && free.next() == Some(at);
    order.iter().all(fits).then_some(backward)
}
