//! Rows as values: a FROM item by its name, `t.*` as an argument, `ROW(…)`.
//!
//! A row travels as its text. Where it was made its fields are known too, and JSON, comparisons and
//! IS NULL are made of those.

use datafusion::logical_expr::{Expr, Operator};
use datafusion::sql::sqlparser::ast;

use super::coerce;
use super::expr::boolean;
use super::scope::{Item, OutColumn, Typed};
use super::{Binder, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::types::cast::Context;
use crate::types::{Datum, PgType, oid};

/// The most fields of a row, as in PostgreSQL.
const MAX_FIELDS: usize = 1_664;

/// A row value whose fields are known.
#[derive(Clone)]
pub(super) struct Record {
    /// What stands for it in expressions.
    expr: Expr,
    fields: Vec<(String, Typed)>,
    /// NULL when all its fields are: of the side of an outer join that may lack a match.
    nullable: bool,
    /// Written as `ROW(…)`, and compared field by field: in other rows NULLs are equal.
    constructed: bool,
}

/// Functions that make JSON of their arguments.
pub(super) fn makes_json(name: &str) -> bool {
    matches!(
        name,
        "row_to_json"
            | "to_json"
            | "to_jsonb"
            | "json_build_object"
            | "jsonb_build_object"
            | "json_build_array"
            | "jsonb_build_array"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
    )
}

impl Binder<'_> {
    /// The row of the FROM item of that name, of the innermost query that has one.
    pub(super) fn whole_row(&mut self, name: &str) -> Option<Result<Typed>> {
        let (item, level) = self.frames_outwards().find_map(|(level, frame)| {
            let item = frame.items.iter().find(|item| item.name == name)?;
            Some((item.clone(), level))
        })?;
        if let ([value], true) = (item.columns.as_slice(), item.scalar) {
            return Some(Ok(self.reference(value, level)));
        }
        Some(self.row_of(&item, level))
    }

    fn row_of(&mut self, item: &Item, level: usize) -> Result<Typed> {
        let columns: Vec<&OutColumn> = item
            .columns
            .iter()
            .filter(|column| !column.hidden)
            .collect();
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            fields.push((column.name.clone(), self.reference(column, level)));
        }
        self.record(fields, item.nullable, false)
    }

    /// `(a, b)`.
    pub(super) fn row_constructor(&mut self, items: &[&ast::Expr]) -> Result<Typed> {
        let values = self.exprs(items)?;
        self.row_of_values(values)
    }

    /// `ROW(a, b)`.
    pub(super) fn row_of_values(&mut self, values: Vec<Typed>) -> Result<Typed> {
        let mut fields = Vec::with_capacity(values.len());
        for (at, value) in values.into_iter().enumerate() {
            fields.push((format!("f{}", at + 1), self.settle(value)?));
        }
        self.record(fields, false, true)
    }

    fn record(
        &mut self,
        fields: Vec<(String, Typed)>,
        nullable: bool,
        constructed: bool,
    ) -> Result<Typed> {
        if fields.len() > MAX_FIELDS {
            return syntax(format!(
                "ROW expressions can have at most {MAX_FIELDS} entries"
            ));
        }
        let args = self.record_args(&fields, nullable)?;
        let typed = self.call_named("record_op", args)?;
        if !self.records.iter().any(|known| known.expr == typed.expr) {
            self.records.push(Record {
                expr: typed.expr.clone(),
                fields,
                nullable,
                constructed,
            });
        }
        Ok(typed)
    }

    fn record_args(&self, fields: &[(String, Typed)], nullable: bool) -> Result<Vec<Typed>> {
        let mut args = vec![coerce::literal(&Datum::Bool(nullable), PgType::BOOL)?];
        for (name, value) in fields {
            args.push(coerce::literal(&Datum::text(name.clone()), PgType::TEXT)?);
            args.push(value.clone());
        }
        Ok(args)
    }

    pub(super) fn known_record(&self, typed: &Typed) -> Option<Record> {
        if typed.ty.oid != oid::RECORD {
            return None;
        }
        let known = self.records.iter().find(|known| known.expr == typed.expr);
        known.cloned()
    }

    /// What is known of a row, for the column of another query that holds it: its fields are read from
    /// its text.
    pub(super) fn keep_record(&mut self, known: Option<Record>, column: &OutColumn) -> Result<()> {
        let Some(known) = known else { return Ok(()) };
        let row = column.typed();
        let mut fields = Vec::with_capacity(known.fields.len());
        for (number, (name, value)) in (1..).zip(known.fields) {
            let number = coerce::literal(&Datum::Int4(number), PgType::INT4)?;
            let text = self.call_named("record_field_op", vec![row.clone(), number])?;
            let field = match value.ty.oid {
                oid::RECORD => Typed {
                    ty: PgType::RECORD,
                    ..text
                },
                _ => self.coerce(text, value.ty, Context::Explicit)?,
            };
            fields.push((name, field));
        }
        self.records.push(Record {
            expr: row.expr,
            fields,
            nullable: false,
            constructed: known.constructed,
        });
        Ok(())
    }

    /// `row.name`.
    pub(super) fn field(&self, row: &Typed, name: &str) -> Result<Typed> {
        let Some(record) = self.known_record(row) else {
            return unsupported(
                &format!("the field access .{name} of a row that another statement made"),
                "Select the column itself.",
            );
        };
        let found = record.fields.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("could not identify column \"{name}\" in record data type"),
            )
        })
    }

    /// `information_schema._pg_expandarray`: the items of an array with their numbers, as rows.
    pub(super) fn expanded_array(&mut self, array: Typed) -> Result<Typed> {
        let numbers = self.call_named("array_ordinals", vec![array.clone()])?;
        let name = "_pg_expandarray";
        let item = self.set_returning(Some(array), name)?;
        let number = self.set_returning(Some(numbers), name)?;
        let number = self.coerce(number, PgType::INT4, Context::Explicit)?;
        let fields = vec![("x".to_owned(), item), ("n".to_owned(), number)];
        self.record(fields, false, false)
    }

    /// A comparison of two rows whose fields are known; `None` for other values.
    pub(super) fn compare_records(
        &mut self,
        op: &ast::BinaryOperator,
        left: &Typed,
        right: &Typed,
    ) -> Result<Option<Typed>> {
        let (Some(left), Some(right)) = (self.known_record(left), self.known_record(right)) else {
            return Ok(None);
        };
        let values = |record: &Record| -> Vec<Typed> {
            let fields = record.fields.iter();
            fields.map(|(_, value)| value.clone()).collect()
        };
        let (lefts, rights) = (values(&left), values(&right));
        if left.constructed && right.constructed {
            return self.compare_rows(op, lefts, rights).map(Some);
        }
        let op = match op {
            ast::BinaryOperator::Eq => Operator::IsNotDistinctFrom,
            ast::BinaryOperator::NotEq => Operator::IsDistinctFrom,
            _ => return unsupported("an order of rows", "Compare the columns one by one."),
        };
        self.distinct_rows_from(op, lefts, rights).map(Some)
    }

    /// The fields of a row that was made in this query.
    pub(super) fn fields(&self, typed: &Typed) -> Option<Vec<Typed>> {
        let fields = self.known_record(typed)?.fields;
        Some(fields.into_iter().map(|(_, value)| value).collect())
    }

    pub(super) fn json_arguments(&mut self, args: Vec<Typed>) -> Result<Vec<Typed>> {
        args.into_iter()
            .map(|arg| self.json_argument(arg))
            .collect()
    }

    /// An argument of a function that makes JSON: a row as an object.
    pub(super) fn json_argument(&mut self, typed: Typed) -> Result<Typed> {
        if typed.ty.oid != oid::RECORD {
            return Ok(typed);
        }
        let Some(record) = self.known_record(&typed) else {
            return unsupported(
                "JSON of a row that another query made",
                "Make the JSON where the row is made.",
            );
        };
        let mut fields = Vec::with_capacity(record.fields.len());
        for (name, value) in record.fields {
            fields.push((name, self.json_argument(value)?));
        }
        let args = self.record_args(&fields, record.nullable)?;
        let object = self.call_named("record_json_op", args)?;
        Ok(Typed {
            ty: PgType::RECORD,
            ..object
        })
    }

    /// `row IS NULL`: all fields are; `row IS NOT NULL`: none is.
    pub(super) fn row_null_test(&mut self, typed: &Typed, not: bool) -> Result<Option<Typed>> {
        let Some(fields) = self.fields(typed) else {
            return Ok(None);
        };
        let mut all = Expr::Literal(datafusion::scalar::ScalarValue::Boolean(Some(true)), None);
        for (at, field) in fields.into_iter().enumerate() {
            let test = match not {
                true => field.expr.is_not_null(),
                false => field.expr.is_null(),
            };
            all = match at {
                0 => test,
                _ => all.and(test),
            };
        }
        Ok(Some(boolean(all)))
    }

    /// The columns of `(t).*`.
    pub(super) fn expanded(&self, row: &ast::Expr) -> Result<Vec<OutColumn>> {
        let mut inner = row;
        while let ast::Expr::Nested(nested) = inner {
            inner = nested;
        }
        let found = match inner {
            ast::Expr::Identifier(name) => {
                let name = fold(name);
                let items = self.frames.last().map(|frame| &frame.items);
                items.and_then(|items| items.iter().find(|item| item.name == name))
            }
            _ => None,
        };
        match found {
            Some(item) => Ok(item.columns.clone()),
            None => unsupported("the expansion of a composite value", "Select its fields."),
        }
    }
}
