//! Rows of a system table, given by column name.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::definitions::Definition;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::query::SessionInfo;
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Array, Datum, PgType, oid};

/// What a system table is computed from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub catalog: Arc<Catalog>,
    pub info: Arc<SessionInfo>,
}

/// Time zone of timestamptz columns.
const ZONE: &str = "UTC";

/// The rows of one system table. A column that a row does not name is NULL; in `pg_catalog` itself
/// numbers are 0 and booleans false then, for those columns are never NULL there.
pub(super) struct Rows {
    definition: &'static Definition,
    rows: Vec<Vec<Datum<'static>>>,
}

impl Rows {
    pub(super) fn new(definition: &'static Definition) -> Self {
        Rows {
            definition,
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, values: Vec<(&'static str, Datum<'static>)>) {
        let plain = self.definition.schema == "pg_catalog" && self.definition.kind == 'r';
        let mut row: Vec<Datum<'static>> = self
            .definition
            .columns
            .iter()
            .map(|(_, ty)| if plain { zero(*ty) } else { Datum::Null })
            .collect();
        for (name, value) in values {
            let at = self
                .definition
                .columns
                .iter()
                .position(|(column, _)| *column == name);
            debug_assert!(
                at.is_some(),
                "{} has no column {name}",
                self.definition.name
            );
            if let Some(slot) = at.and_then(|at| row.get_mut(at)) {
                *slot = value;
            }
        }
        self.rows.push(row);
    }

    /// The rows as one batch.
    pub(super) fn batch(self) -> Result<RecordBatch> {
        let schema = schema(self.definition);
        let mut arrays = Vec::with_capacity(self.definition.columns.len());
        for (at, (_, ty)) in self.definition.columns.iter().enumerate() {
            let mut builder = ColumnBuilder::new(*ty, ZONE, self.rows.len());
            for row in &self.rows {
                builder.append(row.get(at).unwrap_or(&Datum::Null))?;
            }
            arrays.push(builder.finish());
        }
        RecordBatch::try_new(schema, arrays).map_err(|error| {
            crate::Error::internal(format!("system table {}: {error}", self.definition.name))
        })
    }
}

/// The Arrow schema of a system table.
pub(super) fn schema(definition: &Definition) -> SchemaRef {
    let fields: Vec<_> = definition
        .columns
        .iter()
        .map(|(name, ty)| columns::field(name, *ty, true, ZONE))
        .collect();
    Arc::new(Schema::new(fields))
}

fn zero(ty: PgType) -> Datum<'static> {
    match ty.oid {
        oid::BOOL => Datum::Bool(false),
        oid::INT2 => Datum::Int2(0),
        oid::INT4 => Datum::Int4(0),
        oid::INT8 => Datum::Int8(0),
        oid::FLOAT4 => Datum::Float4(0.0),
        oid::OID | oid::REGPROC | oid::XID => Datum::Oid(0),
        _ => Datum::Null,
    }
}

pub(super) fn text(value: impl Into<String>) -> Datum<'static> {
    Datum::text(value)
}

pub(super) fn text_or_null(value: Option<impl Into<String>>) -> Datum<'static> {
    value.map_or(Datum::Null, Datum::text)
}

pub(super) fn int2(value: usize) -> Datum<'static> {
    Datum::Int2(i16::try_from(value).unwrap_or(i16::MAX))
}

pub(super) fn int4(value: i32) -> Datum<'static> {
    Datum::Int4(value)
}

/// `YES` or `NO`.
pub(super) fn yes(value: bool) -> Datum<'static> {
    Datum::text(if value { "YES" } else { "NO" })
}

/// An attribute number.
pub(super) fn number(at: usize) -> i16 {
    i16::try_from(at.saturating_add(1)).unwrap_or(i16::MAX)
}

pub(super) fn array(element: PgType, items: Vec<Datum<'static>>) -> Datum<'static> {
    Datum::Array(Box::new(Array { element, items }))
}

/// Attribute numbers as int2vector or int2[].
pub(super) fn numbers(columns: &[usize]) -> Datum<'static> {
    array(
        PgType::INT2,
        columns.iter().map(|at| Datum::Int2(number(*at))).collect(),
    )
}
