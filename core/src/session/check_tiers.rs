//! Verifies where the rows of a table lie: its segments are whole, and each key has one row.

use std::ops::Bound::Unbounded;

use super::check::{Findings, shown_key};
use crate::error::Result;
use crate::segment::{Part, SealedTable};
use crate::storage::{Sealed, Snapshot, TableId};

/// Unsealed keys that are looked for among the sealed ones at once.
const KEYS_AT_ONCE: usize = 1024;

/// Adds what is wrong with the sealed rows of a table or index.
///
/// # Errors
/// XX001 when its rows cannot be read, 58030 when storage fails.
pub(super) fn check(
    snapshot: &Snapshot,
    table: TableId,
    name: &str,
    findings: &mut Findings,
) -> Result<()> {
    let Some(sealed) = SealedTable::of(snapshot, table) else {
        return Ok(());
    };
    for part in sealed.parts() {
        for finding in part.segment.verify()? {
            findings.add(format!("{name}: {finding}"));
        }
    }
    let mut keys = Vec::new();
    for entry in snapshot.unsealed_range(table, Unbounded, Unbounded)? {
        let (key, _) = entry?;
        keys.push(key.as_ref().to_vec());
        if keys.len() >= KEYS_AT_ONCE {
            in_both(sealed.parts(), &keys, name, findings)?;
            keys.clear();
        }
    }
    in_both(sealed.parts(), &keys, name, findings)?;
    in_two_segments(sealed, name, findings)
}

/// Unsealed rows that a segment has as well.
fn in_both(parts: &[Part], keys: &[Vec<u8>], name: &str, findings: &mut Findings) -> Result<()> {
    let probes: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut found = Vec::new();
    for part in parts {
        part.segment.locate_batch(&probes, &mut found)?;
        for (key, row) in probes.iter().zip(&found) {
            if let Some(row) = row.filter(|row| !part.deleted.contains(*row)) {
                findings.add(format!(
                    "{name}: row {} is in both tiers: unsealed, and row {row} of {}",
                    shown_key(key),
                    part.segment.meta().parquet_path()
                ));
            }
        }
    }
    Ok(())
}

/// Rows that two segments have.
fn in_two_segments(sealed: &SealedTable, name: &str, findings: &mut Findings) -> Result<()> {
    let metas = || sealed.parts().iter().map(|part| part.segment.meta());
    let apart = metas()
        .zip(metas().skip(1))
        .all(|(one, next)| one.last_key < next.first_key);
    if apart {
        return Ok(());
    }
    let mut last = None;
    for entry in sealed.range(Unbounded, Unbounded)? {
        let (key, _) = entry?;
        if last.as_ref() == Some(&key) {
            findings.add(format!(
                "{name}: row {} is in two segments",
                shown_key(&key)
            ));
        }
        last = Some(key);
    }
    Ok(())
}
