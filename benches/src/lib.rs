//! Measurements of OmenDB against its peers; see `RESULTS.md`.

pub mod index;
