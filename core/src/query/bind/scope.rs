//! Names in scope and what they stand for.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;

use super::outer_aggregate::OuterAggregate;
use super::{Bound, Clause};
use crate::types::PgType;

/// An expression with its PostgreSQL type, and the Arrow type that it yields: they differ in detail
/// for `numeric`, whose precision and scale are inferred.
#[derive(Clone, Debug)]
pub(in crate::query) struct Typed {
    pub expr: Expr,
    pub ty: PgType,
    pub data: DataType,
}

impl Typed {
    pub fn is_unknown(&self) -> bool {
        self.ty.oid == PgType::UNKNOWN.oid
    }
}

/// A column that a name can mean.
#[derive(Clone, Debug)]
pub(in crate::query) struct OutColumn {
    /// The name that PostgreSQL gives it.
    pub name: String,
    /// Where it is in the plan.
    pub column: Column,
    pub ty: PgType,
    pub data: DataType,
    /// OID of the table that it comes from unchanged, or 0, and its number there.
    pub table: u32,
    pub attribute: i16,
    /// Not in `*`: found only by its name.
    pub hidden: bool,
    /// Not the column itself but this (a merged column of a FULL JOIN USING).
    pub merged: Option<Expr>,
}

impl OutColumn {
    pub fn typed(&self) -> Typed {
        Typed {
            expr: match &self.merged {
                Some(expr) => expr.clone(),
                None => Expr::Column(self.column.clone()),
            },
            ty: self.ty,
            data: self.data.clone(),
        }
    }
}

/// An item of FROM under its alias.
#[derive(Clone, Debug)]
pub(in crate::query) struct Item {
    pub name: String,
    /// The table's own name, if it goes by another.
    pub relation: Option<String>,
    pub columns: Vec<OutColumn>,
    /// Primary key columns, if it is a table with one: GROUP BY them determines the others.
    pub key: Vec<String>,
    /// On the side of an outer join that may lack a match.
    pub nullable: bool,
    /// A function that gives single values: its name stands for the value.
    pub scalar: bool,
}

/// One query's names.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub items: Vec<Item>,
    /// Columns that are found without a qualifier, in the order of `*`.
    pub visible: Vec<OutColumn>,
    /// Items on the left in the FROM of this SELECT (by its depth), for LATERAL ones on the right.
    pub lateral: Option<usize>,
    /// Not to be seen from here.
    pub hidden: bool,
    pub windows: Vec<(String, datafusion::sql::sqlparser::ast::NamedWindowExpr)>,
    /// Where the sub-query at hand stands in it.
    pub clause: Option<Clause>,
    /// What it computes for sub-queries, beside its own aggregates.
    pub aggregates: Vec<OuterAggregate>,
}

impl Frame {
    pub fn of(items: Vec<Item>) -> Frame {
        let visible = items.iter().flat_map(|item| item.columns.clone()).collect();
        Frame {
            items,
            visible,
            ..Frame::default()
        }
    }
}

/// A WITH query in scope.
#[derive(Clone)]
pub(super) struct Cte {
    pub name: String,
    pub bound: Bound,
    /// How many frames were open where it was defined.
    pub level: usize,
}
