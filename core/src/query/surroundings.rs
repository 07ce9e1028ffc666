//! What a function of the system schemas may look at while a query runs.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;

use super::SessionInfo;
use super::context::RunContext;
use crate::catalog::Catalog;
use crate::error::Result;

/// The catalog and the session that a call of a function belongs to.
///
/// # Errors
/// XX000 outside of a query of this engine.
pub fn surroundings(options: &ConfigOptions) -> Result<(&Arc<Catalog>, &Arc<SessionInfo>)> {
    let context = RunContext::of(options)?;
    Ok((&context.catalog, &context.info))
}
