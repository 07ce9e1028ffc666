//! Errors of rows that break a constraint, as statements and the definitions of tables report them.

use super::Context;
use crate::catalog::{ForeignKey, Table};
use crate::error::{Error, SqlState};
use crate::types::{Datum, text};

impl Context<'_> {
    /// An error with the table's name and schema in its fields.
    pub(super) fn table_error(
        &self,
        table: &Table,
        state: SqlState,
        message: impl Into<String>,
    ) -> Error {
        let schema = self.catalog.schema_name(table.schema);
        Error::new(state, message)
            .schema(schema.unwrap_or_default())
            .table(&table.name)
    }

    /// 23503 for a row of `table` whose `values` in the key's columns are those of no row of `parent`.
    pub(super) fn not_referenced<'v>(
        &self,
        table: &Table,
        foreign: &ForeignKey,
        values: impl IntoIterator<Item = &'v Datum<'v>>,
        parent: &Table,
    ) -> Error {
        let shown = self.shown_key(table, &foreign.columns, values);
        self.reference_error(table, foreign).detail(format!(
            "Key {shown} is not present in table \"{}\".",
            parent.name
        ))
    }

    /// 23503 for a row with values and NULLs in a key that takes all or none.
    pub(super) fn mixed_nulls(&self, table: &Table, foreign: &ForeignKey) -> Error {
        self.reference_error(table, foreign)
            .detail("MATCH FULL does not allow mixing of null and nonnull key values.")
    }

    fn reference_error(&self, table: &Table, foreign: &ForeignKey) -> Error {
        let message = format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            table.name, foreign.name
        );
        self.table_error(table, SqlState::FOREIGN_KEY_VIOLATION, message)
            .constraint(&foreign.name)
    }

    /// `(a, b)=(1, x)`, as details name the values of some columns.
    pub(super) fn shown_key<'v>(
        &self,
        table: &Table,
        columns: &[usize],
        values: impl IntoIterator<Item = &'v Datum<'v>>,
    ) -> String {
        let columns = columns.iter().filter_map(|at| table.columns.get(*at));
        let (names, values): (Vec<&str>, Vec<String>) = columns
            .zip(values)
            .map(|(column, value)| {
                let value = match value {
                    Datum::Null => "null".to_owned(),
                    value => text::to_string(value, column.ty, &self.info.style),
                };
                (column.name.as_str(), value)
            })
            .unzip();
        format!("({})=({})", names.join(", "), values.join(", "))
    }
}

/// The values of some columns of a row.
pub(super) fn key_values<'r, 'v>(
    row: &'r [Datum<'v>],
    columns: &'r [usize],
) -> impl Iterator<Item = &'r Datum<'v>> {
    columns.iter().filter_map(|at| row.get(*at))
}
