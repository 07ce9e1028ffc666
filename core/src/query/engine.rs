//! Planning and running.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::ParamValues;
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimizer::{Optimizer, OptimizerContext};
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::bind::{Binder, Late, ZONE};
use super::by_value::by_value;
use super::context::{ReadContext, RunContext};
use super::estimate::Estimator;
use super::framed;
use super::functions::{Functions, ValueLimit, held};
use super::join_keys;
use super::join_order::order_joins;
use super::outer_joins::ForgetConstants;
use super::pacing::PaceJoins;
use super::rules;
use super::same_names;
use super::scan::BATCH_ROWS;
use super::scan::ColumnCache;
use super::window_keys;
use super::{
    Execution, Plan, PlanContext, QueryEngine, QueryOptions, ResultColumn, Rows, SessionInfo,
    SystemCatalog,
};
use crate::catalog::Catalog;
use crate::env::{Turn, Workers};
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, PgType, columns};

/// Up to this size, the smaller side of a join is hashed into one table.
const ONE_TABLE_BYTES: usize = 256 << 20;
const ONE_TABLE_ROWS: usize = 2_000_000;
/// Join keys within so many numbers, or that are such a share of the numbers between the first and the
/// last, are looked up in an array of 4 bytes for each number: at most 1 MB, or 200 bytes for each key.
const ARRAY_KEYS: usize = 1 << 18;
const ARRAY_DENSITY: f64 = 0.02;

/// An optimized plan and what it needs of each execution.
pub(super) struct Planned {
    plan: LogicalPlan,
    late: Vec<Late>,
    /// Types of the parameters; the plan has no others.
    parameters: Vec<PgType>,
    catalog: Arc<Catalog>,
}

