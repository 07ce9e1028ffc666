//! Measurements of OmenDB against its peers; the scripts in this folder print the tables of
//! `RESULTS.md`.
