//! COPY between a table (or a query) and the client.

mod binary;
mod csv;
mod from;
mod lines;
mod options;
mod text;
mod to;

use datafusion::sql::sqlparser::ast::{CopySource as Source, CopyTarget, Ident, Statement};

use self::from::From;
use self::options::Options;
use self::to::To;
use super::names::positions;
use super::target::parse_expression;
use crate::catalog::{Table, fold, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::sql::{Context, Outcome};

/// Starts COPY in either direction.
pub(super) async fn start(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let Statement::Copy {
        source,
        to,
        target,
        options,
        legacy_options,
        values,
    } = statement
    else {
        return Err(Error::internal("not a COPY"));
    };
    let options = Options::new(options, legacy_options, !*to)?;
    if let CopyTarget::File { .. } | CopyTarget::Program { .. } = target {
        let direction = if *to { "to" } else { "from" };
        let what = match target {
            CopyTarget::Program { .. } => "an external program",
            _ => "a file",
        };
        return Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to COPY {direction} {what}"),
        )
        .hint(
            "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.",
        ));
    }
    // The condition travels where sqlparser has data; see `forms.rs`.
    let condition = match values.as_slice() {
        [] => None,
        [Some(condition)] if !*to => Some(parse_expression(condition)?),
        _ => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "WHERE clause not allowed with COPY TO",
            ));
        }
    };
    match (source, *to) {
        (
            Source::Table {
                table_name,
                columns,
            },
            false,
        ) => From::start(context, table_name, columns, options, condition).await,
        (source, true) => To::start(context, source, options).await,
        (Source::Query(_), false) => Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "COPY FROM takes a table",
        )),
    }
}

/// The positions of the listed columns, or of all live ones.
///
/// # Errors
/// 42703, 42701.
fn columns(table: &Table, names: &[Ident]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok(table.live_columns().map(|(at, _)| at).collect());
    }
    positions(table, names.iter().map(fold))
}

/// Which of the copied columns (by name) an option names.
///
/// # Errors
/// 42703 for a column that `table` does not have, 42P10 for one that is not copied.
fn forced(
    option: &str,
    named: &[String],
    columns: &[String],
    table: Option<&Table>,
) -> Result<Vec<bool>> {
    for name in named {
        if let Some(table) = table
            && table.column(name).is_none()
        {
            return Err(undefined_column(name, &table.name));
        }
        if !columns.contains(name) {
            return Err(Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("{option} column \"{name}\" not referenced by COPY"),
            ));
        }
    }
    Ok(columns
        .iter()
        .map(|column| named.contains(column))
        .collect())
}