impl QueryEngine {
    pub fn new(
        options: &QueryOptions,
        system: Arc<dyn SystemCatalog>,
        workers: Workers,
    ) -> Result<Arc<QueryEngine>> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(options.memory_bytes)))
            .with_disk_manager_builder(
                datafusion::execution::disk_manager::DiskManagerBuilder::default()
                    .with_mode(datafusion::execution::disk_manager::DiskManagerMode::Disabled),
            )
            .build_arc()?;
        let mut config = SessionConfig::new()
            .with_target_partitions(options.parallelism.max(1))
            .with_batch_size(BATCH_ROWS)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false);
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        config.options_mut().execution.enable_ansi_mode = true;
        // One hash table for all partitions: to send the rows of the larger side from one partition to
        // another takes longer than to hash the smaller one in one thread.
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.hash_join_single_partition_threshold = ONE_TABLE_BYTES;
        optimizer.hash_join_single_partition_threshold_rows = ONE_TABLE_ROWS;
        // A scan that is worth it has partitions of its own. Dealing out the rows of a shorter one gains
        // little, and may fill the memory with batches that nobody has come to yet.
        optimizer.enable_round_robin_repartition = false;
        // Integer keys that lie close enough together are found in an array.
        let execution = &mut config.options_mut().execution;
        execution.perfect_hash_join_small_build_threshold = ARRAY_KEYS;
        execution.perfect_hash_join_min_key_density = ARRAY_DENSITY;
        // The two schemas differ in what may be NULL, where an expression was simplified in one place only.
        config
            .options_mut()
            .execution
            .skip_physical_aggregate_schema_check = true;
        let rules = PhysicalOptimizer::new().rules.into_iter();
        let mut rules: Vec<_> = rules.map(same_names::guarded).collect();
        rules.insert(0, Arc::new(ForgetConstants));
        rules.push(Arc::new(PaceJoins));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_optimizer_rules(rules::rules())
            .with_physical_optimizer_rules(rules)
            .build();
        let functions = Functions::new(system.scalar_functions());
        Ok(Arc::new(QueryEngine {
            state,
            functions,
            system,
            cache: Arc::new(ColumnCache::new(options.column_cache_bytes)),
            workers,
        }))
    }

    /// Bytes that running queries have asked for, and bytes of the decoded columns that are kept.
    pub fn memory(&self) -> (usize, usize) {
        let pool = &self.state.runtime_env().memory_pool;
        (pool.reserved(), self.cache.bytes())
    }

    /// Plans a query (SELECT, VALUES, set operations, WITH). Row locking clauses are not its
    /// business: the caller strips them.
    pub async fn plan(
        self: &Arc<Self>,
        query: &ast::Query,
        context: &PlanContext<'_>,
    ) -> Result<Plan> {
        let (engine, query) = (self.clone(), query.clone());
        let (catalog, info) = (context.catalog.clone(), context.info.clone());
        let parameters = context.parameters.to_vec();
        let row_keys = context.row_keys.to_vec();
        let work = async move {
            let context = PlanContext {
                catalog: &catalog,
                info: &info,
                parameters: &parameters,
                row_keys: &row_keys,
            };
            engine.plan_here(&query, &context)
        };
        self.workers.run(work).await
    }

    fn plan_here(&self, query: &ast::Query, context: &PlanContext<'_>) -> Result<Plan> {
        let mut binder = Binder::new(context, &self.functions, &self.system);
        let bound = binder.statement(query)?;
        let (parameters, late) = binder.finish();
        let columns: Arc<[ResultColumn]> = bound
            .columns
            .iter()
            .map(|column| ResultColumn {
                name: column.name.clone(),
                ty: column.ty,
                table: column.table,
                attribute: column.attribute,
            })
            .collect();
        let mut state = self.state_for(context.info, context.catalog, None);
        let options = folding(state.config_options());
        *state.config_mut().options_mut() = options;
        let plan = state.optimize(&by_value(bound.plan)?)?;
        Ok(Plan {
            columns,
            parameters: parameters.clone(),
            inner: Arc::new(Planned {
                plan,
                late,
                parameters,
                catalog: context.catalog.clone(),
            }),
        })
    }

    /// Runs a plan. Nothing is read before the stream is polled.
    pub async fn run(
        self: &Arc<Self>,
        plan: &Plan,
        execution: Execution,
    ) -> Result<BoxStream<'static, Result<Rows>>> {
        let (engine, plan) = (self.clone(), plan.clone());
        let interrupt = execution.interrupt.clone();
        let turn = self.workers.turn().await;
        let its_turn = turn.clone();
        let work = async move {
            let (physical, state) = engine.physical(&plan, execution, its_turn).await?;
            engine.stream(physical, &state)
        };
        let stream = self.workers.run(work).await?;
        let rows = stream.map(move |batch| {
            interrupt.check()?;
            match batch {
                Ok(batch) => Ok(Rows::Batch(batch)),
                Err(error) => Err(Error::from(error)),
            }
        });
        let rows = rows.try_filter(|rows| futures::future::ready(!rows.is_empty()));
        Ok(self.workers.stream(rows.boxed(), turn))
    }

    pub(super) fn stream(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<SendableRecordBatchStream> {
        Ok(execute_stream(physical, state.task_ctx())?)
    }

    /// The physical plan for one execution: parameters bound, session functions evaluated.
    pub(super) async fn physical(
        &self,
        plan: &Plan,
        execution: Execution,
        turn: Turn,
    ) -> Result<(Arc<dyn ExecutionPlan>, SessionState)> {
        let Execution {
            view,
            info,
            parameters,
            interrupt,
            only,
        } = execution;
        let read = Arc::new(ReadContext {
            view,
            interrupt,
            only,
            turn,
        });
        let state = self.state_for(&info, &plan.inner.catalog, Some(read.clone()));
        let mut logical = plan.inner.plan.clone();
        let values = self.values(&plan.inner, &parameters, &state)?;
        if !values.is_empty() {
            logical = hold_large(logical, &values)?;
            logical = logical.replace_params_with_values(&ParamValues::Map(values))?;
            logical = simplified(logical, &state)?;
        }
        let logical = order_joins(logical, &Estimator::new(&read))?;
        let logical = window_keys::plain(join_keys::as_columns(logical)?)?;
        let logical = framed::stopped_by(logical, &read.interrupt)?;
        let physical = super::shared::physical(&logical, &state).await?;
        Ok((physical, state))
    }

    /// Parameters and session values by the names of their placeholders.
    fn values(
        &self,
        planned: &Planned,
        parameters: &[Datum<'static>],
        state: &SessionState,
    ) -> Result<HashMap<String, ScalarAndMetadata>> {
        if parameters.len() < planned.parameters.len() {
            return Err(Error::new(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement requires {}",
                    parameters.len(),
                    planned.parameters.len()
                ),
            ));
        }
        let mut values: HashMap<String, ScalarAndMetadata> = HashMap::new();
        for (at, (datum, ty)) in parameters.iter().zip(&planned.parameters).enumerate() {
            // The plan was made for this very Arrow type.
            let value = columns::scalar(datum, *ty, ZONE)?;
            values.insert((at + 1).to_string(), value.into());
        }
        for late in &planned.late {
            let value = self.constant(&late.expr, &values, state)?;
            values.insert(late.id.trim_start_matches('$').to_owned(), value.into());
        }
        Ok(values)
    }

    /// Evaluates an expression without columns.
    fn constant(
        &self,
        expr: &Expr,
        values: &HashMap<String, ScalarAndMetadata>,
        state: &SessionState,
    ) -> Result<ScalarValue> {
        let expr = expr.clone().transform_up(|node| match &node {
            Expr::Placeholder(placeholder) => {
                match values.get(placeholder.id.trim_start_matches('$')) {
                    Some(value) => Ok(Transformed::yes(Expr::Literal(value.value().clone(), None))),
                    None => Ok(Transformed::no(node)),
                }
            }
            _ => Ok(Transformed::no(node)),
        })?;
        let schema = datafusion::common::DFSchema::empty();
        let physical = super::evaluate::physical(expr.data, &schema, state)?;
        let row = super::evaluate::one_row();
        match physical.evaluate(&row)? {
            datafusion::logical_expr::ColumnarValue::Scalar(value) => Ok(value),
            datafusion::logical_expr::ColumnarValue::Array(array) => {
                Ok(ScalarValue::try_from_array(&array, 0)?)
            }
        }
    }

    /// DataFusion's state with the session in its options.
    pub(super) fn state_for(
        &self,
        info: &Arc<SessionInfo>,
        catalog: &Arc<Catalog>,
        read: Option<Arc<ReadContext>>,
    ) -> SessionState {
        let mut state = self.state.clone();
        let context = RunContext {
            info: info.clone(),
            catalog: catalog.clone(),
            read,
            limit: ValueLimit::RUN,
            cache: Some(self.cache.clone()),
        };
        state.config_mut().options_mut().extensions.insert(context);
        // Physical expressions take their options from here.
        let options = state.config_options().clone();
        state.execution_props_mut().config_options = Some(options);
        state
    }

    pub(super) fn binder<'a>(&'a self, context: &'a PlanContext<'a>) -> Binder<'a> {
        Binder::new(context, &self.functions, &self.system)
    }
}

