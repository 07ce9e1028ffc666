//! Window functions over frames that DataFusion does not have: frames with EXCLUDE, frames whose ends
//! are computed beside the rows ([`super::frame_edge`]), and frames that slide under an aggregate that
//! cannot take a value back.
//!
//! A frame that starts where the last one did is aggregated on; any other anew, so the cost is the
//! product of rows and frames. Therefore each row looks whether the statement was stopped.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{SortColumn, filter};
use arrow::datatypes::{DataType, FieldRef, Int64Type, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::utils::evaluate_partition_ranges;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, Expr, LogicalPlan, PartitionEvaluator, Signature, Volatility,
    WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use super::frame_edge::{Edge, Edges};
use super::rules::has_node;
use crate::error::{Error, Result, SqlState};
use crate::txn::Interrupt;

/// What a frame leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Exclude {
    CurrentRow,
    Group,
    Ties,
}

/// What is computed of the rows that are left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Over {
    /// The last argument is the condition of FILTER, if there is one.
    Aggregate(Arc<AggregateUDF>, bool),
    First,
    Last,
    Nth,
}

/// How a frame differs from the one that DataFusion is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub exclude: Option<Exclude>,
    pub start: Edge,
    pub end: Edge,
}

impl Frame {
    /// Whether it does not differ.
    pub fn is_given(self) -> bool {
        self == Frame::default()
    }

    fn width(self) -> usize {
        self.start.width() + self.end.width()
    }
}

/// The function over such a frame. What the edges need comes after its own arguments.
pub(super) fn framed(name: &str, over: Over, frame: Frame) -> Arc<WindowUDF> {
    // The plan tells calls apart by their names.
    let name = match frame.is_given() {
        true => name.to_owned(),
        false => format!("{name} {frame:?}"),
    };
    Arc::new(WindowUDF::new_from_impl(Framed {
        name,
        over,
        frame,
        signature: Signature::variadic_any(Volatility::Immutable),
        interrupt: Interrupt::default(),
    }))
}

/// The plan of one execution, whose frames that interrupt stops.
pub(super) fn stopped_by(plan: LogicalPlan, interrupt: &Interrupt) -> Result<LogicalPlan> {
    if !has_node(&plan, |node| matches!(node, LogicalPlan::Window(_)))? {
        return Ok(plan);
    }
    let stopped = |expr: Expr| {
        expr.transform_up(|mut expr| {
            let Expr::WindowFunction(call) = &mut expr else {
                return Ok(Transformed::no(expr));
            };
            let WindowFunctionDefinition::WindowUDF(function) = &call.fun else {
                return Ok(Transformed::no(expr));
            };
            let Some(framed) = function.inner().downcast_ref::<Framed>() else {
                return Ok(Transformed::no(expr));
            };
            call.fun = WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::new_from_impl(
                framed.stopped_by(interrupt),
            )));
            Ok(Transformed::yes(expr))
        })
    };
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(_) => node.map_expressions(stopped),
        _ => Ok(Transformed::no(node)),
    });
    Ok(plan.data()?)
}

#[derive(Debug)]
struct Framed {
    name: String,
    over: Over,
    frame: Frame,
    signature: Signature,
    /// Of the execution; until there is one, nothing stops it.
    interrupt: Interrupt,
}

impl PartialEq for Framed {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.over, self.frame) == (&other.name, &other.over, other.frame)
    }
}

impl Eq for Framed {}

impl Hash for Framed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.over, self.frame).hash(state);
    }
}

impl Framed {
    fn stopped_by(&self, interrupt: &Interrupt) -> Framed {
        Framed {
            name: self.name.clone(),
            over: self.over.clone(),
            frame: self.frame,
            signature: self.signature.clone(),
            interrupt: interrupt.clone(),
        }
    }

