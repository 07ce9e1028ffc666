//! The sans-IO engine of OmenDB.
//!
//! A request in one sentence: *bytes → message → session → statement → plan → snapshot → rows →
//! bytes*. The first and the last step belong to a host; everything between lives here, without a
//! socket, a file, a thread or a clock of its own. What the engine needs from the world comes in
//! through [`env`].
//!
//! The modules, bottom to top; each uses only what stands above it in this list:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`] | one error type; every error has a SQLSTATE |
//! | [`env`] | what a host lends: storage backend, object store, clock, entropy |
//! | [`types`] | PostgreSQL types ↔ Arrow; text and binary formats; keys; rows |
//! | [`index`] | the learned index: where a key stands in a sorted, immutable column |
//! | [`storage`] | redb tables, snapshots, the commit queue |
//! | [`segment`] | the sealed tier: rows in Parquet objects, found by the learned index |
//! | [`txn`] | transactions: write set, locks, savepoints, isolation |
//! | [`catalog`] | schemas, tables, constraints, indexes, sequences, roles |
//! | [`query`] | DataFusion: provider, scans, functions |
//! | [`pg_catalog`] | live system tables |
//! | [`sql`] | parse, classify, one file per statement verb |
//! | [`session`] | settings, prepared statements, portals: the seam every host calls |

// Tests may have threads and files; see clippy.toml.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod catalog;
pub mod env;
pub mod error;
pub mod index;
pub mod pg_catalog;
pub mod query;
pub mod segment;
pub mod session;
pub mod sql;
pub mod storage;
pub mod txn;
pub mod types;

pub use error::{Error, Result, SqlState};
