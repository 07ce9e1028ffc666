//! Writes a segment: rows in key order become a Parquet object and its sidecar.

use std::sync::Arc;

use super::codec::{checksum, small};
use super::columns_write::ColumnsWriter;
use super::layout::Layout;
use super::meta::{SegmentMeta, parquet_path, side_path};
use super::objects::Objects;
use super::side_write::SideWriter;
use crate::env::{Clock, Workers};
use crate::error::{Error, Result};
use crate::types::key;
use crate::types::row::RowRef;

/// How large segments and their parts become.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Rows after which a segment is full.
    pub rows: u32,
    /// Bytes of rows and keys after which a segment is full. The writer holds what becomes of them in
    /// memory until the segment is finished, and a row group of them twice.
    pub bytes: u64,
    /// Rows of a row group.
    pub group_rows: usize,
    /// Bytes of rows after which a row group ends before it has as many rows.
    pub group_bytes: usize,
    /// Physical positions of the columns that keys are made of ([`key::encode`] of one after the
    /// other), where they are. Keys then take no room in the Parquet object, and it says how it is
    /// sorted.
    pub key: Option<Vec<usize>>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions {
            rows: 1 << 20,
            bytes: 256 << 20,
            group_rows: 1 << 17,
            group_bytes: 64 << 20,
            key: None,
        }
    }
}

/// The part of some memory that may be bytes of rows of one segment, and of one row group.
const SEGMENT_SHARE: u64 = 4;
const GROUP_SHARE: usize = 16;

impl WriteOptions {
    /// Segments so small that one is written in a part of so much memory.
    #[must_use]
    pub fn within(self, memory: usize) -> WriteOptions {
        WriteOptions {
            bytes: self.bytes.min(memory as u64 / SEGMENT_SHARE),
            group_bytes: self.group_bytes.min(memory / GROUP_SHARE),
            ..self
        }
    }
}

/// Takes rows in key order.
pub struct Writer {
    objects: Objects,
    table: u64,
    segment: u64,
    layout: Arc<Layout>,
    options: WriteOptions,
    clock: Option<Arc<dyn Clock>>,
    columns: ColumnsWriter,
    side: SideWriter,
    group_bytes: usize,
    row_bytes: u64,
    bytes: u64,
    /// Whether rows have no bytes; told by the first.
    bare: bool,
    /// The key that a row's columns make.
    made_key: Vec<u8>,
}

