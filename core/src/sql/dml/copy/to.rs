//! COPY TO STDOUT: a query's rows, block by block, as text, CSV or binary.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    CopySource as Source, Ident, ObjectName, Query, SetExpr, Statement,
};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::options::{Force, Format, Header, Options};
use super::{binary, columns, csv, forced, text};
use crate::catalog::{Object, QualifiedName, undefined_relation};
use crate::error::{Error, Result, SqlState};
use crate::query::{ResultColumn, Rows};
use crate::sql::context::CopyFuture;
use crate::sql::dml::matches;
use crate::sql::{Context, CopyRows, CopySource, Outcome};
use crate::types::text::TextStyle;
use crate::types::{self, PgType};

/// A running COPY TO.
pub(super) struct To {
    columns: Arc<[ResultColumn]>,
    force_quote: Vec<bool>,
    options: Options,
    style: Arc<TextStyle>,
    rows: BoxStream<'static, Result<Rows>>,
    /// What stands before the first row was sent.
    started: bool,
    ended: bool,
    count: u64,
}

impl To {
    pub(super) async fn start(
        context: &mut Context<'_>,
        source: &Source,
        options: Options,
    ) -> Result<Outcome> {
        let query = match source {
            Source::Query(query) => query.as_ref().clone(),
            Source::Table {
                table_name,
                columns,
            } => table_query(context, table_name, columns)?,
        };
        let (columns, rows) = match run(context, query).await? {
            Some(result) => result,
            None => return Ok(Outcome::Replan),
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let force_quote = match &options.force_quote {
            Force::All => vec![true; names.len()],
            Force::Columns(named) => forced("FORCE_QUOTE", named, &names, None)?,
        };
        Ok(Outcome::CopyOut(Box::new(To {
            columns,
            force_quote,
            options,
            style: context.info.style.clone(),
            rows,
            started: false,
            ended: false,
            count: 0,
        })))
    }

    /// What comes before the rows.
    fn open(&self, out: &mut Vec<u8>) {
        match self.options.format {
            Format::Binary => {
                out.extend_from_slice(binary::SIGNATURE);
                out.extend_from_slice(&[0; 8]);
            }
            format if self.options.header != Header::No => {
                for (n, column) in self.columns.iter().enumerate() {
                    if n > 0 {
                        out.push(self.options.delimiter);
                    }
                    let name = column.name.as_bytes();
                    match format {
                        Format::Csv => {
                            csv::write(name, &self.options, false, self.columns.len() == 1, out);
                        }
                        _ => text::write(name, self.options.delimiter, out),
                    }
                }
                out.push(b'\n');
            }
            _ => {}
        }
    }

    fn write(&self, rows: &Rows, block: &mut CopyRows) -> Result<()> {
        let mut scratch = Vec::new();
        for row in 0..rows.len() {
            let out = block.buffer();
            if self.options.format == Format::Binary {
                let count = i16::try_from(self.columns.len())
                    .map_err(|_| Error::new(SqlState::TOO_MANY_COLUMNS, "too many columns"))?;
                out.extend_from_slice(&count.to_be_bytes());
            }
            for (n, column) in self.columns.iter().enumerate() {
                scratch.clear();
                let there = self.cell(rows, row, n, column.ty, &mut scratch)?;
                self.field(n, there.then_some(scratch.as_slice()), out)?;
            }
            if self.options.format != Format::Binary {
                out.push(b'\n');
            }
            block.end_row();
        }
        Ok(())
    }

    /// The value of a cell in the format's own form, not yet escaped; `false` for NULL.
    fn cell(
        &self,
        rows: &Rows,
        row: usize,
        n: usize,
        ty: PgType,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let missing = || Error::internal("a COPY lacks a column");
        let binary = self.options.format == Format::Binary;
        let datum = match rows {
            Rows::Batch(batch) => {
                let array = batch.columns().get(n).ok_or_else(missing)?.as_ref();
                return match binary {
                    true => types::columns::write_binary(array, row, ty, out),
                    false => types::columns::write_text(array, row, ty, &self.style, out),
                };
            }
            Rows::Datums(rows) => rows
                .get(row)
                .and_then(|row| row.get(n))
                .ok_or_else(missing)?,
        };
        if datum.is_null() {
            return Ok(false);
        }
        match binary {
            true => types::binary::write(datum, ty, out)?,
            false => types::text::write(datum, ty, &self.style, out),
        }
        Ok(true)
    }

    /// Appends a value (`None` is NULL) as the format has it.
    fn field(&self, n: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<()> {
        if self.options.format == Format::Binary {
            let Some(value) = value else {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                return Ok(());
            };
            let length = i32::try_from(value.len()).map_err(|_| {
                Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a COPY field is too long")
            })?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
            return Ok(());
        }
        if n > 0 {
            out.push(self.options.delimiter);
        }
        match (value, self.options.format) {
            (None, _) => out.extend_from_slice(self.options.null.as_bytes()),
            (Some(value), Format::Csv) => {
                let force = self.force_quote.get(n).copied().unwrap_or(false);
                csv::write(value, &self.options, force, self.columns.len() == 1, out);
            }
            (Some(value), _) => text::write(value, self.options.delimiter, out),
        }
        Ok(())
    }
}

type Result2 = (Arc<[ResultColumn]>, BoxStream<'static, Result<Rows>>);

/// Runs the query of a COPY; `None` asks for another plan.
async fn run(context: &mut Context<'_>, query: Query) -> Result<Option<Result2>> {
    let writes = matches!(
        query.body.as_ref(),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)
    );
    let statement = Statement::Query(Box::new(query));
    let engine = context.engine.clone();
    let prepared = Box::pin(super::super::prepare(
        &engine,
        &statement,
        &[],
        &context.plan_context(),
    ))
    .await?;
    if let Some(prepared) = prepared {
        if writes && prepared.columns.is_none() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "COPY query must have a RETURNING clause",
            ));
        }
        return match Box::pin(super::super::execute(context, &prepared)).await? {
            Outcome::Rows { columns, rows, .. } => Ok(Some((columns, rows))),
            Outcome::Replan => Ok(None),
            _ => Err(Error::internal("a query gave no rows")),
        };
    }
    let Statement::Query(query) = &statement else {
        return Err(Error::internal("a query is no query"));
    };
    let plan = engine.query.plan(query, &context.plan_context()).await?;
    let rows = engine.query.run(&plan, context.execution()?).await?;
    Ok(Some((plan.columns.clone(), rows)))
}

