//! Scans of sealed rows. Each test runs statements on two tables that always have the same rows: one is
//! sealed now and then, the other never is. They have to give the same answers.
//!
//! `OMENDB_SCAN_SEEDS=n` runs n seeds, `OMENDB_SCAN_SEED=s` begins at seed s.

mod keeping;
mod kept;
mod pair;
mod plans;
mod random;
