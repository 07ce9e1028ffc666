//! The sealed tier: rows in immutable, columnar segments, found by the learned index.
//!
//! | module | what it is |
//! |---|---|
//! | [`layout`] | how a table's rows become columns |
//! | [`write`], `columns_write`, `side_write` | writing a segment: Parquet object and sidecar |
//! | [`segment`], [`entries`] | finding keys, reading rows and columns |
//! | [`meta`], [`stats`] | what the manifest keeps of a segment |
//! | `side`, `block`, `keys`, `key_page` | the sidecar: its head, its blocks of rows, its key column |
//! | `transpose`, `planes` | rows as columns and values as byte planes, which compress better |
//! | `side_read`, `columns_read`, `page_index` | reading the sidecar, Parquet columns, and what is known of parts of them |
//! | [`table`], [`deletes`], `merged` | the segments of a table as one, without what is gone from them |
//! | `segments`, `manifest`, `garbage` | the tier of a database: what there is, and what may be deleted |
//! | [`load`] | rows of a transaction that never were unsealed |
//! | [`seal`], [`tend`] | moving rows into new segments, and when |
//! | `compact` | which segments are merged |
//! | `rebuild` | a lost sidecar, from the Parquet object |
//! | `verify` | whether the objects are what was written |
//! | [`cache`] | what stays in memory, within limits |
//! | [`objects`] | the host's object store |
//!
//! The README of this folder shows the formats byte by byte.

mod block;
pub mod cache;
mod codec;
mod columns_read;
mod columns_write;
mod compact;
pub mod deletes;
pub mod entries;
mod garbage;
mod key_page;
mod keys;
pub mod layout;
pub mod load;
mod manifest;
mod merged;
pub mod meta;
pub mod objects;
mod page_index;
mod planes;
mod rebuild;
mod residents;
pub mod seal;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after what it is about"
)]
pub mod segment;
mod segments;
mod side;
mod side_read;
mod side_write;
pub mod stats;
pub mod table;
pub mod tend;
#[cfg(test)]
pub(crate) mod tests;
mod transpose;
mod verify;
pub mod write;

pub use cache::{CacheOptions, CacheStats, Caches};
pub use columns_read::{PIECE_ROWS, Pieces};
pub use deletes::Deleted;
pub use entries::Entries;
pub use garbage::Handle;
pub use layout::{Layout, LayoutColumn};
pub use load::Load;
pub use meta::{Group, GroupColumn, SegmentMeta, object_owner};
pub use objects::Objects;
pub use page_index::PieceStats;
pub use seal::{Moved, Shape, Source};
pub use segment::Segment;
pub use segments::{Options, Segments};
pub use stats::ColumnStats;
pub use table::{Part, SealedTable};
pub use tend::{Effort, MAX_LOADED_DEPTH};
pub use write::{WriteOptions, Writer};
