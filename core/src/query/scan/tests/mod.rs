//! Scans of sealed rows, and of unsealed ones that are kept as columns. Most tests run statements on two
//! tables that always have the same rows: one is sealed now and then, the other never is. They have to give
//! the same answers.
//!
//! `OMENDB_SCAN_SEEDS=n` runs n seeds, `OMENDB_SCAN_SEED=s` begins at seed s.

mod keeping;
mod kept;
mod pair;
mod pieces;
mod plans;
mod random;
