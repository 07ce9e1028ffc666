//! Writes a lost or damaged sidecar anew, from the Parquet object.
//!
//! Rows come out with all columns of the segment's layout: those that were written before a column
//! existed now have it, with the value that they had all the time; dropped columns are NULL.

use arrow::array::{Array, ArrayRef, AsArray};

use super::columns_read::{Footer, Wanted, stored_column};
use super::layout::{restore, stored_type};
use super::segment::Inner;
use super::side_write::SideWriter;
use crate::error::{Error, Result};
use crate::types::kinds::Kind;
use crate::types::{Datum, PgType, columns, key, row};

/// The columns of one row group.
pub(super) struct Columns {
    /// By physical position: type in which values are stored and encoded, array.
    columns: Vec<Option<(PgType, ArrayRef)>>,
    keys: Option<ArrayRef>,
}

impl Inner {
    /// # Errors
    /// XX001 naming the Parquet object when it is damaged, 58030 when an object cannot be read or
    /// written.
    pub fn rebuild(&self) -> Result<()> {
        let footer = self.footer()?;
        let mut side = SideWriter::default();
        for group in 0..self.meta.groups.len() {
            self.add_group(&footer, group, &mut side)?;
        }
        let meta = &self.meta;
        if side.rows() != meta.rows as usize
            || side.first_key() != meta.first_key
            || side.last_key() != meta.last_key
        {
            return Err(Error::corrupted(format!(
                "object {} is damaged: it has other rows than the manifest says",
                meta.parquet_path()
            )));
        }
        let sidecar = side.finish(meta.table, meta.segment, None)?;
        let (_, object) = sidecar.of(meta.footer.checksum)?;
        self.objects.write(&meta.side_path(), object)
    }

    /// Adds the rows of a row group.
    fn add_group(&self, footer: &Footer, group: usize, side: &mut SideWriter) -> Result<()> {
        let meta = &self.meta;
        let columns = self.columns_of_rows(footer, group)?;
        let rows = meta.groups.get(group).map_or(0, |group| group.rows);
        let types = meta.layout.stored_types();
        for at in 0..rows as usize {
            let values = columns.values(at)?;
            let key = columns.key(at, &values, meta.key.as_deref())?;
            match meta.bare {
                true => side.push(&key, &[])?,
                false => side.push(&key, &row::encode(&values, &types)?)?,
            }
        }
        Ok(())
    }

    /// The columns of a row group that its rows and keys are made of.
    pub fn columns_of_rows(&self, footer: &Footer, group: usize) -> Result<Columns> {
        let meta = &self.meta;
        let mut arrays = Columns {
            columns: vec![None; meta.layout.columns.len()],
            keys: None,
        };
        let Some(found) = meta.groups.get(group) else {
            return Ok(arrays);
        };
        let read = |wanted| stored_column(&self.objects, meta, footer, group, wanted);
        let needed = |position: usize| {
            !meta.bare || meta.key.as_ref().is_some_and(|key| key.contains(&position))
        };
        for (position, column) in meta.layout.stored().filter(|(at, _)| needed(*at)) {
            let array = read(Wanted::Position(position))?;
            // Intervals stay as they are stored: not all of them have an Arrow form.
            let stored = stored_type(column.ty);
            let array = match stored == column.ty {
                true => restore(array, column.ty)?,
                false => array,
            };
            if let Some(slot) = arrays.columns.get_mut(position) {
                *slot = Some((stored, array));
            }
        }
        if found.key.is_some() {
            arrays.keys = Some(read(Wanted::Key)?);
        }
        Ok(arrays)
    }
}

impl Columns {
    /// The column at a physical position, restored to its type.
    pub fn column(&self, position: usize) -> Option<&ArrayRef> {
        let column = self.columns.get(position)?.as_ref();
        column.map(|(_, array)| array)
    }

    pub fn values(&self, at: usize) -> Result<Vec<Datum<'_>>> {
        self.columns
            .iter()
            .map(|column| match column {
                Some((ty, array)) => columns::get(array.as_ref(), at, *ty),
                None => Ok(Datum::Null),
            })
            .collect()
    }

    pub fn key(&self, at: usize, values: &[Datum<'_>], key: Option<&[usize]>) -> Result<Vec<u8>> {
        let damaged = || Error::corrupted("segment: a Parquet object without keys");
        if let Some(keys) = &self.keys {
            let keys = keys.as_binary_opt::<i32>().ok_or_else(damaged)?;
            if keys.is_null(at) {
                return Err(damaged());
            }
            return Ok(keys.value(at).to_vec());
        }
        let mut made = Vec::new();
        for &position in key.ok_or_else(damaged)? {
            let value = values.get(position).ok_or_else(damaged)?;
            let column = self.columns.get(position).and_then(Option::as_ref);
            let (ty, _) = column.ok_or_else(damaged)?;
            // An interval is no key.
            debug_assert!(Kind::of(*ty) != Kind::Interval);
            key::encode(value, *ty, &mut made)?;
        }
        Ok(made)
    }
}
