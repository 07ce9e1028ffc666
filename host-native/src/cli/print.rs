//! Results as people read them (psql's aligned tables) and as programs do (CSV, JSON lines).

use std::io::{self, Write};
use std::sync::Arc;

use omendb_core::error::{Error, Result, SqlState};
use omendb_core::session::{ResultColumn, RowBlock, Step};
use omendb_core::types::oid;

/// Rows that are kept to align a table; larger results are printed in several aligned parts.
const MAX_ALIGNED: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object for each row
    Json,
}

/// Prints the steps of one query string.
pub struct Printer {
    format: OutputFormat,
    columns: Arc<[ResultColumn]>,
    rows: Vec<Vec<Option<String>>>,
    /// Rows of the result so far.
    count: usize,
    /// A result with columns is under way.
    open: bool,
}

impl Printer {
    pub fn new(format: OutputFormat) -> Self {
        Printer {
            format,
            columns: Arc::from([]),
            rows: Vec::new(),
            count: 0,
            open: false,
        }
    }

    pub fn step(&mut self, step: Step, out: &mut impl Write) -> Result<()> {
        let written = match step {
            Step::Describe(columns) => self.begin(columns, out),
            Step::Rows(block) => return self.block(&block, out),
            Step::Complete(tag) => self.end(&tag, out),
            Step::CopyData(data) => data.iter().try_for_each(|row| out.write_all(row)),
            Step::Empty | Step::Suspended => Ok(()),
            Step::CopyIn(_) | Step::CopyOut(_) | Step::CopyDone => Ok(()),
        };
        written.map_err(broken)
    }

    fn begin(&mut self, columns: Arc<[ResultColumn]>, out: &mut impl Write) -> io::Result<()> {
        self.columns = columns;
        self.rows.clear();
        self.count = 0;
        self.open = true;
        if self.format == OutputFormat::Csv {
            let names = self.columns.iter().map(|column| csv(&column.name));
            writeln!(out, "{}", names.collect::<Vec<_>>().join(","))?;
        }
        Ok(())
    }

    fn block(&mut self, block: &RowBlock, out: &mut impl Write) -> Result<()> {
        let mut cell = Vec::new();
        for row in 0..block.rows.len() {
            let mut cells = Vec::with_capacity(block.columns.len());
            for column in 0..block.columns.len() {
                cell.clear();
                let some = block.write_cell(row, column, &mut cell)?;
                cells.push(some.then(|| String::from_utf8_lossy(&cell).into_owned()));
            }
            self.count += 1;
            match self.format {
                OutputFormat::Table => {
                    self.rows.push(cells);
                    if self.rows.len() >= MAX_ALIGNED {
                        self.table(out).map_err(broken)?;
                    }
                }
                OutputFormat::Csv => {
                    let cells = cells.iter().map(|cell| match cell {
                        Some(text) if text.is_empty() => "\"\"".to_owned(),
                        Some(text) => csv(text),
                        None => String::new(),
                    });
                    let line = cells.collect::<Vec<_>>().join(",");
                    writeln!(out, "{line}").map_err(broken)?;
                }
                OutputFormat::Json => {
                    writeln!(out, "{}", self.json(&cells)).map_err(broken)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, tag: &str, out: &mut impl Write) -> io::Result<()> {
        let open = std::mem::take(&mut self.open);
        if self.format != OutputFormat::Table {
            return Ok(());
        }
        if open {
            if !self.rows.is_empty() || self.count == 0 {
                self.table(out)?;
            }
            let noun = if self.count == 1 { "row" } else { "rows" };
            writeln!(out, "({} {noun})\n", self.count)?;
        }
        if !open || !tag.starts_with("SELECT") {
            writeln!(out, "{tag}")?;
        }
        Ok(())
    }

    fn json(&self, cells: &[Option<String>]) -> String {
        let members = self.columns.iter().zip(cells).map(|(column, cell)| {
            let name = serde_json::Value::from(column.name.as_str());
            let value = match (cell, column.ty.oid) {
                (None, _) => "null".to_owned(),
                (Some(text), oid::BOOL) => (text == "t").to_string(),
                (Some(text), oid::JSON | oid::JSONB) => text.clone(),
                (Some(text), ty)
                    if is_number(ty) && text.parse::<f64>().is_ok_and(f64::is_finite) =>
                {
                    text.clone()
                }
                (Some(text), _) => serde_json::Value::from(text.as_str()).to_string(),
            };
            format!("{name}:{value}")
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// Prints the kept rows: numbers to the right, everything else to the left.
    fn table(&mut self, out: &mut impl Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| width(&column.name))
            .collect();
        for row in &rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                let lines = cell.iter().flat_map(|text| text.split('\n'));
                *most = lines.map(width).fold(*most, usize::max);
            }
        }
        let header = self.columns.iter().zip(&widths).map(|(column, &most)| {
            let space = most - width(&column.name).min(most);
            let left = space / 2;
            format!(
                " {}{}{} ",
                " ".repeat(left),
                column.name,
                " ".repeat(space - left)
            )
        });
        writeln!(out, "{}", header.collect::<Vec<_>>().join("|"))?;
        let rule = widths.iter().map(|most| "-".repeat(most + 2));
        writeln!(out, "{}", rule.collect::<Vec<_>>().join("+"))?;
        for row in &rows {
            self.table_row(row, &widths, out)?;
        }
        Ok(())
    }

    /// One row; a value with several lines takes several, marked with `+` as in psql.
    fn table_row(
        &self,
        row: &[Option<String>],
        widths: &[usize],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let split: Vec<Vec<&str>> = row
            .iter()
            .map(|cell| cell.as_deref().unwrap_or_default().split('\n').collect())
            .collect();
        let height = split.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let mut text = String::new();
            for (at, (lines, &most)) in split.iter().zip(widths).enumerate() {
                if at > 0 {
                    text.push('|');
                }
                let part = lines.get(line).copied().unwrap_or_default();
                let space = " ".repeat(most - width(part).min(most));
                let number = self
                    .columns
                    .get(at)
                    .is_some_and(|column| is_number(column.ty.oid));
                let more = if line + 1 < lines.len() { '+' } else { ' ' };
                let cell = if number {
                    format!(" {space}{part}{more}")
                } else {
                    format!(" {part}{space}{more}")
                };
                text.push_str(&cell);
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn broken(error: io::Error) -> Error {
    Error::new(
        SqlState::IO_ERROR,
        format!("cannot write the output: {error}"),
    )
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_number(ty: u32) -> bool {
    matches!(
        ty,
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC | oid::OID
    )
}

fn csv(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
