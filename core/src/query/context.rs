//! What a plan runs with, as functions and scans find it: an extension of DataFusion's options.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result as DfResult};

use super::SessionInfo;
use super::functions::ValueLimit;
use super::scan::ColumnCache;
use crate::catalog::Catalog;
use crate::env::Turn;
use crate::error::{Error, Result};
use crate::txn::{Interrupt, View};

/// Everything about one execution of a plan.
#[derive(Clone)]
pub(super) struct RunContext {
    pub info: Arc<SessionInfo>,
    pub catalog: Arc<Catalog>,
    /// What scans read: view, interrupt, restriction. Not there while planning.
    pub read: Option<Arc<ReadContext>>,
    /// The bytes of one value that a function makes.
    pub limit: ValueLimit,
    /// Decoded columns kept between queries.
    pub cache: Option<Arc<ColumnCache>>,
}

/// What scans read.
pub(super) struct ReadContext {
    pub view: View,
    pub interrupt: Interrupt,
    pub only: HashMap<String, Arc<Vec<Vec<u8>>>>,
    /// Ends where the query waits for what others do.
    pub turn: Turn,
}

impl fmt::Debug for RunContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunContext")
            .field("user", &self.info.user)
            .finish_non_exhaustive()
    }
}

impl ExtensionOptions for RunContext {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> DfResult<()> {
        Err(DataFusionError::Configuration(format!(
            "\"{key}\" is not an option"
        )))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

impl ConfigExtension for RunContext {
    const PREFIX: &'static str = "omendb";
}

impl RunContext {
    /// The execution's context in DataFusion's options.
    pub fn of(options: &ConfigOptions) -> Result<&RunContext> {
        options
            .extensions
            .get::<RunContext>()
            .ok_or_else(|| Error::internal("a query runs without its context"))
    }

    pub fn read(&self) -> Result<&Arc<ReadContext>> {
        self.read
            .as_ref()
            .ok_or_else(|| Error::internal("a query reads without a view"))
    }
}