impl Writer {
    /// `clock` is for choosing the index; without one, an estimate chooses.
    ///
    /// # Errors
    /// XX000 when the options name a column that the layout does not have.
    pub fn new(
        objects: &Objects,
        table: u64,
        segment: u64,
        layout: Layout,
        mut options: WriteOptions,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Writer> {
        options.key = options.key.filter(|key| !key.is_empty());
        let layout = Arc::new(layout);
        for position in options.key.iter().flatten() {
            if layout.leaf(*position).is_none() {
                return Err(Error::internal(format!(
                    "column {position} is in the key, but not in the table"
                )));
            }
        }
        let columns = ColumnsWriter::new(Arc::clone(&layout), options.key.as_deref());
        Ok(Writer {
            objects: objects.clone(),
            table,
            segment,
            layout,
            options,
            clock,
            columns,
            side: SideWriter::default(),
            group_bytes: 0,
            row_bytes: 0,
            bytes: 0,
            bare: false,
            made_key: Vec::new(),
        })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.side.rows()
    }

    /// Whether the segment has as many rows or bytes as it should: time to finish it.
    pub fn is_full(&self) -> bool {
        self.side.rows() >= self.options.rows as usize || self.bytes >= self.options.bytes
    }

    /// The last key so far; empty without rows.
    pub fn last_key(&self) -> &[u8] {
        self.side.last_key()
    }

    /// Whether a key that starts with `prefix` was pushed.
    pub fn has_prefix(&self, prefix: &[u8]) -> bool {
        self.side.has_prefix(prefix)
    }

    /// Bytes of memory, about; while a row group ends, and the segment, some of it is there twice.
    pub fn memory(&self) -> usize {
        self.side.size() + self.columns.size() + self.group_bytes
    }

    /// Adds a row. Its key has to be above all before; it may have fewer columns than the layout. In a
    /// table whose rows have no bytes, none has.
    ///
    /// # Errors
    /// XX000 when the key is not above the last one, or not made of the columns that it should be made
    /// of; XX001 when the row cannot be read. The segment has to be given up then.
    pub fn push(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        if self.side.rows() == 0 {
            self.bare = row.is_empty();
        } else if key <= self.side.last_key() {
            return Err(Error::internal("a segment's keys are out of order"));
        }
        if row.is_empty() != self.bare {
            return Err(Error::internal("rows with and without bytes in one table"));
        }
        let read = match self.bare {
            true => None,
            false => Some(RowRef::new(row)?),
        };
        self.check_key(key, read.as_ref())?;
        self.columns.push(key, read.as_ref())?;
        self.side.push(key, row)?;
        self.group_bytes += key.len() + row.len();
        self.row_bytes += row.len() as u64;
        self.bytes += (key.len() + row.len()) as u64;
        if self.columns.rows() >= self.options.group_rows
            || self.group_bytes >= self.options.group_bytes
        {
            self.columns.end_group()?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// A lost sidecar gets its keys from the columns, so these must give them.
    fn check_key(&mut self, key: &[u8], row: Option<&RowRef<'_>>) -> Result<()> {
        let Some(positions) = &self.options.key else {
            return Ok(());
        };
        self.made_key.clear();
        for &position in positions {
            let column = self
                .layout
                .columns
                .get(position)
                .ok_or_else(|| Error::internal("a key column that does not exist"))?;
            match row {
                Some(row) if position < row.columns() => {
                    key::encode(
                        &row.get(position, column.ty)?,
                        column.ty,
                        &mut self.made_key,
                    )?;
                }
                _ => key::encode(&column.missing, column.ty, &mut self.made_key)?,
            }
        }
        if self.made_key == key {
            Ok(())
        } else {
            Err(Error::internal("a key that is not made of its columns"))
        }
    }

    /// Writes the objects, with the help of a worker. They are durable when this returns, and nothing
    /// refers to them but what it returns; `None` without rows, and then there are none.
    ///
    /// # Errors
    /// 58030 when an object cannot be written; one of them may be there then.
    pub fn finish(self, workers: &Workers) -> Result<Option<SegmentMeta>> {
        let Writer {
            objects,
            table,
            segment,
            columns,
            side,
            ..
        } = self;
        let rows = small(side.rows(), "rows")?;
        let (first_key, last_key) = (side.first_key().to_vec(), side.last_key().to_vec());
        if rows == 0 {
            return Ok(None);
        }
        let to = objects.clone();
        let write_columns = move || {
            let columns = columns.finish()?;
            to.write(&parquet_path(table, segment), columns.object.clone())?;
            Ok(columns)
        };
        let finish_side = || side.finish(table, segment, self.clock.as_deref());
        let (columns, side) = workers.join(write_columns, finish_side);
        let columns = columns?;
        let (side_bytes, side) = side?.of(columns.footer.checksum)?;
        let mut meta = SegmentMeta {
            table,
            segment,
            rows,
            first_key,
            last_key,
            layout: Arc::unwrap_or_clone(self.layout),
            key: self.options.key,
            bare: self.bare,
            row_bytes: self.row_bytes,
            parquet_bytes: columns.object.len() as u64,
            side_bytes,
            groups: columns.groups,
            footer: columns.footer,
            rest: None,
        };
        let mut rest = Vec::new();
        for range in meta.unnamed() {
            let bytes = columns.object.get(range.start as usize..range.end as usize);
            rest.extend_from_slice(bytes.unwrap_or_default());
        }
        meta.rest = Some(checksum(&rest));
        meta.try_encode()?;
        objects.write(&side_path(table, segment), side)?;
        Ok(Some(meta))
    }
}
