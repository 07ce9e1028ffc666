//! Measurements of OmenDB against its peers; see `RESULTS.md`.

pub mod engine;
pub mod index;
