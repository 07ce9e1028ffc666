//! Reading tables: what DataFusion sees of them, the way into them, and their rows as columns.
//!
//! | file | what |
//! |---|---|
//! | `source` | a table's description: schema, and which filters help |
//! | `ranges` | from filters to the cheapest way in |
//! | `plan` | the physical scan |
//! | `order` | in which order rows come |
//! | `walk` | row by row: keys, key ranges, indexes |
//! | `rows` | stored rows to Arrow batches |
//! | `keep`, `kept`, `cache` | unsealed rows as columns, kept from one query to the next |
//! | `sealed` | sealed rows: which pieces are read, and by whom |
//! | `columns` | the columns of a row group as batches |
//! | `filter` | rows that match |
//! | `prune` | row groups that no filter can match |
//! | `statistics` | what is known of the columns before they are read |
//! | `metrics` | what is counted for EXPLAIN ANALYZE |
//! | `describe` | what EXPLAIN shows of it |

mod cache;
mod columns;
mod describe;
mod filter;
mod keep;
mod kept;
mod metrics;
mod order;
mod plan;
mod prune;
mod ranges;
mod rows;
mod sealed;
mod source;
mod statistics;
#[cfg(test)]
mod tests;
mod walk;

pub(super) use cache::ColumnCache;
pub(super) use plan::ScanPlan;
pub(super) use rows::BATCH_ROWS;
pub(super) use sealed::parts_of;
pub(super) use source::TableSource;
