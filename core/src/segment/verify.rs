//! Verifies a segment: both objects are what was written, piece by piece, and say the same.
//!
//! Nothing is read from the caches, and nothing is mended: whoever reads the segment next does that.

use super::block;
use super::codec::checksum;
use super::columns_read::{self, Footer, Wanted, piece, stored_column};
use super::keys::Keys;
use super::rebuild::Columns;
use super::segment::{Inner, Segment};
use super::side::Head;
use super::stats::ColumnStats;
use crate::error::{Error, Result, SqlState};
use crate::types::row::{self, RowRef};
use crate::types::{Datum, PgType};

/// Findings after which a segment is not looked at any further.
const MAX_FINDINGS: usize = 100;
/// Keys that are looked up at once.
const LOOKED_UP: usize = 4096;

/// What is wrong, one line each.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, path: &str, what: &str) {
        if self.0.len() < MAX_FINDINGS {
            self.0.push(format!("object {path} is damaged: {what}"));
        }
    }

    /// What was read from an object; damage is a finding, any other failure ends the verification.
    fn read<T>(&mut self, path: &str, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.state() == SqlState::DATA_CORRUPTED => {
                let what = error.to_string();
                match what.starts_with("object ") {
                    true if self.0.len() < MAX_FINDINGS => self.0.push(what),
                    true => {}
                    false => self.add(path, &what),
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Segment {
    /// What is wrong with the segment's objects, one line each.
    ///
    /// # Errors
    /// 58030 when an object cannot be read, 0A000 when one is of another version.
    pub fn verify(&self) -> Result<Vec<String>> {
        let inner = &self.inner;
        let mut findings = Findings::default();
        let footer = inner.verify_parquet(&mut findings)?;
        let parquet_is_whole = findings.0.is_empty();
        let side = inner.verify_sidecar(&mut findings)?;
        if let (Some(footer), Some((head, keys)), true) = (footer, side, parquet_is_whole) {
            inner.compare(&footer, &head, &keys, &mut findings)?;
        }
        Ok(findings.0)
    }
}

impl Inner {
    /// Every piece of the Parquet object that the manifest names, decoded, and the bounds that the
    /// manifest has of it.
    fn verify_parquet(&self, findings: &mut Findings) -> Result<Option<Footer>> {
        let (objects, meta) = (&self.objects, &self.meta);
        let path = meta.parquet_path();
        let Some(size) = findings.read(&path, objects.size(&path))? else {
            return Ok(None);
        };
        if size != meta.parquet_bytes {
            let what = format!("it has {size} bytes instead of {}", meta.parquet_bytes);
            findings.add(&path, &what);
        }
        let footer = findings.read(&path, columns_read::footer(objects, meta))?;
        for (at, group) in meta.groups.iter().enumerate() {
            for (position, column) in group.columns.iter().enumerate() {
                let Some(column) = column else { continue };
                if let Some(place) = &column.bloom {
                    findings.read(&path, columns_read::bloom(objects, meta, place))?;
                }
                let Some(footer) = &footer else {
                    let what = format!("column {position} in row group {at}");
                    findings.read(&path, piece(objects, &path, &column.piece, &what))?;
                    continue;
                };
                let wanted = Wanted::Position(position);
                let read = stored_column(objects, meta, footer, at, wanted);
                let Some(array) = findings.read(&path, read)? else {
                    continue;
                };
                let nulls = arrow::array::Array::null_count(&array);
                if nulls != column.stats.nulls as usize {
                    let what = format!("column {position} in row group {at} has {nulls} NULLs");
                    findings.add(&path, &what);
                }
            }
            match (&group.key, &footer) {
                (Some(_), Some(footer)) => {
                    let read = stored_column(objects, meta, footer, at, Wanted::Key);
                    findings.read(&path, read)?;
                }
                (Some(place), None) => {
                    let what = format!("the keys of row group {at}");
                    findings.read(&path, piece(objects, &path, place, &what))?;
                }
                (None, _) => {}
            }
        }
        if let Some(known) = meta.rest {
            let mut rest = Vec::new();
            for range in meta.unnamed() {
                match findings.read(&path, objects.read(&path, range))? {
                    Some(bytes) => rest.extend_from_slice(&bytes),
                    None => return Ok(footer),
                }
            }
            if checksum(&rest) != known {
                findings.add(&path, "wrong checksum of its page index");
            }
        }
        Ok(footer)
    }

    /// Every piece of the sidecar, and that its index finds every key.
    fn verify_sidecar(&self, findings: &mut Findings) -> Result<Option<(Head, Keys)>> {
        let path = &self.side_path;
        let Some(head) = findings.read(path, self.read_head())? else {
            return Ok(None);
        };
        let size = self.objects.size(path)?;
        if size != head.object_size() {
            let what = format!("it has {size} bytes instead of {}", head.object_size());
            findings.add(path, &what);
        }
        for at in 0..head.blocks.len() {
            let rows = head.block_rows(at).len();
            if findings
                .read(path, self.read_block(&head, at, rows))?
                .is_none()
            {
                findings.add(path, &format!("block {at} of its rows"));
            }
        }
        let Some(keys) = findings.read(path, self.read_keys(&head))? else {
            return Ok(None);
        };
        let mut last = Vec::new();
        let mut found = Vec::new();
        for start in (0..keys.column.count).step_by(LOOKED_UP) {
            let end = keys.column.count.min(start + LOOKED_UP);
            let chunk: Vec<_> = (start..end).map(|at| keys.column.key(at)).collect();
            let probes: Vec<&[u8]> = chunk.iter().map(AsRef::as_ref).collect();
            found.clear();
            keys.locate_batch(&probes, &mut found);
            let places = found.iter().map(|row| row.map(|row| row as usize));
            if !places.eq((start..end).map(Some)) {
                findings.add(path, "its index does not find its keys");
                return Ok(None);
            }
            let ascend = probes.is_sorted_by(|a, b| a < b)
                && (start == 0 || probes.first().is_none_or(|first| *first > last.as_slice()));
            if !ascend {
                findings.add(path, "its keys are out of order");
                return Ok(None);
            }
            last = probes.last().map(|last| last.to_vec()).unwrap_or_default();
        }
        let meta = &self.meta;
        if keys.column.key(0) != meta.first_key || last != meta.last_key {
            findings.add(path, "it has other keys than the manifest says");
            return Ok(None);
        }
        Ok(Some((head, keys)))
    }

    /// That both objects have the same keys and rows, and the bounds that the manifest has.
    fn compare(
        &self,
        footer: &Footer,
        head: &Head,
        keys: &Keys,
        findings: &mut Findings,
    ) -> Result<()> {
        let mut blocks = Blocks {
            inner: self,
            head,
            current: None,
        };
        for (at, group) in self.meta.groups.iter().enumerate() {
            let columns = self.columns_of_rows(footer, at)?;
            self.compare_bounds(at, &columns, findings)?;
            for row in group.range() {
                let values = columns.values((row - group.first_row) as usize)?;
                let place = (row - group.first_row) as usize;
                let key = columns.key(place, &values, self.meta.key.as_deref())?;
                if keys.column.key(row as usize) != key {
                    findings.add(&self.side_path, &format!("row {row} has another key"));
                    break;
                }
                if self.meta.bare {
                    continue;
                }
                // A block that cannot be read has been found already.
                let Some(bytes) = blocks.row(row) else {
                    continue;
                };
                if !self.same(&bytes, &values)? {
                    findings.add(&self.side_path, &format!("row {row} has other values"));
                    break;
                }
            }
        }
        Ok(())
    }

    fn compare_bounds(&self, at: usize, columns: &Columns, findings: &mut Findings) -> Result<()> {
        let meta = &self.meta;
        let Some(group) = meta.groups.get(at) else {
            return Ok(());
        };
        for (position, column) in meta.layout.stored() {
            let (Some(array), Some(known)) = (columns.column(position), group.stats(position))
            else {
                continue;
            };
            // What has no order has no bounds.
            if known.min.is_none() && known.max.is_none() {
                continue;
            }
            if ColumnStats::of(array, column.ty)? != *known {
                let what = format!(
                    "column \"{}\" in row group {at} has other bounds than the manifest says",
                    column.name
                );
                findings.add(&meta.parquet_path(), &what);
            }
        }
        Ok(())
    }

    /// Whether a row of the sidecar has these values.
    fn same(&self, bytes: &[u8], values: &[Datum<'_>]) -> Result<bool> {
        let Ok(found) = RowRef::new(bytes) else {
            return Ok(false);
        };
        let layout = &self.meta.layout;
        let types = layout.stored_types();
        for (position, ((column, ty), value)) in
            layout.columns.iter().zip(&types).zip(values).enumerate()
        {
            if column.dropped {
                continue;
            }
            let found = match position < found.columns() {
                true => match found.get(position, *ty) {
                    Ok(found) => found,
                    Err(_) => return Ok(false),
                },
                false => super::layout::stored_datum(column.missing.clone()),
            };
            if encoded(&found, *ty)? != encoded(value, *ty)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Values are compared as they are encoded: NaN is not itself.
fn encoded(value: &Datum<'_>, ty: PgType) -> Result<Vec<u8>> {
    row::encode(std::slice::from_ref(value), &[ty])
}

/// Rows of a sidecar one after the other.
struct Blocks<'a> {
    inner: &'a Inner,
    head: &'a Head,
    current: Option<(usize, Option<bytes::Bytes>)>,
}

impl Blocks<'_> {
    fn row(&mut self, row: u32) -> Option<bytes::Bytes> {
        let at = self.head.block_of(row);
        let rows = self.head.block_rows(at);
        if self.current.as_ref().is_none_or(|(known, _)| *known != at) {
            let read: Result<_, Error> = self.inner.read_block(self.head, at, rows.len());
            self.current = Some((at, read.ok().map(bytes::Bytes::from)));
        }
        let (_, block) = self.current.as_ref()?;
        block::row(block.as_ref()?, rows.len(), (row - rows.start) as usize)
    }
}