    fn result(&self, fields: &[FieldRef]) -> DfResult<FieldRef> {
        match &self.over {
            Over::Aggregate(function, filtered) => {
                let others = self.frame.width() + usize::from(*filtered);
                let own = fields.len().saturating_sub(others);
                function.return_field(fields.get(..own).unwrap_or(fields))
            }
            _ => match fields.first() {
                Some(first) => Ok(Arc::new(first.as_ref().clone().with_nullable(true))),
                None => Err(Error::internal("a window function of nothing").into()),
            },
        }
    }
}

impl WindowUDFImpl for Framed {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> DfResult<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            over: self.over.clone(),
            frame: self.frame,
            interrupt: self.interrupt.clone(),
            edges: None,
            result: self.result(args.input_fields())?,
            fields: args.input_fields().to_vec(),
            exprs: args.input_exprs().to_vec(),
            row: 0,
            peers: Vec::new(),
            group: 0,
            running: None,
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> DfResult<FieldRef> {
        let result = self.result(args.input_fields())?;
        Ok(Arc::new(result.as_ref().clone().with_name(args.name())))
    }
}

/// Evaluates one partition, row after row.
#[derive(Debug)]
struct Evaluator {
    over: Over,
    frame: Frame,
    interrupt: Interrupt,
    /// Made of the partition's rows by the first of them.
    edges: Option<Edges>,
    result: FieldRef,
    fields: Vec<FieldRef>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// The row that is next.
    row: usize,
    /// Ranges of rows that are equal in the window's order, and the one that is at hand.
    peers: Vec<Range<usize>>,
    group: usize,
    /// The rows that are aggregated so far.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    accumulator: Box<dyn Accumulator>,
    rows: Range<usize>,
}

impl Evaluator {
    /// The ranges of a frame that are left of it.
    fn kept(
        &mut self,
        order: &[ArrayRef],
        rows: usize,
        frame: &Range<usize>,
    ) -> DfResult<[Range<usize>; 3]> {
        let row = self.row;
        let Some(exclude) = self.frame.exclude else {
            let nothing = frame.end..frame.end;
            return Ok([frame.clone(), nothing.clone(), nothing]);
        };
        let excluded = match exclude {
            Exclude::CurrentRow => [row..row + 1, row + 1..row + 1],
            Exclude::Group => {
                let peers = self.peers_of(order, rows, row)?;
                [peers.clone(), peers.end..peers.end]
            }
            Exclude::Ties => {
                let peers = self.peers_of(order, rows, row)?;
                [peers.start..row, row + 1..peers.end]
            }
        };
        let [first, second] = excluded;
        let within = |start: usize, end: usize| {
            let (start, end) = (start.max(frame.start), end.min(frame.end));
            start..end.max(start)
        };
        Ok([
            within(frame.start, first.start),
            within(first.end, second.start),
            within(second.end, frame.end),
        ])
    }

    fn peers_of(&mut self, order: &[ArrayRef], rows: usize, row: usize) -> DfResult<Range<usize>> {
        if self.peers.is_empty() {
            let columns: Vec<SortColumn> = order
                .iter()
                .map(|values| SortColumn {
                    values: values.clone(),
                    options: None,
                })
                .collect();
            self.peers = evaluate_partition_ranges(rows, &columns)?;
        }
        while self
            .peers
            .get(self.group)
            .is_some_and(|peers| peers.end <= row)
        {
            self.group += 1;
        }
        match self.peers.get(self.group) {
            Some(peers) => Ok(peers.clone()),
            None => Err(Error::internal("a row without peers").into()),
        }
    }