/// `SELECT columns FROM table`.
fn table_query(context: &Context<'_>, name: &ObjectName, names: &[Ident]) -> Result<Query> {
    let wanted = QualifiedName::from_ast(name)?;
    let table = match context.catalog.resolve(&wanted, &context.info.search_path) {
        Some(Object::Table(table)) => table.clone(),
        Some(Object::View(view)) => {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy from view \"{}\"", view.name),
            )
            .hint("Try the COPY (SELECT ...) TO variant."));
        }
        Some(Object::Sequence(sequence)) => {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy from sequence \"{}\"", sequence.name),
            ));
        }
        _ => return Err(undefined_relation(&wanted)),
    };
    let mut items = Vec::new();
    for at in columns(&table, names)? {
        if let Some(column) = table.columns.get(at) {
            items.push(matches::item("__copied", &column.name));
        }
    }
    let from = matches::from_items(&format!("{name} AS __copied"))?;
    matches::query(None, items, from, None)
}

impl CopySource for To {
    fn columns(&self) -> usize {
        self.columns.len()
    }

    fn binary(&self) -> bool {
        self.options.format == Format::Binary
    }

    fn next(&mut self) -> CopyFuture<'_, Option<CopyRows>> {
        Box::pin(async move {
            if self.ended {
                return Ok(None);
            }
            let mut out = CopyRows::default();
            if !self.started {
                self.started = true;
                self.open(out.buffer());
                // A binary header travels with the first row, a line of names by itself.
                if self.options.format != Format::Binary && !out.buffer().is_empty() {
                    out.end_row();
                }
            }
            match self.rows.next().await {
                Some(rows) => {
                    let rows = rows?;
                    let more = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                    self.count = self.count.saturating_add(more);
                    self.write(&rows, &mut out)?;
                }
                None => {
                    self.ended = true;
                    if self.options.format == Format::Binary {
                        out.buffer().extend_from_slice(&(-1_i16).to_be_bytes());
                        out.end_row();
                    }
                    if out.is_empty() {
                        return Ok(None);
                    }
                }
            }
            Ok(Some(out))
        })
    }

    fn tag(&self) -> String {
        format!("COPY {}", self.count)
    }
}
