//! Reading tables: what DataFusion sees of them, the way into them, and their rows as columns.
//!
//! | file | what |
//! |---|---|
//! | `source` | a table's description: schema, and which filters help |
//! | `ranges` | from filters to the cheapest way in |
//! | `plan` | the physical scan |
//! | `rows` | stored rows to Arrow batches |
//! | `cache` | decoded columns kept between queries |

mod cache;
mod plan;
mod ranges;
mod rows;
mod source;

pub(super) use cache::ColumnCache;
pub(super) use plan::ScanPlan;
pub(super) use rows::BATCH_ROWS;
pub(super) use source::TableSource;