    fn aggregate(
        &mut self,
        function: &AggregateUDF,
        filtered: bool,
        args: &[ArrayRef],
        kept: &[Range<usize>],
    ) -> DfResult<ScalarValue> {
        let whole = match kept {
            [first, rest @ ..] if rest.iter().all(Range::is_empty) => first.clone(),
            _ => 0..0,
        };
        let mut running = match self.running.take() {
            Some(running)
                if running.rows.start == whole.start
                    && !running.rows.is_empty()
                    && running.rows.end <= whole.end =>
            {
                running
            }
            _ => Running {
                accumulator: self.accumulator(function, filtered)?,
                rows: whole.start..whole.start,
            },
        };
        if whole.is_empty() {
            for range in kept {
                update(running.accumulator.as_mut(), filtered, args, range.clone())?;
            }
            return running.accumulator.evaluate();
        }
        let new = running.rows.end..whole.end;
        update(running.accumulator.as_mut(), filtered, args, new)?;
        running.rows = whole;
        let value = running.accumulator.evaluate();
        self.running = Some(running);
        value
    }

    fn accumulator(
        &self,
        function: &AggregateUDF,
        filtered: bool,
    ) -> DfResult<Box<dyn Accumulator>> {
        let others = self.frame.width() + usize::from(filtered);
        let own = self.fields.len().saturating_sub(others);
        let fields = self.fields.get(..own).unwrap_or_default();
        let schema = Schema::new(self.fields.clone());
        function.accumulator(AccumulatorArgs {
            return_field: self.result.clone(),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: function.name(),
            is_distinct: false,
            exprs: self.exprs.get(..own).unwrap_or_default(),
            expr_fields: fields,
        })
    }
}

fn update(
    accumulator: &mut dyn Accumulator,
    filtered: bool,
    args: &[ArrayRef],
    rows: Range<usize>,
) -> DfResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut slices: Vec<ArrayRef> = args
        .iter()
        .map(|array| array.slice(rows.start, rows.len()))
        .collect();
    if filtered && let Some(condition) = slices.pop() {
        let condition = condition.as_boolean();
        slices = slices
            .iter()
            .map(|array| filter(array, condition))
            .collect::<Result<_, _>>()?;
    }
    accumulator.update_batch(&slices)
}

impl PartitionEvaluator for Evaluator {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> DfResult<ScalarValue> {
        self.interrupt.check()?;
        // The keys of the window's order come after the arguments.
        let count = self.fields.len().min(values.len());
        let (args, order) = values.split_at(count);
        let Some(first) = args.first() else {
            return Err(Error::internal("a window function of nothing").into());
        };
        let (args, edges) = args.split_at(args.len().saturating_sub(self.frame.width()));
        let (start, end) = (self.frame.start, self.frame.end);
        let row = self.row;
        let range = match &mut self.edges {
            Some(known) => known.frame(row, range)?,
            unknown => unknown
                .insert(Edges::new(start, end, edges, first.len())?)
                .frame(row, range)?,
        };
        let kept = self.kept(order, first.len(), &range)?;
        self.row += 1;
        let nth = |at: usize| {
            let found = kept.iter().flat_map(Clone::clone).nth(at);
            match found {
                Some(found) => ScalarValue::try_from_array(first, found),
                None => ScalarValue::try_from(first.data_type()),
            }
        };
        match &self.over {
            Over::Aggregate(function, filtered) => {
                let (function, filtered) = (function.clone(), *filtered);
                self.aggregate(&function, filtered, args, &kept)
            }
            Over::First => nth(0),
            Over::Last => {
                let rows: usize = kept.iter().map(Range::len).sum();
                nth(rows.wrapping_sub(1))
            }
            Over::Nth => {
                let counts = args.get(1).filter(|counts| {
                    counts.data_type() == &DataType::Int64 && counts.is_valid(row)
                });
                let Some(counts) = counts else {
                    return ScalarValue::try_from(first.data_type());
                };
                match usize::try_from(counts.as_primitive::<Int64Type>().value(row)) {
                    Ok(wanted) if wanted > 0 => nth(wanted - 1),
                    _ => Err(Error::new(
                        SqlState::INVALID_ARGUMENT_FOR_NTH_VALUE,
                        "argument of nth_value must be greater than zero",
                    )
                    .into()),
                }
            }
        }
    }

    fn uses_window_frame(&self) -> bool {
        true
    }
}
