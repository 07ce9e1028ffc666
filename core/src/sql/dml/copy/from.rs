//! COPY FROM STDIN: records become rows as they come in, whatever the pieces.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName};

use super::lines::{Lines, bad};
use super::options::{Format, Header, Options};
use super::{binary, columns, csv, forced, lines, text};
use crate::error::{Error, Result, SqlState};
use crate::sql::context::CopyFuture;
use crate::sql::dml::assign::default_of;
use crate::sql::dml::begin::begin;
use crate::sql::dml::bulk::Bulk;
use crate::sql::dml::foreign_key::Changes;
use crate::sql::dml::names::{Verb, writable};
use crate::sql::dml::target::{Condition, Default, Target};
use crate::sql::{Context, CopySink, Outcome};
use crate::txn::RelationMode;
use crate::types::text::TextStyle;
use crate::types::{self, Datum, PgType, oid};

/// Characters of a line or value that an error's context shows.
const MAX_SHOWN_CHARS: usize = 100;

/// A running COPY FROM.
pub(super) struct From {
    target: Arc<Target>,
    columns: Vec<Copied>,
    defaults: Vec<(usize, Default)>,
    /// Which rows are written.
    condition: Option<Condition>,
    options: Options,
    lines: Lines,
    bulk: Bulk,
    changes: Changes,
    /// Number of the record being read, from 1.
    line: u64,
    rows: u64,
    /// Whether the header (of CSV or of the binary format) is still to come.
    header: bool,
    /// Whether the end marker was read: what follows is ignored.
    ended: bool,
}

/// What is used again for each record.
#[derive(Default)]
struct Buffers<'v> {
    plain: Vec<Option<Cow<'v, str>>>,
    values: Vec<Datum<'v>>,
}

/// A column that the data has.
struct Copied {
    at: usize,
    name: String,
    ty: PgType,
    force_null: bool,
    force_not_null: bool,
}