/// The options with which constants are folded.
fn folding(options: &ConfigOptions) -> ConfigOptions {
    let mut options = options.clone();
    if let Some(context) = options.extensions.get_mut::<RunContext>() {
        context.limit = ValueLimit::FOLD;
    }
    options
}

/// Values that are too large for a plan, as calls that give them.
fn hold_large(
    plan: LogicalPlan,
    values: &HashMap<String, ScalarAndMetadata>,
) -> Result<LogicalPlan> {
    let calls: HashMap<&str, Expr> = values
        .iter()
        .enumerate()
        .filter_map(|(number, (id, value))| Some((id.as_str(), held(value.value(), number)?)))
        .collect();
    if calls.is_empty() {
        return Ok(plan);
    }
    let replaced = |expr: Expr| {
        expr.transform_up(|node| {
            let call = match &node {
                Expr::Placeholder(placeholder) => calls.get(placeholder.id.trim_start_matches('$')),
                _ => None,
            };
            Ok(match call {
                Some(call) => Transformed::yes(call.clone()),
                None => Transformed::no(node),
            })
        })
    };
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(replaced(expr)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(plan.data)
}

/// Folds what parameters made constant, so that scans see values.
fn simplified(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateFilter::new()),
    ]);
    let options = folding(state.config_options());
    let config = OptimizerContext::new_with_config_options(Arc::new(options)).with_max_passes(1);
    Ok(optimizer.optimize(plan, &config, |_, _| {})?)
}
