//! A stored table as DataFusion sees it: a description, without rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::super::bind::arrow_type;
use super::super::context::RunContext;
use super::plan::ScanPlan;
use super::ranges::{self, Access};
use crate::catalog::{Index, Table};
use crate::query::ROW_KEY;

/// See [`ScanPlan`] for how it is read.
#[derive(Debug)]
pub(in crate::query) struct TableSource {
    pub table: Arc<Table>,
    pub indexes: Vec<Arc<Index>>,
    /// Positions in the table of the schema's columns.
    pub positions: Vec<usize>,
    /// The FROM item whose rows may be restricted, when it selects row keys.
    pub keyed: Option<String>,
    schema: SchemaRef,
}

impl TableSource {
    pub fn new(table: Arc<Table>, indexes: Vec<Arc<Index>>, keyed: Option<String>) -> Self {
        let mut fields = Vec::new();
        let mut positions = Vec::new();
        for (at, column) in table.live_columns() {
            fields.push(Field::new(
                &column.name,
                arrow_type(column.ty),
                !column.not_null,
            ));
            positions.push(at);
        }
        if keyed.is_some() {
            fields.push(Field::new(ROW_KEY, DataType::BinaryView, false));
        }
        TableSource {
            table,
            indexes,
            positions,
            keyed,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

#[async_trait]
impl TableProvider for TableSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters on keys narrow what is read; DataFusion still applies them.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if ranges::may_help(self, filter) {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let context = RunContext::of(state.config_options())?;
        let read = context.read()?.clone();
        let restriction = self
            .keyed
            .as_ref()
            .and_then(|name| read.only.get(name))
            .cloned();
        let access = match restriction {
            Some(keys) => {
                let keys: BTreeSet<Vec<u8>> = keys.iter().cloned().collect();
                Access::Keys(keys.into_iter().collect())
            }
            None => ranges::choose(self, filters)?,
        };
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let limit = if filters.is_empty() { limit } else { None };
        let partitions = state.config().target_partitions();
        let cache = context.cache.clone();
        let plan = ScanPlan::new(self, projection, access, limit, read, partitions, cache)?;
        Ok(Arc::new(plan))
    }
}
