//! The sealed tier: rows in immutable, columnar segments, found by the learned index.
//!
//! | module | what it is |
//! |---|---|
//! | [`layout`] | how a table's rows become columns |
//! | [`write`], `columns_write`, `side_write` | writing a segment: Parquet object and sidecar |
//! | [`segment`], [`entries`] | finding keys, reading rows and columns |
//! | [`meta`], [`stats`] | what the manifest keeps of a segment |
//! | `side`, `block`, `keys` | the sidecar: its head, its blocks of rows, its key column |
//! | `side_read`, `columns_read` | reading the sidecar, reading Parquet columns |
//! | `rebuild` | a lost sidecar, from the Parquet object |
//! | [`cache`] | what stays in memory, within limits |
//! | [`objects`] | the host's object store |
//!
//! The README of this folder shows the formats byte by byte.

mod block;
pub mod cache;
mod codec;
mod columns_read;
mod columns_write;
pub mod entries;
mod keys;
pub mod layout;
pub mod meta;
pub mod objects;
mod rebuild;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after what it is about"
)]
pub mod segment;
mod side;
mod side_read;
mod side_write;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod write;

pub use cache::{CacheOptions, CacheStats, Caches};
pub use entries::Entries;
pub use layout::{Layout, LayoutColumn};
pub use meta::{Group, GroupColumn, SegmentMeta, object_owner};
pub use objects::Objects;
pub use segment::Segment;
pub use stats::ColumnStats;
pub use write::{WriteOptions, Writer};
