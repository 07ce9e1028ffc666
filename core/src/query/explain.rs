//! Plans as text.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::StreamExt;

use super::scan::ScanPlan;
use super::{Execution, Plan, QueryEngine};
use crate::env::Turn;
use crate::error::Result;

impl QueryEngine {
    /// The plan as `EXPLAIN` shows it, one line each; `analyze` runs it and adds what was measured.
    pub async fn explain(
        self: &Arc<Self>,
        plan: &Plan,
        execution: Execution,
        analyze: bool,
        verbose: bool,
    ) -> Result<Vec<String>> {
        let (engine, plan) = (self.clone(), plan.clone());
        let turn = self.workers.turn().await;
        let work = async move {
            let explained = engine.explain_here(&plan, execution, turn, analyze, verbose);
            explained.await
        };
        self.workers.run(work).await
    }

    async fn explain_here(
        &self,
        plan: &Plan,
        execution: Execution,
        turn: Turn,
        analyze: bool,
        verbose: bool,
    ) -> Result<Vec<String>> {
        let info = execution.info.clone();
        let started = info.access.clock();
        let (physical, state) = self.physical(plan, execution, turn).await?;
        let planned = info.access.clock();
        let mut lines = Vec::new();
        if analyze {
            let mut stream = self.stream(physical.clone(), &state)?;
            while let Some(batch) = stream.next().await {
                batch?;
            }
        }
        let done = info.access.clock();
        node(&physical, 0, analyze, verbose, &mut lines);
        if analyze {
            lines.push(format!(
                "Planning Time: {:.3} ms",
                (planned - started) as f64 / 1000.0
            ));
            lines.push(format!(
                "Execution Time: {:.3} ms",
                (done - planned) as f64 / 1000.0
            ));
        }
        Ok(lines)
    }
}

fn node(
    plan: &Arc<dyn ExecutionPlan>,
    depth: usize,
    analyze: bool,
    verbose: bool,
    lines: &mut Vec<String>,
) {
    let any: &dyn std::any::Any = plan.as_ref();
    let scan = any.downcast_ref::<ScanPlan>();
    // Nodes that only move batches about say nothing to a reader.
    let silent = matches!(
        plan.name(),
        "CoalesceBatchesExec" | "CooperativeExec" | "ProjectionExec" | "CoalescePartitionsExec"
    ) && !verbose;
    let next = if silent {
        depth
    } else {
        let shown = match scan {
            Some(scan) => scan.describe(),
            None => title(plan, verbose),
        };
        let mut line = if depth == 0 {
            shown
        } else {
            format!("{}->  {shown}", " ".repeat(depth * 6 - 4))
        };
        if let (true, Some(metrics)) = (analyze, plan.metrics()) {
            let rows = metrics.output_rows().unwrap_or(0);
            let millis = metrics.elapsed_compute().unwrap_or(0) as f64 / 1_000_000.0;
            let _ = write!(line, "  (actual time={millis:.3} rows={rows})");
        }
        lines.push(line);
        for detail in scan.map(|scan| scan.details(analyze)).unwrap_or_default() {
            lines.push(format!("{}{detail}", " ".repeat(depth * 6 + 2)));
        }
        depth + 1
    };
    for child in plan.children() {
        node(child, next, analyze, verbose, lines);
    }
}

/// PostgreSQL's name for what a node does, with its details.
fn title(plan: &Arc<dyn ExecutionPlan>, verbose: bool) -> String {
    let line = displayable(plan.as_ref()).one_line().to_string();
    let details = line
        .trim()
        .split_once(": ")
        .map(|(_, details)| details.to_owned());
    let name = match plan.name() {
        "FilterExec" => "Filter",
        "SortExec" => "Sort",
        "SortPreservingMergeExec" => "Merge Append",
        "AggregateExec" => "Aggregate",
        "HashJoinExec" => "Hash Join",
        "SortMergeJoinExec" => "Merge Join",
        "NestedLoopJoinExec" | "CrossJoinExec" => "Nested Loop",
        "GlobalLimitExec" | "LocalLimitExec" => "Limit",
        "UnionExec" | "InterleaveExec" => "Append",
        "WindowAggExec" | "BoundedWindowAggExec" => "WindowAgg",
        "RecursiveQueryExec" => "Recursive Union",
        "WorkTableExec" => "WorkTable Scan",
        "UnnestExec" => "ProjectSet",
        "Series" => "Function Scan on generate_series",
        "RepartitionExec" => "Redistribute",
        "PlaceholderRowExec" | "EmptyExec" => "Result",
        "DataSourceExec" => "Values Scan",
        "ProjectionExec" => "Project",
        other => other,
    };
    match details {
        Some(details) if verbose || plan.name() == "FilterExec" => format!("{name}: {details}"),
        _ => name.to_owned(),
    }
}
