//! What EXPLAIN shows of a scan.

use datafusion::physical_expr::conjunction;
use datafusion::physical_plan::ExecutionPlan;

use super::metrics;
use super::plan::ScanPlan;
use super::ranges::Access;
use super::sealed::{Work, parts_of};

impl ScanPlan {
    /// The way taken, in the words of PostgreSQL's EXPLAIN.
    pub fn describe(&self) -> String {
        let name = &self.reading.table.name;
        match &self.access {
            Access::Full => format!("Seq Scan on {name}"),
            Access::Ranges(_) | Access::Keys(_) => format!("Key Scan on {name}"),
            Access::Index(index, _) => format!("Index Scan using {} on {name}", index.name),
            Access::Nothing => format!("Empty Scan on {name}"),
        }
    }

    /// What is worth knowing of the sealed rows that are read as columns, one line each.
    pub fn details(&self, analyze: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let view = &self.reading.read.view;
        let conditions = self.pruning.conditions();
        if !conditions.is_empty() {
            lines.push(format!("Filter: {}", conjunction(conditions.to_vec())));
        }
        if parts_of(view, self.reading.table.storage).is_none() {
            return lines;
        }
        if let Some(scan) = &self.columns {
            let kept = self.pruning.kept(&self.reading, scan);
            let of = |wanted: bool| {
                let pieces = scan.work.iter().zip(kept.iter());
                let mut groups: Vec<(usize, usize)> = pieces
                    .filter_map(|(work, kept)| match work {
                        Work::Sealed(morsel) if *kept || !wanted => {
                            Some((morsel.part, morsel.group))
                        }
                        _ => None,
                    })
                    .collect();
                groups.dedup();
                groups
            };
            let (all, left) = (of(false), of(true));
            let mut parts: Vec<usize> = left.iter().map(|(part, _)| *part).collect();
            parts.sort_unstable();
            parts.dedup();
            lines.push(format!("Segments: {} of {}", parts.len(), scan.parts.len()));
            lines.push(format!("Row Groups: {} of {}", left.len(), all.len()));
        }
        if let (true, Some(found)) = (analyze, self.metrics()) {
            let count = |name| found.sum_by_name(name).map_or(0, |sum| sum.as_usize());
            if let Some(scan) = &self.columns {
                lines.push(format!("Segments Read: {}", scan.parts_read()));
                lines.push(format!(
                    "Row Groups Read: {}  Pruned: {}",
                    count(metrics::GROUPS_READ),
                    count(metrics::GROUPS_PRUNED)
                ));
                lines.push(format!(
                    "Pages Read: {}  Pruned: {}",
                    count(metrics::PIECES_READ),
                    count(metrics::PIECES_PRUNED)
                ));
                lines.push(format!("Unsealed Rows: {}", count(metrics::UNSEALED)));
            }
            if !self.pruning.is_empty() {
                let removed = count(metrics::REMOVED);
                lines.push(format!("Rows Removed by Filter: {removed}"));
            }
            match count(metrics::LOOKUPS) {
                0 => {}
                lookups => lines.push(format!(
                    "Look-ups: {lookups}  By Learned Index: {}",
                    count(metrics::LOOKUPS_SEALED)
                )),
            }
        }
        lines
    }
}
