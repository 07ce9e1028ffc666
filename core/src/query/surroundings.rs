//! What a function of the system schemas may look at while a query runs.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result as DfResult};

use super::SessionInfo;
use crate::catalog::Catalog;
use crate::error::{Error, Result};

/// The catalog and the session of a running query, as an extension of DataFusion's options.
#[derive(Clone)]
pub struct Surroundings {
    pub catalog: Arc<Catalog>,
    pub info: Arc<SessionInfo>,
}

/// The catalog and the session that a call of a function belongs to.
pub fn surroundings(options: &ConfigOptions) -> Result<(&Arc<Catalog>, &Arc<SessionInfo>)> {
    options
        .extensions
        .get::<Surroundings>()
        .map(|it| (&it.catalog, &it.info))
        .ok_or_else(|| Error::internal("a query runs without its surroundings"))
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("user", &self.info.user).finish_non_exhaustive()
    }
}

impl ExtensionOptions for Surroundings {
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
        Err(DataFusionError::Configuration(format!("\"{key}\" is not an option")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

impl ConfigExtension for Surroundings {
    const PREFIX: &'static str = "surroundings";
}
