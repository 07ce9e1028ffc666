//! What the manifest keeps about a segment: all that is needed to read its objects, to notice that
//! they are not what was written, and to know without reading them that they hold nothing of interest.
//! The README of this folder shows the encoding byte by byte.

use std::ops::Range;

use super::codec::{Reader, checksum, other_version, put_bytes, small};
use super::layout::Layout;
use super::stats::ColumnStats;
use crate::error::{Error, Result};
use crate::types::{Datum, PgType, row};

/// The encoding of [`SegmentMeta`] that this build writes. It reads every one up to it.
pub const META_VERSION: u16 = 2;
/// The encoding without [`SegmentMeta::rest`].
const WITHOUT_REST: u16 = 1;
const MAGIC: [u8; 4] = *b"OMDM";

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Piece {
    pub offset: u64,
    pub length: u64,
    /// CRC-32C.
    pub checksum: u32,
}

impl Piece {
    /// The piece of an object that is at hand whole.
    pub(super) fn of(object: &[u8], offset: u64, length: u64) -> Result<Piece> {
        let bytes = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(offset.saturating_add(length)).ok())
            .and_then(|(start, end)| object.get(start..end))
            .ok_or_else(|| Error::internal("a Parquet column outside of its file"))?;
        Ok(Piece {
            offset,
            length,
            checksum: checksum(bytes),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Piece> {
        Ok(Piece {
            offset: reader.u64()?,
            length: reader.u64()?,
            checksum: reader.u32()?,
        })
    }
}

/// One column of a row group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupColumn {
    /// The Parquet column chunk.
    pub piece: Piece,
    /// Its bloom filter, where there is one.
    pub bloom: Option<Piece>,
    pub stats: ColumnStats,
}

/// A row group: rows that are decoded together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Number of its first row in the segment.
    pub first_row: u32,
    pub rows: u32,
    /// By physical position; `None` for columns that the segment does not have.
    pub columns: Vec<Option<GroupColumn>>,
    /// The column of the keys, where they do not follow from the others.
    pub(super) key: Option<Piece>,
}

impl Group {
    /// The numbers of its rows.
    pub fn range(&self) -> Range<u32> {
        self.first_row..self.first_row.saturating_add(self.rows)
    }

    /// What is known of a column; `None` when the segment does not have it.
    pub fn stats(&self, position: usize) -> Option<&ColumnStats> {
        self.columns
            .get(position)?
            .as_ref()
            .map(|column| &column.stats)
    }
}

/// A segment as the manifest knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMeta {
    pub table: u64,
    pub segment: u64,
    pub rows: u32,
    pub first_key: Vec<u8>,
    pub last_key: Vec<u8>,
    pub layout: Layout,
    /// Physical positions of the columns that the keys are made of, when they are made of columns.
    pub key: Option<Vec<usize>>,
    /// Whether rows have no bytes at all: those of secondary indexes.
    pub bare: bool,
    /// Bytes of the rows, uncompressed.
    pub row_bytes: u64,
    /// Size of the Parquet object.
    pub parquet_bytes: u64,
    /// Size of the sidecar as it was first written.
    pub side_bytes: u64,
    pub groups: Vec<Group>,
    /// The footer of the Parquet object. Its checksum tells which sidecar belongs to it.
    pub(super) footer: Piece,
    /// Checksum of what no piece names, which only others read: the first bytes and the page index.
    /// Version 1 has none.
    pub(super) rest: Option<u32>,
}

impl SegmentMeta {
    /// Where the bytes are that no piece of the Parquet object names.
    pub(super) fn unnamed(&self) -> Vec<Range<u64>> {
        let mut pieces = vec![self.footer];
        for group in &self.groups {
            pieces.extend(group.key);
            for column in group.columns.iter().flatten() {
                pieces.push(column.piece);
                pieces.extend(column.bloom);
            }
        }
        pieces.sort_unstable_by_key(|piece| piece.offset);
        let mut rest = Vec::new();
        let mut next = 0;
        for piece in pieces {
            if next < piece.offset {
                rest.push(next..piece.offset);
            }
            next = next.max(piece.offset.saturating_add(piece.length));
        }
        if next < self.parquet_bytes {
            rest.push(next..self.parquet_bytes);
        }
        rest
    }