impl From {
    pub(super) async fn start(
        context: &mut Context<'_>,
        table: &ObjectName,
        names: &[Ident],
        options: Options,
        condition: Option<Expr>,
    ) -> Result<Outcome> {
        let table = writable(table, Verb::Copy, context.catalog, &context.info)?;
        let target = Target::new(context.catalog, &context.info, &table)?;
        if !begin(context, &target, RelationMode::RowExclusive, Verb::Copy).await? {
            return Ok(Outcome::Replan);
        }
        if options.freeze && !context.txn.created_table(table.storage) {
            return Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "cannot perform COPY FREEZE because the table was not created or truncated in the \
                 current subtransaction",
            ));
        }
        let condition = match condition {
            None => None,
            Some(expr) => {
                let info = context.info.clone();
                let condition = Condition::new(context.catalog, &info, &table, expr);
                // Unknown names are errors before any data comes.
                let row = target.empty_row();
                target.evaluate(context, &condition, &row).await?;
                Some(condition)
            }
        };
        let places = columns(&table, names)?;
        let mut copied = Vec::with_capacity(places.len());
        for &at in &places {
            let column = target.column(at)?;
            copied.push(Copied {
                at,
                name: column.name.clone(),
                ty: column.ty,
                force_null: false,
                force_not_null: false,
            });
        }
        let names: Vec<String> = copied.iter().map(|column| column.name.clone()).collect();
        let not_null = forced(
            "FORCE_NOT_NULL",
            &options.force_not_null,
            &names,
            Some(&table),
        )?;
        let null = forced("FORCE_NULL", &options.force_null, &names, Some(&table))?;
        for (column, (not_null, null)) in copied.iter_mut().zip(not_null.into_iter().zip(null)) {
            column.force_not_null = not_null;
            column.force_null = null;
        }
        let mut defaults = Vec::new();
        for (at, _) in table.live_columns() {
            if !places.contains(&at) {
                defaults.push((at, target.default(context.catalog, &context.info, at)?));
            }
        }
        let bulk = Bulk::begin(context, &target)?;
        Ok(Outcome::CopyIn(Box::new(From {
            bulk,
            target,
            columns: copied,
            defaults,
            condition,
            lines: Lines::new(&options),
            changes: Changes::default(),
            line: 0,
            rows: 0,
            header: options.header != Header::No || options.format == Format::Binary,
            ended: false,
            options,
        })))
    }

    /// Takes all complete records of the input.
    async fn take(&mut self, context: &mut Context<'_>, data: &[u8], last: bool) -> Result<()> {
        let taken = self.take_records(context, data, last).await;
        if taken.is_err() {
            // A row that comes before the error may be one, too.
            self.bulk.write(context).await?;
        }
        taken
    }

    async fn take_records(
        &mut self,
        context: &mut Context<'_>,
        data: &[u8],
        last: bool,
    ) -> Result<()> {
        // Mostly a piece starts where a record starts, and nothing is copied.
        let joined;
        let input = match self.lines.rest.is_empty() {
            true => data,
            false => {
                let mut rest = std::mem::take(&mut self.lines.rest);
                rest.extend_from_slice(data);
                joined = rest;
                &joined
            }
        };
        let mut at = 0;
        let mut buffers = Buffers::default();
        match self.options.format {
            Format::Binary => self.binary(context, input, &mut at).await?,
            Format::Text | Format::Csv => {
                while !self.ended {
                    match self.lines.next(input, at, last) {
                        Ok(lines::Found::Incomplete) => break,
                        Ok(lines::Found::Record { start, end, next }) => {
                            let line = input.get(start..end).unwrap_or(&[]);
                            self.record(context, line, &mut buffers).await?;
                            at = next;
                        }
                        Err(error) => {
                            let line = self.line.saturating_add(1);
                            return Err(self.at_line(error, line, None));
                        }
                    }
                }
            }
        }
        self.lines.keep(input, at);
        Ok(())
    }

    /// One record of text or CSV.
    async fn record<'v>(
        &mut self,
        context: &mut Context<'_>,
        line: &'v [u8],
        buffers: &mut Buffers<'v>,
    ) -> Result<()> {
        context.interrupt.check()?;
        self.line = self.line.saturating_add(1);
        if self.header {
            self.header = false;
            return self.check_header(line);
        }
        if line == b"\\." {
            self.ended = true;
            return Ok(());
        }
        let number = self.line;
        if let Some(at) = memchr::memchr(0, line) {
            return Err(self.at_line(text::invalid_utf8(line, at), number, None));
        }
        let line = match std::str::from_utf8(line) {
            Ok(line) => line,
            Err(error) => {
                let error = text::invalid_utf8(line, error.valid_up_to());
                return Err(self.at_line(error, number, None));
            }
        };
        buffers.values.clear();
        let width = self.target.types.len();
        buffers.values.resize(width, Datum::Null);
        let parsed = self.parse(line, &context.info.style, buffers);
        if let Err(error) = parsed {
            return Err(match error.fields().context.is_some() {
                true => error,
                false => self.at_line(error, number, Some(line)),
            });
        }
        match self.write(context, &mut buffers.values).await {
            Ok(()) => Ok(()),
            // About a row before this one.
            Err(error) if error.fields().context.is_some() => Err(error),
            Err(error) => Err(self.at_line(error, number, Some(line))),
        }
    }

    /// The first line, which HEADER MATCH compares with the columns.
    fn check_header(&self, line: &[u8]) -> Result<()> {
        if self.options.header != Header::Match {
            return Ok(());
        }
        let wrong = |message: String| {
            let shown = String::from_utf8_lossy(line);
            self.at_line(bad(message), 1, Some(&shown))
        };
        let line = std::str::from_utf8(line)
            .map_err(|error| text::invalid_utf8(line, error.valid_up_to()))?;
        let mut names = Vec::new();
        if self.options.format == Format::Csv {
            let mut fields = Vec::new();
            csv::fields(line, &self.options, &mut fields)?;
            names.extend(fields.into_iter().map(|(field, _)| Some(field)));
        } else {
            text::fields(line, &self.options, &mut names)?;
        }
        if names.len() != self.columns.len() {
            return Err(wrong(format!(
                "wrong number of fields in header line: got {}, expected {}",
                names.len(),
                self.columns.len()
            )));
        }
        for (n, (name, column)) in names.iter().zip(&self.columns).enumerate() {
            let number = n.saturating_add(1);
            match name {
                Some(name) if *name == column.name => {}
                Some(name) => {
                    return Err(wrong(format!(
                        "column name mismatch in header line field {number}: got \"{name}\", \
                         expected \"{}\"",
                        column.name
                    )));
                }
                None => {
                    return Err(wrong(format!(
                        "column name mismatch in header line field {number}: got null value \
                         (\"{}\"), expected \"{}\"",
                        self.options.null, column.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The values of a record, each at its column's place.
    fn parse<'v>(&self, line: &'v str, style: &TextStyle, buffers: &mut Buffers<'v>) -> Result<()> {
        let Buffers { plain, values } = buffers;
        plain.clear();
        if self.options.format == Format::Csv {
            let mut fields = Vec::with_capacity(self.columns.len());
            csv::fields(line, &self.options, &mut fields)?;
            for (n, (field, quoted)) in fields.into_iter().enumerate() {
                let column = self.columns.get(n);
                let is_null = field == self.options.null.as_str()
                    && match (column, quoted) {
                        (Some(column), false) => !column.force_not_null,
                        (Some(column), true) => column.force_null,
                        (None, _) => false,
                    };
                plain.push((!is_null).then_some(field));
            }
        } else {
            text::fields(line, &self.options, plain)?;
        }
        if plain.len() > self.columns.len() {
            // A table without columns takes empty lines.
            if !(self.columns.is_empty() && line.is_empty()) {
                return Err(bad("extra data after last expected column"));
            }
        }
        let mut fields = plain.drain(..);
        for column in &self.columns {
            let Some(field) = fields.next() else {
                return Err(bad(format!("missing data for column \"{}\"", column.name)));
            };
            let Some(field) = field else { continue };
            let shown = field.clone();
            let value = input(column.ty, field, style).map_err(|error| {
                let shown = clipped(&shown);
                error.context(format!(
                    "COPY {}, line {}, column {}: \"{shown}\"",
                    self.target.table.name, self.line, column.name
                ))
            })?;
            if let Some(slot) = values.get_mut(column.at) {
                *slot = value;
            }
        }
        Ok(())
    }

    /// All complete records of binary input.
    async fn binary(
        &mut self,
        context: &mut Context<'_>,
        input: &[u8],
        at: &mut usize,
    ) -> Result<()> {
        if self.header {
            match binary::header(input)? {
                None => return Ok(()),
                Some(start) => *at = start,
            }
            self.header = false;
        }
        while !self.ended {
            context.interrupt.check()?;
            let number = self.line.saturating_add(1);
            let found = binary::next(input, *at, self.columns.len());
            let (fields, next) = match found {
                Ok(binary::Found::Incomplete) => return Ok(()),
                Ok(binary::Found::End(end)) => {
                    self.ended = true;
                    *at = end;
                    return Ok(());
                }
                Ok(binary::Found::Record(fields, next)) => (fields, next),
                Err(error) => return Err(self.at_line(error, number, None)),
            };
            self.line = number;
            let mut values = self.target.empty_row();
            for (column, field) in self.columns.iter().zip(fields) {
                let Some(bytes) = field else { continue };
                let value = types::binary::parse(column.ty, bytes).map_err(|error| {
                    error.context(format!(
                        "COPY {}, line {number}, column {}",
                        self.target.table.name, column.name
                    ))
                })?;
                if let Some(slot) = values.get_mut(column.at) {
                    *slot = value;
                }
            }
            match self.write(context, &mut values).await {
                Err(error) if error.fields().context.is_none() => {
                    return Err(self.at_line(error, number, None));
                }
                other => other?,
            }
            *at = next;
        }
        // Whatever follows the trailer does not count.
        *at = input.len();
        Ok(())
    }

    async fn write(&mut self, context: &mut Context<'_>, values: &mut [Datum<'_>]) -> Result<()> {
        for (at, default) in &self.defaults {
            let value = default_of(context, &self.target, *at, default).await?;
            if let Some(slot) = values.get_mut(*at) {
                *slot = value;
            }
        }
        if let Some(condition) = &self.condition {
            match self.target.evaluate(context, condition, values).await? {
                Datum::Bool(true) => {}
                Datum::Bool(false) | Datum::Null => return Ok(()),
                _ => {
                    return Err(Error::new(
                        SqlState::DATATYPE_MISMATCH,
                        "argument of COPY FROM WHERE must be type boolean",
                    ));
                }
            }
        }
        let line = Some(self.line);
        self.bulk
            .add(context, &mut self.changes, values, line)
            .await?;
        self.rows = self.rows.saturating_add(1);
        Ok(())
    }

    /// Adds where in the input an error arose.
    fn at_line(&self, error: Error, line: u64, text: Option<&str>) -> Error {
        let table = &self.target.table.name;
        error.context(match text {
            None => format!("COPY {table}, line {line}"),
            Some(text) => format!("COPY {table}, line {line}: \"{}\"", clipped(text)),
        })
    }
}

/// The start of a long text, as an error's context shows it.
fn clipped(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", text.get(..end).unwrap_or(text))),
    }
}

/// A value of a column from its text. The commonest types are read in place.
fn input<'v>(ty: PgType, field: Cow<'v, str>, style: &TextStyle) -> Result<Datum<'v>> {
    match ty.oid {
        oid::TEXT => return Ok(Datum::Text(field)),
        oid::VARCHAR if ty.typmod < 0 => return Ok(Datum::Text(field)),
        oid::INT4 => {
            if let Ok(value) = field.parse() {
                return Ok(Datum::Int4(value));
            }
        }
        oid::INT8 => {
            if let Ok(value) = field.parse() {
                return Ok(Datum::Int8(value));
            }
        }
        _ => {}
    }
    types::text::parse(ty, &field, style)
}

impl CopySink for From {
    fn columns(&self) -> usize {
        self.columns.len()
    }

    fn binary(&self) -> bool {
        self.options.format == Format::Binary
    }

    fn data<'a>(&'a mut self, context: &'a mut Context<'_>, data: &'a [u8]) -> CopyFuture<'a, ()> {
        Box::pin(async move {
            if self.ended {
                return Ok(());
            }
            self.take(context, data, false).await
        })
    }

    fn finish<'a>(&'a mut self, context: &'a mut Context<'_>) -> CopyFuture<'a, String> {
        Box::pin(async move {
            if !self.ended {
                self.take(context, &[], true).await?;
            }
            if self.options.format == Format::Binary && !self.ended {
                let error = Error::new(
                    SqlState::BAD_COPY_FILE_FORMAT,
                    "unexpected EOF in COPY data",
                );
                let line = self.line.saturating_add(1);
                return Err(self.at_line(error, line, None));
            }
            self.bulk.finish(context).await?;
            std::mem::take(&mut self.changes).finish(context).await?;
            Ok(format!("COPY {}", self.rows))
        })
    }
}
