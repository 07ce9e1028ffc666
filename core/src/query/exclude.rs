//! Window frames with EXCLUDE, which DataFusion does not have: a frame without its row, without the
//! row's peers, or without its other peers.
//!
//! Each row's frame is aggregated anew, so the cost is the product of rows and frames.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{SortColumn, filter};
use arrow::datatypes::{DataType, FieldRef, Int64Type, Schema};
use datafusion::common::utils::evaluate_partition_ranges;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    AggregateUDF, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use crate::error::{Error, SqlState};

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

/// The function over frames that exclude rows.
pub(super) fn excluding(name: &str, over: Over, exclude: Exclude) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(Excluding {
        name: name.to_owned(),
        over,
        exclude,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Excluding {
    name: String,
    over: Over,
    exclude: Exclude,
    signature: Signature,
}

impl Excluding {
    fn result(&self, fields: &[FieldRef]) -> DfResult<FieldRef> {
        match &self.over {
            Over::Aggregate(function, filtered) => {
                let own = fields.len().saturating_sub(usize::from(*filtered));
                function.return_field(fields.get(..own).unwrap_or(fields))
            }
            _ => match fields.first() {
                Some(first) => Ok(Arc::new(first.as_ref().clone().with_nullable(true))),
                None => Err(Error::internal("a window function of nothing").into()),
            },
        }
    }
}

impl WindowUDFImpl for Excluding {
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
            exclude: self.exclude,
            result: self.result(args.input_fields())?,
            fields: args.input_fields().to_vec(),
            exprs: args.input_exprs().to_vec(),
            row: 0,
            peers: Vec::new(),
            group: 0,
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
    exclude: Exclude,
    result: FieldRef,
    fields: Vec<FieldRef>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// The row that is next.
    row: usize,
    /// Ranges of rows that are equal in the window's order, and the one that is at hand.
    peers: Vec<Range<usize>>,
    group: usize,
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
        let excluded = match self.exclude {
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
        &self,
        function: &AggregateUDF,
        filtered: bool,
        args: &[ArrayRef],
        kept: &[Range<usize>],
    ) -> DfResult<ScalarValue> {
        let own = args.len().saturating_sub(usize::from(filtered));
        let part = |all: &[FieldRef]| all.get(..own).map(<[FieldRef]>::to_vec).unwrap_or_default();
        let fields = part(&self.fields);
        let schema = Schema::new(self.fields.clone());
        let mut accumulator = function.accumulator(AccumulatorArgs {
            return_field: self.result.clone(),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: function.name(),
            is_distinct: false,
            exprs: self.exprs.get(..own).unwrap_or_default(),
            expr_fields: &fields,
        })?;
        for range in kept.iter().filter(|range| !range.is_empty()) {
            let mut slices: Vec<ArrayRef> = args
                .iter()
                .map(|array| array.slice(range.start, range.len()))
                .collect();
            if filtered && let Some(condition) = slices.pop() {
                let condition = condition.as_boolean();
                slices = slices
                    .iter()
                    .map(|array| filter(array, condition))
                    .collect::<Result<_, _>>()?;
            }
            accumulator.update_batch(&slices)?;
        }
        accumulator.evaluate()
    }
}

impl PartitionEvaluator for Evaluator {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> DfResult<ScalarValue> {
        // The keys of the window's order come after the arguments.
        let count = self.fields.len().min(values.len());
        let (args, order) = values.split_at(count);
        let Some(first) = args.first() else {
            return Err(Error::internal("a window function of nothing").into());
        };
        let kept = self.kept(order, first.len(), range)?;
        let row = self.row;
        self.row += 1;
        let nth = |at: usize| {
            let found = kept.iter().flat_map(Clone::clone).nth(at);
            match found {
                Some(found) => ScalarValue::try_from_array(first, found),
                None => ScalarValue::try_from(first.data_type()),
            }
        };
        match &self.over {
            Over::Aggregate(function, filtered) => self.aggregate(function, *filtered, args, &kept),
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