    /// Name of the Parquet object.
    pub fn parquet_path(&self) -> String {
        parquet_path(self.table, self.segment)
    }

    /// Name of the sidecar.
    pub fn side_path(&self) -> String {
        side_path(self.table, self.segment)
    }

    /// The bytes that [`SegmentMeta::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        // The writer has tried it: a segment that cannot be encoded is not made.
        self.try_encode().unwrap_or_default()
    }

    /// # Errors
    /// 54000 when something has more parts than the format counts.
    pub(super) fn try_encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        let version = match self.rest {
            Some(_) => META_VERSION,
            None => WITHOUT_REST,
        };
        out.extend_from_slice(&version.to_le_bytes());
        out.push(u8::from(self.bare));
        out.push(u8::from(self.key.is_some()));
        out.extend_from_slice(&self.table.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.row_bytes.to_le_bytes());
        out.extend_from_slice(&self.parquet_bytes.to_le_bytes());
        out.extend_from_slice(&self.side_bytes.to_le_bytes());
        self.footer.encode(&mut out);
        if let Some(rest) = self.rest {
            out.extend_from_slice(&rest.to_le_bytes());
        }
        put_bytes(&mut out, &self.first_key)?;
        put_bytes(&mut out, &self.last_key)?;
        if let Some(key) = &self.key {
            out.extend_from_slice(&small(key.len(), "key columns")?.to_le_bytes());
            for &position in key {
                out.extend_from_slice(&small(position, "columns")?.to_le_bytes());
            }
        }
        self.layout.encode(&mut out)?;
        out.extend_from_slice(&small(self.groups.len(), "row groups")?.to_le_bytes());
        for group in &self.groups {
            self.encode_group(group, &mut out)?;
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(out)
    }

    /// # Errors
    /// XX001 when the bytes are not what was encoded, 0A000 when another version wrote them.
    pub fn decode(bytes: &[u8]) -> Result<SegmentMeta> {
        let damaged = || Error::corrupted("segment: its entry in the manifest is damaged");
        let (body, sum) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if checksum(body) != u32::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let mut reader = Reader::new(body, "segment: its entry in the manifest");
        if reader.take()? != MAGIC {
            return Err(damaged());
        }
        let version = reader.u16()?;
        if !(WITHOUT_REST..=META_VERSION).contains(&version) {
            return Err(other_version("segment", version, META_VERSION));
        }
        let bare = reader.flag()?;
        let has_key = reader.flag()?;
        let (table, segment) = (reader.u64()?, reader.u64()?);
        let rows = reader.u32()?;
        let (row_bytes, parquet_bytes, side_bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let footer = Piece::decode(&mut reader)?;
        let rest = match version {
            WITHOUT_REST => None,
            _ => Some(reader.u32()?),
        };
        let first_key = reader.bytes()?.to_vec();
        let last_key = reader.bytes()?.to_vec();
        let key = if has_key {
            let count = reader.count(4)?;
            let positions = (0..count).map(|_| reader.u32().map(|position| position as usize));
            Some(positions.collect::<Result<_>>()?)
        } else {
            None
        };
        let layout = Layout::decode(&mut reader)?;
        let mut meta = SegmentMeta {
            table,
            segment,
            rows,
            first_key,
            last_key,
            layout,
            key,
            bare,
            row_bytes,
            parquet_bytes,
            side_bytes,
            groups: Vec::new(),
            footer,
            rest,
        };
        let count = reader.count(8)?;
        for _ in 0..count {
            let group = meta.decode_group(&mut reader)?;
            meta.groups.push(group);
        }
        reader.end()?;
        meta.check().map_err(|_| damaged())?;
        Ok(meta)
    }

    /// That row groups follow one another and make up all rows.
    fn check(&self) -> Result<()> {
        let mut next = 0_u32;
        for group in &self.groups {
            if group.first_row != next || group.rows == 0 {
                return Err(Error::corrupted("row groups"));
            }
            next = next
                .checked_add(group.rows)
                .ok_or_else(|| Error::corrupted("row groups"))?;
        }
        if next != self.rows {
            return Err(Error::corrupted("row groups"));
        }
        Ok(())
    }

    fn encode_group(&self, group: &Group, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&group.first_row.to_le_bytes());
        out.extend_from_slice(&group.rows.to_le_bytes());
        out.push(u8::from(group.key.is_some()));
        if let Some(piece) = &group.key {
            piece.encode(out);
        }
        for (position, column) in self.layout.stored() {
            let found = group
                .columns
                .get(position)
                .and_then(Option::as_ref)
                .ok_or_else(|| Error::internal("a row group without one of its columns"))?;
            found.piece.encode(out);
            out.push(u8::from(found.bloom.is_some()));
            if let Some(bloom) = &found.bloom {
                bloom.encode(out);
            }
            out.extend_from_slice(&found.stats.nulls.to_le_bytes());
            out.push(u8::from(found.stats.exact));
            let bound = |bound: &Option<Datum<'static>>| bound.clone().unwrap_or(Datum::Null);
            let bounds = [bound(&found.stats.min), bound(&found.stats.max)];
            put_bytes(out, &row::encode(&bounds, &[column.ty; 2])?)?;
        }
        Ok(())
    }

    fn decode_group(&self, reader: &mut Reader<'_>) -> Result<Group> {
        let first_row = reader.u32()?;
        let rows = reader.u32()?;
        let key = match reader.flag()? {
            true => Some(Piece::decode(reader)?),
            false => None,
        };
        let columns = self
            .layout
            .columns
            .iter()
            .map(|column| {
                if column.dropped {
                    return Ok(None);
                }
                let piece = Piece::decode(reader)?;
                let bloom = match reader.flag()? {
                    true => Some(Piece::decode(reader)?),
                    false => None,
                };
                let nulls = reader.u32()?;
                let exact = reader.flag()?;
                let bounds = row::RowRef::new(reader.bytes()?)?;
                let stats = ColumnStats {
                    min: bound(&bounds, 0, column.ty)?,
                    max: bound(&bounds, 1, column.ty)?,
                    exact,
                    nulls,
                };
                Ok(Some(GroupColumn {
                    piece,
                    bloom,
                    stats,
                }))
            })
            .collect::<Result<_>>()?;
        Ok(Group {
            first_row,
            rows,
            columns,
            key,
        })
    }
}

fn bound(bounds: &row::RowRef<'_>, at: usize, ty: PgType) -> Result<Option<Datum<'static>>> {
    Ok(match bounds.get(at, ty)? {
        Datum::Null => None,
        other => Some(other.into_owned()),
    })
}

/// Name of a segment's Parquet object.
pub(super) fn parquet_path(table: u64, segment: u64) -> String {
    format!("{table}/{segment}.parquet")
}

/// Name of a segment's sidecar.
pub(super) fn side_path(table: u64, segment: u64) -> String {
    format!("{table}/{segment}.side")
}

/// Table and segment that an object belongs to; `None` for an object that is not of a segment.
pub fn object_owner(path: &str) -> Option<(u64, u64)> {
    let (table, file) = path.split_once('/')?;
    let number = file
        .strip_suffix(".parquet")
        .or_else(|| file.strip_suffix(".side"))?;
    let plain = |text: &str| text.parse().ok().filter(|n: &u64| n.to_string() == text);
    Some((plain(table)?, plain(number)?))
}
