//! A system table as DataFusion scans it: computed when it is read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::definitions::Definition;
use super::rows::{self, Rows, Source};
use super::tables;

#[derive(Debug)]
pub(super) struct SystemTable {
    pub definition: &'static Definition,
    pub source: Source,
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        rows::schema(self.definition)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows::new(self.definition);
        tables::fill(self.definition, &self.source, &mut rows);
        let batch = rows
            .batch()
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        table.scan(state, projection, filters, limit).await
    }
}
