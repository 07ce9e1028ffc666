//! What a scan of a table with sealed rows counts, for EXPLAIN ANALYZE.

use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

/// Row groups that were read.
pub(super) const GROUPS_READ: &str = "row_groups_read";
/// Row groups that were not read, because no row of them could match.
pub(super) const GROUPS_PRUNED: &str = "row_groups_pruned";
/// Pieces of those row groups that were read: as many rows as a batch has.
pub(super) const PIECES_READ: &str = "pieces_read";
/// Pieces of them that were not, because no row of them could match.
pub(super) const PIECES_PRUNED: &str = "pieces_pruned";
/// Rows that were not sealed.
pub(super) const UNSEALED: &str = "rows_unsealed";
/// Rows that did not match.
pub(super) const REMOVED: &str = "rows_removed";
/// Rows that were looked up by their keys.
pub(super) const LOOKUPS: &str = "lookups";
/// Those of them that a learned index found.
pub(super) const LOOKUPS_SEALED: &str = "lookups_sealed";

/// The counts of one partition.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub read: Count,
    pub pruned: Count,
    pub pieces: Count,
    pub pieces_pruned: Count,
    pub unsealed: Count,
    pub removed: Count,
    pub lookups: Count,
    pub lookups_sealed: Count,
}

impl Counters {
    /// Counts that are shown, if there is anything to tell apart.
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize, shown: bool) -> Counters {
        let count = |name: &'static str| match shown {
            true => MetricBuilder::new(metrics).counter(name, partition),
            false => Count::new(),
        };
        Counters {
            read: count(GROUPS_READ),
            pruned: count(GROUPS_PRUNED),
            pieces: count(PIECES_READ),
            pieces_pruned: count(PIECES_PRUNED),
            unsealed: count(UNSEALED),
            removed: count(REMOVED),
            lookups: count(LOOKUPS),
            lookups_sealed: count(LOOKUPS_SEALED),
        }
    }
}
