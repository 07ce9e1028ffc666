//! Reading with DataFusion: from a parsed query to a plan, from a plan and a view to batches.
//!
//! A [`Plan`] holds no data: its table providers describe tables, and find the [`View`] to read in
//! the [`Execution`] that they are run with. So a prepared statement plans once and runs on each
//! statement's own snapshot.

mod bind;
mod by_value;
mod context;
mod dependencies;
mod dialect;
mod engine;
mod errors;
mod estimate;
mod evaluate;
mod explain;
mod frame_edge;
mod framed;
mod functions;
mod info;
mod inner_joins;
mod join_keys;
mod join_order;
mod kept_conditions;
mod outer_joins;
mod pacing;
mod pass;
mod rows;
mod rules;
mod same_names;
mod scan;
mod series;
mod shared;
mod shift;
mod surroundings;
mod system;
mod window_keys;

pub use dialect::{SqlDialect, within_steps};
pub use functions::column_name;
pub use info::{AdvisoryLock, PreparedInfo, SessionAccess, SessionInfo, Signal};
pub use rows::{ResultColumn, Rows};
pub use surroundings::surroundings;
pub use system::{NoSystemCatalog, SYSTEM_FUNCTIONS, SystemCatalog};

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::SessionState;

use crate::catalog::Catalog;
use crate::env::Workers;
use crate::txn::{Interrupt, View};
use crate::types::{Datum, PgType};

use engine::Planned;
use functions::Functions;
use scan::ColumnCache;

/// Name of the hidden column that holds a row's key in its table's storage (bytea).
pub const ROW_KEY: &str = "__row_key";

/// What all sessions share of DataFusion: runtime, memory pool, functions, caches.
pub struct QueryEngine {
    state: SessionState,
    functions: Functions,
    system: Arc<dyn SystemCatalog>,
    cache: Arc<ColumnCache>,
    workers: Workers,
}

/// What a query is planned against.
#[derive(Clone)]
pub struct PlanContext<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub info: &'a Arc<SessionInfo>,
    /// Types that the client gave its parameters, `UNKNOWN` where it left them open.
    pub parameters: &'a [PgType],
    /// Names (aliases) of the FROM items whose [`ROW_KEY`] the query selects by that name, as in
    /// `SELECT t.__row_key, … FROM t`: the targets of UPDATE, DELETE and FOR UPDATE.
    pub row_keys: &'a [String],
}

/// A planned query.
#[derive(Clone)]
pub struct Plan {
    pub columns: Arc<[ResultColumn]>,
    /// Types of all parameters, as given or as inferred.
    pub parameters: Vec<PgType>,
    inner: Arc<Planned>,
}

/// What a plan runs with.
pub struct Execution {
    pub view: View,
    pub info: Arc<SessionInfo>,
    pub parameters: Vec<Datum<'static>>,
    pub interrupt: Interrupt,
    /// For the named FROM items (see [`PlanContext::row_keys`]), read only rows with these keys:
    /// how a condition is evaluated again on rows that changed while their locks were awaited.
    pub only: HashMap<String, Arc<Vec<Vec<u8>>>>,
}

/// Options of `QueryEngine`.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Bytes that running queries may use together (sorts, hash tables); 53200 beyond.
    pub memory_bytes: usize,
    /// Bytes of decoded columns kept between queries, and gathered to be kept.
    pub column_cache_bytes: usize,
    /// Partitions of a plan; 1 where there is one thread.
    pub parallelism: usize,
}
