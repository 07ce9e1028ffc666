//! EXPLAIN of statements that write, lock, or read one row by its key.

use futures::StreamExt;

use super::search::Search;
use super::target::Target;
use super::{Context, ExplainOptions, Kind, Outcome, Prepared, execute};
use crate::error::Result;
use crate::query::Plan;

/// The plan as `EXPLAIN` shows it, one line each; `analyze` runs the statement.
///
/// # Errors
/// Those of the statement, if it runs.
pub async fn explain(
    context: &mut Context<'_>,
    prepared: &Prepared,
    options: ExplainOptions,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let inner = match &prepared.kind {
        Kind::Select(select) => {
            lines.push(format!("Compiled Key Lookup on {}", select.table_name()));
            None
        }
        Kind::Insert(insert) => {
            let how = if insert.is_compiled() {
                "Compiled Insert"
            } else {
                "Insert"
            };
            lines.push(format!("{how} on {}", insert.target.table.name));
            insert.plan()
        }
        Kind::Update(update) => {
            let how = if update.is_compiled() {
                "Compiled Update"
            } else {
                "Update"
            };
            lines.push(format!("{how} on {}", update.target.table.name));
            searched(&update.search, &mut lines)
        }
        Kind::Delete(delete) => {
            let how = if delete.is_compiled() {
                "Compiled Delete"
            } else {
                "Delete"
            };
            lines.push(format!("{how} on {}", delete.target.table.name));
            searched(&delete.search, &mut lines)
        }
        Kind::With(_) => {
            lines.push("WITH queries that write, one after another".to_owned());
            None
        }
        Kind::LockRows(lock) => {
            lines.push("LockRows".to_owned());
            Some(&lock.plan)
        }
    };
    if let Some(plan) = inner {
        let execution = context.execution()?;
        let engine = context.engine.clone();
        let inner = engine
            .query
            .explain(plan, execution, false, options.verbose)
            .await?;
        lines.extend(inner.into_iter().enumerate().map(|(n, line)| match n {
            0 => format!("  ->  {line}"),
            _ => format!("      {line}"),
        }));
    }
    if options.analyze {
        let by_key = match &prepared.kind {
            Kind::Select(select) => select.is_sealed(context)?,
            Kind::Update(update) => is_sealed(context, &update.search, &update.target)?,
            Kind::Delete(delete) => is_sealed(context, &delete.search, &delete.target)?,
            Kind::Insert(_) | Kind::With(_) | Kind::LockRows(_) => None,
        };
        match by_key {
            Some(true) => lines.push("Look-up: By Learned Index".to_owned()),
            Some(false) => lines.push("Look-up: Unsealed".to_owned()),
            None => {}
        }
        let start = context.info.access.clock();
        let outcome = execute(context, prepared).await?;
        let mut count = 0_usize;
        let mut done = String::new();
        match outcome {
            Outcome::Rows { mut rows, .. } => {
                while let Some(block) = rows.next().await {
                    count = count.saturating_add(block?.len());
                }
                done = format!("Rows: {count}");
            }
            Outcome::Command(tag) => done = format!("Result: {tag}"),
            Outcome::CopyIn(_) | Outcome::CopyOut(_) | Outcome::Replan => {}
        }
        lines.push(done);
        let micros = context.info.access.clock().saturating_sub(start);
        let (millis, rest) = (micros.div_euclid(1000), micros.rem_euclid(1000));
        lines.push(format!("Execution Time: {millis}.{rest:03} ms"));
    }
    Ok(lines)
}

fn is_sealed(context: &mut Context<'_>, search: &Search, target: &Target) -> Result<Option<bool>> {
    match search {
        Search::Key(access) => access.is_sealed(context, target),
        Search::Query(_) => Ok(None),
    }
}

fn searched<'a>(search: &'a Search, lines: &mut Vec<String>) -> Option<&'a Plan> {
    match search {
        Search::Key(_) => {
            lines.push("  ->  Key Lookup".to_owned());
            None
        }
        Search::Query(matches) => Some(&matches.plan),
    }
}
